"""Ten times too many sessions at once: who is served, who is refused, what comes after.

Every admitted session must get all its finals, however late; the others must be told to
come again (close code 1013). Then one newcomer after another speaks, until one gets its
emotion in time.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from dataclasses import dataclass
from math import inf
from typing import Any

from benchmarks.crowd import Crowd, gather_crowd, join
from benchmarks.dialogues import Filling
from benchmarks.mixture import Material, cast
from benchmarks.report import Spread, Target, print_spreads, print_table, spread
from benchmarks.serving import RunningServer
from benchmarks.steps import MAX_WAIT_MS
from benchmarks.timing import Timings
from benchmarks.watching import warn_of_client, warn_of_others

TIMES = 10
NEWCOMER_S = 4.0  # what a newcomer says, pauses included
PATIENCE_S = 120.0  # so long newcomers come
BREATH_S = 0.5  # between two of them
RECOVERY_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True)
class Flood:
    """What became of too many sessions.

    Attributes:
        n_asked: Sessions that wanted in.
        crowd: What became of them.
        waits: How long those waited that were let in.
        drained_s: From the last audio to the last final.
        recovered_s: From the last final to the coming of a newcomer who got the
            emotion in time; None if none did.
    """

    n_asked: int
    crowd: Crowd
    waits: dict[str, Spread]
    drained_s: float
    recovered_s: float | None

    def counts(self) -> dict[str, Any]:
        """Give what is counted."""
        crowd = self.crowd
        return {
            "sessions_asked": self.n_asked,
            "sessions_admitted": len(crowd.wires),
            "sessions_refused": crowd.n_refused,
            "sessions_neither": self.n_asked - len(crowd.wires) - crowd.n_refused,
            "turns": sum(len(one.turns) for one in crowd.performances),
            "finals_lost": crowd.n_lost,
            "degraded": sum(one.n_degraded for one in crowd.performances),
            "drained_s": self.drained_s,
            "recovered_s": self.recovered_s,
            "cpu_cores": crowd.watch.server_cores,
            "client_cpu_cores": crowd.watch.client_cores,
            "other_programs_cpu_cores": crowd.watch.other_cores,
            "rss_mb": crowd.rss_mb,
            "loop_lag_p99_ms_upper_bound": crowd.watch.loop_lag_ms,
        }

    def to_json(self) -> dict[str, Any]:
        """Give it for the last line."""
        return {
            "waiting_ms": self.waits,
            "audio_waiting_ms": spread(self.crowd.backlog_ms()),
            "client_late_ms": spread(self.crowd.watch.client_lag_ms),
            "troubles": self.crowd.troubles,
            **self.counts(),
        }


async def flood(
    server: RunningServer, material: Material, options: argparse.Namespace
) -> Flood:
    """Play ten times as many sessions as asked for, then newcomers."""
    n_sessions = TIMES * (options.sessions or options.first)
    crowd = await gather_crowd(server, material, n_sessions, options)
    recovered_s = await recover(server, material, options.seed, options.fill)
    drained_s = crowd.ended_s - crowd.spoken_until_s
    return Flood(n_sessions, crowd, crowd.timings().spreads(), drained_s, recovered_s)


async def recover(
    server: RunningServer,
    material: Material,
    seed: int = 0,
    filling: Filling = "noise",
) -> float | None:
    """Let newcomers speak, one after another, until one gets its emotion in time.

    Args:
        server: Behind which an overload lies.
        material: What they say.
        seed: Of the choice.
        filling: Of the pauses.

    Returns:
        Seconds until that one came; None if there was none.
    """
    begin_s = time.monotonic()
    [part] = cast(material, [NEWCOMER_S], seed, filling)
    while (came_s := time.monotonic() - begin_s) < PATIENCE_S:
        newcomer = Crowd()
        await join(newcomer, server.url, part, start_s=0.0, partials=True)
        timings = Timings()
        for performance in newcomer.performances:
            timings.add(performance)
        waits_ms = timings.voice_end_to_final
        if newcomer.n_lost == 0 and waits_ms and max(waits_ms) <= MAX_WAIT_MS:
            return came_s
        await asyncio.sleep(BREATH_S)
    return None


def print_flood(flooded: Flood) -> None:
    """Print what became of too many sessions."""
    crowd = flooded.crowd
    print_spreads("waiting, ms", flooded.waits)
    client_ms = spread(crowd.watch.client_lag_ms)
    backlog_ms = spread(crowd.backlog_ms())
    print_spreads("ms", {"client late": client_ms, "audio waiting": backlog_ms})
    print_table(("overload", ""), list(flooded.counts().items()))
    for trouble in crowd.troubles:
        print(f"LOST: {trouble}")
    warn_of_client(client_ms)
    warn_of_others(crowd.watch.other_cores)


def set_flood_targets(flooded: Flood) -> list[Target]:
    """Set the figures beside what they must reach."""
    counts = flooded.counts()
    recovered_s = flooded.recovered_s
    return [
        Target("finals lost", counts["finals_lost"], 0.0),
        Target("neither admitted nor refused", counts["sessions_neither"], 0.0),
        Target(
            "a newcomer in time after, s",
            inf if recovered_s is None else recovered_s,
            RECOVERY_LIMIT_S,
        ),
    ]
