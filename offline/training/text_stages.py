"""Texts with labels -> a trained TextModel: Stage 0, then Stage I.

Stage 0 learns from what a language model said, and from corpora of single texts; Stage
I from what people said about the dialogues, with some of Stage 0 again.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import PartialState
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn

from offline.corpora.names import SENTIMENT_OF
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .loop import Lesson
from .recipe import Course, TextRecipe
from .scoring import NO_TARGET, Target
from .text_augment import augment_text
from .text_model import TextModel, embed_texts, pad_tokens

BUCKET_BATCHES = 50  # batches whose texts are sorted by length together


@dataclass(frozen=True, slots=True)
class Example:
    """One text and what it conveys.

    Attributes:
        text: The words.
        emotion: Number of the class, or `NO_TARGET`.
        sentiment: Likewise.
    """

    text: str
    emotion: int
    sentiment: int


def make_example(text: str, emotion: str | None, sentiment: str | None) -> Example:
    """Number the labels; most emotions imply a sentiment."""
    sentiment = sentiment or SENTIMENT_OF.get(emotion or "")
    return Example(
        text,
        NO_TARGET if emotion is None else EMOTIONS.index(emotion),
        NO_TARGET if sentiment is None else SENTIMENTS.index(sentiment),
    )


def is_labelled(example: Example) -> bool:
    """Whether there is anything to learn from it."""
    return example.emotion != NO_TARGET or example.sentiment != NO_TARGET


class Pages:
    """Deals examples out in batches, epoch after epoch, each in an order of its own.

    Args:
        always: In every epoch.
        sometimes: Drawn anew for each epoch, `n_sometimes` of them.
        n_sometimes: At most.
        batch: Examples in a step.
        seed: Of the order.
    """

    def __init__(
        self,
        always: Sequence[Example],
        sometimes: Sequence[Example],
        n_sometimes: int,
        batch: int,
        seed: int,
    ) -> None:
        self._always = list(always)
        self._sometimes = list(sometimes)
        self._n_sometimes = min(n_sometimes, len(self._sometimes))
        self._batch = batch
        # Several processes go through the same texts in different orders.
        self._seed = f"{seed} {PartialState().process_index}"
        self._epoch = -1
        self._batches: list[list[Example]] = []
        n_examples = len(self._always) + self._n_sometimes
        self.n_steps = -(-n_examples // batch)  # of an epoch

    def batch(self, step: int) -> list[Example]:
        """Give the examples of a step."""
        epoch, number = divmod(step, self.n_steps)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._deal(epoch)
        return self._batches[number]

    def _deal(self, epoch: int) -> list[list[Example]]:
        """Shuffle, with texts of like length in one batch."""
        draw = random.Random(f"{self._seed} {epoch}")
        chosen = self._always + draw.sample(self._sometimes, self._n_sometimes)
        draw.shuffle(chosen)
        batches = []
        bucket = self._batch * BUCKET_BATCHES
        for start in range(0, len(chosen), bucket):
            alike = sorted(chosen[start : start + bucket], key=lambda e: len(e.text))
            batches += [
                alike[i : i + self._batch] for i in range(0, len(alike), self._batch)
            ]
        draw.shuffle(batches)
        return batches


def text_loss(
    model: TextModel,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    recipe: TextRecipe,
    draw: np.random.Generator,
) -> Tensor:
    """Give the loss of a batch: emotions, and sentiments with their weight."""
    device = next(model.parameters()).device
    stream = random.Random(int(draw.integers(2**32)))
    texts = [augment_text(e.text, recipe.augment, stream) for e in examples]
    ids, mask = pad_tokens([e.ids for e in tokenizer.encode_batch(texts)])
    is_short = recipe.precision == "bfloat16"
    with torch.autocast(device.type, torch.bfloat16, enabled=is_short):
        scores = model(ids.to(device), mask.to(device))
    emotion_scores, sentiment_scores = (each.float() for each in scores)
    emotions = torch.tensor([e.emotion for e in examples], device=device)
    sentiments = torch.tensor([e.sentiment for e in examples], device=device)
    return known_cross_entropy(emotion_scores, emotions) + (
        recipe.sentiment_weight * known_cross_entropy(sentiment_scores, sentiments)
    )


def known_cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the rows with a target; 0 if there are none."""
    is_known = targets != NO_TARGET
    if not bool(is_known.any()):
        return scores.sum() * 0.0
    return nn.functional.cross_entropy(scores[is_known], targets[is_known])


def text_lesson(
    name: str,
    model: TextModel,
    tokenizer: Tokenizer,
    pages: Pages,
    recipe: TextRecipe,
    course: Course,
    held_out: Mapping[str, tuple[Sequence[Example], Target]],
) -> Lesson:
    """Give one stage's lesson.

    Args:
        name: Of the stage.
        model: Trained in place.
        tokenizer: The encoder's.
        pages: What to learn from.
        recipe: How.
        course: How long and how fast.
        held_out: By name the examples to validate on, and what is wanted of them.
    """
    return Lesson(
        name=name,
        model=model,
        learning=model.learning(recipe.frozen_layers),
        loss=lambda step, draw: text_loss(
            model, tokenizer, pages.batch(step), recipe, draw
        ),
        validate=lambda: {
            corpus: target.weighted_f1(*score_texts(model, tokenizer, examples, target))
            for corpus, (examples, target) in held_out.items()
        },
        steps=course.epochs * pages.n_steps,
        validate_steps=pages.n_steps,
        learning_rate=course.learning_rate,
        weight_decay=recipe.weight_decay,
        patience=course.patience,
        average=course.average,
    )


@torch.no_grad()
def score_texts(
    model: TextModel,
    tokenizer: Tokenizer,
    examples: Sequence[Example],
    target: Target,
) -> tuple[NDArray[np.float32], NDArray[np.intp]]:
    """Give Stage I's scores (n, 10) and classes wanted (n,)."""
    vectors = embed_texts(model, tokenizer, [example.text for example in examples])
    device = next(model.parameters()).device
    emotions, sentiments = model.heads(torch.from_numpy(vectors).to(device))
    scores = torch.cat([emotions, sentiments], -1).cpu().numpy()
    wanted = [e.sentiment if target.is_sentiment else e.emotion for e in examples]
    return scores, np.array(wanted, np.intp)
