"""Container -> seconds: where a recording says that its sound ends."""

from __future__ import annotations

import struct
from pathlib import Path

import av
from av.audio.stream import AudioStream
from av.container.input import InputContainer

GUESSED = ("aac", "ac3", "amr", "dts", "eac3")
"""Formats that say nothing; FFmpeg guesses from the bits of the first packets."""

UNSTATED_BYTES = 0x7F00_0000
"""Who writes a WAV file into a pipe states at least so many, not knowing better."""

MAX_CHUNKS = 64
"""Looked at in a WAV file; audio editors put some before the sound."""


def stated_end_s(file: Path, container: InputContainer, track: AudioStream) -> float:
    """Give the timestamp at which a track says that it ends; 0: it does not say."""
    kind = container.format.name
    if kind in GUESSED:
        return 0.0
    if kind == "wav":  # FFmpeg tells what is there instead
        return _of_wav_s(file)
    if track.duration is not None and track.time_base is not None:
        return float(((track.start_time or 0) + track.duration) * track.time_base)
    tags = (text for name, text in track.metadata.items() if name[:8] == "DURATION")
    if text := next(tags, ""):  # Matroska; also DURATION-eng
        return _read_clock_s(text)
    # That of a film may be the pictures'.
    is_alone = len(container.streams) == 1
    return (container.duration or 0) / av.time_base if is_alone else 0.0


def _read_clock_s(text: str) -> float:
    try:
        hours, minutes, seconds = map(float, text.split(":"))
    except ValueError:
        return 0.0
    return hours * 3600 + minutes * 60 + seconds


def _of_wav_s(file: Path) -> float:
    """Read the header: https://www.mmsp.ece.mcgill.ca/Documents/AudioFormats/WAVE."""
    if not file.is_file():  # a pipe could not be read once more
        return 0.0
    bytes_a_s = 0
    with file.open("rb") as content:
        riff = content.read(12)
        if riff[:4] != b"RIFF" or riff[8:] != b"WAVE":
            return 0.0
        for _ in range(MAX_CHUNKS):
            head = content.read(8)
            if len(head) < 8:
                break
            name, n_bytes = struct.unpack("<4sI", head)
            begin = content.tell()
            if name == b"data":
                is_stated = bytes_a_s and n_bytes < UNSTATED_BYTES
                return n_bytes / bytes_a_s if is_stated else 0.0
            if name == b"fmt ":
                _, bytes_a_s = struct.unpack("<8sI", content.read(12).ljust(12, b"\0"))
            content.seek(begin + n_bytes + n_bytes % 2)  # chunks are padded
    return 0.0
