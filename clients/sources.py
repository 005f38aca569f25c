"""File or corpus -> 16 kHz mono PCM16 and who speaks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import msgspec
import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from clients.errors import UnplayableFile
from stream_erc.errors import RecordingError, reason
from stream_erc.events import AudioFormat
from stream_erc.gaps import Flaws
from stream_erc.media import read_blocks

RATE_HZ = 16_000
FORMAT = AudioFormat(encoding="pcm_s16le", sample_rate=RATE_HZ, channels=1)
CORPUS_SUFFIX = ".jsonl"

Pcm16 = NDArray[np.int16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one speaker says, as audio or as text.

    Attributes:
        dialogue: Name of the dialogue it belongs to.
        speaker: Who says it.
        text: The words; None where nobody wrote them down.
        audio: The file that holds it; None: to be sent as text.
        start_s: Where it begins in the file; None: at its start.
        end_s: Where it ends; None: at the end of the file.
        emotion: What the corpus says it conveys; None where it does not say.
        source: Where the line comes from, for messages.
    """

    dialogue: str
    speaker: str
    text: str | None = None
    audio: Path | None = None
    start_s: float | None = None
    end_s: float | None = None
    emotion: str | None = None
    source: str = ""


class CorpusLine(Struct, frozen=True, kw_only=True):
    """A line of a corpus as it is written; fields that are not here are ignored."""

    dialogue: str
    turn: int
    speaker: str
    text: str | None = None
    audio: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    emotion: str | None = None


def read_corpus(
    file: Path, audio_root: Path | None = None
) -> Iterator[Line | UnplayableFile]:
    """Read JSON Lines, one utterance a line.

    Args:
        file: The corpus.
        audio_root: Folder that its audio paths start from; None: the corpus's own.

    Yields:
        Each line, or what is wrong with it: one bad line does not spoil the others.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        yield UnplayableFile(f"{file}: expected a corpus, got: {reason(error)}")
        return
    if not text.strip():
        yield UnplayableFile(f"{file}: expected a corpus, got an empty file")
    for number, raw in enumerate(text.splitlines(), start=1):
        if raw.strip():
            yield read_line(raw, f"{file}:{number}", audio_root or file.parent)


def read_line(raw: str, source: str, audio_root: Path) -> Line | UnplayableFile:
    """Read one line of a corpus, or say what is wrong with it."""
    try:
        found = msgspec.json.decode(raw, type=CorpusLine)
    except msgspec.MsgspecError as error:
        return UnplayableFile(f"{source}: {error}")
    if not found.audio and not found.text:
        return UnplayableFile(f"{source}: expected audio or text, got neither")
    return Line(
        dialogue=found.dialogue,
        speaker=found.speaker,
        text=found.text,
        audio=audio_root / found.audio if found.audio else None,
        start_s=found.start_s,
        end_s=found.end_s,
        emotion=found.emotion,
        source=source,
    )


def load(line: Line) -> Pcm16:
    """Decode the audio of a line and cut it.

    Returns:
        Shape (n_samples,), at 16 kHz, n_samples > 0.

    Raises:
        UnplayableFile: If there is none to be had.
    """
    assert line.audio is not None
    samples = decode(line.audio)
    begin = round((line.start_s or 0.0) * RATE_HZ)
    end = len(samples) if line.end_s is None else round(line.end_s * RATE_HZ)
    cut = samples[max(begin, 0) : max(end, 0)]
    if not len(cut):
        raise UnplayableFile(
            f"{line.source}: expected audio from {line.start_s} to {line.end_s} s, "
            f"got {len(samples) / RATE_HZ:.2f} s in {line.audio}"
        )
    return cut


def look(file: Path) -> None:
    """See whether a file can be played, by its first block.

    Raises:
        UnplayableFile: If not.
    """
    try:
        next(read_blocks(file, is_split=False))
    except RecordingError as error:
        raise UnplayableFile(str(error)) from error


def decode(file: Path) -> Pcm16:
    """Decode any audio file, or the first sound track of a video, mixed to mono.

    It is read as `stream-erc transcribe` reads it, so that both find the same times.

    Returns:
        Shape (n_samples,), 16 kHz, read-only, n_samples > 0.

    Raises:
        UnplayableFile: If the file is missing, empty or not audio.
    """
    return read(file)[0]


def find_flaws(file: Path) -> tuple[str, ...]:
    """Say what is wrong with a file that can be played; none of one that is whole.

    Raises:
        UnplayableFile: If it cannot.
    """
    return read(file)[1]


@lru_cache(maxsize=2)  # lines of a corpus often cut one file, or one per speaker
def read(file: Path) -> tuple[Pcm16, tuple[str, ...]]:
    """Give what `decode` and `find_flaws` give."""
    flaws = Flaws()
    try:
        blocks = list(read_blocks(file, is_split=False, flaws=flaws))
    except RecordingError as error:
        raise UnplayableFile(str(error)) from error
    samples: Pcm16 = np.concatenate(blocks, axis=1)[0]
    samples.flags.writeable = False
    return samples, tuple(flaws.describe())
