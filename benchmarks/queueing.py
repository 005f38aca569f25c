"""Machines, threads and lanes in simulated time: what waits for what, and how long.

The same order as `stream_erc.lanes`: finals first, in the order in which they came; of
a session's partials only the newest waits, until its deadline; of several threads the
first takes finals alone. All times are milliseconds of simulated time.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import simpy


@dataclass(slots=True, eq=False)
class Job:
    """A request on its way through a desk.

    Attributes:
        session: Whose.
        work_ms: What it takes one thread alone.
        done: Succeeds with True once it is answered, with False if it is dropped.
        is_final: False for a partial.
        deadline_ms: A partial that has not begun by then is dropped.
        is_begun: Whether a thread has it.
    """

    session: int
    work_ms: float
    done: simpy.Event
    is_final: bool = True
    deadline_ms: float = 0.0
    is_begun: bool = False


def interpolate(speedups: Sequence[float], n_busy: float) -> float:
    """Give the work that so many busy threads get done; beyond the last no more."""
    points = (0.0, *speedups)
    whole = min(int(n_busy), len(points) - 1)
    if whole == len(points) - 1:
        return points[-1]
    return points[whole] + (points[whole + 1] - points[whole]) * (n_busy - whole)


class Machine:
    """Cores that busy threads share evenly.

    Args:
        env: The simulation.
        speedups: Work that 1, 2, … busy threads get done, in that of one alone.
        background_cores: Busy all the time; goes before the threads.
    """

    def __init__(
        self,
        env: simpy.Environment,
        speedups: Sequence[float],
        background_cores: float = 0.0,
    ) -> None:
        self._env = env
        self._speedups = speedups
        self._background = min(background_cores, 0.95 * len(speedups))
        self._served = 0.0  # work that each busy thread has got done since the start
        self._since_ms = 0.0
        self._running: list[tuple[float, int, simpy.Event]] = []  # due, by `_served`
        self._order = count()
        self._alarm = 0  # tells the last alarm from older ones

    def work(self, work_ms: float) -> simpy.Event:
        """Give an event that succeeds once a thread has done this."""
        self._advance()
        done = self._env.event()
        heapq.heappush(self._running, (self._served + work_ms, next(self._order), done))
        self._set_alarm()
        return done

    def _rate(self) -> float:
        """Tell how fast each of the busy threads is."""
        n_busy = len(self._running)
        n_cores, total = len(self._speedups), n_busy + self._background
        if total <= n_cores:
            return interpolate(self._speedups, total) / total
        left = self._speedups[-1] * (1 - self._background / n_cores)
        return left / n_busy

    def _advance(self) -> None:
        elapsed_ms = self._env.now - self._since_ms
        self._since_ms = self._env.now
        if self._running:
            self._served += elapsed_ms * self._rate()

    def _set_alarm(self) -> None:
        self._alarm += 1
        if not self._running:
            return
        number = self._alarm
        left_ms = max(0.0, self._running[0][0] - self._served)
        alarm = self._env.timeout(left_ms / self._rate())
        alarm.callbacks.append(lambda _: self._finish(number))

    def _finish(self, alarm: int) -> None:
        if alarm != self._alarm:
            return
        self._advance()
        _, _, done = heapq.heappop(self._running)
        done.succeed()
        self._set_alarm()


class Desk:
    """Threads on a machine that answer jobs out of two lanes.

    Args:
        env: The simulation.
        machine: Where the threads are.
        n_threads: How many; the first of several takes finals alone.
        max_batch: Most jobs answered in one call, which takes as long as one by one.
    """

    def __init__(
        self,
        env: simpy.Environment,
        machine: Machine,
        n_threads: int,
        max_batch: int,
    ) -> None:
        self._env = env
        self._machine = machine
        self._max_batch = max_batch
        self._finals: deque[Job] = deque()
        self._partials: dict[int, Job] = {}  # oldest session first
        self._idle: list[tuple[bool, simpy.Event]] = []
        self.n_busy = 0
        for place in range(n_threads):
            env.process(self._work(place == 0 and n_threads > 1))

    @property
    def load(self) -> int:
        """How many finals wait or are being answered; partials give way."""
        return len(self._finals) + self.n_busy

    def put(self, job: Job) -> None:
        """Queue a job; an older partial of its session is dropped."""
        if job.is_final:
            self._finals.append(job)
        else:
            if superseded := self._partials.get(job.session):
                superseded.done.succeed(False)
            self._partials[job.session] = job
        for idle in self._idle:
            is_finals_only, wake = idle
            if job.is_final or not is_finals_only:
                self._idle.remove(idle)
                wake.succeed()
                return

    def forget(self, job: Job) -> None:
        """Drop a final that nobody wants any more, unless a thread has it."""
        if not job.is_begun:
            self._finals.remove(job)
            job.is_begun = True
            job.done.succeed(False)

    def _work(self, is_finals_only: bool) -> simpy.events.ProcessGenerator:
        while True:
            batch = self._take(is_finals_only)
            if not batch:
                wake = self._env.event()
                self._idle.append((is_finals_only, wake))
                yield wake
                continue
            self.n_busy += 1
            yield self._machine.work(sum(job.work_ms for job in batch))
            self.n_busy -= 1
            for job in batch:
                job.done.succeed(True)

    def _take(self, is_finals_only: bool) -> list[Job]:
        taken: list[Job] = []
        while self._finals and len(taken) < self._max_batch:
            taken.append(self._finals.popleft())
        while not is_finals_only and self._partials and len(taken) < self._max_batch:
            job = self._partials.pop(next(iter(self._partials)))
            if job.deadline_ms < self._env.now:
                job.done.succeed(False)
            else:
                taken.append(job)
        for job in taken:
            job.is_begun = True
        return taken
