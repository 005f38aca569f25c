"""Event, Samples -> disk: what is kept of sessions, where the operator wants it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from . import events
from .config import JournalConfig
from .journal import Journal
from .journal_file import Entry
from .listener import Tap
from .metrics import Metrics
from .recorder import Recorder

MAX_HELD_S = 2.0
"""A disk that does not answer holds a message back for so long; a full one does not."""

KEPT = (
    events.SessionStarted
    | events.TurnStarted
    | events.TurnEnded
    | events.TranscriptFinal
    | events.EmotionFinal
    | events.SessionEnded
)
"""The finals, and what is needed to make sense of them."""


class Chapter:
    """One session's part of the journal; used by the event loop alone.

    Args:
        journal: Of the server.
        session_id: Its identifier.
        owner: Whose session it is.
        conversation_id: None where it shares none.
    """

    def __init__(
        self, journal: Journal, session_id: str, owner: str, conversation_id: str | None
    ) -> None:
        self._journal = journal
        self._session_id = session_id
        self._owner = owner
        self._conversation_id = conversation_id
        self._n_entries = 0

    def write(self, event: events.Event, release: Callable[[], None]) -> None:
        """Write an event.

        Args:
            event: One of `KEPT`.
            release: Called in the event loop, once: the event may be told.
        """
        entry = Entry(
            at_ms=time.time_ns() // 1_000_000,
            owner=self._owner,
            conversation_id=self._conversation_id,
            session_id=self._session_id,
            place=self._n_entries,
            message=spell(event),
        )
        self._n_entries += 1
        loop = asyncio.get_running_loop()

        def settle() -> None:
            if not timer.cancelled():
                timer.cancel()
                release()

        timer = loop.call_later(MAX_HELD_S, settle)

        def tell() -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)

        self._journal.write(entry, tell)


def spell(event: events.Event) -> str:
    """Write an event as JSON, without what the journal has no use for."""
    said = msgspec.to_builtins(event)
    del said["seq"]  # given when it leaves
    if isinstance(event, events.SessionStarted):
        said["resume_token"] = None  # who has it could resume
    return msgspec.json.encode(said).decode()


class Archive:
    """The journal and the recordings of a server; each may be off.

    Args:
        config: What is kept, and where.
        metrics: Told of what fails.

    Raises:
        JournalError: If one cannot be written.
    """

    def __init__(self, config: JournalConfig, metrics: Metrics) -> None:
        self._recorder = (
            Recorder(Path(config.record), config.days, metrics)
            if config.record
            else None
        )
        self._journal = (
            Journal(Path(config.file), config.days, metrics) if config.file else None
        )

    def open_chapter(
        self, session_id: str, owner: str, start: events.SessionStart
    ) -> Chapter | None:
        """Begin to keep the messages of a session; None where the journal is off."""
        if self._journal is None:
            return None
        return Chapter(self._journal, session_id, owner, start.conversation_id)

    @contextmanager
    def record(self, session_id: str) -> Iterator[Tap | None]:
        """Keep the audio of a session that comes in; None where none is kept."""
        if self._recorder is None:
            yield None
            return
        recording = self._recorder.open(session_id)
        try:
            yield recording.add
        finally:
            recording.end()

    def close(self) -> None:
        """Write what has come; no session may be left."""
        for part in (self._journal, self._recorder):
            if part:
                part.close()
