"""How fast two workers of Ray transcribe, against one process with two threads.

python -m benchmarks.workers [RECORDINGS ...] [--rounds 2]

`offline transcribe` runs with each engine in turn, each time from nothing, so that
whatever else the machine does meets both alike. Both must write the same bytes. Whole
runs count, and beside them the rate once the first recording is done: Ray takes seconds
to start, and each of its workers loads the models.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.cluster_environment import find_python
from benchmarks.options import exit_with
from benchmarks.report import (
    ROOT,
    Target,
    describe_machine,
    describe_version,
    print_document,
    print_table,
    print_targets,
)
from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ConfigError

ENGINES = {
    "local, two threads": ("--asr.threads", "2"),
    "ray, two workers": ("--engine", "ray", "--workers", "2"),
}
COMMITTED = ROOT / "tests" / "audio" / "ravdess"
LOOK_S = 0.01


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the command.

    Attributes:
        whole_s: From its start to its end.
        rate_hz: Recordings a second after the first of them.
        lines: What it wrote.
    """

    whole_s: float
    rate_hz: float
    lines: bytes


async def transcribe(python: str, recordings: list[str], out: Path, *how: str) -> Run:
    """Run the command once.

    Raises:
        ConfigError: If it fails.
    """
    started_s = time.monotonic()
    command = ["-m", "offline", "transcribe", *recordings, "--out", str(out), *how]
    process = await asyncio.create_subprocess_exec(
        python, *command, stderr=asyncio.subprocess.PIPE, cwd=ROOT
    )
    ending = asyncio.create_task(process.communicate(), name="the command's end")
    journal = out.with_name(out.name + ".done")
    # A line for the settings, then one for each recording.
    while not ending.done() and count_lines(journal) < 2:
        await asyncio.wait({ending}, timeout=LOOK_S)
    n_first, first_s = count_lines(journal), time.monotonic()
    _, said = await ending
    ended_s = time.monotonic()
    n_more = count_lines(journal) - n_first
    if process.returncode or not n_more:
        told = said.decode()[-400:]
        raise ConfigError(f"RECORDINGS: expected several to hear, got: {told}")
    lines = await asyncio.to_thread(out.read_bytes)
    return Run(ended_s - started_s, n_more / (ended_s - first_s), lines)


def count_lines(file: Path) -> int:
    """Give how many lines a file has; none where there is no file."""
    return file.read_bytes().count(b"\n") if file.exists() else 0


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    python = find_python()
    recordings = [str(path.resolve()) for path in options.recordings]
    runs: dict[str, list[Run]] = {name: [] for name in ENGINES}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.rounds):
            for name, how in ENGINES.items():
                out = Path(folder) / f"{name} {number}.jsonl"
                runs[name].append(await transcribe(python, recordings, out, *how))
    report(options.rounds, machine, runs)
    return 0


def report(rounds: int, machine: dict[str, Any], runs: dict[str, list[Run]]) -> None:
    """Print the table, the targets and the last line."""
    print_table(
        ("medians", "whole s", "recordings/s after the first"),
        [
            (name, median(r.whole_s for r in some), median(r.rate_hz for r in some))
            for name, some in runs.items()
        ],
    )
    local, ray = runs.values()
    whole = median(r.whole_s for r in local) / median(r.whole_s for r in ray)
    rate = median(r.rate_hz for r in ray) / median(r.rate_hz for r in local)
    n_other = len({run.lines for some in runs.values() for run in some}) - 1
    targets = [
        Target("speed of whole runs, ray / local", whole, 1.0, is_ceiling=False),
        Target("rate after the first, ray / local", rate, 1.0, is_ceiling=False),
        Target("runs with other bytes", n_other, 0.0),
    ]
    print_targets(targets)
    settings = {"rounds": rounds, "bytes": len(local[0].lines)}
    conditions = {
        "machine": machine,
        "version": describe_version(DEFAULT_MODEL),
        "settings": settings,
    }
    figures = {
        name: {
            "whole_s": [run.whole_s for run in some],
            "rate_hz": [run.rate_hz for run in some],
        }
        for name, some in runs.items()
    }
    print_document("workers", conditions, figures, targets)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.workers",
        description="Two workers of Ray against one process with two threads.",
    )
    parser.add_argument(
        "recordings",
        nargs="*",
        type=Path,
        default=[COMMITTED],
        metavar="RECORDINGS",
        help="files or folders (default: the clips of tests/audio/ravdess)",
    )
    parser.add_argument("--rounds", type=int, default=2, help="runs of each engine")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: expected at least 1, got {options.rounds}")
    return options


if __name__ == "__main__":
    exit_with(measure(read_options()))
