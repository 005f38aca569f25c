"""How long live sessions wait for what they are told.

python -m benchmarks.latency --sessions 4 [--data FOLDER] [--seconds 120] [--idle 50]
python -m benchmarks.latency --mode oracle
python -m benchmarks.latency --mode fast

Every session plays a dialogue of its own at the pace of life, in chunks of 20 ms on an
absolute schedule. All waiting is measured at the client's socket. With `--mode oracle`
the client ends each turn with the last sample of its voice, so what is left of the
waiting is the models' time. With `--mode fast` audio goes as fast as the server takes
it, and what is measured is how fast that is: nobody waits there as in life.
"""

from __future__ import annotations

import argparse
import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
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
from clients.sources import FORMAT, RATE_HZ

STAGGER_S = 0.73  # between two sessions' starts, so that their turns do not coincide
SETTLE_S = 1.0  # after opening idle sessions, before memory is read
MANNERS = {
    "live": Manner(),
    "oracle": Manner(endpoint="oracle"),
    # Telling the speaker would wait for every final, and partials would be overtaken.
    "fast": Manner(speed=None, speakers="never", partials=False),
}


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
        manner = MANNERS[options.mode]
        if options.mode != "fast":
            manner = replace(manner, speakers=options.speakers)
        async with watching(server) as observed.watch:
            performances = await play_all(server.url, dialogues, manner)
        observed.rss_end_mb = server.resident_mb()
        observed.has_torch = server.has_torch()
    timings = Timings()
    for performance in performances:
        timings.add(performance)
        observed.late_ms += performance.late_ms
    if options.mode == "fast":
        report_pace(options, performances, observed)
    else:
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
    targets = set_targets(options.sessions, options.mode, spreads, counts, around)
    print(f"{options.sessions} sessions, {options.mode}, pauses: {options.fill}\n")
    print_spreads("waiting, ms", spreads)
    print_spreads("the client itself, ms", own)
    warn_of_client(own["event loop late"])
    warn_of_others(observed.watch.other_cores)
    print_table(("count", ""), list(counts.items()))
    print_table(("server", ""), list(around.items()))
    print_targets(targets)
    print(f"machine load before: {observed.machine['load_1_min']}")
    figures = {"waiting_ms": spreads, "client_ms": own, **counts, **around}
    print_document("latency", describe(options, observed.machine), figures, targets)


def report_pace(
    options: argparse.Namespace,
    performances: list[Performance],
    observed: Observation,
) -> None:
    """Print how fast audio was taken, and the last line."""
    watch = observed.watch
    audio_s = sum(len(one.dialogue.samples) for one in performances) / RATE_HZ
    cores = watch.server_cores
    turns = [turn for one in performances for turn in one.turns]
    figures = {
        "audio_s": audio_s,
        "times_faster_than_life": audio_s / watch.wall_s,
        "cpu_s_per_minute_of_audio": (
            None if cores is None else cores * watch.wall_s * 60 / audio_s
        ),
        "finals_expected": len(turns),
        "finals_delivered": sum(turn.final_s is not None for turn in turns),
        **observed.figures(),
    }
    print(f"{options.sessions} sessions, {options.mode}, pauses: {options.fill}\n")
    warn_of_others(watch.other_cores)
    print_table(("pace", ""), list(figures.items()))
    print_document("latency", describe(options, observed.machine), figures, [])


def set_targets(
    n_sessions: int,
    mode: str,
    spreads: dict[str, Spread],
    counts: dict[str, Any],
    around: dict[str, Any],
) -> list[Target]:
    """Set the figures beside what they must reach, by mode and number of sessions."""
    delivered = counts["finals_delivered"] / max(1, counts["finals_expected"])
    targets = [
        Target("/readyz after start, s", around["ready_s"], 10.0),
        Target("resident memory at the end, MB", around["rss_end_mb"], 700.0),
        Target("memory of an idle session, MB", around["idle_session_mb"], 2.0),
        Target("share of finals delivered", delivered, 1.0, is_ceiling=False),
        Target(
            "server loop lag p99, upper bound, ms",
            around["loop_lag_p99_ms_upper_bound"],
            20.0,
        ),
    ]
    if mode != "live":
        return targets
    to_final = spreads["voice end -> emotion.final"].p95
    if n_sessions == 1:
        targets.append(Target("voice end -> emotion.final p95, ms", to_final, 700.0))
        targets += set_targets_of_one(spreads, counts)
    else:
        targets.append(Target("voice end -> emotion.final p95, ms", to_final, 1000.0))
    return targets


def set_targets_of_one(
    spreads: dict[str, Spread], counts: dict[str, Any]
) -> list[Target]:
    """Set what is promised to a session that is alone."""
    at_half = counts["share_at_half_as_final_of_all"]
    limits = {
        "endpoint -> emotion.final": 20.0,
        "voice start -> first partial words": 800.0,
        "voice start -> first partial emotion": 1500.0,
    }
    return [
        *(
            Target(f"{name} p95, ms", spreads[name].p95, ms)
            for name, ms in limits.items()
        ),
        Target("emotion flips per turn", counts["emotion_flips_per_turn"], 0.6),
        Target("emotion at half as in the end", at_half, 0.75, is_ceiling=False),
    ]


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("benchmarks.latency", "How long live sessions wait.")
    parser.add_argument("--sessions", type=int, default=1, help="at once (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="of each session (default: 60)"
    )
    parser.add_argument(
        "--mode",
        choices=tuple(MANNERS),
        default="live",
        help="live; oracle: the client ends each turn with its voice; fast: as fast as "
        "the server takes it (default: live)",
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
