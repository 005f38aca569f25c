"""Corpora and labels -> the words' part of a run folder: Stages 0 and I, vectors."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from tokenizers import Tokenizer

from offline.corpora.form import TEST, TRAIN, VALIDATION
from offline.corpora.labels import Label
from offline.progress import Progress
from stream_erc.flow import EMOTIONS

from .loop import Loop
from .material import Splits, vector_key, word_key
from .recipe import ACTED, DIALOGUES, TEXTS, Recipe
from .run import RunFolder
from .scoring import Target, make_target
from .text_augment import augment_text
from .text_model import TextModel, embed_texts, load_text_model, load_tokenizer
from .text_stages import (
    Example,
    Pages,
    is_labelled,
    make_example,
    score_texts,
    text_lesson,
)

WORDS_PER_EMOTION = 400  # texts that acted voices may be given
LONGEST_WORDS = 14  # words in each; an acted sentence has six
HELD_OUT_LABELS = 20  # every so-manieth of the language model's labels validates

HeldOut = dict[str, tuple[list[Example], Target]]


class TextTraining:
    """Trains the words' encoder and computes the vectors of all texts.

    Args:
        recipe: How.
        corpora: By name and split.
        labels: What a language model said of transcripts.
        run: Where the results go.
    """

    def __init__(
        self,
        recipe: Recipe,
        corpora: dict[str, Splits],
        labels: Sequence[Label],
        run: RunFolder,
    ) -> None:
        self._recipe = recipe
        self._corpora = corpora
        self._labels = [make_example(x.text, x.emotion, x.sentiment) for x in labels]
        self._run = run

    def pretrain(self) -> None:
        """Stage 0: what a language model said of transcripts."""
        recipe, seed = self._recipe.text, self._recipe.seed
        torch.manual_seed(seed)
        model = load_text_model(recipe.encoder)
        learn = self._pretraining_labels()
        if learn:
            held_out = self._labels[::HELD_OUT_LABELS]
            shown = {"labels": (held_out, make_target([]))} if held_out else {}
            pages = Pages(learn, [], 0, recipe.batch, seed)
            self._learn("stage0", model, pages, shown)
        self._run.save("stage0.pt", model.cpu())

    def tune(self) -> None:
        """Stage I: what people said about the dialogues, and other texts again."""
        recipe = self._recipe.text
        model = load_text_model(recipe.encoder)
        self._run.load("stage0.pt", model)
        learn = [
            example for name in self._seen() for example in self._examples(name, TRAIN)
        ]
        again = self._pretraining_labels() + self._other_texts()
        pages = Pages(learn, again, recipe.replay, recipe.batch, self._recipe.seed)
        held_out = {split: self._held_out(split) for split in (VALIDATION, TEST)}
        self._learn("text", model, pages, held_out[VALIDATION])
        tokenizer = self.tokenizer()
        figures = {
            split: {
                name: target.weighted_f1(
                    *score_texts(model, tokenizer, examples, target)
                )
                for name, (examples, target) in some.items()
            }
            for split, some in held_out.items()
        }
        self._run.note("text", figures)
        self._run.save("text.pt", model.cpu())

    def embed(self) -> None:
        """Write the vectors of every text as written, of training texts varied too."""
        tokenizer = self.tokenizer()
        model = self.load().to(PartialState().device)
        draw = random.Random(self._recipe.seed)
        texts_of: dict[str, list[str]] = {}
        for name, splits in self._corpora.items():
            if self._recipe.corpora[name].role != DIALOGUES:
                continue
            for split, corpus in splits.items():
                texts = [u.text or "" for u in corpus.utterances]
                texts_of[vector_key(name, split)] = texts
                if split == TRAIN:
                    augment = self._recipe.text.augment
                    key = vector_key(name, split, is_varied=True)
                    texts_of[key] = [augment_text(t, augment, draw) for t in texts]
        if self._recipe.of_role(ACTED):
            for split in (TRAIN, VALIDATION, TEST):
                words = self._choose_words(split, draw)
                texts_of |= {word_key(split, name): words[name] for name in EMOTIONS}
        total = sum(map(len, texts_of.values()))
        with Progress("vectors", total, "texts") as progress:
            arrays: dict[str, Any] = {
                key: embed_texts(model, tokenizer, texts, progress=progress)
                for key, texts in texts_of.items()
            }
        np.savez(self._run.file("vectors.npz"), allow_pickle=False, **arrays)

    def validation_texts(self) -> dict[str, list[str]]:
        """Give the texts of each corpus of dialogues, keyed as their vectors are."""
        return {
            vector_key(name, VALIDATION): [
                u.text or "" for u in self._corpora[name][VALIDATION].utterances
            ]
            for name in self._recipe.of_role(DIALOGUES)
            if VALIDATION in self._corpora[name]
        }

    def load(self) -> TextModel:
        """Give the trained model."""
        model = load_text_model(self._recipe.text.encoder)
        self._run.load("text.pt", model)
        return model.eval()

    def tokenizer(self) -> Tokenizer:
        """Give the encoder's tokenizer."""
        return load_tokenizer(self._recipe.text.encoder)

    def _learn(
        self, name: str, model: TextModel, pages: Pages, held_out: HeldOut
    ) -> None:
        recipe = self._recipe.text
        course = recipe.pretrain if name == "stage0" else recipe.tune
        tokenizer = self.tokenizer()
        lesson = text_lesson(name, model, tokenizer, pages, recipe, course, held_out)
        Loop(lesson, self._run.folder, self._recipe.seed).run()

    def _pretraining_labels(self) -> list[Example]:
        learn = [x for i, x in enumerate(self._labels) if i % HELD_OUT_LABELS]
        n_labels = self._recipe.text.n_labels
        if 0 <= n_labels < len(learn):
            learn = random.Random(self._recipe.seed).sample(learn, n_labels)
        return learn

    def _other_texts(self) -> list[Example]:
        draw = random.Random(self._recipe.seed)
        learn: list[Example] = []
        for name, corpus in self._recipe.of_role(TEXTS).items():
            if corpus.unseen:
                continue
            texts = self._examples(name, TRAIN)
            if 0 < corpus.n_texts < len(texts):
                texts = draw.sample(texts, corpus.n_texts)
            learn += texts
        return learn

    def _examples(self, name: str, split: str) -> list[Example]:
        examples = [
            make_example(u.text, u.emotion, u.sentiment)
            for u in self._corpora[name][split].utterances
            if u.text
        ]
        return [example for example in examples if is_labelled(example)]

    def _held_out(self, split: str) -> HeldOut:
        return {
            name: (self._examples(name, split), make_target(corpus.labels))
            for name, corpus in self._recipe.of_role(DIALOGUES).items()
            if split in self._corpora[name] and (split == TEST or corpus.decides)
        }

    def _seen(self) -> list[str]:
        """Name the corpora of dialogues that the words are learned from."""
        corpora = self._recipe.of_role(DIALOGUES)
        return [name for name, corpus in corpora.items() if corpus.decides]

    def _choose_words(self, split: str, draw: random.Random) -> dict[str, list[str]]:
        """Draw short texts of each emotion, for acted voices to be paired with."""
        known = self._labels[::HELD_OUT_LABELS]
        if split == TRAIN:
            known = [x for i, x in enumerate(self._labels) if i % HELD_OUT_LABELS]
        for name in self._seen():
            known = known + self._examples(name, split)
        chosen = {}
        for number, emotion in enumerate(EMOTIONS):
            texts = [
                x.text
                for x in known
                if x.emotion == number and 2 <= len(x.text.split()) <= LONGEST_WORDS
            ]
            chosen[emotion] = draw.sample(texts, min(WORDS_PER_EMOTION, len(texts)))
        return chosen
