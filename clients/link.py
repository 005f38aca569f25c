"""A session's sockets, one after another, as if they were one."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import msgspec
from msgspec import Struct
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.errors import ConnectionFailed, ConnectionLost
from clients.tape import Tape
from stream_erc import events
from stream_erc.events import ServerEvent, ServerMessage, SessionStarted

FIRST_DELAY_S, MAX_DELAY_S = 0.1, 3.0
"""Before the first attempt to come back, and between later ones; at most."""

FINAL_CODES = (1002, 1008, 1009, 1013)
"""Close codes with which the server says that it will not have us back."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of the server.

    Attributes:
        text: The JSON, unchanged.
        event: The same, typed; None where this version does not know the type.
        received_s: `time.monotonic()` when it was taken from the socket.
    """

    text: str
    event: ServerEvent | None
    received_s: float


class Numbered(Struct):
    """What is needed of a message whose type this version does not know."""

    seq: int = -1


class Link:
    """Sends in order, reads in order, and comes back by itself where a socket breaks.

    Args:
        socket: The first one, open.
        dial: Opens another one.
        tape: Keeps what was sent.

    Attributes:
        opened: The server's answer to `session.start`.
        n_resumes: How often a socket was replaced.
    """

    def __init__(
        self,
        socket: ClientConnection,
        dial: Callable[[], Awaitable[ClientConnection]],
        tape: Tape,
    ) -> None:
        self.n_resumes = 0
        self.opened: asyncio.Future[SessionStarted] = (
            asyncio.get_running_loop().create_future()
        )
        self._socket = socket  # the newest
        self._dial = dial
        self._tape = tape
        self._last_seq = -1
        self._can_send = asyncio.Event()
        self._can_send.set()
        self._turnstile = asyncio.Lock()  # one message after another
        self._repeating: asyncio.Task[None] | None = None
        # Unbounded: events are small and few, and a caller that sends all its audio
        # before it reads would otherwise wait for the server, and the server for it.
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read(), name="read events")
        self._reader.add_done_callback(self._finish_reading)

    async def start(self, message: events.SessionStart) -> None:
        """Ask for the session; `opened` tells what came of it."""
        with suppress(ConnectionClosed):
            await self._socket.send(events.encode(message))

    async def send(self, message: bytes | str) -> None:
        """Send, or keep for the next socket; waits where there is no room.

        Raises:
            ConnectionLost: If the session is over.
        """
        while self._tape.is_full:
            self._raise_if_over()
            await self._can_send.wait()
        async with self._turnstile:
            self._raise_if_over()
            self._tape.add(message)
            if not self._can_send.is_set():
                return
            try:
                await self._socket.send(message)
            except ConnectionClosed:
                if self._is_resumable:
                    return
                await asyncio.wait([self._reader])  # it knows what the server said last
                self._raise_if_over()

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over everything the server sends, until `session.ended`.

        Raises:
            ConnectionLost: If the session breaks off before.
        """
        while (arrival := await self._arrivals.get()) is not None:
            yield arrival
        self._arrivals.put_nowait(None)  # whoever asks again gets the same answer
        self._raise_loss()

    async def close(self) -> None:
        """Leave; nothing more is sent or read."""
        self.opened.cancel()
        try:
            await self._socket.close()  # the reader clears the way for the answer
        finally:
            self._reader.cancel()
            if self._repeating is not None:
                self._repeating.cancel()

    # --- reading --------------------------------------------------------------

    async def _read(self) -> None:
        """Queue what comes until the session ends.

        Raises:
            ConnectionLost: Unless it ended as it should.
        """
        while (drop := await self._listen()) is not None:
            self._can_send.clear()
            self._tape.hold()
            if self._repeating is not None:
                self._repeating.cancel()
            await self._come_back(drop)

    async def _listen(self) -> ConnectionLost | None:
        """Queue what comes until the socket closes.

        Returns:
            None once the session has ended, else why there must be another socket.

        Raises:
            ConnectionLost: If there cannot be one.
        """
        failure: events.Failure | None = None
        ended = False
        with suppress(ConnectionClosed):
            while True:
                text = await self._socket.recv()
                if isinstance(text, bytes):
                    continue  # no server of this version sends any
                event = self._take(text)
                if isinstance(event, events.Failure):
                    # Before the session is open even a recoverable one is a refusal:
                    # the one message that could be wrong is `session.start`.
                    if not event.recoverable or not self.opened.done():
                        failure = event
                    if event.recoverable and not self.opened.done():
                        break
                ended = ended or isinstance(event, events.SessionEnded)
        close_code = self._socket.close_code
        if ended and close_code in (1000, 1006):  # no answer to the closing is no loss
            return None
        loss = explain_close(failure, close_code, self._socket.close_reason)
        is_final = failure is not None or ended or close_code in FINAL_CODES
        if is_final or not self._is_resumable:
            raise loss
        return loss

    def _take(self, text: str) -> ServerMessage | None:
        """Queue a message that was not there before, and note what it tells."""
        received_s = time.monotonic()
        event = parse(text)
        assert not isinstance(event, events.SessionResumed)
        seq = (event or msgspec.json.decode(text, type=Numbered)).seq
        if 0 <= seq <= self._last_seq:
            return None
        self._last_seq = max(self._last_seq, seq)
        if event is not None:
            self._tape.confirm(event.time_ms)
        if isinstance(event, SessionStarted) and not self.opened.done():
            self.opened.set_result(event)
        self._arrivals.put_nowait(Arrival(text, event, received_s))
        return event

    # --- coming back ----------------------------------------------------------

    @property
    def _is_resumable(self) -> bool:
        is_open = self.opened.done() and not self.opened.cancelled()
        return is_open and self.opened.result().resume_token is not None

    async def _come_back(self, drop: ConnectionLost) -> None:
        """Go on with the session on a new socket.

        Raises:
            ConnectionLost: If the server does not let us, or not within its window.
        """
        window_s = self.opened.result().limits.resume_window_s
        try:
            async with asyncio.timeout(window_s):
                for delay_s in delays():
                    await asyncio.sleep(delay_s)
                    try:
                        await self._resume()
                    except (ConnectionFailed, ConnectionClosed):
                        continue
                    return
        except TimeoutError:
            raise ConnectionLost(
                "gave_up", f"{drop}; no way back within {window_s:g} s", drop.close_code
            ) from drop

    async def _resume(self) -> None:
        """Try once.

        Raises:
            ConnectionFailed: If there is no server.
            ConnectionClosed: If the new socket breaks, too.
            ConnectionLost: If the session cannot go on.
        """
        started = self.opened.result()
        assert started.resume_token is not None
        socket = await self._dial()
        try:
            resume = events.SessionResume(
                session_id=started.session_id,
                resume_token=started.resume_token,
                last_seq=self._last_seq,
            )
            await socket.send(events.encode(resume))
            text = await socket.recv()
            answer = parse(text) if isinstance(text, str) else None
            if isinstance(answer, events.Failure):
                raise ConnectionLost(answer.code, answer.message)
            if not isinstance(answer, events.SessionResumed):
                raise ConnectionLost(
                    "not_stream_erc", f"expected session.resumed, got {text[:100]!r}"
                )
            had = answer.samples_received, answer.client_messages_received
            self._tape.after(*had)  # or this is the end
        except BaseException:
            socket.transport.abort()
            raise
        self._socket = socket
        self.n_resumes += 1
        self._repeating = asyncio.create_task(self._repeat(socket, *had), name="repeat")

    async def _repeat(
        self, socket: ClientConnection, n_samples: int, n_texts: int
    ) -> None:
        """Send what the server lacks, then let others send again."""
        async with self._turnstile:
            with suppress(ConnectionClosed):  # the reader sees to it
                for message in self._tape.after(n_samples, n_texts):
                    await socket.send(message)
                self._tape.release()
                self._can_send.set()

    # --- the end --------------------------------------------------------------

    def _raise_if_over(self) -> None:
        if self._reader.done():
            self._raise_loss()
            raise ConnectionLost(
                "ended", "the session has ended; nothing more can be sent", 1000
            )

    def _raise_loss(self) -> None:
        """Raise what ended the reading, unless that was `session.ended` or `close`."""
        if not self._reader.cancelled():
            self._reader.result()

    def _finish_reading(self, reader: asyncio.Task[None]) -> None:
        """Let those who wait know that nothing more will come."""
        self._arrivals.put_nowait(None)
        self._can_send.set()
        if not reader.cancelled():
            error = reader.exception()
            if error is not None and not self.opened.done():
                self.opened.set_exception(error)


def delays() -> Iterator[float]:
    """Give how long to wait before each attempt: longer and longer, at random.

    Clients that lost their server together must not come back together.
    """
    limit_s = FIRST_DELAY_S
    while True:
        yield random.uniform(0, limit_s)
        limit_s = min(2 * limit_s, MAX_DELAY_S)


def parse(text: str) -> ServerMessage | None:
    """Read a message; None for a type that this version does not know.

    Raises:
        ConnectionLost: If it is not of the protocol.
    """
    try:
        return events.parse_server(text)
    except msgspec.MsgspecError as error:
        raise ConnectionLost(
            "not_stream_erc",
            f"the server sent what is not {events.SUBPROTOCOL}: {error}",
        ) from error


def explain_close(
    failure: events.Failure | None, close_code: int | None, reason: str | None
) -> ConnectionLost:
    """Make the error for a session that did not end as it should."""
    if failure is not None:
        return ConnectionLost(failure.code, failure.message, close_code)
    if close_code == 1001:
        return ConnectionLost("closed", "the server shut down", close_code)
    told = f": {reason}" if reason else ""
    return ConnectionLost(
        "closed",
        f"the connection closed before session.ended (code {close_code}{told})",
        close_code,
    )
