"""Frame -> JudgedFrame, VoiceEdge: Silero's probabilities, made into decisions.

The network takes the frames of many streams at once, for half of what they cost one by
one; a test shows that a stream's probabilities are then the same to the last bit.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from .config import VadConfig
from .errors import ModelError
from .flow import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    Frame,
    JudgedFrame,
    Samples,
    VoiceEdge,
    to_samples,
)
from .networks import network_options

SILERO = Path(__file__).parent / "assets" / "silero_vad_16k_op15.onnx"
SILERO_SHA256 = "7ed98ddbad84ccac4cd0aeb3099049280713df825c610a8ed34543318f1b2c49"
CONTEXT_SAMPLES = 64  # of the frame before, which Silero wants in front
LOUD = 0.00316  # root mean square, -50 dB of full scale; see docs/decisions.md

SpeechProbability = Callable[[Samples], float]
"""One frame in, P(speech) in [0, 1] out. Silero in production, a script in tests."""

Heard = Sequence[tuple[Any, Sequence[Samples]]]
"""Streams, each once, and the frames that come next on each."""

Memory = tuple[NDArray[np.float32], NDArray[np.float32]]
"""The network's state, shape (2, 1, 128), and the last samples it was shown."""

RATE = np.array(SAMPLE_RATE_HZ, np.int64)


def guess_voice(samples: Samples) -> float:
    """Give P(speech) where the network has failed: 1 where it is loud, or else 0."""
    return float(np.sqrt(np.mean(samples**2)) >= LOUD)


class VoiceDetector(Protocol):
    """What sessions see of the network."""

    def stream(self) -> SpeechProbability:
        """Give a detector for one stream, with a memory of its own."""

    def detect(self, heard: Heard) -> list[list[float]]:
        """Give P(speech) of the frames of several streams made by `stream`."""


class SileroVad:
    """The network, loaded once; what it remembers of a stream is passed to it."""

    def __init__(self, path: Path = SILERO) -> None:
        try:
            model = path.read_bytes()
        except OSError as error:
            raise ModelError(f"vad: expected {path.name}, got: {error}") from error
        digest = hashlib.sha256(model).hexdigest()
        if digest != SILERO_SHA256:
            raise ModelError(
                f"vad: expected SHA-256 {SILERO_SHA256} of {path.name}, got {digest}"
            )
        self._session = ort.InferenceSession(
            model, network_options(1), providers=["CPUExecutionProvider"]
        )

    def stream(self) -> SileroStream:
        """Give a detector for one stream, with a memory of its own."""
        return SileroStream(self)

    def detect(self, heard: Heard) -> list[list[float]]:
        """Give P(speech) of the frames of several streams; where it fails, none moves.

        A short frame is filled with silence.

        Raises:
            FloatingPointError: If a number of the network's is none.
        """
        memories = [stream.memory for stream, _ in heard]
        found: list[list[float]] = [[] for _ in heard]
        for step in range(max((len(frames) for _, frames in heard), default=0)):
            going = [n for n, (_, frames) in enumerate(heard) if step < len(frames)]
            probabilities, moved = self._step(
                [memories[n] for n in going], [heard[n][1][step] for n in going]
            )
            for n, probability, memory in zip(going, probabilities, moved, strict=True):
                found[n].append(probability)
                memories[n] = memory
        for (stream, _), memory in zip(heard, memories, strict=True):
            stream.memory = memory
        return found

    def _step(
        self, memories: Sequence[Memory], frames: Sequence[Samples]
    ) -> tuple[list[float], list[Memory]]:
        """Move streams on by a frame each."""
        windows = np.zeros((len(frames), CONTEXT_SAMPLES + FRAME_SAMPLES), np.float32)
        for window, (_, before), samples in zip(windows, memories, frames, strict=True):
            window[:CONTEXT_SAMPLES] = before
            window[CONTEXT_SAMPLES : CONTEXT_SAMPLES + len(samples)] = samples
        states = np.concatenate([state for state, _ in memories], axis=1)
        probabilities, states = self._session.run(
            None, {"input": windows, "state": states, "sr": RATE}
        )
        # A stream with such a state would be deaf from here on.
        if not (np.isfinite(states).all() and np.isfinite(probabilities).all()):
            raise FloatingPointError("vad: expected finite numbers, got others")
        lasts = windows[:, -CONTEXT_SAMPLES:].copy()  # a part would keep the whole
        return probabilities[:, 0].tolist(), [
            (states[:, n : n + 1], last) for n, last in enumerate(lasts)
        ]


class SileroStream:
    """One stream of a detector.

    Attributes:
        memory: What the network remembers of it.
    """

    def __init__(self, vad: SileroVad) -> None:
        self._vad = vad
        self.memory: Memory = (
            np.zeros((2, 1, 128), np.float32),
            np.zeros(CONTEXT_SAMPLES, np.float32),
        )

    def __call__(self, samples: Samples) -> float:
        """Return P(speech); a short frame is filled with silence."""
        [[probability]] = self._vad.detect([(self, [samples])])
        return probability


class VoiceGate:
    """Stage: frames in; the same frames out, judged, and the edges of the voice.

    A voice starts once a run of voiced frames has lasted `min_speech_ms`, and is
    then dated back to the run's first sample. It stops once none of the frames of
    `min_pause_ms` was voiced, and is dated back to the last voiced sample.
    """

    def __init__(self, config: VadConfig) -> None:
        self._config = config
        self._min_speech = to_samples(config.min_speech_ms)
        self._min_pause = to_samples(config.min_pause_ms)
        self._run_start: int | None = None  # of the running voiced frames
        self._voice_end: int | None = None  # None while no voice is on

    def push(self, frame: Frame, probability: float) -> list[JudgedFrame | VoiceEdge]:
        """Judge one frame by its P(speech); the edges it shows come after it."""
        is_voiced = self._judge(probability, frame)
        judged = JudgedFrame(frame, is_voiced)
        if self._voice_end is not None:
            return [judged, *self._go_on(frame, is_voiced)]
        if self._run_start is None or frame.end - self._run_start < self._min_speech:
            return [judged]
        self._voice_end = frame.end
        return [judged, VoiceEdge(self._run_start, is_start=True)]

    def cut(self) -> list[VoiceEdge]:
        """Stop the voice here; what follows must prove to be voice again."""
        self._run_start = None
        return self._stop()

    def _judge(self, probability: float, frame: Frame) -> bool:
        if self._run_start is None:
            is_voiced = probability >= self._config.onset
            self._run_start = frame.start if is_voiced else None
            return is_voiced
        is_voiced = probability >= self._config.offset
        if not is_voiced:
            self._run_start = None
        return is_voiced

    def _go_on(self, frame: Frame, is_voiced: bool) -> list[VoiceEdge]:
        assert self._voice_end is not None
        if is_voiced:
            self._voice_end = frame.end
            return []
        if frame.end - self._voice_end < self._min_pause:
            return []
        return self._stop()

    def _stop(self) -> list[VoiceEdge]:
        if self._voice_end is None:
            return []
        edge = VoiceEdge(self._voice_end, is_start=False)
        self._voice_end = None
        return [edge]
