"""Dialogues -> a trained DialogueModel: Stages I (voice), II and III in turn.

Each stage is trained with the ones before it frozen, as in Dutta and Ganapathy (2025);
`joint` trains them together instead.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from stream_erc.flow import EMOTIONS
from stream_erc.model import DialogueModel, Scores, Turns, presence

from .corpora import FOUR_WAY
from .dataset import NO_TARGET, ActedDialogues, Dialogue
from .recipe import DialogueRecipe
from .scores import unweighted_recall, weighted_f1

log = logging.getLogger(__name__)

N_EMOTIONS = len(EMOTIONS)
STAGES = (
    ("voice", ("voice",), ("voice",)),
    ("context", ("text_context", "voice_context"), ("text_context", "voice_context")),
    ("fusion", ("fusion",), ("fused",)),
)
"""Name, the network's parts that learn, and the scores they learn from."""

JOINT = (
    (
        "joint",
        ("voice", "text_context", "voice_context", "fusion"),
        ("voice", "text_context", "voice_context", "fused"),
    ),
)


def collate(dialogues: Sequence[Dialogue]) -> Turns:
    """Stack dialogues, the short ones padded with absent turns at their end."""
    longest = max(len(dialogue) for dialogue in dialogues)

    def stack(name: str) -> Tensor:
        arrays = [getattr(dialogue, name) for dialogue in dialogues]
        padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in enumerate(arrays):
            padded[row, : len(array)] = array
        return torch.from_numpy(padded)

    speakers = stack("speakers")
    return Turns(
        text=stack("text"),
        encoder=stack("encoder"),
        functionals=stack("functionals"),
        present=stack("present"),
        same_speaker=(speakers[:, :, None] == speakers[:, None, :]).float(),
    )


def collate_targets(dialogues: Sequence[Dialogue], name: str) -> Tensor:
    """Give `emotions` or `sentiments`, shape (B, T), `NO_TARGET` where padded."""
    longest = max(len(dialogue) for dialogue in dialogues)
    targets = torch.full((len(dialogues), longest), NO_TARGET, dtype=torch.int64)
    for row, dialogue in enumerate(dialogues):
        targets[row, : len(dialogue)] = torch.from_numpy(getattr(dialogue, name))
    return targets


def hide(
    dialogue: Dialogue, recipe: DialogueRecipe, draw: np.random.Generator
) -> Dialogue:
    """Drop modalities and families at random, so that each works without the others."""
    present = dialogue.present.copy()
    has_both = bool(present[:, 0].any() and present[:, 1:].any())
    if has_both:
        chance = draw.random()
        if chance < recipe.drop_text:
            present[:, 0] = 0.0
        elif chance < recipe.drop_text + recipe.drop_voice and not dialogue.is_acted:
            present[:, 1:] = 0.0
        else:
            gone = draw.random(len(dialogue)) < recipe.drop_turn
            column = 0 if dialogue.is_acted or draw.random() < 0.5 else slice(1, 3)
            present[gone, column] = 0.0
    if present[:, 1].any() and present[:, 2].any():
        chance = draw.random()
        if chance < recipe.drop_encoder:
            present[:, 1] = 0.0
        elif chance < recipe.drop_encoder + recipe.drop_functionals:
            present[:, 2] = 0.0
    return replace(dialogue, present=present)


def cross_entropy(scores: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy over the rows with a target; 0 if there are none."""
    is_known = targets != NO_TARGET
    if not bool(is_known.any()):
        return scores.sum() * 0.0
    return nn.functional.cross_entropy(scores[is_known], targets[is_known])


def loss_of(
    scores: Scores, dialogues: Sequence[Dialogue], turns: Turns, names: Sequence[str]
) -> Tensor:
    """Add up the losses of the scores named, emotions and sentiments."""
    has_text, has_voice = (presence(turns.present) > 0).unbind(-1)
    # The words of acted speech were drawn by us; they teach nothing by themselves.
    is_acted = torch.tensor([dialogue.is_acted for dialogue in dialogues])[:, None]
    used = {
        "voice": has_voice,
        "voice_context": has_voice,
        "text_context": has_text & ~is_acted,
        "fused": has_text | has_voice,
    }
    total = torch.zeros(())
    for name in names:
        stage_scores = getattr(scores, name)
        for target, part, weight in (
            ("emotions", stage_scores[..., :N_EMOTIONS], 1.0),
            ("sentiments", stage_scores[..., N_EMOTIONS:], 0.3),
        ):
            targets = collate_targets(dialogues, target)
            targets = targets.masked_fill(~used[name], NO_TARGET)
            total = total + weight * cross_entropy(part, targets)
    return total


class FusionTraining:
    """Trains one network.

    Args:
        model: Trained in place.
        recipe: How.
        dialogues: Of MELD and of IEMOCAP, to train on.
        acted: Draws RAVDESS's.
        validate: Gives figures by name; their mean chooses the best state.
        seed: Of everything drawn.
    """

    def __init__(
        self,
        model: DialogueModel,
        recipe: DialogueRecipe,
        dialogues: tuple[Sequence[Dialogue], Sequence[Dialogue]],
        acted: ActedDialogues,
        validate: Callable[[DialogueModel, str], dict[str, float]],
        seed: int,
    ) -> None:
        self._model = model
        self._recipe = recipe
        self._meld, self._iemocap = dialogues
        self._acted = acted
        self._validate = validate
        self._draw = np.random.default_rng(seed)

    def run(self) -> None:
        """Train stage after stage; keep each stage's best state."""
        recipe = self._recipe
        for name, parts, scores in JOINT if recipe.joint else STAGES:
            steps = recipe.steps.get(name, 0)
            self._train(name, parts, scores, steps)

    def _train(
        self, stage: str, parts: Sequence[str], scores: Sequence[str], steps: int
    ) -> None:
        recipe = self._recipe
        learning = [getattr(self._model, part) for part in parts]
        parameters = [p for module in learning for p in module.parameters()]
        optimizer = torch.optim.AdamW(
            parameters, lr=recipe.learning_rate, weight_decay=recipe.weight_decay
        )
        course = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, recipe.learning_rate, total_steps=steps, pct_start=0.1
        )
        best, best_state = -1.0, copy.deepcopy(self._model.state_dict())
        for step in range(1, steps + 1):
            self._model.eval()
            for module in learning:
                module.train()
            loss = torch.zeros(())
            for batch in self._batches(stage):
                turns = collate(batch)
                loss = loss + loss_of(self._model(turns), batch, turns, scores)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            course.step()
            if step % recipe.validate_steps == 0 or step == steps:
                figures = self._validate(self._model.eval(), stage)
                mean = float(np.mean(list(figures.values())))
                shown = ", ".join(f"{k} {v:.3f}" for k, v in figures.items())
                log.info(
                    "%s %d/%d: loss %.3f, %s", stage, step, steps, loss.item(), shown
                )
                if mean > best:
                    best, best_state = mean, copy.deepcopy(self._model.state_dict())
        self._model.load_state_dict(best_state)
        self._model.eval()

    def _batches(self, stage: str) -> list[list[Dialogue]]:
        """Draw one batch of each corpus."""
        recipe, draw = self._recipe, self._draw
        iemocap = []
        for index in draw.integers(len(self._iemocap), size=recipe.iemocap_batch):
            dialogue = self._iemocap[index]
            start = int(draw.integers(max(1, len(dialogue) - recipe.span + 1)))
            iemocap.append(dialogue.part(start, start + recipe.span))
        acted = [
            self._acted.draw(recipe.acted, draw) for _ in range(recipe.acted_batch)
        ]
        batches = [iemocap, acted]
        if stage != "voice":
            rows = draw.integers(len(self._meld), size=recipe.meld_batch)
            batches.append([self._meld[index] for index in rows])
        return [[hide(each, recipe, draw) for each in batch] for batch in batches]


@torch.no_grad()
def predict(
    model: DialogueModel,
    dialogues: Sequence[Dialogue],
    scores: str = "fused",
    columns: Sequence[int] = (0, 1, 2),
) -> tuple[Tensor, Tensor]:
    """Score the turns that have a target.

    Args:
        model: The network.
        dialogues: Scored one batch of 16 after another.
        scores: Field of `Scores`.
        columns: Of `Dialogue.present` that may be used; the others are hidden.

    Returns:
        Scores (n, 10) and emotions wanted (n,), of turns with one of the `columns`.
    """
    found, wanted = [], []
    for start in range(0, len(dialogues), 16):
        batch = []
        for dialogue in dialogues[start : start + 16]:
            present = np.zeros_like(dialogue.present)
            present[:, columns] = dialogue.present[:, columns]
            batch.append(replace(dialogue, present=present))
        turns = collate(batch)
        targets = collate_targets(batch, "emotions")
        is_used = (targets != NO_TARGET) & (turns.present.sum(-1) > 0)
        found.append(getattr(model(turns), scores)[is_used])
        wanted.append(targets[is_used])
    return torch.cat(found), torch.cat(wanted)


def seven_way(scores: Tensor) -> np.ndarray[tuple[int], np.dtype[np.intp]]:
    """Give the most probable of the seven."""
    return scores[:, :N_EMOTIONS].argmax(-1).numpy()


def four_way(
    scores: Tensor, wanted: Tensor
) -> tuple[
    np.ndarray[tuple[int], np.dtype[np.intp]], np.ndarray[tuple[int], np.dtype[np.intp]]
]:
    """Give classes wanted and most probable, of and among IEMOCAP's four."""
    four = torch.tensor([EMOTIONS.index(name) for name in FOUR_WAY])
    is_used = torch.isin(wanted, four)
    given = four[scores[is_used][:, four].argmax(-1)]
    return wanted[is_used].numpy(), given.numpy()


@torch.no_grad()
def fit_temperature(scores: Tensor, wanted: Tensor, weights: Tensor) -> float:
    """Find the temperature with the least weighted cross-entropy, by trying 60.

    Args:
        scores: Shape (n, 7).
        wanted: Shape (n,).
        weights: Shape (n,).
    """
    candidates = torch.logspace(-0.5, 0.7, 60)
    losses = [
        float(
            (
                weights
                * nn.functional.cross_entropy(scores / each, wanted, reduction="none")
            ).sum()
        )
        for each in candidates
    ]
    return float(candidates[int(np.argmin(losses))])


def validation_figures(
    model: DialogueModel, stage: str, held_out: dict[str, Sequence[Dialogue]]
) -> dict[str, float]:
    """Score a stage on validation dialogues `meld`, `iemocap` and `acted`."""
    by_stage = {
        "voice": (("voice", (1, 2)),),
        "context": (("voice_context", (1, 2)), ("text_context", (0,))),
    }
    figures = {}
    for scores, columns in by_stage.get(
        stage, (("fused", (1, 2)), ("fused", (0, 1, 2)))
    ):
        name = "voice" if 0 not in columns else "text" if columns == (0,) else "both"
        if name != "text":
            found, wanted = predict(model, held_out["acted"], scores, columns)
            figures[f"acted {name}"] = unweighted_recall(
                wanted.numpy(), seven_way(found)
            )
        found, wanted = predict(model, held_out["iemocap"], scores, columns)
        figures[f"iemocap {name}"] = weighted_f1(*four_way(found, wanted))
    if stage != "voice":
        scores = "text_context" if stage == "context" else "fused"
        found, wanted = predict(model, held_out["meld"], scores, (0,))
        figures["meld"] = weighted_f1(wanted.numpy(), seven_way(found))
    return figures
