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
    _speakers: deque[tuple[int, str]] = field(default_factory=deque)  # since byte

    def note_speaker(self, audio_bytes: int, speaker: str) -> None:
        """Note who speaks after so much audio at this server."""
        self._speakers.append((audio_bytes, speaker))

    def start_after(self, audio_bytes: int) -> events.SessionStart:
        """Make the first message for the server that gets what comes after it.

        A change of speakers right there is sent again, and does no harm twice.
        """
        before = [name for since, name in self._speakers if since < audio_bytes]
        speaker = before[-1] if before else self.start.speaker
        return msgspec.structs.replace(self.start, speaker=speaker)

    def move(self, audio_bytes: int, ended: events.SessionEnded) -> None:
        """Go on at another server.

        Args:
            audio_bytes: That the one before it has heard.
            ended: What that one said last, as of the whole session.
        """
        self.start = self.start_after(audio_bytes)
        self.n_moves += 1
        self.offset = Offset(ended.turns, ended.audio_ms)
        self._speakers = deque(
            (since - audio_bytes, name)
            for since, name in self._speakers
            if since >= audio_bytes
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
