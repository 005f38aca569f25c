"""Folder -> networks: opens a model's files, and refuses what is not ours."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from .checksum import check_sum
from .context import N_MEMORIES, VoiceScale
from .errors import ModelError
from .flow import EMOTIONS, SENTIMENTS
from .networks import network_options

FORMAT = 2  # 1: without states of speakers
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


@dataclass(frozen=True, slots=True)
class Sizes:
    """Lengths that the manifest states and the networks must have."""

    text: int
    encoder: int
    functionals: int
    width: int
    window: int
    max_tokens: int


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read `manifest.json` and check every file's checksum and the labels."""
    file = folder / MANIFEST_FILE
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        sums = {name: str(manifest["files"][name]) for name in FILES}
        labels = (tuple(manifest["emotions"]), tuple(manifest["sentiments"]))
        version = manifest["format"]
    except OSError as error:
        raise ModelError(
            f"{file}: expected a model's manifest, got none; "
            "`python -m offline export` makes a model of a run folder"
        ) from error
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
    options = network_options(threads)
    options.log_severity_level = 3
    missing = sorted(set(providers) - set(onnxruntime.get_available_providers()))
    if missing:
        raise ModelError(
            f"emotion.device: expected {', '.join(missing)} in onnxruntime, got none; "
            f'"cpu" works everywhere, see README, "GPU"'
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
        "memory": [N_MEMORIES, sizes.window, sizes.width],
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
