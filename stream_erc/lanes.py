"""Many sessions' requests, in two lanes, in front of a few threads with the models."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

from .engine import Lane, Request, Result
from .machine import give_way
from .rescue import Answer

log = logging.getLogger(__name__)

Rescue = Callable[[Any], Any]


@dataclass(frozen=True, slots=True)
class Waiting:
    """A request in its lane, since when, and who waits for it."""

    request: Request
    future: Future[Result]
    since_s: float


class Lanes:
    """Requests that wait for one kind of model.

    Finals come first, in the order in which they came. Of a session's partials only
    the newest waits; the sessions take turns.
    """

    def __init__(self) -> None:
        self._finals: deque[Waiting] = deque()
        self._partials: dict[str, Waiting] = {}  # oldest session first

    def put(self, waiting: Waiting) -> None:
        """Queue a request; an older partial of its session is cancelled."""
        origin = waiting.request.origin
        if origin.lane is Lane.FINAL:
            self._finals.append(waiting)
            return
        superseded = self._partials.get(origin.session)
        self._partials[origin.session] = waiting
        if superseded:
            superseded.future.cancel()

    def take(self, n_most: int, with_partials: bool) -> list[Waiting]:
        """Give the next requests, at most `n_most`, which nobody can cancel then."""
        taken: list[Waiting] = []
        while self._finals and len(taken) < n_most:
            waiting = self._finals.popleft()
            if waiting.future.set_running_or_notify_cancel():
                taken.append(waiting)
        while with_partials and self._partials and len(taken) < n_most:
            waiting = self._partials.pop(next(iter(self._partials)))
            deadline_s = waiting.request.origin.deadline_s
            if deadline_s is not None and time.monotonic() > deadline_s:
                waiting.future.cancel()
            elif waiting.future.set_running_or_notify_cancel():
                taken.append(waiting)
        return taken

    def cancel(self, session: str) -> None:
        """Cancel all that a session waits for."""
        for waiting in [*self._finals, *self._partials.values()]:
            if waiting.request.origin.session == session:
                waiting.future.cancel()
        self._partials.pop(session, None)
        self._finals = deque(w for w in self._finals if not w.future.cancelled())

    @property
    def oldest_final_s(self) -> float | None:
        """Since when the first of the finals waits."""
        return self._finals[0].since_s if self._finals else None

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._finals) + len(self._partials)


@dataclass(slots=True, eq=False)
class Worker:
    """One thread of a desk, and what it works on.

    Attributes:
        place: Among the desk's; the first of several takes finals alone.
        batch: In the model's hands; empty between calls.
        since_s: When that call began.
        is_given_up: Taken for stuck: what it still brings is thrown away.
        thread: Itself; None before it is hired.
    """

    place: int
    batch: Sequence[Waiting] = ()
    since_s: float = 0.0
    is_given_up: bool = False
    thread: threading.Thread | None = None


class Desk:
    """Threads that answer one kind of request out of its lanes.

    A batch that fails is tried again one by one: one must not spoil the others. A final
    that fails alone is rescued, a partial's future fails.

    Args:
        name: Of the threads.
        answer: Gives the results of a batch, in order.
        rescue: Gives what is left of a request where that failed.
        n_threads: How many. All but one of several take partials, so that a final
            never waits for a partial to end.
        max_batch: Most requests answered in one call.
        max_stuck: With so many threads given up nothing is asked of the model.
    """

    def __init__(
        self,
        name: str,
        answer: Answer,
        rescue: Rescue,
        *,
        n_threads: int,
        max_batch: int,
        max_stuck: int,
    ) -> None:
        self.name = name
        self._answer = answer
        self._rescue = rescue
        self._n_threads = n_threads
        self._max_batch = max_batch
        self._max_stuck = max_stuck
        self._lanes = Lanes()
        self._again: deque[Waiting] = deque()  # one by one: they failed together
        self._changed = threading.Condition()
        self._is_open = True
        self._workers: list[Worker] = []
        self._stuck: list[Worker] = []  # given up, and still in the model
        for place in range(n_threads):
            self._hire(place)

    @property
    def is_stuck(self) -> bool:
        """Whether so many threads hang in the model that it is left alone."""
        return len(self._stuck) >= self._max_stuck

    def put(self, request: Request) -> Future[Result]:
        """Queue a request."""
        future: Future[Result] = Future()
        with self._changed:
            self._lanes.put(Waiting(request, future, time.perf_counter()))
            self._changed.notify_all()
        return future

    def cancel(self, session: str) -> None:
        """Cancel all that a session waits for."""
        with self._changed:
            self._lanes.cancel(session)

    def waiting(self) -> int:
        """How many requests wait."""
        with self._changed:
            return len(self._lanes) + len(self._again)

    @property
    def delay_s(self) -> float:
        """How long the final that comes next has waited."""
        with self._changed:
            since_s = self._lanes.oldest_final_s
        return time.perf_counter() - since_s if since_s else 0.0

    def relieve(self, hang_s: float) -> int:
        """Give up the threads whose call takes longer; others take their places.

        Returns:
            How many were given up.
        """
        latest_s = time.perf_counter() - hang_s
        given_up: list[Sequence[Waiting]] = []
        with self._changed:
            for worker in list(self._workers):
                if worker.batch and worker.since_s < latest_s:
                    given_up.append(worker.batch)
                    worker.is_given_up = True
                    self._workers.remove(worker)
                    self._stuck.append(worker)
                    self._hire(worker.place)
        for batch in given_up:
            log.error("%s: a thread is stuck; another takes its place", self.name)
            late = TimeoutError(f"{self.name}: expected an answer within {hang_s:g} s")
            self._fail(batch, late)
        if given_up and self.is_stuck:
            log.error("%s: too many threads are stuck; restart the server", self.name)
        return len(given_up)

    def close(self) -> None:
        """Let the threads end once nothing waits; waits for those that are stuck."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
            workers = self._workers + self._stuck
        for worker in workers:
            assert worker.thread is not None
            worker.thread.join()

    def _hire(self, place: int) -> None:
        worker = Worker(place)
        self._workers.append(worker)
        worker.thread = threading.Thread(
            target=self._work, args=(worker,), name=f"{self.name}-{place}", daemon=True
        )
        worker.thread.start()

    def _work(self, worker: Worker) -> None:
        give_way()
        while batch := self._next(worker):
            try:
                results = self._ask(batch)
            except BaseException as error:  # the session that waits must hear of it
                if self._is_in_time(worker):
                    self._fail(batch, error)
            else:
                if self._is_in_time(worker):
                    for waiting, result in zip(batch, results, strict=True):
                        settle(waiting, result, worker.since_s)

    def _ask(self, batch: Sequence[Waiting]) -> Sequence[Any]:
        if self.is_stuck:
            raise RuntimeError(f"{self.name}: the model is left alone, it is stuck")
        return self._answer([waiting.request for waiting in batch])

    def _is_in_time(self, worker: Worker) -> bool:
        """Take note of the end of a call; tell whether somebody still waits for it."""
        with self._changed:
            worker.batch = ()
            if worker.is_given_up:
                self._stuck.remove(worker)
            return not worker.is_given_up

    def _fail(self, batch: Sequence[Waiting], error: BaseException) -> None:
        if len(batch) > 1:
            with self._changed:
                self._again.extend(batch)
                self._changed.notify_all()
            return
        [waiting] = batch
        log.error("%s failed", self.name, exc_info=error)
        if waiting.request.origin.lane is Lane.PARTIAL:
            waiting.future.set_exception(error)
            return
        started_s = time.perf_counter()
        try:
            settle(waiting, self._rescue(waiting.request), started_s)
        except Exception as bug:
            waiting.future.set_exception(bug)

    def _next(self, worker: Worker) -> list[Waiting]:
        """Wait for the next batch; empty once the desk has closed, or given it up."""
        is_finals_only = worker.place == 0 and self._n_threads > 1
        with self._changed:
            while True:
                if worker.is_given_up:
                    return []
                if self._again:
                    batch = [self._again.popleft()]
                else:
                    batch = self._lanes.take(self._max_batch, not is_finals_only)
                if batch or not self._is_open:
                    worker.batch, worker.since_s = batch, time.perf_counter()
                    return batch
                self._changed.wait()


def settle(waiting: Waiting, result: Any, started_s: float) -> None:
    """Hand a result to who waits for it, with how long that took."""
    waiting.future.set_result(
        replace(
            result,
            queue_s=started_s - waiting.since_s,
            compute_s=time.perf_counter() - started_s,
        )
    )
