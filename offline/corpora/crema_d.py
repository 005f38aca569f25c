"""CREMA-D's clips -> utterances: all is in the names of the files.

Actor (1001 to 1091), sentence, emotion, intensity (Cao et al., 2014).
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

CLIP_NAME = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_[A-Z]{1,2}")

SENTENCES = {
    "IEO": "It's eleven o'clock.",
    "TIE": "That is exactly what happened.",
    "IOM": "I'm on my way to the meeting.",
    "IWW": "I wonder what this is about.",
    "TAI": "The airplane is almost full.",
    "MTI": "Maybe tomorrow it will be cold.",
    "IWL": "I would like a new alarm clock.",
    "ITH": "I think I have a doctor's appointment.",
    "DFA": "Don't forget a jacket.",
    "ITS": "I think I've seen this before.",
    "TSI": "The surface is slick.",
    "WSI": "We'll stop in a couple of minutes.",
}


def split_of_actor(actor: int) -> str:
    """Give the split of an actor.

    There is no official one. Of five actors in a row one tests, one validates and
    three train: 18, 19 and 54 of the 91.
    """
    return {0: TEST, 1: VALIDATION}.get(actor % 5, TRAIN)


def read_crema_d(folder: Path, findings: Findings) -> Splits:
    """Give the clips, each a dialogue of one turn.

    Args:
        folder: Holds AudioWAV.
        findings: Where to complain.
    """
    gathering, vad = Gathering(findings), SileroVad()
    for file in sorted(enter(folder, "AudioWAV").glob("*.wav")):
        match = CLIP_NAME.fullmatch(file.stem)
        if match is None or match[2] not in SENTENCES:
            message = "expected the name of a clip, such as 1001_DFA_ANG_XX.wav"
            findings.at(file).add(WHOLE_FILE, message)
            continue
        actor = match[1]
        gathering.expect(split_of_actor(int(actor)))
        voice = find_voice(file, vad, findings)
        if voice is None:
            continue
        utterance = Utterance(
            dialogue=file.stem,
            turn=0,
            speaker=f"actor{actor}",
            text=SENTENCES[match[2]],
            audio=str(file),
            start_s=voice.start_s,
            end_s=voice.end_s,
            emotion=findings.emotion(match[3], file, WHOLE_FILE),
            session=f"actor{actor}",
        )
        gathering.add(split_of_actor(int(actor)), utterance, file, WHOLE_FILE)
    return gathering.splits()
