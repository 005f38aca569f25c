"""Trained networks -> a model folder: ONNX, tokenizer, statistics, manifest.

Large weights of the text encoder are kept as 8-bit integers with one scale for each
output; the graph turns them back into floats, and all arithmetic is in float32. So a
result does not depend on its batch, as it would with 8-bit activations.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from stream_erc import model_folder as files
from stream_erc.context import VoiceScale
from stream_erc.flow import EMOTIONS, SENTIMENTS
from stream_erc.model import N_MEMORIES, DialogueModel, State, Turns

from .text_model import MAX_TOKENS, TextModel

OPSET = 17
SMALLEST_ROUNDED = 4096  # numbers; below, rounding saves nothing
LEVELS = 127.0


@dataclass(frozen=True, slots=True)
class Trained:
    """All that a model folder is made of.

    Attributes:
        text: Its weights are rounded by `export_folder`.
        tokenizer_file: The encoder's `tokenizer.json`.
        dialogue: Stages I (voice) to III, with temperatures and prior.
        scales: Everybody's voice statistics, of the encoder and of the functionals.
    """

    text: TextModel
    tokenizer_file: Path
    dialogue: DialogueModel
    scales: tuple[VoiceScale, VoiceScale]


class TextGraph(nn.Module):
    """The part of the text model that is served."""

    def __init__(self, model: TextModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Give the vectors, shape (B, size)."""
        return self.model.vectors(ids, mask)


class StepGraph(nn.Module):
    """One turn of the dialogue model, with plain tensors in and out."""

    def __init__(self, model: DialogueModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Take `files.DIALOGUE_INPUTS`, give `files.DIALOGUE_OUTPUTS`."""
        turn, state = Turns(*inputs[:5]), State(*inputs[5:])
        scores, after = self.model.step(turn, state)
        emotions, sentiments = self.model.probabilities(scores.fused, turn.present)
        return emotions, sentiments, after.states, after.memory, after.heard


def round_weights(model: nn.Module) -> None:
    """Round each large matrix to what 8 bits with a scale per row can say."""
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Linear | nn.Embedding):
                if layer.weight.numel() >= SMALLEST_ROUNDED:
                    scale = layer.weight.abs().amax(1, keepdim=True) / LEVELS
                    scale = scale.clamp(min=1e-12)
                    layer.weight.copy_((layer.weight / scale).round() * scale)


def export_folder(trained: Trained, folder: Path, about: dict[str, Any]) -> None:
    """Write a model folder.

    Args:
        trained: What to write; the text model's weights are rounded in place.
        folder: Made if missing; files of the same names are replaced.
        about: Goes into the manifest as it is: recipe, seed, figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    round_weights(trained.text)
    export_text(trained.text, folder / files.TEXT_FILE)
    export_dialogue(trained.dialogue, folder / files.DIALOGUE_FILE)
    shutil.copyfile(trained.tokenizer_file, folder / files.TOKENIZER_FILE)
    encoder, functionals = trained.scales
    np.savez(
        folder / files.STATISTICS_FILE,
        encoder_mean=encoder.mean,
        encoder_deviation=encoder.deviation,
        functionals_mean=functionals.mean,
        functionals_deviation=functionals.deviation,
    )
    shape = trained.dialogue.shape
    manifest = {
        "format": files.FORMAT,
        "emotions": EMOTIONS,
        "sentiments": SENTIMENTS,
        "sizes": {
            "text": shape.text_size,
            "encoder": shape.encoder_size,
            "functionals": shape.functionals_size,
            "width": shape.width,
            "window": shape.window,
            "max_tokens": MAX_TOKENS,
        },
        "files": {name: sha256(folder / name) for name in files.FILES},
        "about": about,
    }
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / files.MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def sha256(file: Path) -> str:
    """Give a file's checksum in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()


def export_text(model: TextModel, file: Path) -> None:
    """Write the text encoder, its large weights as 8-bit integers."""
    ids = torch.ones((2, 5), dtype=torch.int64)
    axes = {0: "batch", 1: "tokens"}
    trace(
        TextGraph(model),
        (ids, torch.ones_like(ids)),
        file,
        (files.TEXT_INPUTS, files.TEXT_OUTPUTS),
        {"ids": axes, "mask": axes, "vectors": {0: "batch"}},
    )
    network = onnx.load(str(file))
    shrink(network.graph)
    onnx.checker.check_model(network)
    onnx.save(network, str(file))


def export_dialogue(model: DialogueModel, file: Path) -> None:
    """Write the dialogue model's step."""
    shape, n_batch = model.shape, 2
    inputs = (
        torch.zeros(n_batch, shape.text_size),
        torch.zeros(n_batch, shape.encoder_size),
        torch.zeros(n_batch, shape.functionals_size),
        torch.ones(n_batch, 3),
        torch.zeros(n_batch, shape.window),
        torch.zeros(n_batch, 2, shape.width),
        torch.zeros(n_batch, N_MEMORIES, shape.window, shape.width),
        torch.zeros(n_batch, 2, shape.window),
    )
    names = (files.DIALOGUE_INPUTS, files.DIALOGUE_OUTPUTS)
    axes = {name: {0: "batch"} for name in names[0] + names[1]}
    trace(StepGraph(model), inputs, file, names, axes)


def trace(
    graph: nn.Module,
    inputs: tuple[Tensor, ...],
    file: Path,
    names: tuple[tuple[str, ...], tuple[str, ...]],
    axes: dict[str, dict[int, str]],
) -> None:
    """Write a network as ONNX, by running it once."""
    graph.eval()
    with warnings.catch_warnings():
        # The exporter that follows it needs one more package and gives the same graph.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            graph,
            inputs,
            str(file),
            input_names=list(names[0]),
            output_names=list(names[1]),
            dynamic_axes=axes,
            opset_version=OPSET,
            dynamo=False,
        )


def shrink(graph: Any) -> None:
    """Store large float matrices as 8-bit integers, in place.

    A matrix of a product keeps one scale for each column, and onnxruntime turns it into
    floats once, when it loads the graph. A table that rows are taken from keeps one
    scale for each row and stays small in memory too.
    """
    users = {name: node for node in graph.node for name in node.input}
    for weight in list(graph.initializer):
        values = numpy_helper.to_array(weight)
        if values.ndim != 2 or values.size < SMALLEST_ROUNDED:
            continue
        if values.dtype != np.float32:
            continue
        user = users[weight.name]
        axis = 1 if user.op_type == "Gather" else 0
        scale = np.maximum(np.abs(values).max(axis, keepdims=True) / LEVELS, 1e-12)
        rounded = np.rint(values / scale).astype(np.int8)
        graph.initializer.remove(weight)
        graph.initializer.extend(
            [
                numpy_helper.from_array(rounded, f"{weight.name}.rounded"),
                numpy_helper.from_array(
                    scale.astype(np.float32), f"{weight.name}.scale"
                ),
            ]
        )
        expand = expand_rows if user.op_type == "Gather" else expand_matrix
        place = list(graph.node).index(user)
        nodes = expand(user, weight.name)
        if user.op_type == "Gather":
            graph.node.remove(user)
        for offset, node in enumerate(nodes):
            graph.node.insert(place + offset, node)


def expand_matrix(user: Any, name: str) -> list[Any]:
    """Nodes that give the float matrix under its old name."""
    return [
        helper.make_node(
            "Cast", [f"{name}.rounded"], [f"{name}.float"], to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [f"{name}.float", f"{name}.scale"], [name]),
    ]


def expand_rows(user: Any, name: str) -> list[Any]:
    """Nodes that take rows of the integers and scale those alone."""
    rows, out = user.input[1], user.output[0]
    return [
        helper.make_node("Gather", [f"{name}.rounded", rows], [f"{out}.rounded"]),
        helper.make_node("Gather", [f"{name}.scale", rows], [f"{out}.scale"]),
        helper.make_node(
            "Cast", [f"{out}.rounded"], [f"{out}.float"], to=TensorProto.FLOAT
        ),
        helper.make_node("Mul", [f"{out}.float", f"{out}.scale"], [out]),
    ]
