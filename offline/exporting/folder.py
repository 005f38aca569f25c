"""Trained networks -> a model folder: ONNX, tokenizer, statistics, manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from offline.training.text_model import MAX_TOKENS, TextModel
from stream_erc import model_folder as files
from stream_erc.context import VoiceScale
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS
from stream_erc.layers import Shape
from stream_erc.model import DialogueModel

from .graphs import write_dialogue_graph, write_text_graph


@dataclass(frozen=True, slots=True)
class Trained:
    """All that a model folder is made of.

    Attributes:
        text: Stages 0 and I of the words.
        tokenizer: The encoder's.
        dialogue: Stages I (voice) to III, with temperatures and prior.
        scales: Everybody's voice statistics, of the encoder and of the functionals.
        learned: What it learned from, of "text", "encoder" and "functionals".
    """

    text: TextModel
    tokenizer: Tokenizer
    dialogue: DialogueModel
    scales: tuple[VoiceScale, VoiceScale]
    learned: tuple[str, ...]


def export_folder(
    trained: Trained, folder: Path, about: dict[str, Any], form: str
) -> None:
    """Write a model folder.

    Args:
        trained: What to write.
        folder: Made if missing; files of the same names are replaced.
        about: Goes into the manifest as it is: recipe, seed, figures.
        form: Of the text encoder's weights, of `weights.FORMS`.

    Raises:
        ConfigError: If the network looks ahead, which cannot be served.
    """
    shape = trained.dialogue.shape
    check_servable(shape)
    folder.mkdir(parents=True, exist_ok=True)
    write_text_graph(trained.text, folder / files.TEXT_FILE, form)
    write_dialogue_graph(trained.dialogue, folder / files.DIALOGUE_FILE)
    trained.tokenizer.save(str(folder / files.TOKENIZER_FILE))
    encoder, functionals = trained.scales
    np.savez(
        folder / files.STATISTICS_FILE,
        encoder_mean=encoder.mean,
        encoder_deviation=encoder.deviation,
        functionals_mean=functionals.mean,
        functionals_deviation=functionals.deviation,
    )
    write_manifest(
        folder,
        {
            "format": files.FORMAT,
            "emotions": EMOTIONS,
            "sentiments": SENTIMENTS,
            "learned": trained.learned,
            "sizes": {
                "text": shape.text_size,
                "encoder": shape.encoder_size,
                "functionals": shape.functionals_size,
                "width": shape.width,
                "window": shape.window,
                "max_tokens": MAX_TOKENS,
            },
            "temperatures": trained.dialogue.temperatures.tolist(),
            "files": {name: sha256(folder / name) for name in files.FILES},
            "about": about,
        },
    )


def check_servable(shape: Shape) -> None:
    """Refuse a network that the server cannot feed turn by turn.

    Raises:
        ConfigError: If it looks ahead, or needs another speech encoder.
    """
    if shape.encoder_layers > 1:
        raise ConfigError(
            "export: expected the recognizer's own voice encoder, got another one, "
            "which the server does not have"
        )
    if not shape.causal:
        raise ConfigError("export: expected a causal model, got one that looks ahead")


def write_manifest(folder: Path, manifest: dict[str, Any]) -> None:
    """Write `manifest.json`."""
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / files.MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def sha256(file: Path) -> str:
    """Give a file's checksum in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
