"""TurnHeard, Result -> Event, Request: what a turn seems to be while it is spoken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from . import events
from .agreement import StablePrefix
from .conversation import Conversation
from .degradation import Degradation
from .engine import HearResult, Lane, Origin, Request, Result
from .flow import Transcript, TurnAudio, TurnHeard, to_samples
from .names import AUTO
from .terms import SessionTerms, understand
from .wording import emotion_partial

LIFE_S = 1.0
"""A partial that waits longer in its lane is overtaken by the next."""

OPENING_SAMPLES = to_samples(1500)
"""Voice after which nobody is asked more than once an interval: each question costs
more the longer a turn is, and what has no words may never have any."""

NOBODY = ""
"""A speaker of whom nothing is remembered: no name is empty."""

Step = list[events.Event | Request]

NO_WORDS = Transcript("", (), is_rejected=False)


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked about, and whether for words, too."""

    audio: TurnAudio
    has_words: bool


class Partials:
    """Provisional results of the running turn; dropping any changes nothing else.

    Args:
        terms: What the session was started with.
        conversation: Read, never committed to.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        terms: SessionTerms,
        conversation: Conversation,
        clock: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._conversation = conversation
        self._clock = clock
        self._running: int | None = None  # number of the turn they are about
        self._asked: dict[int, Asked] = {}  # by revision
        self._asked_until: int | None = None  # end of what was last asked about
        self._wants_emotion = True  # none was asked for in this turn
        self._shown_words = -1  # revision
        self._shown_emotion = -1  # revision
        self._prefix = StablePrefix()
        self._last_words = NO_WORDS  # that were heard of the turn
        self._degradation = Degradation()

    def start(self, turn: int) -> None:
        """A turn began to run; results of another one come too late."""
        self._running = turn
        self._asked.clear()
        self._asked_until, self._wants_emotion = None, True
        self._shown_words = self._shown_emotion = -1
        self._prefix = StablePrefix()
        self._last_words = NO_WORDS

    def stop(self) -> None:
        """The turn is over."""
        self._running = None

    def ask(self, record: TurnHeard) -> Step:
        """Ask for what has been heard so far, unless that was asked lately."""
        audio, has_words = record.audio, self._degradation.asks_words
        if not (self._terms.has_partials and self._is_due(audio)):
            return []
        self._asked_until = audio.end
        self._wants_emotion &= not self._is_long_enough(audio)
        self._asked[record.revision] = Asked(audio, has_words)
        origin = self._origin(audio.turn, record.revision)
        return [self._terms.hear(origin, audio, has_words=has_words)]

    def take(self, result: Result, time_ms: int) -> Step:
        """Show a result, unless it comes too late."""
        origin = result.origin
        if origin.turn != self._running:
            return []
        if not isinstance(result, HearResult):
            if origin.revision <= self._shown_emotion:
                return []
            self._shown_emotion = origin.revision
            return [emotion_partial(result, time_ms)]
        before = self._degradation.left
        self._degradation.note_result(result.queue_s)
        step = self._tell(before, time_ms)
        asked = self._asked.pop(origin.revision, None)
        if asked is None or origin.revision <= self._shown_words:
            return step
        self._shown_words = origin.revision
        return [*step, *self._show(asked, result, time_ms)]

    def drop(self, origin: Origin, time_ms: int) -> Step:
        """Take in that a request was overtaken before its turn came, or failed."""
        if origin.turn != self._running:
            return []
        self._asked.pop(origin.revision, None)
        self._wants_emotion = self._shown_emotion < 0
        before = self._degradation.left
        self._degradation.note_drop()
        return self._tell(before, time_ms)

    def _is_due(self, audio: TurnAudio) -> bool:
        if self._asked_until is None:
            return True
        interval = to_samples(self._terms.partial_interval_ms)
        if audio.end - self._asked_until >= interval:
            return True
        if self._asked or self._degradation.left != "all":
            return False  # more would only be overtaken
        if audio.voiced_samples > OPENING_SAMPLES:
            return False
        has_first_emotion = self._wants_emotion and self._is_long_enough(audio)
        return has_first_emotion or not self._last_words.text

    def _is_long_enough(self, audio: TurnAudio) -> bool:
        """Whether so much voice is worth an emotion."""
        voice = audio.end - audio.voice_start
        return voice >= to_samples(self._terms.emotion_partial_ms)

    def _tell(self, before: events.PartialsLeft, time_ms: int) -> Step:
        left = self._degradation.left
        if left == before:
            return []
        is_degraded = left != "all"
        return [
            events.Status(
                time_ms=time_ms,
                lag_ms=round(LIFE_S * 1000) if is_degraded else 0,
                degraded=is_degraded,
                partials=left,
            )
        ]

    def _show(self, asked: Asked, heard: HearResult, time_ms: int) -> Step:
        step: Step = []
        origin, audio = heard.origin, asked.audio
        if asked.has_words:
            self._last_words = heard.transcript
        heard = replace(heard, transcript=self._last_words)
        if asked.has_words and heard.transcript.text:
            text, stable_chars = self._prefix.push(heard.transcript.text)
            step.append(
                events.TranscriptPartial(
                    time_ms=time_ms,
                    turn=origin.turn,
                    revision=origin.revision,
                    text=text,
                    stable_chars=stable_chars,
                )
            )
        if self._is_long_enough(audio):
            # Who speaks may not be known yet: not whoever spoke before, as a rule.
            speaker = NOBODY if audio.speaker == AUTO else audio.speaker
            features = self._terms.heard(speaker, heard)
            again = self._origin(origin.turn, origin.revision)
            step.append(understand(again, features, self._conversation))
        return step

    def _origin(self, turn: int, revision: int) -> Origin:
        deadline_s = self._clock() + LIFE_S
        return Origin(self._terms.session, turn, revision, Lane.PARTIAL, deadline_s)
