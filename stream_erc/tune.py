"""This machine -> threads and workers of the recognizer, by trying them out.

The recognizer takes nearly all of the time, so only it is tried: as many turns at once
as it has workers, as on a server that is full, and one alone. What is heard is made up,
for the weights bring no speech with them; it costs about as much as speech does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from .asr import Whisper
from .config import AsrConfig
from .flow import SAMPLE_RATE_HZ, Samples
from .machine import give_way

LENGTHS_S = (1, 4, 8)
"""Of the turns: one of each for each encoder context but the longest."""

ALIKE = 0.05
"""Candidates whose throughput is within this share of the best count as its equals."""

Hear = Callable[[Samples], object]
OpenHear = Callable[[AsrConfig], Hear]
"""Loads a recognizer with these settings; its answer is not looked at."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One way to share out the cores, and what it gave.

    Attributes:
        threads: For one turn.
        workers: Turns at once.
        turns_per_s: Heard with all workers busy.
        alone_ms: A turn with nothing beside it, mean of all lengths.
    """

    threads: int
    workers: int
    turns_per_s: float
    alone_ms: float

    @property
    def settings(self) -> dict[str, int]:
        """What the settings file has of it, in [asr]."""
        return {"threads": self.threads, "workers": self.workers}


def list_candidates(cores: float) -> list[tuple[int, int]]:
    """Give (threads, workers) worth trying: the cores just filled, and one too many.

    Two workers at least, since one of several is kept free for finals.
    """
    whole = max(1, int(cores))
    threads = [2**power for power in range(whole.bit_length()) if 2**power <= whole]
    fitting = [(one, max(2, whole // one)) for one in threads]
    return fitting + [(one, workers + 1) for one, workers in fitting]


def try_all(
    asr: AsrConfig, cores: float, seconds: float, open_hear: OpenHear
) -> Iterator[Trial]:
    """Try every candidate; each has its share of the seconds, loading apart."""
    candidates = list_candidates(cores)
    for threads, workers in candidates:
        hear = open_hear(replace(asr, threads=threads, workers=workers))
        yield try_one(hear, threads, workers, seconds / len(candidates))


def try_one(hear: Hear, threads: int, workers: int, seconds: float) -> Trial:
    """Hear turns with so many workers, and one alone; the first round is not timed."""
    turns = [make_turn(length_s) for length_s in LENGTHS_S]
    with ThreadPoolExecutor(workers, "tune", initializer=give_way) as pool:
        list(pool.map(hear, turns))
        alone_s = [pool.submit(time_turn, hear, turn).result() for turn in turns]
        began_s = time.perf_counter()
        until_s = began_s + seconds
        working = [
            pool.submit(hear_until, hear, turns[n % len(turns) :] + turns, until_s)
            for n in range(workers)
        ]
        n_heard = sum(one.result() for one in working)
        took_s = time.perf_counter() - began_s
    return Trial(threads, workers, n_heard / took_s, 1000 * float(np.mean(alone_s)))


def time_turn(hear: Hear, turn: Samples) -> float:
    """Tell how many seconds a turn takes."""
    began_s = time.perf_counter()
    hear(turn)
    return time.perf_counter() - began_s


def hear_until(hear: Hear, turns: Sequence[Samples], until_s: float) -> int:
    """Hear turns over and over; give how many, the last one whole."""
    n_heard = 0
    while n_heard == 0 or time.perf_counter() < until_s:
        hear(turns[n_heard % len(turns)])
        n_heard += 1
    return n_heard


def choose(trials: Sequence[Trial]) -> Trial:
    """Give the one that hears most; of equals, that which is soonest done alone."""
    most = max(trial.turns_per_s for trial in trials)
    equals = [one for one in trials if one.turns_per_s >= (1 - ALIKE) * most]
    return min(equals, key=lambda one: one.alone_ms)


def open_whisper(asr: AsrConfig) -> Hear:
    """Load the recognizer; a final has word times, so they are asked for."""
    return partial(Whisper(asr).hear, with_words=True)


def make_turn(seconds: int) -> Samples:
    """Make up something like a voice: a hum of 120 Hz in syllables, and a breath."""
    at_s = np.arange(seconds * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    pitch_hz = 120 + 20 * np.sin(2 * np.pi * 0.7 * at_s)
    phase = 2 * np.pi * np.cumsum(pitch_hz) / SAMPLE_RATE_HZ
    hum = sum(np.sin(k * phase) / k for k in range(1, 25))
    syllables = 0.5 + 0.5 * np.abs(np.sin(2 * np.pi * 4 * at_s))
    spoken = np.sin(2 * np.pi * 2 * at_s) > -0.3
    breath = np.random.default_rng(0).normal(size=len(at_s))
    return np.asarray(0.1 * hum * syllables * spoken + 0.002 * breath, np.float32)


def format_trials(trials: Sequence[Trial], chosen: Trial) -> str:
    """Write a table, the chosen trial marked, and its settings as TOML."""
    lines = ["  threads  workers  turns/s  a turn alone, ms"]
    for one in trials:
        mark = "*" if one is chosen else " "
        lines.append(
            f"{mark} {one.threads:7}  {one.workers:7}  {one.turns_per_s:7.2f}  "
            f"{one.alone_ms:16.0f}"
        )
    lines += ["[asr]", *(f"{key} = {n}" for key, n in chosen.settings.items())]
    return "\n".join(lines)
