"""Samples <-> wall time: when a sample is due, and when it was sent."""

from __future__ import annotations

import asyncio
import time
from array import array
from bisect import bisect_left
from collections.abc import Awaitable, Callable

CHUNK_S = 0.020  # what telephony and browsers send at a time


class SendTimes:
    """When each sample was sent, for latencies measured at the client's socket.

    The audio clock counts samples from the session's start; `sent_at` turns a time on
    it into the wall time at which the audio up to there had been handed to the socket.
    """

    def __init__(self, bytes_per_s: int):
        """Begin with nothing sent.

        Args:
            bytes_per_s: Of the declared format. Frames may cut a sample in two, so
                bytes are counted.
        """
        self._bytes_per_s = bytes_per_s
        self._ends_bytes = array("q")  # bytes sent when frame i had been sent
        self._times_s = array("d")  # wall time of frame i

    def record(self, n_bytes: int, at_s: float) -> None:
        """Note that `n_bytes` more were handed to the socket at wall time `at_s`."""
        sent_bytes = self._ends_bytes[-1] if self._ends_bytes else 0
        self._ends_bytes.append(sent_bytes + n_bytes)
        self._times_s.append(at_s)

    @property
    def sent_ms(self) -> float:
        """Milliseconds of audio sent so far."""
        sent_bytes = self._ends_bytes[-1] if self._ends_bytes else 0
        return sent_bytes * 1000 / self._bytes_per_s

    def sent_at(self, ms: float) -> float:
        """Tell when the first `ms` milliseconds of audio had been sent.

        Returns:
            Wall time of the frame that holds the last of these samples; of the last
            frame, where not so much was sent.

        Raises:
            ValueError: If nothing has been sent.
        """
        if not self._times_s:
            raise ValueError("sent_at: expected audio to have been sent, got none")
        needed_bytes = ms * self._bytes_per_s / 1000
        frame = bisect_left(self._ends_bytes, needed_bytes)
        return self._times_s[min(frame, len(self._times_s) - 1)]


class Pace:
    """Lets samples go when a microphone would have recorded them.

    Every sample has its time from the start on; sleeping the length of each chunk
    instead would add every delay of the machine to all that follows.
    """

    def __init__(
        self,
        rate_hz: int,
        speed: float | None = 1.0,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        """Begin at the first call of `until`.

        Args:
            rate_hz: Samples a second.
            speed: How many times faster than life; None: without waiting.
            clock: Wall time in seconds.
            sleep: Waits so many seconds.
        """
        self._samples_per_s = None if speed is None else rate_hz * speed
        self._clock = clock
        self._sleep = sleep
        self._start_s: float | None = None  # wall time of sample 0

    async def until(self, n_samples: int) -> None:
        """Wait until the first `n_samples` have been recorded."""
        if self._samples_per_s is None:
            await self._sleep(0)  # others on this event loop get their turn
            return
        if self._start_s is None:
            self._start_s = self._clock()
        due_s = self._start_s + n_samples / self._samples_per_s
        await self._sleep(max(0.0, due_s - self._clock()))
