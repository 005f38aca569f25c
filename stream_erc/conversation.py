"""What the sessions of one conversation share: its context, in order of commits."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .context import Context


class Conversation:
    """One context and its version; used by one thread alone.

    A result that rests on an older version is thrown away and asked for again, so
    no turn is ever judged without those committed before it.
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._version = 0

    @property
    def context(self) -> Context:
        """What is remembered now."""
        return self._context

    @property
    def version(self) -> int:
        """How many turns have been committed."""
        return self._version

    def commit(self, context: Context) -> int:
        """Remember one turn more; give its place in the conversation, from 0."""
        self._context = context
        self._version += 1
        return self._version - 1


class Conversations:
    """All conversations of a server; used by its event loop alone.

    Args:
        empty_context: Gives the memory of a new one.
        linger_s: How long one outlives its last session.
    """

    def __init__(self, empty_context: Callable[[], Context], linger_s: float) -> None:
        self._empty_context = empty_context
        self._linger_s = linger_s
        self._shared: dict[str, Conversation] = {}
        self._n_sessions: Counter[str] = Counter()
        self._expiries: dict[str, asyncio.TimerHandle] = {}

    def __len__(self) -> int:
        """How many shared ones are kept."""
        return len(self._shared)

    @contextmanager
    def join(self, identifier: str | None) -> Iterator[Conversation]:
        """Take part in a conversation; without an identifier, in one of one's own."""
        if identifier is None:
            yield Conversation(self._empty_context())
            return
        if expiry := self._expiries.pop(identifier, None):
            expiry.cancel()
        if identifier not in self._shared:
            self._shared[identifier] = Conversation(self._empty_context())
        self._n_sessions[identifier] += 1
        try:
            yield self._shared[identifier]
        finally:
            self._n_sessions[identifier] -= 1
            if not self._n_sessions[identifier]:
                self._expiries[identifier] = asyncio.get_running_loop().call_later(
                    self._linger_s, self._forget, identifier
                )

    def _forget(self, identifier: str) -> None:
        del self._shared[identifier], self._n_sessions[identifier]
        del self._expiries[identifier]
