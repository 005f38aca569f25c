"""Dialogues -> a trained DialogueModel: Stages I (voice), II and III in turn.

Each stage is trained with the ones before it frozen, as in Dutta and Ganapathy (2025);
`joint` trains them together instead.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from stream_erc.model import DialogueModel, Scores, Turns, presence

from .acted import ActedDialogues
from .batches import collate, collate_targets, collate_taught, hide
from .dialogues import ENCODER, FUNCTIONALS, TEXT, Dialogue
from .loop import Lesson, Loop
from .recipe import CorpusRecipe, Course, DialogueRecipe
from .scoring import N_EMOTIONS, NO_TARGET

FOCAL_EXPONENT = 2.0  # Lin et al. (2017)
TAUGHT = ("text_context", "fused")  # scores that teachers teach


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the network.

    Attributes:
        name: Of the stage.
        parts: Of the network, that learn.
        scores: Fields of `Scores` that it learns from; the last is its answer.
        needs_voice: Whether dialogues without a voice teach it nothing.
    """

    name: str
    parts: tuple[str, ...]
    scores: tuple[str, ...]
    needs_voice: bool = False


VOICE = Stage("voice", ("voice",), ("voice",), needs_voice=True)
CONTEXT = Stage(
    "context", ("text_context", "voice_context"), ("voice_context", "text_context")
)
FUSION = Stage("fusion", ("fusion",), ("fused",))
TOGETHER = Stage(
    "together",
    ("voice", "text_context", "voice_context", "fusion"),
    ("voice", "voice_context", "text_context", "fused"),
)


@dataclass(frozen=True, slots=True)
class Source:
    """What one corpus gives to learn from: dialogues, or clips to make some of."""

    recipe: CorpusRecipe
    dialogues: Sequence[Dialogue] | ActedDialogues

    @property
    def has_voice(self) -> bool:
        """Whether any turn has one."""
        if isinstance(self.dialogues, ActedDialogues):
            return True
        return any(each.present[:, 1:].any() for each in self.dialogues)

    def draw(self, recipe: DialogueRecipe, draw: np.random.Generator) -> list[Dialogue]:
        """Give a batch; long dialogues are cut to a span."""
        if isinstance(self.dialogues, ActedDialogues):
            return [
                self.dialogues.draw(recipe.acted, draw)
                for _ in range(self.recipe.batch)
            ]
        batch = []
        for index in draw.integers(len(self.dialogues), size=self.recipe.batch):
            dialogue, span = self.dialogues[index], self.recipe.span
            start = int(draw.integers(max(1, len(dialogue) - span + 1)))
            batch.append(dialogue.part(start, start + span))
        return batch


class DialogueTraining:
    """Trains one network, stage after stage.

    Args:
        model: Trained in place.
        recipe: How.
        sources: What to learn from, by corpus.
        validate: Gives a stage's figures by name.
        folder: Of checkpoints and logs.
        seed: Of everything drawn.
    """

    def __init__(
        self,
        model: DialogueModel,
        recipe: DialogueRecipe,
        sources: Mapping[str, Source],
        validate: Callable[[Stage], dict[str, float]],
        folder: Path,
        seed: int,
    ) -> None:
        self._model = model
        self._recipe = recipe
        self._sources = sources
        self._validate = validate
        self._folder = folder
        self._seed = seed
        self._weights = class_weights(sources, recipe.class_weights)

    def run(self, stage: Stage, course: Course) -> float:
        """Train one stage; leave its best state in the model; give its figure."""
        sources = [
            source
            for source in self._sources.values()
            if source.has_voice or not stage.needs_voice
        ]
        if not sources or not course.steps:
            return 0.0
        loop = Loop(
            Lesson(
                name=stage.name,
                model=self._model,
                learning=[getattr(self._model, part) for part in stage.parts],
                loss=lambda _, draw: self._loss(stage, sources, draw),
                validate=lambda: self._validate(stage),
                steps=course.steps,
                validate_steps=course.validate_steps,
                learning_rate=course.learning_rate,
                weight_decay=self._recipe.weight_decay,
                patience=course.patience,
                average=course.average,
            ),
            self._folder,
            self._seed,
        )
        return loop.run()

    def _loss(
        self, stage: Stage, sources: Sequence[Source], draw: np.random.Generator
    ) -> Tensor:
        total = torch.zeros((), device=device_of(self._model))
        for source in sources:
            batch = [
                hide(each, self._recipe, draw)
                for each in source.draw(self._recipe, draw)
            ]
            turns = collate(
                batch, device=device_of(self._model), speakers=self._recipe.speakers
            )
            scores = score(self._model, stage, turns)
            total = total + self._batch_loss(stage, scores, batch, turns)
        return total / len(sources)

    def _batch_loss(
        self, stage: Stage, scores: Scores, batch: Sequence[Dialogue], turns: Turns
    ) -> Tensor:
        has_text, has_voice = (presence(turns.present) > 0).unbind(-1)
        # The words of acted speech were drawn by us; they teach nothing by themselves.
        device = has_text.device
        is_acted = torch.tensor([[each.is_acted] for each in batch], device=device)
        used = {
            "voice": has_voice,
            "voice_context": has_voice,
            "text_context": has_text & ~is_acted,
            "fused": has_text | has_voice,
        }
        emotions = collate_targets(batch, "emotions", device)
        sentiments = collate_targets(batch, "sentiments", device)
        wanted = collate_taught(batch, device)
        total = torch.zeros((), device=device)
        for name in stage.scores:
            given = getattr(scores, name)
            labelled = self._cross_entropy(
                given[..., :N_EMOTIONS],
                emotions.masked_fill(~used[name], NO_TARGET),
                self._weights,
            )
            labelled = labelled + self._recipe.sentiment_weight * self._cross_entropy(
                given[..., N_EMOTIONS:],
                sentiments.masked_fill(~used[name], NO_TARGET),
                None,
            )
            # Teachers have read the words; nobody can follow who has not.
            is_taught = (wanted.sum(-1) > 0) & used[name] & has_text
            if name in TAUGHT and bool(is_taught.any()):
                share = self._recipe.teacher_weight * is_taught.sum() / used[name].sum()
                taught = self._taught_loss(given[is_taught], wanted[is_taught])
                labelled = (1.0 - share) * labelled + share * taught
            total = total + labelled
        return total

    def _taught_loss(self, scores: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy with what teachers say, both of shape (n, 10)."""
        emotions, sentiments = (
            nn.functional.cross_entropy(scores[:, part], wanted[:, part])
            for part in (slice(N_EMOTIONS), slice(N_EMOTIONS, None))
        )
        return emotions + self._recipe.sentiment_weight * sentiments

    def _cross_entropy(
        self, scores: Tensor, targets: Tensor, weights: Tensor | None
    ) -> Tensor:
        is_known = targets != NO_TARGET
        if not bool(is_known.any()):
            return scores.sum() * 0.0
        scores, targets = scores[is_known], targets[is_known]
        losses = nn.functional.cross_entropy(scores, targets, reduction="none")
        shares = (
            torch.ones_like(losses)
            if weights is None
            else weights.to(targets.device)[targets]
        )
        if self._recipe.loss == "focal":
            losses = losses * (1.0 - torch.exp(-losses)) ** FOCAL_EXPONENT
        total: Tensor = (losses * shares).sum() / shares.sum()
        return total


def score(model: DialogueModel, stage: Stage, turns: Turns) -> Scores:
    """Run as much of the network as the stage needs."""
    if stage is not VOICE:
        scores: Scores = model(turns)
        return scores
    voice = model.voice.head(
        model.voice(turns.encoder, turns.functionals, turns.present)
    )
    return Scores(voice, voice, voice, voice)


def device_of(model: nn.Module) -> torch.device:
    """Give where a network lies."""
    return next(model.parameters()).device


def class_weights(sources: Mapping[str, Source], exponent: float) -> Tensor:
    """Give each emotion's weight, shape (7,): its share to the minus `exponent`.

    The mean weight of a turn is 1.
    """
    counts = np.ones(N_EMOTIONS)
    for source in sources.values():
        if not isinstance(source.dialogues, ActedDialogues):
            for each in source.dialogues:
                known = each.emotions[each.emotions != NO_TARGET]
                counts += np.bincount(known, minlength=N_EMOTIONS)
    shares = counts / counts.sum()
    weights = shares**-exponent
    return torch.tensor(weights / (weights * shares).sum(), dtype=torch.float32)


@torch.no_grad()
def predict(
    model: DialogueModel,
    dialogues: Sequence[Dialogue],
    scores: str = "fused",
    columns: Sequence[int] = (TEXT, ENCODER, FUNCTIONALS),
    targets: str = "emotions",
    speakers: bool = True,
) -> tuple[Tensor, Tensor]:
    """Score the turns that have a target.

    Args:
        model: The network.
        dialogues: Scored one batch of 16 after another.
        scores: Field of `Scores`.
        columns: Of `Dialogue.present` that may be used; the others are hidden.
        targets: `emotions` or `sentiments`.
        speakers: Whether it is told whose turns are whose.

    Returns:
        Scores (n, 10) and classes wanted (n,), of turns that have all that the columns
        ask for: text, or a voice of any family, or both.
    """
    found, wanted = [torch.zeros(0, 10)], [torch.zeros(0, dtype=torch.int64)]
    for start in range(0, len(dialogues), 16):
        batch = []
        for dialogue in dialogues[start : start + 16]:
            present = np.zeros_like(dialogue.present)
            present[:, columns] = dialogue.present[:, columns]
            batch.append(replace(dialogue, present=present))
        turns = collate(batch, device=device_of(model), speakers=speakers)
        classes = collate_targets(batch, targets, device_of(model))
        heard = presence(turns.present) > 0
        is_used = classes != NO_TARGET
        if TEXT in columns:
            is_used &= heard[..., 0]
        if ENCODER in columns or FUNCTIONALS in columns:
            is_used &= heard[..., 1]
        found.append(getattr(model(turns), scores)[is_used].cpu())
        wanted.append(classes[is_used].cpu())
    return torch.cat(found), torch.cat(wanted)
