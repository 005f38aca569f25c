"""Samples… -> Heard…: many turns in one call of the recognizer that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import ctranslate2
import numpy as np

from stream_erc.asr import HALVED, Whisper, compression_ratio, context_s, token_limit
from stream_erc.flow import Heard, Samples

NO_VOICE = np.empty(0, np.float32)


class BatchedWhisper(Whisper):
    """The server's recognizer, which decodes turns side by side.

    Each turn is shown to the encoder and bounded as `hear` does it, so its words do
    not depend on the turns beside it. `Heard.voice` is left empty: the voice is
    measured where it is learned from.
    """

    def hear_batch(self, turns: Sequence[Samples]) -> list[Heard]:
        """Transcribe turns that all have the same `context_s`, in their order."""
        tokenizer = self._tokenizers[self._config.language]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        results = self._model.model.generate(
            self._encode_all(turns),
            [prompt] * len(turns),
            beam_size=1,
            max_length=HALVED * max(token_limit(len(turn)) for turn in turns),
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            # The batch has one bound; what may have passed its own is heard alone.
            replace(self.hear(turn), voice=NO_VOICE)
            if len(result.sequences_ids[0]) >= token_limit(len(turn))
            else self._read(result)
            for turn, result in zip(turns, results, strict=True)
        ]

    def _encode_all(self, turns: Sequence[Samples]) -> ctranslate2.StorageView:
        """Give the encoder's states of all, shape (n_turns, n_states, width)."""
        cpu = ctranslate2.Device.cpu
        states = [np.array(self._encode(turn).to_device(cpu)) for turn in turns]
        return ctranslate2.StorageView.from_array(np.concatenate(states))

    def _read(self, result: Any) -> Heard:
        tokenizer = self._tokenizers[self._config.language]
        tokens = [t for t in result.sequences_ids[0] if t < tokenizer.eot]
        text = tokenizer.decode(tokens).strip()
        return Heard(
            text=text,
            words=(),
            voice=NO_VOICE,
            # CTranslate2 gives the score per token without the end of text.
            mean_log_probability=result.scores[0] * len(tokens) / (len(tokens) + 1),
            no_speech_probability=result.no_speech_prob,
            compression_ratio=compression_ratio(text),
        )


def plan_batches(lengths: Sequence[int], size: int) -> Iterator[list[int]]:
    """Group turns that fit one call: of one context, and about as long.

    A call lasts as long as its longest turn.

    Args:
        lengths: Of the turns, in samples.
        size: The most turns in a call.

    Yields:
        Indices of turns; each turn is in one group.
    """
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        is_other = batch and context_s(lengths[index]) != context_s(lengths[batch[0]])
        if len(batch) == size or is_other:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
