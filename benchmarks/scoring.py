"""Matches of clips and turns -> how right boundaries, words and emotions are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.dialogues import to_ms
from benchmarks.matching import Match, normalise
from benchmarks.report import Spread, spread
from offline.evaluation.mishearing import count_word_errors
from offline.evaluation.scores import (
    calibration_error,
    confusion,
    unweighted_recall,
    weighted_f1,
)
from stream_erc.flow import EMOTIONS

NO_TURN = len(EMOTIONS)
"""What counts as given where a clip has no turn: no class, so always wrong."""


@dataclass(frozen=True, slots=True)
class Boundaries:
    """How far turns are from the voices in them, in milliseconds.

    Attributes:
        start_error: Distance of `voice_start_ms` of a clip's first turn.
        end_error: Distance of `end_ms` of its last.
        start_offset: The same with its sign; above 0: the turn starts late.
        end_offset: Above 0: the turn ends late.
    """

    start_error: Spread
    end_error: Spread
    start_offset: Spread
    end_offset: Spread

    def spreads(self) -> dict[str, Spread]:
        """Give all four by name."""
        return {
            "start_error": self.start_error,
            "end_error": self.end_error,
            "start_offset": self.start_offset,
            "end_offset": self.end_offset,
        }


@dataclass(frozen=True, slots=True)
class EmotionScores:
    """How right the emotions are; a clip without a turn counts as wrong.

    Attributes:
        n: Clips.
        n_without_turn: Those of them that have no turn.
        recall: Averaged over the classes that occur (UAR).
        weighted_f1: F1 weighted by how often a class occurs.
        accuracy: Share of clips.
        calibration_error: Of the winner's probability, where there is a turn.
        confusion: Truth down, given across, the last column: no turn.
    """

    n: int
    n_without_turn: int
    recall: float
    weighted_f1: float
    accuracy: float
    calibration_error: float
    confusion: NDArray[np.intp]

    def to_json(self) -> dict[str, Any]:
        """Give them for the last line."""
        return {
            "n": self.n,
            "n_without_turn": self.n_without_turn,
            "uar": self.recall,
            "weighted_f1": self.weighted_f1,
            "accuracy": self.accuracy,
            "expected_calibration_error": self.calibration_error,
            "labels": list(EMOTIONS),
            "confusion": self.confusion.tolist(),
        }


def measure_boundaries(matches: Sequence[Match]) -> Boundaries:
    """Compare where turns start and end with the truth; clips without turn left out."""
    found = [matched for matched in matches if matched.turns]
    starts = [m.turns[0].voice_start_ms - to_ms(m.clip.voice_start) for m in found]
    ends = [(m.turns[-1].end_ms or 0) - to_ms(m.clip.voice_end) for m in found]
    return Boundaries(
        start_error=spread([abs(offset) for offset in starts]),
        end_error=spread([abs(offset) for offset in ends]),
        start_offset=spread(starts),
        end_offset=spread(ends),
    )


def one_turn_share(matches: Sequence[Match]) -> float:
    """Give the share of clips that came back as one turn, and it holds no other."""
    return sum(matched.is_one_turn for matched in matches) / max(1, len(matches))


def word_error_rate(matches: Sequence[Match]) -> float:
    """Errors per word of the truth, over all clips; see `matching.normalise`."""
    n_errors = n_words = 0
    for matched in matches:
        wanted = normalise(matched.clip.voice.text)
        n_errors += count_word_errors(wanted, normalise(matched.text))
        n_words += len(wanted)
    return n_errors / max(1, n_words)


def score_emotions(matches: Sequence[Match]) -> EmotionScores:
    """Compare the emotion of each clip's longest turn with the truth."""
    wanted, given, judged, probabilities = [], [], [], []
    for matched in matches:
        emotion, turn = matched.clip.voice.emotion, matched.longest
        assert emotion is not None
        wanted.append(EMOTIONS.index(emotion))
        if turn is None or turn.label is None:
            given.append(NO_TURN)
            continue
        given.append(EMOTIONS.index(turn.label))
        judged.append(wanted[-1])
        probabilities.append([turn.probabilities[name] for name in EMOTIONS])
    truth, answers = np.array(wanted, np.intp), np.array(given, np.intp)
    return EmotionScores(
        n=len(matches),
        n_without_turn=int((answers == NO_TURN).sum()),
        recall=unweighted_recall(truth, answers),
        weighted_f1=weighted_f1(truth, answers),
        accuracy=float((truth == answers).mean()),
        calibration_error=calibration_error(
            np.array(probabilities, np.float32), np.array(judged, np.intp)
        ),
        confusion=confusion(truth, answers, NO_TURN + 1)[:NO_TURN],
    )
