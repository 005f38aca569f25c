"""Labels asked for -> Target: which classes a corpus is scored on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from offline.corpora.form import Utterance
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS, Emotion, Vector

EMOTION, SENTIMENT = "emotion", "sentiment"
CLASSES = {EMOTION: EMOTIONS, SENTIMENT: SENTIMENTS}


@dataclass(frozen=True, slots=True)
class Target:
    """What is wanted of each turn.

    Attributes:
        name: `EMOTION` or `SENTIMENT`.
        labels: The classes that count, some or all of `CLASSES[name]`.
    """

    name: str
    labels: tuple[str, ...]

    def wanted_of(self, utterance: Utterance) -> int | None:
        """Give the place of an utterance's label among `labels`; None for context."""
        label: str | None = getattr(utterance, self.name)
        return self.labels.index(label) if label in self.labels else None

    def probabilities_of(self, emotion: Emotion) -> Vector:
        """Give what the model says of this target, all classes, shape (7,) or (3,)."""
        return emotion.emotions if self.name == EMOTION else emotion.sentiments

    def restrict(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Share out the probability of the classes that do not count.

        Args:
            probabilities: Of all classes, shape (n, 7) or (n, 3).

        Returns:
            Shape (n, len(labels)), rows sum to 1.
        """
        classes = CLASSES[self.name]
        kept = probabilities[:, [classes.index(label) for label in self.labels]]
        kept = np.maximum(kept, np.finfo(np.float32).tiny)  # all may be rounded to 0
        return np.asarray(kept / kept.sum(1, keepdims=True), np.float32)


def choose_target(utterances: Sequence[Utterance], labels: Sequence[str]) -> Target:
    """Find out what to score.

    Args:
        utterances: Of the corpus.
        labels: The classes that count; none for all of the corpus's.

    Raises:
        ConfigError: If a label is unknown, or no utterance has one that counts.
    """
    if labels:
        name = name_of(labels)
    else:
        has_emotion = any(utterance.emotion is not None for utterance in utterances)
        name = EMOTION if has_emotion else SENTIMENT
    target = Target(name, tuple(dict.fromkeys(labels)) or CLASSES[name])
    if all(target.wanted_of(utterance) is None for utterance in utterances):
        wanted = f"{name} of {', '.join(labels)}" if labels else "an emotion"
        raise ConfigError(f"corpus: expected lines with {wanted}, got none")
    return target


def name_of(labels: Sequence[str]) -> str:
    """Tell emotions from sentiments; `neutral` is either."""
    for name, classes in CLASSES.items():
        if set(labels) <= set(classes) and len(set(labels)) > 1:
            return name
    raise ConfigError(
        f"--labels: expected two or more of {', '.join(EMOTIONS)}, "
        f"or of {', '.join(SENTIMENTS)}, got {','.join(labels)}"
    )
