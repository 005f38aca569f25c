"""What sessions have to hear -> Placed: one call of the voice detector for all.

Where it fails, loudness is left: nobody's session ends for it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

from . import events
from .flow import Completeness, Frame, Samples
from .listener import Listener, Placed
from .pipeline import instruct
from .rounds import Outcome, attempt
from .vad import Heard, VoiceDetector

log = logging.getLogger(__name__)

CUTTING = (events.SpeakerSet, events.TurnFlush, events.SessionEnd)
"""Messages before which all that came must be heard."""


@dataclass(frozen=True, slots=True)
class Intake:
    """What one session's listener takes in next.

    Attributes:
        listener: Of the session.
        item: Audio, a message among the audio, or what `Listener.judge` waits for.
    """

    listener: Listener
    item: bytes | events.ClientMessage | Completeness

    @property
    def is_audio(self) -> bool:
        """Whether it is audio, of which more may come at the same time."""
        return isinstance(self.item, bytes)

    def receive(self) -> list[Frame]:
        """Give the frames that are to be judged first."""
        if isinstance(self.item, bytes):
            return self.listener.receive(self.item)
        return self.listener.settle() if isinstance(self.item, CUTTING) else []

    def carry_out(
        self, frames: Sequence[Frame], probabilities: Sequence[float] | None
    ) -> list[Placed]:
        """Do all else; `probabilities` as `Listener.hear` takes them."""
        if isinstance(self.item, Completeness):
            return self.listener.judge(self.item)
        placed = self.listener.hear(frames, probabilities)
        if not isinstance(self.item, bytes):
            placed += instruct(self.listener, self.item)
        return placed


class JointIntake:
    """What several sessions, each once, take in together: a `rounds.Round`.

    Where one fails, the others take in theirs all the same.

    Args:
        vad: Judges the frames of all.
        intakes: Of the sessions.
    """

    def __init__(self, vad: VoiceDetector, intakes: Sequence[Intake]) -> None:
        self._vad = vad
        self._intakes = intakes
        self._received = [attempt(intake.receive) for intake in intakes]
        self._heard = [
            (intake.listener.probability, [frame.samples for frame in frames or ()])
            for intake, (frames, _) in zip(intakes, self._received, strict=True)
        ]

    def ask(self) -> list[Outcome]:
        """Judge the frames of all streams together, or one by one where that fails."""
        try:
            return [(found, None) for found in detect(self._vad, self._heard)]
        except Exception as error:
            alone = [attempt(judge_one, self._vad, one) for one in self._heard]
            if all(failed is None for _, failed in alone):  # or it is told of below
                log.warning("frames are judged one by one", exc_info=error)
            return alone

    def finish(self, answer: Outcome) -> list[Outcome]:
        """Give of each intake what `Intake.carry_out` gives."""
        detected, failed = answer
        if failed is not None:
            detected = [(None, failed)] * len(self._intakes)
            for intake in self._intakes:  # a call that was given up may move the old
                intake.listener.probability = self._vad.stream()
        self._log_failures(detected)
        outcomes: list[Outcome] = []
        for intake, (frames, deaf), (probabilities, _) in zip(
            self._intakes, self._received, detected, strict=True
        ):
            if deaf is not None:
                outcomes.append((None, deaf))
            else:
                outcomes.append(attempt(intake.carry_out, frames, probabilities))
        return outcomes

    def _log_failures(self, detected: Sequence[Outcome]) -> None:
        """Log what fails now and did not before, or one talk would fill a disk."""
        news = {
            error: None  # each once, in their order
            for intake, (frames, _), (_, error) in zip(
                self._intakes, self._received, detected, strict=True
            )
            if error is not None and frames and not intake.listener.is_guessing
        }
        for error in news:
            log.error("detect failed", exc_info=error)


def detect(vad: VoiceDetector, heard: Heard) -> list[list[float]]:
    """Give P(speech) of the frames of several streams.

    Raises:
        FloatingPointError: If one is no number.
    """
    found = vad.detect(heard)
    if not all(map(math.isfinite, chain.from_iterable(found))):
        raise FloatingPointError("vad: expected finite probabilities, got others")
    return found


def judge_one(vad: VoiceDetector, one: tuple[Any, Sequence[Samples]]) -> list[float]:
    """Judge the frames of one stream."""
    [probabilities] = detect(vad, [one])
    return probabilities
