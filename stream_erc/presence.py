"""Which socket a session is talked to on, and for how long none may be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from .backlog import Backlog
from .errors import NotAllowed


class Vanished(Exception):
    """The client did not come back; says what ran out, "window" or "backlog"."""


class Moves:
    """Lets those who wait for a change look again whenever there may be one."""

    def __init__(self) -> None:
        self._moved = asyncio.Event()

    def tell(self) -> None:
        """Wake everybody who waits."""
        self._moved.set()

    async def wait(self) -> None:
        """Wait for the next change."""
        self._moved.clear()
        await self._moved.wait()


class Presence:
    """One client's sockets, of which the newest talks.

    Args:
        window_s: How long the client may be without one.
        backlog: What waits for it meanwhile.
        moves: Told of every change.
    """

    def __init__(self, window_s: float, backlog: Backlog, moves: Moves) -> None:
        self._window_s = window_s
        self._backlog = backlog
        self._moves = moves
        self._talking: asyncio.Task[None] | None = None  # on the newest socket
        self._is_confirmed = False  # the client has everything
        self._is_lost = False  # it did not come back in time

    @property
    def is_waiting(self) -> bool:
        """Whether no socket talks."""
        return self._talking is None

    @property
    def is_lost(self) -> bool:
        """Whether the client came too late."""
        return self._is_lost

    def confirm(self) -> None:
        """Note that the client has everything."""
        self._is_confirmed = True
        self._moves.tell()

    async def host(self, talk: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Let a socket talk, in place of the one before it.

        Raises:
            NotAllowed: Once a newer socket has taken its place.
            Exception: Whatever `talk` raises.
        """
        while (older := self._talking) is not None:
            older.cancel()
            await asyncio.wait((older,))
        self._talking = talking = asyncio.create_task(talk(), name="talk")
        talking.add_done_callback(self._let_go)
        self._moves.tell()
        try:
            await asyncio.wait((talking,))
        finally:
            talking.cancel()
        if talking.cancelled():
            raise NotAllowed("resumed_elsewhere", "a newer socket took over")
        talking.result()

    async def wait_for_delivery(self) -> None:
        """Stay until the client has everything.

        Raises:
            Vanished: If it has no socket for too long, or too much waits for it.
        """
        while not self._is_confirmed:
            if self.is_waiting:
                await self._wait_for_socket()
            else:
                await self._moves.wait()

    async def _wait_for_socket(self) -> None:
        try:
            async with asyncio.timeout(self._window_s):
                while self.is_waiting and not self._is_confirmed:
                    if self._backlog.is_overfull:
                        self._is_lost = True
                        raise Vanished("backlog")
                    await self._moves.wait()
        except TimeoutError:
            self._is_lost = True
            raise Vanished("window") from None

    def _let_go(self, _: asyncio.Task[None]) -> None:
        self._talking = None
        self._moves.tell()
