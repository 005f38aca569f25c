"""What a recognizer's network gives, whatever runs it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

MakeMel = Callable[[int], Array]
"""How many mel frames, to the mel of a turn and silence, (n_mels, n_frames)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decoded:
    """A text as tokens.

    Attributes:
        tokens: Without the end of the text.
        mean_log_probability: Of the tokens and the end, where it came.
        no_speech_probability: That nobody speaks.
    """

    tokens: list[int]
    mean_log_probability: float
    no_speech_probability: float


@dataclass(frozen=True, slots=True)
class Times:
    """When tokens were said.

    Attributes:
        bounds: Encoder states in which each token starts and the last one ends, shape
            (n_tokens + 1,), in order.
        probabilities: Of the tokens, shape (n_tokens,).
    """

    bounds: NDArray[np.int64]
    probabilities: NDArray[np.float64]


class Network(Protocol):
    """Whisper on some device; safe to share. What `encode` gives is its own."""

    is_multilingual: bool

    def encode(self, make_mel: MakeMel, n_states: int, context: int) -> Any:
        """Encode a turn of `n_states` with silence up to `context` behind it."""
        ...

    def turn_states(self, encoding: Any, n_states: int) -> Array:
        """Give the states of the turn, shape (n_states, width)."""
        ...

    def decode(
        self, encodings: Sequence[Any], prompt: Sequence[int], limits: Sequence[int]
    ) -> list[Decoded]:
        """Decode turns of one context greedily, each at most so many tokens."""
        ...

    def align(
        self, encoding: Any, decoded: Decoded, prompt: Sequence[int], n_states: int
    ) -> Times:
        """Tell when the tokens of a turn of `n_states` were said."""
        ...
