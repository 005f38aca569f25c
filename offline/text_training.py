"""Texts with labels -> a trained TextModel: Stage 0, then Stage I.

Stage 0 learns from what a language model said and from GoEmotions; Stage I from what
people said about MELD and IEMOCAP, with some of Stage 0 again.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from stream_erc.flow import EMOTIONS, SENTIMENTS

from .corpora import (
    TRAIN,
    VALIDATION,
    Utterance,
    of_split,
    read_goemotions,
    read_iemocap,
    read_meld,
    read_pseudo_labels,
)
from .recipe import TextRecipe
from .scores import unweighted_recall, weighted_f1
from .text_augment import augment_text
from .text_model import TextModel, load_text_model, load_tokenizer, pad_tokens

log = logging.getLogger(__name__)

CHECKPOINT_STEPS = 100
BUCKET_BATCHES = 50  # batches whose texts are sorted by length together
WARM_UP = 0.06  # share of the steps before the full learning rate


@dataclass(frozen=True, slots=True)
class Round:
    """One pass over some texts.

    Attributes:
        name: For the log.
        texts: What to learn from.
        stage: 0 or 1; each stage has its own course of the learning rate.
    """

    name: str
    texts: list[Utterance]
    stage: int


def targets(utterances: Sequence[Utterance]) -> tuple[Tensor, Tensor]:
    """Give soft targets, shapes (B, 7) and (B, 3); a row of zeros teaches nothing."""
    emotions = torch.zeros(len(utterances), len(EMOTIONS))
    sentiments = torch.zeros(len(utterances), len(SENTIMENTS))
    for row, utterance in enumerate(utterances):
        for name in utterance.emotions:
            emotions[row, EMOTIONS.index(name)] = 1.0 / len(utterance.emotions)
        if utterance.sentiment is not None:
            sentiments[row, SENTIMENTS.index(utterance.sentiment)] = 1.0
    return emotions, sentiments


def soft_cross_entropy(scores: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy with soft targets, the mean over the rows that have one."""
    losses = -(wanted * scores.log_softmax(-1)).sum(-1)
    total: Tensor = losses.sum() / wanted.sum().clamp(min=1.0)
    return total


def plan_rounds(data: Path, recipe: TextRecipe, seed: int) -> list[Round]:
    """Lay out the passes of both stages."""
    draw = random.Random(seed)
    pseudo = of_split(read_pseudo_labels(data / "pseudo_labels"), TRAIN)
    comments = of_split(read_goemotions(data / "goemotions"), TRAIN)
    comments = draw.sample(comments, min(recipe.goemotions, len(comments)))
    people = of_split(read_meld(data / "meld"), TRAIN) + [
        utterance
        for utterance in of_split(read_iemocap(data / "iemocap"), TRAIN)
        if utterance.emotions
    ]
    rounds = []
    for epoch in range(recipe.pretrain_epochs):
        rounds.append(Round(f"pre-training {epoch}", pseudo + comments, 0))
    for epoch in range(recipe.tune_epochs):
        again = draw.sample(pseudo + comments, recipe.replay)
        rounds.append(Round(f"tuning {epoch}", people + again, 1))
    return rounds


def make_batches(
    texts: list[Utterance], batch: int, draw: random.Random
) -> list[list[Utterance]]:
    """Shuffle, with texts of like length in one batch."""
    shuffled = draw.sample(texts, len(texts))
    batches = []
    bucket = batch * BUCKET_BATCHES
    for start in range(0, len(shuffled), bucket):
        alike = sorted(shuffled[start : start + bucket], key=lambda u: len(u.text))
        batches += [alike[i : i + batch] for i in range(0, len(alike), batch)]
    draw.shuffle(batches)
    return batches


def course(step: int, n_steps: int) -> float:
    """Share of the learning rate: up in a line, then down to zero in a line."""
    warm = max(1, int(n_steps * WARM_UP))
    return min((step + 1) / warm, max(0.0, (n_steps - step) / (n_steps - warm)))


class TextTraining:
    """A run that goes on where it was cut off.

    Args:
        folder: Where `text.pt`, the checkpoint, lies or will lie.
    """

    def __init__(self, folder: Path, recipe: TextRecipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        self._checkpoint = folder / "text_checkpoint.pt"
        self._result = folder / "text.pt"
        encoder = Path(recipe.encoder)
        torch.manual_seed(seed)
        self._tokenizer = load_tokenizer(encoder)
        self._model = load_text_model(encoder)
        self._optimizer = torch.optim.AdamW(
            [p for p in self._model.parameters() if p.requires_grad],
            lr=recipe.learning_rate,
            weight_decay=recipe.weight_decay,
        )
        self._done = (0, 0)  # rounds, and batches of the round after them
        self._best = -1.0  # validation score of the saved result
        if self._checkpoint.exists():
            self._resume()

    def run(self, data: Path) -> None:
        """Train to the end; the best tuning round by validation is `text.pt`."""
        rounds = plan_rounds(data, self._recipe, self._seed)
        sizes = [len(r.texts) // self._recipe.batch + 1 for r in rounds]
        for index, each in enumerate(rounds):
            if index < self._done[0]:
                continue
            same = [i for i, other in enumerate(rounds) if other.stage == each.stage]
            before = sum(sizes[i] for i in same if i < index)
            self._run_round(index, each, before, sum(sizes[i] for i in same))
            score = validate(self._model, self._tokenizer, data)
            if each.stage == 1 and score > self._best:
                self._best = score
                torch.save(self._model.state_dict(), self._result)
            self._save(index + 1, 0)

    def _run_round(self, index: int, each: Round, before: int, n_steps: int) -> None:
        recipe = self._recipe
        seed = self._seed * 1000 + index
        draw = random.Random(seed)
        batches = make_batches(each.texts, recipe.batch, draw)
        top = recipe.learning_rate if each.stage == 0 else recipe.tune_learning_rate
        average = 0.0
        for number, batch in enumerate(batches):
            if number < (self._done[1] if index == self._done[0] else 0):
                continue
            for group in self._optimizer.param_groups:
                group["lr"] = top * course(before + number, n_steps)
            # Its own stream for each batch: a run that goes on draws the same.
            loss = self._step(batch, random.Random(f"{seed} {number}"))
            average = loss if number == 0 else 0.98 * average + 0.02 * loss
            if (number + 1) % CHECKPOINT_STEPS == 0:
                log.info("%s: %d/%d %.3f", each.name, number, len(batches), average)
                self._save(index, number + 1)

    def _step(self, batch: list[Utterance], draw: random.Random) -> float:
        self._model.train()
        texts = [augment_text(u.text, self._recipe.augment, draw) for u in batch]
        ids, mask = pad_tokens([self._tokenizer.encode(text).ids for text in texts])
        emotion_scores, sentiment_scores = self._model(ids, mask)
        emotions, sentiments = targets(batch)
        loss = soft_cross_entropy(emotion_scores, emotions)
        weight = self._recipe.sentiment_weight
        loss = loss + weight * soft_cross_entropy(sentiment_scores, sentiments)
        self._optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()
        return loss.item()

    def _save(self, n_rounds: int, n_batches: int) -> None:
        self._done = (n_rounds, n_batches)
        state = {
            "done": self._done,
            "best": self._best,
            "model": self._model.state_dict(),
            "optimizer": self._optimizer.state_dict(),
        }
        fresh = self._checkpoint.with_suffix(".part")
        torch.save(state, fresh)
        fresh.replace(self._checkpoint)

    def _resume(self) -> None:
        state = torch.load(self._checkpoint, weights_only=True)
        self._done = (int(state["done"][0]), int(state["done"][1]))
        self._best = float(state["best"])
        self._model.load_state_dict(state["model"])
        self._optimizer.load_state_dict(state["optimizer"])
        log.info("text: going on after round %d, batch %d", *self._done)


@torch.no_grad()
def predict(
    model: TextModel, tokenizer: Tokenizer, utterances: list[Utterance]
) -> list[int]:
    """Give each text's most probable emotion."""
    model.eval()
    labels: list[int] = []
    for start in range(0, len(utterances), 64):
        part = utterances[start : start + 64]
        ids, mask = pad_tokens([tokenizer.encode(u.text).ids for u in part])
        labels += model(ids, mask)[0].argmax(-1).tolist()
    return labels


def validate(model: TextModel, tokenizer: Tokenizer, data: Path) -> float:
    """Log the validation scores; give the mean weighted F1 of MELD and IEMOCAP."""
    scores = []
    for name, corpus in (
        ("meld", read_meld(data / "meld")),
        ("iemocap", read_iemocap(data / "iemocap")),
        ("pseudo", read_pseudo_labels(data / "pseudo_labels")),
    ):
        known = [u for u in of_split(corpus, VALIDATION) if u.emotion is not None]
        wanted = np.array([EMOTIONS.index(str(u.emotion)) for u in known])
        got = np.array(predict(model, tokenizer, known))
        scores.append(weighted_f1(wanted, got))
        log.info(
            "validation %s: weighted F1 %.3f, UAR %.3f",
            name,
            scores[-1],
            unweighted_recall(wanted, got),
        )
    return (scores[0] + scores[1]) / 2.0
