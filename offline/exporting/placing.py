"""A folder that is written beside its place, and put there once it is whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from stream_erc.errors import ConfigError, reason
from stream_erc.model_folder import MANIFEST_FILE


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse to write where something stands that would be lost.

    Args:
        folder: Where a model is to be.
        overwrite: Whether a model that is there may go.

    Raises:
        ConfigError: If there is a file, or a folder that is not empty; if `overwrite`,
            one that is no model folder.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise ConfigError(f"--model: expected a folder to write, got the file {folder}")
    if not any(folder.iterdir()):
        return
    if not overwrite:
        raise ConfigError(
            f"--model: expected an empty folder or none, got {folder} with files in "
            "it; --overwrite replaces a model folder"
        )
    if not (folder / MANIFEST_FILE).is_file():
        raise ConfigError(
            f"--overwrite: expected a model folder, got {folder} without "
            f"{MANIFEST_FILE}"
        )


@contextmanager
def place(folder: Path) -> Iterator[Path]:
    """Give a folder to write into; it replaces `folder` when the block is left whole.

    Raises:
        ConfigError: If nothing can be written there.
    """
    folder = folder.resolve()  # a link goes on to point there
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = TemporaryDirectory(prefix=".export-", dir=folder.parent)
    except OSError as error:
        raise ConfigError(
            f"--model: expected a place to write, got {folder.parent}: {reason(error)}"
        ) from error
    with beside:
        fresh, old = Path(beside.name, "new"), Path(beside.name, "old")
        fresh.mkdir()
        yield fresh
        if folder.exists():
            folder.rename(old)
        try:
            fresh.rename(folder)
        except OSError:
            if old.exists():
                old.rename(folder)
            raise
