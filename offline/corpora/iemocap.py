"""IEMOCAP's release folders -> utterances: evaluations, transcripts, sentence files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .findings import WHOLE_FILE, Findings
from .form import TEST, TRAIN, VALIDATION, Utterance
from .sources import enter, plain_text, read_lines
from .splits import Gathering, Splits

SESSION_SPLITS = {1: VALIDATION, 2: TRAIN, 3: TRAIN, 4: TRAIN, 5: TEST}
"""By session: the split of Dutta and Ganapathy (2025)."""

EVALUATION = re.compile(r"\[(\d+\.\d+) - \d+\.\d+\]\t(Ses\S+_[FM]\w+)\t(\w+)\t\[.*\]")
TRANSCRIPT = re.compile(r"(Ses\S+_[FM]\w+) \[[\d.]+-[\d.]+\]: ?(.*)")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A line of EmoEvaluation.

    Attributes:
        start_s: On the dialogue's recording.
        turn_name: Such as Ses01F_impro01_F000.
        emotion: The majority's, in IEMOCAP's abbreviations.
        line: Where it stands.
    """

    start_s: float
    turn_name: str
    emotion: str
    line: int


def read_iemocap(folder: Path, findings: Findings) -> Splits:
    """Give every evaluated utterance in order of time; all but our seven is context.

    Args:
        folder: `IEMOCAP_full_release`, or what holds it.
        findings: Where to complain.
    """
    root = enter(folder, "IEMOCAP_full_release")
    gathering = Gathering(findings)
    for number, split in SESSION_SPLITS.items():
        session = root / f"Session{number}"
        # The release has files of the same names with "._" in front; they are no text.
        for file in sorted((session / "dialog" / "EmoEvaluation").glob("Ses*.txt")):
            gathering.expect(split)
            for utterance, line in read_dialogue(file, session, findings):
                gathering.add(split, utterance, file, line)
    return gathering.splits()


def read_dialogue(
    file: Path, session: Path, findings: Findings
) -> Iterator[tuple[Utterance, int]]:
    """Give the utterances of one dialogue in order of time, and their lines."""
    transcript = session / "dialog" / "transcriptions" / file.name
    texts = read_transcript(transcript, findings)
    sentences = session / "sentences" / "wav" / file.stem
    number = session.name.removeprefix("Session")
    for turn, evaluation in enumerate(read_evaluations(file, findings)):
        name = evaluation.turn_name
        if name not in texts:
            message = f"expected a transcript of {name} in {transcript}, got none"
            findings.at(file).add(evaluation.line, message)
        audio = sentences / f"{name}.wav"
        if not audio.is_file():
            findings.counts["utterances of iemocap without a recording"] += 1
        utterance = Utterance(
            dialogue=file.stem,
            turn=turn,
            speaker=number + name.rpartition("_")[2][0],
            text=texts.get(name),
            audio=str(audio) if audio.is_file() else None,
            emotion=findings.emotion(evaluation.emotion, file, evaluation.line),
            session=number,
        )
        yield utterance, evaluation.line


def read_evaluations(file: Path, findings: Findings) -> list[Evaluation]:
    """Give the summary lines of an evaluation, in order of time.

    The lines of the single evaluators between them are passed over.
    """
    evaluations = []
    for number, line in read_lines(file):
        if not line.startswith("["):
            continue
        match = EVALUATION.fullmatch(line)
        if match is None:
            message = f"expected [start - end], turn, emotion, [v, a, d], got {line!r}"
            findings.at(file).add(number, message)
            continue
        start_s, turn_name, emotion = match.groups()
        evaluations.append(Evaluation(float(start_s), turn_name, emotion, number))
    return sorted(evaluations, key=lambda one: (one.start_s, one.turn_name))


def read_transcript(file: Path, findings: Findings) -> dict[str, str]:
    """Give the words of each turn; {} and a problem if there is no such file.

    Words that belong to no turn (`F: [LAUGHTER]`) are passed over.
    """
    if not file.is_file():
        findings.at(file).add(WHOLE_FILE, "expected a transcript, got no file")
        return {}
    matches = (TRANSCRIPT.fullmatch(line) for _, line in read_lines(file))
    return {match[1]: plain_text(match[2]) for match in matches if match}
