"""EmoryNLP -> utterances: another reading of the scripts that MELD's scenes are from.

What a model is tested on must not be in what it learns: a scene that has a line in
common with MELD's dev or test split is left out as a whole.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from .collected import official_files
from .findings import Findings
from .form import Utterance
from .sources import read_rows
from .splits import Gathering, Splits

LONG_WORDS = 5  # shorter lines ("Oh my God!") stand in every other scene

SHARED = "left out: a line of theirs is in MELD's dev or test"

WORD = re.compile(r"[a-z0-9]+")


class SceneRow(msgspec.Struct, frozen=True):
    """A line of `emorynlp/`."""

    dialogue: str
    turn: int
    speaker: str
    text: str
    emotion: str


class TextRow(msgspec.Struct, frozen=True):
    """All that is asked of a line of `meld/` here."""

    text: str


def read_collected_emorynlp(folder: Path, findings: Findings) -> Splits:
    """Give the scenes that share no long line with MELD's dev or test.

    Args:
        folder: `emorynlp/`; MELD is looked for beside it, in `meld/`.
        findings: Where to complain and to count the scenes left out.
    """
    hidden = hidden_lines(folder.parent / "meld")
    gathering = Gathering(findings)
    for file, split in official_files(folder):
        gathering.expect(split)
        rows = list(read_rows(file, SceneRow, findings))
        shared = {row.dialogue for _, row in rows if normalise(row.text) in hidden}
        findings.counts[f"scenes of emorynlp ({split}) {SHARED}"] += len(shared)
        for line, row in rows:
            if row.dialogue in shared:
                continue
            utterance = Utterance(
                dialogue=row.dialogue,
                turn=row.turn,
                speaker=row.speaker,
                text=row.text,
                emotion=findings.emotion(row.emotion, file, line),
            )
            gathering.add(split, utterance, file, line)
    return gathering.splits()


def hidden_lines(meld: Path) -> set[str]:
    """Give the long lines of MELD's dev and test, normalised.

    Raises:
        ConfigError: If they are not there: nothing could be left out.
    """
    unheard = Findings(strict=False)  # MELD's own reader complains of them
    texts = (
        normalise(row.text)
        for stem in ("dev", "test")
        for _, row in read_rows(meld / f"{stem}.jsonl", TextRow, unheard)
    )
    return {text for text in texts if text.count(" ") >= LONG_WORDS - 1}


def normalise(text: str) -> str:
    """Give the words of a line, without case and punctuation."""
    return " ".join(WORD.findall(text.lower().replace("'", "")))
