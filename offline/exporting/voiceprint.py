"""Resemblyzer's wheel -> the network that tells speakers apart by voice.

    python -m offline.exporting.voiceprint WHEEL OUT.onnx

Draws the network anew from its weights, stores two of its three layers in eight bits,
and compares it with torch on noise. The first layer stays as it is: what comes in is
power, of which eight bits would keep nothing but the loudest bands.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic
from torch import Tensor, nn

WEIGHTS = "resemblyzer/pretrained.pt"
N_LAYERS, N_MELS, WIDTH = 3, 40, 256
OPSET = 17
EXACT, NEAR = 1e-5, 0.98  # largest difference; smallest cosine

Weights = dict[str, Tensor]


def read_weights(wheel: Path) -> Weights:
    """Read the weights that the package comes with."""
    with zipfile.ZipFile(wheel) as files:
        stored = io.BytesIO(files.read(WEIGHTS))
    weights: Weights = torch.load(stored, map_location="cpu", weights_only=True)[
        "model_state"
    ]
    return weights


def embed(weights: Weights, mels: Tensor) -> Tensor:
    """Answer as the package's own network does, shape (B, WIDTH).

    Args:
        weights: As read.
        mels: Shape (B, n_frames, N_MELS).
    """
    lstm = nn.LSTM(N_MELS, WIDTH, N_LAYERS, batch_first=True)
    lstm.load_state_dict(
        {
            name.removeprefix("lstm."): weight
            for name, weight in weights.items()
            if name.startswith("lstm.")
        }
    )
    with torch.no_grad():
        _, (hidden, _) = lstm(mels)
        raw = (hidden[-1] @ weights["linear.weight"].T + weights["linear.bias"]).relu()
        prints: Tensor = raw / raw.norm(dim=1, keepdim=True)
    return prints


def draw(weights: Weights) -> onnx.ModelProto:
    """Draw mels (B, n_frames, N_MELS) -> prints (B, WIDTH)."""
    constants = {
        "first": np.array([0], np.int64),
        "second": np.array([1], np.int64),
        "linear_weight": weights["linear.weight"].numpy(),
        "linear_bias": weights["linear.bias"].numpy(),
    }
    nodes = [helper.make_node("Transpose", ["mels"], ["in_0"], perm=[1, 0, 2])]
    for layer in range(N_LAYERS):
        constants |= layer_constants(weights, layer)
        names = [f"{kind}_{layer}" for kind in ("in", "input", "recurrent", "bias")]
        outputs = [f"out_{layer}", f"last_{layer}"]
        nodes += [
            helper.make_node(
                "LSTM", names, outputs, name=f"lstm_{layer}", hidden_size=WIDTH
            ),
            helper.make_node(
                "Squeeze", [f"out_{layer}", "second"], [f"in_{layer + 1}"]
            ),
        ]
    nodes[-1] = helper.make_node("Squeeze", [f"last_{N_LAYERS - 1}", "first"], ["top"])
    linear = ["top", "linear_weight", "linear_bias"]
    nodes += [
        helper.make_node("Gemm", linear, ["raw"], name="linear", transB=1),
        helper.make_node("Relu", ["raw"], ["positive"]),
        helper.make_node("LpNormalization", ["positive"], ["prints"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "voiceprint",
        [describe("mels", ["batch", "frames", N_MELS])],
        [describe("prints", ["batch", WIDTH])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opset = helper.make_opsetid("", OPSET)
    return helper.make_model(graph, opset_imports=[opset], ir_version=9)


def layer_constants(
    weights: Weights, layer: int
) -> dict[str, NDArray[np.float32 | np.int64]]:
    """Give one layer's weights as ONNX has them."""

    def gates(kind: str) -> NDArray[np.float32]:
        """Bring torch's gates (in, forget, cell, out) into ONNX's order."""
        parts = np.split(weights[f"lstm.{kind}_l{layer}"].numpy(), 4)
        return np.concatenate([parts[0], parts[3], parts[1], parts[2]])

    return {
        f"input_{layer}": gates("weight_ih")[None],
        f"recurrent_{layer}": gates("weight_hh")[None],
        f"bias_{layer}": np.concatenate([gates("bias_ih"), gates("bias_hh")])[None],
    }


def describe(name: str, shape: list[int | str]) -> onnx.ValueInfoProto:
    """Declare an input or an output."""
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def run(file: Path, mels: Tensor) -> NDArray[np.float32]:
    """Answer with a network's file."""
    network = onnxruntime.InferenceSession(
        str(file), providers=["CPUExecutionProvider"]
    )
    prints: NDArray[np.float32] = network.run(None, {"mels": mels.numpy()})[0]
    return prints


def make(wheel: Path, file: Path) -> None:
    """Write the network, and refuse it if it does not answer as torch does."""
    weights = read_weights(wheel)
    noise = torch.rand(8, 160, N_MELS, generator=torch.Generator().manual_seed(0)) ** 8
    wanted = embed(weights, noise).numpy()
    with tempfile.TemporaryDirectory() as folder:
        exact = Path(folder) / "exact.onnx"
        onnx.save(draw(weights), exact)
        onnx.checker.check_model(str(exact))
        difference = float(np.abs(run(exact, noise) - wanted).max())
        quantize_dynamic(
            exact,
            file,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=["lstm_0", "linear"],
        )
    cosine = float((run(file, noise) * wanted).sum(1).min())
    print(f"largest difference to torch {difference:.1e}")
    print(f"with two layers in eight bits, smallest cosine {cosine:.4f}")
    if difference > EXACT or cosine < NEAR:
        file.unlink()
        raise SystemExit(f"expected at most {EXACT} and at least {NEAR}")
    print(file, hashlib.sha256(file.read_bytes()).hexdigest())


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("wheel", type=Path, help="of Resemblyzer 0.1.4, from PyPI")
    parser.add_argument("file", type=Path, help="where the network goes")
    arguments = parser.parse_args()
    make(arguments.wheel, arguments.file)


if __name__ == "__main__":
    main()
