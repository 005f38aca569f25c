"""Transcription -> a file in a folder, or lines on the standard output."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TextIO

import msgspec

from .errors import ConfigError
from .forms import (
    FinishedTurn,
    Said,
    clean,
    join_turns,
    write_csv,
    write_json_lines,
    write_srt,
    write_table,
    write_vtt,
)
from .provenance import Provenance
from .textgrid import write_textgrid
from .timeline import draw_png, require_matplotlib
from .transcription import Transcription

WHOSE = ("recording", "channel")
SUFFIXES = {
    "table": ".txt",
    "jsonl": ".jsonl",
    "csv": ".csv",
    "vtt": ".vtt",
    "srt": ".srt",
    "textgrid": ".TextGrid",
    "png": ".png",
}
"""By the names of the forms."""

JOINED = ("table", "jsonl", "csv")
"""Forms of which one may stand behind another."""


class Results:
    """Where the results of recordings go.

    Args:
        form: One of `SUFFIXES`.
        folder: Gets a file for each recording; None: all go to `out`.
        out: The standard output.
        n_recordings: How many there are.
        made_with: Fingerprint of the models and settings; see `provenance.py`.

    Raises:
        ConfigError: If the form cannot go there.
    """

    def __init__(
        self,
        form: str,
        folder: Path | None,
        out: TextIO,
        n_recordings: int,
        made_with: str,
    ) -> None:
        if form == "png":
            require_matplotlib()
        if folder is None and (
            form == "png" or n_recordings > 1 and form not in JOINED
        ):
            raise ConfigError(
                f"--format {form}: expected --out DIR, got "
                f"{n_recordings} recordings for the standard output"
            )
        if folder is not None and folder.exists() and not folder.is_dir():
            raise ConfigError(f"--out: expected a folder, got the file {folder}")
        self._form = form
        self._folder = folder
        self._out = out
        self._provenance = Provenance(folder, made_with) if folder else None
        self._has_headings = n_recordings > 1
        self._n_written = 0

    def file_of(self, name: str) -> Path | None:
        """Give the file of a recording's result; if it is there, it is whole.

        None where results go to the standard output.
        """
        if self._folder is None:
            return None
        return self._folder / f"{name}{SUFFIXES[self._form]}"

    def is_other(self, file: Path) -> bool:
        """Tell whether a result was made with other settings or models."""
        return self._provenance is not None and self._provenance.is_other(file)

    def keep(self, name: str, recording: Path, found: Transcription) -> None:
        """Write a recording's result into the folder, whole or not at all.

        Raises:
            OSError: If that cannot be done.
        """
        file = self.file_of(name)
        if file is None:
            return
        file.parent.mkdir(parents=True, exist_ok=True)
        part = file.with_name(f".{file.name}.part")
        private = partial(os.open, mode=0o600)
        with open(part, "w", encoding="utf-8", newline="", opener=private) as written:
            if self._form != "png":
                self._write(recording, found, written, has_header=True)
        if self._form == "png":
            draw_png(finished_turns(recording, found), part, found.duration_ms)
        with part.open("rb") as written_file:
            os.fsync(written_file.fileno())
        os.replace(part, file)
        if self._provenance is not None:
            self._provenance.note(file)

    def show(self, recording: Path, found: Transcription) -> None:
        """Write a recording's result behind those before it, unless it is in a file."""
        if self._folder is not None:
            return
        if self._form == "table" and self._has_headings:
            self._out.write(f"{clean(spell(recording))}\n")
        self._write(recording, found, self._out, has_header=not self._n_written)
        if self._form == "table" and self._has_headings:
            self._out.write("\n")
        self._out.flush()
        self._n_written += 1

    def _write(
        self, recording: Path, found: Transcription, out: TextIO, *, has_header: bool
    ) -> None:
        turns = finished_turns(recording, found)
        match self._form:
            case "jsonl":
                write_json_lines(messages(recording, found), out)
            case "csv":
                write_csv(turns, WHOSE, out, has_header=has_header)
            case "vtt":
                write_vtt(turns, out)
            case "srt":
                write_srt(turns, out)
            case "textgrid":
                write_textgrid(turns, out, found.duration_ms)
            case _:
                write_table(turns, out)


def finished_turns(recording: Path, found: Transcription) -> list[FinishedTurn]:
    """Give the turns of a recording, in the order of the conversation."""
    return list(join_turns(messages(recording, found)))


def messages(recording: Path, found: Transcription) -> Iterator[Said]:
    """Give the events of a recording as fields, with whose they are."""
    name = spell(recording)
    for channel, event in found.told:
        message = msgspec.to_builtins(event)
        del message["seq"]  # nothing was sent
        yield Said(
            message=message,
            session=f"{name}#{channel}",
            conversation=("", name),
            whose={
                "recording": name,
                "channel": channel if found.n_speakers > 1 else None,
            },
            at_ms=event.time_ms,
        )


def spell(file: Path) -> str:
    """Give a file's name as text, also where it is none."""
    return os.fsencode(file).decode(errors="replace")
