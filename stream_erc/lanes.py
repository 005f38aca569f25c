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

from .context import Context
from .engine import HearRequest, Lane, Models, Request, Result

log = logging.getLogger(__name__)

MAX_BATCH = 8
"""Turns understood in one call of the network."""

Answer = Callable[[Sequence[Any]], Sequence[Any]]


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

    def __len__(self) -> int:
        """How many requests wait."""
        return len(self._finals) + len(self._partials)


class Desk:
    """Threads that answer one kind of request out of its lanes.

    Args:
        name: Of the threads.
        answer: Gives the results of a batch, in order.
        n_threads: How many. All but one of several take partials, so that a final
            never waits for a partial to end.
        max_batch: Most requests answered in one call.
    """

    def __init__(
        self, name: str, answer: Answer, n_threads: int, max_batch: int
    ) -> None:
        self._answer = answer
        self._max_batch = max_batch
        self._lanes = Lanes()
        self._changed = threading.Condition()
        self._is_open = True
        self._threads = [
            threading.Thread(
                target=self._work,
                args=(n == 0 and n_threads > 1,),
                name=f"{name}-{n}",
                daemon=True,
            )
            for n in range(n_threads)
        ]
        for thread in self._threads:
            thread.start()

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
            return len(self._lanes)

    def close(self) -> None:
        """Let the threads end once nothing waits."""
        with self._changed:
            self._is_open = False
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self, is_finals_only: bool) -> None:
        while batch := self._next(is_finals_only):
            self._settle(batch)

    def _settle(self, batch: Sequence[Waiting]) -> None:
        """Answer a batch; one by one where it fails: one must not spoil the others."""
        started_s = time.perf_counter()
        try:
            results = self._answer([waiting.request for waiting in batch])
        except BaseException as error:  # the session that waits must hear of it
            if len(batch) == 1:
                log.exception("%s failed", threading.current_thread().name)
                batch[0].future.set_exception(error)
                return
            for waiting in batch:
                self._settle([waiting])
            return
        compute_s = time.perf_counter() - started_s
        for waiting, result in zip(batch, results, strict=True):
            queue_s = started_s - waiting.since_s
            waiting.future.set_result(
                replace(result, queue_s=queue_s, compute_s=compute_s)
            )

    def _next(self, is_finals_only: bool) -> list[Waiting]:
        """Wait for the next batch; empty once the desk has closed."""
        with self._changed:
            while True:
                batch = self._lanes.take(self._max_batch, not is_finals_only)
                if batch or not self._is_open:
                    return batch
                self._changed.wait()


class LocalEngine:
    """The models of this process behind two desks: hearing and understanding."""

    def __init__(self, models: Models, hear_threads: int) -> None:
        self._models = models
        self._hearing = Desk("hear", models.hear, hear_threads, max_batch=1)
        self._understanding = Desk(
            "understand", models.understand, 1, max_batch=MAX_BATCH
        )

    def submit(self, request: Request) -> Future[Result]:
        """Queue a request; a superseded partial's future is cancelled."""
        if isinstance(request, HearRequest):
            return self._hearing.put(request)
        return self._understanding.put(request)

    def cancel(self, session: str) -> None:
        """Drop what a session that is gone still waits for."""
        self._hearing.cancel(session)
        self._understanding.cancel(session)

    def waiting(self) -> dict[str, int]:
        """How many requests wait at each desk."""
        return {
            "hear": self._hearing.waiting(),
            "understand": self._understanding.waiting(),
        }

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._models.empty_context()

    def close(self) -> None:
        """Finish what waits and end the threads."""
        self._hearing.close()
        self._understanding.close()


class InlineEngine:
    """Answers at once, in the caller's thread: for files, tests and benchmarks."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def submit(self, request: Request) -> Future[Result]:
        """Answer a request; the future is done."""
        future: Future[Result] = Future()
        if isinstance(request, HearRequest):
            future.set_result(self._models.hear([request])[0])
        else:
            future.set_result(self._models.understand([request])[0])
        return future

    def cancel(self, session: str) -> None:
        """Nothing ever waits."""

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._models.empty_context()
