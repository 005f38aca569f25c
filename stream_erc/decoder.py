"""States -> tokens: Whisper's decoder, greedy, which sees silence as the encoder does.

Each group of silence is one key that counts as often as the states it stands for; the
result is that of all of them, for a part of the work. What it attends to as it goes
also tells when each token was said.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from statistics import fmean

import numpy as np
from numpy.typing import NDArray

from .draft import Draft
from .encoder import Encoding
from .recognizer import Array, Decoded

BANNED = np.float32(-1e9)


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """Tokens with a meaning of their own.

    Attributes:
        end: Of the text. Those above it are no text.
        no_speech: What is likely at the start where nobody speaks.
        never: Not to be said.
        not_first: Not to be said at first, either.
    """

    end: int
    no_speech: int
    never: NDArray[np.int64]
    not_first: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed(Decoded):
    """A text, and what was seen while it was decoded.

    Attributes:
        log_probabilities: Of each token, and of the end where it came.
        attention: Shape (n_heads, n_prompt + n_tokens, n_states): where the heads that
            follow the sound looked after each token.
    """

    log_probabilities: list[float]
    attention: Array


class CompactDecoder:
    """The decoder of a CTranslate2 model, run by onnxruntime; safe to share.

    Args:
        weights: Those of the decoder, as CTranslate2 names them.
        vocabulary: Its special tokens.
        heads: Layer and head of those that follow the sound; if empty, all of the
            second half of the layers, as openai/whisper has it.
        threads: Of onnxruntime, for one call.
        is_quantized: Multiply in int8; otherwise in float32.
    """

    def __init__(
        self,
        weights: dict[str, Array],
        vocabulary: Vocabulary,
        *,
        heads: Sequence[tuple[int, int]],
        threads: int,
        is_quantized: bool,
    ) -> None:
        self._vocabulary = vocabulary
        self._positions = weights["position_encodings/encodings"]
        table = weights["embeddings/weight"]
        self._table = table.astype(np.float16) if is_quantized else table
        draft = Draft({"projection/weight": table, **weights}, is_quantized)
        n_heads, size = draft.heads
        width = n_heads * size
        self._project = draft.open(draw_keys(draft), threads, states=[None, width])
        self._heard = name_keys("heard", draft.n_layers)
        self._past = name_keys("past", draft.n_layers)
        shapes = [[n_heads, size, None], [n_heads, None, size]] * draft.n_layers
        late = range(draft.n_layers // 2, draft.n_layers)
        followers = heads or list(product(late, range(n_heads)))
        self._step = draft.open(
            draw_step(draft, followers),
            threads,
            said=[None, width],
            mask=[None, None],
            bias=[None],
            **dict(zip(self._heard, shapes, strict=True)),
            **dict(zip(self._past, shapes, strict=True)),
        )
        self._nothing = [
            np.empty([size or 0 for size in shape], np.float32) for shape in shapes
        ]

    def decode(self, encoding: Encoding, prompt: Sequence[int], limit: int) -> Followed:
        """Decode greedily, at most `limit` tokens."""
        heard = self._project.run(None, {"states": encoding.states})
        keys = {"bias": encoding.bias, **dict(zip(self._heard, heard, strict=True))}
        tokens: list[int] = []
        log_probabilities: list[float] = []
        attentions: list[Array] = []
        given, past = list(prompt), self._nothing
        while True:
            logits, attention, *past = self._run(given, past, keys)
            attentions.append(attention)
            if not tokens:
                no_speech = math.exp(share(logits[0], self._vocabulary.no_speech))
            if len(tokens) == limit:
                break
            token, log_probability = self._choose(logits[-1], is_first=not tokens)
            log_probabilities.append(log_probability)
            if token == self._vocabulary.end:
                break
            tokens.append(token)
            given = [token]
        return Followed(
            tokens=tokens,
            mean_log_probability=fmean(log_probabilities),
            no_speech_probability=no_speech,
            log_probabilities=log_probabilities,
            attention=np.concatenate(attentions, axis=1),
        )

    def _run(
        self, given: list[int], past: list[Array], keys: dict[str, Array]
    ) -> list[Array]:
        """Give logits, attention, and keys and values with those of `given`."""
        n, n_past = len(given), past[1].shape[1]
        mask = np.zeros((n, n_past + n), np.float32)
        mask[:, n_past:] = np.triu(np.full((n, n), BANNED), 1)
        said = self._table[given] + self._positions[n_past : n_past + n]
        inputs = {"said": said, "mask": mask, **keys}
        inputs.update(zip(self._past, past, strict=True))
        results: list[Array] = self._step.run(None, inputs)
        return results

    def _choose(self, logits: Array, *, is_first: bool) -> tuple[int, float]:
        """Give the likeliest of the tokens that may come, and its log-probability."""
        logits[self._vocabulary.end + 1 :] = BANNED
        logits[self._vocabulary.never] = BANNED
        if is_first:
            logits[self._vocabulary.not_first] = BANNED
        token = int(logits.argmax())
        return token, share(logits, token)


def share(logits: Array, token: int) -> float:
    """Give the log-probability of one token."""
    highest = logits.max()
    return float(logits[token] - highest - np.log(np.exp(logits - highest).sum()))


def draw_keys(draft: Draft) -> list[str]:
    """Keys and values of what was heard, by layer, from states (n, width)."""
    names = []
    for n in range(draft.n_layers):
        both = draft.multiply("states", f"layer_{n}/attention/linear_1")
        key, value = draft.split(both, 2)
        names += [draft.key(key), draft.value(value)]
    return names


def draw_step(draft: Draft, heads: Sequence[tuple[int, int]]) -> list[str]:
    """Tokens said (n, width) to logits (n, n_tokens), attention, keys and values.

    Takes besides: the mask (n, n_past + n) of what was said before, keys and values
    of that ("past") and of what was "heard", and the latter's bias.
    """
    x, past, shares = "said", [], []
    for n in range(draft.n_layers):
        name = f"layer_{n}/self_attention"
        y = draft.normalise(x, f"{name}/layer_norm")
        query, key, value = draft.split(draft.multiply(y, f"{name}/linear_0"), 3)
        keys = draft.node("Concat", f"past_key_{n}", draft.key(key), axis=2)
        values = draft.node("Concat", f"past_value_{n}", draft.value(value), axis=1)
        past += [keys, values]
        found, _ = draft.attend(draft.query(query), keys, values, "mask")
        x = draft.node("Add", x, draft.multiply(found, f"{name}/linear_1"))
        name = f"layer_{n}/attention"
        y = draft.normalise(x, f"{name}/layer_norm")
        query = draft.query(draft.multiply(y, f"{name}/linear_0"))
        found, looks = draft.attend(query, f"heard_key_{n}", f"heard_value_{n}", "bias")
        following = draft.array(np.array([h for layer, h in heads if layer == n], int))
        shares.append(draft.node("Gather", looks, following, axis=0))
        x = draft.node("Add", x, draft.multiply(found, f"{name}/linear_2"))
        x = draft.node("Add", x, draft.feed(x, f"layer_{n}/ffn"))
    logits = draft.multiply(draft.normalise(x, "layer_norm"), "projection")
    return [logits, draft.node("Concat", *shares, axis=0), *past]


def name_keys(kind: str, n_layers: int) -> list[str]:
    """Name keys and values, by layer."""
    parts = ("key", "value")
    return [f"{kind}_{part}_{n}" for n in range(n_layers) for part in parts]
