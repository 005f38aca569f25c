"""How long live sessions wait for what they are told.

python -m benchmarks.latency --sessions 4 [--data FOLDER] [--seconds 120] [--idle 50]

Every session plays a dialogue of its own at the pace of life, in chunks of 20 ms on an
absolute schedule. All waiting is measured at the client's socket.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from benchmarks.dialogues import Dialogue, make_sessions, read_actors, read_pairs
from benchmarks.options import (
    describe,
    exit_with,
    find_clips,
    make_parser,
    serving_as_asked,
)
from benchmarks.playing import Manner, Performance, perform
from benchmarks.report import (
    Spread,
    Target,
    describe_machine,
    print_document,
    print_spreads,
    print_table,
    print_targets,
    spread,
)
from benchmarks.serving import RunningServer
from benchmarks.timing import Timings
from benchmarks.watching import Watch, warn_of_client, warn_of_others, watching
from clients.connection import connect
from clients.sources import FORMAT

STAGGER_S = 0.73  # between two sessions' starts, so that their turns do not coincide
SETTLE_S = 1.0  # after opening idle sessions, before memory is read
MAX_TARGET_SESSIONS = 4  # beyond it nothing is promised


@dataclass(slots=True)
class Observation:
    """What was measured beside the turns.

    Attributes:
        machine: On which, and how busy it was before.
        rss_start_mb: Resident memory once ready.
        rss_end_mb: After the last session.
        idle_mb: For each idle session; None where it was not asked for.
        watch: The processors, and the event loops.
        has_torch: Whether the server has it loaded.
        late_ms: How late chunks went out.
    """

    machine: dict[str, Any]
    rss_start_mb: float | None = None
    rss_end_mb: float | None = None
    idle_mb: float | None = None
    watch: Watch = field(default_factory=Watch)
    has_torch: bool | None = None
    late_ms: list[float] = field(default_factory=list)

    def figures(self) -> dict[str, Any]:
        """Give what was measured of the server's process."""
        return {
            "rss_start_mb": self.rss_start_mb,
            "rss_end_mb": self.rss_end_mb,
            "idle_session_mb": self.idle_mb,
            "loop_lag_p99_ms_upper_bound": self.watch.loop_lag_ms,
            "cpu_cores": self.watch.server_cores,
            "client_cpu_cores": self.watch.client_cores,
            "other_programs_cpu_cores": self.watch.other_cores,
            "torch_loaded": self.has_torch,
        }


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    observed = Observation(describe_machine())
    pairs = read_pairs(find_clips(options), read_actors(options.actors))
    dialogues = make_sessions(
        pairs, options.sessions, options.seconds, options.seed, options.fill
    )
    async with serving_as_asked(options) as server:
        observed.rss_start_mb = server.resident_mb()
        if options.idle:
            observed.idle_mb = await measure_idle(server, options.idle)
        manner = Manner(speakers=options.speakers)
        async with watching(server) as observed.watch:
            performances = await play_all(server.url, dialogues, manner)
        observed.rss_end_mb = server.resident_mb()
        observed.has_torch = server.has_torch()
    timings = Timings()
    for performance in performances:
        timings.add(performance)
        observed.late_ms += performance.late_ms
    report(options, server, performances, timings, observed)
    return 0


async def measure_idle(server: RunningServer, n_sessions: int) -> float | None:
    """Open sessions that say nothing, and give the memory that each takes."""
    before_mb = server.resident_mb()
    async with AsyncExitStack() as stack:
        for _ in range(n_sessions):
            await stack.enter_async_context(connect(server.url, audio=FORMAT))
        await asyncio.sleep(SETTLE_S)
        after_mb = server.resident_mb()
    if before_mb is None or after_mb is None:
        return None
    return (after_mb - before_mb) / n_sessions


async def play_all(
    url: str, dialogues: list[Dialogue], manner: Manner
) -> list[Performance]:
    """Play all dialogues at once."""

    async def play_later(number: int, dialogue: Dialogue) -> Performance:
        await asyncio.sleep(number * STAGGER_S)
        return await perform(url, dialogue, manner)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(play_later(number, dialogue))
                for number, dialogue in enumerate(dialogues)
            ]
    except* Exception as group_error:
        raise group_error.exceptions[0] from None
    return [task.result() for task in tasks]


def report(
    options: argparse.Namespace,
    server: RunningServer,
    performances: list[Performance],
    timings: Timings,
    observed: Observation,
) -> None:
    """Print the tables, the targets and the last line."""
    spreads, counts = timings.spreads(), timings.counts()
    counts["speakers_not_told_in_time"] = sum(p.n_untold for p in performances)
    counts["warnings"] = sum(len(p.warnings) for p in performances)
    around = observed.figures()
    around["ready_s"] = server.ready_s
    around["end_silence_ms"] = performances[0].started.limits.end_silence_ms
    own = {
        "event loop late": spread(observed.watch.client_lag_ms),
        "chunks sent late": spread(observed.late_ms),
    }
    targets = set_targets(options.sessions, spreads, counts, around)
    print(f"{options.sessions} live sessions, pauses: {options.fill}\n")
    print_spreads("waiting, ms", spreads)
    print_spreads("the client itself, ms", own)
    warn_of_client(own["event loop late"])
    warn_of_others(observed.watch.other_cores)
    print_table(("count", ""), list(counts.items()))
    print_table(("server", ""), list(around.items()))
    print_targets(targets)
    figures = {"waiting_ms": spreads, "client_ms": own, **counts, **around}
    print_document("latency", describe(options, observed.machine), figures, targets)


def set_targets(
    n_sessions: int,
    spreads: dict[str, Spread],
    counts: dict[str, Any],
    around: dict[str, Any],
) -> list[Target]:
    """Set the figures beside what they must reach; by the number of sessions."""
    after_endpoint = spreads["endpoint -> emotion.final"].p95
    to_final = spreads["voice end -> emotion.final"].p95
    to_words = spreads["voice start -> first partial words"].p95
    silence_ms = around["end_silence_ms"]
    delivered = counts["finals_delivered"] / max(1, counts["finals_expected"])
    targets = [
        Target("/readyz after start, s", around["ready_s"], 10.0),
        Target("resident memory at the end, MB", around["rss_end_mb"], 700.0),
        Target("memory of an idle session, MB", around["idle_session_mb"], 3.0),
        Target("share of finals delivered", delivered, 1.0, is_ceiling=False),
    ]
    if n_sessions == 1:
        targets += [
            Target("endpoint -> emotion.final p95, ms", after_endpoint, 60.0),
            Target("voice end -> emotion.final p95, ms", to_final, silence_ms + 250.0),
            Target("voice start -> first words p95, ms", to_words, 1200.0),
        ]
    elif n_sessions <= MAX_TARGET_SESSIONS:
        targets += [
            Target("voice end -> emotion.final p95, ms", to_final, 1200.0),
            Target(
                "server loop lag p99, upper bound, ms",
                around["loop_lag_p99_ms_upper_bound"],
                20.0,
            ),
        ]
    return targets


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("benchmarks.latency", "How long live sessions wait.")
    parser.add_argument("--sessions", type=int, default=1, help="at once (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of each session (default: 60)"
    )
    parser.add_argument(
        "--idle", type=int, default=0, metavar="K", help="also measure K idle sessions"
    )
    options = parser.parse_args()
    if options.sessions < 1:
        parser.error("--sessions: expected 1 or more")
    return options


if __name__ == "__main__":
    exit_with(measure(read_options()))
