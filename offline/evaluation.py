"""A model folder -> figures on the test splits, through the code that serves it.

Nothing here knows torch. Every figure of the model card comes from this report.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SAMPLE_RATE_HZ, TurnFeatures, VoiceFeatures
from stream_erc.functionals import KEPT_IS09_COLUMNS, functionals
from stream_erc.fusion import EmotionModel

from .corpora import (
    FOUR_WAY,
    TEST,
    Utterance,
    group_dialogues,
    of_split,
    read_iemocap,
    read_meld,
    read_ravdess,
)
from .scores import (
    calibration_error,
    class_scores,
    confusion,
    macro_f1,
    unweighted_recall,
    weighted_f1,
)
from .voice_cache import cut_clip

log = logging.getLogger(__name__)

ACTED_TURNS = 20  # of each made-up dialogue; two actors have 120 clips
PART_S = 1.5  # heard before a provisional emotion, in the figures of partials


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn to judge, and what it is."""

    features: TurnFeatures
    emotion: str | None


Dialogue = list[Turn]
Judged = tuple[NDArray[np.intp], NDArray[np.float32]]


def judge(model: EmotionModel, conversations: Sequence[Sequence[Dialogue]]) -> Judged:
    """Play conversations, side by side, turn after turn.

    Args:
        model: What judges.
        conversations: Each a list of dialogues among the same people. Voices are
            remembered throughout, what was said only within a dialogue.

    Returns:
        Wanted classes (n,) and probabilities (n, 7) of the turns with an emotion.
    """
    wanted, found = [], []
    lanes = [
        [(turn, index == 0) for part in each for index, turn in enumerate(part)]
        for each in conversations
    ]
    contexts = [model.empty_context() for _ in lanes]
    for step in range(max(len(lane) for lane in lanes)):
        active = [lane for lane in range(len(lanes)) if step < len(lanes[lane])]
        for lane in active:
            if lanes[lane][step][1]:
                voices = contexts[lane].voices
                contexts[lane] = replace(model.empty_context(), voices=voices)
        turns = [lanes[lane][step][0] for lane in active]
        results = model.step(
            [turn.features for turn in turns], [contexts[lane] for lane in active]
        )
        for lane, turn, (emotion, after) in zip(active, turns, results, strict=True):
            contexts[lane] = after
            if turn.emotion is not None and emotion.modalities:
                wanted.append(EMOTIONS.index(turn.emotion))
                found.append(emotion.emotions)
    return np.array(wanted, np.intp), np.array(found, np.float32).reshape(-1, 7)


def masked(dialogue: Dialogue, modality: str) -> Dialogue:
    """Hide all but one modality ("text" or "audio"); "both" hides nothing."""
    turns = []
    for turn in dialogue:
        features = turn.features
        if modality == "text":
            features = replace(features, voice=None)
        elif modality == "audio":
            features = replace(features, text=None)
        turns.append(Turn(features, turn.emotion))
    return turns


def report(judged: Judged) -> dict[str, Any]:
    """Give the figures of some turns, the seven classes open."""
    wanted, probabilities = judged
    given = probabilities.argmax(1)
    n_wanted, recall, f1 = class_scores(wanted, given)
    return {
        "n": len(wanted),
        "weighted_f1": round(weighted_f1(wanted, given), 4),
        "macro_f1": round(macro_f1(wanted, given), 4),
        "uar": round(unweighted_recall(wanted, given), 4),
        "calibration_error": round(calibration_error(probabilities, wanted), 4),
        "per_class": {
            EMOTIONS[k]: {
                "n": int(n_wanted[k]),
                "recall": round(float(recall[k]), 4),
                "f1": round(float(f1[k]), 4),
            }
            for k in range(len(n_wanted))
            if n_wanted[k]
        },
        "confusion": confusion(wanted, given, len(EMOTIONS)).tolist(),
    }


def restrict(judged: Judged) -> Judged:
    """Keep IEMOCAP's four classes, and share out the others' probability."""
    wanted, probabilities = judged
    four = np.array([EMOTIONS.index(name) for name in FOUR_WAY])
    kept = np.isin(wanted, four)
    only = np.zeros_like(probabilities[kept])
    only[:, four] = probabilities[kept][:, four]
    return wanted[kept], only / only.sum(1, keepdims=True)


def meld_test(data: Path) -> list[list[Dialogue]]:
    """Give MELD's test dialogues, words alone, each its own conversation."""
    return [
        [[Turn(TurnFeatures(u.speaker, u.text, None), u.emotion) for u in group]]
        for group in group_dialogues(of_split(read_meld(data / "meld"), TEST))
    ]


def iemocap_test(data: Path) -> list[list[Dialogue]]:
    """Give IEMOCAP's session 5 as one conversation of many dialogues.

    Every utterance is context; the four-way ones have functionals and are judged.
    """
    with np.load(data / "iemocap" / "is09.npz", allow_pickle=False) as arrays:
        published = arrays["features"][:, KEPT_IS09_COLUMNS].astype(np.float32)
    dialogues = []
    for group in group_dialogues(of_split(read_iemocap(data / "iemocap"), TEST)):
        dialogue = []
        for u in group:
            voice = None
            if u.is09_row is not None:
                voice = VoiceFeatures(None, published[u.is09_row])
            is_judged = u.is09_row is not None
            features = TurnFeatures(u.speaker, u.text, voice)
            dialogue.append(Turn(features, u.emotion if is_judged else None))
        dialogues.append(dialogue)
    return [dialogues]


def ravdess_test(
    data: Path, whisper: Whisper, seed: int, part_s: float | None = None
) -> list[list[Dialogue]]:
    """Give the test actors' clips as dialogues of two who alternate, all called alike.

    Words are what the recognizer understands. Every clip appears once.

    Args:
        data: Folder of the corpora.
        whisper: The recognizer.
        seed: Of the order of the clips.
        part_s: How much of each clip is heard; None for all of it.
    """
    clips = of_split(read_ravdess(data / "ravdess"), TEST)
    draw = np.random.default_rng(seed)
    actors = [
        str(actor) for actor in draw.permutation(sorted({c.speaker for c in clips}))
    ]
    conversations = []
    for pair in zip(actors[::2], actors[1::2], strict=True):
        queues = [
            list(
                draw.permutation([i for i, c in enumerate(clips) if c.speaker == actor])
            )
            for actor in pair
        ]
        order = [queue[i] for i in range(len(queues[0])) for queue in queues]
        turns = [hear(clips[int(index)], whisper, part_s) for index in order]
        conversations += [
            [turns[start : start + ACTED_TURNS]]
            for start in range(0, len(turns), ACTED_TURNS)
        ]
    return conversations


def hear(clip: Utterance, whisper: Whisper, part_s: float | None) -> Turn:
    """Give a clip as the server would: transcript and voice."""
    samples = cut_clip(clip)
    if part_s is not None:
        samples = samples[: int(part_s * SAMPLE_RATE_HZ)]
    heard = whisper.hear(samples)
    voice = VoiceFeatures(heard.voice, functionals(samples))
    return Turn(TurnFeatures("speaker", heard.text or None, voice), clip.emotion)


def evaluate(folder: Path, data: Path, seed: int = 0) -> dict[str, Any]:
    """Score a model folder on the test splits.

    Raises:
        ModelError: If the folder is no model.
        ConfigError: If a corpus is missing or damaged.
    """
    model = EmotionModel(folder)
    whisper = Whisper(AsrConfig(workers=1))
    if whisper.voice_size != model.voice_size:
        raise ConfigError(
            f"{folder}: expected a model for voices of {whisper.voice_size} numbers, "
            f"got {model.voice_size}"
        )
    iemocap, ravdess = iemocap_test(data), ravdess_test(data, whisper, seed)
    figures = {"meld_test_text": report(judge(model, meld_test(data)))}
    log.info("evaluated: MELD")
    for modality in ("text", "audio", "both"):
        hidden = [[masked(part, modality) for part in each] for each in iemocap]
        judged = restrict(judge(model, hidden))
        figures[f"iemocap_session5_four_way_{modality}"] = report(judged)
        hidden = [[masked(part, modality) for part in each] for each in ravdess]
        figures[f"ravdess_actors21-24_{modality}"] = report(judge(model, hidden))
    parts = ravdess_test(data, whisper, seed, PART_S)
    name = f"ravdess_actors21-24_both_first_{PART_S}s"
    figures[name] = report(judge(model, parts))
    return {"seed": seed, "figures": figures}


def write_report(result: dict[str, Any], file: Path) -> None:
    """Write a report as JSON."""
    file.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
