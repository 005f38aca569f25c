"""bytes -> Record: the listening stages of one session, in their order.

Cheap and without models but the voice detector; all else works on its records.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
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
from .vad import SpeechProbability, VoiceGate

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
        probability: The voice detector of this stream.
        tap: Gets the audio, too.
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
        self._decoder = Decoder(encoding, sample_rate_hz, channels)
        self._tap = tap
        self._framer = Framer()
        self._gate = VoiceGate(probability, settings.vad)
        self._turns = TurnBuilder(settings.turns, speaker)
        self._steps: deque[Step] = deque()  # not yet taken
        self._heard = 0  # samples judged by the voice detector
        self._is_over = False

    @property
    def heard(self) -> int:
        """How many samples have been heard."""
        return self._heard

    @property
    def is_waiting(self) -> bool:
        """Whether nothing more is heard before `judge` is called."""
        return self._turns.is_waiting

    @property
    def is_over(self) -> bool:
        """Whether the stream has ended."""
        return self._is_over

    def push(self, data: bytes) -> list[Placed]:
        """Hear audio, cut anywhere."""
        samples, altered = self._decoder.push(data)
        warnings: list[Placed] = [(self._heard, warning) for warning in altered]
        if self._tap:
            self._tap(samples)
        return warnings + self._take(self._hearing(self._framer.push(samples)))

    def judge(self, completeness: Completeness) -> list[Placed]:
        """Take in what the words before this pause sound like, and go on."""
        ended = self._turns.judge(completeness)
        return [(self._heard, turn) for turn in ended] + self._take([])

    def mark(self, identifier: str | int) -> list[Placed]:
        """Note that the audio before the marker has been heard."""
        return self._take([self._telling(MarkerReached(identifier))])

    def add_context(self, speaker: str, text: str) -> list[Placed]:
        """Give a turn that was not heard its place among those that were."""
        return self._take([self._telling(ContextAdded(speaker, text))])

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

    def _hearing(self, frames: list[Frame]) -> list[Step]:
        return [partial(self._hear, frame) for frame in frames]

    def _telling(self, record: Record) -> Step:
        placed = (self._decoder.position, record)
        return lambda: [placed]

    def _cutting(self, reason: Reason) -> list[Step]:
        samples = self._decoder.settle()
        if self._tap:
            self._tap(samples)
        frames = self._framer.push(samples) + self._framer.cut()
        return [*self._hearing(frames), partial(self._cut, reason)]

    def _hear(self, frame: Frame) -> list[Placed]:
        self._heard = frame.end
        records: list[Placed] = []
        for judged in self._gate.push(frame):
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
