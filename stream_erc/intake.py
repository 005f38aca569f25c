"""What sessions have to hear -> Placed: one call of the voice detector for all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from . import events
from .flow import Completeness, Frame, Samples
from .listener import Listener, Placed
from .pipeline import instruct
from .rounds import Outcome, attempt
from .vad import Heard, VoiceDetector

log = logging.getLogger(__name__)


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
        return self.listener.receive(self.item) if isinstance(self.item, bytes) else []

    def carry_out(
        self, frames: Sequence[Frame], probabilities: Sequence[float]
    ) -> list[Placed]:
        """Do all else."""
        if isinstance(self.item, bytes):
            return self.listener.hear(frames, probabilities)
        if isinstance(self.item, Completeness):
            return self.listener.judge(self.item)
        return instruct(self.listener, self.item)


def hear_together(vad: VoiceDetector, intakes: Sequence[Intake]) -> list[Outcome]:
    """Take in what several sessions, each once, have to hear.

    Returns:
        Of each what `Intake.carry_out` gives; where one fails, the others are heard
        all the same.
    """
    received = [attempt(intake.receive) for intake in intakes]
    heard = [
        (intake.listener.probability, [frame.samples for frame in frames or ()])
        for intake, (frames, _) in zip(intakes, received, strict=True)
    ]
    outcomes: list[Outcome] = []
    for intake, (frames, deaf), (probabilities, failed) in zip(
        intakes, received, detect(vad, heard), strict=True
    ):
        if error := deaf or failed:
            outcomes.append((None, error))
        else:
            outcomes.append(attempt(intake.carry_out, frames, probabilities))
    return outcomes


def detect(vad: VoiceDetector, heard: Heard) -> list[Outcome]:
    """Judge the frames of all streams together, or one by one where that fails."""
    try:
        return [(probabilities, None) for probabilities in vad.detect(heard)]
    except Exception as error:  # each hears of its own; that of all is for the log
        log.warning("frames of several sessions are judged one by one", exc_info=error)
        return [attempt(judge_one, vad, one) for one in heard]


def judge_one(vad: VoiceDetector, one: tuple[Any, Sequence[Samples]]) -> list[float]:
    """Judge the frames of one stream."""
    [probabilities] = vad.detect([one])
    return probabilities
