"""Train by a recipe: Stage 0, I, II, III, each once; a run that was stopped goes on.

The corpora of the recipe are folders in --corpora, each with train.jsonl, and with
validation.jsonl and test.jsonl; those of validation choose, and at least one must be
there. Everything that is learned stays in the run folder; `figures.json` there says
what each stage reaches (weighted F1), `logs` is for TensorBoard.

On several GPUs: accelerate launch --multi_gpu --num_processes N -m offline train ...
With --engine ray workers of a Ray cluster hear the recordings (the stage voices).

exit codes:
  0    done
  2    settings or input are at fault (stderr says how)
  130  interrupted; the same command goes on
"""

from __future__ import annotations

import argparse
import json
import logging
from pathlib import Path

from offline.engines import add_engine_options, choose_engine
from offline.training.recipe import DEFAULT_RECIPE, Recipe, read_recipe
from stream_erc.errors import ConfigError

STAGES = ("stage0", "text", "voices", "vectors", "dialogue")  # as they follow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    add = parser.add_argument
    add(
        "--run",
        type=Path,
        required=True,
        metavar="DIR",
        help="required: run folder, made if missing",
    )
    add(
        "--corpora",
        type=Path,
        required=True,
        metavar="DIR",
        help="required: holds a folder for each corpus of the recipe",
    )
    add(
        "--recipe",
        type=Path,
        default=DEFAULT_RECIPE,
        metavar="FILE",
        help="TOML (default: that of the shipped model, default.toml)",
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, as in dialogue.causal=false; may be repeated",
    )
    add("--strict", action="store_true", help="stop at the first problem of a corpus")
    add_sources(parser)
    add_stages(parser)
    add_engine_options(parser)


def add_sources(parser: argparse.ArgumentParser) -> None:
    """Describe what is learned from, beside the corpora."""
    add = parser.add_argument
    add(
        "--labels",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="label file for Stage 0, which does nothing without one; may be repeated",
    )
    add(
        "--teacher",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="finished run that teaches Stages II and III; may be repeated",
    )
    add(
        "--text-encoder",
        metavar="NAME",
        help="hub name or folder (default: the recipe's, a hub name)",
    )


def add_stages(parser: argparse.ArgumentParser) -> None:
    """Describe which stages are trained, and which are there already."""
    add = parser.add_argument
    add(
        "--stage",
        choices=STAGES,
        default=STAGES[-1],
        help="end after this one (default: %(default)s, the last)",
    )
    add(
        "--start",
        type=Path,
        metavar="DIR",
        help="another run folder; the stages before --first are taken from it",
    )
    add(
        "--first",
        choices=STAGES[1:],
        default="text",
        help="with --start, the first stage to train anew (default: %(default)s)",
    )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Give the recipe with the command line's overrides.

    Raises:
        ConfigError: If there is no such recipe or text encoder, or it names no corpus.
    """
    changes = list(options.set)
    if options.text_encoder is not None:
        name = options.text_encoder
        is_path = name.startswith(("/", ".", "~")) or name.count("/") > 1
        if is_path and not Path(name).is_dir():
            raise ConfigError(f"--text-encoder: expected a folder, got no such: {name}")
        place = Path(name).resolve() if Path(name).is_dir() else name
        changes.append(f"text.encoder={json.dumps(str(place))}")
    recipe = read_recipe(options.recipe, changes)
    if not recipe.corpora:
        raise ConfigError(f"{options.recipe}: expected [corpora.NAME], got none")
    return recipe


def run(options: argparse.Namespace) -> int:
    """Run the stages up to the one asked for."""
    recipe = recipe_of(options)
    start_engine = choose_engine(options)
    import torch  # the other commands must work without it

    from offline.training.processes import join_processes
    from offline.training.run import Origin
    from offline.training.training import Training

    processes = join_processes()
    if not processes.is_main_process:  # all say the same
        logging.getLogger().setLevel(logging.ERROR)
    torch.set_num_threads(recipe.threads)
    origin = Origin(recipe, options.corpora, options.labels, options.teacher)
    training = Training(
        origin, options.run, strict=options.strict, start_engine=start_engine
    )
    with training.begin():
        if options.start is not None:
            training.take_over(options.start, STAGES[: STAGES.index(options.first)])
        for name in STAGES[: STAGES.index(options.stage) + 1]:
            training.run(name)
    if processes.is_main_process and options.stage == STAGES[-1]:
        print(f"{options.run}: trained; `python -m offline export` makes a model of it")
    processes.destroy_process_group()
    return 0
