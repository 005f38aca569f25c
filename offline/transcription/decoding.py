"""File -> samples: each channel at 16 kHz, or all of them mixed to one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import av
import numpy as np
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from numpy.typing import NDArray

from stream_erc.errors import ConfigError, reason
from stream_erc.flow import SAMPLE_RATE_HZ

Channels = NDArray[np.int16]
"""A recording at `SAMPLE_RATE_HZ`, shape (n_channels, n_samples): half the room of
floats, and what a client with a file sends."""


def decode_channels(file: Path, *, is_split: bool) -> Channels:
    """Decode any audio file, or the first sound track of a video.

    FFmpeg (PyAV) reads, resamples and mixes. Packets that it cannot decode are left
    out, as players do, so that a scratch in a file does not lose the rest.

    Args:
        file: To be read.
        is_split: Whether to keep its channels apart; one channel comes out otherwise.

    Returns:
        At least one sample.

    Raises:
        ConfigError: If the file cannot be read or holds no audio.
    """
    try:
        blocks = list(_decode_blocks(file, None if is_split else "mono"))
    except (OSError, ValueError, av.error.FFmpegError) as error:
        raise ConfigError(f"{file}: expected audio, got: {reason(error)}") from error
    if not blocks:
        raise ConfigError(f"{file}: expected audio, got not one sample of it")
    return np.concatenate(blocks, axis=1)


def _decode_blocks(file: Path, layout: str | None) -> Iterator[Channels]:
    resampler = AudioResampler(format="s16", layout=layout, rate=SAMPLE_RATE_HZ)
    with av.open(str(file), metadata_errors="ignore") as container:
        if not container.streams.audio:
            raise ValueError("no sound track")
        track = container.streams.audio[0]
        frames: Iterable[av.AudioFrame] = _decode_packets(container.demux(track))
        is_begun = False
        for frame in frames:
            is_begun = True
            yield from map(_to_channels, resampler.resample(frame))
        if is_begun:  # an unused resampler has nothing to give and would complain
            yield from map(_to_channels, resampler.resample(None))


def _decode_packets(
    packets: Iterable[av.Packet[AudioStream]],
) -> Iterator[av.AudioFrame]:
    for packet in packets:
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _to_channels(block: av.AudioFrame) -> Channels:
    interleaved = block.to_ndarray().astype(np.int16, copy=False)
    return interleaved.reshape(-1, block.layout.nb_channels).T
