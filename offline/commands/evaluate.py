"""A model folder or a run folder, and a corpus -> figures, through what serves.

Every turn is played in order, lines without a label as context. What a line has is
used: its words, its recording, or published features of it; where it has no words, the
recognizer gives them. The scores compare with published ones only where the corpus, the
split, the classes and the context are the same. Macro F1 and UAR (recall) are means
over the classes that occur among the labels scored; those that nobody has do not count.

A run folder of `train` is scored through a model folder made of it meanwhile, with the
weights as they were trained (float32); that alone needs the extra `train`.

exit codes:
  0    done
  2    settings or input are at fault (stderr says how)
  130  interrupted; nothing is written
"""

from __future__ import annotations

import argparse
import json
import logging
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from offline.corpora.form import read_corpus, refuse_inputs
from offline.corpora.names import EMOTION_NAMES
from offline.evaluation.config import EvaluationConfig
from offline.evaluation.evaluating import evaluate_corpus
from offline.evaluation.picture import check_picture, draw_picture
from offline.evaluation.playing import RememberingModel
from offline.evaluation.table import table_of
from offline.exporting.card import add_figures, check_card
from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ConfigError, reason

log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("--corpus", type=Path, required=True, metavar="FILE", help="JSON Lines")
    add(
        "--model",
        type=Path,
        metavar="DIR",
        help="model folder, or run folder of `train`; default: the shipped model",
    )
    add(
        "--audio-root",
        type=Path,
        metavar="DIR",
        help="where the corpus's audio paths start; default: beside the corpus",
    )
    add(
        "--modalities",
        choices=("text", "audio", "both"),
        default="both",
        help="what the model is told; default: both",
    )
    add(
        "--context",
        type=int,
        metavar="N",
        help="earlier turns of the dialogue that may be used; default: all",
    )
    add(
        "--labels",
        metavar="A,B,C",
        help="classes that count: emotions or sentiments; default: all. Lines with "
        "another label are context",
    )
    add("--limit", type=int, metavar="N", help="only the first N dialogues")
    add("--strict", action="store_true", help="stop at the first fault")
    add_conditions(parser)
    add("--report", type=Path, metavar="FILE.json", help="write all figures")
    add(
        "--picture",
        type=Path,
        metavar="FILE.png",
        help="draw confusion, calibration and curve (needs the extra `plot`)",
    )
    add(
        "--card",
        metavar="NAME",
        help="put the figures into the card of --model, under this name",
    )


def add_conditions(parser: argparse.ArgumentParser) -> None:
    """Describe under which other conditions to score, too."""
    add = parser.add_argument
    add(
        "--curve",
        action="store_true",
        help="also score the first 25, 50, 75 and 100 %% of each turn",
    )
    add(
        "--asr-errors",
        metavar="P,Q",
        help="also score with so many simulated word errors, in percent",
    )
    add(
        "--noise",
        metavar="DB,DB",
        help="also score with noise so many decibels below the voice",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="of all that is drawn; default: 0",
    )


def run(options: argparse.Namespace) -> int:
    """Score, print, and write what is asked for."""
    config = EvaluationConfig(
        audio_root=options.audio_root,
        modalities=options.modalities,
        context_turns=options.context,
        labels=tuple(EMOTION_NAMES.get(x, x) for x in parts_of(options.labels)),
        limit_dialogues=options.limit,
        has_curve=options.curve,
        word_errors_percent=numbers_of("--asr-errors", options.asr_errors),
        noise_snrs_db=numbers_of("--noise", options.noise),
        is_strict=options.strict,
        seed=options.seed,
    )
    for name, file in (("--report", options.report), ("--picture", options.picture)):
        if file is not None:
            refuse_inputs(name, file, [options.corpus])
    if options.picture is not None:
        check_picture(options.picture)
    if options.card is not None:
        refuse_card(options.model)
    corpus = read_corpus(options.corpus, strict=options.strict)
    model = load_model(options.model or DEFAULT_MODEL)
    if options.card is not None:
        check_card(options.model)  # before minutes of scoring
    report = evaluate_corpus(model, corpus, config)
    print(table_of(report))
    if options.report is not None:
        write_report(report, options.report)
    if options.picture is not None:
        draw_picture(report, options.picture)
    if options.card is not None:
        add_figures(options.model, options.card, report)
    return 0


def refuse_card(folder: Path | None) -> None:
    """Refuse a card where there is none, or it is not the user's.

    Raises:
        ConfigError: If no model folder is named, or it is a run's.
    """
    if folder is None:
        raise ConfigError("--card: expected --model, whose card to write, got none")
    if is_run(folder):
        raise ConfigError(
            f"--card: expected a model folder, got the run folder {folder}"
        )


def is_run(folder: Path) -> bool:
    """Tell a run folder, by the file that `train` writes first, from a model folder."""
    return (folder / "origin.json").is_file()


def load_model(folder: Path) -> RememberingModel:
    """Load a model folder, or what a run folder has trained.

    Raises:
        ConfigError: If the run is not finished, cannot be served, or torch is missing.
        ModelError: If a file of the model folder is missing or damaged.
    """
    if not is_run(folder):
        return RememberingModel(folder)
    if find_spec("torch") is None:
        raise ConfigError(
            "--model: expected torch for a run folder (pip install "
            "'stream-erc[train]'), got none"
        )
    # A model folder must be scored without it.
    from offline.exporting.finished import export_run

    log.info("%s: writing a model of the run, to score it as it is served", folder)
    with TemporaryDirectory() as exported:
        export_run(folder, Path(exported))
        model = RememberingModel(Path(exported))
    model.folder = folder  # as it is named from here on
    return model


def parts_of(option: str | None) -> list[str]:
    """Cut an option at its commas."""
    return [part.strip() for part in option.split(",")] if option is not None else []


def numbers_of(name: str, option: str | None) -> tuple[float, ...]:
    """Read an option of several numbers.

    Raises:
        ConfigError: If a part of it is none.
    """
    try:
        return tuple(float(part) for part in parts_of(option))
    except ValueError as error:
        raise ConfigError(
            f"{name}: expected numbers with commas between, got {option!r}"
        ) from error


def write_report(report: dict[str, Any], file: Path) -> None:
    """Write a report as JSON, making its folder.

    Raises:
        ConfigError: If it cannot be written.
    """
    text = json.dumps(report, indent=1, ensure_ascii=False)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"--report: expected a file to write, got {file}: {reason(error)}"
        ) from error
