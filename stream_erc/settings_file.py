"""Settings file, new values -> the same file, all else in it as somebody wrote it."""

from __future__ import annotations

import os
import re
import shutil
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ConfigError, reason
from .settings import read_toml


def require_free(path: Path, table: str, names: Sequence[str]) -> None:
    """Refuse to change what somebody has chosen.

    Raises:
        ConfigError: If the file has one of the keys, or cannot be read.
    """
    known = read_toml(path).get(table, {}) if path.exists() else {}
    chosen = [f"{table}.{name}" for name in names if name in known]
    if chosen:
        raise ConfigError(
            f"{path}: expected no {' and no '.join(chosen)}, or --overwrite to replace "
            "what is chosen there"
        )


def write_settings(path: Path, table: str, values: Mapping[str, int]) -> None:
    """Set some keys of a table; comments and all other keys stay.

    Raises:
        ConfigError: If the file is such that they cannot be set without a doubt.
        OSError: If it cannot be written.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    amended = amend(text, table, values)
    file = path.resolve()  # a link stays one
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(amended, encoding="utf-8")
    if file.exists():
        shutil.copymode(file, fresh)
    os.replace(fresh, file)


def amend(text: str, table: str, values: Mapping[str, int]) -> str:
    """Set keys of a table in the text of a TOML file.

    Lines are changed, not parsed; so the outcome is read again and compared.

    Raises:
        ConfigError: If that gives anything but the values of before and these.
    """
    lines = text.splitlines()
    header = re.compile(rf"\s*\[\s*{table}\s*\]\s*(#.*)?")
    start = next((n for n, line in enumerate(lines) if header.fullmatch(line)), None)
    if start is None:
        lines += [*([""] if lines else []), f"[{table}]"]
        start = len(lines) - 1
    end = next(
        (n for n in range(start + 1, len(lines)) if lines[n].lstrip()[:1] == "["),
        len(lines),
    )
    for name, value in values.items():
        key = re.compile(rf"(\s*{name}\s*=\s*)([^#]*?)(\s*#.*)?")
        for n in range(start + 1, end):
            if found := key.fullmatch(lines[n]):
                lines[n] = f"{found[1]}{value}{found[3] or ''}"
                break
        else:
            lines.insert(start + 1, f"{name} = {value}")
            end += 1
    amended = "\n".join(lines) + "\n"
    require_same(text, amended, table, values)
    return amended


def require_same(
    text: str, amended: str, table: str, values: Mapping[str, int]
) -> None:
    """Refuse a change of anything else.

    Raises:
        ConfigError: Says what to write by hand.
    """
    try:
        before = tomllib.loads(text)
        known = before.get(table, {})
        wanted = {**before, table: {**known, **values}} if type(known) is dict else None
        if tomllib.loads(amended) == wanted:
            return
        what = f"another way to write [{table}]"
    except tomllib.TOMLDecodeError as error:
        what = reason(error)
    by_hand = ", ".join(f"{name} = {value}" for name, value in values.items())
    raise ConfigError(
        f"settings file: expected [{table}] with a line for each key, got {what}; "
        f"write there by hand: {by_hand}"
    )
