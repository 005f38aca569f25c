"""What the sessions of one conversation share: its context, in order of commits."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Protocol, TypeVar

from . import events
from .aside import run_aside
from .context import Context
from .handover import Handover, Key, Memory
from .voices import Voices

DISK_S = 2.0
"""The disk has so long to give what another server left, or to take what is known here;
then the conversation begins anew."""

T = TypeVar("T")

log = logging.getLogger(__name__)


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

    def __init__(
        self, context: Context, voices: Voices | None = None, version: int = 0
    ) -> None:
        self._context = context
        self._version = version
        self._voices = voices or Voices()
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

    @property
    def memory(self) -> Memory:
        """What another server would have to know to go on with it."""
        return Memory(self._context, self._voices, self._version)

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
        handover: Where servers that share a folder leave theirs; None: nowhere.
    """

    def __init__(
        self,
        empty_context: Callable[[], Context],
        linger_s: float,
        max_idle: int,
        on_excess: Callable[[], None],
        handover: Handover | None = None,
    ) -> None:
        self._empty_context = empty_context
        self._linger_s = linger_s
        self._max_idle = max_idle
        self._on_excess = on_excess
        self._shared: dict[Key, Conversation] = {}
        self._n_sessions: Counter[Key] = Counter()
        self._expiries: dict[Key, asyncio.TimerHandle] = {}  # idle for longest first
        self._handover = handover
        self._fetches: dict[Key, asyncio.Task[bool]] = {}
        self._left: dict[Key, int] = {}  # the version that was left
        self._disk = asyncio.Lock()  # the newest memory is written last
        self._asked: asyncio.Future[Any] | None = None  # of the disk, lately

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
                self._let_expire(key)

    async def fetch(self, owner: str, identifier: str | None) -> bool:
        """Take up what another server has left of a conversation not known here.

        To be awaited before a session joins it.

        Returns:
            Whether something was taken.
        """
        if self._handover is None or identifier is None:
            return False
        key = owner, identifier
        if key in self._shared:
            return False
        if key not in self._fetches:
            fetching = self._fetch(self._handover, key)
            self._fetches[key] = asyncio.create_task(fetching, name="fetch")
        return await asyncio.shield(self._fetches[key])

    async def give_back(self, owner: str, identifier: str | None) -> None:
        """Leave again what was taken for a session that cannot join."""
        if self._handover is None or identifier is None:
            return
        key = owner, identifier
        if key in self._expiries:  # no other session has joined
            memory = self._shared[key].memory
            self._forget(key)
            async with self._disk:
                await self._ask_disk(partial(self._handover.leave, key, memory))

    async def leave(self, owner: str, identifier: str | None) -> None:
        """Leave what a conversation remembers to the server at which it goes on."""
        if self._handover is None or identifier is None:
            return
        key = owner, identifier
        async with self._disk:
            known = self._shared.get(key)
            # What has not grown may have been taken since: it must not come twice.
            if known is None or self._left.get(key) == known.version:
                return
            memory = known.memory
            if await self._ask_disk(partial(self._handover.leave, key, memory)):
                self._left[key] = memory.n_committed

    async def leave_all(self) -> None:
        """Leave what all of them remember."""
        for key in tuple(self._shared):
            await self.leave(*key)

    async def sweep(self) -> None:
        """Remove what other servers have left, and nobody has taken in time."""
        if self._handover is not None:
            async with self._disk:
                await self._ask_disk(self._handover.sweep)

    async def _fetch(self, handover: Handover, key: Key) -> bool:
        try:
            async with self._disk:
                memory = await self._ask_disk(partial(handover.take, key))
        finally:
            del self._fetches[key]
        if memory is None or key in self._shared:
            return False
        self._shared[key] = Conversation(
            memory.context, memory.voices, memory.n_committed
        )
        self._let_expire(key)
        return True

    async def _ask_disk(self, work: Callable[[], T]) -> T | None:
        """Have something done, under the lock; None: the disk does not answer.

        It is asked of nothing more as long as it owes an answer.
        """
        if self._asked is None or self._asked.done():
            self._asked = asked = run_aside(work, "disk")
            await asyncio.wait((asked,), timeout=DISK_S)
            if asked.done():
                return asked.result()
        log.error("server.handover: the disk does not answer; conversations are lost")
        return None

    def _let_expire(self, key: Key) -> None:
        self._expiries[key] = asyncio.get_running_loop().call_later(
            self._linger_s, self._forget, key
        )
        self._forget_excess(key[0])

    def _forget_excess(self, owner: str) -> None:
        idle = [key for key in self._expiries if key[0] == owner]
        for key in idle[: -self._max_idle]:
            self._forget(key)
            self._on_excess()

    def _forget(self, key: Key) -> None:
        self._expiries.pop(key).cancel()
        self._left.pop(key, None)
        del self._shared[key], self._n_sessions[key]
