"""Prompt, model and text <-> what was answered: an sqlite3 file that outlives a run.

Each answer is on disk before the next question goes out, so that an interrupted run
loses nothing and a second one asks nothing twice.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

from stream_erc.errors import ConfigError, reason

from .prompts import Label, Prompt

TABLES = """
create table if not exists labels (
    key text primary key, sentiment text not null, emotion text
);
create table if not exists unparsed (key text primary key, answer text not null);
"""


def make_key(prompt: Prompt, model: str, text: str) -> str:
    """Name what a label depends on: the words of the prompt, the model, the text."""
    said = json.dumps([prompt.instruction, prompt.is_batched, model, text])
    return hashlib.sha256(said.encode()).hexdigest()


class Cache:
    """Labels and unreadable answers by key; a context manager that closes the file.

    Raises:
        ConfigError: If the file cannot be opened or is no cache.
    """

    def __init__(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(file)
            self._connection.executescript(TABLES)
        except (OSError, sqlite3.Error) as error:
            raise ConfigError(
                f"{file}: expected a cache, got: {reason(error)}"
            ) from error

    def __enter__(self) -> Cache:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._connection.close()

    def find(self, key: str) -> Label | None:
        """Give the label kept under a key."""
        row = self._connection.execute(
            "select sentiment, emotion from labels where key = ?", (key,)
        ).fetchone()
        return None if row is None else Label(*row)

    def find_unparsed(self, key: str) -> str | None:
        """Give the answer kept under a key that nobody could read."""
        row = self._connection.execute(
            "select answer from unparsed where key = ?", (key,)
        ).fetchone()
        return None if row is None else str(row[0])

    def keep(self, labels: Mapping[str, Label]) -> None:
        """Keep labels by key, all of them or none; forget what was unreadable there."""
        rows = [(key, label.sentiment, label.emotion) for key, label in labels.items()]
        with self._connection:
            self._connection.executemany(
                "insert or replace into labels values (?, ?, ?)", rows
            )
            self._connection.executemany(
                "delete from unparsed where key = ?", [(key,) for key in labels]
            )

    def keep_unparsed(self, key: str, answer: str) -> None:
        """Keep an answer that nobody can read."""
        with self._connection:
            self._connection.execute(
                "insert or replace into unparsed values (?, ?)", (key, answer)
            )
