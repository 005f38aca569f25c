"""A session that goes on at another server: what it is asked for, what is told of it.

To whoever uses it, it stays one session: turns are counted on, times go on.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import msgspec

from clients.errors import ConnectionFailed, ConnectionLost
from stream_erc import events

TRY_AGAIN = ("shutting_down", "server_full", "owner_full", "server_busy")
"""Refusals of a server that may be another one, or think better of it, next time."""

ROUNDING_MS = 2.0
"""Of `audio_ms`, where the server has resampled what it heard."""

TIMES = (
    "time_ms",
    "at_ms",
    "start_ms",
    "end_ms",
    "voice_start_ms",
    "decided_ms",
    "audio_ms",
)
"""Fields on the audio clock."""


@dataclass(frozen=True, slots=True)
class Offset:
    """What there was of a session before the server that has it now.

    Attributes:
        n_turns: Turns.
        time_ms: Audio.
    """

    n_turns: int = 0
    time_ms: int = 0

    def shift(self, text: str) -> str:
        """Give a message as that of the whole session."""
        if self == Offset():
            return text
        message = msgspec.json.decode(text)
        for name in ("turn", "turns"):
            if name in message:
                message[name] += self.n_turns
        for timed in (message, *message.get("words", ())):
            for name in TIMES:
                if name in timed:
                    timed[name] += self.time_ms
        return msgspec.json.encode(message).decode()


@dataclass(slots=True)
class Itinerary:
    """The servers of a session.

    Attributes:
        start: What the first one was asked for.
        offset: Of the one that has the session now.
        n_moves: How often another one took it.
    """

    start: events.SessionStart
    offset: Offset = Offset()
    n_moves: int = 0
    _speakers: deque[tuple[int, str]] = field(default_factory=deque)  # by text

    def is_whole(self, ended: events.SessionEnded, all_ms: float) -> bool:
        """Tell whether this server has heard all the audio that it was sent."""
        return self.offset.time_ms + all_ms - ended.audio_ms < ROUNDING_MS

    def note_speaker(self, n_texts: int, speaker: str) -> None:
        """Note whom the newest of so many text messages to this server names."""
        self._speakers.append((n_texts, speaker))

    def start_after(self, n_texts: int) -> events.SessionStart:
        """Make the first message for the server that gets what comes after these."""
        before = [name for number, name in self._speakers if number <= n_texts]
        speaker = before[-1] if before else self.start.speaker
        return msgspec.structs.replace(self.start, speaker=speaker)

    def move(self, ended: events.SessionEnded) -> None:
        """Go on at another server.

        Args:
            ended: What the one before it said last, as of the whole session.
        """
        n_texts = ended.client_messages_received
        self.start = self.start_after(n_texts)
        self.n_moves += 1
        self.offset = Offset(ended.turns, ended.audio_ms)
        self._speakers = deque(
            (number - n_texts + 1, name)  # `session.start` is the first there, too
            for number, name in self._speakers
            if number > n_texts
        )


def require_opened(event: events.ServerMessage | None) -> events.SessionStarted:
    """Give the answer of a server that was asked to take the session.

    Raises:
        ConnectionFailed: If the next attempt may do better.
        ConnectionLost: If none will.
    """
    if isinstance(event, events.SessionStarted):
        return event
    if isinstance(event, events.Failure):
        kind = ConnectionFailed if event.code in TRY_AGAIN else ConnectionLost
        raise kind(event.code, event.message)
    raise ConnectionLost("not_stream_erc", "expected session.started, got another")


def tell_move(offset: Offset, started: events.SessionStarted) -> events.Warn:
    """Say that the session has moved, and whether its past is known there.

    Args:
        offset: What there was before.
        started: What the server says that has it now.
    """
    code, told = "moved", "the server shut down; the session goes on at another one"
    if offset.n_turns and not started.conversation_turns:
        code, told = "moved_anew", f"{told}, which does not know what was said before"
    return events.Warn(code=code, message=told)
