"""TurnAudio -> voiceprint: whose voice a turn has, as a vector.

Three views of it are laid side by side. The first is a network made for that, the
speaker encoder of Resemblyzer, trained with the loss GE2E (Wan et al., 2018);
`offline/exporting/voiceprint.py` makes its file. Its features are those of its package,
by numpy alone; where the audio is quiet within a turn, they are left out. The others
are there for the emotion anyway: the functionals, and the recognizer's pooled states.
`offline/exporting/voices.py` learns how turns of one speaker vary in each view; in a
voiceprint that is 1 in every direction.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from .checksum import check_sum
from .flow import SAMPLE_RATE_HZ, Samples, Vector
from .networks import network_options

ASSETS = Path(__file__).parent / "assets"
VOICEPRINT = ASSETS / "voiceprint_ge2e.onnx"
VOICEPRINT_SHA256 = "e919b12739ceb6cf53a808a796091371bd9f469ea5d9fd41a2e8bda8eecda6d0"
VOICES = ASSETS / "voices.npz"
VOICES_SHA256 = "8f935d4153973104bd457aaded221ae89d290a93deef61970498fc6ac85bb52e"

VIEWS = ("ge2e", "functionals", "states")
"""The last is of tiny.en alone: other recognizers have states of their own."""

WINDOW_SAMPLES = 400  # 25 ms
HOP_SAMPLES = 160  # 10 ms
N_MELS = 40
PIECE_FRAMES = 160  # 1.6 s, on which the network was trained
LEVEL_DB = -30.0  # quieter audio is raised to it, as a whole
QUIET_DB = 30.0  # below the loudest frame: nobody speaks there

Mels = NDArray[np.float32]
"""Power of each band, frame by frame, shape (n_frames, N_MELS)."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How voiceprints vary; within a speaker by 1 in each of n directions.

    Attributes:
        between: Variance of the speakers, shape (n,).
        temper: How much a direction counts, as they do not vary independently; (n,).
    """

    between: Vector
    temper: Vector


@dataclass(frozen=True, slots=True)
class View:
    """What is said of a voice -> its part of a voiceprint.

    Attributes:
        centre: Of what is said, shape (n_said,).
        scale: Likewise.
        mean: Of what is left of it, shape (n_said,).
        projection: Shape (n_said, n).
        between: See `Spread`.
        temper: See `Spread`.
    """

    centre: Vector
    scale: Vector
    mean: Vector
    projection: Vector
    between: Vector
    temper: Vector

    def place(self, said: Vector) -> Vector:
        """Give the part of a voiceprint, shape (n,); all are of one length."""
        pressed = np.arcsinh((said - self.centre) / self.scale)  # outliers count less
        placed = (pressed - self.mean) @ self.projection
        length = np.sqrt((self.between + 1).sum())
        part: Vector = placed * (length / max(float(np.linalg.norm(placed)), 1e-6))
        return part


@cache
def load_views() -> tuple[View, ...]:
    """Read the views, in the order of `VIEWS`, once.

    Raises:
        ModelError: If their file is not what it was.
    """
    check_sum(VOICES, VOICES_SHA256)
    with np.load(VOICES, allow_pickle=False) as stored:
        return tuple(
            View(
                **{
                    one.name: stored[f"{view}_{one.name}"].astype(np.float32)
                    for one in fields(View)
                }
            )
            for view in VIEWS
        )


@cache
def load_spread() -> Spread:
    """Give how voiceprints vary; see `load_views`."""
    views = load_views()
    return Spread(
        np.concatenate([view.between for view in views]),
        np.concatenate([view.temper for view in views]),
    )


class VoiceEncoder:
    """The network, loaded once; any number of threads may call it.

    Raises:
        ModelError: If its file is not what it was.
    """

    def __init__(self) -> None:
        check_sum(VOICEPRINT, VOICEPRINT_SHA256)
        self._session = onnxruntime.InferenceSession(
            str(VOICEPRINT), network_options(1), providers=["CPUExecutionProvider"]
        )

    def embed(self, samples: Samples, *others: Vector) -> Vector:
        """Give the voiceprint of a turn.

        Args:
            samples: Shape (n_samples,); of a long turn GE2E is given a piece.
            others: What the other views say, in the order of `VIEWS`; with fewer the
                voiceprint is shorter.
        """
        said = (self.say(samples), *others)
        views = load_views()[: len(said)]
        return np.concatenate(
            [view.place(one) for view, one in zip(views, said, strict=True)]
        )

    def say(self, samples: Samples) -> Vector:
        """Give what GE2E says of a voice, of length 1, shape (256,)."""
        [said] = self._session.run(None, {"mels": mels_of(samples)[None]})
        voice: Vector = said[0]
        return voice


def mels_of(samples: Samples) -> Mels:
    """Give what the network is told of a turn, at most `PIECE_FRAMES` frames."""
    return loudest_piece(without_quiet(mel_power(raised(samples))))


def raised(samples: Samples) -> Samples:
    """Give quiet audio the level that the network knows."""
    level = float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0
    gain = 10 ** (LEVEL_DB / 20) / max(level, 1e-6)
    return samples * np.float32(max(1.0, gain))


def mel_power(samples: Samples) -> Mels:
    """Give the mel spectrogram, not logarithmic, as librosa's default has it."""
    padded = np.pad(samples, WINDOW_SAMPLES // 2)
    windows = np.lib.stride_tricks.sliding_window_view(padded, WINDOW_SAMPLES)
    spectra = np.fft.rfft(windows[::HOP_SAMPLES] * HANN, axis=1)
    mels: Mels = (np.square(np.abs(spectra)) @ MEL_BANK).astype(np.float32)
    return mels


def without_quiet(mels: Mels) -> Mels:
    """Leave the frames out in which nobody speaks."""
    power = mels.sum(1)
    loud: Mels = mels[power >= power.max() * 10 ** (-QUIET_DB / 10)]
    return loud


def loudest_piece(mels: Mels) -> Mels:
    """Give the piece with the most voice in it, at most `PIECE_FRAMES` long."""
    if len(mels) <= PIECE_FRAMES:
        return mels
    level = np.log(mels.sum(1) + 1e-9)
    sums = np.convolve(level, np.ones(PIECE_FRAMES), mode="valid")
    start = int(np.argmax(sums))
    return mels[start : start + PIECE_FRAMES]


def make_mel_bank() -> Mels:
    """Give the weight of each frequency in each band, shape (201, N_MELS).

    Slaney's scale (linear below 1 kHz, logarithmic above), each triangle of area 1.
    """
    top_hz = SAMPLE_RATE_HZ / 2
    top_mel = 15 + 27 * np.log(top_hz / 1000) / np.log(6.4)
    mels = np.linspace(0, top_mel, N_MELS + 2)
    edges_hz = np.where(
        mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27)
    )
    low, peak, high = edges_hz[:-2], edges_hz[1:-1], edges_hz[2:]
    hz = np.linspace(0, top_hz, WINDOW_SAMPLES // 2 + 1)[:, None]
    rising, falling = (hz - low) / (peak - low), (high - hz) / (high - peak)
    triangles = np.maximum(0, np.minimum(rising, falling))
    bank: Mels = (triangles * 2 / (high - low)).astype(np.float32)
    return bank


MEL_BANK = make_mel_bank()
HANN = np.hanning(WINDOW_SAMPLES + 1)[:-1].astype(np.float32)
