"""Samples -> a speech encoder's numbers: the recognizer's own, or another one's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from transformers import AutoConfig, AutoFeatureExtractor, AutoModel

from stream_erc.asr import Whisper
from stream_erc.config import AsrConfig
from stream_erc.errors import ConfigError
from stream_erc.flow import SAMPLE_RATE_HZ, Samples

from .voices import Encode, Floats


def count_layers(name: str) -> int:
    """Give how many layers an encoder's numbers are of."""
    if not name:
        return 1
    config = AutoConfig.from_pretrained(name)
    n_blocks = getattr(config, "encoder_layers", None) or config.num_hidden_layers
    return int(n_blocks) + 1  # what goes into the first one counts, too


def make_encode(name: str) -> Encode:
    """Give what turns samples into numbers.

    Args:
        name: Hub name or folder of a WavLM, HuBERT, wav2vec 2.0 or Whisper; if empty
            the recognizer's encoder, which is the only one that the server has.

    Raises:
        ConfigError: If there is no such encoder.
    """
    if not name:
        return Whisper(AsrConfig(workers=1)).voice
    try:
        model: Any = AutoModel.from_pretrained(name).eval()
        extractor = AutoFeatureExtractor.from_pretrained(name)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"voice encoder: expected a hub name or a model folder, got {name!r}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if hasattr(model, "decoder"):
        model = model.encoder  # of Whisper, the half that listens

    @torch.no_grad()
    def encode(samples: Samples) -> Floats:
        inputs = extractor(samples, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt")
        states = model(**inputs, output_hidden_states=True).hidden_states
        # The mean over time of every layer; the network learns which count.
        pooled = torch.stack([layer[0].mean(0) for layer in states])
        return np.asarray(pooled.flatten().numpy(), np.float32)

    return encode
