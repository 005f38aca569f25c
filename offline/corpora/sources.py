"""File -> numbered rows: JSON Lines, CSV and plain lines, as corpora publish them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from stream_erc.errors import ConfigError, reason

from .findings import Findings

Row = TypeVar("Row", bound=msgspec.Struct)

WINDOWS_LEFTOVERS = {
    code: bytes([code]).decode("cp1252", errors="ignore") for code in range(0x80, 0xA0)
}
"""Bytes of cp1252 that stand in UTF-8 files as control characters, put right."""

TYPEWRITER = str.maketrans(
    {
        "‘": "'",
        "’": "'",
        "“": '"',
        "”": '"',
        "…": "...",
        "–": "-",
        "—": "-",
        "\xa0": " ",
    }
)
"""Signs that a recognizer never writes, as it writes them."""


def enter(folder: Path, name: str) -> Path:
    """Give the release's own folder, named or held by what the user named.

    Raises:
        ConfigError: If there is no such folder.
    """
    inner = folder / name
    if inner.is_dir():
        return inner
    if not folder.is_dir():
        raise ConfigError(f"{folder}: expected a folder, got none")
    return folder


def read_text(file: Path) -> str:
    """Read a text file, UTF-8 or else cp1252.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        raw = file.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"{file}: expected a text file, got: {reason(error)}"
        ) from error
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = raw.decode("cp1252", errors="replace")
    return text.translate(WINDOWS_LEFTOVERS)


def plain_text(text: str) -> str:
    """Give a transcript with the signs of a typewriter, without space around it."""
    return text.translate(TYPEWRITER).strip()


def read_lines(file: Path) -> Iterator[tuple[int, str]]:
    """Give the lines that are not empty with their numbers, from 1.

    Raises:
        ConfigError: If the file cannot be read.
    """
    # Not splitlines(): it also breaks at signs that may stand inside of a text.
    for number, line in enumerate(read_text(file).split("\n"), start=1):
        if line.strip():
            yield number, line.strip()


def read_rows(
    file: Path, kind: type[Row], findings: Findings
) -> Iterator[tuple[int, Row]]:
    """Give the records of a JSON Lines file; one that does not fit is complained of.

    Raises:
        ConfigError: If the file cannot be read.
    """
    for number, line in read_lines(file):
        try:
            yield number, msgspec.json.decode(line, type=kind)
        except msgspec.DecodeError as error:
            message = f"expected a {kind.__name__}, got: {error}"
            findings.at(file).add(number, message)


def read_cells(file: Path) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV file and the numbers of their last lines.

    Raises:
        ConfigError: If the file cannot be read, or is no CSV from some line on.
    """
    reader = csv.reader(io.StringIO(read_text(file), newline=""))
    try:
        for cells in reader:
            if cells:
                yield reader.line_num, cells
    except csv.Error as error:
        raise ConfigError(
            f"{file}:{reader.line_num}: expected a line of CSV, got: {error}"
        ) from error


def read_table(
    file: Path, columns: Sequence[str], findings: Findings
) -> Iterator[tuple[int, dict[str, str]]]:
    """Give the rows of a CSV file with a header; a short row is complained of.

    Args:
        file: The table.
        columns: Names that must be there; others may.
        findings: Where to complain.

    Yields:
        The number of the row's last line, and its cells by column.

    Raises:
        ConfigError: If the file cannot be read or lacks a column.
    """
    rows = read_cells(file)
    _, header = next(rows, (1, []))
    missing = [name for name in columns if name not in header]
    if missing:
        raise ConfigError(
            f"{file}:1: expected the columns {', '.join(missing)}, "
            f"got {', '.join(header) or 'none'}"
        )
    for line, cells in rows:
        if len(cells) != len(header):
            message = f"expected {len(header)} cells, got {len(cells)}"
            findings.at(file).add(line, message)
            continue
        row = dict(zip(header, cells, strict=True))
        yield line, {name: row[name] for name in columns}
