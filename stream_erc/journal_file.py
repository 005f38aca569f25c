"""Entry <-> SQLite: what a journal holds, and which files are journals.

One table; a row for each message that is kept, and whose it is. Readers may
come while the server writes (write-ahead log).
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from errno import ENOENT
from pathlib import Path

from .errors import JournalError, reason

APPLICATION_ID = 0x65726331  # tells our files from those of other programs
VERSION = 1

SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE events (
    id INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    owner TEXT NOT NULL,
    conversation_id TEXT,
    session_id TEXT NOT NULL,
    place INTEGER NOT NULL,
    message TEXT NOT NULL,
    UNIQUE (session_id, place)
);
CREATE INDEX events_at ON events (at_ms);
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {VERSION};
COMMIT;
"""

COLUMNS = "at_ms, owner, conversation_id, session_id, place, message"

BUSY_S = 1.0
"""How long to wait for another program that writes."""

CHECK_S = 3.0
"""How long to look for damage; a page of 4 KiB takes some 15 microseconds."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A message of a session.

    Attributes:
        at_ms: When it was caused, in milliseconds since 1970, UTC.
        owner: Whose session it is.
        conversation_id: None where the session shares none.
        session_id: Its session.
        place: Which of its entries it is, from 0.
        message: JSON, as sent but for `seq`, which is given when it leaves, and
            `resume_token`, which would open the session to a reader.
    """

    at_ms: int
    owner: str
    conversation_id: str | None
    session_id: str
    place: int
    message: str

    @property
    def row(self) -> tuple[int, str, str | None, str, int, str]:
        """Its values in the order of `COLUMNS`."""
        return (
            self.at_ms,
            self.owner,
            self.conversation_id,
            self.session_id,
            self.place,
            self.message,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which sessions are wanted; None leaves open.

    Attributes:
        session_id: This one alone.
        conversation_id: Those of this conversation.
        owner: Those of this owner.
        since_ms: Those with an entry at or after it, in milliseconds since 1970, UTC.
    """

    session_id: str | None = None
    conversation_id: str | None = None
    owner: str | None = None
    since_ms: int | None = None


class JournalFile:
    """A journal, open for writing; for one thread at a time.

    What was appended survives a crash of the process and of the machine: every commit
    is forced to the disk.

    Args:
        path: Of the file; made, for its owner alone, where there is none.

    Raises:
        JournalError: If it is no journal of ours, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path.absolute()
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))
            self._db = sqlite3.connect(
                self._path,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
        except (OSError, sqlite3.Error) as error:
            raise refuse(path, error) from error
        try:
            if self._is_new():
                self._db.executescript(SCHEMA)
            require_ours(self._db, path)
            self._prepare()
            self._files = self._identify()
        except (OSError, sqlite3.Error) as error:
            self._db.close()
            raise refuse(path, error) from error
        except JournalError:
            self._db.close()
            raise

    def append(self, entries: Sequence[Entry]) -> None:
        """Write entries in one transaction; those that are there already stay.

        Raises:
            sqlite3.Error: If it cannot be written; then nothing is.
            OSError: If the file was taken away.
        """
        self._require_in_place()
        self._db.execute("BEGIN IMMEDIATE")
        with self._db:  # rolls back
            self._db.executemany(
                f"INSERT OR IGNORE INTO events ({COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)",
                [entry.row for entry in entries],
            )

    def purge(self, before_ms: int, n_at_most: int) -> int:
        """Remove the entries of before a time, not all at once; give how many."""
        with self._db:
            return self._db.execute(
                "DELETE FROM events WHERE id IN "
                "(SELECT id FROM events WHERE at_ms < ? LIMIT ?)",
                (before_ms, n_at_most),
            ).rowcount

    def forget(self) -> None:
        """Take what was removed out of the write-ahead log, unless somebody reads."""
        self._db.execute("PRAGMA busy_timeout = 0")
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._db.execute(f"PRAGMA busy_timeout = {round(BUSY_S * 1000)}")

    def check(self) -> None:
        """Look for damage, as far as a start may wait for it.

        Raises:
            JournalError: If there is any.
        """
        deadline_s = time.monotonic() + CHECK_S
        self._db.set_progress_handler(lambda: time.monotonic() > deadline_s, 1000)
        try:
            [found] = self._db.execute("PRAGMA quick_check(1)").fetchone()
        except sqlite3.OperationalError:  # out of time
            return
        except sqlite3.Error as error:
            raise refuse(self._path, error) from error
        finally:
            self._db.set_progress_handler(None, 0)
        if found != "ok":
            raise JournalError(f"{self._path}: expected a sound journal, got: {found}")

    def close(self) -> None:
        """Let the file go."""
        self._db.close()

    def _is_new(self) -> bool:
        return not self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute("PRAGMA secure_delete = ON")  # what is too old is zeroed
        # Changes nothing, and shows that it is writable.
        self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _require_in_place(self) -> None:
        """Notice that a file was moved or removed; SQLite would write to it unseen."""
        if self._identify() != self._files:
            self.forget()  # what it has is complete, wherever it is now
            raise FileNotFoundError(ENOENT, "it was moved or removed")

    def _identify(self) -> list[tuple[int, int] | None]:
        """Tell the files from others that come to bear their names; None: gone."""
        log = self._path.with_name(f"{self._path.name}-wal")
        return [find(path) for path in (self._path, log)]


def find(path: Path) -> tuple[int, int] | None:
    """Give device and inode of a file; None where there is none."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def read_entries(path: Path, wanted: Selection) -> Iterator[Entry]:
    """Read all entries of some sessions, in the order in which they were written.

    Raises:
        JournalError: If the file is no journal, or cannot be read.
    """
    conditions = {
        "session_id = ?": wanted.session_id,
        "conversation_id = ?": wanted.conversation_id,
        "owner = ?": wanted.owner,
        "session_id IN (SELECT session_id FROM events WHERE at_ms >= ?)": (
            wanted.since_ms
        ),
    }
    given = {text: value for text, value in conditions.items() if value is not None}
    where = f"WHERE {' AND '.join(given)}" if given else ""
    try:
        db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise refuse(path, error) from error
    try:
        require_ours(db, path)
        query = f"SELECT {COLUMNS} FROM events {where} ORDER BY id"
        for row in db.execute(query, tuple(given.values())):
            yield Entry(*row)
    except sqlite3.Error as error:
        raise refuse(path, error) from error
    finally:
        db.close()


def require_ours(db: sqlite3.Connection, path: Path) -> None:
    """Look at the marks of a file.

    Raises:
        JournalError: If another program made it, or a newer version of this one.
    """
    [application] = db.execute("PRAGMA application_id").fetchone()
    [version] = db.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise JournalError(
            f"{path}: expected a journal of stream-erc, got another program's database"
        )
    if version != VERSION:
        raise JournalError(
            f"{path}: expected a journal of version {VERSION}, got {version}; "
            f"another release of stream-erc made it"
        )


def refuse(path: Path, error: Exception) -> JournalError:
    """Make the error of a file that cannot be used."""
    return JournalError(f"{path}: expected a usable journal, got: {reason(error)}")
