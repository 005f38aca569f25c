"""Wanted and given classes -> figures, in numpy alone.

Classes are numbered from 0. A class that nobody wanted counts nowhere.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Labels = NDArray[np.intp]
Table = NDArray[np.float64]


def confusion(wanted: Labels, given: Labels, n_classes: int) -> NDArray[np.intp]:
    """Count: shape (n_classes, n_classes), wanted down, given across."""
    table = np.zeros((n_classes, n_classes), np.intp)
    np.add.at(table, (wanted, given), 1)
    return table


def class_scores(wanted: Labels, given: Labels) -> tuple[Labels, Table, Table]:
    """Per class: how many were wanted, recall and F1, each shape (n_classes,).

    Recall and F1 of a class that was neither wanted nor given are 0.
    """
    n_classes = int(max(wanted.max(initial=0), given.max(initial=0))) + 1
    table = confusion(wanted, given, n_classes)
    hits = np.diag(table).astype(np.float64)
    n_wanted, n_given = table.sum(1), table.sum(0)
    recall = hits / np.maximum(n_wanted, 1)
    f1 = 2.0 * hits / np.maximum(n_wanted + n_given, 1)
    return n_wanted, recall, f1


def weighted_f1(wanted: Labels, given: Labels) -> float:
    """F1 of each class, weighted by how often it was wanted."""
    n_wanted, _, f1 = class_scores(wanted, given)
    return float((n_wanted * f1).sum() / max(1, n_wanted.sum()))


def macro_f1(wanted: Labels, given: Labels) -> float:
    """F1 averaged over the classes that were wanted."""
    n_wanted, _, f1 = class_scores(wanted, given)
    return float(f1[n_wanted > 0].mean()) if (n_wanted > 0).any() else 0.0


def unweighted_recall(wanted: Labels, given: Labels) -> float:
    """Recall averaged over the classes that were wanted (UAR)."""
    n_wanted, recall, _ = class_scores(wanted, given)
    return float(recall[n_wanted > 0].mean()) if (n_wanted > 0).any() else 0.0


def calibration_error(
    probabilities: NDArray[np.float32], wanted: Labels, n_bins: int = 15
) -> float:
    """Expected calibration error of the winner's probability, equal-width bins.

    Guo et al. (2017), "On calibration of modern neural networks"; 15 bins as there.

    Args:
        probabilities: Shape (n, n_classes), rows sum to 1.
        wanted: Shape (n,).
        n_bins: Bins between 0 and 1.
    """
    if len(wanted) == 0:
        return 0.0
    confidence = probabilities.max(1)
    is_right = probabilities.argmax(1) == wanted
    bins = np.minimum((confidence * n_bins).astype(int), n_bins - 1)
    error = 0.0
    for number in range(n_bins):
        inside = bins == number
        if inside.any():
            gap = abs(is_right[inside].mean() - confidence[inside].mean())
            error += float(gap * inside.mean())
    return error
