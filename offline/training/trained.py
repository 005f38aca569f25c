"""A run folder -> Trained: the networks that a run has made, and how they are kept."""

from __future__ import annotations

import numpy as np

from offline.exporting.folder import Trained
from stream_erc.context import VoiceScale
from stream_erc.errors import ConfigError
from stream_erc.layers import Shape
from stream_erc.model import DialogueModel

from .recipe import Recipe
from .run import RunFolder
from .speech_encoder import count_layers
from .text_training import TextTraining

TRAINED_FILES = ("text.pt", "dialogue.pt", "scales.npz")
"""What is served is made of these."""


def load_trained(recipe: Recipe, run: RunFolder) -> Trained:
    """Give what a run has trained, ready for export; neither corpora nor labels needed.

    Raises:
        ConfigError: If a stage was not run, or the network was not told who speaks.
    """
    if not recipe.dialogue.speakers:
        raise ConfigError(
            f"{run.folder}: expected dialogue.speakers = true, got false: who serves a "
            "model tells it who speaks"
        )
    missing = [name for name in TRAINED_FILES if not run.file(name).is_file()]
    if missing:
        raise ConfigError(
            f"{run.folder}: expected a finished run, got one without "
            f"{', '.join(missing)}"
        )
    words = TextTraining(recipe, {}, [], run)
    text, scales = words.load(), read_scales(run)
    model = make_model(recipe, text.size, len(scales[0].mean), len(scales[1].mean))
    run.load("dialogue.pt", model)
    families = zip(("encoder", "functionals"), scales, strict=True)
    heard = [family for family, scale in families if scale.mean.any()]
    learned = ("text", *heard)
    return Trained(text, words.tokenizer(), model.eval(), scales, learned)


def make_model(
    recipe: Recipe, text_size: int, encoder_size: int, functionals_size: int
) -> DialogueModel:
    """Give the untrained network."""
    dialogue = recipe.dialogue
    return DialogueModel(
        Shape(
            text_size=text_size,
            encoder_size=encoder_size,
            functionals_size=functionals_size,
            hidden=dialogue.hidden,
            width=dialogue.width,
            window=dialogue.window,
            encoder_layers=count_layers(recipe.voice.encoder),
            dropout=dialogue.dropout,
            causal=dialogue.causal,
        )
    )


def write_scales(run: RunFolder, scales: tuple[VoiceScale, VoiceScale]) -> None:
    """Keep everybody's voice statistics."""
    if not run.is_ours:
        return
    encoder, functionals = scales
    np.savez(
        run.file("scales.npz"),
        encoder_mean=encoder.mean,
        encoder_deviation=encoder.deviation,
        functionals_mean=functionals.mean,
        functionals_deviation=functionals.deviation,
    )


def read_scales(run: RunFolder) -> tuple[VoiceScale, VoiceScale]:
    """Give everybody's voice statistics, of the encoder and of the functionals."""
    with np.load(run.file("scales.npz"), allow_pickle=False) as arrays:
        return (
            VoiceScale(arrays["encoder_mean"], arrays["encoder_deviation"]),
            VoiceScale(arrays["functionals_mean"], arrays["functionals_deviation"]),
        )
