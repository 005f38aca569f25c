"""Entry -> disk: the thread that writes a server's journal.

Whoever hands in an entry is told once it is on the disk. What cannot be written is
kept while there is room, and its sender told all the same: a full disk stops no
conversation.
"""

from __future__ import annotations

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from .errors import JournalError
from .journal_file import Entry, JournalFile
from .logs import fields
from .metrics import Metrics

log = logging.getLogger(__name__)

MAX_WAITING = 10_000
"""Entries kept while they cannot be written, some 10 MB; more are lost."""

RETRY_S = 1.0
"""After so long writing is tried again."""

PURGE_INTERVAL_S = 3600.0

PURGE_ENTRIES = 1000
"""Removed at once; finals do not wait for more."""

CLOSE_S = 5.0
"""A server that shuts down waits so long for the disk."""

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Waiting:
    """An entry on its way, since when, and what is called at its end."""

    entry: Entry
    tell: Callable[[], None]
    since_s: float


class Journal:
    """Writes entries in their order, all that have come at once.

    Args:
        path: Of the file.
        days: How long entries are kept; 0: for ever.
        metrics: Told of what fails.

    Raises:
        JournalError: If the file cannot be used.
    """

    def __init__(self, path: Path, days: int, metrics: Metrics) -> None:
        self._path = path
        self._days = days
        self._metrics = metrics
        self._file: JournalFile | None = JournalFile(path)  # None: to be opened again
        self._file.check()
        self._inbox: queue.Queue[Waiting | None] = queue.Queue(MAX_WAITING)
        self._unwritten: list[Entry] = []  # for want of a disk
        self._is_failing = False
        self._purge_at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="journal", daemon=True)
        self._thread.start()

    def write(self, entry: Entry, tell: Callable[[], None]) -> None:
        """Hand in an entry; never waits.

        Args:
            entry: Comes behind all that were handed in before.
            tell: Called in the journal's thread, or here: the entry is on the disk, or
                cannot be put there now.
        """
        try:
            self._inbox.put_nowait(Waiting(entry, tell, time.monotonic()))
        except queue.Full:  # the disk does not answer at all
            self._metrics.journal_lost.inc()
            tell()

    def close(self) -> None:
        """Write what has come, and stop; a disk that does not answer is left alone."""
        with suppress(queue.Full):
            self._inbox.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("the journal could not be closed; its last entries are lost")

    def _run(self) -> None:
        is_last = False
        while not is_last:
            came, is_last = self._collect()
            self._store([*self._unwritten, *(one.entry for one in came)])
            for one in came:
                self._metrics.journal.observe(time.monotonic() - one.since_s)
                one.tell()
        self._lose(len(self._unwritten))
        if self._file:
            self._file.close()

    def _collect(self) -> tuple[list[Waiting], bool]:
        """Wait for entries, or for other work; tell whether they are the last."""
        came: list[Waiting] = []
        due_s = RETRY_S if self._is_failing else self._purge_at_s - time.monotonic()
        with suppress(queue.Empty):
            one = self._inbox.get(timeout=max(0.0, due_s))
            while one is not None:
                came.append(one)
                one = self._inbox.get_nowait()
            return came, True
        return came, False

    def _store(self, entries: list[Entry]) -> None:
        try:
            if self._file is None:
                self._file = JournalFile(self._path)
            if entries:
                self._file.append(entries)
            if time.monotonic() >= self._purge_at_s:
                self._purge(self._file)
        except (sqlite3.Error, OSError, JournalError) as error:
            self._fail(error)
            self._unwritten = entries[:MAX_WAITING]
            self._lose(len(entries) - len(self._unwritten))
        else:
            self._unwritten = []
            if self._is_failing:
                log.warning("the journal is written again")
            self._is_failing = False

    def _fail(self, error: Exception) -> None:
        self._metrics.journal_errors.inc()
        if not self._is_failing:
            log.error(
                "the journal cannot be written; sessions go on",
                extra=fields(error=error),
            )
        self._is_failing = True
        if self._file:  # whatever is wrong, it is found anew
            with suppress(sqlite3.Error):
                self._file.close()
            self._file = None

    def _lose(self, n_entries: int) -> None:
        if n_entries:
            self._metrics.journal_lost.inc(n_entries)
            log.error("the journal lost entries", extra=fields(entries=n_entries))

    def _purge(self, file: JournalFile) -> None:
        """Remove some of what is too old; the rest before long."""
        n_removed = 0
        if self._days:
            before_ms = time.time_ns() // 1_000_000 - self._days * DAY_MS
            n_removed = file.purge(before_ms, PURGE_ENTRIES)
        if n_removed < PURGE_ENTRIES:
            file.forget()
            self._purge_at_s = time.monotonic() + PURGE_INTERVAL_S
