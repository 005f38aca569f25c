"""Write what was trained as a model folder, which the server takes with --model DIR.

The text encoder's weights are stored in the smallest form whose loss on validation is
small enough: each is measured. The served networks are compared with torch's on real
turns, and a folder that differs is refused.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

N_PARITY_DIALOGUES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of what is trained"
    )
    parser.add_argument("--model", type=Path, required=True, help="folder to write")


def run(options: argparse.Namespace) -> int:
    """Measure, choose, write, check."""
    import torch  # the other commands must work without it

    from offline.exporting.card import write_papers
    from offline.exporting.folder import check_servable, export_folder
    from offline.exporting.trials import choose_form, measure_parity
    from offline.training.run import RunFolder, public_settings
    from offline.training.training import Training, load_trained
    from stream_erc.model_folder import DIALOGUE_FILE

    folder = RunFolder(options.run)
    origin = folder.recall()
    recipe = origin.recipe
    torch.set_num_threads(recipe.threads)
    training = Training(origin, options.run)
    trained = load_trained(recipe, folder)
    check_servable(trained.dialogue.shape)  # before minutes of measuring
    trials = training.compare_forms(trained)
    about = {
        "seed": recipe.seed,
        "recipe": public_settings(recipe),
        "forms": [asdict(trial) for trial in trials],
        "figures": {},
    }
    export_folder(trained, options.model, about, choose_form(trials))
    dialogues = [
        dialogue
        for held in training.material().validation.values()
        for dialogue in held.dialogues[:N_PARITY_DIALOGUES]
    ]
    gap = measure_parity(trained.dialogue, options.model / DIALOGUE_FILE, dialogues)
    print(f"{options.model}: {choose_form(trials)}, torch within {gap:.1e}")
    write_papers(options.model)
    return 0
