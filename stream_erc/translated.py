"""Whisper on a GPU: CTranslate2, which takes many turns at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np

from .recognizer import Array, Decoded, MakeMel, Times

HALVED = 2
"""CTranslate2 lets a text have half of `max_length` tokens, as openai/whisper has it
(`WhisperReplica::generate` in its src/models/whisper.cc)."""


class TranslatedNetwork:
    """CTranslate2's own Whisper.

    Args:
        folder: Of the model.
        end: The token that ends a text; those above it are no text.
        device: "cuda"; "cpu" works as well.
        compute_type: As CTranslate2 names it.
        threads: Of one call, on a processor.
        workers: Calls at once.
    """

    def __init__(
        self,
        folder: Path,
        end: int,
        *,
        device: str,
        compute_type: str,
        threads: int,
        workers: int,
    ) -> None:
        self._end = end
        self._model = ctranslate2.models.Whisper(
            str(folder),
            device=device,
            compute_type=compute_type,
            intra_threads=threads,
            inter_threads=workers,
        )
        self.is_multilingual = bool(self._model.is_multilingual)

    def encode(self, make_mel: MakeMel, n_states: int, context: int) -> Any:
        """See `recognizer.Network`; states of shape (1, context, width)."""
        mel = np.ascontiguousarray(make_mel(2 * context)[None])
        return self._model.encode(ctranslate2.StorageView.from_array(mel))

    def turn_states(self, encoding: Any, n_states: int) -> Array:
        """See `recognizer.Network`."""
        states = np.array(encoding.to_device(ctranslate2.Device.cpu), np.float32)
        return states[0, :n_states]

    def decode(
        self, encodings: Sequence[Any], prompt: Sequence[int], limits: Sequence[int]
    ) -> list[Decoded]:
        """See `recognizer.Network`; all in one call."""
        most = max(limits)
        results = self._generate(join(encodings), prompt, most)
        return [
            # The call has one bound; what may have passed its own is decoded alone.
            self._read(self._generate(encoding, prompt, limit)[0])
            if len(result.sequences_ids[0]) >= limit < most
            else self._read(result)
            for result, encoding, limit in zip(results, encodings, limits, strict=True)
        ]

    def align(
        self, encoding: Any, decoded: Decoded, prompt: Sequence[int], n_states: int
    ) -> Times:
        """See `recognizer.Network`; one decoder pass more."""
        start = list(prompt[:-1])  # what precedes <|notimestamps|>
        found = self._model.align(encoding, start, [decoded.tokens], 2 * n_states)[0]
        rows, states = np.array(found.alignments).T
        entered = np.diff(rows, prepend=-1).astype(bool)
        return Times(states[entered], np.array(found.text_token_probs))

    def _generate(self, states: Any, prompt: Sequence[int], limit: int) -> list[Any]:
        results: list[Any] = self._model.generate(
            states,
            [list(prompt)] * states.shape[0],
            beam_size=1,
            max_length=HALVED * limit,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return results

    def _read(self, result: Any) -> Decoded:
        tokens = result.sequences_ids[0]
        return Decoded(
            tokens=[token for token in tokens if token < self._end],
            # The score is per token without the end of the text.
            mean_log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
        )


def join(encodings: Sequence[Any]) -> Any:
    """Put states of several turns side by side."""
    if len(encodings) == 1:
        return encodings[0]
    cpu = ctranslate2.Device.cpu
    states = [np.array(encoding.to_device(cpu)) for encoding in encodings]
    return ctranslate2.StorageView.from_array(np.concatenate(states))
