"""Entry -> JSON Lines, CSV, WebVTT: a journal for others to read.

The columns and captions are those of the page's own exports.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

import msgspec

from .errors import JournalError
from .flow import EMOTIONS
from .journal_file import Entry, Selection, read_entries

Message = dict[str, Any]
"""A message of the protocol, as its fields."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for a formula (OWASP, "CSV Injection")."""

COLUMNS = ("turn", "speaker", "start_ms", "end_ms", "text", "rejected", "emotion")
WHOSE = ("session_id", "conversation_id", "owner", "at")


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """One turn that has its finals.

    Attributes:
        entry: That of its emotion.
        zero_ms: When its session's audio began, in milliseconds since 1970, UTC.
        ended: Its `turn.ended`.
        transcript: Its `transcript.final`.
        emotion: Its `emotion.final`.
    """

    entry: Entry
    zero_ms: int
    ended: Message
    transcript: Message
    emotion: Message


def export(path: Path, form: str, wanted: Selection, out: TextIO) -> None:
    """Write what is wanted of a journal; a server may be writing to it.

    Args:
        path: Of the journal.
        form: One of `WRITERS`.
        wanted: Of its sessions; what they had before `since_ms` is left out.
        out: Opened with newline="".

    Raises:
        JournalError: If the journal cannot be read, has no such session, or has more
            conversations than the form can hold.
    """
    entries = require_found(read_entries(path, wanted), path, wanted.session_id)
    WRITERS[form](entries, wanted.since_ms or 0, out)


def require_found(
    entries: Iterator[Entry], path: Path, session_id: str | None
) -> Iterator[Entry]:
    """Give entries on; a session that was asked for by name must have some."""
    is_found = False
    for entry in entries:
        is_found = True
        yield entry
    if session_id and not is_found:
        raise JournalError(f"{path}: expected a session of it, got {session_id!r}")


def write_json_lines(entries: Iterable[Entry], since_ms: int, out: TextIO) -> None:
    """Write every message, with whose it is; the page can open those of a session."""
    for entry in entries:
        if entry.at_ms >= since_ms:
            message = msgspec.json.decode(entry.message) | whose(entry)
            out.write(f"{msgspec.json.encode(message).decode()}\n")


def write_csv(entries: Iterable[Entry], since_ms: int, out: TextIO) -> None:
    """Write a row for each finished turn, a column for each probability (RFC 4180)."""
    rows = csv.writer(out, lineterminator="\r\n")
    rows.writerow([*COLUMNS, *EMOTIONS, *WHOSE])
    for turn in finished_turns(entries, since_ms):
        probabilities = turn.emotion["probabilities"]
        rows.writerow(
            [
                turn.ended["turn"],
                guard(turn.ended["speaker"]),
                turn.ended["start_ms"],
                turn.ended["end_ms"],
                guard(turn.transcript["text"]),
                str(turn.transcript["rejected"]).lower(),
                turn.emotion["label"],
                *(probabilities.get(label, "") for label in EMOTIONS),
                *(guard(value or "") for value in whose(turn.entry).values()),
            ]
        )


def write_vtt(entries: Iterable[Entry], since_ms: int, out: TextIO) -> None:
    """Write a cue for each finished turn that has words, in the order of their starts.

    Several sessions of one conversation share the clock of the first.

    Raises:
        JournalError: If there is more than one conversation.
    """
    turns = list(finished_turns(entries, since_ms))
    require_one_conversation(turns)
    zero_ms = min((turn.zero_ms for turn in turns), default=0)
    turns.sort(key=lambda turn: turn.zero_ms + turn.ended["start_ms"])
    out.write("WEBVTT\n")
    for number, turn in enumerate(turns, 1):
        if text := escape_vtt(turn.transcript["text"]):
            offset_ms = turn.zero_ms - zero_ms
            start = vtt_time(turn.ended["start_ms"] + offset_ms)
            end = vtt_time(turn.ended["end_ms"] + offset_ms)
            who = " ".join(escape_vtt(turn.ended["speaker"]).split())
            label = turn.emotion["label"]
            percent = math.floor(turn.emotion["probabilities"][label] * 100 + 0.5)
            out.write(f"\n{number}\n{start} --> {end}\n<v {who}>{text}</v>\n")
            out.write(f"[{escape_vtt(label)} {percent} %]\n")


WRITERS: dict[str, Callable[[Iterable[Entry], int, TextIO], None]] = {
    "jsonl": write_json_lines,
    "csv": write_csv,
    "vtt": write_vtt,
}
"""By the names of the formats."""


def finished_turns(entries: Iterable[Entry], since_ms: int) -> Iterator[FinishedTurn]:
    """Join the messages of each turn; in the order of their emotions."""
    zeros_ms: dict[str, int] = {}
    unfinished: dict[tuple[str, int], dict[str, Message]] = {}
    for entry in entries:
        message = msgspec.json.decode(entry.message)
        zero_ms = zeros_ms.setdefault(
            entry.session_id, entry.at_ms - message["time_ms"]
        )
        if "turn" not in message:
            continue
        key = entry.session_id, message["turn"]
        parts = unfinished.setdefault(key, {})
        parts[message["type"]] = message
        if message["type"] == "emotion.final":
            del unfinished[key]
            is_whole = {"turn.ended", "transcript.final"} <= parts.keys()
            if is_whole and entry.at_ms >= since_ms:
                ended, transcript = parts["turn.ended"], parts["transcript.final"]
                yield FinishedTurn(entry, zero_ms, ended, transcript, message)


def require_one_conversation(turns: Iterable[FinishedTurn]) -> None:
    """Refuse to mix what has no common clock.

    Raises:
        JournalError: If there is more than one conversation.
    """
    conversations = {
        (turn.entry.owner, turn.entry.conversation_id or turn.entry.session_id)
        for turn in turns
    }
    if len(conversations) > 1:
        raise JournalError(
            f"vtt: expected one conversation, got {len(conversations)}; choose with "
            f"--session, --conversation, --owner"
        )


def whose(entry: Entry) -> dict[str, str | None]:
    """Give the fields of `WHOSE`."""
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    return {
        "session_id": entry.session_id,
        "conversation_id": entry.conversation_id,
        "owner": entry.owner,
        "at": at.isoformat(timespec="milliseconds"),
    }


def guard(text: str) -> str:
    """Keep a spreadsheet from calculating what somebody said."""
    return f"'{text}" if text.startswith(FORMULA) else text


def vtt_time(ms: int) -> str:
    """Write a time as WebVTT does."""
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest_ms // 1000:02}.{rest_ms % 1000:03}"


def escape_vtt(text: str) -> str:
    """Write as entities what would end a cue or a tag."""
    flat = " ".join(text.splitlines())
    return flat.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
