"""RAVDESS -> where voiceprints lie: stream_erc/assets/voices.npz.

    python -m offline.exporting.voices RAVDESS OUT.npz

Of every turn of the actors 1 to 20, what GE2E, the functionals and tiny.en say of it.
From that follows how each varies within a speaker, which is turned into 1 in every
direction, and how much speakers differ there. Both are shrunk towards a ball: twenty
speakers tell too little of 256 directions. In most of these speakers then differ alike,
and which of them are left out is chance: another run gives another file.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from faster_whisper.audio import decode_audio
from numpy.typing import NDArray
from tqdm import tqdm

from offline.corpora.collected import read_collected_ravdess
from offline.corpora.findings import Findings
from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig, TurnConfig
from stream_erc.flow import SAMPLE_RATE_HZ, to_samples
from stream_erc.functionals import functionals
from stream_erc.voiceprint import VIEWS, VoiceEncoder

MAX_SIZE = 256  # of a view; what varies less between speakers is left out
SHRINKAGE_WITHIN, SHRINKAGE_BETWEEN = 0.3, 0.5  # chosen by cross-validation
SMALLEST_SCALE = 1e-4  # numbers that hardly ever change say nothing
EVIDENCE = 16.0  # so many independent directions the views count for together

Array = NDArray[np.float64]


def listen(ravdess: Path) -> dict[str, list[dict[str, Array]]]:
    """Give what each view says of every turn, by speaker."""
    encoder, whisper, config = VoiceEncoder(), Whisper(AsrConfig()), TurnConfig()
    before, behind = to_samples(config.pre_roll_ms), to_samples(config.post_roll_ms)
    heard: dict[str, list[dict[str, Array]]] = defaultdict(list)
    splits = read_collected_ravdess(ravdess, Findings(strict=True))
    for one in tqdm([*itertools.chain(splits["train"], splits["validation"])]):
        assert one.audio is not None and one.start_s is not None
        audio = decode_audio(one.audio, sampling_rate=SAMPLE_RATE_HZ)
        start = max(0, round(one.start_s * SAMPLE_RATE_HZ) - before)
        end_s = one.end_s or len(audio) / SAMPLE_RATE_HZ
        turn = audio[start : round(end_s * SAMPLE_RATE_HZ) + behind]
        said = encoder.say(turn), functionals(turn), whisper.voice(turn)
        heard[one.speaker].append(
            {v: s.astype(np.float64) for v, s in zip(VIEWS, said, strict=True)}
        )
    return heard


def learn(turns: list[Array]) -> dict[str, Array]:
    """Learn a view.

    Args:
        turns: What it says of the turns of each speaker, shape (n_turns, n_said).

    Returns:
        The fields of `voiceprint.View`.
    """
    said = np.concatenate(turns)
    centre, scale = said.mean(0), said.std(0) + SMALLEST_SCALE
    pressed = [np.arcsinh((one - centre) / scale) for one in turns]
    means = np.array([one.mean(0) for one in pressed])
    within = shrink(
        sum(np.cov(one.T, bias=True) for one in pressed) / len(pressed),
        SHRINKAGE_WITHIN,
    )
    whiten = np.linalg.cholesky(np.linalg.inv(within))
    apart = (means - means.mean(0)) @ whiten
    variance, axes = np.linalg.eigh(
        shrink(apart.T @ apart / len(apart), SHRINKAGE_BETWEEN)
    )
    return {
        "centre": centre,
        "scale": scale,
        "mean": means.mean(0),
        "projection": (whiten @ axes)[:, -MAX_SIZE:],
        "between": variance[-MAX_SIZE:],
    }


def shrink(covariance: Any, share: float) -> Array:
    """Mix a covariance with a ball of the same size."""
    size = len(covariance)
    ball = np.trace(covariance) / size * np.eye(size)
    mixed: Array = (1 - share) * covariance + share * ball
    return mixed


def make(ravdess: Path, file: Path) -> None:
    """Write where voiceprints lie."""
    heard = listen(ravdess)
    stored: dict[str, Any] = {}
    for view in VIEWS:
        turns = [np.stack([one[view] for one in own]) for own in heard.values()]
        learned = learn(turns)
        share = EVIDENCE / len(VIEWS) / len(learned["between"])
        learned["temper"] = np.full(len(learned["between"]), share)
        for name, values in learned.items():
            form = np.float16 if name == "projection" else np.float32
            stored[f"{view}_{name}"] = values.astype(form)
    np.savez(file, **stored)
    print(file, hashlib.sha256(file.read_bytes()).hexdigest())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("ravdess", type=Path, help="folder with a clips.jsonl")
    parser.add_argument("file", type=Path, help="where the numbers go")
    arguments = parser.parse_args()
    make(arguments.ravdess, arguments.file)


if __name__ == "__main__":
    main()
