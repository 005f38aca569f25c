"""RAVDESS's clips -> utterances: all is in the names of the files.

Seven numbers: modality (03 audio alone), channel (01 speech, 02 song), emotion,
intensity, statement, repetition, actor (Livingstone and Russo, 2018).
"""

from __future__ import annotations

import re
from pathlib import Path

from stream_erc.vad import SileroVad

from .findings import WHOLE_FILE, Findings
from .form import TEST, TRAIN, VALIDATION, Utterance
from .sources import enter
from .splits import Gathering, Splits
from .voice import find_voice

CLIP_NAME = re.compile(r"03-01-(0[1-8])-0[12]-(0[12])-0[12]-(\d\d)")
SONG_PREFIX = "03-02-"

EMOTION_CODES = {
    "01": "neutral",
    "02": "calm",
    "03": "happy",
    "04": "sad",
    "05": "angry",
    "06": "fearful",
    "07": "disgust",
    "08": "surprised",
}
STATEMENTS = {
    "01": "Kids are talking by the door.",
    "02": "Dogs are sitting by the door.",
}


def split_of_actor(actor: int) -> str | None:
    """Give the split of an actor, 1 to 24; None if there is no such actor."""
    if not 1 <= actor <= 24:
        return None
    return TRAIN if actor <= 16 else VALIDATION if actor <= 20 else TEST


def read_ravdess(folder: Path, findings: Findings) -> Splits:
    """Give the spoken clips, each a dialogue of one turn; songs are left out.

    Args:
        folder: Holds Actor_01 to Actor_24, or some of them.
        findings: Where to complain.
    """
    gathering, vad = Gathering(findings), SileroVad()
    for file in sorted(
        enter(folder, "Audio_Speech_Actors_01-24").glob("Actor_*/*.wav")
    ):
        if file.stem.startswith(SONG_PREFIX):
            findings.counts["songs of ravdess, left out"] += 1
            continue
        match = CLIP_NAME.fullmatch(file.stem)
        split = split_of_actor(int(match[3])) if match else None
        if match is None or split is None:
            message = "expected the name of a clip, 03-01-EE-II-SS-RR-AA.wav"
            findings.at(file).add(WHOLE_FILE, message)
            continue
        gathering.expect(split)
        voice = find_voice(file, vad, findings)
        if voice is None:
            continue
        actor = f"actor{match[3]}"
        utterance = Utterance(
            dialogue=file.stem,
            turn=0,
            speaker=actor,
            text=STATEMENTS[match[2]],
            audio=str(file),
            start_s=voice.start_s,
            end_s=voice.end_s,
            emotion=findings.emotion(EMOTION_CODES[match[1]], file, WHOLE_FILE),
            session=actor,
        )
        gathering.add(split, utterance, file, WHOLE_FILE)
    return gathering.splits()
