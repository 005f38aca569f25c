"""Sessions in simulated time: a measured demand -> how long the finals took.

A site is where sessions are served: one machine on which everything runs, as
`stream-erc serve` has it, or gateways in front of pools of nodes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import simpy

from benchmarks.demand import Ask, Demand, Spoken
from benchmarks.queueing import Desk, Job, Machine
from stream_erc.engines import MAX_BATCH
from stream_erc.partials import LIFE_S


class Pool:
    """Desks of one kind; a job goes to the shorter queue of two drawn ones.

    Args:
        desks: At least one.
        draw: Draws them.
        hop_ms: To them and back.
    """

    def __init__(
        self,
        env: simpy.Environment,
        desks: Sequence[Desk],
        draw: np.random.Generator,
        hop_ms: float = 0.0,
    ) -> None:
        self._env = env
        self._desks = desks
        self._draw = draw
        self._hop_ms = hop_ms

    def ask(self, job: Job) -> Desk:
        """Queue a job; give the desk that has it."""
        desk = self._desks[0]
        if len(self._desks) > 1:
            first, second = self._draw.integers(len(self._desks), size=2)
            desk = min(self._desks[first], self._desks[second], key=lambda d: d.load)
        desk.put(job)
        return desk

    def hop(self) -> simpy.Event:
        """Wait for the network, there and back."""
        return self._env.timeout(self._hop_ms)


@dataclass(frozen=True, slots=True)
class Site:
    """Where sessions are served.

    Attributes:
        env: The simulation.
        hearing: Answers with words and voice.
        judging: Answers with emotions.
    """

    env: simpy.Environment
    hearing: Pool
    judging: Pool


def one_machine(demand: Demand, n_sessions: int) -> Site:
    """Build the machine that was measured, its clients on it, too."""
    env = simpy.Environment()
    draw = np.random.default_rng(0)
    background = n_sessions * (demand.idle_cores + demand.client_cores)
    machine = Machine(env, demand.speedups, background)
    hearing = Desk(env, machine, demand.hear_threads, 1)
    judging = Desk(env, machine, 1, MAX_BATCH)
    return Site(env, Pool(env, [hearing], draw), Pool(env, [judging], draw))


@dataclass(frozen=True, slots=True)
class Cluster:
    """How many nodes there are behind the gateways, like the machine measured.

    Attributes:
        n_hearing: Nodes with a recognizer.
        n_judging: Nodes with the emotion model.
        threads: Of a hearing node.
        hop_ms: From a gateway to a node and back.
        speed: Of a hearing node, in that of the machine measured.
    """

    n_hearing: int
    n_judging: int
    threads: int
    hop_ms: float
    speed: float

    def build(self, demand: Demand, seed: int) -> Site:
        """Set the nodes up."""
        env = simpy.Environment()
        draw = np.random.default_rng(seed)
        hearing, judging = [], []
        hearing_speedups = [self.speed * done for done in demand.speedups]
        for _ in range(self.n_hearing):
            machine = Machine(env, hearing_speedups)
            hearing.append(Desk(env, machine, self.threads, 1))
        for _ in range(self.n_judging):
            machine = Machine(env, demand.speedups)
            judging.append(Desk(env, machine, 1, MAX_BATCH))
        return Site(
            env,
            Pool(env, hearing, draw, self.hop_ms),
            Pool(env, judging, draw, self.hop_ms),
        )


@dataclass(slots=True)
class Outcome:
    """What became of the sessions.

    Attributes:
        window_ms: Turns whose voice ends between these count.
        waits_ms: From the end of each turn's voice to its final.
        n_partials: Asked for.
        n_dropped: Of them.
    """

    window_ms: tuple[float, float]
    waits_ms: list[float] = field(default_factory=list)
    n_partials: int = 0
    n_dropped: int = 0

    @property
    def dropped(self) -> float:
        """The share of the partials that were dropped."""
        return self.n_dropped / max(1, self.n_partials)


@dataclass(slots=True)
class Final:
    """A final on its way: the job of hearing, its desk, and the end of it all."""

    job: Job
    desk: Desk
    answered: simpy.Process


class Speaker:
    """One session.

    Args:
        site: Where it is served.
        number: Of the session.
        path_ms: From an endpoint to the client where all is computed already.
        outcome: Where its waits go.
    """

    def __init__(
        self, site: Site, number: int, path_ms: float, outcome: Outcome
    ) -> None:
        self._site = site
        self._env = site.env
        self._number = number
        self._path_ms = path_ms
        self._outcome = outcome

    def speak(
        self, turns: Iterator[Spoken], start_ms: float
    ) -> simpy.events.ProcessGenerator:
        """Go through its turns, from `start_ms` on, until the window closes."""
        for turn in turns:
            latest: Final | None = None
            for at_ms, step in steps(turn):
                yield self._env.timeout(max(0.0, start_ms + at_ms - self._env.now))
                if isinstance(step, Ask) and step.is_final:
                    latest = self._ask_final(step)
                elif isinstance(step, Ask):
                    self._env.process(self._ask_partial(step))
                elif step == "resumed" and latest:
                    latest.desk.forget(latest.job)
                elif step == "decided" and latest:
                    if self._outcome.window_ms[1] < self._env.now:
                        return
                    if turn.voice_end_ms is not None:
                        voice_end_ms = start_ms + turn.voice_end_ms
                        self._env.process(self._wait(latest, voice_end_ms))

    def _ask_final(self, ask: Ask) -> Final:
        job = Job(self._number, ask.hear_ms, self._env.event())
        desk = self._site.hearing.ask(job)
        return Final(job, desk, self._env.process(self._judge(job, ask)))

    def _judge(self, heard: Job, ask: Ask) -> simpy.events.ProcessGenerator:
        if not (yield heard.done):
            return
        yield self._site.hearing.hop()
        job = Job(
            self._number,
            ask.judge_ms,
            self._env.event(),
            heard.is_final,
            heard.deadline_ms,
        )
        self._site.judging.ask(job)
        yield job.done
        yield self._site.judging.hop()

    def _ask_partial(self, ask: Ask) -> simpy.events.ProcessGenerator:
        deadline_ms = self._env.now + LIFE_S * 1000
        job = Job(self._number, ask.hear_ms, self._env.event(), False, deadline_ms)
        self._site.hearing.ask(job)
        is_answered = yield job.done
        is_counted = self._outcome.window_ms[0] <= self._env.now
        self._outcome.n_partials += is_counted
        self._outcome.n_dropped += is_counted and not is_answered
        if is_answered and ask.judge_ms:
            self._site.judging.ask(
                Job(self._number, ask.judge_ms, self._env.event(), False, deadline_ms)
            )

    def _wait(self, final: Final, voice_end_ms: float) -> simpy.events.ProcessGenerator:
        yield final.answered
        begin_ms, end_ms = self._outcome.window_ms
        if begin_ms <= voice_end_ms <= end_ms:
            waited_ms = self._env.now + self._path_ms - voice_end_ms
            self._outcome.waits_ms.append(waited_ms)


def steps(turn: Spoken) -> list[tuple[float, Ask | str]]:
    """Give all that happens in a turn, in order."""
    happening: list[tuple[float, Ask | str]] = [
        *((ask.at_ms, ask) for ask in turn.asks),
        *((at_ms, "resumed") for at_ms in turn.resumed_ms),
        (turn.decided_ms, "decided"),
    ]
    return sorted(happening, key=lambda one: one[0])


def again_and_again(
    turns: Sequence[Spoken], duration_ms: float, skipped_ms: float
) -> Iterator[Spoken]:
    """Give a session's turns for ever, its clock starting at `skipped_ms`.

    The last turn may end behind `duration_ms`; the next round waits for that.
    """
    shift_ms = -skipped_ms
    round_ms = max([duration_ms, *(turn.decided_ms for turn in turns)])
    while True:
        for turn in turns:
            first_ms = steps(turn)[0][0]
            if first_ms + shift_ms >= 0:
                yield shifted(turn, shift_ms)
        shift_ms += round_ms


def shifted(turn: Spoken, by_ms: float) -> Spoken:
    """Move a turn in time."""
    return Spoken(
        asks=tuple(
            Ask(ask.at_ms + by_ms, ask.hear_ms, ask.judge_ms, ask.is_final)
            for ask in turn.asks
        ),
        resumed_ms=tuple(at_ms + by_ms for at_ms in turn.resumed_ms),
        voice_end_ms=None if turn.voice_end_ms is None else turn.voice_end_ms + by_ms,
        decided_ms=turn.decided_ms + by_ms,
    )


def simulate_crowd(
    demand: Demand, site: Site, n_sessions: int, seconds: float, seed: int
) -> Outcome:
    """Let so many sessions speak, each at another place of one of those measured.

    Args:
        demand: What they ask for.
        site: Not used before.
        n_sessions: How many.
        seconds: To count, after a quarter of that.
        seed: Draws who says what.
    """
    draw = np.random.default_rng(seed)
    horizon_ms = seconds * 1250
    outcome = Outcome((horizon_ms / 5, horizon_ms))
    for number in range(n_sessions):
        turns = demand.sessions[int(draw.integers(len(demand.sessions)))]
        skipped_ms = draw.uniform(0, demand.duration_ms)
        speaker = Speaker(site, number, demand.path_ms, outcome)
        told = again_and_again(turns, demand.duration_ms, skipped_ms)
        site.env.process(speaker.speak(told, 0.0))
    site.env.run(horizon_ms + 60_000)
    return outcome
