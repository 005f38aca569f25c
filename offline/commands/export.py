"""Write what was trained as a model folder, which the server takes with --model DIR.

The text encoder's weights are stored in the smallest form whose loss on validation is
small enough: each is measured. The served networks are compared with torch's on real
turns, and a folder that differs is refused. The folder is there whole or not at all;
its LICENSE and card name the data that the run learned from.

exit codes:
  0    done
  2    settings or input are at fault (stderr says how)
  130  interrupted; nothing is written
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path

N_PARITY_DIALOGUES = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add("--run", type=Path, required=True, metavar="DIR", help="run folder of `train`")
    add("--model", type=Path, required=True, metavar="DIR", help="folder to write")
    add("--overwrite", action="store_true", help="replace a model that is there")


def run(options: argparse.Namespace) -> int:
    """Measure, choose, write, check."""
    import torch  # the other commands must work without it

    from offline.exporting.card import write_papers
    from offline.exporting.folder import check_servable, export_folder
    from offline.exporting.placing import check_place, place
    from offline.exporting.trials import choose_form, measure_parity
    from offline.training.credits import about_run
    from offline.training.run import RunFolder
    from offline.training.trained import load_trained
    from offline.training.training import Training
    from stream_erc.model_folder import DIALOGUE_FILE

    check_place(options.model, overwrite=options.overwrite)
    folder = RunFolder(options.run)
    origin = folder.recall()
    torch.set_num_threads(origin.recipe.threads)
    training = Training(origin, options.run)
    trained = load_trained(origin.recipe, folder)
    check_servable(trained.dialogue.shape)  # before minutes of measuring
    trials = training.compare_forms(trained)
    about = about_run(origin.recipe, training.credits())
    about |= {"forms": [asdict(trial) for trial in trials], "figures": {}}
    dialogues = [
        dialogue
        for held in training.material().validation.values()
        for dialogue in held.dialogues[:N_PARITY_DIALOGUES]
    ]
    with place(options.model) as fresh:
        export_folder(trained, fresh, about, choose_form(trials))
        gap = measure_parity(trained.dialogue, fresh / DIALOGUE_FILE, dialogues)
        write_papers(fresh)
    print(f"{options.model}: {choose_form(trials)}, torch within {gap:.1e}")
    return 0
