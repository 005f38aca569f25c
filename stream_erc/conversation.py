"""What the sessions of one conversation share: its context, in order of commits."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from . import events
from .context import Context
from .voices import Voices

Key = tuple[str, str]
"""Owner, and what the owner calls the conversation."""


class Participant(Protocol):
    """A session of a conversation, as the conversation sees it."""

    def go_on(self) -> None:
        """Commit what waits, if it is ready: nobody is before it any more."""

    def hear_of(self, turn: events.ConversationTurn) -> None:
        """Take note of another participant's turn, on the clock of that one."""


class Conversation:
    """One context and its version; used by one thread alone.

    Turns are committed in the order in which their ends were decided, whichever is
    judged first. A result that rests on an older version is thrown away and asked for
    again, so no turn is ever judged without those committed before it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._version = 0
        self._voices = Voices()
        self._line: deque[str] = deque()  # a session for each turn that has ended
        self._participants: dict[str, Participant] = {}

    @property
    def context(self) -> Context:
        """What is remembered now."""
        return self._context

    @property
    def voices(self) -> Voices:
        """Whom the sessions have heard that find their speakers by voice."""
        return self._voices

    @property
    def version(self) -> int:
        """How many turns have been committed."""
        return self._version

    @contextmanager
    def seat(self, session: str, participant: Participant) -> Iterator[None]:
        """Let a session take part; when it leaves, nobody waits for it any more."""
        self._participants[session] = participant
        try:
            yield
        finally:
            del self._participants[session]
            self._line = deque(one for one in self._line if one != session)
            self._call_next()

    def queue_up(self, session: str) -> None:
        """Give a session's turn, which has ended, its place behind all others."""
        self._line.append(session)

    def is_next(self, session: str) -> bool:
        """Tell whether the next turn to be committed is this session's."""
        return bool(self._line) and self._line[0] == session

    def commit(self, context: Context, voices: Voices) -> int:
        """Remember the next turn in line; give its place in the conversation, from 0.

        Args:
            context: With that turn in it.
            voices: Likewise.
        """
        session = self._line.popleft()
        self._context, self._voices = context, voices
        self._version += 1
        if not self.is_next(session):  # else it sees for itself
            self._call_next()
        return self._version - 1

    def tell(self, turn: events.ConversationTurn) -> None:
        """Let the other participants know of a turn."""
        for session, participant in self._participants.items():
            if session != turn.session_id:
                participant.hear_of(turn)

    def _call_next(self) -> None:
        if self._line and (next_one := self._participants.get(self._line[0])):
            next_one.go_on()


class Conversations:
    """All conversations of a server; used by its event loop alone.

    Args:
        empty_context: Gives the memory of a new one.
        linger_s: How long one outlives its last session.
        max_idle: How many without a session are kept of one owner, so that nobody's
            push out another's; beyond, the one that is idle for longest is forgotten.
        on_excess: Told whenever one is forgotten for that.
    """

    def __init__(
        self,
        empty_context: Callable[[], Context],
        linger_s: float,
        max_idle: int,
        on_excess: Callable[[], None],
    ) -> None:
        self._empty_context = empty_context
        self._linger_s = linger_s
        self._max_idle = max_idle
        self._on_excess = on_excess
        self._shared: dict[Key, Conversation] = {}
        self._n_sessions: Counter[Key] = Counter()
        self._expiries: dict[Key, asyncio.TimerHandle] = {}  # idle for longest first

    def __len__(self) -> int:
        """How many shared ones are kept."""
        return len(self._shared)

    @contextmanager
    def join(self, owner: str, identifier: str | None) -> Iterator[Conversation]:
        """Take part in a conversation of one's own owner.

        Args:
            owner: Who comes; what others call the same is another conversation.
            identifier: None: a conversation that no other session shares.
        """
        if identifier is None:
            yield Conversation(self._empty_context())
            return
        key = owner, identifier
        if expiry := self._expiries.pop(key, None):
            expiry.cancel()
        if key not in self._shared:
            self._shared[key] = Conversation(self._empty_context())
        self._n_sessions[key] += 1
        try:
            yield self._shared[key]
        finally:
            self._n_sessions[key] -= 1
            if not self._n_sessions[key]:
                self._expiries[key] = asyncio.get_running_loop().call_later(
                    self._linger_s, self._forget, key
                )
                self._forget_excess(owner)

    def _forget_excess(self, owner: str) -> None:
        idle = [key for key in self._expiries if key[0] == owner]
        for key in idle[: -self._max_idle]:
            self._expiries[key].cancel()
            self._forget(key)
            self._on_excess()

    def _forget(self, key: Key) -> None:
        del self._shared[key], self._n_sessions[key], self._expiries[key]
