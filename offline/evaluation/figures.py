"""Wanted classes and probabilities -> the figures of a report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .scores import (
    Labels,
    Probabilities,
    accuracy,
    calibration_error,
    calibration_error_if_calibrated,
    class_scores,
    confusion,
    macro_f1,
    reliability,
    unweighted_recall,
    weighted_f1,
    weighted_f1_interval,
)

N_DIGITS = 4
"""Behind the point: the chance in any test set begins before."""


def headline_of(wanted: Labels, probabilities: Probabilities) -> dict[str, Any]:
    """Give the six figures that say the most.

    Args:
        wanted: Shape (n,).
        probabilities: Shape (n, n_labels), rows sum to 1.
    """
    given = probabilities.argmax(1)
    return {
        "weighted_f1": rounded(weighted_f1(wanted, given)),
        "macro_f1": rounded(macro_f1(wanted, given)),
        "uar": rounded(unweighted_recall(wanted, given)),
        "accuracy": rounded(accuracy(wanted, given)),
        "ece": rounded(calibration_error(probabilities, wanted)),
        "n": len(wanted),
    }


def figures_of(
    wanted: Labels,
    probabilities: Probabilities,
    labels: Sequence[str],
    *,
    dialogues: Labels | None = None,
    unscaled: Probabilities | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Give all figures of some turns.

    Args:
        wanted: Shape (n,), n at least 1.
        probabilities: Shape (n, n_labels), rows sum to 1.
        labels: Names of the classes.
        dialogues: Number of each turn's dialogue, shape (n,); None: one by one.
        unscaled: The probabilities before temperature; None if unknown.
        seed: Of what is drawn for the interval and for `ece_if_calibrated`.
    """
    given = probabilities.argmax(1)
    if dialogues is None:
        dialogues = np.arange(len(wanted))
    interval = weighted_f1_interval(wanted, given, dialogues, seed)
    return {
        **headline_of(wanted, probabilities),
        "weighted_f1_interval_95": interval and [rounded(bound) for bound in interval],
        "labels": list(labels),
        "per_class": per_class(wanted, given, labels),
        "confusion": confusion(wanted, given, len(labels)).tolist(),
        **calibration_of(wanted, probabilities, unscaled, seed),
    }


def rounded(figure: float) -> float:
    """Give a figure as reports have it."""
    return round(float(figure), N_DIGITS)


def per_class(
    wanted: Labels, given: Labels, labels: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """Give the figures of each class."""
    scores = class_scores(wanted, given, len(labels))
    return {
        label: {
            "n": int(scores.n[number]),
            "precision": rounded(scores.precision[number]),
            "recall": rounded(scores.recall[number]),
            "f1": rounded(scores.f1[number]),
        }
        for number, label in enumerate(labels)
    }


def calibration_of(
    wanted: Labels,
    probabilities: Probabilities,
    unscaled: Probabilities | None,
    seed: int,
) -> dict[str, Any]:
    """Tell how far the confidences can be believed; see `figures_of`."""
    confidence = probabilities.max(1)
    bins = reliability(confidence, probabilities.argmax(1) == wanted)
    before = None if unscaled is None else calibration_error(unscaled, wanted)
    edges = np.linspace(0.0, 1.0, len(bins.n) + 1)
    return {
        "ece_before_temperature": None if before is None else rounded(before),
        "ece_if_calibrated": rounded(calibration_error_if_calibrated(confidence, seed)),
        "reliability": [
            {
                "from": rounded(edges[number]),
                "to": rounded(edges[number + 1]),
                "n": int(bins.n[number]),
                "confidence": rounded(bins.confidence[number]),
                "accuracy": rounded(bins.accuracy[number]),
            }
            for number in range(len(bins.n))
        ],
    }
