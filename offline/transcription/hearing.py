"""Samples… -> Heard…: many turns in one call of the recognizer that serves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from stream_erc.asr import Whisper, context_s, summarize, token_limit
from stream_erc.flow import Heard, Samples

NO_VOICE = np.empty(0, np.float32)


class BatchedWhisper(Whisper):
    """The server's recognizer, which decodes turns side by side where that helps.

    Each turn is shown to the encoder and bounded as `hear` does it, so its words do
    not depend on the turns beside it. `Heard.voice` is left empty: the voice is
    measured where it is learned from.
    """

    def hear_batch(self, turns: Sequence[Samples]) -> list[Heard]:
        """Transcribe turns that all have the same `context_s`, in their order."""
        tokenizer = self._tokenizers[self._config.language]
        prompt = [*tokenizer.sot_sequence, tokenizer.no_timestamps]
        encodings = [self._encode(turn) for turn in turns]
        limits = [token_limit(len(turn)) for turn in turns]
        decoded = self._network.decode(encodings, prompt, limits)
        return [summarize(tokenizer, one, NO_VOICE) for one in decoded]


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
