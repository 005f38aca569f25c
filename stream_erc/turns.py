"""JudgedFrame, VoiceEdge -> Turn…: when a turn starts, pauses, goes on and ends."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np

from .config import TurnConfig
from .events import Reason
from .flow import (
    FRAME_SAMPLES,
    Completeness,
    Frame,
    JudgedFrame,
    Samples,
    TurnAudio,
    TurnEnded,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    VoiceEdge,
    to_samples,
)

FLOOR_DB = -90.0  # the least noise floor assumed: that of 16-bit audio, nearly
ONSET_MARGIN_DB = 8.0  # see docs/decisions.md, "Where a turn starts"
ONSET_GAP_SAMPLES = to_samples(320)

TurnRecord = TurnStarted | TurnHeard | TurnPaused | TurnResumed | TurnEnded


@dataclass(slots=True)
class OpenTurn:
    """The running turn.

    Attributes:
        start: First sample, pre-roll included.
        voice_start: Where the sound of it starts, breath included.
        detected: Where the voice detector says that the voice starts.
        frames: From the one that holds `start` on.
        pause_start: One past the last voiced sample, while there is no voice.
        is_paused: True once `TurnPaused` was given for this pause.
        completeness: Of what was said before this pause; None until that is known.
        revision: How often it was told what was heard so far.
        due: Samples of voice after which that is told again.
    """

    start: int
    voice_start: int
    detected: int
    frames: list[JudgedFrame] = field(default_factory=list)
    pause_start: int | None = None
    is_paused: bool = False
    completeness: Completeness | None = None
    revision: int = 0
    due: int = 0


class TurnBuilder:
    """Stage: judged frames and voice edges in, turns out.

    Where the words decide how much silence ends a turn, it stops at the frame from
    which on they matter, until `judge` tells it what they sound like.
    """

    def __init__(self, config: TurnConfig, speaker: str) -> None:
        self._config = config
        self._speaker = speaker
        self._turn = 0  # number of the running turn, or of the next
        self._open: OpenTurn | None = None
        self._floor = 0  # no turn reaches back beyond it
        self._end_silence = {  # samples of it that end a turn
            Completeness.UNKNOWN: to_samples(config.end_silence_ms),
            Completeness.COMPLETE: to_samples(
                config.end_silence_complete_ms or config.end_silence_ms
            ),
            Completeness.UNFINISHED: to_samples(
                config.end_silence_unfinished_ms or config.end_silence_ms
            ),
        }
        self._least_silence = min(self._end_silence.values())
        self._is_adaptive = len(set(self._end_silence.values())) > 1
        self._is_waiting = False
        self._recent: deque[JudgedFrame] = deque(
            # vad.min_speech_ms is at most 1000.
            maxlen=(config.pre_roll_ms + config.onset_search_ms + 1000) // 32 + 2
        )

    @property
    def n_ended(self) -> int:
        """How many turns have ended."""
        return self._turn

    @property
    def is_waiting(self) -> bool:
        """Whether `judge` must be called before anything else."""
        return self._is_waiting

    def push(self, item: JudgedFrame | VoiceEdge) -> list[TurnRecord]:
        """Return what follows from one frame or edge, in order."""
        assert not self._is_waiting
        if isinstance(item, VoiceEdge):
            return self._turn_edge(item)
        if self._open is None:
            self._recent.append(item)
            return []
        self._open.frames.append(item)
        return self._advance(self._open, item)

    def judge(self, completeness: Completeness) -> list[TurnRecord]:
        """Take in what the words before this pause sound like, and go on."""
        assert self._is_waiting and self._open is not None
        self._is_waiting = False
        self._open.completeness = completeness
        return self._wait(self._open, self._open.frames[-1].frame.end)

    def cut(self, position: int, reason: Reason) -> list[TurnRecord]:
        """End the running turn, if there is one; later turns start behind it.

        Args:
            position: Samples heard so far.
            reason: Why.
        """
        assert not self._is_waiting
        ended: list[TurnRecord] = []
        if self._open is not None:
            ended = [self._end(self._open, position, position, reason)]
        self._floor = position
        return ended

    def set_speaker(self, speaker: str) -> None:
        """Name who speaks from now on; the running turn must have been cut."""
        self._speaker = speaker

    def _turn_edge(self, edge: VoiceEdge) -> list[TurnRecord]:
        turn = self._open
        if turn is None:
            return [self._start(edge.at)] if edge.is_start else []
        if not edge.is_start:
            turn.pause_start = edge.at
            return []
        was_paused = turn.is_paused
        turn.pause_start, turn.is_paused, turn.completeness = None, False, None
        return [TurnResumed(self._turn)] if was_paused else []

    def _start(self, detected: int) -> TurnStarted:
        detected = max(self._floor, detected)
        before = [
            judged.frame
            for judged in self._recent
            if judged.frame.start >= self._floor and judged.frame.end <= detected
        ]
        reach = to_samples(self._config.onset_search_ms)
        voice_start = min(detected, sound_start(before, reach, detected))
        start = max(self._floor, voice_start - to_samples(self._config.pre_roll_ms))
        frames = [judged for judged in self._recent if judged.frame.end > start]
        self._recent.clear()
        self._open = OpenTurn(start, voice_start, detected, frames)
        return TurnStarted(self._turn, self._speaker, start, voice_start)

    def _advance(self, turn: OpenTurn, judged: JudgedFrame) -> list[TurnRecord]:
        now, config = judged.frame.end, self._config
        if turn.pause_start is None and not judged.is_voiced:
            return []  # a gap or a pause: cut here, the rest might have no voice
        if now - turn.start >= to_samples(config.max_turn_ms):
            return self._split(turn, now)
        if turn.pause_start is None:
            return self._hear(turn, now)
        # A voiced frame may be the speaker going on: wait until that is known.
        if judged.is_voiced:
            return []
        return self._wait(turn, now)

    def _wait(self, turn: OpenTurn, now: int) -> list[TurnRecord]:
        """Tell a pause, and end the turn once it has lasted long enough."""
        assert turn.pause_start is not None
        silence = now - turn.pause_start
        records: list[TurnRecord] = []
        eager = to_samples(self._config.eager_silence_ms)
        if silence >= eager and not turn.is_paused:
            turn.is_paused = True
            records.append(TurnPaused(self._audio(turn, self._rolled(turn, now))))
        known = turn.completeness
        if self._is_adaptive and known is None and silence >= self._least_silence:
            self._is_waiting = True
        elif silence >= self._end_silence[known or Completeness.UNKNOWN]:
            records.append(self._end(turn, now, now, "silence"))
        return records

    def _hear(self, turn: OpenTurn, now: int) -> list[TurnRecord]:
        """Tell what was heard so far, more often than `Partials` asks about it."""
        voice, config = now - turn.detected, self._config
        if voice < max(turn.due, to_samples(config.first_partial_ms)):
            return []
        turn.due = voice + to_samples(config.wordless_interval_ms)
        turn.revision += 1
        return [TurnHeard(self._audio(turn, now), turn.revision - 1)]

    def _split(self, turn: OpenTurn, now: int) -> list[TurnRecord]:
        """End a turn that has become too long; in a voice, where it was quietest."""
        if turn.pause_start is not None:
            return [self._end(turn, now, now, "max_length")]
        at = quietest(turn.frames, to_samples(self._config.search_ms))
        ended = self._end(turn, at, now, "max_length")
        rest = [judged for judged in turn.frames if judged.frame.start >= at]
        self._open = OpenTurn(at, at, at, rest)
        return [ended, TurnStarted(self._turn, self._speaker, at, at)]

    def _end(self, turn: OpenTurn, at: int, decided: int, reason: Reason) -> TurnEnded:
        audio = self._audio(turn, self._rolled(turn, at))
        self._open = None
        self._floor = audio.end
        self._recent.extend(turn.frames)
        self._turn += 1
        return TurnEnded(audio, decided, reason)

    def _rolled(self, turn: OpenTurn, at: int) -> int:
        """Where the turn ends if it ends at `at`: a post-roll behind the voice."""
        if turn.pause_start is None:
            return at
        return min(at, turn.pause_start + to_samples(self._config.post_roll_ms))

    def _audio(self, turn: OpenTurn, end: int) -> TurnAudio:
        first = turn.frames[0].frame.start
        samples = np.concatenate([judged.frame.samples for judged in turn.frames])
        n_voiced = sum(
            len(judged.frame.samples)
            for judged in turn.frames
            if judged.is_voiced and judged.frame.start < end
        )
        return TurnAudio(
            turn=self._turn,
            speaker=self._speaker,
            start=turn.start,
            voice_start=turn.voice_start,
            samples=samples[turn.start - first : end - first],
            voiced_samples=n_voiced,
        )


def sound_start(before: list[Frame], reach: int, detected: int) -> int:
    """Find where the sound starts that leads into a voice.

    Silero dates a voice to its first vowel or so. A breath, a sigh and a fricative
    before it belong to the turn: what stands out of the noise floor is taken to it,
    over gaps such as the one between breathing in and speaking.

    Args:
        before: Frames before the voice, back to the turn before at most.
        reach: How many samples back to look.
        detected: First sample of the voice as detected.
    """
    levels = [level_db(frame.samples) for frame in before]
    floor = max(FLOOR_DB, float(np.percentile(levels, 20))) if levels else FLOOR_DB
    start = detected
    for frame, level in zip(reversed(before), reversed(levels), strict=True):
        if frame.start < detected - reach or start - frame.end > ONSET_GAP_SAMPLES:
            break
        if level >= floor + ONSET_MARGIN_DB:
            start = frame.start
    return start


def level_db(samples: Samples) -> float:
    """Root mean square in decibels of full scale; digital silence is -120."""
    return 20 * math.log10(float(np.sqrt(np.mean(np.square(samples)))) + 1e-6)


def quietest(frames: list[JudgedFrame], search_samples: int) -> int:
    """Find where a voice is best cut: the end of the quietest recent frame.

    Loudness is the energy of a frame and its two neighbours, so that the closure of
    a consonant does not pass for a pause.
    """
    n_recent = max(3, search_samples // FRAME_SAMPLES)
    recent = frames[-n_recent:]
    energy = np.array([np.mean(np.square(j.frame.samples)) for j in recent])
    smooth = np.convolve(energy, np.ones(3), mode="valid")
    return recent[int(np.argmin(smooth)) + 1].frame.end
