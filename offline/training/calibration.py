"""Validation scores -> temperatures and prior, which make the probabilities honest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from stream_erc.flow import EMOTIONS, SENTIMENTS
from stream_erc.model import DialogueModel

from .acted import ActedDialogues
from .dialogue_stages import Source, predict
from .dialogues import ENCODER, FUNCTIONALS, TEXT
from .material import HeldOut
from .recipe import DialogueRecipe
from .scoring import NO_TARGET

PATTERNS = ((TEXT,), (ENCODER, FUNCTIONALS), (TEXT, ENCODER, FUNCTIONALS))
"""What a turn may have, in the order of `DialogueModel.temperatures` from 1."""


def fit_temperatures(
    model: DialogueModel, held_out: Mapping[str, HeldOut], recipe: DialogueRecipe
) -> Tensor:
    """Give one temperature for each pattern, shape (4,); each corpus weighs the same.

    Guo et al. (2017), "On calibration of modern neural networks".
    """
    temperatures = torch.ones(1 + len(PATTERNS))
    for number, columns in enumerate(PATTERNS, start=1):
        found = []
        for held in held_out.values():
            # The words of acted speech were drawn by us.
            if held.is_acted and columns == (TEXT,):
                continue
            scores, wanted = predict(
                model,
                held.dialogues,
                columns=columns,
                targets=held.target.name,
                speakers=recipe.speakers,
            )
            is_used = torch.isin(wanted, torch.tensor(held.target.classes))
            if is_used.any():
                classes = torch.tensor(held.target.classes)
                places = torch.searchsorted(classes, wanted[is_used])
                found.append((scores[is_used][:, held.target.columns], places))
        if found:
            temperatures[number] = fit_temperature(found)
    return temperatures


def fit_temperature(found: Sequence[tuple[Tensor, Tensor]]) -> float:
    """Find the temperature with the least cross-entropy, by trying 120.

    Args:
        found: Of each corpus scores (n, n_classes) and classes (n,).
    """
    candidates = torch.logspace(-0.5, 0.7, 120)
    losses = [
        sum(
            float(nn.functional.cross_entropy(scores / each, wanted))
            for scores, wanted in found
        )
        for each in candidates
    ]
    return float(candidates[int(np.argmin(losses))])


def measure_prior(sources: Mapping[str, Source]) -> Tensor:
    """Give the logarithm of each class's share in natural dialogues, shape (10,).

    It is the answer for a turn of which nothing is known.
    """
    natural = [
        each
        for source in sources.values()
        if not isinstance(source.dialogues, ActedDialogues)
        for each in source.dialogues
    ]
    return torch.cat(
        [
            log_share([each.emotions for each in natural], len(EMOTIONS)),
            log_share([each.sentiments for each in natural], len(SENTIMENTS)),
        ]
    )


def log_share(targets: Sequence[np.ndarray], n_classes: int) -> Tensor:
    """Give the logarithm of each class's share, shape (n_classes,)."""
    joined = np.concatenate([np.zeros(0, np.intp), *targets])
    # One of each beforehand: a class that was never seen is rare, not impossible.
    counts = 1.0 + np.bincount(joined[joined != NO_TARGET], minlength=n_classes)
    return torch.tensor(counts / counts.sum(), dtype=torch.float32).log()
