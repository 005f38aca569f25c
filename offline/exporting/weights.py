"""How large weights are stored: as they are, in 16 bits, or in 8 with a scale each.

Whatever the form, the graph turns them back into floats and all arithmetic is in
float32. So a result does not depend on its batch, as it would with 8-bit activations.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
FORMS = (INT8, FLOAT16, FLOAT32)  # the smallest first

SMALLEST_SHRUNK = 4096  # numbers; below, it saves nothing
LEVELS = 127.0


def shrink(graph: Any, form: str) -> None:
    """Store the large float matrices of a graph in another form, in place.

    A matrix of a product keeps one scale for each column, and onnxruntime turns it into
    floats once, when it loads the graph. A table that rows are taken from keeps one
    scale for each row and stays small in memory too.
    """
    if form == FLOAT32:
        return
    users = {name: node for node in graph.node for name in node.input}
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.ndim != 2 or values.size < SMALLEST_SHRUNK:
            continue
        if values.dtype != np.float32:
            continue
        user = users[weight.name]
        is_table = user.op_type == "Gather"
        graph.initializer.remove(weight)
        graph.initializer.extend(
            numpy_helper.from_array(array, f"{weight.name}.{part}")
            for part, array in split(values, form, axis=1 if is_table else 0).items()
        )
        place = list(graph.node).index(user)
        if is_table:
            graph.node.remove(user)
            nodes = expand_rows(user, weight.name, form)
        else:
            nodes = expand_matrix(weight.name, form)
        for offset, node in enumerate(nodes):
            graph.node.insert(place + offset, node)


def split(values: NDArray[np.float32], form: str, axis: int) -> dict[str, Any]:
    """Give what is stored of a matrix; 8-bit integers have a scale along an axis."""
    if form == FLOAT16:
        return {"small": values.astype(np.float16)}
    scale = np.maximum(np.abs(values).max(axis, keepdims=True) / LEVELS, 1e-12)
    rounded = np.rint(values / scale).astype(np.int8)
    return {"small": rounded, "scale": scale.astype(np.float32)}


def expand_matrix(name: str, form: str) -> list[Any]:
    """Nodes that give the float matrix under its old name."""
    small, scale = f"{name}.small", f"{name}.scale"
    if form == FLOAT16:
        return [helper.make_node("Cast", [small], [name], to=TensorProto.FLOAT)]
    return [
        helper.make_node("Cast", [small], [f"{name}.float"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.float", scale], [name]),
    ]


def expand_rows(user: Any, name: str, form: str) -> list[Any]:
    """Nodes that take rows of the small table and scale those alone."""
    rows, out = user.input[1], user.output[0]
    taken = helper.make_node("Gather", [f"{name}.small", rows], [f"{out}.small"])
    if form == FLOAT16:
        cast = helper.make_node("Cast", [f"{out}.small"], [out], to=TensorProto.FLOAT)
        return [taken, cast]
    return [
        taken,
        helper.make_node("Gather", [f"{name}.scale", rows], [f"{out}.scale"]),
        helper.make_node(
            "Cast", [f"{out}.small"], [f"{out}.float"], to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
    ]
