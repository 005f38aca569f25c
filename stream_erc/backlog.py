"""Event -> text, numbered, and kept for a client that comes back."""

from __future__ import annotations

from collections import deque

from . import events
from .errors import NotAllowed

Waiting = tuple[events.Event, int]
"""An event that has no number yet, and its bytes."""

PARTIALS = events.TranscriptPartial | events.EmotionPartial
"""What a client can do without: a later one, or the final, tells the same better."""


class Backlog:
    """A session's messages: those to be sent, and the last ones that were.

    What was sent may have been lost on its way, so it is kept while there is room.
    Where too much waits to be sent, partials that were never sent fall out.

    Args:
        max_bytes: Beyond it the oldest sent ones are forgotten. Those not yet sent are
            kept but for partials; see `is_full`.
        max_unsent: How many may wait.
    """

    def __init__(self, max_bytes: int, max_unsent: int) -> None:
        self._max_bytes = max_bytes
        self._max_unsent = max_unsent
        self._texts: deque[str] = deque()  # numbered
        self._first_seq = 0  # of the oldest one kept
        self._next_seq = 0  # of the next one to be sent
        self._waiting: deque[Waiting] = deque()  # behind those that have a number
        self._n_partials = 0  # of those that wait
        self._held: list[events.Event] = []  # of those that wait, oldest first
        self._kept_bytes = 0
        self._unsent_bytes = 0

    @property
    def next_seq(self) -> int:
        """Number of the next message to be sent."""
        return self._next_seq

    @property
    def n_unsent(self) -> int:
        """How many messages wait to be sent."""
        return self._end_seq - self._next_seq + len(self._waiting)

    @property
    def is_overfull(self) -> bool:
        """Whether what waits to be sent takes more room than there is."""
        return self._unsent_bytes > self._max_bytes

    @property
    def is_full(self) -> bool:
        """Whether too much waits to be sent, by number or by room."""
        return self.is_overfull or self.n_unsent > self._max_unsent

    @property
    def is_ready(self) -> bool:
        """Whether a message may be sent now."""
        if self._next_seq < self._end_seq:
            return True
        return bool(self._waiting) and not (
            self._held and self._waiting[0][0] is self._held[0]
        )

    def hold(self, event: events.Event) -> None:
        """Send the event that was added last, and all behind it, not before long."""
        self._held.append(event)

    def release(self, event: events.Event) -> None:
        """Let it be sent; nothing happens where it is not held any more."""
        self._held = [one for one in self._held if one is not event]

    def add(self, event: events.Event) -> int:
        """Let an event wait to be sent; give how many partials fell out for it."""
        seq = self._next_seq + self.n_unsent  # as long as no partial falls out
        n_bytes = len(events.encode(events.numbered(event, seq)))
        self._waiting.append((event, n_bytes))
        self._n_partials += isinstance(event, PARTIALS)
        self._count(n_bytes)
        n_dropped = self._drop_partials() if self.is_full else 0
        self._forget()
        return n_dropped

    def peek(self) -> str:
        """Give the next message to be sent, with its number; there must be one."""
        if self._next_seq == self._end_seq:
            event, n_bytes = self._waiting.popleft()
            self._n_partials -= isinstance(event, PARTIALS)
            text = events.encode(events.numbered(event, self._next_seq))
            self._texts.append(text)
            self._count(len(text) - n_bytes)
        return self._texts[self._next_seq - self._first_seq]

    def advance(self) -> None:
        """Note that the next message has been sent."""
        self._unsent_bytes -= len(self.peek())
        self._next_seq += 1
        self._forget()

    def rewind(self, last_seq: int) -> None:
        """Send again everything after `last_seq`.

        Raises:
            NotAllowed: If some of it is forgotten, or `last_seq` was never sent.
        """
        if not self._first_seq - 1 <= last_seq < self._end_seq:
            raise NotAllowed(
                "events_lost",
                f"session.resume: last_seq: expected {self._first_seq - 1} to "
                f"{self._end_seq - 1}, which are still kept, got {last_seq}",
            )
        sent_again = list(self._texts)[last_seq + 1 - self._first_seq :]
        unsent = list(self._texts)[self._next_seq - self._first_seq :]
        self._unsent_bytes += sum(map(len, sent_again)) - sum(map(len, unsent))
        self._next_seq = last_seq + 1

    @property
    def _end_seq(self) -> int:
        """Behind the last number that was given."""
        return self._first_seq + len(self._texts)

    def _count(self, n_bytes: int) -> None:
        self._kept_bytes += n_bytes
        self._unsent_bytes += n_bytes

    def _drop_partials(self) -> int:
        n_dropped, self._n_partials = self._n_partials, 0
        if n_dropped:
            for event, n_bytes in self._waiting:
                if isinstance(event, PARTIALS):
                    self._count(-n_bytes)
            self._waiting = deque(
                one for one in self._waiting if not isinstance(one[0], PARTIALS)
            )
        return n_dropped

    def _forget(self) -> None:
        while self._kept_bytes > self._max_bytes and self._first_seq < self._next_seq:
            self._kept_bytes -= len(self._texts.popleft())
            self._first_seq += 1
