"""Events -> lines of text: JSON for programs, plain ones for people anywhere."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

from clients.connection import Arrival
from clients.conversation import (
    Conversation,
    Played,
    TurnSoFar,
    clock,
    count_agreement,
    emotion_of,
    tabulate,
    words_of,
)
from clients.schedule import SendTimes
from stream_erc import events

PARTIAL_EVERY_MS = 1000  # of audio, between two plain lines of unfinished words


class View(Protocol):
    """Shows one session."""

    def __enter__(self) -> Self:
        """Take the screen."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the screen back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Show a message of the server."""

    def note(self, message: str) -> None:
        """Show what the client itself has to say."""

    def summarize(self, played: Sequence[Played]) -> None:
        """Show the table, if there are turns; called after the `with` block."""


class JsonLines:
    """Every message of the server unchanged, one a line; notes go to stderr."""

    def __enter__(self) -> Self:
        """Nothing to take."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Print the JSON as it came."""
        print(arrival.text, flush=True)

    def note(self, message: str) -> None:
        """Keep stdout free for the events."""
        print(clean(message), file=sys.stderr)

    def summarize(self, played: Sequence[Played]) -> None:
        """Print nothing: the events have it all."""


class PlainLines:
    """One line per event that a person wants; no control characters."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self._conversation = Conversation()
        self._next_partial_ms: dict[int, int] = {}  # by turn, on the audio clock

    def __enter__(self) -> Self:
        """Nothing to take."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Print a line, if this is worth one."""
        event = arrival.event
        if event is None:
            return
        turn = self._conversation.take(event, arrival.received_s, send_times)
        if turn is None:
            line = describe_session(event)
        elif isinstance(event, events.TurnStarted):
            line = f"{who(turn)} speaks"
        elif isinstance(event, events.TranscriptPartial):
            line = self._partial(event, turn)
        elif isinstance(event, events.EmotionFinal | events.ConversationTurn):
            line = describe_final(turn)
        else:
            line = ""
        if line:
            self.note(line)

    def note(self, message: str) -> None:
        """Print a line."""
        print(clean(message), flush=True)

    def summarize(self, played: Sequence[Played]) -> None:
        """Print the table, its columns padded with spaces."""
        header, rows = tabulate(self._conversation.turns, played)
        if not rows:
            return
        lines = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, widths, strict=True)
            self.note("  ".join(cell.ljust(width) for cell, width in cells).rstrip())
        talk = self._conversation
        if counted := count_agreement(talk.turns, played, len(talk.labels)):
            self.note(counted)

    def _partial(self, event: events.TranscriptPartial, turn: TurnSoFar) -> str:
        """Describe unfinished words, now and then."""
        if event.time_ms < self._next_partial_ms.get(event.turn, 0) or not turn.text:
            return ""
        self._next_partial_ms = {event.turn: event.time_ms + PARTIAL_EVERY_MS}
        return f"{who(turn)} … {turn.text}"


def describe_session(event: events.ServerEvent) -> str:
    """Describe an event about no turn; "" if nobody wants to see it."""
    match event:
        case events.SessionStarted():
            kept = "; the server records it" if event.recorded else ""
            return f"session {event.session_id} is open{kept}"
        case events.Warn():
            return f"warning {event.code}: {event.message}"
        case events.Failure():
            return f"error {event.code}: {event.message}"
        case events.Status():
            state = "fewer partials" if event.degraded else "keeps up"
            return f"server {event.lag_ms} ms behind: {state}"
        case events.SessionEnded():
            return f"session ended: {event.turns} turns in {clock(event.audio_ms)}"
        case _:
            return ""


def describe_final(turn: TurnSoFar) -> str:
    """Describe a finished turn in a line."""
    facts = []
    if not turn.is_rejected:
        facts.append(" ".join(emotion_of(turn)))
        if turn.sentiment:
            facts.append(likeliest(turn.sentiment))
    if turn.after_endpoint_ms is not None:
        facts.append(f"{turn.after_endpoint_ms:.0f} ms after the endpoint")
    told = f" [{', '.join(facts)}]" if facts else ""
    return f"{who(turn)}: {words_of(turn)}{told}"


def who(turn: TurnSoFar) -> str:
    """Say when a turn began and who speaks."""
    return f"{clock(turn.start_ms)} {turn.speaker or '?'}"


def likeliest(probabilities: Mapping[str, float]) -> str:
    """Give the name of the largest probability."""
    return max(probabilities, key=lambda name: probabilities[name])


def clean(text: str) -> str:
    """Replace what a terminal would obey: names and words come from strangers."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )
