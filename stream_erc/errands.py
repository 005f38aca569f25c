"""Request -> Result -> Action: what one session waits for from the engine."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from functools import partial

from .director import Action, Director
from .engine import Engine, Lane, Origin, Request, Result
from .metrics import Metrics


class Errands:
    """Asks the engine, and lets the director go on with the answers in the event loop.

    Args:
        engine: Shared by all sessions.
        director: Of the session.
        perform: Carries out what the director says.
        metrics: Told of partials that nobody waited for.

    Attributes:
        broken: Fails with a request or a bug; once it is done, no answer counts.
    """

    def __init__(
        self,
        engine: Engine,
        director: Director,
        perform: Callable[[Sequence[Action]], None],
        metrics: Metrics,
    ) -> None:
        self.broken: asyncio.Future[None] = asyncio.Future()
        self._engine = engine
        self._director = director
        self._perform = perform
        self._metrics = metrics
        self._pending: dict[Origin, set[Future[Result]]] = defaultdict(set)

    def submit(self, request: Request) -> None:
        """Ask the engine."""
        loop = asyncio.get_running_loop()
        future = self._engine.submit(request)
        self._pending[request.origin].add(future)

        def hand_over(done: Future[Result]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._settle, request.origin, done)

        future.add_done_callback(hand_over)

    def forget(self, origin: Origin) -> None:
        """Drop what nobody wants any more."""
        for future in list(self._pending.get(origin, ())):
            future.cancel()

    def go_on(self) -> None:
        """Let the director go on, soon: no other session's turn is before its own."""
        asyncio.get_running_loop().call_soon(self._follow, self._director.go_on)

    def _settle(self, origin: Origin, future: Future[Result]) -> None:
        futures = self._pending[origin]
        futures.discard(future)
        if not futures:
            del self._pending[origin]
        is_dropped = future.cancelled()
        error = None if is_dropped else future.exception()
        if origin.lane is Lane.PARTIAL and (is_dropped or error):
            self._metrics.partials_dropped.inc()
            self._follow(partial(self._director.on_dropped, origin))
        elif error:
            self._break(error)
        elif not is_dropped:
            self._follow(partial(self._director.on_result, future.result()))

    def _follow(self, take: Callable[[], Sequence[Action]]) -> None:
        """Do what follows from an answer; a bug there must not go unheard."""
        if self.broken.done():  # the session is over
            return
        try:
            self._perform(take())
        except Exception as error:  # no task waits here that could fail
            self._break(error)

    def _break(self, error: BaseException) -> None:
        if not self.broken.done():
            self.broken.set_exception(error)
