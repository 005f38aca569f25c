"""Request -> Result by a pool on other machines: finals first, and asked again.

Requests bear all that their answers depend on, so whoever is left may answer them. A
final is asked until somebody does, or patience ends; a partial once, while it is worth
something and a replica is known to answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Protocol, runtime_checkable

from .cluster import ClusterConfig
from .context import Context
from .engine import HearRequest, Lane, Request, Result
from .flow import Emotion
from .lanes import Lanes, Rescue, Waiting
from .rescue import hear_voice, judge_nothing

log = logging.getLogger(__name__)

RETRY_S = 0.05
"""Between a lost answer and the next question: the pool must notice who is gone."""

CHECK_S = 1.0
"""Between two questions whether anybody is there."""

CHECK_TIMEOUT_S = 3.0


class Unanswered(Exception):
    """No replica has answered; the message says why, and quotes no request."""


@runtime_checkable
class Pool(Protocol):
    """What answers requests elsewhere.

    Attributes:
        languages: Codes of those that it understands.
        prior: What it says of a turn of which nothing is known.
    """

    languages: tuple[str, ...]
    prior: Emotion

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""

    async def ask(self, desk: str, request: Request, left_s: float | None) -> Result:
        """Ask one replica, which one is left to the pool.

        Args:
            desk: "hear" or "understand".
            request: All that the answer depends on.
            left_s: Until the answer is worthless; None: never.

        Raises:
            Unanswered: If the replica died, or did not answer this one.
        """

    async def check(self) -> None:
        """Ask whether a replica of each kind is there.

        Raises:
            Unanswered: If there is none.
        """

    def close(self) -> None:
        """Leave it; nothing is asked any more."""


class RemoteDesk:
    """Requests of one kind on their way; its methods run in one event loop.

    Args:
        name: "hear" or "understand".
        pool: Answers them.
        rescue: Gives what is left of a final that nobody answered.
        config: How many are under way at once, and for how long.
        on_retry: Told the name whenever a final is asked again.
    """

    def __init__(
        self,
        name: str,
        pool: Pool,
        rescue: Rescue,
        config: ClusterConfig,
        on_retry: Callable[[str], None],
    ) -> None:
        self.name = name
        self.has_pool = True  # set by who asks the pool how it is
        self._pool = pool
        self._rescue = rescue
        self._config = config
        self._on_retry = on_retry
        self._lanes = Lanes()
        self._under_way: dict[asyncio.Task[None], Waiting] = {}

    @property
    def n_waiting(self) -> int:
        """How many requests wait here; from any thread."""
        return len(self._lanes)

    @property
    def delay_s(self) -> float:
        """How long the oldest final waits for its answer; from any thread."""
        since_s = [
            waiting.since_s
            for waiting in list(self._under_way.values())
            if waiting.request.origin.lane is Lane.FINAL
        ]
        return time.perf_counter() - min(since_s) if since_s else 0.0

    def put(self, waiting: Waiting) -> None:
        """Queue a request."""
        self._lanes.put(waiting)
        self._send()

    def cancel(self, session: str) -> None:
        """Drop what a session that is gone still waits for."""
        self._lanes.cancel(session)

    async def finish(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way:
            await asyncio.wait(list(self._under_way))

    def _send(self) -> None:
        """Send what there is room for; partials leave half of it to finals."""
        while len(self._under_way) < self._config.in_flight:
            n_partials = sum(
                waiting.request.origin.lane is Lane.PARTIAL
                for waiting in self._under_way.values()
            )
            batch = self._lanes.take(1, n_partials < self._config.in_flight // 2)
            if not batch:
                return
            [waiting] = batch
            task = asyncio.create_task(self._answer(waiting), name=self.name)
            self._under_way[task] = waiting
            task.add_done_callback(self._go_on)

    def _go_on(self, task: asyncio.Task[None]) -> None:
        del self._under_way[task]
        self._send()

    async def _answer(self, waiting: Waiting) -> None:
        request, started_s = waiting.request, time.perf_counter()
        try:
            if request.origin.lane is Lane.FINAL:
                result = await self._ask_patiently(request)
            else:
                result = await self._ask_in_time(request)
        except (Unanswered, TimeoutError) as error:
            self._give_up(waiting, error)
        except Exception as bug:  # the session that waits must hear of it
            waiting.future.set_exception(bug)
        else:
            queue_s = started_s - waiting.since_s + result.queue_s
            waiting.future.set_result(
                replace(
                    result,
                    origin=request.origin,
                    queue_s=queue_s,
                    compute_s=time.perf_counter() - waiting.since_s - queue_s,
                )
            )

    async def _ask_in_time(self, request: Request) -> Result:
        if not self.has_pool:
            raise Unanswered("no replica answers")
        deadline_s = request.origin.deadline_s
        if deadline_s is None:
            left_s = self._config.attempt_s
        else:
            left_s = deadline_s - time.monotonic()
        async with asyncio.timeout(left_s):
            return await self._pool.ask(self.name, request, left_s)

    async def _ask_patiently(self, request: Request) -> Result:
        attempt_s = self._config.attempt_s
        async with asyncio.timeout(self._config.patience_s):
            while True:
                try:
                    async with asyncio.timeout(attempt_s):
                        return await self._pool.ask(self.name, request, None)
                except (Unanswered, TimeoutError) as error:
                    log.info("%s: a final is asked again: %s", self.name, error)
                self._on_retry(self.name)
                attempt_s *= 2  # where all are merely slow, it must get its turn
                await asyncio.sleep(RETRY_S)

    def _give_up(self, waiting: Waiting, error: Exception) -> None:
        if waiting.request.origin.lane is Lane.PARTIAL:
            waiting.future.set_exception(error)
            return
        log.error("%s: no replica has answered a final", self.name)
        try:
            waiting.future.set_result(self._rescue(waiting.request))
        except Exception as bug:
            waiting.future.set_exception(bug)


class RemoteEngine:
    """A pool behind two desks, hearing and understanding, in a thread of their own.

    Args:
        pool: Answers; closed with the engine.
        config: See `RemoteDesk`.
        on_retry: Likewise.
    """

    def __init__(
        self, pool: Pool, config: ClusterConfig, on_retry: Callable[[str], None]
    ) -> None:
        self._pool = pool
        judge_that = partial(judge_nothing, prior=pool.prior)
        self._hearing = RemoteDesk("hear", pool, hear_voice, config, on_retry)
        self._understanding = RemoteDesk(
            "understand", pool, judge_that, config, on_retry
        )
        self._desks = (self._hearing, self._understanding)
        self._loop = asyncio.new_event_loop()
        self._watching = self._loop.create_task(self._watch(), name="pool")
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="pool", daemon=True
        )
        self._thread.start()

    @property
    def trouble(self) -> str | None:
        """Why finals may have to wait, for `/readyz`; None: nothing is known."""
        has_pool = all(desk.has_pool for desk in self._desks)
        return None if has_pool else "no replica answers"

    @property
    def delay_s(self) -> float:
        """How long the final that waits longest has waited for its answer."""
        return max(desk.delay_s for desk in self._desks)

    def submit(self, request: Request) -> Future[Result]:
        """Queue a request; see `Engine`."""
        is_heard = isinstance(request, HearRequest)
        desk = self._hearing if is_heard else self._understanding
        future: Future[Result] = Future()
        waiting = Waiting(request, future, time.perf_counter())
        self._loop.call_soon_threadsafe(desk.put, waiting)
        return future

    def cancel(self, session: str) -> None:
        """Drop what a session that is gone still waits for."""
        for desk in self._desks:
            self._loop.call_soon_threadsafe(desk.cancel, session)

    def waiting(self) -> dict[str, int]:
        """How many requests wait at each desk."""
        return {desk.name: desk.n_waiting for desk in self._desks}

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._pool.empty_context()

    def close(self) -> None:
        """Finish what is under way, end the thread, and leave the pool."""
        asyncio.run_coroutine_threadsafe(self._finish(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.close()

    async def _finish(self) -> None:
        for desk in self._desks:
            await desk.finish()
        self._watching.cancel()
        with suppress(asyncio.CancelledError):
            await self._watching

    async def _watch(self) -> None:
        """Ask again and again whether somebody answers; tell when that changes."""
        while True:
            try:
                async with asyncio.timeout(CHECK_TIMEOUT_S):
                    await self._pool.check()
            except (Unanswered, TimeoutError) as error:
                if self.trouble is None:
                    log.error("no replica answers: %s", error or "none in time")
                has_pool = False
            else:
                if self.trouble is not None:
                    log.warning("replicas answer again")
                has_pool = True
            for desk in self._desks:
                desk.has_pool = has_pool
            await asyncio.sleep(CHECK_S)
