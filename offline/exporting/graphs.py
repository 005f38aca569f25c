"""Trained networks -> ONNX files, each with a batch axis."""

from __future__ import annotations

import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from offline.training.text_model import TextModel
from stream_erc import model_folder as files
from stream_erc.context import N_MEMORIES
from stream_erc.model import DialogueModel, State, Turns

from .weights import shrink

OPSET = 17


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


def write_text_graph(model: TextModel, file: Path, form: str) -> None:
    """Write the text encoder, its large weights in a form of `weights.FORMS`."""
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
    shrink(network.graph, form)
    onnx.checker.check_model(network)
    onnx.save(network, str(file))


def write_dialogue_graph(model: DialogueModel, file: Path) -> None:
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
