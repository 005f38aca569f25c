"""One socket on which a session is talked to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from . import events
from .errors import Overloaded, SessionError
from .session import Session
from .wording import failure

REFUSAL_TIMEOUT_S = 5.0
"""A client that does not take an error within it is closed untold."""

NO_CLOSE_CODE = 1005  # RFC 6455, section 7.1.5: the closing frame had none


class Line:
    """Carries messages between a socket and its session, both ways.

    Args:
        socket: The client.
        session: New, or waiting for this socket.
        timeout_s: How long a message may wait for a client that does not read.
        last_seq: The last message that a client which comes back has; None for one
            that comes first.
    """

    def __init__(
        self,
        socket: ServerConnection,
        session: Session,
        timeout_s: float,
        last_seq: int | None = None,
    ) -> None:
        self._socket = socket
        self._session = session
        self._timeout_s = timeout_s
        self._last_seq = last_seq
        self._next_seq = 0

    async def talk(self) -> None:
        """Carry messages until the session is over and the socket is closed.

        Raises:
            ExceptionGroup: Of `ConnectionClosed`, if the client is gone, or of
                `SessionError`, if it does not read or cannot go on where it was.
        """
        async with asyncio.TaskGroup() as group:
            if self._last_seq is not None:
                resumed = self._session.resume(self._last_seq)
                self._next_seq = self._last_seq + 1
                await self._send(events.encode(resumed))
            reading = group.create_task(self._read(), name="read")
            await self._write()
            reading.cancel()
        session = self._session
        await hang_up(self._socket, session.close_code, session.close_reason)
        if self._socket.close_code in (session.close_code, NO_CLOSE_CODE):
            session.presence.confirm()  # its answer came after our last message

    async def refuse(self, error: SessionError) -> None:
        """Tell why this socket is closed, and close it."""
        await refuse(self._socket, error, self._next_seq, self._session.time_ms)

    async def _read(self) -> None:
        while True:
            message = await self._socket.recv()
            if isinstance(message, bytes):
                await self._session.hear(message)
            else:
                await self._session.take(message)

    async def _write(self) -> None:
        session = self._session
        while session.backlog.n_unsent or not session.is_over:
            if session.backlog.is_ready:
                await self._send(session.backlog.peek())
                session.backlog.advance()
                session.moves.tell()
                self._next_seq = session.backlog.next_seq
            else:
                await session.moves.wait()

    async def _send(self, text: str) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send(text)
        except TimeoutError:
            slow = Overloaded(
                "slow_reader",
                f"expected events to be read within {self._timeout_s:g} s",
            )
            self._session.break_off(slow)
            raise slow from None


async def refuse(
    socket: ServerConnection, error: SessionError, seq: int = 0, time_ms: int = 0
) -> None:
    """Tell why, and close; a client that does not read is closed untold."""
    told = events.numbered(failure(error, time_ms), seq)
    with suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(REFUSAL_TIMEOUT_S):
            await socket.send(events.encode(told))
    await hang_up(socket, error.close_code, error.code)


async def hang_up(socket: ServerConnection, code: int, reason: str = "") -> None:
    """Close, though the client may go on sending.

    Unread messages would stop the reading of the socket, and the client's answer to
    the closing behind them would never be seen.
    """

    async def throw_away() -> None:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()

    throwing = asyncio.create_task(throw_away(), name="throw away")
    try:
        await socket.close(code, reason)
    finally:
        throwing.cancel()
