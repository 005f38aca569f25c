"""Utterances and cached vectors -> Dialogues in arrays, as the network sees them.

A voice is normalised here by the same function as in serving, turn after turn.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stream_erc.context import Tally, VoiceScale, empty_tally, normalise
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .corpora import SENTIMENT_OF, TRAIN, Utterance, group_dialogues
from .voice_cache import PREFIX, VARIED, VoiceCache

Floats = NDArray[np.float32]
NO_TARGET = -1

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
        is_acted: True where the words do not tell the emotion.
    """

    text: Floats
    encoder: Floats
    functionals: Floats
    present: Floats
    speakers: NDArray[np.intp]
    emotions: NDArray[np.intp]
    sentiments: NDArray[np.intp]
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


def text_dialogues(
    utterances: Sequence[Utterance], vectors: Floats, sizes: Sizes
) -> list[Dialogue]:
    """Give dialogues with words alone.

    Args:
        utterances: Of a corpus, in order.
        vectors: Of their texts, shape (n, text size).
        sizes: Of the network's inputs.
    """
    dialogues, row = [], 0
    for group in group_dialogues(utterances):
        dialogue = blank(len(group), sizes)
        dialogue.text[:] = vectors[row : row + len(group)]
        dialogue.present[:, TEXT] = 1.0
        names = sorted({utterance.speaker for utterance in group})
        for turn, utterance in enumerate(group):
            dialogue.speakers[turn] = names.index(utterance.speaker)
            set_targets(dialogue, turn, utterance)
        dialogues.append(dialogue)
        row += len(group)
    return dialogues


def iemocap_dialogues(
    utterances: Sequence[Utterance],
    vectors: Floats,
    published: Floats,
    scales: tuple[VoiceScale, VoiceScale],
    sizes: Sizes,
) -> list[Dialogue]:
    """Give dialogues with words and functionals.

    The speakers' statistics run through all dialogues of a session, as if it were one
    conversation; the dialogue itself begins anew.

    Args:
        utterances: Of the corpus, in order.
        vectors: Of their texts, shape (n, text size).
        published: The corpus's functionals, our columns, indexed by `is09_row`.
        scales: Everybody's voice statistics.
        sizes: Of the network's inputs.
    """
    dialogues = text_dialogues(utterances, vectors, sizes)
    normalisers: dict[str, VoiceNormaliser] = {}
    for group, dialogue in zip(group_dialogues(utterances), dialogues, strict=True):
        for turn, utterance in enumerate(group):
            normaliser = normalisers.setdefault(
                utterance.session, VoiceNormaliser(scales)
            )
            if utterance.is09_row is not None:
                dialogue.functionals[turn] = normaliser.push(
                    utterance.speaker, 1, published[utterance.is09_row]
                )
                dialogue.present[turn, FUNCTIONALS] = 1.0
    return dialogues


@dataclass(frozen=True, slots=True, kw_only=True)
class ActedRecipe:
    """How acted clips become dialogues of two people.

    Clips have no dialogue of their own and fixed words, so both are made up: words that
    say nothing, words that agree with the voice, or no words.
    """

    turns: int = 16  # of each dialogue
    one_name: float = 0.5  # probability that both people go by the same name
    steady: float = (
        0.35  # probability that a speaker keeps the emotion of the turn before
    )
    steady_dialogues: float = 0.5  # dialogues in which anybody does
    neutral_words: float = 0.4  # turns whose words say nothing
    agreeing_words: float = 0.25  # turns whose words agree with the voice
    part: float = 0.2  # turns of which only the first seconds are heard


class ActedDialogues:
    """Draws dialogues from the clips of one split.

    Args:
        utterances: All clips, as in the cache.
        split: Whose clips are used.
        cache: Their features.
        words: For each emotion the vectors of texts that convey it, (n, text size).
        scales: Everybody's voice statistics.
        sizes: Of the network's inputs.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        split: str,
        cache: VoiceCache,
        words: Mapping[str, Floats],
        scales: tuple[VoiceScale, VoiceScale],
    ) -> None:
        self._utterances = utterances
        self._cache = cache
        self._words = words
        self._scales = scales
        self._sizes = Sizes(
            next(iter(words.values())).shape[1],
            cache.encoder.shape[1],
            cache.functionals.shape[1],
        )
        is_train = split == TRAIN
        self._whole: dict[tuple[str, str], list[int]] = {}
        self._part: dict[tuple[str, str], list[int]] = {}
        for row, (clip, kind) in enumerate(zip(cache.clip, cache.kind, strict=True)):
            clip_of = utterances[clip]
            if clip_of.split != split or (kind == VARIED and not is_train):
                continue
            rows = self._part if kind == PREFIX else self._whole
            rows.setdefault((clip_of.speaker, str(clip_of.emotion)), []).append(row)
        self._actors = sorted({actor for actor, _ in self._whole})
        self._emotions = sorted({emotion for _, emotion in self._whole})

    def draw(self, recipe: ActedRecipe, draw: np.random.Generator) -> Dialogue:
        """Give one dialogue of two actors who take turns."""
        dialogue = replace(blank(recipe.turns, self._sizes), is_acted=True)
        actors = draw.choice(self._actors, 2, replace=False)
        has_one_name = draw.random() < recipe.one_name
        is_steady = draw.random() < recipe.steady_dialogues
        normaliser = VoiceNormaliser(self._scales)
        emotions = ["", ""]
        for turn in range(recipe.turns):
            who = turn % 2
            if not (is_steady and emotions[who] and draw.random() < recipe.steady):
                emotions[who] = str(draw.choice(self._emotions))
            dialogue.speakers[turn] = 0 if has_one_name else who
            rows = self._part if draw.random() < recipe.part else self._whole
            row = int(draw.choice(rows[str(actors[who]), emotions[who]]))
            name = str(dialogue.speakers[turn])
            cache = self._cache
            dialogue.encoder[turn] = normaliser.push(name, 0, cache.encoder[row])
            dialogue.functionals[turn] = normaliser.push(
                name, 1, cache.functionals[row]
            )
            dialogue.present[turn, 1:] = 1.0
            set_targets(dialogue, turn, self._utterances[cache.clip[row]])
            self._say(dialogue, turn, emotions[who], recipe, draw)
        return dialogue

    def _say(
        self,
        dialogue: Dialogue,
        turn: int,
        emotion: str,
        recipe: ActedRecipe,
        draw: np.random.Generator,
    ) -> None:
        chance = draw.random() - recipe.neutral_words
        if chance >= recipe.agreeing_words:
            return
        choices = self._words["neutral" if chance < 0 else emotion]
        dialogue.text[turn] = choices[draw.integers(len(choices))]
        dialogue.present[turn, TEXT] = 1.0


def measure_scale(corpora: Sequence[Floats]) -> VoiceScale:
    """Give everybody's statistics, each corpus (n, size) weighing the same."""
    mean = np.mean([values.mean(0, dtype=np.float64) for values in corpora], axis=0)
    square = np.mean(
        [((values - mean) ** 2).mean(0, dtype=np.float64) for values in corpora], axis=0
    )
    deviation = np.maximum(np.sqrt(square), 1e-6)
    return VoiceScale(mean.astype(np.float32), deviation.astype(np.float32))
