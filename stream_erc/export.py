"""Entry -> Said -> a file: a journal for others to read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

import msgspec

from .errors import JournalError
from .forms import (
    FinishedTurn,
    Said,
    join_turns,
    write_csv,
    write_json_lines,
    write_srt,
    write_table,
    write_vtt,
)
from .journal_file import Entry, Selection, read_entries
from .textgrid import write_textgrid

WHOSE = ("session_id", "conversation_id", "owner", "at")

OF_ONE = {
    "vtt": write_vtt,
    "srt": write_srt,
    "textgrid": write_textgrid,
    "table": write_table,
}
"""Forms that have one clock, and so hold one conversation."""

FORMS = ("jsonl", "csv", *OF_ONE)

NAMED = 5
"""Conversations that are named where there are too many."""


def export(path: Path, form: str, wanted: Selection, out: TextIO) -> None:
    """Write what is wanted of a journal; a server may be writing to it.

    Args:
        path: Of the journal.
        form: One of `FORMS`.
        wanted: Of its sessions; what they had before `since_ms` is left out.
        out: Opened with newline="".

    Raises:
        JournalError: If the journal cannot be read, has nothing of whom was asked for,
            or has more conversations than the form can hold.
    """
    entries = require_found(read_entries(path, wanted), path, wanted)
    write(entries, form, wanted.since_ms or 0, out)


def write(entries: Iterable[Entry], form: str, since_ms: int, out: TextIO) -> None:
    """Write entries in a form; see `export`."""
    messages = map(read, entries)
    if form == "jsonl":
        write_json_lines((said for said in messages if said.at_ms >= since_ms), out)
    elif form == "csv":
        write_csv(join_turns(messages, since_ms), WHOSE, out)
    else:
        OF_ONE[form](
            require_one_conversation(form, join_turns(messages, since_ms)), out
        )


def require_found(
    entries: Iterator[Entry], path: Path, wanted: Selection
) -> Iterator[Entry]:
    """Give entries on; what was asked for by name must have some."""
    is_found = False
    for entry in entries:
        is_found = True
        yield entry
    named = {
        "session": wanted.session_id,
        "conversation": wanted.conversation_id,
        "owner": wanted.owner,
    }
    asked = ", ".join(f"{kind} {name!r}" for kind, name in named.items() if name)
    if asked and not is_found:
        raise JournalError(f"{path}: expected messages of {asked}, got none")


def require_one_conversation(
    form: str, turns: Iterable[FinishedTurn]
) -> list[FinishedTurn]:
    """Refuse to mix what has no common clock.

    Raises:
        JournalError: If there is more than one conversation.
    """
    found = list(turns)
    conversations = {turn.emotion.conversation for turn in found}
    if len(conversations) > 1:
        names = sorted(name for _, name in conversations)
        told = ", ".join(map(repr, names[:NAMED])) + (", …" if names[NAMED:] else "")
        raise JournalError(
            f"{form}: expected one conversation, got {len(conversations)} ({told}); "
            f"choose with --session, --conversation, --owner"
        )
    return found


def read(entry: Entry) -> Said:
    """Read what the journal has of a message."""
    at = datetime.fromtimestamp(entry.at_ms / 1000, UTC)
    return Said(
        message=msgspec.json.decode(entry.message),
        session=entry.session_id,
        conversation=(entry.owner, entry.conversation_id or entry.session_id),
        whose={
            "session_id": entry.session_id,
            "conversation_id": entry.conversation_id,
            "owner": entry.owner,
            "at": at.isoformat(timespec="milliseconds"),
        },
        at_ms=entry.at_ms,
    )
