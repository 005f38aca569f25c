"""Channels -> TurnSpan…: cut by the listener that hears live sessions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stream_erc.config import Settings
from stream_erc.flow import SAMPLE_RATE_HZ, Completeness, Record, TurnEnded, VoiceEdge
from stream_erc.listener import Listener, Placed
from stream_erc.media import Pcm16
from stream_erc.vad import SileroVad, SpeechProbability

BLOCK_SAMPLES = SAMPLE_RATE_HZ  # bounds what the records of one push hold


@dataclass(frozen=True, slots=True)
class TurnSpan:
    """Where a turn lies in a recording, in samples.

    Attributes:
        channel: From 0.
        start: First sample of what the recognizer hears, pre-roll included.
        voice_start: First sample of the voice, its breath included.
        voice_end: One past the last voiced sample.
        end: One past the last sample of what the recognizer hears.
        voiced_samples: How many lie in voiced frames.
    """

    channel: int
    start: int
    voice_start: int
    voice_end: int
    end: int
    voiced_samples: int


def cut_turns(channels: Pcm16, settings: Settings, vad: SileroVad) -> list[TurnSpan]:
    """Find the turns of all channels, in the order in which their voices start.

    Args:
        channels: The recording.
        settings: Of the voice detector and the turns.
        vad: Gives each channel a detector with a memory of its own.
    """
    spans = [
        span
        for number, samples in enumerate(channels)
        for span in cut_channel(samples, number, settings, vad.stream())
    ]
    return sorted(spans, key=lambda span: (span.voice_start, span.channel))


def cut_channel(
    samples: NDArray[np.int16],
    channel: int,
    settings: Settings,
    probability: SpeechProbability,
) -> Iterator[TurnSpan]:
    """Give the turns of one channel as a live session would have ended them.

    By `turns.end_silence_ms` alone: nothing is transcribed yet, so the words cannot
    say how much silence ends a turn.

    Args:
        samples: Shape (n_samples,).
        channel: Its number.
        settings: Of the voice detector and the turns.
        probability: A detector that has heard nothing yet.
    """
    voice_end: int | None = None  # None while the voice is on
    for record in _listen(samples, settings, probability):
        if isinstance(record, VoiceEdge):
            voice_end = None if record.is_start else record.at
        elif isinstance(record, TurnEnded):
            audio = record.audio
            yield TurnSpan(
                channel=channel,
                start=audio.start,
                voice_start=audio.voice_start,
                # A turn that was too long may end within the voice.
                voice_end=audio.end if voice_end is None else min(voice_end, audio.end),
                end=audio.end,
                voiced_samples=audio.voiced_samples,
            )


def _listen(
    samples: NDArray[np.int16], settings: Settings, probability: SpeechProbability
) -> Iterator[Record]:
    listener = Listener(
        "pcm_s16le",
        SAMPLE_RATE_HZ,
        channels=1,
        speaker="",
        settings=settings,
        probability=probability,
    )
    for start in range(0, len(samples), BLOCK_SAMPLES):
        block = samples[start : start + BLOCK_SAMPLES]
        yield from _answer(listener, listener.push(block.tobytes()))
    yield from _answer(listener, listener.end())


def _answer(listener: Listener, placed: list[Placed]) -> Iterator[Record]:
    """Go on after each pause as if nothing was known of the words before it."""
    yield from (record for _, record in placed)
    while listener.is_waiting:
        placed = listener.judge(Completeness.UNKNOWN)
        yield from (record for _, record in placed)
