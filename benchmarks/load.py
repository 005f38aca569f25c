"""How many live sessions one machine holds, and what each of them costs.

python -m benchmarks.load [--first 1] [--seconds 45] [--partials off] [--data FOLDER]
python -m benchmarks.load --sessions 8
python -m benchmarks.load --sessions 80 --overload

A number of sessions holds if the emotion comes within a second of the end of the voice
(p95), no final is lost, nobody is refused, and the audio that waits stays short. From
`--first` on the number doubles while it holds, then the gap is halved. Each number has
a fresh server, a ramp, and the same parts to play, in chunks of 20 ms on an absolute
schedule; what the voice ends of are counted in the time in which all sessions are
there. `benchmarks/mixture.py` says what they play.

Client and server share the machine: `client` is what this program took of it, and how
late it was itself.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.crowd import RAMP_S, Crowd, play_crowd, starts_s
from benchmarks.dialogues import read_actors
from benchmarks.mixture import Material, cast, read_material
from benchmarks.options import (
    describe,
    exit_with,
    find_clips,
    make_parser,
    serving_as_asked,
)
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
from benchmarks.watching import warn_of_client, warn_of_others

MAX_WAIT_MS = 1000.0  # p95 from the end of the voice to `emotion.final`
MAX_BACKLOG_MS = 1000.0  # p99 of the audio that waits
MAX_SESSIONS = 512  # where the doubling stops
RESOLUTION = 8  # the gap is halved down to one in so many sessions


@dataclass(frozen=True, slots=True)
class Step:
    """What was measured with one number of sessions.

    Attributes:
        n_sessions: How many.
        waits: How long they waited.
        client: What the client was late itself, and the backlog.
        figures: All else.
    """

    n_sessions: int
    waits: dict[str, Spread]
    client: dict[str, Spread]
    figures: dict[str, Any]

    @property
    def wait_ms(self) -> Spread:
        """From the end of the voice to the final emotion."""
        return self.waits["voice end -> emotion.final"]

    @property
    def backlog_ms(self) -> Spread:
        """Of the audio that the server had not worked on."""
        return self.client["audio waiting"]

    @property
    def holds(self) -> bool:
        """Whether the server held so many."""
        lost = self.figures["finals_lost"] + self.figures["sessions_refused"]
        wait_ms, backlog_ms = self.wait_ms.p95, self.backlog_ms.p99
        return (
            lost == 0
            and wait_ms is not None
            and wait_ms <= MAX_WAIT_MS
            and backlog_ms is not None
            and backlog_ms <= MAX_BACKLOG_MS
        )

    def to_json(self) -> dict[str, Any]:
        """Give it for the last line."""
        return {
            "sessions": self.n_sessions,
            "holds": self.holds,
            "waiting_ms": self.waits,
            "client_ms": self.client,
            **self.figures,
        }


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    material = read_material(find_clips(options), read_actors(options.actors))
    steps: list[Step] = []

    async def holds(n_sessions: int) -> bool:
        steps.append(await take_step(options, material, n_sessions))
        print_step(steps[-1])
        return steps[-1].holds

    if options.sessions:
        largest = options.sessions if await holds(options.sessions) else None
    else:
        largest = await find_largest(holds, options.first, options.most)
    report(options, machine, steps, largest)
    return 0


async def find_largest(
    holds: Callable[[int], Awaitable[bool]], first: int, most: int = MAX_SESSIONS
) -> int | None:
    """Find the largest number that holds: double, then halve the gap.

    Args:
        holds: Tells it of a number; asked once for each.
        first: To begin with; halved while it does not hold.
        most: Never asked for more.

    Returns:
        At most an eighth below the true one; None if not even 1 holds.
    """
    good, bad = 0, most + 1
    number = min(first, most)
    while good == 0 and number >= 1:
        if await holds(number):
            good = number
        else:
            bad, number = number, number // 2
    while good and good < most and bad > most:
        number = min(2 * good, most)
        if await holds(number):
            good = number
        else:
            bad = number
    while good and bad <= most and bad - good > max(1, good // RESOLUTION):
        number = (good + bad) // 2
        if await holds(number):
            good = number
        else:
            bad = number
    return good or None


async def take_step(
    options: argparse.Namespace, material: Material, n_sessions: int
) -> Step:
    """Measure one number of sessions on a fresh server."""
    starts = starts_s(n_sessions)
    durations_s = [RAMP_S - start_s + options.seconds for start_s in starts]
    parts = cast(material, durations_s, options.seed, options.fill)
    async with serving_as_asked(options) as server:
        rss_start_mb = server.resident_mb()
        crowd = await play_crowd(
            server, parts, options.seconds, partials=options.partials == "on"
        )
    return summarise(n_sessions, crowd, rss_start_mb)


def summarise(n_sessions: int, crowd: Crowd, rss_start_mb: float | None) -> Step:
    """Turn what became of a crowd into figures."""
    timings, watch = crowd.timings(), crowd.watch
    minutes = crowd.speech_minutes()
    cpu_s = None if watch.server_cores is None else watch.server_cores * watch.wall_s
    rss = (crowd.rss_mb, rss_start_mb)
    return Step(
        n_sessions,
        timings.spreads(),
        {
            "event loop late": spread(watch.client_lag_ms),
            "chunks sent late": spread(crowd.late_ms()),
            "audio waiting": spread(crowd.backlog_ms()),
        },
        {
            **timings.counts(),
            "finals_lost": crowd.n_lost,
            "sessions_refused": crowd.n_refused,
            "troubles": crowd.troubles,
            "degraded": sum(one.n_degraded for one in crowd.performances),
            "voice_share": minutes * 60 / watch.wall_s / n_sessions,
            "cpu_cores": watch.server_cores,
            "cpu_s_per_minute_of_speech": (
                cpu_s / minutes if cpu_s is not None and minutes else None
            ),
            "client_cpu_cores": watch.client_cores,
            "other_programs_cpu_cores": watch.other_cores,
            "loop_lag_p99_ms_upper_bound": watch.loop_lag_ms,
            "rss_start_mb": rss_start_mb,
            "rss_mb": crowd.rss_mb,
            "grown_mb_per_session": (
                None if None in rss else (rss[0] - rss[1]) / n_sessions  # type: ignore[operator]
            ),
        },
    )


def print_step(step: Step) -> None:
    """Print what one number of sessions gave."""
    word = "hold" if step.holds else "do NOT hold"
    print(f"{step.n_sessions} sessions {word}\n")
    print_spreads("waiting, ms", step.waits)
    print_spreads("the client itself, ms", step.client)
    for trouble in step.figures["troubles"]:
        print(f"LOST: {trouble}")
    warn_of_client(step.client["event loop late"])
    warn_of_others(step.figures["other_programs_cpu_cores"])


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    steps: list[Step],
    largest: int | None,
) -> None:
    """Print the table of all steps, the targets and the last line."""
    steps = sorted(steps, key=lambda step: step.n_sessions)
    print_steps(steps)
    best = next((step for step in steps if step.n_sessions == largest), None)
    further_mb = memory_per_session(steps, best)
    targets = [] if best is None else set_targets(options, best, further_mb)
    print_targets(targets)
    print(f"machine load before: {machine['load_1_min']}")
    figures = {
        "largest": largest,
        "mb_per_further_session": further_mb,
        "steps": [step.to_json() for step in steps],
    }
    print_document("load", describe(options, machine), figures, targets)


def print_steps(steps: list[Step]) -> None:
    """Print one line for each number of sessions."""
    columns = {
        "lost": "finals_lost",
        "refused": "sessions_refused",
        "words/turn": "partial_words_per_turn",
        "emotions/turn": "partial_emotions_per_turn",
        "degraded": "degraded",
        "cores": "cpu_cores",
        "CPU s/min": "cpu_s_per_minute_of_speech",
        "RSS MB": "rss_mb",
        "loop p99": "loop_lag_p99_ms_upper_bound",
        "client": "client_cpu_cores",
        "others": "other_programs_cpu_cores",
    }
    print_table(
        ("sessions", "holds", "n", "p50", "p95", "p99", "waiting p99", *columns),
        [
            (
                step.n_sessions,
                "yes" if step.holds else "no",
                step.wait_ms.n,
                step.wait_ms.p50,
                step.wait_ms.p95,
                step.wait_ms.p99,
                step.backlog_ms.p99,
                *(step.figures[name] for name in columns.values()),
            )
            for step in steps
        ],
    )


def memory_per_session(steps: list[Step], best: Step | None) -> float | None:
    """Give what each session beyond the fewest measured takes, in MB."""
    if best is None or best is steps[0]:
        return None
    most, fewest = best.figures["rss_mb"], steps[0].figures["rss_mb"]
    if most is None or fewest is None:
        return None
    grown: float = most - fewest
    return grown / (best.n_sessions - steps[0].n_sessions)


def set_targets(
    options: argparse.Namespace, best: Step, further_mb: float | None
) -> list[Target]:
    """Set the figures of the largest number that holds beside what they must reach."""
    targets = [
        Target(
            "server loop lag p99, upper bound, ms",
            best.figures["loop_lag_p99_ms_upper_bound"],
            20.0,
        ),
        Target("memory of a further session, MB", further_mb, 2.0),
    ]
    if not options.sessions:
        targets.insert(0, Target("sessions", best.n_sessions, 16.0, is_ceiling=False))
    return targets


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("benchmarks.load", "How many live sessions a machine holds.")
    parser.add_argument("--sessions", type=int, help="measure this number alone")
    parser.add_argument(
        "--first", type=int, default=1, help="number to begin with (default: 1)"
    )
    parser.add_argument(
        "--most", type=int, default=MAX_SESSIONS, help="never try more sessions"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=45.0,
        help="to measure each number, after the ramp (default: 45)",
    )
    parser.add_argument(
        "--partials",
        choices=("on", "off"),
        default="on",
        help="whether provisional results are wanted (default: on)",
    )
    options = parser.parse_args()
    for name in ("sessions", "first", "most"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: expected 1 or more, got {value}")
    return options


if __name__ == "__main__":
    exit_with(measure(read_options()))
