"""The command line that benchmarks share, and what follows from it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks.dialogues import COMMITTED
from benchmarks.report import describe_version
from benchmarks.serving import RunningServer, serving
from clients.program import USAGE, complain, run
from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ConfigError

MODEL_SETTING = "emotion.model="


def make_clips_parser(module: str, description: str) -> argparse.ArgumentParser:
    """Begin a command line with what is heard."""
    parser = argparse.ArgumentParser(f"python -m {module}", description=description)
    parser.add_argument(
        "--data",
        type=Path,
        metavar="FOLDER",
        help="holds ravdess/ and speech/, each with a clips.jsonl "
        "(default: the few clips of tests/audio)",
    )
    parser.add_argument(
        "--actors", default="21-24", help="of RAVDESS, two a dialogue (default: 21-24)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of order and pauses")
    parser.add_argument(
        "--fill",
        choices=("noise", "zeros"),
        default="noise",
        help="what the pauses hold: noise of one bit, or nothing (default: noise)",
    )
    return parser


def make_parser(module: str, description: str) -> argparse.ArgumentParser:
    """Begin a command line with what is heard, and by which server."""
    parser = make_clips_parser(module, description)
    parser.add_argument(
        "--speakers",
        choices=("set", "never"),
        default="set",
        help="speaker.set once the turn before has its emotion, or never",
    )
    add_server(parser)
    return parser


def add_server(parser: argparse.ArgumentParser) -> None:
    """Let a command line say which server is measured; see `serving_as_asked`."""
    parser.add_argument(
        "--url", help="of a server that runs already; its process is not measured"
    )
    parser.add_argument(
        "--serve",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="setting of the server, as asr.threads=2; may be given again",
    )


@asynccontextmanager
async def serving_as_asked(options: argparse.Namespace) -> AsyncIterator[RunningServer]:
    """Run a server as the command line asks, or take the one that it names."""
    if options.url:
        yield RunningServer(options.url)
        return
    async with serving([f"--{setting}" for setting in options.serve]) as server:
        yield server


def find_clips(options: argparse.Namespace) -> Path:
    """Give the folder of the clips, and say so where it is the small one."""
    if options.data is None:
        print("clips: those of tests/audio; --data FOLDER for the whole corpora\n")
        return COMMITTED
    folder: Path = options.data
    return folder


def describe(options: argparse.Namespace, machine: dict[str, Any]) -> dict[str, Any]:
    """Give all that the figures hang on, without the names of this machine's folders.

    Args:
        options: The command line.
        machine: As `describe_machine` gave it before the run.
    """
    settings = {**vars(options)}
    settings["data"] = "tests/audio" if options.data is None else "corpora"
    # Nobody here knows the model of a server that runs elsewhere.
    is_elsewhere = settings.get("url") is not None
    model = model_of(settings.get("serve", []))
    version = None if is_elsewhere else describe_version(model)
    return {"machine": machine, "version": version, "settings": settings}


def model_of(serve: list[str]) -> Path:
    """Give the model's folder: the shipped one, or what `--serve` names."""
    named = [one.partition("=")[2] for one in serve if one.startswith(MODEL_SETTING)]
    return Path(named[-1]) if named else DEFAULT_MODEL


def run_benchmark(program: Coroutine[None, None, int]) -> int:
    """Run a benchmark; whatever a user can cause becomes one line on stderr."""
    try:
        return run(program)
    except (ConfigError, OSError) as error:
        complain(error)
        return USAGE


def exit_with(program: Coroutine[None, None, int]) -> None:
    """Run a benchmark and leave with its exit code."""
    sys.exit(run_benchmark(program))
