"""Corpora that somebody has brought into JSON Lines and .npz already -> utterances.

A folder with `meld/`, `emorynlp/`, `goemotions/`, `iemocap/`, `ravdess/` and `mosi/`,
or some of them. This module has all but `emorynlp/`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from .findings import Findings
from .form import TEST, TRAIN, VALIDATION, FeatureRow, Utterance
from .iemocap import SESSION_SPLITS
from .ravdess import split_of_actor
from .sources import read_rows
from .splits import Gathering, Splits

STEMS = {"train": TRAIN, "dev": VALIDATION, "test": TEST}
"""What the files of an official split are called."""


class MeldRow(msgspec.Struct, frozen=True):
    """A line of `meld/`."""

    dialogue: str
    turn: int
    speaker: str
    text: str
    emotion: str
    sentiment: str


class CommentRow(msgspec.Struct, frozen=True):
    """A line of `goemotions/`; emotions in our names, one or more."""

    text: str
    emotions: list[str]


class IemocapRow(msgspec.Struct, frozen=True):
    """A line of `iemocap/`; `is09_row` is null where there are no functionals."""

    dialogue: str
    turn: int
    session: int
    speaker: str
    text: str
    emotion: str
    start_s: float
    end_s: float
    is09_row: int | None


class ClipRow(msgspec.Struct, frozen=True):
    """A line of `ravdess/`; `file` is relative to that folder."""

    file: str
    actor: int
    emotion: str
    text: str
    voice_start_s: float
    voice_end_s: float


class OpinionRow(msgspec.Struct, frozen=True):
    """A line of `mosi/`; `audio73_row` is null where there are no features."""

    dialogue: str
    turn: int
    speaker: str
    text: str
    sentiment2: str
    split: Literal["train", "dev", "test"]
    audio73_row: int | None


def read_collected_meld(folder: Path, findings: Findings) -> Splits:
    """Give MELD, official splits: words alone."""
    gathering = Gathering(findings)
    for file, split in official_files(folder):
        gathering.expect(split)
        for line, row in read_rows(file, MeldRow, findings):
            utterance = Utterance(
                dialogue=row.dialogue,
                turn=row.turn,
                speaker=row.speaker,
                text=row.text,
                emotion=findings.emotion(row.emotion, file, line),
                sentiment=findings.sentiment(row.sentiment, file, line),
            )
            gathering.add(split, utterance, file, line)
    return gathering.splits()


def official_files(folder: Path) -> list[tuple[Path, str]]:
    """Give the files of the official splits that are there."""
    return [
        (folder / f"{stem}.jsonl", split)
        for stem, split in STEMS.items()
        if (folder / f"{stem}.jsonl").is_file()
    ]


def feature_row(file: Path, row: int | None) -> FeatureRow | None:
    """Name a row of published features; None where there is none."""
    return None if row is None else FeatureRow(str(file), "features", row)


def read_collected_goemotions(folder: Path, findings: Findings) -> Splits:
    """Give the comments that have one emotion; each is a dialogue of its own."""
    gathering = Gathering(findings)
    for file, split in official_files(folder):
        gathering.expect(split)
        for line, row in read_rows(file, CommentRow, findings):
            if len(row.emotions) != 1:
                findings.counts["comments with several emotions, left out"] += 1
                continue
            utterance = Utterance(
                dialogue=f"go_{file.stem}_{line - 1}",
                turn=0,
                speaker="author",
                text=row.text,
                emotion=findings.emotion(row.emotions[0], file, line),
            )
            gathering.add(split, utterance, file, line)
    return gathering.splits()


def read_collected_iemocap(folder: Path, findings: Findings) -> Splits:
    """Give all of IEMOCAP in order, with published functionals where there are some."""
    gathering = Gathering(findings)
    file = folder / "utterances.jsonl"
    for line, row in read_rows(file, IemocapRow, findings):
        if row.session not in SESSION_SPLITS:
            message = f"expected session 1 to 5, got {row.session}"
            findings.at(file).add(line, message)
            continue
        if row.is09_row is None:
            findings.counts["utterances of iemocap without features"] += 1
        utterance = Utterance(
            dialogue=row.dialogue,
            turn=row.turn,
            speaker=row.speaker,
            text=row.text,
            start_s=row.start_s,
            end_s=row.end_s,
            emotion=findings.emotion(row.emotion, file, line),
            features=feature_row(folder / "is09.npz", row.is09_row),
            session=str(row.session),
        )
        gathering.add(SESSION_SPLITS[row.session], utterance, file, line)
    return gathering.splits()


def read_collected_ravdess(folder: Path, findings: Findings) -> Splits:
    """Give RAVDESS's clips, each a dialogue of one turn."""
    gathering = Gathering(findings)
    file = folder / "clips.jsonl"
    for line, row in read_rows(file, ClipRow, findings):
        split = split_of_actor(row.actor)
        clip = folder / row.file
        if split is None or not clip.is_file():
            message = f"expected a clip of actor 1 to 24, got {row.file!r}"
            findings.at(file).add(line, message)
            continue
        actor = f"actor{row.actor:02}"
        utterance = Utterance(
            dialogue=clip.stem,
            turn=0,
            speaker=actor,
            text=row.text,
            audio=str(clip),
            start_s=row.voice_start_s,
            end_s=row.voice_end_s,
            emotion=findings.emotion(row.emotion, file, line),
            session=actor,
        )
        gathering.add(split, utterance, file, line)
    return gathering.splits()


def read_collected_mosi(folder: Path, findings: Findings) -> Splits:
    """Give CMU-MOSI; neutral does not exist there: zero counts as positive."""
    gathering = Gathering(findings)
    file = folder / "utterances.jsonl"
    for line, row in read_rows(file, OpinionRow, findings):
        if row.audio73_row is None:
            findings.counts["utterances of mosi without features"] += 1
        utterance = Utterance(
            dialogue=row.dialogue,
            turn=row.turn,
            speaker=row.speaker,
            text=row.text,
            sentiment=findings.sentiment(row.sentiment2, file, line),
            features=feature_row(folder / "audio73.npz", row.audio73_row),
        )
        gathering.add(STEMS[row.split], utterance, file, line)
    return gathering.splits()
