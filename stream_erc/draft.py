"""Weights -> ONNX: the parts that both halves of Whisper are made of, node by node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from .networks import network_options
from .recognizer import Array

INT8_LEVELS = 63
"""Half of int8: AVX2 adds pairs of products in 16 bits, which whole ones overflow."""

LEAST = 1e-8
"""A row of nothing but zeros would have no scale."""


FLOAT, INTEGER, BOOLEAN = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
"""Of what a tensor is."""


class Typed(NamedTuple):
    """A tensor's name, of what it is, and its shape if that is known."""

    name: str
    kind: int = FLOAT
    shape: tuple[int, ...] | None = None


def declare(tensor: Typed) -> onnx.ValueInfoProto:
    """Declare a tensor."""
    return helper.make_tensor_value_info(*tensor)


class Draft:
    """A network as it is drawn.

    Names of arrays stand for tensors throughout, as ONNX has it.

    Args:
        weights: As CTranslate2 names them.
        is_quantized: Multiply in int8; otherwise in float32.

    Attributes:
        n_layers: Of the transformer.
        heads: How many each attention has, and how wide one is.
    """

    def __init__(self, weights: dict[str, Array], is_quantized: bool) -> None:
        self._weights = weights
        self._is_quantized = is_quantized
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._n_names = 0
        layers = "/self_attention/linear_0/weight"
        self.n_layers = sum(name.endswith(layers) for name in weights)
        n_heads = int(weights["num_heads"])
        width = len(weights["layer_norm/gamma"])
        self.heads = (n_heads, width // n_heads)

    def attend(self, query: str, key: str, value: str, bias: str) -> tuple[str, str]:
        """Attend.

        Args:
            query: Shape (n_heads, n, size).
            key: Shape (n_heads, size, n_keys).
            value: Shape (n_heads, n_keys, size).
            bias: Added to the scores, of a shape that fits (n, n_keys).

        Returns:
            What was found, (n, width), and each one's shares of the keys.
        """
        scores = self.node("Add", self.node("MatMul", query, key), bias)
        shares = self.node("Softmax", scores, axis=-1)
        found = self.node("MatMul", shares, value)
        found = self.node("Transpose", found, perm=[1, 0, 2])
        found = self.node("Reshape", found, self.array(np.array([0, -1])))
        return found, shares

    def query(self, x: str) -> str:
        """Give (n, width) as (n_heads, n, size), scaled for `attend`."""
        scale = np.array(self.heads[1] ** -0.5, np.float32)
        return self.node("Mul", self.value(x), self.array(scale))

    def key(self, x: str) -> str:
        """Give (n, width) as (n_heads, size, n)."""
        return self.node("Transpose", self._part(x), perm=[1, 2, 0])

    def value(self, x: str) -> str:
        """Give (n, width) as (n_heads, n, size)."""
        return self.node("Transpose", self._part(x), perm=[1, 0, 2])

    def feed(self, x: str, name: str) -> str:
        """Draw the feed-forward part of a layer."""
        x = self.normalise(x, f"{name}/layer_norm")
        x = self.multiply(x, f"{name}/linear_0")
        x = self.node("Gelu", x, domain="com.microsoft")
        return self.multiply(x, f"{name}/linear_1")

    def normalise(self, x: str, name: str) -> str:
        """Draw a layer norm."""
        gamma, beta = self.constant(f"{name}/gamma"), self.constant(f"{name}/beta")
        return self.node("LayerNormalization", x, gamma, beta, axis=-1, epsilon=1e-5)

    def multiply(self, x: str, name: str) -> str:
        """Draw a linear layer, with its bias if it has one."""
        weight = self._weights[f"{name}/weight"]  # (n_out, n_in)
        if self._is_quantized:
            x = self._multiply_int8(x, name, weight)
        else:
            x = self.node("MatMul", x, self.array(weight.T))
        if f"{name}/bias" in self._weights:
            x = self.node("Add", x, self.constant(f"{name}/bias"))
        return x

    def split(self, x: str, n_parts: int) -> list[str]:
        """Cut the last axis into equal parts."""
        names = [f"{x}/{part}" for part in range(n_parts)]
        node = helper.make_node("Split", [x], names, axis=-1, num_outputs=n_parts)
        self._nodes.append(node)
        return names

    def node(
        self, kind: str, *inputs: str, domain: str = "", **settings: object
    ) -> str:
        """Draw one node with one output."""
        name = self._name()
        node = helper.make_node(kind, inputs, [name], domain=domain, **settings)
        self._nodes.append(node)
        return name

    def loop(
        self,
        limit: str,
        first: Sequence[Typed],
        draw: Callable[[list[str]], tuple[str, list[str], list[Typed]]],
    ) -> list[str]:
        """Draw a part that runs again and again.

        Args:
            limit: How often at most.
            first: What the first round gets.
            draw: Draws a round from what it gets: whether another follows, what that
                one gets, and what is told of each.

        Returns:
            What one more round would have got, then what was told, round by round.
        """
        outside, self._nodes = self._nodes, []
        gets = [one._replace(name=self._name()) for one in first]
        goes_on, left, told = draw([one.name for one in gets])
        follows = [
            one._replace(name=name) for one, name in zip(gets, left, strict=True)
        ]
        counter = [Typed(self._name(), kind, ()) for kind in (INTEGER, BOOLEAN)]
        body = helper.make_graph(
            self._nodes,
            "round",
            [declare(one) for one in counter + gets],
            [declare(one) for one in [Typed(goes_on, BOOLEAN), *follows, *told]],
        )
        self._nodes = outside
        results = [self._name() for _ in follows + told]
        inputs = [limit, "", *(one.name for one in first)]
        self._nodes.append(helper.make_node("Loop", inputs, results, body=body))
        return results

    def constant(self, name: str) -> str:
        """Put one of the weights down."""
        return self.array(self._weights[name])

    def array(self, array: NDArray[Any]) -> str:
        """Put an array down."""
        name = f"constant{len(self._constants)}"
        self._constants.append(
            numpy_helper.from_array(np.asarray(array, order="C"), name)
        )
        return name

    def open(
        self, inputs: Sequence[Typed], outputs: Sequence[Typed], threads: int
    ) -> onnxruntime.InferenceSession:
        """Load what was drawn so far for so many threads, and begin anew."""
        graph = helper.make_graph(
            self._nodes,
            "whisper",
            [declare(one) for one in inputs],
            [declare(one) for one in outputs],
            self._constants,
        )
        self._nodes, self._constants = [], []
        opsets = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        return onnxruntime.InferenceSession(
            model.SerializeToString(),
            network_options(threads),
            providers=["CPUExecutionProvider"],
        )

    def _name(self) -> str:
        self._n_names += 1
        return f"node{self._n_names}"

    def _part(self, x: str) -> str:
        """Give (n, width) as (n, n_heads, size)."""
        return self.node("Reshape", x, self.array(np.array([0, *self.heads])))

    def _multiply_int8(self, x: str, name: str, weight: Array) -> str:
        scale = np.abs(weight).max(axis=1).clip(LEAST) / INT8_LEVELS
        whole = np.round(weight / scale[:, None]).astype(np.int8)
        given = [f"{name}/{part}" for part in ("whole", "scale", "zero")]
        self._nodes.append(helper.make_node("DynamicQuantizeLinear", [x], given))
        return self.node(
            "MatMulIntegerToFloat",
            given[0],
            self.array(whole.T),
            given[1],
            self.array(scale.astype(np.float32)),
            given[2],
            domain="com.microsoft",
        )
