"""Performances -> how long everything took, as the protocol page defines it.

The endpoint is when the client sent sample `decided_ms`, the end of the voice when it
sent the last voiced sample; where the voice starts and ends is the corpus's word.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import inf
from typing import Any

from benchmarks.dialogues import Clip, to_ms
from benchmarks.matching import Match, Turn, match
from benchmarks.playing import Performance
from benchmarks.report import Spread, spread
from clients.schedule import SendTimes


@dataclass(slots=True)
class Timings:
    """Waiting times in milliseconds, one value a turn, and counts.

    Attributes:
        window_s: What ends within these wall times counts.
        voice_end_to_endpoint: From the end of a clip's voice, where the corpus knows
            it, to the endpoint of the last turn in it.
        endpoint_to_ended: Until `turn.ended`.
        endpoint_to_final: Until `emotion.final`.
        voice_end_to_final: From that end to `emotion.final`.
        voice_start_to_words: From the start of the voice to the first partial
            transcript that is not empty.
        voice_start_to_emotion: To the first partial emotion.
        voice_start_to_stable: To the emotion, partial or final, from which on it stays
            that of the final.
        server_endpoint: The server's own count from endpoint to final.
        server_compute: Its models' work on the final, mostly before the endpoint.
        server_queue: The final's waiting for the models.
        flips: How often the emotion changed in a turn, the final included.
        words_shown: How many partial transcripts a turn had.
        emotions_shown: How many partial emotions.
        n_turns: Turns that started.
        n_finals: Those that got their `emotion.final`.
        n_clips: Clips played.
        n_without_turn: Clips in which no turn was found.
        n_without_words: Turns that had no partial transcript.
        n_opened: Turns with a final, and a voice whose start the corpus knows.
        n_at_half: Turns that had a partial emotion when half of the voice was sent.
        n_at_half_right: Those of them in which it was that of the final.
    """

    window_s: tuple[float, float] = (-inf, inf)
    voice_end_to_endpoint: list[float] = field(default_factory=list)
    endpoint_to_ended: list[float] = field(default_factory=list)
    endpoint_to_final: list[float] = field(default_factory=list)
    voice_end_to_final: list[float] = field(default_factory=list)
    voice_start_to_words: list[float] = field(default_factory=list)
    voice_start_to_emotion: list[float] = field(default_factory=list)
    voice_start_to_stable: list[float] = field(default_factory=list)
    server_endpoint: list[float] = field(default_factory=list)
    server_compute: list[float] = field(default_factory=list)
    server_queue: list[float] = field(default_factory=list)
    flips: list[int] = field(default_factory=list)
    words_shown: list[int] = field(default_factory=list)
    emotions_shown: list[int] = field(default_factory=list)
    n_turns: int = 0
    n_finals: int = 0
    n_clips: int = 0
    n_without_turn: int = 0
    n_without_words: int = 0
    n_opened: int = 0
    n_at_half: int = 0
    n_at_half_right: int = 0

    def add(self, performance: Performance) -> None:
        """Add the turns and clips of one session."""
        for turn in performance.turns:
            self._add_turn(turn, performance.send_times)
        for matched in match(performance.dialogue.clips, performance.turns):
            self._add_clip(matched, performance)

    def spreads(self) -> dict[str, Spread]:
        """Give the percentiles of each waiting time."""
        return {
            "voice end -> endpoint": spread(self.voice_end_to_endpoint),
            "endpoint -> turn.ended": spread(self.endpoint_to_ended),
            "endpoint -> emotion.final": spread(self.endpoint_to_final),
            "voice end -> emotion.final": spread(self.voice_end_to_final),
            "voice start -> first partial words": spread(self.voice_start_to_words),
            "voice start -> first partial emotion": spread(self.voice_start_to_emotion),
            "voice start -> stable emotion": spread(self.voice_start_to_stable),
            "server: endpoint -> final": spread(self.server_endpoint),
            "server: compute of a final": spread(self.server_compute),
            "server: queue of a final": spread(self.server_queue),
        }

    def counts(self) -> dict[str, Any]:
        """Give what is counted, and shares of it."""
        return {
            "clips": self.n_clips,
            "clips_without_turn": self.n_without_turn,
            "finals_expected": self.n_turns,
            "finals_delivered": self.n_finals,
            "turns_without_partial_words": self.n_without_words,
            "partial_words_per_turn": mean(self.words_shown),
            "partial_emotions_per_turn": mean(self.emotions_shown),
            "emotion_flips_per_turn": mean(self.flips),
            "turns_with_emotion_at_half": self.n_at_half,
            "share_at_half_as_final": share(self.n_at_half_right, self.n_at_half),
            "share_at_half_as_final_of_all": share(self.n_at_half_right, self.n_opened),
        }

    def _counts(self, at_s: float) -> bool:
        return self.window_s[0] <= at_s < self.window_s[1]

    def _add_turn(self, turn: Turn, send_times: SendTimes) -> None:
        if turn.decided_ms is not None:
            if not self._counts(send_times.sent_at(turn.decided_ms)):
                return
        self.n_turns += 1
        self.words_shown.append(turn.n_partial_words)
        self.emotions_shown.append(len(turn.partial_labels))
        self.n_without_words += turn.first_words_s is None
        if turn.decided_ms is None or turn.ended_s is None:
            return
        endpoint_s = send_times.sent_at(turn.decided_ms)
        self.endpoint_to_ended.append((turn.ended_s - endpoint_s) * 1000)
        if turn.final_s is None or turn.label is None:
            return
        self.n_finals += 1
        self.endpoint_to_final.append((turn.final_s - endpoint_s) * 1000)
        self.flips.append(count_flips(turn))
        for values, value in (
            (self.server_endpoint, turn.endpoint_ms),
            (self.server_compute, turn.compute_ms),
            (self.server_queue, turn.queue_ms),
        ):
            if value is not None:
                values.append(value)

    def _add_clip(self, matched: Match, performance: Performance) -> None:
        """Add what is measured from the clip's own voice."""
        clip, send_times = matched.clip, performance.send_times
        voice_end_s = send_times.sent_at(to_ms(clip.voice_end))
        if not self._counts(voice_end_s):
            return
        self.n_clips += 1
        if not matched.turns:
            self.n_without_turn += 1
            return
        if clip.voice.end_s is None:
            return
        last = matched.turns[-1]
        if last.decided_ms is not None:
            endpoint_s = send_times.sent_at(last.decided_ms)
            self.voice_end_to_endpoint.append((endpoint_s - voice_end_s) * 1000)
        if last.final_s is not None:
            self.voice_end_to_final.append((last.final_s - voice_end_s) * 1000)
        if opens(clip, matched.turns[0], performance.dialogue.clips):
            self._add_opening(clip, matched.turns[0], send_times)

    def _add_opening(self, clip: Clip, turn: Turn, send_times: SendTimes) -> None:
        """Add what is measured from the start of the voice."""
        voice_start_s = send_times.sent_at(to_ms(clip.voice_start))
        for values, at_s in (
            (self.voice_start_to_words, turn.first_words_s),
            (self.voice_start_to_emotion, turn.first_emotion_s),
            (self.voice_start_to_stable, stable_from(turn)),
        ):
            if at_s is not None:
                values.append((at_s - voice_start_s) * 1000)
        if turn.final_s is None:
            return
        self.n_opened += 1
        half_s = send_times.sent_at(to_ms(clip.voice_start + clip.voice_end) / 2)
        label = label_at(turn, half_s)
        if label is not None:
            self.n_at_half += 1
            self.n_at_half_right += label == turn.label


def share(part: int, whole: int) -> float | None:
    """Give a share; None of nothing."""
    return part / whole if whole else None


def stable_from(turn: Turn) -> float | None:
    """Tell when the emotion came that was the final's and did not change again."""
    since_s = turn.final_s
    for at_s, label in reversed(turn.partial_labels):
        if label != turn.label:
            break
        since_s = at_s
    return since_s


def mean(values: Sequence[int]) -> float | None:
    """Give the mean; None of nothing."""
    return sum(values) / len(values) if values else None


def opens(clip: Clip, turn: Turn, clips: Sequence[Clip]) -> bool:
    """Tell whether a clip is the first of those in a turn that it overlaps."""
    return not any(
        other.voice_start < clip.voice_start
        and to_ms(other.voice_end) > turn.voice_start_ms
        for other in clips
    )


def label_at(turn: Turn, at_s: float) -> str | None:
    """Give the last partial emotion that had come by a wall time."""
    return next(
        (label for when_s, label in reversed(turn.partial_labels) if when_s <= at_s),
        None,
    )


def count_flips(turn: Turn) -> int:
    """Count the changes from one emotion of a turn to the next."""
    labels = [label for _, label in turn.partial_labels]
    if turn.label is not None:
        labels.append(turn.label)
    return sum(one != other for one, other in zip(labels, labels[1:], strict=False))
