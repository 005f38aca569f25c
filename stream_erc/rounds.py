"""Work of many sessions -> few trips to a thread.

A trip costs more than hearing 20 ms of audio: the loop wakes the thread, the thread the
loop, and each waits for the interpreter's lock. So what the sessions have to do is
gathered for a moment and taken over together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Generic, TypeVar

W = TypeVar("W")
T = TypeVar("T")

GATHER_S = 0.010
"""A third of a frame of the voice detector: nobody waits long, many come together."""

TOGETHER = 8
"""Works of one trip; all wait for the longest."""

Outcome = tuple[Any, BaseException | None]
"""What came of some work, or why nothing did."""


class Rounds(Generic[W, T]):
    """Threads that work in rounds.

    Args:
        do_all: Does what has been gathered; gives what came of each.
        threads: How many rounds at once.
        name: Of the threads.
    """

    def __init__(
        self,
        do_all: Callable[[Sequence[W]], Sequence[Outcome]],
        threads: int,
        name: str,
    ) -> None:
        self._do_all = do_all
        self._threads = ThreadPoolExecutor(threads, name)
        self._next: list[tuple[W, asyncio.Future[T]]] = []

    async def run(self, work: W, *, at_once: bool = False) -> T:
        """Do this in a thread, and give or raise what came of it.

        Args:
            work: Done in the next round.
            at_once: The round sets out now, with what has been gathered.
        """
        loop = asyncio.get_running_loop()
        if not (self._next or at_once):
            loop.call_later(GATHER_S, self._set_out, loop)
        outcome: asyncio.Future[T] = loop.create_future()
        self._next.append((work, outcome))
        if at_once:
            self._set_out(loop)
        return await outcome

    def shutdown(self) -> None:
        """Let the threads end; blocks until they have."""
        self._threads.shutdown()

    def _set_out(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered, self._next = self._next, []
        for first in range(0, len(gathered), TOGETHER):
            share = gathered[first : first + TOGETHER]
            trip = self._threads.submit(self._do_all, [work for work, _ in share])
            waiting = [outcome for _, outcome in share]
            trip.add_done_callback(partial(self._come_back, loop, waiting))

    def _come_back(
        self,
        loop: asyncio.AbstractEventLoop,
        waiting: Sequence[asyncio.Future[T]],
        trip: Future[Sequence[Outcome]],
    ) -> None:
        bug = trip.exception()
        outcomes = [(None, bug)] * len(waiting) if bug else trip.result()
        if not loop.is_closed():
            loop.call_soon_threadsafe(hand_out, waiting, outcomes)


def attempt(work: Callable[..., Any], *arguments: Any) -> Outcome:
    """Do something; whoever waits for it hears of an error."""
    try:
        return work(*arguments), None
    except BaseException as error:
        return None, error


def hand_out(waiting: Sequence[asyncio.Future[T]], outcomes: Sequence[Outcome]) -> None:
    """Tell everybody what came of his work."""
    for future, (result, error) in zip(waiting, outcomes, strict=True):
        if future.cancelled():
            continue
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)
