"""What goes wrong on purpose, and what it costs: finals that are lost, or come twice.

python -m benchmarks.faults [--drops 50] [--turns 8] [--seconds 20] [--only WORD]

Every fault meets a real server, a process of its own with the real models; sessions say
recorded sentences as fast as they are taken. What they are told is held against what an
undisturbed session is told. A drop counts as survived where the session came to its
good end, a hostile frame where it got the answer that it should, a fault of a model
where its session and one beside it came to theirs, and a session too many where it was
told to come again. `benchmarks/pressure.py` says what becomes of others beside ten
times the load of each limit.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from benchmarks import network_faults, server_faults
from benchmarks.faulty_models import FAULTS
from benchmarks.options import run_benchmark
from benchmarks.overload import RECOVERY_LIMIT_S
from benchmarks.pressure import (
    Beside,
    press,
    print_pressure,
    set_pressure_targets,
)
from benchmarks.report import (
    Target,
    describe_machine,
    describe_version,
    print_document,
    print_table,
    print_targets,
    show,
)
from benchmarks.serving import serving
from benchmarks.verdict import (
    Injection,
    Scene,
    Verdict,
    converse,
    has_ended,
    read_scene,
)
from stream_erc import events
from stream_erc.config import DEFAULT_MODEL

START_LIMIT_S = 10.0
LIMITS = "limits"

Inject = Callable[[Scene], Awaitable[Injection]]


@dataclass(frozen=True, slots=True)
class Row:
    """One kind of fault, and what became of it."""

    kind: str
    injection: Injection
    took_s: float

    def to_json(self) -> dict[str, Any]:
        """Give it for table and last line."""
        done = self.injection
        told = [f"{name} {show(value)}" for name, value in done.figures.items()]
        return {
            "kind": self.kind,
            "injected": done.n_injected,
            "survived": done.n_survived,
            **asdict(done.verdict),
            "took_s": self.took_s,
            "note": "; ".join([*told, *[done.note] * bool(done.note)]),
        }


def list_faults(n_drops: int) -> dict[str, Inject]:
    """Give every kind of fault by its name."""
    faults: dict[str, Inject] = {
        "socket dropped": partial(network_faults.drop, n_drops=n_drops),
        "cut inside a frame": partial(network_faults.cut_within, n_cuts=n_drops),
        "network stalled": network_faults.stall,
        "network of 100 kB/s": network_faults.slow_down,
        "slow reader": network_faults.read_slowly,
        "hostile frames": server_faults.attack,
        "ten times too many": server_faults.overload,
        "kill -9, journal": server_faults.kill,
    }
    for method in ("detect", "hear", "understand"):
        for fault in FAULTS:
            name = f"{method}: {fault}"
            faults[name] = partial(server_faults.spoil, method=method, fault=fault)
    return faults


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    scene = await rehearse(read_scene(options.turns))
    rows = []
    for kind, inject in list_faults(options.drops).items():
        if options.only not in kind:
            continue
        began_s = time.monotonic()
        rows.append(Row(kind, await inject(scene), time.monotonic() - began_s))
        print(f"{kind}: {rows[-1].took_s:.0f} s", file=sys.stderr, flush=True)
    pressed = await press(scene, options.seconds) if options.only in LIMITS else []
    report(options, machine, rows, pressed)
    return 0


async def rehearse(scene: Scene) -> Scene:
    """Say everything once undisturbed, to know what is expected."""
    async with serving() as server:
        heard = await converse(server.url, scene.audio)
    assert has_ended(heard)
    finals = [one for one in heard if isinstance(one, events.TranscriptFinal)]
    return replace(scene, words=tuple(final.text for final in finals))


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    rows: list[Row],
    pressed: list[Beside],
) -> None:
    """Print the tables, the targets and the last line."""
    columns = list(Row("", Injection(0, 0, Verdict()), 0.0).to_json())
    print_table(columns, [list(row.to_json().values()) for row in rows])
    targets = set_targets(rows)
    if pressed:
        print_pressure(pressed)
        targets += set_pressure_targets(pressed)
    print_targets(targets)
    print(f"machine load before: {machine['load_1_min']}")
    conditions = {
        "machine": machine,
        "version": describe_version(DEFAULT_MODEL),
        "settings": vars(options),
    }
    figures = {
        "faults": [{**row.to_json(), **row.injection.figures} for row in rows],
        "limits": [row.to_json() for row in pressed],
    }
    print_document("faults", conditions, figures, targets)


def set_targets(rows: list[Row]) -> list[Target]:
    """Set the sums of all faults beside what they must reach."""
    total = sum((row.injection.verdict for row in rows), Verdict())
    n_fallen = sum(r.injection.n_injected - r.injection.n_survived for r in rows)
    figures = {n: v for row in rows for n, v in row.injection.figures.items()}
    return [
        Target("finals lost", total.lost, 0.0),
        Target("finals doubled", total.doubled, 0.0),
        Target("turns with other words", total.altered, 0.0),
        Target("faults not survived", n_fallen, 0.0),
        Target("ready after a kill, s", figures.get("ready_s"), START_LIMIT_S),
        Target(
            "a newcomer in time after an overload, s",
            figures.get("recovered_s"),
            RECOVERY_LIMIT_S,
        ),
    ]


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.faults", description="What faults cost."
    )
    parser.add_argument(
        "--drops", type=int, default=50, help="of the socket, of each kind"
    )
    parser.add_argument("--turns", type=int, default=8, help="that a session says")
    parser.add_argument(
        "--seconds", type=float, default=20.0, help="beside each limit (default: 20)"
    )
    parser.add_argument(
        "--only", default="", metavar="WORD", help="only faults whose name has it"
    )
    options = parser.parse_args()
    for name in ("drops", "turns"):
        if getattr(options, name) < 2:
            parser.error(f"--{name}: expected at least 2, got {getattr(options, name)}")
    return options


if __name__ == "__main__":
    sys.exit(run_benchmark(measure(read_options())))
