"""What a conversation remembers between turns, and how a voice is made comparable.

Everything here is a value: immutable, picklable, of bounded size.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from .flow import Vector

MAX_SPEAKERS = 64
"""Voices known at once; beyond, the one that spoke least recently is forgotten."""

SHRINK_TURNS = 30.0
"""Turns after which a speaker's own statistics weigh as much as everybody's.

Statistics that start anew with each dialogue cost 9 points of weighted F1 on IEMOCAP;
with this weight a running normalisation costs nothing.
"""

N_MEMORIES = 6
"""Vectors of a turn that the network remembers: see `model.State`."""

LIMIT = 6.0  # deviations; a click or a dead channel must not decide alone
SMALLEST_VARIANCE = 0.05  # of everybody's; a monotone speaker is not blown up


@dataclass(frozen=True, slots=True)
class VoiceScale:
    """Everybody's statistics of one family of voice numbers, from training.

    Attributes:
        mean: Shape (n,).
        deviation: Shape (n,), above 0.
    """

    mean: Vector
    deviation: Vector


@dataclass(frozen=True, slots=True)
class Tally:
    """One speaker's statistics of one family, in everybody's units.

    Attributes:
        n_turns: Turns counted.
        total: Sum, shape (n,).
        squares: Sum of squares, shape (n,).
    """

    n_turns: int
    total: Vector
    squares: Vector


def empty_tally(size: int) -> Tally:
    """Give the statistics of a speaker never heard."""
    return Tally(0, np.zeros(size, np.float32), np.zeros(size, np.float32))


def normalise(
    values: Vector, scale: VoiceScale, tally: Tally
) -> tuple[NDArray[np.float32], Tally]:
    """Compare a turn's voice with how this speaker sounded before.

    The speaker's statistics are shrunk towards everybody's as if `SHRINK_TURNS` turns
    of everybody's had been heard first.

    Args:
        values: As measured, shape (n,).
        scale: Everybody's statistics.
        tally: The speaker's, of earlier turns; unchanged.

    Returns:
        Shape (n,), within [-LIMIT, LIMIT], and the tally with this turn counted.
    """
    everybody = np.clip((values - scale.mean) / scale.deviation, -LIMIT, LIMIT)
    weight = tally.n_turns + SHRINK_TURNS
    mean = tally.total / weight
    variance = (tally.squares + SHRINK_TURNS) / weight - mean**2
    deviation = np.sqrt(np.maximum(variance, SMALLEST_VARIANCE))
    own = np.clip((everybody - mean) / deviation, -LIMIT, LIMIT)
    counted = Tally(
        tally.n_turns + 1, tally.total + everybody, tally.squares + everybody**2
    )
    return own.astype(np.float32), counted


@dataclass(frozen=True, slots=True)
class SpeakerVoice:
    """How one speaker of the conversation has sounded so far."""

    speaker: str
    encoder: Tally
    functionals: Tally


@dataclass(frozen=True, slots=True)
class Context:
    """All a conversation remembers of its earlier turns.

    Attributes:
        states: GRU states of text and voice, shape (2, width).
        memory: Vectors of the last turns, oldest first, shape
            (N_MEMORIES, window, width).
        heard: Whether they had text, and a voice, shape (2, window).
        speakers: Who spoke them, oldest first; at most `window`.
        voices: Of the speakers heard, the most recent last; at most `MAX_SPEAKERS`.
        n_turns: Turns so far.
    """

    states: NDArray[np.float32]
    memory: NDArray[np.float32]
    heard: NDArray[np.float32]
    speakers: tuple[str, ...]
    voices: tuple[SpeakerVoice, ...]
    n_turns: int

    @property
    def window(self) -> int:
        """Earlier turns within the model's reach."""
        return int(self.memory.shape[1])

    def same_speaker(self, speaker: str) -> NDArray[np.float32]:
        """Mark the remembered turns of this speaker, shape (window,), oldest first."""
        marks = np.zeros(self.window, np.float32)
        if self.speakers:
            marks[-len(self.speakers) :] = [other == speaker for other in self.speakers]
        return marks

    def voice_of(self, speaker: str, sizes: tuple[int, int]) -> SpeakerVoice:
        """Give what is known of a speaker; nothing yet for a new one.

        Args:
            speaker: Who.
            sizes: Of the encoder's numbers and of the functionals.
        """
        for voice in self.voices:
            if voice.speaker == speaker:
                return voice
        return SpeakerVoice(speaker, empty_tally(sizes[0]), empty_tally(sizes[1]))

    def with_voice(self, voice: SpeakerVoice) -> Context:
        """Give the context in which this voice is the most recent one."""
        others = tuple(v for v in self.voices if v.speaker != voice.speaker)
        return replace(self, voices=(*others, voice)[-MAX_SPEAKERS:])

    def after_turn(
        self,
        speaker: str,
        states: NDArray[np.float32],
        memory: NDArray[np.float32],
        heard: NDArray[np.float32],
    ) -> Context:
        """Give the context after one more turn, with the network's new state."""
        return replace(
            self,
            states=states,
            memory=memory,
            heard=heard,
            speakers=(*self.speakers, speaker)[-self.window :],
            n_turns=self.n_turns + 1,
        )


def empty_context(width: int, window: int) -> Context:
    """Give the context of a conversation in which nobody has spoken."""
    return Context(
        states=np.zeros((2, width), np.float32),
        memory=np.zeros((N_MEMORIES, window, width), np.float32),
        heard=np.zeros((2, window), np.float32),
        speakers=(),
        voices=(),
        n_turns=0,
    )
