"""Figures -> a table for people, and one line of JSON for programs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[1]
CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure is spread; percentiles interpolate between values.

    Attributes:
        n: How many values there are; of none, all others are None.
    """

    n: int
    p50: float | None
    p95: float | None
    p99: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure must reach.

    Attributes:
        name: Of the figure, with its unit.
        value: As measured; None where it was not.
        limit: What it must reach.
        is_ceiling: True where less is better.
    """

    name: str
    value: float | None
    limit: float
    is_ceiling: bool = True

    @property
    def is_met(self) -> bool | None:
        """Whether it is; None where nothing was measured."""
        if self.value is None:
            return None
        if self.is_ceiling:
            return self.value <= self.limit
        return self.value >= self.limit

    def to_json(self) -> dict[str, Any]:
        """Give it for the last line."""
        return {
            "name": self.name,
            "value": shorten(self.value),
            "rule": "<=" if self.is_ceiling else ">=",
            "limit": shorten(self.limit),
            "met": self.is_met,
        }


def spread(values: Sequence[float]) -> Spread:
    """Give the percentiles of some values."""
    if not values:
        return Spread(0, None, None, None, None)
    p50, p95, p99 = (float(p) for p in np.percentile(values, (50, 95, 99)))
    return Spread(len(values), p50, p95, p99, float(max(values)))


def describe_machine() -> dict[str, Any]:
    """Say on what is measured, and how busy it is: to be asked before the run."""
    return {
        "cpu": read_cpu_model(),
        "cores": len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "load_1_min": round(os.getloadavg()[0], 2),
    }


def read_cpu_model() -> str:
    """Give the processor's name, as far as the system tells it."""
    if CPU_INFO.exists():
        for line in CPU_INFO.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def describe_version(model: Path) -> dict[str, Any]:
    """Say what is measured: the commit, and the model by its checksums."""
    manifest = json.loads((model / "manifest.json").read_text(encoding="utf-8"))
    return {
        "commit": ask_git("rev-parse", "HEAD"),
        "is_modified": bool(ask_git("status", "--porcelain", "--", "stream_erc")),
        "model_sha256": manifest["files"],
    }


def ask_git(*arguments: str) -> str | None:
    """Ask git about this tree; None where it is no checkout."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return answer.stdout.strip()


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print aligned columns, the first to the left, all others to the right."""
    table = [[show(cell) for cell in row] for row in (header, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *others in table:
        cells = [
            cell.rjust(width) for cell, width in zip(others, widths[1:], strict=True)
        ]
        print("  ".join([first.ljust(widths[0]), *cells]).rstrip())
    print()


def print_spreads(title: str, spreads: dict[str, Spread]) -> None:
    """Print one line a figure."""
    print_table(
        (title, "n", "p50", "p95", "p99", "max"),
        [(name, *asdict(one).values()) for name, one in spreads.items()],
    )


def print_targets(targets: Sequence[Target]) -> None:
    """Print what had to be reached, and whether it was."""
    words = {True: "met", False: "MISSED", None: "not measured"}
    print_table(
        ("target", "measured", "limit", ""),
        [
            (
                target.name,
                target.value,
                f"{'<=' if target.is_ceiling else '>='} {show(target.limit)}",
                words[target.is_met],
            )
            for target in targets
        ],
    )


def print_document(
    benchmark: str,
    conditions: dict[str, Any],
    figures: dict[str, Any],
    targets: Sequence[Target],
) -> None:
    """Print everything as one line of JSON: the last of stdout.

    Args:
        benchmark: Its name.
        conditions: Machine, version and settings.
        figures: Everything measured.
        targets: What had to be reached.
    """
    document = {
        "benchmark": benchmark,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        **to_plain(conditions),
        "figures": to_plain(figures),
        "targets": [target.to_json() for target in targets],
    }
    sys.stdout.flush()
    print(json.dumps(document, allow_nan=False), flush=True)


def to_plain(value: object) -> Any:
    """Turn figures into what JSON knows, floats short."""
    if isinstance(value, Spread):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {name: to_plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(one) for one in value]
    if isinstance(value, float):
        return shorten(value)
    if isinstance(value, Path):
        return value.name  # a folder of this machine tells nobody anything
    return value


def shorten(value: float | None) -> float | None:
    """Keep four digits behind the point; JSON has no infinity."""
    return None if value is None or not isfinite(value) else round(value, 4)


def show(cell: object) -> str:
    """Write one cell of a table."""
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.0f}" if abs(cell) >= 100 else f"{cell:.3g}"
    return str(cell)
