"""Corpora and other files of texts -> lines to label; how labels files look."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from offline.corpora.form import Utterance, read_corpus, tell_problems
from stream_erc.errors import ConfigError, reason

Kind = TypeVar("Kind", bound=msgspec.Struct)


class Line(msgspec.Struct, frozen=True):
    """One text to label; `id` is DIALOGUE/TURN where it comes from a corpus."""

    id: str
    text: str


class LabelledLine(msgspec.Struct, frozen=True):
    """One line of a labels file; `emotion` is null where the prompt asked for none."""

    id: str
    text: str
    sentiment: str
    emotion: str | None


class UnparsedLine(msgspec.Struct, frozen=True):
    """One text whose answers nobody could read, and the last of them."""

    id: str
    text: str
    answer: str


def read_lines(files: Sequence[Path], *, strict: bool = False) -> list[Line]:
    """Read corpus files and files of id and text; lines without words are left out.

    Raises:
        ConfigError: If a file cannot be read, an id comes twice, or no line has words;
            if `strict`, also at the first problem of a corpus.
    """
    lines: dict[str, Line] = {}
    for file in files:
        for line in _read_file(file, strict):
            if line.id in lines:
                raise ConfigError(
                    f"{file}: expected each id once, got {line.id!r} again"
                )
            if line.text.strip():
                lines[line.id] = line
    if not lines:
        raise ConfigError(f"{files[0]}: expected lines with text, got none")
    return list(lines.values())


def _read_file(file: Path, strict: bool) -> list[Line]:
    if starts_with(file, Line):
        return read_structs(file, Line)
    corpus = read_corpus(file, strict=strict)
    tell_problems(corpus.problems)
    return [
        Line(name_utterance(utterance), utterance.text or "")
        for utterance in corpus.utterances
    ]


def name_utterance(utterance: Utterance) -> str:
    """Give the id of an utterance of a corpus: DIALOGUE/TURN."""
    return f"{utterance.dialogue}/{utterance.turn}"


def starts_with(file: Path, kind: type[msgspec.Struct]) -> bool:
    """Tell whether the first line of a file is of a kind.

    Raises:
        ConfigError: If the file cannot be read.
    """
    try:
        with file.open("rb") as lines:
            msgspec.json.decode(lines.readline(), type=kind)
    except OSError as error:
        raise ConfigError(
            f"{file}: expected JSON Lines, got: {reason(error)}"
        ) from error
    except msgspec.DecodeError:
        return False
    return True


def read_structs(file: Path, kind: type[Kind]) -> list[Kind]:
    """Read JSON Lines.

    Raises:
        ConfigError: If the file cannot be read, or a line is not of that kind.
    """
    try:
        return msgspec.json.Decoder(kind).decode_lines(file.read_bytes())
    except (OSError, msgspec.DecodeError) as error:
        raise ConfigError(
            f"{file}: expected JSON Lines, got: {reason(error)}"
        ) from error


def write_structs(file: Path, rows: Sequence[msgspec.Struct]) -> None:
    """Write JSON Lines; a run that fails leaves the old file or the new, whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(file.name + ".partial")
    partial.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    partial.replace(file)
