"""Utterances and their vectors -> Dialogues in arrays, as the network sees them.

A voice is normalised here by the same function as in serving, turn after turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from offline.corpora.form import Utterance, group_dialogues
from offline.corpora.names import SENTIMENT_OF
from stream_erc.context import Tally, VoiceScale, empty_tally, normalise
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .scoring import N_CLASSES, NO_TARGET
from .voices import Voices

Floats = NDArray[np.float32]

TEXT, ENCODER, FUNCTIONALS = 0, 1, 2  # columns of `present`


@dataclass(frozen=True, slots=True)
class Dialogue:
    """One dialogue of T turns.

    Attributes:
        text: Stage I vectors, shape (T, text size); zeros where absent.
        encoder: Normalised, shape (T, encoder size); likewise.
        functionals: Normalised, shape (T, 336); likewise.
        present: Shape (T, 3), 1 where text, encoder, functionals are there.
        speakers: Numbers, shape (T,).
        emotions: Class or `NO_TARGET`, shape (T,).
        sentiments: Likewise.
        taught: Probabilities of both that teachers give, shape (T, 10); zeros where
            there is no teacher.
        is_acted: True where the words do not tell the emotion.
    """

    text: Floats
    encoder: Floats
    functionals: Floats
    present: Floats
    speakers: NDArray[np.intp]
    emotions: NDArray[np.intp]
    sentiments: NDArray[np.intp]
    taught: Floats
    is_acted: bool = False

    def __len__(self) -> int:
        return len(self.emotions)

    def part(self, start: int, stop: int) -> Dialogue:
        """Give the turns from `start` up to `stop`."""
        arrays = {
            name: getattr(self, name)[start:stop]
            for name in Dialogue.__slots__
            if name != "is_acted"
        }
        return replace(self, **arrays)


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths of the three vectors."""

    text: int
    encoder: int
    functionals: int


class VoiceNormaliser:
    """Running normalisation of a conversation, as `context.Context` keeps it."""

    def __init__(self, scales: tuple[VoiceScale, VoiceScale]) -> None:
        self._scales = scales
        self._tallies: dict[tuple[str, int], Tally] = {}

    def push(self, speaker: str, family: int, values: Floats) -> Floats:
        """Give one turn's numbers of one family (0 encoder, 1 functionals)."""
        scale = self._scales[family]
        tally = self._tallies.get((speaker, family), empty_tally(len(values)))
        normal, self._tallies[speaker, family] = normalise(values, scale, tally)
        return normal


def blank(n_turns: int, sizes: Sizes) -> Dialogue:
    """Give a dialogue in which everything is absent."""
    return Dialogue(
        text=np.zeros((n_turns, sizes.text), np.float32),
        encoder=np.zeros((n_turns, sizes.encoder), np.float32),
        functionals=np.zeros((n_turns, sizes.functionals), np.float32),
        present=np.zeros((n_turns, 3), np.float32),
        speakers=np.zeros(n_turns, np.intp),
        emotions=np.full(n_turns, NO_TARGET, np.intp),
        sentiments=np.full(n_turns, NO_TARGET, np.intp),
        taught=np.zeros((n_turns, N_CLASSES), np.float32),
    )


def set_targets(dialogue: Dialogue, turn: int, utterance: Utterance) -> None:
    """Write one utterance's classes."""
    emotion = utterance.emotion
    sentiment = utterance.sentiment
    if emotion is not None:
        dialogue.emotions[turn] = EMOTIONS.index(emotion)
        sentiment = sentiment or SENTIMENT_OF.get(emotion)
    if sentiment is not None:
        dialogue.sentiments[turn] = SENTIMENTS.index(sentiment)


def build_dialogues(
    utterances: Sequence[Utterance],
    vectors: Floats,
    voices: tuple[Voices, Mapping[int, int]] | None,
    scales: tuple[VoiceScale, VoiceScale],
    sizes: Sizes,
    taught: Floats | None = None,
) -> list[Dialogue]:
    """Give a corpus's dialogues.

    The speakers' statistics run through all dialogues of a session, as if it were one
    conversation; the dialogue itself begins anew.

    Args:
        utterances: In order.
        vectors: Of their texts, shape (n, text size).
        voices: Numbers, and which of their rows is whose; None without voices.
        scales: Everybody's voice statistics.
        sizes: Of the network's inputs.
        taught: What teachers say of them, shape (n, 10); None without teachers.
    """
    dialogues, first = [], 0
    normalisers: dict[str, VoiceNormaliser] = {}
    for group in group_dialogues(utterances):
        dialogue = blank(len(group), sizes)
        session = group[0].session or group[0].dialogue
        normaliser = normalisers.setdefault(session, VoiceNormaliser(scales))
        names = sorted({utterance.speaker for utterance in group})
        for turn, utterance in enumerate(group):
            dialogue.speakers[turn] = names.index(utterance.speaker)
            set_targets(dialogue, turn, utterance)
            if taught is not None:
                dialogue.taught[turn] = taught[first + turn]
            if utterance.text:
                dialogue.text[turn] = vectors[first + turn]
                dialogue.present[turn, TEXT] = 1.0
            if voices is not None and first + turn in voices[1]:
                row = voices[1][first + turn]
                set_voice(dialogue, turn, normaliser, utterance.speaker, voices[0], row)
        dialogues.append(dialogue)
        first += len(group)
    return dialogues


def set_voice(
    dialogue: Dialogue,
    turn: int,
    normaliser: VoiceNormaliser,
    speaker: str,
    voices: Voices,
    row: int,
) -> None:
    """Write one turn's voice, of the families that there are."""
    if voices.encoder.shape[1]:
        values = normaliser.push(speaker, 0, voices.encoder[row])
        dialogue.encoder[turn] = values
        dialogue.present[turn, ENCODER] = 1.0
    if voices.functionals.shape[1]:
        values = normaliser.push(speaker, 1, voices.functionals[row])
        dialogue.functionals[turn] = values
        dialogue.present[turn, FUNCTIONALS] = 1.0


def measure_scale(corpora: Sequence[Floats]) -> VoiceScale:
    """Give everybody's statistics, each corpus (n, size) weighing the same."""
    mean = np.mean([values.mean(0, dtype=np.float64) for values in corpora], axis=0)
    square = np.mean(
        [((values - mean) ** 2).mean(0, dtype=np.float64) for values in corpora], axis=0
    )
    deviation = np.maximum(np.sqrt(square), 1e-6)
    return VoiceScale(mean.astype(np.float32), deviation.astype(np.float32))
