"""Files and folders -> Recording…: what there is to transcribe, in a fixed order."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from stream_erc.errors import ConfigError
from stream_erc.recordings import find_files


@dataclass(frozen=True, slots=True)
class Recording:
    """A file to transcribe.

    Attributes:
        file: As it is opened.
        dialogue: Its path below the folder that was named, without the suffix.
        audio: Its path relative to the corpus file's folder, with slashes.
    """

    file: Path
    dialogue: str
    audio: str


def find_recordings(paths: Iterable[Path], corpus: Path) -> list[Recording]:
    """Name the recordings in files and folders, each once, folders sorted by name.

    Hidden files are left out, and in folders those that are no recording by their
    suffix; whether the rest can be decoded is not tried here.

    Args:
        paths: Files, and folders with all below them.
        corpus: The corpus file that will name them.

    Raises:
        ConfigError: If a path does not exist, or there is no recording at all.
    """
    paths = list(paths)
    root = corpus.parent.resolve()
    found: dict[str, Recording] = {}
    for path in paths:
        for file, dialogue in _walk(path):
            # The folders are resolved, or ".." would go astray behind a link; a
            # link to the file itself keeps its name.
            whole = file.parent.resolve() / file.name
            audio = Path(os.path.relpath(whole, root)).as_posix()
            found.setdefault(audio, Recording(file, dialogue, audio))
    if not found:
        named = ", ".join(map(str, paths))
        raise ConfigError(f"FILE: expected recordings in {named}, got none")
    return list(found.values())


def _walk(path: Path) -> Iterator[tuple[Path, str]]:
    if not path.exists():
        raise ConfigError(f"FILE: expected a file or a folder, got {path}")
    yield from find_files(path)
