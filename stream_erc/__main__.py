"""The command `stream-erc`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from .admission import Admission, hash_token, make_token, require_name
from .config import Settings
from .errors import StreamErcError, reason
from .health import ask
from .logs import fields, open_log
from .machine import give_way, usable_cores
from .settings import explain, read_settings
from .version import VERSION

if TYPE_CHECKING:
    from .engine import Models
    from .ray_pool import RayPool

log = logging.getLogger(__name__)

SHORT = {
    "server.host": "--host",
    "server.port": "--port",
    "server.insecure": "--insecure",
    "emotion.model": "--model",
    "log.format": "--log-format",
    "journal.file": "--journal",
    "journal.record": "--record",
    "engine.kind": "--engine",
    "cluster.address": "--address",
}
"""Settings that also have a short name."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        Its exit code: 0, 1 for a server that is not well, or 2 for what cannot start.
    """
    options = make_parser().parse_args(arguments)
    try:
        if options.command == "token":
            print_token(options.name)
        elif options.command == "export":
            export_journal(options)
        elif options.command == "health":
            return tell_health(options)
        else:
            serve(options)
    except (StreamErcError, OSError) as error:
        line = " ".join(reason(error).split())  # libraries tell in several
        file = getattr(error, "filename", None)
        print(f"stream-erc: {f'{file}: ' * bool(file)}{line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server could take it as a wish to stop
        return 130
    return 0


def join_settings(options: argparse.Namespace) -> Settings:
    """Join the settings file and what the command line has of settings.

    Raises:
        ConfigError: If something does not fit.
    """
    overrides = {
        name: value
        for name, _, _, _ in explain()
        if (value := getattr(options, name, None)) is not None
    }
    return read_settings(options.config, overrides)


def serve(options: argparse.Namespace) -> None:
    """Load the models, then open the socket, and serve until told to stop."""
    settings = join_settings(options)
    open_log(settings.log, logging.INFO if options.verbose else logging.WARNING)
    log.info("usable cores", extra=fields(cores=usable_cores()))
    admission = Admission(settings.server)
    from .server import Server  # the settings are checked before seconds of imports
    from .vad import SileroVad

    started_s = time.perf_counter()
    models = load_models(settings)
    vad = SileroVad()
    load_s = time.perf_counter() - started_s
    log.info("models are loaded", extra=fields(stage="load", ms=round(load_s * 1000)))
    server = Server(settings, admission, models, vad)
    server.metrics.model_load.set(load_s)
    if not asyncio.run(server.run()):
        log.warning("a model still works on something; it is left")
        logging.shutdown()
        os._exit(0)  # an orderly exit would wait for its thread, or crash in it


def load_models(settings: Settings) -> Models | RayPool:
    """Load the models, or join those that a pool has loaded.

    Raises:
        ConfigError: If Ray is wanted, and not installed.
        ModelError: If a model is missing, damaged or none of ours.
        ClusterError: If there is no pool of these models.
    """
    if settings.engine.kind == "ray":
        from .ray_pool import RayPool

        return RayPool(settings)
    from .engine import Models

    # CTranslate2's threads are as nice as the one that starts them.
    with ThreadPoolExecutor(1, "load", initializer=give_way) as loader:
        return loader.submit(Models, settings).result()


def tell_health(options: argparse.Namespace) -> int:
    """Print what the server of these settings says; give the exit code."""
    is_well, told = ask(
        join_settings(options).server, "/readyz" if options.ready else "/healthz"
    )
    print(told, file=sys.stdout if is_well else sys.stderr)
    return 0 if is_well else 1


def print_token(name: str) -> None:
    """Print a fresh token, and the line that lets it in.

    Raises:
        ConfigError: If the name cannot stand in the file.
    """
    require_name(name, "token")
    token = make_token()
    print("The token, for the client; it is shown this once:", file=sys.stderr)
    print(token)
    print("Its line in the file of --server.tokens:", file=sys.stderr)
    print(name, hash_token(token).hex())


def export_journal(options: argparse.Namespace) -> None:
    """Write what a journal has, for others to read.

    Raises:
        JournalError: If it cannot be read.
        OSError: If it cannot be written.
    """
    from .export import export  # knows the emotions, hence numpy
    from .journal_file import Selection

    wanted = Selection(
        session_id=options.session,
        conversation_id=options.conversation,
        owner=options.owner,
        since_ms=options.since,
    )
    if options.out is None:
        export(options.file, options.format, wanted, sys.stdout)
        return
    private = partial(os.open, mode=0o600)
    with open(
        options.out, "w", encoding="utf-8", newline="", opener=private
    ) as written:
        export(options.file, options.format, wanted, written)


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage has one for each setting."""

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"stream-erc: {message}; `{self.prog} --help` lists all\n")


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line; every setting has an option."""
    parser = Parser(
        "stream-erc", description="Emotion recognition in live conversations."
    )
    parser.add_argument("--version", action="version", version=f"stream-erc {VERSION}")
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
        add_setting(server, name, kind, default, text)
    token = commands.add_parser(
        "token",
        help="make a token for a client",
        description="Make a token: print it, and its line for the file of "
        "--server.tokens. The server keeps hashes alone.",
    )
    token.add_argument("name", metavar="NAME", help="whose it is; tells owners apart")
    health = commands.add_parser(
        "health",
        help="ask the server on this machine how it is",
        description="Ask the server on this machine whether it is alive; give it the "
        "settings of that server. Exit code 0: it is; 1: it is not; 2: wrong settings.",
    )
    health.add_argument("--config", type=Path, metavar="FILE", help="its settings file")
    health.add_argument(
        "--ready", action="store_true", help="ask whether it takes sessions, too"
    )
    for name, kind, default, text in explain():
        if name.startswith("server."):
            add_setting(health, name, kind, default, text)
    add_export(commands.add_parser("export", help="write a journal for others to read"))
    return parser


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `export` takes."""
    parser.description = (
        "Write what a journal has; the server may run meanwhile. JSON Lines has every "
        "message; CSV a row for each turn, a text that begins like a formula with ' "
        "before it; WebVTT the captions of one conversation."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the journal")
    parser.add_argument("--format", choices=("jsonl", "csv", "vtt"), default="jsonl")
    parser.add_argument("--session", metavar="ID", help="this session alone")
    parser.add_argument("--conversation", metavar="ID", help="this conversation alone")
    parser.add_argument("--owner", metavar="NAME", help="sessions of this token alone")
    parser.add_argument(
        "--since",
        type=read_time_ms,
        metavar="TIME",
        help="what came later, such as 2026-11-23 or 2026-11-23T09:00+01:00; UTC where "
        "it does not say",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="instead of the standard output"
    )


def read_time_ms(text: str) -> int:
    """Read a time of ISO 8601 as milliseconds since 1970, UTC.

    Raises:
        ArgumentTypeError: If it is none.
    """
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"expected a time of ISO 8601, got {text!r}"
        ) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return round(time.timestamp() * 1000)


def add_setting(
    parser: argparse.ArgumentParser, name: str, kind: type, default: Any, text: str
) -> None:
    """Give the command line an option for a setting."""
    names = [f"--{name}", *([SHORT[name]] if name in SHORT else [])]
    if kind is bool:
        parser.add_argument(
            *names, dest=name, action="store_true", default=None, help=text
        )
        return
    shown = "none" if default in ("", ()) else default
    parser.add_argument(
        *names,
        dest=name,
        type=split_at_commas if kind is tuple else kind,
        metavar="A,B" if kind is tuple else kind.__name__.upper(),
        help=f"{text} (default: {shown})",
    )


def split_at_commas(text: str) -> tuple[str, ...]:
    """Read a list from the command line."""
    return tuple(text.split(","))


if __name__ == "__main__":
    sys.exit(main())
