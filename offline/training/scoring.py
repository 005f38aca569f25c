"""Class scores -> figures: what is wanted of a corpus, and how well it is met."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.evaluation import scores as figures
from stream_erc.flow import EMOTIONS, SENTIMENTS

NO_TARGET = -1
N_EMOTIONS = len(EMOTIONS)
N_CLASSES = N_EMOTIONS + len(SENTIMENTS)

Scores = NDArray[np.float32]
Classes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Target:
    """The classes that count in a corpus.

    Attributes:
        is_sentiment: Whether the sentiment is wanted, not the emotion.
        classes: Numbers of those that count.
    """

    is_sentiment: bool
    classes: tuple[int, ...]

    @property
    def name(self) -> str:
        """What the classes are of: the field of a `Dialogue`."""
        return "sentiments" if self.is_sentiment else "emotions"

    @property
    def columns(self) -> list[int]:
        """Where their scores stand among the ten."""
        first = N_EMOTIONS if self.is_sentiment else 0
        return [first + number for number in self.classes]

    def choose(self, scores: Scores, wanted: Classes) -> tuple[Classes, Classes]:
        """Give classes wanted and most probable, of and among those that count.

        Args:
            scores: Emotions and sentiments joined, shape (n, 10).
            wanted: Shape (n,).
        """
        is_used = np.isin(wanted, self.classes)
        best = scores[is_used][:, self.columns].argmax(-1)
        return wanted[is_used], np.array(self.classes)[best]

    def weighted_f1(self, scores: Scores, wanted: Classes) -> float:
        """Score what was given; shapes as in `choose`."""
        return figures.weighted_f1(*self.choose(scores, wanted))

    def recall(self, scores: Scores, wanted: Classes) -> float:
        """Likewise, the recall averaged over the classes (UAR)."""
        return figures.unweighted_recall(*self.choose(scores, wanted))


def make_target(labels: Sequence[str]) -> Target:
    """Give the target of some labels; all emotions if there are none."""
    if not labels:
        return Target(False, tuple(range(N_EMOTIONS)))
    if set(labels) <= set(SENTIMENTS):
        return Target(True, tuple(sorted(SENTIMENTS.index(label) for label in labels)))
    return Target(False, tuple(sorted(EMOTIONS.index(label) for label in labels)))
