"""Defaults, a TOML file, the command line -> Settings.

The file has a table for each stage, the command line an option `--TABLE.NAME` for each
field; both refuse what they do not know.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any, TypeVar, get_origin, get_type_hints

from .config import Settings
from .errors import ConfigError
from .option import require

T = TypeVar("T")


def read_settings(path: Path | None, overrides: Mapping[str, Any]) -> Settings:
    """Join the defaults, a TOML file, and the command line, in that order.

    Args:
        path: The file; None for none.
        overrides: "table.name" to value.

    Raises:
        ConfigError: If the file cannot be read, or a key or a value does not fit.
    """
    tables = read_toml(path) if path else {}
    for key, value in overrides.items():
        table, _, name = key.partition(".")
        tables.setdefault(table, {})[name] = value
    classes = get_type_hints(Settings)
    for table in tables:
        require(
            table in classes,
            f"settings: expected a table of {', '.join(classes)}",
            f"[{table}]",
        )
    return Settings(
        **{table: fill(classes[table], table, tables[table]) for table in tables}
    )


def read_toml(path: Path) -> dict[str, dict[str, Any]]:
    """Read a file of tables.

    Raises:
        ConfigError: If it is missing, not TOML, or has keys outside of tables.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: expected a TOML file, got: {error}") from error
    for name, table in tables.items():
        require(isinstance(table, dict), f"{path}: expected only tables", name)
    return tables


def fill(kind: type[T], table: str, values: Mapping[str, Any]) -> T:
    """Make one stage's settings from a table, each value of its field's type."""
    types = get_type_hints(kind)
    for name in values:
        require(
            name in types,
            f"{table}: expected one of {', '.join(types)}",
            f"{table}.{name}",
        )
    return kind(
        **{
            name: read_value(value, types[name], f"{table}.{name}")
            for name, value in values.items()
        }
    )


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
