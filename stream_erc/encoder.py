"""Mel -> states: Whisper's encoder, in which the silence behind a turn costs little.

Whisper wants to see much silence behind a short turn; without it the decoder finds no
end. But all of that silence looks the same. Here eight of its states are computed as
one that counts eight times in the attention, as in token merging (Bolya et al., 2023,
"Token Merging: Your ViT But Faster", section 3), and stand eight times in the result.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .networks import network_options
from .weights import read_weights

GROUP = 8
"""States of silence that are computed as one. Measured, see docs/decisions.md."""

MARGIN = 25
"""States behind the turn that are computed one by one."""

EDGE = 4
"""States more that the convolutions see, or their own padding would count as sound."""

INT8_LEVELS = 63
"""Half of int8: AVX2 adds pairs of products in 16 bits, which whole ones overflow."""

Array = NDArray[np.float32]


class CompactEncoder:
    """The encoder of a CTranslate2 model, run by onnxruntime; safe to share.

    Args:
        folder: Of the CTranslate2 model.
        threads: Of onnxruntime, for one call.
        is_quantized: Multiply in int8; otherwise in float32.

    Raises:
        ValueError: If the weights are stored in another layout than is known here.
    """

    def __init__(self, folder: Path, *, threads: int, is_quantized: bool) -> None:
        weights = read_weights(folder / "model.bin", "encoder/")
        self._positions = weights["position_encodings/encodings"]
        whole = len(self._positions) // GROUP * GROUP
        self._group_positions = (
            self._positions[:whole].reshape(-1, GROUP, self.width).mean(axis=1)
        )
        draft = Draft(weights, is_quantized)
        self._ears = open_draft(draft.draw_ears(), threads)
        self._layers = open_draft(draft.draw_layers(), threads)

    @property
    def width(self) -> int:
        """Numbers of one state."""
        return int(self._positions.shape[1])

    def frames(self, n_states: int, context: int) -> int:
        """Tell how many mel frames to give for a turn of `n_states`."""
        return 2 * min(context, self._alone(n_states, context) + EDGE)

    def encode(self, mel: Array, n_states: int, context: int) -> Array:
        """Encode one turn.

        Args:
            mel: Shape (n_mels, `frames(n_states, context)`), silence behind the turn.
            n_states: Of the turn, each 20 ms.
            context: States to give, the silence behind the turn included.

        Returns:
            Shape (1, context, width).
        """
        n_alone = self._alone(n_states, context)
        (heard,) = self._ears.run(None, {"mel": mel[None]})
        first, n_groups = n_alone // GROUP, (context - n_alone) // GROUP
        states = heard[0, :n_alone] + self._positions[:n_alone]
        if n_groups:
            silence = heard[0, n_alone + 1]
            merged = silence + self._group_positions[first : first + n_groups]
            states = np.concatenate([states, merged])
        counts = np.repeat(np.array([1, GROUP], np.float32), [n_alone, n_groups])
        inputs = {"states": states[None], "bias": np.log(counts)}
        (encoded,) = self._layers.run(None, inputs)
        tail = np.repeat(encoded[:, n_alone:], GROUP, axis=1)
        return np.concatenate([encoded[:, :n_alone], tail], axis=1)

    def _alone(self, n_states: int, context: int) -> int:
        """How many states are computed one by one."""
        return min(context, -(-(n_states + MARGIN) // GROUP) * GROUP)


class Draft:
    """The network as ONNX, drawn node by node.

    Args:
        weights: As CTranslate2 names them.
        is_quantized: Multiply in int8.
    """

    def __init__(self, weights: dict[str, Array], is_quantized: bool) -> None:
        self._weights = weights
        self._is_quantized = is_quantized
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def draw_ears(self) -> onnx.ModelProto:
        """Two convolutions: mel (1, n_mels, 2 n) to sounds (1, n, width)."""
        x = "mel"
        for name, stride in (("conv1", 1), ("conv2", 2)):
            filters = [self._constant(f"{name}/{part}") for part in ("weight", "bias")]
            x = self._node("Conv", x, *filters, pads=[1, 1], strides=[stride])
            x = self._node("Gelu", x, domain="com.microsoft")
        x = self._node("Transpose", x, perm=[0, 2, 1])
        return self._finish(x, mel=[1, None, None])

    def draw_layers(self) -> onnx.ModelProto:
        """The transformer: states (1, n, width) and the bias (n,) of each as a key."""
        x, n = "states", 0
        while f"layer_{n}/self_attention/linear_0/weight" in self._weights:
            x = self._node("Add", x, self._attend(x, f"layer_{n}/self_attention"))
            x = self._node("Add", x, self._feed(x, f"layer_{n}/ffn"))
            n += 1
        return self._finish(
            self._normalise(x, "layer_norm"), states=[1, None, None], bias=[None]
        )

    def _attend(self, x: str, name: str) -> str:
        n_heads = int(self._weights["num_heads"])
        width = len(self._weights[f"{name}/layer_norm/gamma"])
        x = self._normalise(x, f"{name}/layer_norm")
        x = self._multiply(x, f"{name}/linear_0")
        apart = self._array(np.array([0, 0, 3 * n_heads, width // n_heads]))
        x = self._node("Transpose", self._node("Reshape", x, apart), perm=[0, 2, 1, 3])
        query, key, value = self._split(x)
        scale = self._array(np.array((width // n_heads) ** -0.5, np.float32))
        query = self._node("Mul", query, scale)
        key = self._node("Transpose", key, perm=[0, 1, 3, 2])
        scores = self._node("Add", self._node("MatMul", query, key), "bias")
        shares = self._node("Softmax", scores, axis=-1)
        x = self._node("MatMul", shares, value)
        x = self._node("Transpose", x, perm=[0, 2, 1, 3])
        x = self._node("Reshape", x, self._array(np.array([0, 0, width])))
        return self._multiply(x, f"{name}/linear_1")

    def _feed(self, x: str, name: str) -> str:
        x = self._normalise(x, f"{name}/layer_norm")
        x = self._multiply(x, f"{name}/linear_0")
        x = self._node("Gelu", x, domain="com.microsoft")
        return self._multiply(x, f"{name}/linear_1")

    def _normalise(self, x: str, name: str) -> str:
        gamma, beta = self._constant(f"{name}/gamma"), self._constant(f"{name}/beta")
        return self._node("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-5)

    def _multiply(self, x: str, name: str) -> str:
        weight = self._weights[f"{name}/weight"]  # (n_out, n_in)
        if self._is_quantized:
            scale = np.abs(weight).max(axis=1) / INT8_LEVELS
            whole = np.round(weight / scale[:, None]).astype(np.int8)
            given = [f"{name}/{part}" for part in ("whole", "scale", "zero")]
            self._nodes.append(helper.make_node("DynamicQuantizeLinear", [x], given))
            x = self._node(
                "MatMulIntegerToFloat",
                given[0],
                self._array(whole.T),
                given[1],
                self._array(scale.astype(np.float32)),
                given[2],
                domain="com.microsoft",
            )
        else:
            x = self._node("MatMul", x, self._array(weight.T))
        return self._node("Add", x, self._constant(f"{name}/bias"))

    def _split(self, x: str) -> list[str]:
        names = [f"{x}/{part}" for part in ("query", "key", "value")]
        node = helper.make_node("Split", [x], names, axis=1, num_outputs=3)
        self._nodes.append(node)
        return names

    def _node(
        self, kind: str, *inputs: str, domain: str = "", **settings: object
    ) -> str:
        name = f"node{len(self._nodes)}"
        node = helper.make_node(kind, inputs, [name], domain=domain, **settings)
        self._nodes.append(node)
        return name

    def _constant(self, name: str) -> str:
        return self._array(self._weights[name])

    def _array(self, array: NDArray[Any]) -> str:
        name = f"constant{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.ascontiguousarray(array), name)
        )
        return name

    def _finish(self, output: str, **inputs: list[int | None]) -> onnx.ModelProto:
        """Make a model of what was drawn so far, and begin anew."""
        declare = helper.make_tensor_value_info
        graph = helper.make_graph(
            self._nodes,
            "encoder",
            [declare(name, TensorProto.FLOAT, shape) for name, shape in inputs.items()],
            [declare(output, TensorProto.FLOAT, None)],
            self._constants,
        )
        self._nodes, self._constants = [], []
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def open_draft(model: onnx.ModelProto, threads: int) -> onnxruntime.InferenceSession:
    """Load a network for so many threads."""
    return onnxruntime.InferenceSession(
        model.SerializeToString(),
        network_options(threads),
        providers=["CPUExecutionProvider"],
    )
