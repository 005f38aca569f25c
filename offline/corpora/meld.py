"""MELD.Raw -> utterances: three tables, and a folder of clips beside each."""

from __future__ import annotations

from pathlib import Path

from .findings import Findings
from .form import TEST, TRAIN, VALIDATION, Utterance
from .sources import enter, plain_text, read_table
from .splits import Gathering, Splits

TABLES = {
    "train": (TRAIN, "train_splits"),
    "dev": (VALIDATION, "dev_splits_complete"),
    "test": (TEST, "output_repeated_splits_test"),
}
"""By the stem of its table: the split, and the folder of its clips."""

COLUMNS = (
    "Utterance",
    "Speaker",
    "Emotion",
    "Sentiment",
    "Dialogue_ID",
    "Utterance_ID",
)


def read_meld(folder: Path, findings: Findings) -> Splits:
    """Give the official splits; a line without a clip keeps its words.

    Args:
        folder: `MELD.Raw`, or what holds it.
        findings: Where to complain and to count the lines without a clip.
    """
    root = enter(folder, "MELD.Raw")
    gathering = Gathering(findings)
    for stem, (split, clips) in TABLES.items():
        file = root / f"{stem}_sent_emo.csv"
        if not file.is_file():
            continue
        gathering.expect(split)
        for line, row in read_table(file, COLUMNS, findings):
            dialogue, turn = row["Dialogue_ID"], row["Utterance_ID"]
            if not (dialogue.isdecimal() and turn.isdecimal()):
                message = f"expected two numbers as IDs, got {dialogue!r} and {turn!r}"
                findings.at(file).add(line, message)
                continue
            clip = find_clip(root / clips, f"dia{dialogue}_utt{turn}")
            if clip is None:
                findings.counts[f"utterances of meld ({split}) without a clip"] += 1
            utterance = Utterance(
                dialogue=f"meld_{stem}_{dialogue}",
                turn=int(turn),
                speaker=plain_text(row["Speaker"]),
                text=plain_text(row["Utterance"]),
                audio=None if clip is None else str(clip),
                emotion=findings.emotion(row["Emotion"], file, line),
                sentiment=findings.sentiment(row["Sentiment"], file, line),
            )
            gathering.add(split, utterance, file, line)
    return gathering.splits()


def find_clip(folder: Path, name: str) -> Path | None:
    """Give the sound of an utterance, or else its video, whose sound is decoded."""
    for suffix in (".wav", ".mp4"):
        clip = folder / f"{name}{suffix}"
        if clip.is_file():
            return clip
    return None
