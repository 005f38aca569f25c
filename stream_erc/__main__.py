"""The command `stream-erc`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from .config import explain, read_settings
from .errors import StreamErcError

SHORT = {"server.host": "--host", "server.port": "--port", "emotion.model": "--model"}
"""Settings that also have a short name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0, or 2 for what cannot start."""
    options = make_parser().parse_args(arguments)
    level = logging.INFO if options.verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(message)s")
    overrides = {
        name: value
        for name, _, _, _ in explain()
        if (value := getattr(options, name)) is not None
    }
    try:
        serve(options.config, overrides)
    except (StreamErcError, OSError) as error:
        line = " ".join(str(error).split())  # libraries tell in several
        print(f"stream-erc: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server could take it as a wish to stop
        return 130
    return 0


def serve(config: Path | None, overrides: dict[str, Any]) -> None:
    """Load the models, then open the socket, and serve until told to stop."""
    settings = read_settings(config, overrides)
    from .engine import Models
    from .server import Server  # the settings are checked before seconds of imports
    from .vad import SileroVad

    server = Server(settings, Models(settings), SileroVad())
    asyncio.run(server.run())


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage has one for each setting."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"stream-erc: {message}; `stream-erc serve --help` lists all\n")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line; every setting has an option."""
    parser = Parser(
        "stream-erc", description="Emotion recognition in live conversations."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    server = commands.add_parser(
        "serve",
        help="serve live sessions over WebSocket",
        description="Serve live sessions over WebSocket. Every option is a key of the "
        "settings file too: --turns.end_silence_ms is end_silence_ms in [turns].",
    )
    server.add_argument(
        "--config", type=Path, metavar="FILE", help="settings file (TOML)"
    )
    server.add_argument(
        "--verbose", action="store_true", help="log what happens to stderr"
    )
    for name, kind, default, text in explain():
        names = [f"--{name}", *([SHORT[name]] if name in SHORT else [])]
        server.add_argument(
            *names,
            dest=name,
            type=kind,
            metavar=kind.__name__.upper(),
            help=f"{text} (default: {default})",
        )
    return parser


if __name__ == "__main__":
    sys.exit(main())
