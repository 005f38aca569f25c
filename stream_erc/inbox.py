"""What a client sent: counted, in its order, and not too much at a time."""

from __future__ import annotations

import asyncio

from . import events
from .presence import Moves

INBOX_ITEMS = 16
"""Messages read ahead of the listener; then the socket is not read any more."""

Item = bytes | events.ClientMessage
"""What takes its place in the stream; audio in whole samples."""


class Inbox:
    """Between a session's sockets and its listener.

    Taking never waits, so that a message is taken and counted, or neither, however
    suddenly its socket is lost.

    Args:
        sample_bytes: Of one sample of all channels, as declared.
        max_bytes: Of audio that waits, beyond which there is no room.
        moves: Told of every change.
    """

    def __init__(self, sample_bytes: int, max_bytes: int, moves: Moves) -> None:
        self._sample_bytes = sample_bytes
        self._max_bytes = max_bytes
        self._moves = moves
        self._items: asyncio.Queue[Item] = asyncio.Queue()
        self._held: Item | None = None  # taken out, not yet given
        self._waiting_bytes = 0  # of audio
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
        return not is_full and self._items.qsize() < INBOX_ITEMS

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

    async def next(self) -> Item:
        """Give what comes next; audio that waits is joined."""
        item, self._held = self._held or await self._items.get(), None
        if isinstance(item, bytes):
            pieces = [item]
            while self._held is None and not self._items.empty():
                following = self._items.get_nowait()
                if isinstance(following, bytes):
                    pieces.append(following)
                else:
                    self._held = following
            item = b"".join(pieces)
            self._waiting_bytes -= len(item)
        if self._is_awaited:  # or every piece of audio would wake all who wait
            self._is_awaited = False
            self._moves.tell()
        return item

    def _put(self, item: Item) -> None:
        if isinstance(item, bytes):
            self._waiting_bytes += len(item)
        self._items.put_nowait(item)
