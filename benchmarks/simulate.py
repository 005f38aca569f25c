"""More sessions than there is a machine for: a simulation from measured times.

    python -m benchmarks.simulate --measure [--sessions 16] [--data FOLDER]
    python -m benchmarks.simulate [--hop-ms 2] [--node-price 0.085]
    python -m benchmarks.simulate --against LOAD.json …

The first measures what sessions ask of the models and how long each answer takes, on a
quiet machine, into `docs/scale/demand.json`. The second says what 100, 10,000 and
1,000,000 sessions need, how long they wait, and what they cost. The third holds the
simulation against runs of `benchmarks.load` on the machine of the first, with the same
`--data`: the same parts, the same ramp, the same window; FILE ends with its last line.

SimPy moves the time; `benchmarks/queueing.py` has threads and lanes,
`benchmarks/population.py` the sessions. Not simulated: gateways (they are counted by
the cores that a silent session costs), and the start of nodes.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.crowd import RAMP_S, starts_s
from benchmarks.demand import Demand, measure_demand, read_demand
from benchmarks.options import exit_with, make_parser
from benchmarks.population import (
    Cluster,
    Outcome,
    Speaker,
    one_machine,
    simulate_crowd,
)
from benchmarks.report import (
    ROOT,
    Spread,
    Target,
    describe_machine,
    print_document,
    print_table,
    print_targets,
    spread,
)
from benchmarks.steps import MAX_WAIT_MS
from stream_erc.errors import ConfigError

DEMAND = ROOT / "docs" / "scale" / "demand.json"
MAX_ERROR_PERCENT = 20.0  # of a simulated p95
CELL = 10_000  # sessions; a million are a hundred of these, apart from each other
TUNED = 1_000  # sessions for which the number of nodes is sought
GATEWAY_SHARE = 0.6  # of a gateway's cores that its sessions may take
STATES = (1.0, 0.9, 0.8, 0.7, 0.6)  # of the nodes that are needed: what breaks first


# --- what a cluster needs ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Plan:
    """So many sessions, what serves them, and how that goes.

    Attributes:
        n_sessions: How many.
        n_gateways: Nodes with sockets and voice detection.
        n_hearing: Nodes with a recognizer.
        n_judging: Nodes with the emotion model.
        wait: Voice end -> `emotion.final`, ms.
        dropped: Share of the partials that were dropped.
        price: Of a session and hour.
    """

    n_sessions: int
    n_gateways: int
    n_hearing: int
    n_judging: int
    wait: Spread
    dropped: float
    price: float


@dataclass(frozen=True, slots=True)
class Planner:
    """Finds out what sessions need.

    Attributes:
        demand: As measured.
        options: The command line.
    """

    demand: Demand
    options: argparse.Namespace

    def simulate(self, n_sessions: int, n_hearing: int, n_judging: int) -> Outcome:
        """Serve so many sessions by so many nodes of the kind that was measured."""
        cluster = Cluster(
            n_hearing,
            n_judging,
            threads=self.demand.hear_threads,
            hop_ms=self.options.hop_ms,
        )
        site = cluster.build(self.demand, self.options.seed)
        seconds, seed = self.options.seconds, self.options.seed
        return simulate_crowd(self.demand, site, n_sessions, seconds, seed)

    def judging_for(self, n_sessions: int) -> int:
        """Give the judging nodes that are half busy; of two cores each."""
        busy_ms = sum(
            ask.judge_ms
            for session in self.demand.sessions
            for turn in session
            for ask in turn.asks
        )
        cores = busy_ms / (self.demand.duration_ms * len(self.demand.sessions))
        return max(1, math.ceil(n_sessions * cores / 0.5))

    def hearing_for(self, n_sessions: int) -> int:
        """Find the fewest hearing nodes with which finals come in time."""
        n_judging = self.judging_for(n_sessions)
        too_few, enough = 0, n_sessions
        while enough - too_few > max(1, enough // 50):
            number = (too_few + enough) // 2
            wait = spread(self.simulate(n_sessions, number, n_judging).waits_ms)
            if wait.p95 is not None and wait.p95 <= MAX_WAIT_MS:
                enough = number
            else:
                too_few = number
        return enough

    def plan(self, n_sessions: int, n_hearing: int) -> Plan:
        """Simulate a number of sessions with so many hearing nodes, and price it."""
        n_judging = self.judging_for(n_sessions)
        outcome = self.simulate(n_sessions, n_hearing, n_judging)
        n_cores = len(self.demand.speedups)
        per_gateway = int(n_cores * GATEWAY_SHARE / self.demand.idle_cores)
        n_gateways = math.ceil(n_sessions / per_gateway)
        nodes = n_gateways + n_hearing + n_judging
        return Plan(
            n_sessions,
            n_gateways,
            n_hearing,
            n_judging,
            spread(outcome.waits_ms),
            outcome.dropped,
            nodes * self.options.node_price / n_sessions,
        )


def multiply(cell: Plan, n_cells: int) -> Plan:
    """Give the plan of many cells that know nothing of each other."""
    return Plan(
        cell.n_sessions * n_cells,
        cell.n_gateways * n_cells,
        cell.n_hearing * n_cells,
        cell.n_judging * n_cells,
        cell.wait,
        cell.dropped,
        cell.price,
    )


def print_plans(title: str, plans: list[Plan]) -> None:
    """Print one line a plan."""
    print(title)
    print_table(
        ("sessions", "gateways", "hearing", "judging", "p50", "p95", "p99")
        + ("partials dropped", "$ a session-hour"),
        [
            (
                plan.n_sessions,
                plan.n_gateways,
                plan.n_hearing,
                plan.n_judging,
                plan.wait.p50,
                plan.wait.p95,
                plan.wait.p99,
                f"{plan.dropped:.0%}",
                f"{plan.price:.4f}",
            )
            for plan in plans
        ],
    )


def plan_scale(planner: Planner) -> dict[str, Any]:
    """Plan a hundred, ten thousand and a million sessions; then take nodes away."""
    few = planner.plan(100, planner.hearing_for(100))
    share = planner.hearing_for(TUNED) / TUNED
    cell = planner.plan(CELL, math.ceil(CELL * share))
    plans = [few, cell, multiply(cell, 100)]
    print_plans("nodes of two cores, as measured; waits in ms", plans)
    shortages = [
        planner.plan(TUNED, math.ceil(TUNED * share * state)) for state in STATES
    ]
    print_plans("fewer hearing nodes than needed", shortages)
    return {
        "plans": [asdict(plan) for plan in plans],
        "shortages": [asdict(plan) for plan in shortages],
    }


# --- is it true? -------------------------------------------------------------------


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


# --- command -----------------------------------------------------------------------


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
    parser.set_defaults(partials="on")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(run(read_options()))
