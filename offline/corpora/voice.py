"""Recording -> where its voice starts and ends, as the server's detector hears it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from offline.transcription.decoding import decode_channels
from stream_erc.audio import Framer
from stream_erc.config import VadConfig
from stream_erc.errors import ConfigError
from stream_erc.flow import SAMPLE_RATE_HZ, Samples, VoiceEdge
from stream_erc.vad import SileroVad, VoiceGate

from .findings import WHOLE_FILE, Findings


@dataclass(frozen=True, slots=True)
class Voice:
    """The part of a recording with the voice in it, pauses included.

    Attributes:
        start_s: From the beginning of the file; None for its beginning.
        end_s: Likewise; None for its end.
    """

    start_s: float | None
    end_s: float | None


def find_voice(file: Path, vad: SileroVad, findings: Findings) -> Voice | None:
    """Find the voice in a clip of one utterance.

    A voice too soft for the detector is taken to be all of the clip, and counted.

    Returns:
        None, and a problem, if the file cannot be decoded or is silent.
    """
    try:
        channels = decode_channels(file, is_split=False)
    except ConfigError as error:
        findings.at(file).add(WHOLE_FILE, str(error).removeprefix(f"{file}: "))
        return None
    samples = channels[0].astype(np.float32) / np.float32(32_768)
    if not samples.any():
        findings.at(file).add(WHOLE_FILE, "expected a voice, got silence")
        return None
    edges = voice_edges(samples, vad)
    if not edges:
        findings.counts["clips with a voice too soft to be found, taken whole"] += 1
        return Voice(None, None)
    return Voice(
        round(edges[0].at / SAMPLE_RATE_HZ, 3), round(edges[-1].at / SAMPLE_RATE_HZ, 3)
    )


def voice_edges(samples: Samples, vad: SileroVad) -> list[VoiceEdge]:
    """Give where voices start and stop, in turn; a voice at the end stops there."""
    framer, gate, probability = Framer(), VoiceGate(VadConfig()), vad.stream()
    records = [
        record
        for frame in [*framer.push(samples), *framer.cut()]
        for record in gate.push(frame, probability(frame.samples))
    ]
    edges = [record for record in records if isinstance(record, VoiceEdge)]
    return edges + gate.cut()
