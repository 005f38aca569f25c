"""Files and folders -> the recordings in them, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

SUFFIXES = frozenset(
    {".3gp", ".aac", ".ac3", ".aif", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf"}
    | {".flac", ".flv", ".m4a", ".m4b", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4"}
    | {".mpg", ".oga", ".ogg", ".opus", ".spx", ".w64", ".wav", ".webm", ".wma"}
    | {".wmv", ".wv"}
)
"""What is taken for a recording in a folder: trying every file would find audio in
anything, as FFmpeg guesses. A file that is named itself may have any suffix."""


def find_files(path: Path) -> Iterator[tuple[Path, str]]:
    """Give a file, or all the recordings below a folder, sorted, but hidden ones.

    Whether they can be read, or are there at all, is not tried.

    Yields:
        The file, and its name: its path below the folder, without the suffix.
    """
    if not path.is_dir():
        yield path, path.stem
        return
    for file in sorted(path.rglob("*")):
        below = file.relative_to(path)
        is_hidden = any(part.startswith(".") for part in below.parts)
        if file.suffix.lower() in SUFFIXES and not is_hidden and file.is_file():
            yield file, below.with_suffix("").as_posix()
