"""bytes -> Frame: decode the declared format, resample, cut into frames.

The frames depend on the bytes alone, never on how the network cut them: the
resampler is fed blocks of one length.
"""

from __future__ import annotations

import numpy as np
import soxr
from numpy.typing import NDArray

from .flow import FRAME_SAMPLES, SAMPLE_RATE_HZ, AudioAltered, Frame, Samples

SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1}
BLOCK_MS = 10  # fed to the resampler at once; adds as much delay


def mulaw_table() -> NDArray[np.float32]:
    """Expand every G.711 mu-law byte to a float in [-1, 1]; shape (256,)."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, code & 15
    magnitude = ((mantissa.astype(np.int32) * 2 + 33) << exponent.astype(np.int32)) - 33
    # 14-bit magnitudes, at most 8031, in a range of 8192.
    signed = np.where(code & 0x80, -magnitude, magnitude)
    return (signed / 8192).astype(np.float32)


MULAW = mulaw_table()


def decode(encoding: str, data: bytes) -> Samples:
    """Turn whole samples of a wire encoding into floats; nothing is clipped."""
    if encoding == "pcm_s16le":
        return np.frombuffer(data, "<i2").astype(np.float32) / np.float32(32_768)
    if encoding == "pcm_f32le":
        return np.frombuffer(data, "<f4").astype(np.float32)
    return MULAW[np.frombuffer(data, np.uint8)]


def clip(samples: Samples) -> Samples:
    """Bring samples into [-1, 1]; resampling too may overshoot."""
    return np.clip(samples, np.float32(-1), np.float32(1))


class Decoder:
    """Stage: bytes of the declared format in, mono samples at 16 kHz out."""

    def __init__(self, encoding: str, sample_rate_hz: int, channels: int) -> None:
        self._encoding = encoding
        self._rate_hz = sample_rate_hz
        self._channels = channels
        self._rest = b""  # of a sample that the network cut
        self._block = np.empty(0, np.float32)  # waits for the resampler
        self._block_samples = sample_rate_hz * BLOCK_MS // 1000
        self._resampler = self._new_resampler()
        self._received = 0  # samples at the declared rate
        self._emitted = 0  # samples at 16 kHz
        self._told: set[str] = set()  # kinds of alteration

    @property
    def position(self) -> int:
        """How much has been received, in samples at 16 kHz."""
        return round(self._received * SAMPLE_RATE_HZ / self._rate_hz)

    @property
    def rest_bytes(self) -> int:
        """Bytes of a sample whose other bytes have not come."""
        return len(self._rest)

    def push(self, data: bytes) -> tuple[Samples, list[AudioAltered]]:
        """Return the samples that `data` completes, and what was wrong with them."""
        data = self._rest + data
        sample_bytes = SAMPLE_BYTES[self._encoding] * self._channels
        whole = len(data) - len(data) % sample_bytes
        self._rest = data[whole:]
        heard = decode(self._encoding, data[:whole])
        heard, altered = self._mend(heard)
        mono = heard.reshape(-1, self._channels).mean(axis=1, dtype=np.float32)
        self._received += len(mono)
        return self._resample(mono), altered

    def settle(self) -> Samples:
        """Give what is held back, so that output ends exactly at `position`."""
        if self._rate_hz == SAMPLE_RATE_HZ:
            return np.empty(0, np.float32)
        tail = self._resampler.resample_chunk(self._block, last=True)
        self._block = self._block[:0]
        self._resampler = self._new_resampler()
        missing = self.position - self._emitted
        tail = np.pad(tail[:missing], (0, max(0, missing - len(tail))))
        self._emitted += len(tail)
        return clip(tail)

    def _new_resampler(self) -> soxr.ResampleStream:
        return soxr.ResampleStream(self._rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32")

    def _resample(self, mono: Samples) -> Samples:
        if self._rate_hz == SAMPLE_RATE_HZ:
            self._emitted += len(mono)
            return mono
        waiting = np.concatenate([self._block, mono])
        size = self._block_samples
        whole = len(waiting) - len(waiting) % size
        self._block = waiting[whole:]
        pieces = [
            self._resampler.resample_chunk(waiting[at : at + size])
            for at in range(0, whole, size)
        ]
        resampled = np.concatenate([np.empty(0, np.float32), *pieces])
        self._emitted += len(resampled)
        return clip(resampled)

    def _mend(self, samples: Samples) -> tuple[Samples, list[AudioAltered]]:
        """Make float samples fit for use; other encodings always are."""
        altered: list[AudioAltered] = []
        if self._encoding != "pcm_f32le" or not len(samples):
            return samples, altered
        is_finite = np.isfinite(samples)
        if not is_finite.all():
            samples = np.where(is_finite, samples, np.float32(0))
            altered += self._tell(
                "audio_not_finite",
                "audio: expected finite samples, got NaN or infinity; taken as 0",
            )
        peak = float(np.abs(samples).max())
        if peak > 1:
            samples = clip(samples)
            altered += self._tell(
                "audio_out_of_range",
                f"audio: expected samples in [-1, 1], got {peak:g}; clipped",
            )
        return samples, altered

    def _tell(self, code: str, message: str) -> list[AudioAltered]:
        if code in self._told:
            return []
        self._told.add(code)
        return [AudioAltered(code, message)]


class Framer:
    """Stage: samples in, frames of one length out."""

    def __init__(self) -> None:
        self._start = 0
        self._rest = np.empty(0, np.float32)

    @property
    def next_end(self) -> int:
        """One past the last sample of the frame that is completed next."""
        return self._start + FRAME_SAMPLES

    def push(self, samples: Samples) -> list[Frame]:
        """Return the frames that `samples` completes, oldest first; often none."""
        waiting = np.concatenate([self._rest, samples])
        whole = len(waiting) - len(waiting) % FRAME_SAMPLES
        frames = [
            Frame(self._start + at, waiting[at : at + FRAME_SAMPLES])
            for at in range(0, whole, FRAME_SAMPLES)
        ]
        self._start += whole
        self._rest = waiting[whole:]
        return frames

    def cut(self) -> list[Frame]:
        """Give what is held back as one short frame; the next one starts behind it."""
        if not len(self._rest):
            return []
        frame = Frame(self._start, self._rest)
        self._start = frame.end
        self._rest = self._rest[:0]
        return [frame]
