"""`python -m offline train | export | evaluate`: corpora in, a model folder out.

Whole, in this order: train (all stages), export (writes the folder), evaluate (scores
the folder on the test splits and writes the figures into its model card).
"""

from __future__ import annotations

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path

from stream_erc.errors import ConfigError, StreamErcError

from .corpora import check_folder
from .recipe import DEFAULT_RECIPE, Recipe, read_recipe

STAGES = ("text", "voice", "vectors", "dialogue")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m offline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True)

    train = commands.add_parser("train", help="train the stages, one after another")
    train.add_argument("--data", type=Path, required=True, help="folder of the corpora")
    train.add_argument(
        "--stage", choices=(*STAGES, "all"), default="all", help="default: all"
    )
    export = commands.add_parser("export", help="write a model folder")
    export.add_argument("--model", type=Path, required=True, help="folder to write")
    for command in (train, export):
        command.add_argument(
            "--run", type=Path, required=True, help="folder of what is trained"
        )
        command.add_argument(
            "--recipe", type=Path, default=DEFAULT_RECIPE, help="a TOML file"
        )
        command.add_argument(
            "--encoder",
            type=Path,
            help="folder of the pre-trained text encoder; default: the recipe's",
        )
        command.add_argument(
            "--threads", type=int, help="of torch; default: the recipe's"
        )

    evaluate = commands.add_parser("evaluate", help="score a model folder")
    evaluate.add_argument("--model", type=Path, required=True, help="folder to score")
    evaluate.add_argument(
        "--data", type=Path, required=True, help="folder of the corpora"
    )
    evaluate.add_argument("--report", type=Path, help="JSON file of the figures")
    evaluate.add_argument(
        "--card", action="store_true", help="write the figures into the model's card"
    )
    return parser.parse_args(arguments)


def recipe_of(options: argparse.Namespace) -> Recipe:
    """Give the recipe with the command line's overrides.

    Raises:
        ConfigError: If there is no such recipe or it names no encoder.
    """
    recipe = read_recipe(options.recipe)
    if options.encoder is not None:
        text = replace(recipe.text, encoder=str(options.encoder))
        recipe = replace(recipe, text=text)
    if options.threads is not None:
        recipe = replace(recipe, threads=options.threads)
    if not recipe.text.encoder:
        raise ConfigError("--encoder: expected the folder of a text encoder, got none")
    return recipe


def train(options: argparse.Namespace) -> None:
    """Run the stages asked for."""
    check_folder(options.data)
    recipe = recipe_of(options)
    import torch  # evaluation must work without it

    from . import run
    from .text_training import TextTraining
    from .voice_cache import build_cache

    torch.set_num_threads(recipe.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    wanted = STAGES if options.stage == "all" else (options.stage,)
    if "text" in wanted:
        TextTraining(options.run, recipe.text, recipe.seed).run(options.data)
    if "voice" in wanted:
        voice = recipe.voice
        build_cache(
            options.data, options.run / "voice.npz", voice.augment, voice.copies
        )
    if "vectors" in wanted:
        run.embed_corpora(options.data, options.run, recipe)
    if "dialogue" in wanted:
        run.train_dialogue(options.data, options.run, recipe)


def export(options: argparse.Namespace) -> None:
    """Write the model folder."""
    recipe = recipe_of(options)
    from .card import describe_run, write_papers
    from .export import export_folder
    from .run import load_trained

    about = describe_run(recipe)
    export_folder(load_trained(options.run, recipe), options.model, about)
    write_papers(options.model)


def evaluate(options: argparse.Namespace) -> None:
    """Score the model folder."""
    check_folder(options.data)
    from . import card, evaluation

    result = evaluation.evaluate(options.model, options.data)
    if options.report is not None:
        evaluation.write_report(result, options.report)
    if options.card:
        card.write_figures(options.model, result)
    print(card.figures_table(result))


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 2 if its settings or its input are at fault."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = parse(arguments)
    commands = {"train": train, "export": export, "evaluate": evaluate}
    try:
        commands[options.command](options)
    except StreamErcError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
