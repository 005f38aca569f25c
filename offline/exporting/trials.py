"""A model folder against the networks that it was made of, on real turns.

`compare` says what each form of the text encoder's weights costs on validation;
`measure_parity` how far the served probabilities are from torch's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor

from offline.progress import Progress, track
from offline.training.batches import collate
from offline.training.dialogue_stages import FUSION, predict
from offline.training.dialogues import ENCODER, FUNCTIONALS, TEXT, Dialogue
from offline.training.material import HeldOut
from offline.training.recipe import DialogueRecipe
from offline.training.scoring import N_EMOTIONS
from offline.training.stage_figures import stage_figures
from stream_erc import model_folder as files
from stream_erc.errors import ConfigError, ModelError
from stream_erc.model import DialogueModel, Turns

from .folder import Trained
from .graphs import write_text_graph
from .weights import FORMS

log = logging.getLogger(__name__)

LARGEST_LOSS = 0.002  # of weighted F1 on validation; about two of a thousand turns
LARGEST_GAP = 1e-4  # of a probability, torch to onnxruntime, both in float32

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Trial:
    """What one form of the weights costs.

    Attributes:
        form: Of `weights.FORMS`.
        megabytes: Of the text encoder's file.
        weighted_f1: On validation, the mean over the corpora.
        largest_change: Of any probability by words alone or both, against float32.
        ms_per_text: On one thread.
    """

    form: str
    megabytes: float
    weighted_f1: float
    largest_change: float
    ms_per_text: float

    def __str__(self) -> str:
        """Give it as a line of a log."""
        return (
            f"weights as {self.form}: {self.megabytes} MB, weighted F1 "
            f"{self.weighted_f1} on validation, {self.ms_per_text} ms a text"
        )


def compare(
    trained: Trained,
    texts: Mapping[str, Sequence[str]],
    held_out: Callable[[Mapping[str, Floats]], Mapping[str, HeldOut]],
    recipe: DialogueRecipe,
) -> list[Trial]:
    """Try every form of the text encoder's weights, the smallest first.

    Args:
        trained: The networks.
        texts: Of the validation split of each corpus.
        held_out: Puts vectors of these texts into the dialogues.
        recipe: How it was trained.

    Raises:
        ConfigError: If there is nothing to validate on.
    """
    n_texts = max(1, sum(map(len, texts.values())))  # acted clips have none
    trials: list[Trial] = []
    exact: list[Tensor] = []
    for form in reversed(FORMS):
        with TemporaryDirectory() as folder:
            file = Path(folder) / files.TEXT_FILE
            write_text_graph(trained.text, file, form)
            megabytes = file.stat().st_size / 1e6
            started_s = time.perf_counter()
            vectors = embed(file, trained.tokenizer, texts)
            spent_s = time.perf_counter() - started_s
        dialogues = held_out(vectors)
        figures = stage_figures(trained.dialogue, FUSION, dialogues, recipe)
        if not figures:
            raise ConfigError("export: expected a validation split, got none")
        given = probabilities_of(trained.dialogue, dialogues)
        exact = exact or given
        trials.append(
            Trial(
                form=form,
                megabytes=round(megabytes, 1),
                weighted_f1=round(float(np.mean(list(figures.values()))), 4),
                largest_change=round(largest_change(exact, given), 4),
                ms_per_text=round(spent_s * 1e3 / n_texts, 2),
            )
        )
        log.info("%s", trials[-1])
    return trials[::-1]


def probabilities_of(
    model: DialogueModel, held_out: Mapping[str, HeldOut]
) -> list[Tensor]:
    """Give each corpus's emotions (n, 7), by words alone and by words and voice."""
    patterns = ((TEXT,), (TEXT, ENCODER, FUNCTIONALS))
    return [
        predict(model, held.dialogues, columns=columns)[0][:, :N_EMOTIONS].softmax(-1)
        for held in held_out.values()
        for columns in patterns
    ]


def largest_change(exact: Sequence[Tensor], given: Sequence[Tensor]) -> float:
    """Give the largest difference of any probability."""
    changes = [(a - b).abs().max() for a, b in zip(exact, given, strict=True) if len(a)]
    return float(max(changes, default=0.0))


def choose_form(trials: Sequence[Trial]) -> str:
    """Give the smallest form whose loss of weighted F1 is small enough."""
    exact = trials[-1].weighted_f1
    good = [each for each in trials if exact - each.weighted_f1 <= LARGEST_LOSS]
    return min(good, key=lambda each: each.megabytes).form


def embed(
    file: Path, tokenizer: Tokenizer, texts: Mapping[str, Sequence[str]]
) -> dict[str, Floats]:
    """Give the vectors of texts, one after another, as they are served."""
    network = files.open_network(file, 1, ("CPUExecutionProvider",))
    vectors = {}
    with Progress("embedding", sum(map(len, texts.values())), "texts") as progress:
        for name, some in texts.items():
            rows = []
            for text in some:
                ids = np.array([tokenizer.encode(text).ids], np.int64)
                inputs = {"ids": ids, "mask": np.ones_like(ids)}
                rows.append(network.run(list(files.TEXT_OUTPUTS), inputs)[0][0])
                progress.advance()
            vectors[name] = np.array(rows, np.float32)
    return vectors


def measure_parity(
    model: DialogueModel, file: Path, dialogues: Sequence[Dialogue]
) -> float:
    """Play dialogues through the served network, turn after turn.

    Returns:
        The largest difference of any emotion's or sentiment's probability from torch's,
        whole dialogues at once.

    Raises:
        ModelError: If it is above `LARGEST_GAP`.
    """
    network = files.open_network(file, 1, ("CPUExecutionProvider",))
    gap = 0.0
    for dialogue in track(dialogues, "comparing with torch", "dialogues"):
        turns = collate([dialogue], device=torch.device("cpu"))
        with torch.no_grad():
            scores = model(turns).fused
            wanted = model.probabilities(scores, turns.present)
        given = play(network, turns, model)
        for mine, served in zip(wanted, given, strict=True):
            gap = max(gap, float(np.abs(mine[0].numpy() - served).max()))
    if gap > LARGEST_GAP:
        raise ModelError(
            f"{file}: expected torch's probabilities within {LARGEST_GAP}, got a "
            f"difference of {gap:.2g}"
        )
    return gap


def play(
    network: onnxruntime.InferenceSession, turns: Turns, model: DialogueModel
) -> tuple[Floats, Floats]:
    """Play one dialogue with the state handed on.

    Returns:
        Emotions, shape (T, 7), and sentiments, shape (T, 3).
    """
    window = model.shape.window
    empty = model.empty_state(1)
    state = {
        "states": empty.states.numpy(),
        "memory": empty.memory.numpy(),
        "heard": empty.heard.numpy(),
    }
    emotions, sentiments = [], []
    for turn in range(turns.present.shape[1]):
        same = np.zeros((1, window), np.float32)
        n_past = min(turn, window)
        if n_past:
            same[0, -n_past:] = turns.same_speaker[0, turn, turn - n_past : turn]
        inputs = {
            name: getattr(turns, name)[:, turn].numpy()
            for name in ("text", "encoder", "functionals", "present")
        }
        outputs = network.run(
            list(files.DIALOGUE_OUTPUTS), {**inputs, "same_speaker": same, **state}
        )
        emotions.append(outputs[0][0])
        sentiments.append(outputs[1][0])
        state = dict(zip(state, outputs[2:], strict=True))
    return np.array(emotions, np.float32), np.array(sentiments, np.float32)
