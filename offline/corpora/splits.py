"""Utterances of a layout -> corpus files: ordered, checked, counted."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from stream_erc.errors import ConfigError, reason
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .findings import Findings
from .form import (
    SPLITS,
    Corpus,
    Utterance,
    find_shared_dialogues,
    group_dialogues,
    write_corpus,
)

Splits = dict[str, list[Utterance]]
"""What a reader gives: each split that is there; paths as seen from where we are."""


class Gathering:
    """Utterances as they come, brought into dialogues and order."""

    def __init__(self, findings: Findings) -> None:
        self._findings = findings
        self._splits: dict[str, dict[str, dict[int, Utterance]]] = {}

    def expect(self, split: str) -> None:
        """Say that there is something of a split, so that it must not stay empty."""
        self._splits.setdefault(split, {})

    def add(self, split: str, utterance: Utterance, file: Path, line: int) -> None:
        """Take an utterance and where it stands; the second of a turn is left out."""
        self.expect(split)
        turns = self._splits[split].setdefault(utterance.dialogue, {})
        if utterance.turn in turns:
            self._findings.at(file).add(
                line,
                f"expected turn {utterance.turn} of {utterance.dialogue!r} once",
            )
            return
        turns[utterance.turn] = utterance

    def splits(self) -> Splits:
        """Give what came: dialogues as they first appeared, turns growing."""
        return {
            split: [
                turns[turn] for turns in dialogues.values() for turn in sorted(turns)
            ]
            for split, dialogues in self._splits.items()
        }


@dataclass(frozen=True, slots=True)
class SplitCount:
    """How much a split holds.

    Attributes:
        split: Its name.
        dialogues: How many.
        utterances: How many, context included.
        emotions: How many of each of `EMOTIONS`, in that order; none are left out.
        sentiments: The same of `SENTIMENTS`.
    """

    split: str
    dialogues: int
    utterances: int
    emotions: dict[str, int]
    sentiments: dict[str, int]

    def __str__(self) -> str:
        labels = ", ".join(
            f"{name} {count}"
            for counts in (self.emotions, self.sentiments)
            for name, count in counts.items()
        )
        return (
            f"{self.split}: {self.dialogues} dialogues, {self.utterances} utterances: "
            f"{labels or 'no labels'}"
        )


def count_split(split: str, utterances: list[Utterance]) -> SplitCount:
    """Count dialogues, utterances and labels."""
    emotions = Counter(utterance.emotion for utterance in utterances)
    sentiments = Counter(utterance.sentiment for utterance in utterances)
    return SplitCount(
        split=split,
        dialogues=len(group_dialogues(utterances)),
        utterances=len(utterances),
        emotions={name: emotions[name] for name in EMOTIONS if emotions[name]},
        sentiments={name: sentiments[name] for name in SENTIMENTS if sentiments[name]},
    )


def check_splits(splits: Mapping[str, list[Utterance]], where: Path) -> None:
    """Refuse a corpus of which nothing is there, or a split that came out empty.

    Raises:
        ConfigError: Naming the split.
    """
    if not splits:
        raise ConfigError(f"{where}: expected a corpus of this layout, got none of it")
    for split, utterances in splits.items():
        if not utterances:
            raise ConfigError(f"{where}: expected utterances of {split}, got none")


def write_splits(out: Path, splits: Splits, findings: Findings) -> list[SplitCount]:
    """Write one corpus file a split; nothing is written if a strict reader objects.

    Args:
        out: Folder; made where it is not there.
        splits: Not empty.
        findings: Where to complain of a dialogue that stands in two splits.

    Raises:
        ConfigError: If `findings` is strict and there is such a dialogue, or the
            folder cannot be written.
    """
    corpora = {
        split: Corpus(
            out / f"{split}.jsonl",
            [make_relative(utterance, out) for utterance in splits[split]],
            [],
        )
        for split in SPLITS
        if split in splits
    }
    for problem in find_shared_dialogues(corpora):
        findings.at(problem.file).add(problem.line, problem.message)
    try:
        for split in SPLITS:
            (out / f"{split}.jsonl").unlink(missing_ok=True)  # of an earlier reading
        for corpus in corpora.values():
            write_corpus(corpus.file, corpus.utterances)
    except OSError as error:
        raise ConfigError(
            f"{out}: expected a folder to write to, got: {reason(error)}"
        ) from error
    return [count_split(split, corpus.utterances) for split, corpus in corpora.items()]


def make_relative(utterance: Utterance, root: Path) -> Utterance:
    """Turn the paths of an utterance into ones relative to its corpus's folder."""
    audio, features = utterance.audio, utterance.features
    if audio is not None:
        audio = relative_path(audio, root)
    if features is not None:
        file = relative_path(features.file, root)
        features = msgspec.structs.replace(features, file=file)
    return msgspec.structs.replace(utterance, audio=audio, features=features)


def relative_path(path: str, root: Path) -> str:
    """Give a path as seen from a folder, with slashes everywhere."""
    relative = os.path.relpath(Path(path).resolve(), root.resolve())
    return Path(relative).as_posix()
