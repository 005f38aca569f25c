"""Mel -> states: Whisper's encoder, in which the silence behind a turn costs little.

Whisper wants to see much silence behind a short turn; without it the decoder finds no
end. But all of that silence looks the same. Here eight of its states are computed as
one that counts eight times in the attention, as in token merging (Bolya et al., 2023,
"Token Merging: Your ViT But Faster", section 3); the decoder counts it so, too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .draft import Draft, Typed
from .recognizer import Array

GROUP = 8
"""States of silence that are computed as one. Measured, see docs/decisions.md."""

MARGIN = 25
"""States behind the turn that are computed one by one."""

EDGE = 4
"""States more that the convolutions see, or their own padding would count as sound."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """A turn as the encoder hears it.

    Attributes:
        states: Shape (n, width): one for every 20 ms of the turn and a little beyond,
            then one for each group of silence.
        bias: Shape (n,), the logarithm of how many states each one stands for.
    """

    states: Array
    bias: Array


class CompactEncoder:
    """The encoder of a CTranslate2 model, run by onnxruntime; safe to share.

    Args:
        weights: Those of the encoder, as CTranslate2 names them.
        threads: Of onnxruntime, for one call.
        is_quantized: Multiply in int8; otherwise in float32.
    """

    def __init__(
        self, weights: dict[str, Array], *, threads: int, is_quantized: bool
    ) -> None:
        self._positions = weights["position_encodings/encodings"]
        whole = len(self._positions) // GROUP * GROUP
        parts = self._positions[:whole].reshape(-1, GROUP, self._positions.shape[1])
        self._group_positions = parts.mean(axis=1)
        draft = Draft(weights, is_quantized)
        self._ears = draft.open([Typed("mel")], [Typed(draw_ears(draft))], threads)
        self._layers = draft.open(
            [Typed("states"), Typed("bias")], [Typed(draw_layers(draft))], threads
        )

    def frames(self, n_states: int, context: int) -> int:
        """Tell how many mel frames to give for a turn of `n_states`."""
        return 2 * min(context, count_alone(n_states, context) + EDGE)

    def encode(self, mel: Array, n_states: int, context: int) -> Encoding:
        """Encode one turn.

        Args:
            mel: Shape (n_mels, `frames(n_states, context)`), silence behind the turn.
            n_states: Of the turn, each 20 ms.
            context: States that Whisper would see, with the silence behind the turn.
        """
        n_alone = count_alone(n_states, context)
        (heard,) = self._ears.run(None, {"mel": mel[None]})
        first, n_groups = n_alone // GROUP, (context - n_alone) // GROUP
        states = heard[0, :n_alone] + self._positions[:n_alone]
        if n_groups:
            silence = heard[0, n_alone + 1]
            merged = silence + self._group_positions[first : first + n_groups]
            states = np.concatenate([states, merged])
        counts = np.repeat(np.array([1, GROUP], np.float32), [n_alone, n_groups])
        inputs = {"states": states, "bias": np.log(counts)}
        (encoded,) = self._layers.run(None, inputs)
        return Encoding(encoded, inputs["bias"])


def count_alone(n_states: int, context: int) -> int:
    """Tell how many states are computed one by one."""
    return min(context, -(-(n_states + MARGIN) // GROUP) * GROUP)


def draw_ears(draft: Draft) -> str:
    """Two convolutions: mel (1, n_mels, 2 n) to sounds (1, n, width)."""
    x = "mel"
    for name, stride in (("conv1", 1), ("conv2", 2)):
        filters = [draft.constant(f"{name}/{part}") for part in ("weight", "bias")]
        x = draft.node("Conv", x, *filters, pads=[1, 1], strides=[stride])
        x = draft.node("Gelu", x, domain="com.microsoft")
    return draft.node("Transpose", x, perm=[0, 2, 1])


def draw_layers(draft: Draft) -> str:
    """The transformer: states (n, width) and the bias (n,) of each as a key."""
    x = "states"
    for n in range(draft.n_layers):
        name = f"layer_{n}/self_attention"
        y = draft.normalise(x, f"{name}/layer_norm")
        query, key, value = draft.split(draft.multiply(y, f"{name}/linear_0"), 3)
        found, _ = draft.attend(
            draft.query(query), draft.key(key), draft.value(value), "bias"
        )
        x = draft.node("Add", x, draft.multiply(found, f"{name}/linear_1"))
        x = draft.node("Add", x, draft.feed(x, f"layer_{n}/ffn"))
    return draft.normalise(x, "layer_norm")
