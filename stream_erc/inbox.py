"""What a client sent: counted, in its order, and not too much at a time."""

from __future__ import annotations

import asyncio
import math
from collections import deque

from . import events
from .flow import FRAME_SAMPLES, SAMPLE_RATE_HZ
from .presence import Moves

INBOX_ITEMS = 16
"""Messages read ahead of the listener; then the socket is not read any more."""

SLICE_SAMPLES = 16 * FRAME_SAMPLES
"""Most audio given at once: all who are heard in a round wait for the longest."""

Item = bytes | events.ClientMessage
"""What takes its place in the stream; audio in whole samples."""


class Inbox:
    """Between a session's sockets and its listener.

    Taking never waits, so that a message is taken and counted, or neither, however
    suddenly its socket is lost.

    Args:
        sample_bytes: Of one sample of all channels, as declared.
        sample_rate_hz: As declared.
        max_bytes: Of audio that waits, beyond which there is no room.
        moves: Told of every change.
    """

    def __init__(
        self, sample_bytes: int, sample_rate_hz: int, max_bytes: int, moves: Moves
    ) -> None:
        self._sample_bytes = sample_bytes
        self._sample_rate_hz = sample_rate_hz
        self._max_bytes = max_bytes
        self._moves = moves
        self._items: deque[Item] = deque()
        self._n_other = 0  # items that are no audio
        self._waiting_bytes = 0  # of audio
        self._least_bytes = 0  # of audio that are worth giving
        self._due = asyncio.Event()
        self._is_awaited = False  # somebody waits for room
        self._half = b""  # of a sample that the network cut
        self._n_samples = 0
        self._n_messages = 1  # `session.start` has been read before
        self._is_closed = False

    @property
    def is_closed(self) -> bool:
        """Whether the last message is in; all others are thrown away."""
        return self._is_closed

    @property
    def n_samples(self) -> int:
        """How many samples came, at the declared rate."""
        return self._n_samples

    @property
    def n_messages(self) -> int:
        """How many text messages came, `session.start` among them."""
        return self._n_messages

    @property
    def has_room(self) -> bool:
        """Whether little enough is waiting."""
        is_full = self._waiting_bytes >= self._max_bytes
        return not is_full and len(self._items) < INBOX_ITEMS

    async def wait_for_room(self) -> None:
        """Wait while too much is waiting."""
        while not (self.has_room or self._is_closed):
            self._is_awaited = True
            await self._moves.wait()

    def count_message(self) -> None:
        """Count a text message that was read."""
        self._n_messages += 1

    def put_audio(self, audio: bytes) -> None:
        """Take audio, cut anywhere."""
        if self._is_closed:
            return
        audio = self._half + audio
        whole = len(audio) - len(audio) % self._sample_bytes
        self._half = audio[whole:]
        self._n_samples += whole // self._sample_bytes
        self._put(audio[:whole])

    def put(self, message: events.ClientMessage) -> None:
        """Take a message that has its place among the audio."""
        if self._is_closed:
            return
        if isinstance(message, events.SessionEnd):
            self._is_closed = True
            self._put(self._half)  # the listener tells of it
        self._put(message)
        self._moves.tell()

    def drop_half(self) -> None:
        """Forget the half of a sample whose other half was lost."""
        self._half = b""

    async def next(self, missing_samples: int) -> Item:
        """Give what comes next; audio that waits is joined.

        Args:
            missing_samples: At 16 kHz. Less audio is not given, for nothing would come
                of it, unless something stands behind it or there is no room for more.
        """
        self._least_bytes = self._to_bytes(missing_samples)
        while not self._is_due:
            self._due.clear()
            await self._due.wait()
        item = self._items.popleft()
        if isinstance(item, bytes):
            item = self._join(item, self._to_bytes(SLICE_SAMPLES))
        else:
            self._n_other -= 1
        if self._is_awaited:  # or every piece of audio would wake all who wait
            self._is_awaited = False
            self._moves.tell()
        return item

    @property
    def _is_due(self) -> bool:
        if self._n_other or not self.has_room:
            return True
        return bool(self._items) and self._waiting_bytes >= self._least_bytes

    def _join(self, audio: bytes, most_bytes: int) -> bytes:
        """Join the audio that follows; what is too much goes back in line."""
        pieces, n_bytes = [audio], len(audio)
        while n_bytes < most_bytes and self._items:
            following = self._items[0]
            if not isinstance(following, bytes):
                break
            pieces.append(following)
            n_bytes += len(following)
            self._items.popleft()
        joined = b"".join(pieces)
        if n_bytes > most_bytes:
            self._items.appendleft(joined[most_bytes:])
            joined = joined[:most_bytes]
        self._waiting_bytes -= len(joined)
        return joined

    def _to_bytes(self, n_samples: int) -> int:
        declared = math.ceil(n_samples * self._sample_rate_hz / SAMPLE_RATE_HZ)
        return declared * self._sample_bytes

    def _put(self, item: Item) -> None:
        if isinstance(item, bytes):
            self._waiting_bytes += len(item)
        else:
            self._n_other += 1
        self._items.append(item)
        if self._is_due:
            self._due.set()
