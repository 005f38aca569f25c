"""Recording -> Utterance…: decode it, cut it into turns, hear and judge each."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from offline.corpora.form import Utterance
from offline.progress import Progress
from stream_erc.audio import decode
from stream_erc.config import Settings
from stream_erc.flow import SAMPLE_RATE_HZ, Heard, Samples
from stream_erc.gates import judge
from stream_erc.media import Pcm16
from stream_erc.vad import SileroVad

from .cutting import TurnSpan, cut_turns
from .decoding import decode_channels
from .hearing import BatchedWhisper, plan_batches
from .recordings import Recording


class Transcriber:
    """The models that a live session is cut and heard with, loaded once.

    Args:
        settings: Of a server.
        batch: The most turns that are heard side by side.
        is_split: Whether each channel of a recording is a speaker of its own.

    Raises:
        ModelError: If the recognizer cannot be loaded.
    """

    def __init__(self, settings: Settings, *, batch: int, is_split: bool) -> None:
        self._settings = settings
        self._batch = batch
        self._is_split = is_split
        self._vad = SileroVad()
        self._whisper = BatchedWhisper(settings.asr)

    def transcribe(self, recording: Recording) -> list[Utterance]:
        """Give the turns of a recording; none where no voice is found.

        Raises:
            ConfigError: If the file cannot be read or holds no audio.
        """
        channels = decode_channels(recording.file, is_split=self._is_split)
        spans = cut_turns(channels, self._settings, self._vad)
        return [
            self._write(recording, turn, span, heard)
            for turn, (span, heard) in enumerate(
                zip(spans, self._hear(recording, channels, spans), strict=True)
            )
        ]

    def _hear(
        self, recording: Recording, channels: Pcm16, spans: list[TurnSpan]
    ) -> list[Heard]:
        heard: dict[int, Heard] = {}
        lengths = [span.end - span.start for span in spans]
        with Progress(
            recording.dialogue, len(spans), "turns", is_part=True
        ) as progress:
            for batch in plan_batches(lengths, self._batch):
                turns = [take_samples(channels, spans[index]) for index in batch]
                heard.update(zip(batch, self._whisper.hear_batch(turns), strict=True))
                progress.advance(len(batch))
        return [heard[index] for index in range(len(spans))]

    def _write(
        self, recording: Recording, turn: int, span: TurnSpan, heard: Heard
    ) -> Utterance:
        words = judge(heard, span.voiced_samples, self._settings.gates)
        return Utterance(
            dialogue=recording.dialogue,
            turn=turn,
            speaker=f"channel {span.channel + 1}" if self._is_split else "speaker",
            text=None if words.is_rejected else words.text,
            audio=recording.audio,
            channel=span.channel if self._is_split else None,
            start_s=to_seconds(span.voice_start),
            end_s=to_seconds(span.voice_end),
            confidence=None if words.is_rejected else to_confidence(heard),
        )


def make_transcribe(
    settings: Settings, batch: int, is_split: bool
) -> Callable[[Recording], list[Utterance]]:
    """Load a transcriber; see `Engine.map`."""
    return Transcriber(settings, batch=batch, is_split=is_split).transcribe


def take_samples(channels: Pcm16, span: TurnSpan) -> Samples:
    """Give what a live session would have heard of a turn, shape (n_samples,)."""
    samples = channels[span.channel, span.start : span.end]
    return decode("pcm_s16le", np.ascontiguousarray(samples).tobytes())


def to_seconds(samples: int) -> float:
    """Give a sample count in seconds, to the millisecond."""
    return round(samples / SAMPLE_RATE_HZ, 3)


def to_confidence(heard: Heard) -> float:
    """The geometric mean of the probabilities of a transcript's tokens, 0 to 1."""
    return round(min(1.0, math.exp(heard.mean_log_probability)), 3)
