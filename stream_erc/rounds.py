"""Work of many sessions -> few trips to a thread.

A trip costs more than hearing 20 ms of audio: the loop wakes the thread, the thread the
loop, and each waits for the interpreter's lock. So what the sessions have to do is
gathered for a moment and taken over together.

A thread whose model hangs is left to itself, as at a desk of the engine: another takes
its place, and does the rest of the round without an answer.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Generic, Protocol, TypeVar

from .cluster import EngineConfig
from .engines import LOOKS

log = logging.getLogger(__name__)

W = TypeVar("W")
T = TypeVar("T")

GATHER_S = 0.010
"""A third of a frame of the voice detector: nobody waits long, many come together."""

TOGETHER = 8
"""Works of one trip; all wait for the longest."""

Outcome = tuple[Any, BaseException | None]
"""What came of some work, or why nothing did."""


class Round(Protocol):
    """The works of one trip."""

    def ask(self) -> Any:
        """Ask the model; leaves everything as it is, as it may be given up."""

    def finish(self, answer: Outcome) -> Sequence[Outcome]:
        """Do the rest, with what `ask` gave or without; give what came of each work."""


@dataclass(slots=True, eq=False)
class Trip(Generic[W, T]):
    """A round on its way.

    Attributes:
        loop: Where it is waited for.
        works: What was gathered.
        waiting: Who waits for what comes of each.
        round: What is made of them; None until a thread has set out.
        since_s: Since when the model is asked; None: it is not.
        is_given_up: Whether it was asked for too long.
    """

    loop: asyncio.AbstractEventLoop
    works: Sequence[W]
    waiting: Sequence[asyncio.Future[T]]
    round: Round | None = None
    since_s: float | None = None
    is_given_up: bool = False


class Rounds(Generic[W, T]):
    """Threads that work in rounds; its methods are called in the event loop.

    Args:
        open_round: Makes a round of what has been gathered.
        n_threads: How many rounds at once.
        name: Of the threads.
        config: When a model is taken for stuck.
        on_restart: Told the name whenever a stuck thread is replaced.
    """

    def __init__(
        self,
        open_round: Callable[[Sequence[W]], Round],
        n_threads: int,
        name: str,
        config: EngineConfig,
        on_restart: Callable[[str], None],
    ) -> None:
        self._open_round = open_round
        self._n_threads = n_threads
        self._name = name
        self._config = config
        self._on_restart = on_restart
        self._next: list[tuple[W, asyncio.Future[T]]] = []
        self._trips: SimpleQueue[Trip[W, T] | None] = SimpleQueue()
        self._under_way: set[Trip[W, T]] = set()
        self._is_watched = False
        self._threads: list[threading.Thread] = []
        self._n_stuck = 0
        self._lock = threading.Lock()  # of the count, and of who gives up whom
        for _ in range(n_threads):
            self._hire()

    @property
    def is_stuck(self) -> bool:
        """Whether so many threads hang in the model that it is left alone."""
        return self._n_stuck >= self._config.max_stuck

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

    def relieve(self, hang_s: float) -> int:
        """Give up the threads whose call takes longer; others take their places.

        Returns:
            How many were given up.
        """
        latest_s = time.perf_counter() - hang_s
        with self._lock:
            late = [
                trip
                for trip in self._under_way
                if trip.since_s is not None and trip.since_s < latest_s
            ]
            for trip in late:
                trip.since_s, trip.is_given_up = None, True
            self._n_stuck += len(late)
        for trip in late:
            log.error("%s: a thread is stuck; another takes its place", self._name)
            self._on_restart(self._name)
            self._hire()
            self._send(trip)
        if late and self.is_stuck:
            log.error("%s: too many threads are stuck; restart the server", self._name)
        return len(late)

    def shutdown(self) -> None:
        """Let the threads end; blocks until they have, also those that are stuck."""
        for _ in range(self._n_threads):
            self._trips.put(None)
        for thread in self._threads:
            thread.join()

    # --- in the event loop ------------------------------------------------------

    def _set_out(self, loop: asyncio.AbstractEventLoop) -> None:
        gathered, self._next = self._next, []
        for first in range(0, len(gathered), TOGETHER):
            share = gathered[first : first + TOGETHER]
            works, waiting = zip(*share, strict=True)
            self._send(Trip(loop, works, waiting))
        if not self._is_watched:
            self._watch(loop)

    def _send(self, trip: Trip[W, T]) -> None:
        self._under_way.add(trip)
        self._trips.put(trip)

    def _watch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Look whether a model hangs, again and again while anything is under way."""
        self.relieve(self._config.hang_s)
        self._is_watched = bool(self._under_way)
        if self._is_watched:
            loop.call_later(self._config.hang_s / LOOKS, self._watch, loop)

    def _come_back(self, trip: Trip[W, T], outcomes: Sequence[Outcome]) -> None:
        self._under_way.discard(trip)
        hand_out(trip.waiting, outcomes)

    # --- in the threads ---------------------------------------------------------

    def _hire(self) -> None:
        name = f"{self._name}-{len(self._threads)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        while (trip := self._trips.get()) is not None:
            if not self._travel(trip):
                return

    def _travel(self, trip: Trip[W, T]) -> bool:
        """Go on a trip; tell whether this thread still has its place after it."""
        outcomes, bug = attempt(self._go, trip)
        if bug is not None:
            outcomes = [(None, bug)] * len(trip.waiting)
        if outcomes is None:
            return False
        if not trip.loop.is_closed():
            trip.loop.call_soon_threadsafe(self._come_back, trip, outcomes)
        return True

    def _go(self, trip: Trip[W, T]) -> Sequence[Outcome] | None:
        """Do a round, or the rest of one; None where it was given up meanwhile."""
        if trip.is_given_up:
            assert trip.round is not None
            expected = f"an answer within {self._config.hang_s:g} s"
            late = TimeoutError(f"{self._name}: expected {expected}")
            return trip.round.finish((None, late))
        trip.round = self._open_round(trip.works)
        if self.is_stuck:
            alone = RuntimeError(f"{self._name}: the model is left alone, it is stuck")
            return trip.round.finish((None, alone))
        trip.since_s = time.perf_counter()
        answer = attempt(trip.round.ask)
        with self._lock:
            trip.since_s = None
            if trip.is_given_up:
                self._n_stuck -= 1
                return None
        return trip.round.finish(answer)


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
