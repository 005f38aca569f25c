"""Corpus files -> Utterance: the published layouts in one form and one label set.

The folder given by `--data` holds `meld/`, `goemotions/`, `iemocap/`, `ravdess/` and
`pseudo_labels/`, each with JSON Lines, one utterance a line.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS

TRAIN, VALIDATION, TEST = "train", "validation", "test"

EMOTION_NAMES = {
    **{name: name for name in EMOTIONS},
    "calm": "neutral",
    "happy": "joy",
    "happiness": "joy",
    "excited": "joy",
    "sad": "sadness",
    "angry": "anger",
    "fearful": "fear",
    "surprised": "surprise",
}
"""What every corpus calls an emotion, in our seven.

A name that is not here (`frustration`, `undecided`, ...) was said, so it is context,
but it is no target.
"""

SENTIMENT_OF = {
    "neutral": "neutral",
    "joy": "positive",
    "sadness": "negative",
    "anger": "negative",
    "fear": "negative",
    "disgust": "negative",
}
"""Where a corpus has emotions alone; surprise may be of either kind."""

FOUR_WAY = ("neutral", "sadness", "joy", "anger")
"""The seven that IEMOCAP's four-way protocol keeps, happiness and excitement merged."""

IEMOCAP_SPLITS = {1: VALIDATION, 2: TRAIN, 3: TRAIN, 4: TRAIN, 5: TEST}
"""By session: the split of Dutta and Ganapathy (2025)."""


@dataclass(frozen=True, slots=True)
class Utterance:
    """One line of a corpus.

    Attributes:
        dialogue: Name of the dialogue; utterances of one are contiguous, in order.
        session: Dialogues in which the same people spoke share it.
        speaker: Who spoke.
        text: The words.
        emotions: Our names of what it conveys; empty for context without a target.
        sentiment: One of `SENTIMENTS`, or None.
        split: `TRAIN`, `VALIDATION` or `TEST`.
        clip: File of the audio, or None.
        voice_start_s: Where the voice starts in the clip; None without a clip.
        voice_end_s: Where it ends.
        is09_row: Row of the published functionals, or None.
    """

    dialogue: str
    session: str
    speaker: str
    text: str
    emotions: tuple[str, ...]
    sentiment: str | None
    split: str
    clip: Path | None = None
    voice_start_s: float | None = None
    voice_end_s: float | None = None
    is09_row: int | None = None

    @property
    def emotion(self) -> str | None:
        """The one emotion; None if there is none or more than one."""
        return self.emotions[0] if len(self.emotions) == 1 else None


def read_lines(file: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give the objects of a JSON Lines file with their line numbers, from 1.

    Raises:
        ConfigError: If the file cannot be read, or a line is not an object.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise ConfigError(f"{file}: expected a corpus file, got: {error}") from error
    for number, line in enumerate(lines, start=1):
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise ConfigError(
                f"{file}:{number}: expected a JSON object, got: {error}"
            ) from error
        if not isinstance(record, dict):
            raise ConfigError(f"{file}:{number}: expected a JSON object, got {line!r}")
        yield number, record


def read_utterances(
    file: Path, make: Callable[[dict[str, Any]], Utterance]
) -> list[Utterance]:
    """Read a corpus file, one utterance a line.

    Raises:
        ConfigError: Naming file and line, if a field is missing or has a wrong value.
    """
    utterances = []
    for number, record in read_lines(file):
        try:
            utterances.append(make(record))
        except KeyError as error:
            raise ConfigError(
                f"{file}:{number}: expected the field {error}, got {sorted(record)}"
            ) from error
        except (TypeError, ValueError) as error:
            raise ConfigError(f"{file}:{number}: {error}") from error
    return utterances


def to_emotions(names: list[str]) -> tuple[str, ...]:
    """Translate a corpus's own names; what has no counterpart is left out."""
    return tuple(EMOTION_NAMES[name] for name in names if name in EMOTION_NAMES)


def to_sentiment(name: str) -> str:
    """Check a sentiment."""
    if name not in SENTIMENTS:
        raise ValueError(f"sentiment: expected one of {SENTIMENTS}, got {name!r}")
    return name


def read_meld(folder: Path) -> list[Utterance]:
    """Give MELD, official splits, text only."""
    utterances = []
    for stem, split in (("train", TRAIN), ("dev", VALIDATION), ("test", TEST)):

        def make(record: dict[str, Any], split: str = split) -> Utterance:
            return Utterance(
                dialogue=record["dialogue"],
                session=record["dialogue"],
                speaker=record["speaker"],
                text=record["text"],
                emotions=to_emotions([record["emotion"]]),
                sentiment=to_sentiment(record["sentiment"]),
                split=split,
            )

        utterances += read_utterances(folder / f"{stem}.jsonl", make)
    return utterances


def read_goemotions(folder: Path) -> list[Utterance]:
    """Give GoEmotions, official splits: single comments, several emotions each."""
    utterances = []
    for stem, split in (("train", TRAIN), ("dev", VALIDATION), ("test", TEST)):

        def make(record: dict[str, Any], split: str = split) -> Utterance:
            return Utterance(
                dialogue="",
                session="",
                speaker="",
                text=record["text"],
                emotions=to_emotions(record["emotions"]),
                sentiment=None,
                split=split,
            )

        utterances += read_utterances(folder / f"{stem}.jsonl", make)
    return utterances


def read_pseudo_labels(folder: Path) -> list[Utterance]:
    """Give the utterances that a language model labelled; every 20th validates."""

    def make(record: dict[str, Any]) -> Utterance:
        return Utterance(
            dialogue=record["id"],
            session="",
            speaker="",
            text=record["text"],
            emotions=to_emotions([record["emotion"]]),
            sentiment=to_sentiment(record["sentiment"]),
            split=TRAIN,
        )

    utterances = read_utterances(folder / "labels.jsonl", make)
    return [
        replace(utterance, split=VALIDATION) if index % 20 == 0 else utterance
        for index, utterance in enumerate(utterances)
    ]


def read_iemocap(folder: Path) -> list[Utterance]:
    """Give all of IEMOCAP in order; sessions 2-4 train, 1 validates, 5 tests."""

    def make(record: dict[str, Any]) -> Utterance:
        return Utterance(
            dialogue=record["dialogue"],
            session=str(record["session"]),
            speaker=record["speaker"],
            text=record["text"],
            emotions=to_emotions([record["emotion"]]),
            sentiment=None,
            split=IEMOCAP_SPLITS[int(record["session"])],
            is09_row=record["is09_row"],
        )

    return read_utterances(folder / "utterances.jsonl", make)


def read_ravdess(folder: Path) -> list[Utterance]:
    """Give RAVDESS's clips; actors 1-16 train, 17-20 validate, 21-24 test."""

    def make(record: dict[str, Any]) -> Utterance:
        actor = int(record["actor"])
        return Utterance(
            dialogue=record["file"],
            session=f"actor{actor:02}",
            speaker=f"actor{actor:02}",
            text=record["text"],
            emotions=to_emotions([record["emotion"]]),
            sentiment=None,
            split=TRAIN if actor <= 16 else VALIDATION if actor <= 20 else TEST,
            clip=folder / record["file"],
            voice_start_s=float(record["voice_start_s"]),
            voice_end_s=float(record["voice_end_s"]),
        )

    return read_utterances(folder / "clips.jsonl", make)


def of_split(utterances: list[Utterance], split: str) -> list[Utterance]:
    """Give those of one split, in order."""
    return [utterance for utterance in utterances if utterance.split == split]


def group_dialogues(utterances: Sequence[Utterance]) -> list[list[Utterance]]:
    """Cut a corpus where the dialogue changes."""
    dialogues: list[list[Utterance]] = []
    for utterance in utterances:
        if not dialogues or dialogues[-1][-1].dialogue != utterance.dialogue:
            dialogues.append([])
        dialogues[-1].append(utterance)
    return dialogues


def check_folder(data: Path) -> None:
    """Refuse a data folder that is not there, before anything slow begins.

    Raises:
        ConfigError: If it, or one of its corpora, is missing.
    """
    for name in ("meld", "goemotions", "iemocap", "ravdess", "pseudo_labels"):
        if not (data / name).is_dir():
            raise ConfigError(f"--data: expected a folder {data / name}, got none")
