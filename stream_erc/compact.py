"""Whisper on a processor: the weights of CTranslate2, drawn anew for onnxruntime."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
from faster_whisper.tokenizer import Tokenizer

from .decoder import CompactDecoder, Followed, Vocabulary
from .encoder import CompactEncoder, Encoding
from .recognizer import Array, Decoded, MakeMel, Times
from .weights import read_weights
from .word_times import find_bounds

MULTILINGUAL = 51_865
"""Tokens of a model of many languages, at least; CTranslate2 tells them so, too."""


class CompactNetwork:
    """Both halves, which compute the silence behind a turn in groups.

    Args:
        folder: Of the CTranslate2 model.
        tokenizer: Of any language.
        threads: Of onnxruntime, for one call.
        is_quantized: Multiply in int8; otherwise in float32.

    Raises:
        ValueError: If the weights are stored in another layout than is known here, or
            `config.json` lacks something.
    """

    def __init__(
        self, folder: Path, tokenizer: Tokenizer, *, threads: int, is_quantized: bool
    ) -> None:
        told = json.loads((folder / "config.json").read_text("utf-8"))
        never, not_first = (
            np.array(require_key(told, name) or [], np.int64)  # it may be null
            for name in ("suppress_ids", "suppress_ids_begin")
        )
        vocabulary = Vocabulary(
            end=tokenizer.eot,
            no_speech=tokenizer.no_speech,
            never=never,
            not_first=not_first,
        )
        file = folder / "model.bin"
        self._encoder = CompactEncoder(
            read_weights(file, "encoder/"), threads=threads, is_quantized=is_quantized
        )
        weights = read_weights(file, "decoder/")
        heads = [(layer, head) for layer, head in told.get("alignment_heads") or []]
        self._decoder = CompactDecoder(
            weights,
            vocabulary,
            heads=heads,
            threads=threads,
            is_quantized=is_quantized,
        )
        self.is_multilingual = len(weights["embeddings/weight"]) >= MULTILINGUAL

    def encode(self, make_mel: MakeMel, n_states: int, context: int) -> Encoding:
        """See `recognizer.Network`."""
        mel = make_mel(self._encoder.frames(n_states, context))
        return self._encoder.encode(mel, n_states, context)

    def turn_states(self, encoding: Encoding, n_states: int) -> Array:
        """See `recognizer.Network`."""
        return encoding.states[:n_states]

    def decode(
        self,
        encodings: Sequence[Encoding],
        prompt: Sequence[int],
        limits: Sequence[int],
    ) -> list[Decoded]:
        """See `recognizer.Network`; one after the other."""
        return [
            self._decoder.decode(encoding, prompt, limit)
            for encoding, limit in zip(encodings, limits, strict=True)
        ]

    def align(
        self, encoding: Encoding, decoded: Decoded, prompt: Sequence[int], n_states: int
    ) -> Times:
        """See `recognizer.Network`; it has been seen while decoding."""
        followed = cast(Followed, decoded)
        n_tokens = len(followed.tokens)
        return Times(
            find_bounds(followed.attention, n_states, n_tokens),
            np.exp(followed.log_probabilities[:n_tokens]),
        )


def require_key(told: dict[str, Any], name: str) -> Any:
    """Give what `config.json` tells by that name.

    Raises:
        ValueError: If it tells no such thing.
    """
    if name not in told:
        raise ValueError(f"config.json: expected {name}, got {', '.join(told) or '{}'}")
    return told[name]
