"""What the command `stream-erc` takes; every setting has an option."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from .settings import explain
from .version import VERSION

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

EXPORTED = ("jsonl", "csv", "vtt", "srt", "textgrid", "table")
HEARING = ("vad.", "turns.", "asr.", "gates.", "emotion.", "speakers.")
"""Settings that a recording is transcribed by."""

TRANSCRIBED = ("table", "jsonl", "csv", "vtt", "srt", "textgrid", "png")


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line; the usage has one for each setting.

    Options cannot be shortened: the next version may have another that begins so.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.allow_abbrev = False

    def error(self, message: str) -> NoReturn:
        """Leave with exit code 2."""
        self.exit(2, f"stream-erc: {message}; `{self.prog} --help` lists all\n")


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; leave with exit code 2 where something is not known."""
    parser = make_parser()
    options, unknown = parser.parse_known_args(arguments)
    if unknown:
        parser.prog = f"{parser.prog} {options.command}"  # whose help has the others
        parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    return options


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
    add_tune(commands.add_parser("tune", help="choose threads by trying them out"))
    add_export(commands.add_parser("export", help="write a journal for others to read"))
    add_transcribe(
        commands.add_parser("transcribe", help="recordings to turns, words, emotions")
    )
    return parser


def add_tune(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `tune` takes."""
    parser.description = (
        "Choose asr.threads and asr.workers for this machine by trying them out with "
        "the recognizer of the settings; print them. Let nothing else run beside it."
    )
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="settings file (TOML) that they are written to; it need not be there",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="replace those that the file has"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="to measure in all (default: 60)"
    )


def add_export(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `export` takes."""
    parser.description = (
        "Write what a journal has; the server may run meanwhile. JSON Lines has every "
        "message; CSV a row for each turn, a text that begins like a formula with ' "
        "before it. The others hold one conversation: captions as WebVTT or SubRip, a "
        "TextGrid for Praat, a table for people."
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the journal")
    parser.add_argument("--format", choices=EXPORTED, default="jsonl")
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


def add_transcribe(parser: argparse.ArgumentParser) -> None:
    """Give a parser what `transcribe` takes."""
    parser.description = (
        "Give the turns of recordings, their words and emotions, as the server would "
        "tell them. Folders are searched for all that FFmpeg decodes, films too. Two "
        "channels are two speakers of one conversation, unless they are the same. Exit "
        "code 1: a recording failed, or has a result made with other settings; the "
        "others were transcribed."
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="recording, or a folder")
    add(
        "--speakers",
        type=split_at_commas,
        default=(),
        metavar="A,B",
        help="names of those on the left and right; one name: both channels are mixed; "
        "auto: voices are told apart",
    )
    add("--format", choices=TRANSCRIBED, default="table", help="(default: table)")
    add(
        "--out",
        type=Path,
        metavar="DIR",
        help="write a file for each recording; those whose file is there are left out",
    )
    add("--overwrite", action="store_true", help="do again what is there")
    add("--config", type=Path, metavar="FILE", help="settings file (TOML) of a server")
    for name, kind, default, text in explain():
        if name.startswith(HEARING):
            add_setting(parser, name, kind, default, text)


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
