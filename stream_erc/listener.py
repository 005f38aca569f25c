"""bytes -> Record: the listening stages of one session, in their order.

Cheap and without models but the voice detector; all else works on its records.
"""

from __future__ import annotations

from collections.abc import Callable

from .audio import Decoder, Framer
from .config import Settings
from .events import Reason
from .flow import (
    AudioAltered,
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


class Listener:
    """One session's stream: audio and instructions in, placed records out.

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
        self._heard = 0  # samples judged by the voice detector

    @property
    def heard(self) -> int:
        """How many samples have been heard."""
        return self._heard

    def push(self, data: bytes) -> list[Placed]:
        """Hear audio, cut anywhere."""
        samples, altered = self._decoder.push(data)
        warnings: list[Placed] = [(self._heard, warning) for warning in altered]
        if self._tap:
            self._tap(samples)
        return warnings + self._hear(self._framer.push(samples))

    def mark(self, identifier: str | int) -> list[Placed]:
        """Note that the audio before the marker has been heard."""
        return [(self._decoder.position, MarkerReached(identifier))]

    def add_context(self, speaker: str, text: str) -> list[Placed]:
        """Give a turn that was not heard its place among those that were."""
        return [(self._decoder.position, ContextAdded(speaker, text))]

    def flush_turn(self) -> list[Placed]:
        """End the running turn with the last sample received."""
        return self._cut("flush")

    def set_speaker(self, speaker: str) -> list[Placed]:
        """End the running turn with the last sample received; another one speaks."""
        records = self._cut("speaker")
        self._turns.set_speaker(speaker)
        return records

    def end(self) -> list[Placed]:
        """End the stream: hear what was held back, end the running turn."""
        records = self._cut("end")
        if self._decoder.rest_bytes:
            warning = AudioAltered(
                "half_sample",
                f"audio: expected whole samples until the end, "
                f"got {self._decoder.rest_bytes} bytes of one; left out",
            )
            records.append((self._heard, warning))
        ended = StreamEnded(self._turns.n_ended, self._decoder.position)
        return [*records, (self._heard, ended)]

    def _cut(self, reason: Reason) -> list[Placed]:
        samples = self._decoder.settle()
        if self._tap:
            self._tap(samples)
        frames = self._framer.push(samples) + self._framer.cut()
        records = self._hear(frames)
        records += [(self._heard, edge) for edge in self._gate.cut()]
        ended = self._turns.cut(self._heard, reason)
        return records + [(self._heard, record) for record in ended]

    def _hear(self, frames: list[Frame]) -> list[Placed]:
        records: list[Placed] = []
        for frame in frames:
            self._heard = frame.end
            for judged in self._gate.push(frame):
                if not isinstance(judged, JudgedFrame):
                    records.append((self._heard, judged))
                records += [(self._heard, turn) for turn in self._turns.push(judged)]
        return records
