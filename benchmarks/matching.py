"""Turns beside the clips in which they were spoken, and words beside words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.dialogues import Clip, to_ms
from clients.connection import Arrival
from stream_erc import events


@dataclass(slots=True)
class Turn:
    """A turn as it came back; times are on the audio clock, or wall times in `_s`.

    Attributes:
        turn: Its number.
        speaker: To whom the server gave it.
        voice_start_ms: Where its voice starts.
        end_ms: Where it ends; None if that never came, as with all that follow.
        decided_ms: When the end was decided.
        reason: Why it ended.
        text: Its final words.
        is_rejected: True where the server judged that this was not speech.
        label: Its final emotion.
        probabilities: Of the final emotion.
        ended_s: When `turn.ended` came.
        final_s: When `emotion.final` came.
        first_words_s: When the first partial transcript came.
        first_emotion_s: When the first partial emotion came.
        partial_labels: When each partial emotion came, and what it was.
        n_partial_words: How many partial transcripts came.
        endpoint_ms: The server's own count from the endpoint to the final.
        compute_ms: How long its models worked on the final.
        queue_ms: How long the final waited for them.
    """

    turn: int
    speaker: str | None
    voice_start_ms: int
    end_ms: int | None = None
    decided_ms: int | None = None
    reason: str | None = None
    text: str | None = None
    is_rejected: bool = False
    label: str | None = None
    probabilities: dict[str, float] = field(default_factory=dict)
    ended_s: float | None = None
    final_s: float | None = None
    first_words_s: float | None = None
    first_emotion_s: float | None = None
    partial_labels: list[tuple[float, str]] = field(default_factory=list)
    n_partial_words: int = 0
    endpoint_ms: float | None = None
    compute_ms: float | None = None
    queue_ms: float | None = None

    def take(self, event: events.TurnEvent, at_s: float) -> None:
        """Take in a later message about this turn."""
        match event:
            case events.TranscriptPartial(text=text):
                self.n_partial_words += 1
                if text and self.first_words_s is None:
                    self.first_words_s = at_s
            case events.EmotionPartial(label=label):
                self.partial_labels.append((at_s, label))
                if self.first_emotion_s is None:
                    self.first_emotion_s = at_s
            case events.TurnEnded():
                self.speaker, self.reason = event.speaker, event.reason
                self.end_ms, self.decided_ms = event.end_ms, event.decided_ms
                self.ended_s = at_s
            case events.TranscriptFinal():
                self.text, self.is_rejected = event.text, event.rejected
            case events.EmotionFinal():
                self.label, self.probabilities = event.label, event.probabilities
                self.final_s = at_s
                self.endpoint_ms = event.latency.endpoint_ms
                self.compute_ms = event.latency.compute_ms
                self.queue_ms = event.latency.queue_ms


@dataclass(frozen=True, slots=True)
class Match:
    """A clip and what came back of it.

    Attributes:
        clip: The truth.
        turns: Those that overlap its voice, in order.
        is_one_turn: True if there is one, and it holds no other clip.
        text: The final words of those that belong to this clip.
    """

    clip: Clip
    turns: tuple[Turn, ...]
    is_one_turn: bool
    text: str

    @property
    def longest(self) -> Turn | None:
        """The turn whose emotion counts."""
        return max(
            self.turns,
            key=lambda turn: (turn.end_ms or 0) - turn.voice_start_ms,
            default=None,
        )


def gather(arrivals: Sequence[Arrival]) -> list[Turn]:
    """Put what the server said together, turn by turn."""
    turns: dict[int, Turn] = {}
    for arrival in arrivals:
        event = arrival.event
        if isinstance(event, events.TurnStarted):
            turns[event.turn] = Turn(event.turn, event.speaker, event.voice_start_ms)
        elif isinstance(event, events.TurnEvent) and event.turn in turns:
            turns[event.turn].take(event, arrival.received_s)
    return list(turns.values())


def overlap_ms(clip: Clip, turn: Turn) -> float:
    """Tell how much of a clip's voice a turn holds; below 0: how far apart they are."""
    if turn.end_ms is None:
        return float("-inf")
    return min(to_ms(clip.voice_end), turn.end_ms) - max(
        to_ms(clip.voice_start), turn.voice_start_ms
    )


def match(clips: Sequence[Clip], turns: Sequence[Turn]) -> list[Match]:
    """Give each clip its turns.

    The words of a turn count once: for the clip that it overlaps most or, where it
    overlaps none, the nearest. So words that nobody said count as errors too.
    """
    texts: list[list[str]] = [[] for _ in clips]
    for turn in turns:
        if turn.text:
            owner = max(range(len(clips)), key=lambda n: overlap_ms(clips[n], turn))
            texts[owner].append(turn.text)
    matches = []
    for clip, text in zip(clips, texts, strict=True):
        found = [turn for turn in turns if overlap_ms(clip, turn) > 0]
        is_one_turn = len(found) == 1 and (
            sum(overlap_ms(other, found[0]) > 0 for other in clips) == 1
        )
        matches.append(Match(clip, tuple(found), is_one_turn, " ".join(text)))
    return matches


def normalise(text: str) -> list[str]:
    """Give the words to compare: lower case, hyphens as spaces, no other marks."""
    spaced = re.sub(r"[-–—]", " ", text.lower())
    return re.sub(r"[^\w\s]|_", "", spaced).split()
