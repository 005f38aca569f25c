"""Utterance… -> a corpus file that grows by recordings, with a journal beside it.

The journal (`corpus.jsonl.done`) begins with the settings. Then comes a line for each
recording, on the disk before its utterances are, with the bytes that they take: so
after a kill half a recording can be told from a whole one, and both from what
somebody else has written.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from offline.corpora.form import Utterance
from stream_erc.errors import ConfigError, reason

from .recordings import Recording

T = TypeVar("T")

Setting = str | int | float


class Beginning(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The journal's first line: the settings that change what is written."""

    settings: dict[str, Setting]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recording, and where its utterances are in the corpus file.

    Attributes:
        audio: As in its utterances.
        dialogue: As in its utterances.
        turns: How many; 0 where no voice was found.
        start_byte: Of the first.
        end_byte: One past the last.
    """

    audio: str
    dialogue: str
    turns: int
    start_byte: int
    end_byte: int


class GrowingCorpus:
    """A corpus file to which whole recordings are added, by one process at a time.

    What a kill left of half a recording is cut off.

    Args:
        file: The corpus file; need not exist.
        settings: Those that change what is written, by name.

    Raises:
        ConfigError: If the file is not as the journal says, or was begun with other
            settings.
    """

    def __init__(self, file: Path, settings: Mapping[str, Setting]) -> None:
        self._file = file
        self._journal = file.with_name(file.name + ".done")
        self._settings = dict(settings)
        lines = self._read_journal()
        if lines:
            self._compare(self._decode(lines[0], Beginning))
        elif self._size():
            raise ConfigError(
                f"{file}: expected a corpus file that this command has begun, got one "
                f"without {self._journal.name}; take another --out"
            )
        entries = [self._decode(line, Entry) for line in lines[1:]]
        if self._is_half(entries):
            self._truncate(self._file, entries.pop().start_byte)
            lines.pop()
        self._truncate(self._journal, sum(map(len, lines)))
        self._audio = {entry.dialogue: entry.audio for entry in entries}
        self._held = set(self._audio.values())
        self._is_begun = bool(lines)

    def holds(self, recording: Recording) -> bool:
        """Whether the recording is in the corpus, if only as one without a voice."""
        return recording.audio in self._held

    def check_name(self, recording: Recording) -> None:
        """Refuse a recording that could not be told from another.

        Raises:
            ConfigError: If its name is no text, or its dialogue's name is taken.
        """
        try:
            recording.audio.encode()
        except UnicodeEncodeError as error:
            raise ConfigError(
                f"{recording.audio!a}: expected a file name in UTF-8"
            ) from error
        if recording.dialogue in self._audio:
            raise ConfigError(
                f"{recording.file}: expected a name that no other recording has, "
                f"got {recording.dialogue!r}, as {self._audio[recording.dialogue]}"
            )

    def add(self, recording: Recording, utterances: Sequence[Utterance]) -> None:
        """Append a recording's utterances; once this returns they are on the disk.

        Raises:
            ConfigError: If they cannot be written.
        """
        lines = to_lines(utterances)
        start = self._size()
        entry = Entry(
            audio=recording.audio,
            dialogue=recording.dialogue,
            turns=len(utterances),
            start_byte=start,
            end_byte=start + len(lines),
        )
        beginning = [] if self._is_begun else [Beginning(self._settings)]
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            append(self._journal, to_lines([*beginning, entry]))
            append(self._file, lines)
        except OSError as error:
            raise ConfigError(
                f"{self._file}: expected a file to write, got: {reason(error)}"
            ) from error
        self._is_begun = True
        self._audio[recording.dialogue] = recording.audio
        self._held.add(recording.audio)

    def _read_journal(self) -> list[bytes]:
        """Give its whole lines; a last one that a kill has cut is none."""
        if self._file.is_dir():
            raise ConfigError(f"{self._file}: expected a file, got a folder")
        try:
            journal = self._journal.read_bytes() if self._journal.exists() else b""
        except OSError as error:
            raise ConfigError(
                f"{self._journal}: expected a file to read, got: {reason(error)}"
            ) from error
        return [line for line in journal.splitlines(True) if line.endswith(b"\n")]

    def _decode(self, line: bytes, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            raise ConfigError(
                f"{self._journal}: expected the journal of a corpus, got: {error}"
            ) from error

    def _compare(self, begun: Beginning) -> None:
        old, new = begun.settings, self._settings
        for name in sorted(old.keys() | new.keys()):
            if old.get(name) != new.get(name):
                raise ConfigError(
                    f"{self._file}: expected {name} {old.get(name)!r}, with which it "
                    f"was begun, got {new.get(name)!r}; take another --out"
                )

    def _is_half(self, entries: Sequence[Entry]) -> bool:
        """Whether the last recording was being written when a process was killed."""
        size = self._size()
        start, end = (
            (entries[-1].start_byte, entries[-1].end_byte) if entries else (0, 0)
        )
        if size != end and not start <= size < end:
            raise ConfigError(
                f"{self._file}: expected {end} bytes, as {self._journal.name} says, "
                f"got {size}: something else has changed it; take another --out"
            )
        return size != end

    def _size(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def _truncate(self, file: Path, size: int) -> None:
        if file.exists():
            os.truncate(file, size)


def to_lines(records: Sequence[msgspec.Struct]) -> bytes:
    """Write records as JSON Lines."""
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)


def append(file: Path, data: bytes) -> None:
    """Add bytes to a file, made if need be, and wait until they are on the disk."""
    with file.open("ab") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
