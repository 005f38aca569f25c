"""Request -> Result: the seam between sessions and models.

Requests and results are plain, picklable records, and all that a result depends on
is in its request. `Models` answers them here; `lanes.LocalEngine` queues those of many
sessions in front of it; another engine may send them elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

import numpy as np

from .asr import Whisper
from .config import DEFAULT_WHISPER, Settings
from .context import Context
from .errors import ModelError
from .flow import (
    SAMPLE_RATE_HZ,
    Emotion,
    Samples,
    Transcript,
    TurnFeatures,
    Vector,
    VoiceFeatures,
)
from .functionals import functionals
from .fusion import EmotionModel
from .gates import judge
from .voiceprint import VoiceEncoder


class Lane(Enum):
    """Finals: first in, first out, never dropped. Partials: the newest wins."""

    FINAL = "final"
    PARTIAL = "partial"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request comes from.

    Attributes:
        session: Identifier of the session.
        turn: Number of the turn; -1 for what was not heard.
        revision: Number of the attempt within the turn.
        lane: How urgent it is.
        deadline_s: Monotonic time after which the result is worthless; None: never.
    """

    session: str
    turn: int
    revision: int
    lane: Lane
    deadline_s: float | None = None


@dataclass(frozen=True, slots=True)
class HearRequest:
    """Transcribe this audio and measure its voice.

    Attributes:
        origin: Who asks.
        samples: Shape (n_samples,).
        voiced_samples: How many of them lie in voiced frames.
        language: One of the recognizer's; None for the setting's.
        has_words: False: the voice alone, for a third of the work.
        wants_voiceprint: Whether the speaker is to be found by voice.
    """

    origin: Origin
    samples: Samples
    voiced_samples: int
    language: str | None
    has_words: bool = True
    wants_voiceprint: bool = False


@dataclass(frozen=True, slots=True)
class HearResult:
    """The answer to `HearRequest`; times in seconds.

    Attributes:
        is_rescued: The recognizer failed, and this is what is left; see `rescue.py`.
        voiceprint: Of the speaker, where it was wanted.
    """

    origin: Origin
    transcript: Transcript
    voice: VoiceFeatures
    queue_s: float
    compute_s: float
    is_rescued: bool = False
    voiceprint: Vector | None = None


@dataclass(frozen=True, slots=True)
class UnderstandRequest:
    """Judge this turn in this context.

    Attributes:
        origin: Who asks.
        features: The turn.
        context: What the conversation remembers.
        version: Of the context; comes back with the result.
    """

    origin: Origin
    features: TurnFeatures
    context: Context
    version: int


@dataclass(frozen=True, slots=True)
class UnderstandResult:
    """The answer to `UnderstandRequest`; `context` has the turn in it.

    Attributes:
        is_rescued: The model failed: `context` is without the turn; see `rescue.py`.
    """

    origin: Origin
    emotion: Emotion
    context: Context
    version: int
    queue_s: float
    compute_s: float
    is_rescued: bool = False


Request = HearRequest | UnderstandRequest
Result = HearResult | UnderstandResult


class Engine(Protocol):
    """What sessions see of the models."""

    def submit(self, request: Request) -> Future[Result]:
        """Queue a request.

        A superseded partial's future is cancelled; that of one on which a model has
        failed fails. Of a final what is left comes back; see `is_rescued`.
        """

    def cancel(self, session: str) -> None:
        """Drop what a session that is gone still waits for."""

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""


class Hearing:
    """The recognizer and the measures of a voice.

    Attributes:
        whisper: The recognizer.
    """

    def __init__(self, settings: Settings) -> None:
        self.whisper = Whisper(settings.asr)
        self._gates = settings.gates
        self._voices = VoiceEncoder()
        self._knows_states = settings.asr.whisper == DEFAULT_WHISPER

    def hear(self, requests: Sequence[HearRequest]) -> list[HearResult]:
        """Answer one by one: what is heard never depends on batch mates."""
        return [self._hear(request) for request in requests]

    def warm_up(self) -> HearResult:
        """Run everything once: first calls are slow."""
        origin = Origin("warm-up", 0, 0, Lane.FINAL)
        silence = np.zeros(2 * SAMPLE_RATE_HZ, np.float32)
        return self._hear(HearRequest(origin, silence, 0, None, wants_voiceprint=True))

    def _hear(self, request: HearRequest) -> HearResult:
        if not request.has_words:
            voice = self.whisper.voice(request.samples)
            return HearResult(
                origin=request.origin,
                transcript=Transcript("", (), is_rejected=False),
                voice=VoiceFeatures(voice, functionals(request.samples)),
                queue_s=0.0,
                compute_s=0.0,
            )
        is_whole = request.origin.lane is Lane.FINAL
        heard = self.whisper.hear(
            request.samples, language=request.language, with_words=is_whole
        )
        measured = functionals(request.samples)
        voiceprint = None
        if request.wants_voiceprint:
            states = [heard.voice] if self._knows_states else []
            voiceprint = self._voices.embed(request.samples, measured, *states)
        return HearResult(
            origin=request.origin,
            transcript=judge(
                heard, request.voiced_samples, self._gates, is_whole=is_whole
            ),
            voice=VoiceFeatures(heard.voice, measured),
            queue_s=0.0,
            compute_s=0.0,
            voiceprint=voiceprint,
        )


class Understanding:
    """The text encoder and the dialogue model.

    Attributes:
        voice_size: How many numbers of the recognizer's encoder it was trained on.
        prior: What it says of a turn of which nothing is known.
    """

    def __init__(self, settings: Settings) -> None:
        provider = "CUDA" if settings.emotion.device == "cuda" else "CPU"
        self._emotion = EmotionModel(
            Path(settings.emotion.model), providers=(f"{provider}ExecutionProvider",)
        )
        self.voice_size = self._emotion.voice_size
        self.prior = self._emotion.prior()

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._emotion.empty_context()

    def understand(
        self, requests: Sequence[UnderstandRequest]
    ) -> list[UnderstandResult]:
        """Answer all in one call of the network."""
        answers = self._emotion.step(
            [request.features for request in requests],
            [request.context for request in requests],
        )
        return [
            UnderstandResult(
                origin=request.origin,
                emotion=emotion,
                context=context,
                version=request.version,
                queue_s=0.0,
                compute_s=0.0,
            )
            for request, (emotion, context) in zip(requests, answers, strict=True)
        ]

    def warm_up(self, voice: VoiceFeatures | None = None) -> None:
        """Run everything once: first calls are slow."""
        origin = Origin("warm-up", 0, 0, Lane.FINAL)
        features = TurnFeatures("nobody", "Hello there.", voice)
        self.understand(
            [UnderstandRequest(origin, features, self.empty_context(), version=0)]
        )


class Models:
    """All models of the product, and the answer to each kind of request.

    Attributes:
        whisper: The recognizer.
        languages: Codes of the languages that it knows.
        prior: What the emotion model says of a turn of which nothing is known.
    """

    def __init__(self, settings: Settings) -> None:
        hearing = Hearing(settings)
        understanding = Understanding(settings)
        require_match(understanding.voice_size, hearing.whisper.voice_size)
        self.whisper = hearing.whisper
        self.languages = hearing.whisper.languages
        self.prior = understanding.prior
        self.hear = hearing.hear
        self.understand = understanding.understand
        self.empty_context = understanding.empty_context
        understanding.warm_up(hearing.warm_up().voice)


def require_match(trained_size: int, voice_size: int) -> None:
    """Refuse an emotion model of another recognizer.

    Args:
        trained_size: How many numbers of the recognizer's encoder it learned from.
        voice_size: How many the recognizer gives.

    Raises:
        ModelError: If these are not as many.
    """
    if trained_size != voice_size:
        raise ModelError(
            f"emotion.model: expected one trained on {voice_size} encoder features, "
            f"as asr.whisper gives, got {trained_size}"
        )
