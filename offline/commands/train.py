"""Train by a recipe: Stage 0, I, II, III, each once; a run that was stopped goes on.

The corpora of the recipe are folders in --corpora, each with train.jsonl,
validation.jsonl and test.jsonl. Everything that is learned stays in the run folder;
`figures.json` there says what each stage reaches, `logs` is for TensorBoard.

On several GPUs: accelerate launch -m offline train ...
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from offline.training.recipe import DEFAULT_RECIPE, Recipe, read_recipe
from stream_erc.errors import ConfigError

STAGES = ("stage0", "text", "voices", "vectors", "dialogue")  # as they follow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument(
        "--run", type=Path, required=True, help="folder of what is trained"
    )
    parser.add_argument(
        "--corpora", type=Path, required=True, help="folder of the corpora"
    )
    parser.add_argument(
        "--recipe", type=Path, default=DEFAULT_RECIPE, help="TOML file; default: ours"
    )
    parser.add_argument(
        "--labels",
        type=Path,
        action="append",
        default=[],
        help="label file for Stage 0; may be given several times",
    )
    parser.add_argument("--text-encoder", help="hub name or folder; default: recipe's")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change the recipe, as in dialogue.causal=false; several times if need be",
    )
    parser.add_argument(
        "--stage", choices=STAGES, default=STAGES[-1], help="the last one; default: all"
    )
    parser.add_argument(
        "--start", type=Path, help="another run folder, to take its first stages over"
    )
    parser.add_argument(
        "--first",
        choices=STAGES[1:],
        default="text",
        help="with --start, the first stage to train anew; default: text",
    )
    parser.add_argument(
        "--strict", action="store_true", help="stop at the first problem of a corpus"
    )


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Give the recipe with the command line's overrides.

    Raises:
        ConfigError: If there is no such recipe, or it names no corpus.
    """
    changes = list(options.set)
    if options.text_encoder is not None:
        name = options.text_encoder
        place = Path(name).resolve() if Path(name).is_dir() else name
        changes.append(f"text.encoder={json.dumps(str(place))}")
    recipe = read_recipe(options.recipe, changes)
    if not recipe.corpora:
        raise ConfigError(f"{options.recipe}: expected [corpora.NAME], got none")
    return recipe


def run(options: argparse.Namespace) -> int:
    """Run the stages up to the one asked for."""
    recipe = recipe_of(options)
    import torch  # the other commands must work without it

    from offline.training.run import Origin
    from offline.training.training import Training

    torch.set_num_threads(recipe.threads)
    origin = Origin(recipe, options.corpora, options.labels)
    training = Training(origin, options.run, strict=options.strict)
    if options.start is not None:
        training.take_over(options.start, STAGES[: STAGES.index(options.first)])
    for name in STAGES[: STAGES.index(options.stage) + 1]:
        training.run(name)
    if options.stage == STAGES[-1]:
        print(f"{options.run}: trained; `python -m offline export` makes a model of it")
    return 0
