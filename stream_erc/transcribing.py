"""Recordings -> results, several at once: the command `stream-erc transcribe`."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Self

import msgspec
from tqdm import tqdm

from . import events
from .config import Settings
from .engine import Models
from .engines import LocalEngine
from .errors import ConfigError, RecordingError, reason
from .forms import clean
from .gaps import Flaws
from .media import holds_two, length_s, read_blocks
from .names import Name
from .provenance import fingerprint
from .recordings import find_files
from .results import Results, spell
from .transcription import Transcriber, Transcription
from .vad import SileroVad

OTHER = "other settings, models or version"

MAX_RESULTS = 4
"""Recordings for each thread whose results wait for those before them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeConfig:
    """What to do with the recordings.

    Attributes:
        paths: Files, and folders with all below them.
        speakers: Of the left channel and of the right, or of both; empty: unnamed.
        form: One of `results.SUFFIXES`.
        folder: Gets a file for each recording; None: the standard output.
        overwrite: Do again what is there.
    """

    paths: tuple[Path, ...]
    speakers: tuple[str, ...] = ()
    form: str = "table"
    folder: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        if len(self.speakers) > 2 or len({*self.speakers}) < len(self.speakers):
            raise ConfigError(
                f"--speakers: expected one name or two, got {','.join(self.speakers)}"
            )
        for name in self.speakers:
            try:
                msgspec.convert(name, Name)
            except msgspec.ValidationError as error:
                raise ConfigError(
                    f"--speakers: expected a name in one line of 1 to 200 characters, "
                    f"got {name!a}"
                ) from error


@dataclass(slots=True)
class Tally:
    """What came of the recordings.

    Attributes:
        n_read: Transcribed.
        n_failed: Could not be read, or their result not be written.
        n_flawed: Of those that were transcribed: somebody was warned of something.
        n_before: Their results were there.
        n_other: Their results were there, but made with other settings or models.
        audio_s: Seconds of audio in those that were read.
    """

    n_read: int = 0
    n_failed: int = 0
    n_flawed: int = 0
    n_before: int = 0
    n_other: int = 0
    audio_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Recording:
    """A file, and its name: its path below the folder given, without the suffix."""

    file: Path
    name: str


def transcribe(config: TranscribeConfig, settings: Settings) -> int:
    """Transcribe all recordings; one that fails does not keep the others from it.

    Returns:
        0, or 1 if a recording failed, or has a result made with other settings.

    Raises:
        ConfigError: If there is no recording, or the results cannot go where they
            should.
        ModelError: If a model cannot be loaded.
        OSError: If the notes of the results' folder cannot be read.
    """
    found = list_recordings(config.paths)
    made_with = fingerprint(settings, config.speakers) if config.folder else ""
    results = Results(config.form, config.folder, sys.stdout, len(found), made_with)
    tally = Tally()
    todo = choose(found, results, tally, overwrite=config.overwrite)
    took_s = 0.0
    if todo:
        vad, models = SileroVad(), Models(settings)
        engine = LocalEngine(
            models, settings.asr.n_workers, settings.engine, on_restart=lambda _: None
        )
        started_s = time.perf_counter()
        try:
            transcriber = Transcriber(settings, vad, engine)
            work_through(todo, transcriber, results, tally, config.speakers)
        finally:
            engine.close()
        took_s = time.perf_counter() - started_s
    tell(describe(tally, took_s))
    return 1 if tally.n_failed or tally.n_other else 0


def list_recordings(paths: Sequence[Path]) -> list[Recording]:
    """Give the recordings in files and folders, each once.

    Raises:
        ConfigError: If there is none.
    """
    found: dict[Path, Recording] = {}
    for path in paths:
        for file, name in find_files(path):
            found.setdefault(file.absolute(), Recording(file, name))
    if not found:
        named = ", ".join(map(str, paths))
        raise ConfigError(f"FILE: expected recordings in {named}, got none")
    return list(found.values())


def choose(
    found: Sequence[Recording], results: Results, tally: Tally, *, overwrite: bool
) -> list[Recording]:
    """Give those that are still to be transcribed; count the others."""
    todo: list[Recording] = []
    taken: dict[Path, Path] = {}
    for recording in found:
        result = results.file_of(recording.name)
        if result is not None and result in taken:
            tally.n_failed += 1
            tell(
                f"{recording.file}: would become {result}, as {taken[result]} does: "
                f"rename one of them, or give it another --out"
            )
            continue
        if result is not None:
            taken[result] = recording.file
        if result is None or overwrite or not result.exists():
            todo.append(recording)
        elif results.is_other(result):
            tally.n_other += 1
            if tally.n_other == 1:
                tell(f"{result}: made with {OTHER}; --overwrite makes it anew")
        else:
            tally.n_before += 1
    return todo


def work_through(
    todo: Sequence[Recording],
    transcriber: Transcriber,
    results: Results,
    tally: Tally,
    speakers: Sequence[str],
) -> None:
    """Transcribe as many recordings at once as turns are heard; show them in order."""
    n_threads = transcriber.n_at_once
    waiting: deque[tuple[Recording, Future[tuple[Transcription, Flaws]]]] = deque()

    def take_first() -> None:
        recording, future = waiting.popleft()
        try:
            found, flaws = future.result()
        except (RecordingError, OSError) as error:
            tally.n_failed += 1
            tell(error if isinstance(error, RecordingError) else explain(error))
            return
        tally.n_read += 1
        tally.audio_s += found.duration_ms / 1000
        with tqdm.external_write_mode(file=sys.stdout):
            results.show(recording.file, found)
        tally.n_flawed += remark(recording, found, flaws)

    with ThreadPoolExecutor(n_threads, "recording") as threads, Bar(todo) as bar:
        try:
            for recording in todo:
                hear = partial(hear_one, recording, transcriber, results, speakers, bar)
                waiting.append((recording, threads.submit(hear)))
                if len(waiting) > n_threads * MAX_RESULTS:
                    take_first()
            while waiting:
                take_first()
        except BaseException:  # also Ctrl-C: nobody wants the rest
            transcriber.stopping.set()
            threads.shutdown(wait=False, cancel_futures=True)
            raise


def hear_one(
    recording: Recording,
    transcriber: Transcriber,
    results: Results,
    speakers: Sequence[str],
    bar: Bar,
) -> tuple[Transcription, Flaws]:
    """Transcribe a recording, and keep its result; tell what is wrong with the file.

    Raises:
        RecordingError: If it cannot be read.
        OSError: If its result cannot be written.
    """
    is_split = len(speakers) != 1 and holds_two(recording.file)
    if is_split:
        names = speakers or ("channel 1", "channel 2")
    else:
        names = speakers[:1] or ("speaker",)
    flaws = Flaws()
    blocks = read_blocks(recording.file, is_split=is_split, flaws=flaws)
    found = transcriber.transcribe(spell(recording.file), names, blocks, bar.advance)
    results.keep(recording.name, recording.file, found)
    return found, flaws


def remark(recording: Recording, found: Transcription, flaws: Flaws) -> bool:
    """Tell what somebody should know of a result; give whether that is a warning."""
    said = [event for _, event in found.told]
    warnings = list(flaws.describe())
    warnings += [event.message for event in said if isinstance(event, events.Warn)]
    for warning in warnings:
        tell(f"{recording.file}: {warning}")
    if not any(isinstance(event, events.EmotionFinal) for event in said):
        tell(f"{recording.file}: no speech")
    return bool(warnings)


class Bar:
    """How much audio has been heard; on a terminal alone.

    Args:
        todo: What there is to hear.
    """

    def __init__(self, todo: Sequence[Recording]) -> None:
        is_seen = sys.stderr.isatty()
        length = sum(length_s(each.file) for each in todo) if is_seen else 0.0
        self._bar = tqdm(
            total=math.ceil(length) or None,
            unit="s",
            unit_scale=True,
            disable=not is_seen,
        )
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.close()

    def advance(self, seconds: float) -> None:
        """Count so much more as heard; called in any thread."""
        with self._lock:
            if self._bar.total:  # files may say less than they hold
                seconds = min(seconds, self._bar.total - self._bar.n)
            self._bar.update(seconds)


def describe(tally: Tally, took_s: float) -> str:
    """Say what came of the recordings."""
    parts = [f"{tally.n_read} transcribed"]
    if tally.n_flawed:
        parts[0] += f" ({tally.n_flawed} with warnings)"
    if tally.n_before:
        parts.append(f"{tally.n_before} there before")
    if tally.n_other:
        parts.append(f"{tally.n_other} made with {OTHER}")
    if tally.n_failed:
        parts.append(f"{tally.n_failed} failed")
    line = ", ".join(parts)
    if tally.audio_s and took_s:
        pace = tally.audio_s / took_s
        line += f"; {tally.audio_s:.0f} s of audio in {took_s:.1f} s, {pace:.1f} times"
        line += " as fast as life"
    return line


def explain(error: OSError) -> str:
    """Say in a line which file cannot be written, and why."""
    return f"{error.filename}: {reason(error)}"


def tell(line: object) -> None:
    """Print a line for people beside the bar; files have names from strangers."""
    tqdm.write(clean(str(line)), file=sys.stderr)
