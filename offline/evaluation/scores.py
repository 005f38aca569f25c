"""Wanted and given classes -> figures, in numpy alone.

Classes are numbered from 0. A class that nobody wanted counts nowhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

N_BINS = 10
"""Of the calibration error, equally wide between 0 and 1."""

Labels = NDArray[np.intp]
Counts = NDArray[np.intp]
Table = NDArray[np.float64]
Probabilities = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ClassScores:
    """Figures of each class, all of shape (n_classes,); 0 where there is nothing.

    Attributes:
        n: How many were wanted.
        precision: Share of what was given that was wanted.
        recall: Share of what was wanted that was given.
        f1: Their harmonic mean.
    """

    n: Counts
    precision: Table
    recall: Table
    f1: Table


@dataclass(frozen=True, slots=True)
class Reliability:
    """Confidence and truth of each bin, all of shape (n_bins,).

    Attributes:
        n: Turns whose winner's probability lies in the bin.
        confidence: Their mean winner's probability; 0 in an empty bin.
        accuracy: Share of them that was right; 0 in an empty bin.
    """

    n: Counts
    confidence: Table
    accuracy: Table

    @property
    def error(self) -> float:
        """Expected calibration error: the mean gap, weighted by the bins' turns."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float((self.n * gaps).sum() / max(1, self.n.sum()))


def confusion(wanted: Labels, given: Labels, n_classes: int) -> Counts:
    """Count: shape (n_classes, n_classes), wanted down, given across."""
    table = np.zeros((n_classes, n_classes), np.intp)
    np.add.at(table, (wanted, given), 1)
    return table


def class_scores(
    wanted: Labels, given: Labels, n_classes: int | None = None
) -> ClassScores:
    """Give the figures of each class; without `n_classes`, of those that occur."""
    if n_classes is None:
        n_classes = int(max(wanted.max(initial=0), given.max(initial=0))) + 1
    table = confusion(wanted, given, n_classes)
    hits = np.diag(table).astype(np.float64)
    n_wanted, n_given = table.sum(1), table.sum(0)
    return ClassScores(
        n=n_wanted,
        precision=hits / np.maximum(n_given, 1),
        recall=hits / np.maximum(n_wanted, 1),
        f1=2.0 * hits / np.maximum(n_wanted + n_given, 1),
    )


def accuracy(wanted: Labels, given: Labels) -> float:
    """Share of turns whose class is right; 0 of nothing."""
    return float((wanted == given).mean()) if len(wanted) else 0.0


def weighted_f1(wanted: Labels, given: Labels) -> float:
    """F1 of each class, weighted by how often it was wanted."""
    n_classes = int(max(wanted.max(initial=0), given.max(initial=0))) + 1
    return float(weighted_f1_of(confusion(wanted, given, n_classes)))


def weighted_f1_of(tables: Counts) -> Table:
    """Give the weighted F1 of confusions, shape (..., n_classes, n_classes)."""
    hits = np.diagonal(tables, axis1=-2, axis2=-1)
    n_wanted, n_given = tables.sum(-1), tables.sum(-2)
    f1 = 2.0 * hits / np.maximum(n_wanted + n_given, 1)
    return np.asarray((n_wanted * f1).sum(-1) / np.maximum(n_wanted.sum(-1), 1))


def macro_f1(wanted: Labels, given: Labels) -> float:
    """F1 averaged over the classes that were wanted."""
    scores = class_scores(wanted, given)
    return float(scores.f1[scores.n > 0].mean()) if len(wanted) else 0.0


def unweighted_recall(wanted: Labels, given: Labels) -> float:
    """Recall averaged over the classes that were wanted (UAR)."""
    scores = class_scores(wanted, given)
    return float(scores.recall[scores.n > 0].mean()) if len(wanted) else 0.0


def reliability(
    confidence: NDArray[np.float32], is_right: NDArray[np.bool_], n_bins: int = N_BINS
) -> Reliability:
    """Compare the winner's probability with how often the winner is right.

    Args:
        confidence: Shape (n,), 0 to 1.
        is_right: Shape (n,).
        n_bins: Bins between 0 and 1.
    """
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    n = np.bincount(bins, minlength=n_bins)
    filled = np.maximum(n, 1)
    return Reliability(
        n=n,
        confidence=np.bincount(bins, confidence, n_bins) / filled,
        accuracy=np.bincount(bins, is_right, n_bins) / filled,
    )


def calibration_error(
    probabilities: Probabilities, wanted: Labels, n_bins: int = N_BINS
) -> float:
    """Expected calibration error of the winner's probability, equal-width bins.

    Guo et al. (2017), "On calibration of modern neural networks".

    Args:
        probabilities: Shape (n, n_classes), rows sum to 1.
        wanted: Shape (n,).
        n_bins: Bins between 0 and 1.
    """
    if len(wanted) == 0:
        return 0.0
    is_right = probabilities.argmax(1) == wanted
    return reliability(probabilities.max(1), is_right, n_bins).error


def calibration_error_if_calibrated(
    confidence: NDArray[np.float32], seed: int, n_simulations: int = 200
) -> float:
    """Give the calibration error that chance alone leaves.

    A model whose confidences were all true would still show one, the larger the fewer
    turns there are. Its answers are drawn, right with the probability it claims.

    Args:
        confidence: Winner's probabilities, shape (n,).
        seed: Of what is drawn.
        n_simulations: Over which the error is averaged.
    """
    draw = np.random.default_rng(seed)
    errors = [
        reliability(confidence, draw.random(len(confidence)) < confidence).error
        for _ in range(n_simulations)
    ]
    return float(np.mean(errors))


def weighted_f1_interval(
    wanted: Labels,
    given: Labels,
    dialogues: Labels,
    seed: int,
    n_resamples: int = 1000,
) -> tuple[float, float] | None:
    """Give the 95 % bootstrap interval of weighted F1, dialogues drawn whole.

    Turns of a dialogue resemble each other: drawn one by one, they would claim too
    narrow an interval.

    Args:
        wanted: Shape (n,).
        given: Shape (n,).
        dialogues: Number of each turn's dialogue, shape (n,).
        seed: Of what is drawn.
        n_resamples: How often the dialogues are drawn anew.

    Returns:
        The 2.5th and 97.5th percentile; None if there are not two dialogues.
    """
    _, numbers = np.unique(dialogues, return_inverse=True)
    n_dialogues = int(numbers.max(initial=-1)) + 1
    if n_dialogues < 2:
        return None
    n_classes = int(max(wanted.max(), given.max())) + 1
    tables = np.zeros((n_dialogues, n_classes, n_classes), np.intp)
    np.add.at(tables, (numbers, wanted, given), 1)
    flat = tables.reshape(n_dialogues, -1)
    draw = np.random.default_rng(seed)
    drawn = [
        np.bincount(draw.integers(n_dialogues, size=n_dialogues), minlength=n_dialogues)
        @ flat
        for _ in range(n_resamples)
    ]
    scores = weighted_f1_of(np.array(drawn).reshape(-1, n_classes, n_classes))
    low, high = np.percentile(scores, [2.5, 97.5])
    return float(low), float(high)
