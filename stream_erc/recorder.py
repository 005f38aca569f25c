"""Samples -> WAV: the thread that keeps the audio of sessions.

A file can be read at any time, also after a crash: its header is renewed with every
block. Every block has a place of its own, so one that is lost leaves silence behind and
moves nothing.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import struct
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

import numpy as np

from .errors import JournalError, reason
from .flow import SAMPLE_RATE_HZ, Samples
from .logs import fields
from .metrics import Metrics

log = logging.getLogger(__name__)

BLOCK_SAMPLES = SAMPLE_RATE_HZ
"""Written at once; a crash costs at most so much of each session."""

MAX_WAITING = 2000
"""Blocks on their way to the disk, 64 MB; more are lost."""

SAMPLE_BYTES = 2
HEADER_BYTES = 44
MAX_SIZE = 0xFFFFFFFF  # of a WAV file, 37 hours; players read longer ones to the end
PURGE_INTERVAL_S = 3600.0
CLOSE_S = 5.0
"""A server that shuts down waits so long for the disk."""

DAY_S = 86_400
OURS = re.compile(r"[0-9a-f]{16}\.wav")


@dataclass(frozen=True, slots=True)
class Block:
    """Some samples, and their place in a file: the number of those before them."""

    path: Path
    start: int
    pcm: bytes


class Recording:
    """One session's audio on its way to the recorder; never waits.

    Args:
        recorder: Writes it.
        path: Of its file.
    """

    def __init__(self, recorder: Recorder, path: Path) -> None:
        self._recorder = recorder
        self._path = path
        self._waiting = np.empty(0, np.float32)
        self._start = 0  # of what waits
        self._lock = threading.Lock()  # a session may end while its thread listens

    def add(self, samples: Samples) -> None:
        """Take samples at 16 kHz, in [-1, 1]."""
        with self._lock:
            self._waiting = np.concatenate([self._waiting, samples])
            while len(self._waiting) >= BLOCK_SAMPLES:
                self._write()

    def end(self) -> None:
        """Write what is left."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        block, self._waiting = np.split(self._waiting, [BLOCK_SAMPLES])
        # The inverse of how 16-bit PCM is decoded: what came so is kept to the bit.
        pcm = np.clip(np.round(block * 32_768), -32_768, 32_767).astype("<i2")
        self._recorder.write(Block(self._path, self._start, pcm.tobytes()))
        self._start += len(block)


class Recorder:
    """Writes the audio of all sessions, mono at 16 kHz, a file for each.

    Args:
        folder: Where to; made, for its owner alone, where there is none.
        days: How long recordings are kept; 0: for ever.
        metrics: Told of what fails.

    Raises:
        JournalError: If nothing can be written there.
    """

    def __init__(self, folder: Path, days: int, metrics: Metrics) -> None:
        self._folder = folder.absolute()
        self._days = days
        self._metrics = metrics
        self._require_writable()
        self._blocks: queue.Queue[Block | None] = queue.Queue(MAX_WAITING)
        self._is_failing = False
        self._purge_at_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    def open(self, session_id: str) -> Recording:
        """Begin to keep the audio of a session."""
        return Recording(self, self._folder / f"{session_id}.wav")

    def write(self, block: Block) -> None:
        """Hand in a block; never waits."""
        try:
            self._blocks.put_nowait(block)
        except queue.Full:  # the disk does not answer at all
            self._metrics.recording_lost.inc()

    def close(self) -> None:
        """Write what has come, and stop; a disk that does not answer is left alone."""
        with suppress(queue.Full):
            self._blocks.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)
        if self._thread.is_alive():
            log.error("recordings could not be closed; their last seconds are lost")

    def _require_writable(self) -> None:
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            tempfile.TemporaryFile(dir=self._folder).close()
        except OSError as error:
            raise JournalError(
                f"{self._folder}: expected a folder to record to, got: {reason(error)}"
            ) from error

    def _run(self) -> None:
        is_last = False
        while not is_last:
            if time.monotonic() >= self._purge_at_s:
                self._purge()
            with suppress(queue.Empty):
                block = self._blocks.get(timeout=self._purge_at_s - time.monotonic())
                is_last = block is None
                if block:
                    self._store(block)

    def _store(self, block: Block) -> None:
        try:
            write_block(block)
        except OSError as error:
            self._metrics.recording_lost.inc()
            if not self._is_failing:
                log.error(
                    "audio cannot be kept; sessions go on", extra=fields(error=error)
                )
            self._is_failing = True
        else:
            if self._is_failing:
                log.warning("audio is kept again")
            self._is_failing = False

    def _purge(self) -> None:
        self._purge_at_s = time.monotonic() + PURGE_INTERVAL_S
        if not self._days:
            return
        before_s = time.time() - self._days * DAY_S
        try:
            for path in self._folder.iterdir():
                if OURS.fullmatch(path.name) and path.stat().st_mtime < before_s:
                    path.unlink()
        except OSError as error:
            log.error("old recordings cannot be removed", extra=fields(error=error))


def write_block(block: Block) -> None:
    """Put a block into its place, and tell the header.

    Raises:
        OSError: If not all of it could be written.
    """
    file = os.open(block.path, os.O_WRONLY | os.O_CREAT, 0o600)
    try:
        place = HEADER_BYTES + block.start * SAMPLE_BYTES
        if os.pwrite(file, block.pcm, place) < len(block.pcm):
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        os.pwrite(file, header(place + len(block.pcm)), 0)
    finally:
        os.close(file)


def header(file_bytes: int) -> bytes:
    """Make the head of a WAV file: mono, 16 bits, 16 kHz."""
    size = min(file_bytes, MAX_SIZE)
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        *(b"RIFF", size - 8, b"WAVE", b"fmt ", 16, 1, 1),
        *(SAMPLE_RATE_HZ, SAMPLE_RATE_HZ * SAMPLE_BYTES, SAMPLE_BYTES, 16),
        *(b"data", size - HEADER_BYTES),
    )
