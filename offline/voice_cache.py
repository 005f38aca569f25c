"""Clips -> VoiceFeatures on disk: computed once, by the code that serves them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray

from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig
from stream_erc.flow import SAMPLE_RATE_HZ, Samples
from stream_erc.functionals import functionals

from .corpora import TRAIN, Utterance, read_ravdess
from .voice_augment import VoiceAugment, augment_voice

log = logging.getLogger(__name__)

BEFORE_VOICE_S = 0.25  # what the server keeps before the voice
AFTER_VOICE_S = 0.10  # and behind it

WHOLE, VARIED, PREFIX = 0, 1, 2
PREFIXES_S = (1.0, 1.5, 2.0)


@dataclass(frozen=True, slots=True)
class VoiceCache:
    """Features of clips, one row each.

    Attributes:
        clip: Number of the clip in its corpus, shape (n,).
        kind: `WHOLE`, `VARIED` or `PREFIX`, shape (n,).
        encoder: Shape (n, encoder size).
        functionals: Shape (n, 336).
    """

    clip: NDArray[np.intp]
    kind: NDArray[np.intp]
    encoder: NDArray[np.float32]
    functionals: NDArray[np.float32]


def cut_clip(
    utterance: Utterance, shift_s: tuple[float, float] = (0.0, 0.0)
) -> Samples:
    """Give a clip as the server would cut it, its edges moved by `shift_s`."""
    assert utterance.voice_start_s is not None and utterance.voice_end_s is not None
    samples = np.asarray(decode_audio(str(utterance.clip)), np.float32)
    start_s = max(0.0, utterance.voice_start_s - BEFORE_VOICE_S + shift_s[0])
    end_s = utterance.voice_end_s + AFTER_VOICE_S + shift_s[1]
    return samples[int(start_s * SAMPLE_RATE_HZ) : int(end_s * SAMPLE_RATE_HZ)]


def build_cache(data: Path, file: Path, settings: VoiceAugment, copies: int) -> None:
    """Compute the features of RAVDESS: whole clips, varied ones, prefixes.

    Args:
        data: Folder of the corpora.
        file: Where the cache goes (.npz).
        settings: How the copies vary.
        copies: Varied copies of each training clip.
    """
    whisper = Whisper(AsrConfig(workers=1))
    rows: list[tuple[int, int, NDArray[np.float32], NDArray[np.float32]]] = []
    for number, utterance in enumerate(read_ravdess(data / "ravdess")):
        draw = np.random.default_rng(number)
        samples = cut_clip(utterance)
        variants = [(WHOLE, samples), (PREFIX, first_seconds(samples, draw))]
        if utterance.split == TRAIN:
            for _ in range(copies):
                shift_s = tuple(draw.uniform(-settings.edge_s, settings.edge_s, 2))
                cut = cut_clip(utterance, (shift_s[0], shift_s[1]))
                variants.append((VARIED, augment_voice(cut, settings, draw)))
            varied = augment_voice(samples, settings, draw)
            variants.append((PREFIX, first_seconds(varied, draw)))
        rows += [
            (number, kind, whisper.voice(variant), functionals(variant))
            for kind, variant in variants
        ]
        if number % 60 == 59:
            log.info("voice features: %d clips", number + 1)
    np.savez(
        file,
        clip=np.array([row[0] for row in rows]),
        kind=np.array([row[1] for row in rows]),
        encoder=np.stack([row[2] for row in rows]),
        functionals=np.stack([row[3] for row in rows]),
    )


def first_seconds(samples: Samples, draw: np.random.Generator) -> Samples:
    """Give the part of a turn that a provisional emotion rests on."""
    return samples[: int(draw.choice(PREFIXES_S) * SAMPLE_RATE_HZ)]


def read_cache(file: Path) -> VoiceCache:
    """Read what `build_cache` wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        return VoiceCache(**{name: arrays[name] for name in VoiceCache.__slots__})
