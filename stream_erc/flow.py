"""The records that flow through a session, in the order in which they appear.

Times are sample counts at `SAMPLE_RATE_HZ` on the session's stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from .events import Reason

SAMPLE_RATE_HZ = 16_000
FRAME_SAMPLES = 512  # 32 ms, the only window that Silero VAD takes at 16 kHz

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""Order of the classes everywhere: MELD's seven, in MELD's order."""

SENTIMENTS = ("negative", "neutral", "positive")

Samples = NDArray[np.float32]
"""Mono audio, shape (n_samples,), values in [-1, 1], at `SAMPLE_RATE_HZ`."""

Vector = NDArray[np.float32]
"""One turn's numbers, shape (n,)."""


def to_ms(samples: int) -> int:
    """Give a sample count in whole milliseconds, as the wire has it."""
    return samples * 1000 // SAMPLE_RATE_HZ


def to_samples(ms: int) -> int:
    """Give milliseconds as a sample count."""
    return ms * SAMPLE_RATE_HZ // 1000


@dataclass(frozen=True, slots=True)
class Frame:
    """A fixed-length slice of the stream.

    Attributes:
        start: Index of the first sample, counted from the start of the stream.
        samples: Shape (FRAME_SAMPLES,); shorter only before a cut of the stream.
    """

    start: int
    samples: Samples

    @property
    def end(self) -> int:
        """One past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Word:
    """One word of a transcript.

    Attributes:
        text: As written, without the space before it.
        start: First sample, counted from the start of the turn's audio.
        end: One past the last sample, likewise.
        probability: The recognizer's confidence, 0 to 1.
    """

    text: str
    start: int
    end: int
    probability: float


@dataclass(frozen=True, slots=True)
class Heard:
    """What the recognizer made of a turn, or of the part heard so far.

    Attributes:
        text: The words as written; may be empty.
        words: With times and probabilities; empty unless asked for.
        voice: Encoder output, mean and deviation over the turn, shape (2 * d_model,).
        mean_log_probability: Of the tokens, natural logarithm.
        no_speech_probability: Whisper's own estimate that nobody speaks.
        compression_ratio: Length of the text over its deflated length; high in loops.
    """

    text: str
    words: tuple[Word, ...]
    voice: Vector
    mean_log_probability: float
    no_speech_probability: float
    compression_ratio: float


@dataclass(frozen=True, slots=True)
class VoiceFeatures:
    """How a turn sounds, as numbers; not yet normalised to the speaker.

    Attributes:
        encoder: Whisper's encoder output, mean and deviation over the turn's
            frames, shape (768,) for the tiny models.
        functionals: IS09 functionals, shape (336,); None where only the encoder is
            known.
    """

    encoder: Vector | None
    functionals: Vector | None


@dataclass(frozen=True, slots=True)
class TurnFeatures:
    """What the dialogue model is told about one turn.

    Attributes:
        speaker: Who spoke; only compared with the other speakers of the dialogue.
        text: The words; None where there are none to trust.
        voice: The sound; None for a turn that was not heard.
    """

    speaker: str
    text: str | None
    voice: VoiceFeatures | None


@dataclass(frozen=True, slots=True)
class Emotion:
    """What one turn conveys.

    Attributes:
        emotions: Probability of each of `EMOTIONS`, shape (7,), sum 1.
        sentiments: Probability of each of `SENTIMENTS`, shape (3,), sum 1.
        modalities: What it rests on, of "audio" and "text".
        context_turns: How many earlier turns were within the model's reach.
    """

    emotions: Vector
    sentiments: Vector
    modalities: tuple[str, ...]
    context_turns: int

    @property
    def label(self) -> str:
        """The most probable emotion."""
        return EMOTIONS[int(np.argmax(self.emotions))]


@dataclass(frozen=True, slots=True)
class JudgedFrame:
    """A frame, and whether the voice detector heard a voice in it."""

    frame: Frame
    is_voiced: bool


@dataclass(frozen=True, slots=True)
class VoiceEdge:
    """A voice began or ended.

    Attributes:
        at: First voiced sample, or one past the last.
        is_start: True where it began.
    """

    at: int
    is_start: bool


@dataclass(frozen=True, slots=True)
class TurnAudio:
    """What one speaker said, or has said so far.

    Attributes:
        turn: Number of the turn in its session, from 0.
        speaker: Who is said to speak.
        start: First sample, pre-roll included.
        voice_start: First voiced sample.
        samples: Shape (n_samples,).
        voiced_samples: How many of them lie in voiced frames.
    """

    turn: int
    speaker: str
    start: int
    voice_start: int
    samples: Samples
    voiced_samples: int

    @property
    def end(self) -> int:
        """One past the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class TurnStarted:
    """Somebody began to speak."""

    turn: int
    speaker: str
    start: int
    voice_start: int


@dataclass(frozen=True, slots=True)
class TurnHeard:
    """Enough more was heard for another provisional result, number `revision`."""

    audio: TurnAudio
    revision: int


class Completeness(Enum):
    """Whether what was said before a pause sounds as if more will come."""

    COMPLETE = "complete"
    UNFINISHED = "unfinished"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class TurnPaused:
    """The turn ends with `audio`, unless the speaker goes on."""

    audio: TurnAudio


@dataclass(frozen=True, slots=True)
class TurnResumed:
    """The speaker went on: the pause was none."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """The turn is over.

    Attributes:
        audio: All of it.
        decided: How many samples had been heard when its end was decided.
        reason: Why.
    """

    audio: TurnAudio
    decided: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class AudioAltered:
    """Samples that could not be taken as they came, or not be judged as they should.

    Told once a kind; of the voice detector, whenever it begins to fail.
    """

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Transcript:
    """The words of a turn, or of the part heard so far.

    Attributes:
        text: Empty where rejected.
        words: With times and probabilities, in finals alone.
        is_rejected: True where the sound was judged not to be speech.
    """

    text: str
    words: tuple[Word, ...]
    is_rejected: bool


@dataclass(frozen=True, slots=True)
class MarkerReached:
    """The audio before the client's marker has been heard."""

    id: str | int


@dataclass(frozen=True, slots=True)
class ContextAdded:
    """A turn that was not heard takes its place in the conversation."""

    speaker: str
    text: str


@dataclass(frozen=True, slots=True)
class StreamEnded:
    """Nothing more will be heard, after so many turns and samples."""

    n_turns: int
    n_samples: int


Record = (
    VoiceEdge
    | TurnStarted
    | TurnHeard
    | TurnPaused
    | TurnResumed
    | TurnEnded
    | AudioAltered
    | MarkerReached
    | ContextAdded
    | StreamEnded
)
"""What the listening stages tell the rest of the session."""
