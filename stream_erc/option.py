"""One setting: its default, its explanation, and what is not taken for it."""

from __future__ import annotations

from dataclasses import field
from typing import TypeVar

from .errors import ConfigError

T = TypeVar("T")


def setting(default: T, explanation: str) -> T:
    """A field with its default and the sentence that `--help` shows."""
    return field(default=default, metadata={"help": explanation})


def require(is_true: bool, expected: str, got: object) -> None:
    """Refuse a setting.

    Raises:
        ConfigError: Unless `is_true`; the message says what was expected.
    """
    if not is_true:
        raise ConfigError(f"{expected}, got {got}")
