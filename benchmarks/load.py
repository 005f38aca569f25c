"""How many live sessions one machine holds, and what each of them costs.

python -m benchmarks.load [--first 1] [--seconds 45] [--partials off] [--data FOLDER]
python -m benchmarks.load --sessions 8
python -m benchmarks.load --sessions 8 --overload

A number of sessions holds if the emotion comes within a second of the end of the voice
(p95), no final is lost, nobody is refused, and the audio that waits stays short. From
`--first` on the number doubles while it holds, then the gap is halved. Each number has
a fresh server, a ramp, and the same parts to play, in chunks of 20 ms on an absolute
schedule; a wait counts if its voice ends while all sessions are there.
`benchmarks/mixture.py` says what they play, `benchmarks/overload.py` what `--overload`
measures.

Client and server share the machine: `client` is what this program took of it, and its
own lateness is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from typing import Any

from benchmarks.crowd import gather_crowd
from benchmarks.dialogues import read_actors
from benchmarks.mixture import Material, read_material
from benchmarks.options import (
    describe,
    exit_with,
    find_clips,
    make_parser,
    serving_as_asked,
)
from benchmarks.overload import flood, print_flood, set_flood_targets
from benchmarks.report import (
    Target,
    describe_machine,
    print_document,
    print_targets,
)
from benchmarks.steps import (
    Step,
    memory_per_session,
    print_step,
    print_steps,
    summarise,
)

MIN_SESSIONS = 16  # that two cores must hold
MAX_SESSIONS = 512  # where the doubling stops
RESOLUTION = 8  # the gap is halved down to one in so many sessions


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    material = read_material(find_clips(options), read_actors(options.actors))
    if options.overload:
        await measure_overload(options, machine, material)
        return 0
    # What the machine holds is asked here, not what an operator lets in.
    options.serve = [f"limits.max_sessions={options.most}", *options.serve]
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


async def measure_overload(
    options: argparse.Namespace, machine: dict[str, Any], material: Material
) -> None:
    """Play ten times as many sessions, then ask how the server has come through."""
    async with serving_as_asked(options) as server:
        flooded = await flood(server, material, options)
    print_flood(flooded)
    targets = set_flood_targets(flooded)
    print_targets(targets)
    document = describe(options, machine)
    print_document("overload", document, flooded.to_json(), targets)


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
    async with serving_as_asked(options) as server:
        rss_start_mb = server.resident_mb()
        crowd = await gather_crowd(server, material, n_sessions, options)
    return summarise(n_sessions, crowd, rss_start_mb)


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
    targets = set_targets(options, best, further_mb)
    print_targets(targets)
    print(f"machine load before: {machine['load_1_min']}")
    figures = {
        "largest": largest,
        "mb_per_further_session": further_mb,
        "steps": [step.to_json() for step in steps],
    }
    print_document("load", describe(options, machine), figures, targets)


def set_targets(
    options: argparse.Namespace, best: Step | None, further_mb: float | None
) -> list[Target]:
    """Set the largest number that holds, and its figures, beside the limits."""
    n_held = 0 if best is None else best.n_sessions
    wanted = options.sessions or MIN_SESSIONS
    lag_ms = None if best is None else best.figures["loop_lag_p99_ms_upper_bound"]
    return [
        Target("sessions that hold", n_held, wanted, is_ceiling=False),
        Target("server loop lag p99, upper bound, ms", lag_ms, 20.0),
        Target("memory of a further session, MB", further_mb, 2.0),
    ]


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
    parser.add_argument(
        "--overload",
        action="store_true",
        help="play ten times --sessions (default: ten times --first) on one server",
    )
    options = parser.parse_args()
    for name in ("sessions", "first", "most"):
        value = getattr(options, name)
        if value is not None and value < 1:
            parser.error(f"--{name}: expected 1 or more, got {value}")
    return options


if __name__ == "__main__":
    exit_with(measure(read_options()))
