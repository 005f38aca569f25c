"""Event -> text, numbered, and kept for a client that comes back."""

from __future__ import annotations

from collections import deque

from . import events
from .errors import NotAllowed


class Backlog:
    """A session's messages: those to be sent, and the last ones that were.

    What was sent may have been lost on its way, so it is kept while there is room.

    Args:
        max_bytes: Beyond it the oldest sent ones are forgotten. Those not yet sent are
            always kept; see `is_overfull`.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._texts: deque[str] = deque()
        self._first_seq = 0  # of the oldest one kept
        self._next_seq = 0  # of the next one to be sent
        self._kept_bytes = 0
        self._unsent_bytes = 0

    @property
    def next_seq(self) -> int:
        """Number of the next message to be sent."""
        return self._next_seq

    @property
    def n_unsent(self) -> int:
        """How many messages wait to be sent."""
        return self._first_seq + len(self._texts) - self._next_seq

    @property
    def is_overfull(self) -> bool:
        """Whether what waits to be sent takes more room than there is."""
        return self._unsent_bytes > self._max_bytes

    def add(self, event: events.Event) -> None:
        """Number an event and let it wait to be sent."""
        seq = self._first_seq + len(self._texts)
        text = events.encode(events.numbered(event, seq))
        self._texts.append(text)
        self._kept_bytes += len(text)
        self._unsent_bytes += len(text)
        self._forget()

    def peek(self) -> str:
        """Give the next message to be sent; there must be one."""
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
        end_seq = self._first_seq + len(self._texts)
        if not self._first_seq - 1 <= last_seq < end_seq:
            raise NotAllowed(
                "events_lost",
                f"session.resume: last_seq: expected {self._first_seq - 1} to "
                f"{end_seq - 1}, which are still kept, got {last_seq}",
            )
        self._next_seq = last_seq + 1
        waiting = list(self._texts)[self._next_seq - self._first_seq :]
        self._unsent_bytes = sum(map(len, waiting))

    def _forget(self) -> None:
        while self._kept_bytes > self._max_bytes and self._first_seq < self._next_seq:
            self._kept_bytes -= len(self._texts.popleft())
            self._first_seq += 1
