"""One training at a time in a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from stream_erc.errors import ConfigError

LOCK_FILE = "training.lock"


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes from training into a folder; falls with this one.

    Raises:
        ConfigError: If another one holds it.
    """
    lock = FileLock(folder / LOCK_FILE, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise ConfigError(
            f"{folder}: expected a folder that nothing trains into, got one that "
            "another process holds; wait for that, or use another --run"
        ) from None
    try:
        yield
    finally:
        lock.release()
