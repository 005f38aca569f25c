"""A run folder -> a model folder with the weights as they were trained, unmeasured."""

from __future__ import annotations

from pathlib import Path

import torch

from offline.training.run import RunFolder
from offline.training.trained import load_trained

from .folder import export_folder
from .weights import FLOAT32


def export_run(run: Path, folder: Path) -> None:
    """Write what a run has trained so that it can be scored.

    It is not meant to be kept: no form of the weights is tried, there is no card.

    Args:
        run: Folder of `offline train`.
        folder: Where the model goes.

    Raises:
        ConfigError: If the run is not finished, or cannot be served.
    """
    trained_run = RunFolder(run)
    recipe = trained_run.recall().recipe
    torch.set_num_threads(recipe.threads)
    export_folder(load_trained(recipe, trained_run), folder, {}, FLOAT32)
