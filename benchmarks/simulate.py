"""More sessions than there is a machine for: a simulation from measured times.

    python -m benchmarks.simulate --measure [--sessions 16] [--data FOLDER]
    python -m benchmarks.simulate [--hearing-speed 1] [--plot FILE.png]
    python -m benchmarks.simulate --against LOAD.json …

The first measures what sessions ask of the models and how long each answer takes, on a
quiet machine, into `docs/scale/demand.json`. The second says what 100, 10,000 and
1,000,000 sessions need, how long they wait, and what they cost, by nodes like that
machine, or with hearing nodes that are so many times as fast (a GPU). The third holds
the simulation against runs of `benchmarks.load` on the machine of the first, with the
same `--data`: the same parts, ramp and window; FILE ends with its last line.

SimPy moves the time; `benchmarks/queueing.py` has threads and lanes,
`benchmarks/population.py` the sessions, `benchmarks/planning.py` looks for the fewest
nodes. Not simulated: gateways (they are counted by
the cores that a silent session costs), and the start of nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.crowd import RAMP_S, starts_s
from benchmarks.demand import Demand, measure_demand, read_demand
from benchmarks.options import exit_with, make_parser
from benchmarks.planning import Planner, plan_scale
from benchmarks.population import Outcome, Speaker, one_machine
from benchmarks.report import (
    ROOT,
    Target,
    describe_machine,
    print_document,
    print_table,
    print_targets,
    spread,
)
from stream_erc.errors import ConfigError

DEMAND = ROOT / "docs" / "scale" / "demand.json"
MAX_ERROR_PERCENT = 20.0  # of a simulated p95


def replay(demand: Demand, n_sessions: int, seconds: float) -> Outcome:
    """Simulate what `benchmarks.load` measures with so many sessions."""
    site = one_machine(demand, n_sessions)
    begin_ms = RAMP_S * 1000
    outcome = Outcome((begin_ms, begin_ms + seconds * 1000))
    for number, start_s in enumerate(starts_s(n_sessions)):
        speaker = Speaker(site, number, demand.path_ms, outcome)
        turns = iter(demand.sessions[number])
        site.env.process(speaker.speak(turns, start_s * 1000))
    site.env.run()
    return outcome


def read_steps(file: Path) -> tuple[float, list[dict[str, Any]]]:
    """Read how long a run of `benchmarks.load` measured, and its numbers of sessions.

    Raises:
        ConfigError: If the last line is not that of such a run.
    """
    try:
        document = json.loads(file.read_text(encoding="utf-8").splitlines()[-1])
        return document["settings"]["seconds"], document["figures"]["steps"]
    except (ValueError, LookupError, TypeError) as error:
        raise ConfigError(
            f"{file}: expected the last line of benchmarks.load, got: {error!r}"
        ) from error


def validate(demand: Demand, files: list[Path]) -> tuple[dict[str, Any], list[Target]]:
    """Hold the simulation against measured runs."""
    rows, targets = [], []
    for file in files:
        seconds, steps = read_steps(file)
        for step in steps:
            n_sessions = step["sessions"]
            if n_sessions > len(demand.sessions):
                raise ConfigError(
                    f"{file}: expected at most {len(demand.sessions)} sessions, as "
                    f"--measure had, got {n_sessions}"
                )
            measured = step["waiting_ms"]["voice end -> emotion.final"]
            outcome = replay(demand, n_sessions, seconds)
            wait = spread(outcome.waits_ms)
            assert wait.p50 is not None and wait.p95 is not None
            error = 100 * (wait.p95 / measured["p95"] - 1)
            rows.append(
                (
                    n_sessions,
                    measured["p50"],
                    wait.p50,
                    measured["p95"],
                    wait.p95,
                    error,
                    f"{outcome.dropped:.0%}",
                )
            )
            targets.append(
                Target(
                    f"{n_sessions} sessions: error of p95, %",
                    abs(error),
                    MAX_ERROR_PERCENT,
                )
            )
    header = ("sessions", "p50", "simulated", "p95", "simulated", "error %")
    print_table((*header, "partials dropped"), rows)
    print_targets(targets)
    return {"validation": rows}, targets


async def run(options: argparse.Namespace) -> int:
    """Measure, simulate or validate, and print what came out."""
    machine = describe_machine()
    if options.measure:
        demand = await measure_demand(options)
        options.demand.parent.mkdir(parents=True, exist_ok=True)
        options.demand.write_bytes(msgspec.json.encode(demand) + b"\n")
        return 0
    demand = read_demand(options.demand)
    targets: list[Target] = []
    if options.against:
        figures, targets = await asyncio.to_thread(validate, demand, options.against)
    else:
        figures = await asyncio.to_thread(plan_scale, Planner(demand, options))
    conditions = {
        "machine": machine,
        "measured_on": demand.machine,
        "settings": vars(options),
    }
    print_document("simulate", conditions, figures, targets)
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser(
        "benchmarks.simulate", "What many sessions need, simulated from measured times."
    )
    parser.add_argument(
        "--demand", type=Path, metavar="FILE", default=DEMAND, help="what was measured"
    )
    parser.add_argument("--measure", action="store_true", help="write --demand anew")
    parser.add_argument(
        "--sessions", type=int, default=16, help="to measure (default: 16)"
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=45.0,
        help="of each session to measure, or to simulate (default: 45)",
    )
    parser.add_argument(
        "--against", type=Path, nargs="+", metavar="LOAD.json", help="measured runs"
    )
    add_plan_options(parser)
    parser.set_defaults(partials="on")
    options = parser.parse_args()
    if options.hearing_price is None:
        options.hearing_price = options.node_price
    return options


def add_plan_options(parser: argparse.ArgumentParser) -> None:
    """Add how a plan is made: much of it nobody measured."""
    parser.add_argument(
        "--hop-ms",
        type=float,
        default=2.0,
        help="from a gateway to a node and back; an assumption (default: 2)",
    )
    parser.add_argument(
        "--node-price",
        type=float,
        default=0.085,
        help="of a node of two cores an hour; an assumption (default: 0.085)",
    )
    parser.add_argument(
        "--hearing-speed",
        type=float,
        default=1.0,
        help="of a hearing node, in that of the machine measured: another kind of "
        "node; an assumption (default: 1)",
    )
    parser.add_argument(
        "--hearing-price",
        type=float,
        help="of a hearing node an hour; an assumption (default: --node-price)",
    )
    parser.add_argument(
        "--plot",
        type=Path,
        metavar="FILE.png",
        help="draw what missing nodes cost; needs matplotlib (extra plot)",
    )


if __name__ == "__main__":
    exit_with(run(read_options()))
