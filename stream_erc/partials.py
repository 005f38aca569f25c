"""TurnHeard, Result -> Event, Request: what a turn seems to be while it is spoken."""

from __future__ import annotations

from collections.abc import Callable

from . import events
from .agreement import StablePrefix
from .conversation import Conversation
from .engine import HearResult, Lane, Origin, Request, Result
from .flow import TurnAudio, TurnHeard, to_samples
from .terms import SessionTerms, understand
from .wording import emotion_partial

LIFE_S = 1.0
"""A partial that waits longer in its lane is overtaken by the next."""

Step = list[events.Event | Request]


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
        self._asked: dict[int, TurnAudio] = {}  # by revision
        self._shown_words = -1  # revision
        self._shown_emotion = -1  # revision
        self._prefix = StablePrefix()
        self._n_dropped = 0  # in a row
        self._is_degraded = False

    def start(self, turn: int) -> None:
        """A turn began to run; results of another one come too late."""
        self._running = turn
        self._asked.clear()
        self._shown_words = self._shown_emotion = -1
        self._prefix = StablePrefix()

    def stop(self) -> None:
        """The turn is over."""
        self._running = None

    def ask(self, record: TurnHeard) -> Step:
        """Ask for what has been heard so far."""
        if not self._terms.has_partials:
            return []
        self._asked[record.revision] = record.audio
        origin = self._origin(record.audio.turn, record.revision)
        return [self._terms.hear(origin, record.audio)]

    def take(self, result: Result, time_ms: int) -> Step:
        """Show a result, unless it comes too late."""
        origin = result.origin
        if origin.turn != self._running:
            return []
        step = self._recover(time_ms)
        if not isinstance(result, HearResult):
            if origin.revision <= self._shown_emotion:
                return step
            self._shown_emotion = origin.revision
            return [*step, emotion_partial(result, time_ms)]
        audio = self._asked.pop(origin.revision, None)
        if audio is None or origin.revision <= self._shown_words:
            return step
        self._shown_words = origin.revision
        return [*step, *self._show(audio, result, time_ms)]

    def drop(self, origin: Origin, time_ms: int) -> Step:
        """Take in that a request was overtaken before its turn came, or failed."""
        if origin.turn != self._running:
            return []
        self._asked.pop(origin.revision, None)
        self._n_dropped += 1
        if self._n_dropped < 2 or self._is_degraded:
            return []
        self._is_degraded = True
        lag_ms = round(LIFE_S * 1000)
        return [events.Status(time_ms=time_ms, lag_ms=lag_ms, degraded=True)]

    def _recover(self, time_ms: int) -> Step:
        self._n_dropped = 0
        if not self._is_degraded:
            return []
        self._is_degraded = False
        return [events.Status(time_ms=time_ms, lag_ms=0, degraded=False)]

    def _show(self, audio: TurnAudio, heard: HearResult, time_ms: int) -> Step:
        step: Step = []
        origin = heard.origin
        if heard.transcript.text:
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
        voice = audio.end - audio.voice_start
        if voice >= to_samples(self._terms.emotion_partial_ms):
            features = self._terms.heard(audio.speaker, heard)
            again = self._origin(origin.turn, origin.revision)
            step.append(understand(again, features, self._conversation))
        return step

    def _origin(self, turn: int, revision: int) -> Origin:
        deadline_s = self._clock() + LIFE_S
        return Origin(self._terms.session, turn, revision, Lane.PARTIAL, deadline_s)
