"""File -> the same file, if it is the one that was meant."""

from __future__ import annotations

import hashlib
from pathlib import Path

from .errors import ModelError


def read_sum(file: Path) -> str:
    """Give the SHA-256 of a model's file, in hex.

    Raises:
        ModelError: If it is missing; names it.
    """
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{file}: expected a model file, got none") from error


def check_sum(file: Path, wanted: str) -> None:
    """Refuse a file of a model that is not the one with this SHA-256, in hex.

    Raises:
        ModelError: If it is missing or another one; names it.
    """
    got = read_sum(file)
    if got != wanted:
        raise ModelError(
            f"{file}: expected SHA-256 {wanted[:12]}…, got {got[:12]}…: damaged, or of "
            f"another model"
        )
