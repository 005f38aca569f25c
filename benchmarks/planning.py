"""How many nodes so many sessions need, what that costs, and what breaks first.

Hearing nodes are looked for by halving: the fewest with which a goal is met. Judging
nodes shall be half busy, gateways as busy as `GATEWAY_SHARE` says.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.demand import Demand
from benchmarks.population import Cluster, Outcome, simulate_crowd
from benchmarks.report import Spread, print_table, spread
from benchmarks.steps import MAX_WAIT_MS

CELL = 10_000  # sessions; a million are a hundred of these, apart from each other
TUNED = 1_000  # sessions for which the number of nodes is sought
GATEWAY_SHARE = 0.6  # of a gateway's cores that its sessions may take
STATES = (1.2, 1.0, 0.6, 0.4, 0.25, 0.2, 0.15)
"""Of the hearing nodes for finals and partials: what breaks first."""

MAX_DROPPED = 0.1  # of the partials, where they are wanted, too

Goal = Callable[[Outcome], bool]


def finals_in_time(outcome: Outcome) -> bool:
    """Tell whether 95 of 100 finals came in time."""
    wait = spread(outcome.waits_ms)
    return wait.p95 is not None and wait.p95 <= MAX_WAIT_MS


def partials_too(outcome: Outcome) -> bool:
    """Tell whether, beside that, nine of ten partials were answered."""
    return finals_in_time(outcome) and outcome.dropped <= MAX_DROPPED


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
            speed=self.options.hearing_speed,
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

    def hearing_for(self, n_sessions: int, goal: Goal) -> int:
        """Find the fewest hearing nodes with which a goal is met."""
        n_judging = self.judging_for(n_sessions)
        too_few, enough = 0, n_sessions
        while enough - too_few > max(1, enough // 50):
            number = (too_few + enough) // 2
            if goal(self.simulate(n_sessions, number, n_judging)):
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
        options = self.options
        price = (n_gateways + n_judging) * options.node_price
        price += n_hearing * options.hearing_price
        return Plan(
            n_sessions,
            n_gateways,
            n_hearing,
            n_judging,
            spread(outcome.waits_ms),
            outcome.dropped,
            price / n_sessions,
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
    figures: dict[str, Any] = {}
    for title, goal in (
        ("finals in time", finals_in_time),
        ("nine of ten partials, too", partials_too),
    ):
        few = planner.plan(100, planner.hearing_for(100, goal))
        needed = planner.hearing_for(TUNED, goal)
        cell = planner.plan(CELL, math.ceil(CELL * needed / TUNED))
        plans = [few, cell, multiply(cell, 100)]
        print_plans(f"{title}: waits in ms", plans)
        figures[title] = [asdict(plan) for plan in plans]
    shortages = [planner.plan(TUNED, math.ceil(needed * state)) for state in STATES]
    print_plans("fewer hearing nodes than that", shortages)
    if planner.options.plot:
        draw(shortages, planner.options.plot)
    return {**figures, "shortages": [asdict(plan) for plan in shortages]}


def draw(plans: list[Plan], file: Path) -> None:
    """Draw what becomes of finals and partials as hearing nodes are missing."""
    from matplotlib.figure import Figure  # extra `plot`

    figure = Figure(figsize=(7, 3), layout="constrained")
    finals, partials = figure.subplots(1, 2, sharex=True)
    nodes = [plan.n_hearing for plan in plans]
    for name in ("p50", "p95", "p99"):
        waits_s = [getattr(plan.wait, name) / 1000 for plan in plans]
        finals.plot(nodes, waits_s, marker="o", label=name)
    finals.axhline(MAX_WAIT_MS / 1000, color="gray", linestyle=":")
    finals.set_yscale("log")
    finals.set_ylabel("end of the voice to emotion.final, s")
    finals.legend(fontsize="small")
    partials.plot(nodes, [100 * plan.dropped for plan in plans], marker="o")
    partials.set_ylim(0, 100)
    partials.set_ylabel("partials dropped, %")
    figure.supxlabel(f"hearing nodes for {plans[0].n_sessions} sessions", fontsize=10)
    figure.savefig(file, dpi=120)
