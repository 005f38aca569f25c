"""TurnFeatures -> Emotion: the trained model, served by onnxruntime.

A model is a folder: two networks, a tokenizer, the statistics of the training voices
and `manifest.json`, which names them all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from tokenizers import Tokenizer

from .context import Context, SpeakerVoice, VoiceScale, empty_context, normalise
from .errors import ModelError
from .flow import EMOTIONS, SENTIMENTS, Emotion, TurnFeatures, VoiceFeatures

FORMAT = 1
DEFAULT_FOLDER = Path(__file__).parent / "models" / "default"

MANIFEST_FILE = "manifest.json"
TEXT_FILE = "text_encoder.onnx"
DIALOGUE_FILE = "dialogue.onnx"
TOKENIZER_FILE = "tokenizer.json"
STATISTICS_FILE = "voice_statistics.npz"
FILES = (TEXT_FILE, DIALOGUE_FILE, TOKENIZER_FILE, STATISTICS_FILE)

TEXT_INPUTS = ("ids", "mask")
TEXT_OUTPUTS = ("vectors",)
DIALOGUE_INPUTS = (
    "text",
    "encoder",
    "functionals",
    "present",
    "same_speaker",
    "states",
    "memory",
    "heard",
)
DIALOGUE_OUTPUTS = (
    "emotions",
    "sentiments",
    "new_states",
    "new_memory",
    "new_heard",
)

Arrays = dict[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths that the manifest states and the networks must have."""

    text: int
    encoder: int
    functionals: int
    width: int
    window: int
    max_tokens: int


class EmotionModel:
    """A model folder, loaded once; keeps nothing of any conversation.

    Args:
        folder: As `python -m offline export` writes it.
        threads: Of onnxruntime, for one call.
        providers: onnxruntime's execution providers, the preferred one first.

    Raises:
        ModelError: If a file is missing or damaged, or is not what we expect.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.folder = folder
        self.manifest = read_manifest(folder)
        self._sizes = read_sizes(folder, self.manifest)
        self._text = open_network(folder / TEXT_FILE, threads, providers)
        self._dialogue = open_network(folder / DIALOGUE_FILE, threads, providers)
        check_names(self._text, folder / TEXT_FILE, TEXT_INPUTS, TEXT_OUTPUTS)
        check_names(
            self._dialogue, folder / DIALOGUE_FILE, DIALOGUE_INPUTS, DIALOGUE_OUTPUTS
        )
        check_sizes(self._dialogue, folder / DIALOGUE_FILE, self._sizes)
        self._scales = read_scales(folder / STATISTICS_FILE, self._sizes)
        self._tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self._sizes.max_tokens)

    @property
    def voice_size(self) -> int:
        """How many numbers of the recognizer's encoder a turn's voice must have."""
        return self._sizes.encoder

    def empty_context(self) -> Context:
        """Give the context of a conversation in which nobody has spoken."""
        return empty_context(self._sizes.width, self._sizes.window)

    def step(
        self, turns: Sequence[TurnFeatures], contexts: Sequence[Context]
    ) -> list[tuple[Emotion, Context]]:
        """Judge one turn each of many conversations.

        Args:
            turns: One of each conversation.
            contexts: What each remembers; unchanged.

        Returns:
            For each its emotion, and what it remembers afterwards. Nothing depends on
            the other conversations.
        """
        if not turns:
            return []
        heard = [
            self._normalise(turn, context)
            for turn, context in zip(turns, contexts, strict=True)
        ]
        voices = [voice for voice, _ in heard]
        inputs = self._inputs(turns, voices, contexts)
        outputs = self._dialogue.run(list(DIALOGUE_OUTPUTS), inputs)
        return [
            (
                Emotion(
                    emotions=outputs[0][row],
                    sentiments=outputs[1][row],
                    modalities=modalities(inputs["present"][row]),
                    context_turns=min(context.n_turns, context.window),
                ),
                after.after_turn(
                    turns[row].speaker, *(output[row] for output in outputs[2:])
                ),
            )
            for row, (context, (_, after)) in enumerate(
                zip(contexts, heard, strict=True)
            )
        ]

    def embed(self, text: str) -> NDArray[np.float32]:
        """Give the vector of one text, shape (text size,).

        One text a call: padding to a longer neighbour costs more than it saves.
        """
        ids = np.array([self._tokenizer.encode(text).ids], np.int64)
        inputs = {"ids": ids, "mask": np.ones_like(ids)}
        vector: NDArray[np.float32] = self._text.run(list(TEXT_OUTPUTS), inputs)[0][0]
        return vector

    def _normalise(
        self, turn: TurnFeatures, context: Context
    ) -> tuple[VoiceFeatures, Context]:
        """Give the voice in the speaker's own units, and the context that counts it."""
        if turn.voice is None:
            return VoiceFeatures(None, None), context
        known = context.voice_of(
            turn.speaker, (self._sizes.encoder, self._sizes.functionals)
        )
        values = (turn.voice.encoder, turn.voice.functionals)
        tallies = [known.encoder, known.functionals]
        normal: list[NDArray[np.float32] | None] = [None, None]
        for family, (value, scale) in enumerate(zip(values, self._scales, strict=True)):
            if value is not None:
                normal[family], tallies[family] = normalise(
                    value, scale, tallies[family]
                )
        counted = SpeakerVoice(turn.speaker, *tallies)
        return VoiceFeatures(*normal), context.with_voice(counted)

    def _inputs(
        self,
        turns: Sequence[TurnFeatures],
        voices: Sequence[VoiceFeatures],
        contexts: Sequence[Context],
    ) -> Arrays:
        sizes = self._sizes
        text = np.zeros((len(turns), sizes.text), np.float32)
        encoder = np.zeros((len(turns), sizes.encoder), np.float32)
        functionals = np.zeros((len(turns), sizes.functionals), np.float32)
        present = np.zeros((len(turns), 3), np.float32)
        for row, (turn, voice) in enumerate(zip(turns, voices, strict=True)):
            if turn.text is not None:
                text[row], present[row, 0] = self.embed(turn.text), 1.0
            if voice.encoder is not None:
                encoder[row], present[row, 1] = voice.encoder, 1.0
            if voice.functionals is not None:
                functionals[row], present[row, 2] = voice.functionals, 1.0
        return {
            "text": text,
            "encoder": encoder,
            "functionals": functionals,
            "present": present,
            "same_speaker": np.stack(
                [
                    c.same_speaker(t.speaker)
                    for t, c in zip(turns, contexts, strict=True)
                ]
            ),
            "states": np.stack([context.states for context in contexts]),
            "memory": np.stack([context.memory for context in contexts]),
            "heard": np.stack([context.heard for context in contexts]),
        }


def modalities(present: NDArray[np.float32]) -> tuple[str, ...]:
    """Name what a turn has, given (text, encoder, functionals)."""
    names = []
    if present[1:].any():
        names.append("audio")
    if present[0]:
        names.append("text")
    return tuple(names)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `manifest.json` and check every file's checksum and the labels."""
    file = folder / MANIFEST_FILE
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        sums = {name: str(manifest["files"][name]) for name in FILES}
        labels = (tuple(manifest["emotions"]), tuple(manifest["sentiments"]))
        version = manifest["format"]
    except OSError as error:
        raise ModelError(f"{file}: expected a model's manifest, got none") from error
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"{file}: expected a model's manifest, got: {error!r}"
        ) from error
    if version != FORMAT:
        raise ModelError(f"{file}: expected format {FORMAT}, got {version}")
    if labels != (EMOTIONS, SENTIMENTS):
        raise ModelError(f"{file}: expected the classes {EMOTIONS}, got {labels[0]}")
    for name, wanted in sums.items():
        check_sum(folder / name, wanted)
    return manifest


def check_sum(file: Path, wanted: str) -> None:
    """Refuse a file that is not the one the manifest was written for."""
    try:
        got = hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError as error:
        raise ModelError(f"{file}: expected a model file, got none") from error
    if got != wanted:
        raise ModelError(
            f"{file}: expected SHA-256 {wanted[:12]}…, got {got[:12]}…: damaged, or of "
            f"another model"
        )


def read_sizes(folder: Path, manifest: dict[str, Any]) -> Sizes:
    """Give the manifest's sizes."""
    try:
        return Sizes(**{name: int(manifest["sizes"][name]) for name in Sizes.__slots__})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{folder / MANIFEST_FILE}: expected sizes of {Sizes.__slots__}, "
            f"got: {error!r}"
        ) from error


def open_network(
    file: Path, threads: int, providers: Sequence[str]
) -> onnxruntime.InferenceSession:
    """Load one ONNX file."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Threads that spin between calls would take the cores from the recognizer.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    missing = sorted(set(providers) - set(onnxruntime.get_available_providers()))
    if missing:
        raise ModelError(
            f"onnxruntime: expected the providers {list(providers)}, got none of "
            f"{missing}"
        )
    try:
        return onnxruntime.InferenceSession(str(file), options, list(providers))
    except Exception as error:  # onnxruntime's own errors share no other base class
        raise ModelError(f"{file}: expected an ONNX network, got: {error}") from error


def check_names(
    network: onnxruntime.InferenceSession,
    file: Path,
    inputs: Sequence[str],
    outputs: Sequence[str],
) -> None:
    """Refuse a network with other inputs or outputs."""
    got_inputs = tuple(node.name for node in network.get_inputs())
    got_outputs = tuple(node.name for node in network.get_outputs())
    if (got_inputs, got_outputs) != (tuple(inputs), tuple(outputs)):
        raise ModelError(
            f"{file}: expected {inputs} -> {outputs}, got {got_inputs} -> {got_outputs}"
        )


def check_sizes(
    network: onnxruntime.InferenceSession, file: Path, sizes: Sizes
) -> None:
    """Refuse a dialogue network of another shape than the manifest says."""
    wanted = {
        "text": [sizes.text],
        "encoder": [sizes.encoder],
        "functionals": [sizes.functionals],
        "present": [3],
        "same_speaker": [sizes.window],
        "states": [2, sizes.width],
        "memory": [4, sizes.window, sizes.width],
        "heard": [2, sizes.window],
    }
    got = {node.name: node.shape[1:] for node in network.get_inputs()}
    if got != wanted:
        raise ModelError(f"{file}: expected the shapes {wanted}, got {got}")


def read_scales(file: Path, sizes: Sizes) -> tuple[VoiceScale, VoiceScale]:
    """Read everybody's voice statistics, of the encoder and of the functionals."""
    scales = []
    for family, size in (
        ("encoder", sizes.encoder),
        ("functionals", sizes.functionals),
    ):
        try:
            with np.load(file, allow_pickle=False) as arrays:
                mean, deviation = (
                    arrays[f"{family}_mean"],
                    arrays[f"{family}_deviation"],
                )
        except (OSError, ValueError, KeyError) as error:
            raise ModelError(
                f"{file}: expected {family}'s statistics, got: {error}"
            ) from error
        if mean.shape != (size,) or deviation.shape != (size,):
            raise ModelError(
                f"{file}: expected {family} of {size} numbers, got {mean.shape}"
            )
        scales.append(VoiceScale(mean, deviation))
    return scales[0], scales[1]
