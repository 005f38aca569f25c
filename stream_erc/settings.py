"""Defaults, a TOML file, the command line -> Settings.

The file has a table for each stage, the command line an option `--TABLE.NAME` for each
field; both refuse what they do not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, get_origin, get_type_hints

from .config import Settings
from .errors import ConfigError, reason
from .option import require


def read_settings(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Join the defaults, a TOML file, and the command line, in that order.

    Args:
        path: The file; None for none.
        overrides: "table.name" to value.

    Raises:
        ConfigError: If the file cannot be read, or a key or a value does not fit.
    """
    given: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        table, _, name = key.partition(".")
        given.setdefault(table, {})[name] = value
    tables = convert(read_toml(path), f"{path}: ") if path else {}
    for table, values in convert(given, "").items():
        tables.setdefault(table, {}).update(values)
    classes = get_type_hints(Settings)
    return Settings(**{table: classes[table](**tables[table]) for table in tables})


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Read a file of tables.

    Raises:
        ConfigError: If it is missing, not TOML, or has keys outside of tables.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(
            f"{path}: expected a TOML file, got: {reason(error)}"
        ) from error
    for name, table in tables.items():
        require(isinstance(table, dict), f"{path}: expected only tables", name)
    return tables


def convert(
    tables: Mapping[str, Mapping[str, Any]], where: str
) -> dict[str, dict[str, Any]]:
    """Give tables with each value as its field holds it.

    Args:
        tables: By the names of the stages.
        where: They come from; errors begin with it.

    Raises:
        ConfigError: If there is no such stage or field, or a value is of another type.
    """
    classes = get_type_hints(Settings)
    converted: dict[str, dict[str, Any]] = {}
    for table, values in tables.items():
        require(
            table in classes,
            f"{where}expected a table of {', '.join(classes)}",
            f"[{table}]",
        )
        types = get_type_hints(classes[table])
        for name, value in values.items():
            key = f"{table}.{name}"
            expected = f"{where}{table}: expected one of {', '.join(types)}"
            require(name in types, expected, key)
            value = read_value(value, types[name], f"{where}{key}")
            converted.setdefault(table, {})[name] = value
    return converted


def read_value(value: Any, expected: Any, where: str) -> Any:
    """Give a value as its field holds it: lists frozen, everything else as it is.

    Raises:
        ConfigError: If it is of another type.
    """
    if get_origin(expected) is tuple:
        fits = type(value) in (list, tuple) and all(type(one) is str for one in value)
        require(fits, f"{where}: expected a list of strings", repr(value))
        return tuple(value)
    fits = type(value) is expected or (expected is float and type(value) is int)
    require(fits, f"{where}: expected {expected.__name__}", repr(value))
    return value


def explain() -> list[tuple[str, type, Any, str]]:
    """List every setting as ("table.name", type, default, explanation)."""
    return [
        (
            f"{table}.{one.name}",
            get_origin(hint := get_type_hints(kind)[one.name]) or hint,
            one.default,
            text,
        )
        for table, kind in get_type_hints(Settings).items()
        for one in fields(kind)
        if one.default is not MISSING and (text := one.metadata["help"])
    ]
