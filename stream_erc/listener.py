"""bytes -> Record: the listening stages of one session, in their order.

Cheap and without models but the voice detector, which many listeners share; see
`intake.py`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial

from .audio import Decoder, Framer
from .config import Settings
from .events import Reason
from .flow import (
    AudioAltered,
    Completeness,
    ContextAdded,
    Frame,
    JudgedFrame,
    MarkerReached,
    Record,
    Samples,
    StreamEnded,
)
from .turns import TurnBuilder
from .vad import SpeechProbability, VoiceGate, guess_voice

Placed = tuple[int, Record]
"""A record, and how many samples had been heard when it was made."""

Tap = Callable[[Samples], None]
"""Gets a stream's samples at 16 kHz, in their order."""


Step = Callable[[], list[Placed]]
"""What the listener does next."""


class Listener:
    """One session's stream: audio and instructions in, placed records out.

    Where the words before a pause decide when the turn ends, it stops until `judge`
    tells it what they sound like; all that comes meanwhile waits in line.

    Args:
        encoding: As `events.Encoding`.
        sample_rate_hz: Of the audio that comes.
        channels: Of the audio that comes; mixed to one.
        speaker: Who speaks first.
        settings: Of the voice detector and the turns.
        probability: The voice detector's stream.
        tap: Gets the audio, too.

    Attributes:
        probability: The voice detector's stream.
    """

    def __init__(
        self,
        encoding: str,
        sample_rate_hz: int,
        channels: int,
        *,
        speaker: str,
        settings: Settings,
        probability: SpeechProbability,
        tap: Tap | None = None,
    ) -> None:
        self.probability = probability
        self._decoder = Decoder(encoding, sample_rate_hz, channels)
        self._tap = tap
        self._framer = Framer()
        self._gate = VoiceGate(settings.vad)
        self._turns = TurnBuilder(settings.turns, speaker)
        self._steps: deque[Step] = deque()  # not yet taken
        self._heard = 0  # samples judged by the voice detector
        self._is_guessing = False
        self._is_over = False

    @property
    def heard(self) -> int:
        """How many samples have been heard."""
        return self._heard

    @property
    def missing_samples(self) -> int:
        """How many more, at 16 kHz, must come at least before `push` can tell more."""
        return max(1, self._framer.next_end - self._decoder.position)

    @property
    def is_waiting(self) -> bool:
        """Whether nothing more is heard before `judge` is called."""
        return self._turns.is_waiting

    @property
    def is_guessing(self) -> bool:
        """Whether the voice detector has failed at the last frames."""
        return self._is_guessing

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return self._is_over

    def push(self, data: bytes) -> list[Placed]:
        """Hear audio, cut anywhere."""
        frames = self.receive(data)
        return self.hear(frames, self._judge(frames))

    def receive(self, data: bytes) -> list[Frame]:
        """Take audio, cut anywhere.

        Returns:
            The frames that it completes, for `hear`, which must come next.
        """
        samples, altered = self._decoder.push(data)
        self._steps.extend(telling(self._heard, warning) for warning in altered)
        if self._tap:
            self._tap(samples)
        return self._framer.push(samples)

    def settle(self) -> list[Frame]:
        """Take nothing more before the next cut.

        Returns:
            The frames of what was held back, for `hear`, which must come next.
        """
        samples = self._decoder.settle()
        if self._tap:
            self._tap(samples)
        return self._framer.push(samples) + self._framer.cut()

    def hear(
        self, frames: Sequence[Frame], probabilities: Sequence[float] | None
    ) -> list[Placed]:
        """Hear frames.

        Args:
            frames: As they were received.
            probabilities: P(speech) of each; None: the voice detector has failed, and
                what is loud is taken for a voice.
        """
        if frames:
            self._note_failure(is_failure=probabilities is None)
        if probabilities is None:
            probabilities = [guess_voice(frame.samples) for frame in frames]
        return self._take(self._hearing(frames, probabilities))

    def judge(self, completeness: Completeness) -> list[Placed]:
        """Take in what the words before this pause sound like, and go on."""
        ended = self._turns.judge(completeness)
        return [(self._heard, turn) for turn in ended] + self._take([])

    def mark(self, identifier: str | int) -> list[Placed]:
        """Note that the audio before the marker has been heard."""
        return self._take([telling(self._decoder.position, MarkerReached(identifier))])

    def add_context(self, speaker: str, text: str) -> list[Placed]:
        """Give a turn that was not heard its place among those that were."""
        added = ContextAdded(speaker, text)
        return self._take([telling(self._decoder.position, added)])

    def flush_turn(self) -> list[Placed]:
        """End the running turn with the last sample received."""
        return self._take(self._cutting("flush"))

    def set_speaker(self, speaker: str) -> list[Placed]:
        """End the running turn with the last sample received; another one speaks."""
        return self._take([*self._cutting("speaker"), partial(self._name, speaker)])

    def end(self) -> list[Placed]:
        """End the stream: hear what was held back, end the running turn."""
        return self._take([*self._cutting("end"), self._end])

    def _take(self, steps: Iterable[Step]) -> list[Placed]:
        """Line up steps, and take all that can be taken now."""
        self._steps.extend(steps)
        records: list[Placed] = []
        while self._steps and not self._turns.is_waiting:
            records += self._steps.popleft()()
        return records

    def _note_failure(self, *, is_failure: bool) -> None:
        """Tell once that the voice detector fails, until it works again."""
        if is_failure and not self._is_guessing:
            warning = AudioAltered(
                "not_detected",
                "audio: expected to tell voices from noise, got a failure here, which "
                "is logged; what is loud is taken for a voice",
            )
            self._steps.append(telling(self._heard, warning))
        self._is_guessing = is_failure

    def _judge(self, frames: Sequence[Frame]) -> list[float]:
        return [self.probability(frame.samples) for frame in frames]

    def _hearing(
        self, frames: Sequence[Frame], probabilities: Sequence[float]
    ) -> list[Step]:
        judged = zip(frames, probabilities, strict=True)
        return [partial(self._hear, *one) for one in judged]

    def _cutting(self, reason: Reason) -> list[Step]:
        frames = self.settle()
        heard = self._hearing(frames, self._judge(frames))
        return [*heard, partial(self._cut, reason)]

    def _hear(self, frame: Frame, probability: float) -> list[Placed]:
        self._heard = frame.end
        records: list[Placed] = []
        for judged in self._gate.push(frame, probability):
            if not isinstance(judged, JudgedFrame):
                records.append((self._heard, judged))
            records += [(self._heard, turn) for turn in self._turns.push(judged)]
        return records

    def _cut(self, reason: Reason) -> list[Placed]:
        records: list[Placed] = [(self._heard, edge) for edge in self._gate.cut()]
        ended = self._turns.cut(self._heard, reason)
        return records + [(self._heard, record) for record in ended]

    def _name(self, speaker: str) -> list[Placed]:
        self._turns.set_speaker(speaker)
        return []

    def _end(self) -> list[Placed]:
        self._is_over = True
        records: list[Placed] = []
        if self._decoder.rest_bytes:
            warning = AudioAltered(
                "half_sample",
                f"audio: expected whole samples until the end, "
                f"got {self._decoder.rest_bytes} bytes of one; left out",
            )
            records.append((self._heard, warning))
        ended = StreamEnded(self._turns.n_ended, self._decoder.position)
        return [*records, (self._heard, ended)]


def telling(position: int, record: Record) -> Step:
    """Give the step that does nothing but give a record."""
    return lambda: [(position, record)]
