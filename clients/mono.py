"""PCM16 of any rate and any number of channels -> 16 kHz mono PCM16, as a stream."""

from __future__ import annotations

import numpy as np
import soxr

from clients.sources import RATE_HZ, Pcm16


class MonoStream:
    """Mixes and resamples; 16 kHz mono passes as it is.

    The form may change from one chunk to the next: transports change devices.
    """

    def __init__(self) -> None:
        """Begin before the first chunk."""
        self._rate_hz = RATE_HZ
        self._resampler: soxr.ResampleStream | None = None  # None at 16 kHz

    def convert(self, pcm: bytes, rate_hz: int, n_channels: int) -> bytes:
        """Give what is ready of a chunk, and of those before it.

        Args:
            pcm: Little-endian samples of 16 bits, channels interleaved.
            rate_hz: Of this chunk.
            n_channels: Of this chunk.

        Raises:
            ValueError: If a sample is not whole.
        """
        tail = b"" if rate_hz == self._rate_hz else self.flush()
        samples = mix(pcm, n_channels)
        if rate_hz != self._rate_hz:
            self._rate_hz = rate_hz
            self._resampler = (
                None
                if rate_hz == RATE_HZ
                else soxr.ResampleStream(rate_hz, RATE_HZ, 1, dtype="float32")
            )
        return tail + self._resample(samples)

    def flush(self) -> bytes:
        """Give what the resampler still holds; the next chunk begins anew."""
        if self._resampler is None:
            return b""
        rest = self._resample(np.zeros(0, np.int16), is_last=True)
        self._rate_hz, self._resampler = RATE_HZ, None
        return rest

    def _resample(self, samples: Pcm16, *, is_last: bool = False) -> bytes:
        if self._resampler is not None:
            # Not in whole numbers: those it dithers, anew from chunk to chunk.
            exact = self._resampler.resample_chunk(samples.astype(np.float32), is_last)
            samples = np.rint(exact).clip(-32768, 32767).astype(np.int16)
        return samples.astype("<i2", copy=False).tobytes()


def mix(pcm: bytes, n_channels: int) -> Pcm16:
    """Give the mean of the channels.

    Returns:
        Shape (n_samples,).

    Raises:
        ValueError: If a sample is not whole.
    """
    samples: Pcm16 = np.frombuffer(pcm, "<i2").reshape(-1, n_channels)
    if n_channels == 1:
        return samples.reshape(-1)
    mean: Pcm16 = np.rint(samples.mean(axis=1)).astype(np.int16)
    return mean
