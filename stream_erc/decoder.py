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

from .draft import FLOAT, INTEGER, Draft, Typed
from .encoder import Encoding
from .recognizer import Array, Decoded

BANNED = np.float32(-1e9)
"""Added to what must not be: large, but no infinity, of which two make no number."""


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
        self._end = vocabulary.end
        table = weights["embeddings/weight"]
        draft = Draft({"projection/weight": table, **weights}, is_quantized)
        late = range(draft.n_layers // 2, draft.n_layers)
        followers = heads or list(product(late, range(draft.heads[0])))
        self._n_followers = len(followers)
        drawing = Drawing(
            draft,
            followers,
            table=draft.array(table.astype(np.float16) if is_quantized else table),
            places=draft.constant("position_encodings/encodings"),
            vocabulary=vocabulary,
            n_tokens=len(table),
        )
        inputs = [Typed(name) for name in ("states", "bias", "mask", "looked")]
        inputs += [Typed(name, INTEGER) for name in ("prompt", "places", "rounds")]
        self._network = draft.open(inputs, drawing.draw(), threads)

    def decode(self, encoding: Encoding, prompt: Sequence[int], limit: int) -> Followed:
        """Decode greedily, at most `limit` tokens."""
        n, n_states = len(prompt), len(encoding.states)
        inputs = {
            "states": encoding.states,
            "bias": encoding.bias,
            "mask": np.triu(np.full((n, n), BANNED), 1),
            "looked": np.empty((self._n_followers, 0, n_states), np.float32),
            "prompt": np.array(prompt),
            "places": np.arange(n),
            # One more than tokens: it tells where the last one was looked for.
            "rounds": np.array(limit + 1),
        }
        attention, tokens, likely, no_speech = self._network.run(None, inputs)
        said: list[int] = tokens[:limit, 0].tolist()
        log_probabilities: list[float] = likely[:limit, 0].tolist()
        return Followed(
            tokens=said[:-1] if said[-1] == self._end else said,
            mean_log_probability=fmean(log_probabilities),
            no_speech_probability=math.exp(no_speech[0, 0]),
            log_probabilities=log_probabilities,
            attention=attention,
        )


class Drawing:
    """How the decoder is drawn: a round for the prompt, then one for each token.

    It goes round within one call of onnxruntime. In Python each round of each turn
    would wait for the interpreter, which other threads have.

    Args:
        draft: With the weights.
        heads: Layer and head of those that follow the sound.
        table: The embeddings, put down.
        places: Those of the places in the text, put down.
        vocabulary: The special tokens.
        n_tokens: All that there are.
    """

    def __init__(
        self,
        draft: Draft,
        heads: Sequence[tuple[int, int]],
        *,
        table: str,
        places: str,
        vocabulary: Vocabulary,
        n_tokens: int,
    ) -> None:
        self._draft = draft
        self._heads = heads
        self._table, self._places = table, places
        self._end = draft.array(np.array([vocabulary.end]))
        self._no_speech = draft.array(np.array([vocabulary.no_speech]))
        banned = np.zeros(n_tokens, np.float32)
        banned[vocabulary.end + 1 :] = BANNED
        banned[vocabulary.never] = BANNED
        self._banned = draft.array(banned)
        at_first = banned.copy()
        at_first[vocabulary.not_first] = BANNED
        self._banned_at_first = draft.array(at_first)
        self._heard: list[tuple[str, str]] = []

    def draw(self) -> list[Typed]:
        """Draw it all: to attention, and tokens, log-probabilities and no speech."""
        draft = self._draft
        for n in range(draft.n_layers):
            both = draft.multiply("states", f"layer_{n}/attention/linear_1")
            key, value = draft.split(both, 2)
            self._heard.append((draft.key(key), draft.value(value)))
        n_heads, size = draft.heads
        keys = draft.array(np.empty((n_heads, size, 0), np.float32))
        values = draft.array(np.empty((n_heads, 0, size), np.float32))
        first = [Typed("prompt", INTEGER), Typed("places", INTEGER), Typed("mask")]
        first += [Typed(self._banned_at_first), Typed("looked")]
        first += [Typed(keys), Typed(values)] * draft.n_layers
        results = draft.loop("rounds", first, self._draw_round)
        told = [Typed(name) for name in results[len(first) :]]
        return [Typed(results[4]), told[0]._replace(kind=INTEGER), *told[1:]]

    def _draw_round(self, gets: list[str]) -> tuple[str, list[str], list[Typed]]:
        draft = self._draft
        said, places, mask, banned, looked, *past = gets
        x = draft.node("Gather", self._table, said)
        x = draft.node("Cast", x, to=FLOAT)
        x = draft.node("Add", x, draft.node("Gather", self._places, places))
        looks, kept = [], []
        for n in range(draft.n_layers):
            x, look, *keys = self._draw_layer(n, x, mask, past[2 * n : 2 * n + 2])
            looks.append(look)
            kept += keys
        logits = draft.multiply(draft.normalise(x, "layer_norm"), "projection")
        first, last = (draft.array(np.array(row)) for row in (0, -1))
        token, likely = self._choose(draft.node("Gather", logits, last), banned)
        no_speech = self._log_probability(
            draft.node("Gather", logits, first), self._no_speech
        )
        one, at_last = draft.array(np.array([1])), draft.array(np.array([-1]))
        place = draft.node("Add", draft.node("Gather", places, at_last), one)
        nothing = draft.array(np.zeros((1, 1), np.float32))
        left = [
            draft.node("Identity", token),
            place,
            draft.node("Identity", nothing),
            draft.node("Identity", self._banned),
            draft.node("Concat", looked, draft.node("Concat", *looks, axis=0), axis=1),
            *kept,
        ]
        is_end = draft.node("Equal", token, self._end)
        told = [Typed(token, INTEGER), Typed(likely), Typed(no_speech)]
        return draft.node("Not", draft.node("Squeeze", is_end)), left, told

    def _draw_layer(
        self, n: int, x: str, mask: str, past: list[str]
    ) -> tuple[str, str, str, str]:
        """Give what a layer makes of it, where it looked, and keys and values."""
        draft, name = self._draft, f"layer_{n}/self_attention"
        y = draft.normalise(x, f"{name}/layer_norm")
        query, key, value = draft.split(draft.multiply(y, f"{name}/linear_0"), 3)
        keys = draft.node("Concat", past[0], draft.key(key), axis=2)
        values = draft.node("Concat", past[1], draft.value(value), axis=1)
        found, _ = draft.attend(draft.query(query), keys, values, mask)
        x = draft.node("Add", x, draft.multiply(found, f"{name}/linear_1"))
        name = f"layer_{n}/attention"
        y = draft.normalise(x, f"{name}/layer_norm")
        query = draft.query(draft.multiply(y, f"{name}/linear_0"))
        found, looks = draft.attend(query, *self._heard[n], "bias")
        x = draft.node("Add", x, draft.multiply(found, f"{name}/linear_2"))
        x = draft.node("Add", x, draft.feed(x, f"layer_{n}/ffn"))
        followers = np.array([head for layer, head in self._heads if layer == n], int)
        look = draft.node("Gather", looks, draft.array(followers), axis=0)
        return x, look, keys, values

    def _choose(self, logits: str, banned: str) -> tuple[str, str]:
        """Give the likeliest token that may come, and its log-probability."""
        allowed = self._draft.node("Add", logits, banned)
        token = self._draft.node("ArgMax", allowed, axis=0, keepdims=1)
        return token, self._log_probability(allowed, token)

    def _log_probability(self, logits: str, token: str) -> str:
        """Give the log-probability of a token, shape (1,)."""
        one = self._draft.node("Gather", logits, token)
        every = self._draft.node("ReduceLogSumExp", logits, keepdims=0)
        return self._draft.node("Sub", one, every)
