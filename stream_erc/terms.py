"""What a session was started with, and the requests that follow from it."""

from __future__ import annotations

from dataclasses import dataclass

from .conversation import Conversation
from .engine import HearRequest, HearResult, Lane, Origin, UnderstandRequest
from .flow import TurnAudio, TurnFeatures
from .names import AUTO
from .speakers import SpeakerConfig
from .voiceprint import Spread


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionTerms:
    """One session's wishes.

    Attributes:
        session: Its identifier.
        language: Of the speech; None for the setting's.
        has_partials: Whether provisional results are wanted.
        modalities: What the model may use, of "audio" and "text".
        partial_interval_ms: Voice heard between provisional results, once there are
            words.
        emotion_partial_ms: Voice heard before the first provisional emotion.
        speakers: How speakers are told apart by voice.
        spread: Of voiceprints.
    """

    session: str
    language: str | None
    has_partials: bool
    modalities: tuple[str, ...]
    partial_interval_ms: int
    emotion_partial_ms: int
    speakers: SpeakerConfig
    spread: Spread

    def hear(
        self, origin: Origin, audio: TurnAudio, *, has_words: bool = True
    ) -> HearRequest:
        """Ask for the words and the voice of a turn, or for the voice alone."""
        return HearRequest(
            origin,
            audio.samples,
            audio.voiced_samples,
            self.language,
            has_words=has_words,
            wants_voiceprint=audio.speaker == AUTO and origin.lane is Lane.FINAL,
        )

    def heard(self, speaker: str, result: HearResult) -> TurnFeatures:
        """Give what the model may use of what was heard."""
        text = result.transcript.text or None
        return TurnFeatures(
            speaker,
            text if "text" in self.modalities else None,
            result.voice if "audio" in self.modalities else None,
        )

    def read(self, speaker: str, text: str) -> TurnFeatures:
        """Give what the model may use of a turn that was not heard."""
        return TurnFeatures(speaker, text if "text" in self.modalities else None, None)


def understand(
    origin: Origin, features: TurnFeatures, conversation: Conversation
) -> UnderstandRequest:
    """Ask what a turn conveys in the conversation as it is now."""
    return UnderstandRequest(
        origin, features, conversation.context, conversation.version
    )
