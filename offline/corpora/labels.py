"""A label file <-> Label: what a language model said of single texts, JSON Lines.

Each line has `id`, `text`, `sentiment` and `emotion`. What is wrong with a line is
named with file and line; the rest is used all the same, unless the reader is strict.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream_erc.errors import ConfigError

from .findings import Findings
from .form import Problem
from .sources import read_rows


class Label(msgspec.Struct, frozen=True):
    """One line of a label file; other fields are passed over.

    Attributes:
        id: Of the text, once in a file.
        text: The words, as the labeller read them.
        sentiment: One of `flow.SENTIMENTS`; None in a file read if it was none.
        emotion: One of `flow.EMOTIONS`; likewise.
    """

    id: str
    text: str
    sentiment: str | None
    emotion: str | None


@dataclass(frozen=True, slots=True)
class Labels:
    """What a label file holds.

    Attributes:
        file: Where it came from.
        labels: In order.
        problems: What was left out or open.
    """

    file: Path
    labels: list[Label]
    problems: list[Problem]


def read_labels(file: Path, *, strict: bool = False) -> Labels:
    """Read a label file.

    A line that is no label and the second of an id are left out, an unknown emotion or
    sentiment is left open; each is a problem of the result.

    Args:
        file: JSON Lines, UTF-8.
        strict: Whether the first problem ends it.

    Raises:
        ConfigError: If the file cannot be read or holds no label; if `strict`, also
            at the first problem.
    """
    findings = Findings(strict)
    labels: dict[str, Label] = {}
    for line, label in read_rows(file, Label, findings):
        if label.id in labels:
            findings.at(file).add(line, f"expected the id {label.id!r} once")
            continue
        sentiment, emotion = label.sentiment, label.emotion
        if sentiment is not None:
            sentiment = findings.sentiment(sentiment, file, line)
        if emotion is not None:
            emotion = findings.emotion(emotion, file, line)
        labels[label.id] = msgspec.structs.replace(
            label, sentiment=sentiment, emotion=emotion
        )
    if not labels:
        raise ConfigError(f"{file}: expected labels, one a line, got none")
    return Labels(file, list(labels.values()), findings.problems)
