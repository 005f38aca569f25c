"""Corpora and what was computed of them -> what the dialogue stages learn from."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offline.corpora.form import (
    SPLITS,
    TEST,
    TRAIN,
    VALIDATION,
    Corpus,
    find_shared_dialogues,
    read_corpus,
    tell_problems,
)
from offline.corpora.labels import Label, read_labels
from stream_erc.context import VoiceScale
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS
from stream_erc.functionals import FUNCTIONALS_SIZE
from stream_erc.layers import Shape

from .acted import ActedDialogues, ActedRecipe
from .dialogue_stages import Source
from .dialogues import Dialogue, Floats, Sizes, build_dialogues, measure_scale
from .recipe import ACTED, DIALOGUES, TEXTS, CorpusRecipe, Recipe
from .scoring import Target, make_target
from .voices import PREFIX, VARIED, WHOLE, Voices

Vectors = dict[str, NDArray[np.float32]]
Splits = dict[str, Corpus]

N_HELD_OUT_ACTED = 30  # dialogues of actors who are not trained on
PREFIX_SHARE = 0.2  # of the turns in varied dialogues: as partial emotions hear them


@dataclass(frozen=True, slots=True)
class HeldOut:
    """What one corpus is scored on.

    Attributes:
        dialogues: Of one split.
        target: What is wanted of them.
        is_acted: Whether the dialogues are made up.
    """

    dialogues: Sequence[Dialogue]
    target: Target
    is_acted: bool


@dataclass(frozen=True, slots=True)
class Material:
    """What the dialogue model is trained and chosen on, and scored on in the end.

    Attributes:
        sources: To learn from, by corpus.
        validation: To choose with, by corpus.
        test: To report, by corpus; nothing is chosen on it.
        scales: Everybody's voice statistics, of the encoder and of the functionals.
        sizes: Of the network's inputs.
    """

    sources: dict[str, Source]
    validation: dict[str, HeldOut]
    test: dict[str, HeldOut]
    scales: tuple[VoiceScale, VoiceScale]
    sizes: Sizes


class Gathering:
    """Puts vectors, voices and corpora together.

    Args:
        recipe: Which corpora, and how.
        corpora: By name and split.
        vectors: Of the texts, keys as `vector_key` gives them.
        voices: Numbers of the voices, by name and split.
        taught: What teachers say of the training utterances, by name.
    """

    def __init__(
        self,
        recipe: Recipe,
        corpora: Mapping[str, Splits],
        vectors: Vectors,
        voices: Mapping[tuple[str, str], Voices],
        taught: Mapping[str, Floats] | None = None,
    ) -> None:
        self._recipe = recipe
        self._corpora = corpora
        self._vectors = vectors
        self._voices = voices
        self._taught = taught or {}
        if not vectors:
            raise ConfigError(
                f"[corpora]: expected one of dialogues, got {TEXTS} alone"
            )
        self._sizes = Sizes(
            text=next(v.shape[1] for v in vectors.values()),
            encoder=self._size("encoder", Shape().encoder_size),
            functionals=self._size("functionals", FUNCTIONALS_SIZE),
        )
        self._scales = (
            self._scale("encoder", self._sizes.encoder),
            self._scale("functionals", self._sizes.functionals),
        )
        self._draw = np.random.default_rng(recipe.seed)

    def gather(self) -> Material:
        """Give it all."""
        sources = {}
        for name, recipe in self._recipe.corpora.items():
            if recipe.unseen:
                continue
            if recipe.role == DIALOGUES:
                varied = self._dialogues(name, TRAIN, is_varied=True)
                dialogues = self._dialogues(name, TRAIN) + varied
                sources[name] = Source(recipe, dialogues)
            elif recipe.role == ACTED:
                sources[name] = Source(recipe, self._acted(name, TRAIN))
        return Material(
            sources,
            self.held_out(VALIDATION),
            self.held_out(TEST),
            self._scales,
            self._sizes,
        )

    def held_out(self, split: str) -> dict[str, HeldOut]:
        """Give what the corpora that have this split are scored on."""
        return {
            name: self._held_out(name, split, recipe)
            for name, recipe in self._recipe.corpora.items()
            if recipe.role != TEXTS and split in self._corpora[name]
            # What is not learned from must not steer the learning either.
            if split == TEST or recipe.decides
        }

    def _size(self, family: str, otherwise: int) -> int:
        sizes = {getattr(v, family).shape[1] for v in self._voices.values()} - {0}
        if len(sizes) > 1:
            raise ConfigError(
                f"[corpora]: expected {family} of one size in all of them, got "
                f"{sorted(sizes)}"
            )
        return sizes.pop() if sizes else otherwise

    def _scale(self, family: str, size: int) -> VoiceScale:
        arrays = [
            getattr(voices, family)
            for (name, split), voices in self._voices.items()
            if split == TRAIN and getattr(voices, family).shape[1]
            if not self._recipe.corpora[name].unseen
        ]
        if not arrays:
            return VoiceScale(np.zeros(size, np.float32), np.ones(size, np.float32))
        return measure_scale(arrays)

    def _dialogues(
        self, name: str, split: str, *, is_varied: bool = False
    ) -> list[Dialogue]:
        corpus = self._corpora[name][split]
        voices = self._voices.get((name, split))
        rows = None
        if voices is not None:
            rows = (voices, self._choose_rows(voices, is_varied=is_varied))
        vectors = self._vectors[vector_key(name, split, is_varied=is_varied)]
        taught = self._taught.get(name) if split == TRAIN else None
        return build_dialogues(
            corpus.utterances, vectors, rows, self._scales, self._sizes, taught
        )

    def _choose_rows(self, voices: Voices, *, is_varied: bool) -> dict[int, int]:
        """Give a row for each utterance: the whole turn, or a varied or partial one."""
        rows = {number: some[0] for number, some in voices.rows(WHOLE).items()}
        if is_varied:
            for kind, share in ((VARIED, 1.0), (PREFIX, PREFIX_SHARE)):
                for number, some in voices.rows(kind).items():
                    if self._draw.random() < share:
                        rows[number] = int(self._draw.choice(some))
        return rows

    def _acted(self, name: str, split: str) -> ActedDialogues:
        words = {
            emotion: self._vectors[word_key(split, emotion)] for emotion in EMOTIONS
        }
        voices = self._voices.get((name, split))
        if voices is None or not voices.encoder.shape[1]:
            raise ConfigError(f"[corpora.{name}]: expected recordings, got none")
        acted = ActedDialogues(
            self._corpora[name][split].utterances,
            voices,
            words,
            self._scales,
            self._sizes,
        )
        if len(acted.actors) < 2:
            raise ConfigError(
                f"[corpora.{name}]: expected two speakers with labels in {split}, got "
                f"{len(acted.actors)}"
            )
        return acted

    def _held_out(self, name: str, split: str, recipe: CorpusRecipe) -> HeldOut:
        target = make_target(recipe.labels)
        if recipe.role == DIALOGUES:
            return HeldOut(self._dialogues(name, split), target, is_acted=False)
        # As the product is used: whole turns, words that tell nothing, any order.
        plain = ActedRecipe(
            steady_dialogues=0.0, neutral_words=1.0, agreeing_words=0.0, part=0.0
        )
        draw = np.random.default_rng([self._recipe.seed, SPLITS.index(split)])
        acted = self._acted(name, split)
        dialogues = [acted.draw(plain, draw) for _ in range(N_HELD_OUT_ACTED)]
        return HeldOut(dialogues, target, is_acted=True)


def vector_key(name: str, split: str, *, is_varied: bool = False) -> str:
    """Name the vectors of a corpus's texts, as written or varied."""
    return f"{name}/{split}{'/varied' if is_varied else ''}"


def word_key(split: str, emotion: str) -> str:
    """Name the vectors of the words that acted voices are given."""
    return f"words/{split}/{emotion}"


def choose(corpus: Corpus, recipe: CorpusRecipe, split: str, seed: int) -> list[int]:
    """Give the numbers of the utterances that the recipe wants.

    Of a training corpus a share of the dialogues, drawn by the seed; of each dialogue
    all turns, or those alone that have one of the recipe's labels.
    """
    names = sorted({utterance.dialogue for utterance in corpus.utterances})
    if split == TRAIN and recipe.share < 1.0:
        wanted = max(1, round(recipe.share * len(names)))
        names = random.Random(seed).sample(names, wanted)
    kept, labels = set(names), set(recipe.labels or EMOTIONS)
    is_sentiment = make_target(recipe.labels).is_sentiment
    return [
        number
        for number, u in enumerate(corpus.utterances)
        if u.dialogue in kept
        and (
            not recipe.labelled_only
            or (u.sentiment if is_sentiment else u.emotion) in labels
        )
    ]


def only(corpus: Corpus, numbers: Sequence[int]) -> Corpus:
    """Give the corpus of these utterances alone."""
    chosen = [corpus.utterances[number] for number in numbers]
    return Corpus(corpus.file, chosen, corpus.problems)


def require_validation(recipe: Recipe, corpora: Mapping[str, Splits]) -> None:
    """Refuse corpora with which nothing can be chosen.

    Raises:
        ConfigError: If no corpus that decides has a validation split.
    """
    named = recipe.corpora.items()
    deciding = [name for name, c in named if c.role != TEXTS and c.decides]
    if deciding and not any(VALIDATION in corpora[name] for name in deciding):
        raise ConfigError(
            f"[corpora]: expected {VALIDATION}.jsonl of at least one of "
            f"{', '.join(deciding)}, got none: nothing could be chosen"
        )


def require_labels(recipe: Recipe, corpora: Mapping[str, Splits]) -> None:
    """Refuse corpora from which nothing can be learned.

    Raises:
        ConfigError: If no training utterance has an emotion or a sentiment.
    """
    named = recipe.corpora.items()
    teaching = [corpora[name][TRAIN] for name, c in named if not c.unseen]
    if not any(u.emotion or u.sentiment for c in teaching for u in c.utterances):
        files = ", ".join(str(corpus.file) for corpus in teaching)
        raise ConfigError(
            f"[corpora]: expected emotions or sentiments in {files}, got none: nothing "
            "could be learned"
        )


def find_folder(corpora: Path, name: str) -> Path:
    """Give a corpus's folder.

    Raises:
        ConfigError: If there is none.
    """
    folder = corpora / name
    if not (folder / f"{TRAIN}.jsonl").is_file():
        raise ConfigError(
            f"--corpora: expected {folder / TRAIN}.jsonl, got none; "
            "`python -m offline read` writes it of a published corpus; docs/retrain.md "
            "tells how to of your own"
        )
    return folder


def read_splits(folder: Path, *, strict: bool) -> Splits:
    """Read a corpus's files, and name what is wrong with them.

    Raises:
        ConfigError: If one cannot be read; at the first problem if `strict`.
    """
    corpora: dict[str, Corpus] = {
        split: read_corpus(folder / f"{split}.jsonl", strict=strict)
        for split in SPLITS
        if (folder / f"{split}.jsonl").is_file()
    }
    problems = find_shared_dialogues(corpora)
    if problems and strict:
        raise ConfigError(str(problems[0]))
    for corpus in corpora.values():
        problems += corpus.problems
    tell_problems(problems)
    return corpora


def read_all_labels(files: list[Path], *, strict: bool) -> list[Label]:
    """Read label files, and name what is wrong with them."""
    labels: list[Label] = []
    for file in files:
        found = read_labels(file, strict=strict)
        tell_problems(found.problems)
        labels += found.labels
    return labels
