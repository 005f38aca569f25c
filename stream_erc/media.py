"""File -> Pcm16…: a recording, or the first sound track of a video, by blocks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from .errors import RecordingError, reason
from .flow import SAMPLE_RATE_HZ
from .gaps import Flaws, fill_gaps
from .stated_end import stated_end_s

Pcm16 = NDArray[np.int16]
"""Audio at `SAMPLE_RATE_HZ`, shape (n_channels, n_samples): half the room of floats,
and what a client with a file sends."""

SAME = 4
"""Two channels that never differ by more are one: lossy codecs round each by itself."""


def read_blocks(
    file: Path, *, is_split: bool, flaws: Flaws | None = None
) -> Iterator[Pcm16]:
    """Decode a file as it is read, so that its length costs no memory.

    FFmpeg (PyAV) reads, resamples and mixes. Packets that it cannot decode are left
    out, as players do, so that a scratch in a file does not lose the rest; silence
    stands for what is missing, so that what follows keeps its time.

    Args:
        file: To be read.
        is_split: Whether to keep its channels apart; one channel comes out otherwise.
        flaws: Gets what is wrong with it, all once the last block is given.

    Raises:
        RecordingError: If the file cannot be read or holds no audio.
    """
    is_empty = True
    try:
        for block in _decode(file, None if is_split else "mono", flaws or Flaws()):
            is_empty = False
            yield block
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise RecordingError(f"{file}: expected audio, got: {reason(error)}") from error
    if is_empty:
        raise RecordingError(f"{file}: expected audio, got not one sample of it")


def holds_two(file: Path) -> bool:
    """Tell whether a file has two channels, and not one thing twice.

    Reads as far as the two are the same.

    Raises:
        RecordingError: If the file cannot be read or holds no audio.
    """
    for block in read_blocks(file, is_split=True):
        if len(block) != 2:
            return False
        left, right = block.astype(np.int32)
        if np.abs(left - right).max(initial=0) > SAME:
            return True
    return False


def length_s(file: Path) -> float:
    """Give how long a file says that it is; 0 where it does not say."""
    try:
        with av.open(str(file), metadata_errors="ignore") as container:
            return (container.duration or 0) / av.time_base
    except (OSError, ValueError, av.error.FFmpegError):
        return 0.0


def _decode(file: Path, layout: str | None, flaws: Flaws) -> Iterator[Pcm16]:
    resampler = AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE_HZ)
    with av.open(str(file), metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise ValueError("no sound track")
        track = container.streams.audio[0]
        zero_s = (container.start_time or 0) / av.time_base
        flaws.stated_end_s = stated_end_s(file, container, track) - zero_s
        frames = _decode_packets(container.demux(track), flaws)
        is_begun = False
        for frame in fill_gaps(frames, zero_s, flaws):
            is_begun = True
            yield from map(_to_channels, resampler.resample(frame))
        if is_begun:  # an unused resampler has nothing to give and would complain
            yield from map(_to_channels, resampler.resample(None))


def _decode_packets(
    packets: Iterable[av.Packet[AudioStream]], flaws: Flaws
) -> Iterator[av.AudioFrame]:
    for packet in packets:
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            flaws.n_undecodable += 1


def _to_channels(block: av.AudioFrame) -> Pcm16:
    interleaved = block.to_ndarray().astype(np.int16, copy=False)
    return interleaved.reshape(-1, block.layout.nb_channels).T
