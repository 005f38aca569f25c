"""Cut recordings into turns and write down what was said: a corpus file.

    python -m offline transcribe calls/ interview.mp3 --out corpus.jsonl

FILE is anything that FFmpeg can read, or a folder of it. Each recording becomes a
dialogue, named by its path below the folder given, without the suffix. It is cut, heard
and judged by the code of the live server with the settings of the live server, whose
names its options have: what is learned from is like what is served.

Each turn becomes one line: dialogue, turn, speaker, text, audio, start_s and end_s (of
the voice, in the file) and confidence (0 to 1, the geometric mean of the probabilities
of the words' tokens; not calibrated). No line has an emotion yet. A turn whose words
the server would reject (a sigh, a laugh, noise) stays, as there, a turn without text
and confidence.

Who speaks is not found out: all turns are of "speaker". Write the names into the lines
where several people share a channel; they count within a dialogue alone.

With `--channels split` every channel is a speaker of its own ("channel 1", ...), their
turns merged in the order in which they start. A line names its `channel`, from 0, and
the voice is later read from that one alone.

A file that cannot be read is named on stderr, and the rest goes on. The command may be
stopped at any time: called again, it goes on behind the last whole recording. What is
done stands in a journal beside the corpus file (corpus.jsonl.done), recordings without
a voice too; keep the two together. With other settings than it was begun with, or after
something else has changed it, a corpus file is not touched.

With `--engine ray` workers of a Ray cluster take a recording each; the lines are the
same and in the same order, and a recording whose worker dies is given to another.

Exit code 0; 2 if nothing could be read, or settings or --out are at fault.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from offline.corpora.form import Utterance
from offline.engines import add_engine_options, choose_engine
from offline.progress import track
from offline.transcription.journal import GrowingCorpus, Setting
from offline.transcription.recordings import Recording, find_recordings
from stream_erc.command_line import add_setting
from stream_erc.config import Settings
from stream_erc.errors import ConfigError
from stream_erc.settings import explain, read_settings

log = logging.getLogger(__name__)

HEARING = ("vad.", "turns.", "asr.", "gates.")
"""Settings that cut and transcribe."""

BATCHED = "asr.workers"
"""Not among them: turns are heard in batches by one."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command line."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="recording, or a folder")
    add("--out", type=Path, required=True, metavar="FILE", help="corpus file (.jsonl)")
    add(
        "--batch",
        type=int,
        default=8,
        metavar="N",
        help="turns that a GPU hears side by side (default: %(default)s)",
    )
    add(
        "--channels",
        choices=("mix", "split"),
        default="mix",
        help="one speaker, or one for each channel (default: %(default)s)",
    )
    add("--strict", action="store_true", help="stop at the first unreadable file")
    add_engine_options(parser)
    add("--config", type=Path, metavar="FILE", help="settings file (TOML) of a server")
    for name, kind, default, text in list_options():
        add_setting(parser, name, kind, default, text)


def list_options() -> list[tuple[str, type, Any, str]]:
    """Give the settings that have an option, as `explain` does."""
    return [
        each for each in explain() if each[0].startswith(HEARING) and each[0] != BATCHED
    ]


def run(options: argparse.Namespace) -> int:
    """Transcribe what is not in the corpus file yet.

    Returns:
        0; 2 if no recording could be read.

    Raises:
        ConfigError: If settings, FILE or --out are at fault; if strict, at the first
            recording that cannot be read.
        ModelError: If the recognizer cannot be loaded.
        ClusterError: If the Ray cluster is not there.
    """
    settings = gather_settings(options)
    if options.batch < 1:
        raise ConfigError(f"--batch: expected at least 1, got {options.batch}")
    gpus = int(settings.asr.device == "cuda")
    start = choose_engine(options, cpus=settings.asr.threads, gpus=gpus)
    recordings = find_recordings(options.files, options.out)
    corpus = GrowingCorpus(options.out, list_settings(settings, options.channels))
    waiting = [one for one in recordings if not corpus.holds(one)]
    n_failed = 0
    if waiting:
        # The settings are checked before seconds of imports.
        from offline.transcription.transcriber import make_transcribe

        is_split = options.channels == "split"
        make = partial(make_transcribe, settings, options.batch, is_split)
        heard = start().map(make, waiting)
        n_failed = add_recordings(waiting, corpus, heard, strict=options.strict)
    log.info(
        "%s: %d recordings transcribed, %d there before, %d could not be read",
        options.out,
        len(waiting) - n_failed,
        len(recordings) - len(waiting),
        n_failed,
    )
    return 2 if n_failed == len(recordings) else 0


def gather_settings(options: argparse.Namespace) -> Settings:
    """Join the server's defaults, its settings file and the options.

    Raises:
        ConfigError: If the file cannot be read, or a value does not fit.
    """
    given = {
        name: value
        for name, *_ in list_options()
        if (value := getattr(options, name)) is not None
    }
    return read_settings(options.config, {**given, BATCHED: 1})


def list_settings(settings: Settings, channels: str) -> dict[str, Setting]:
    """Name the settings that change what is written; not device, threads and batch."""
    listed: dict[str, Setting] = {"channels": channels}
    for table in ("vad", "turns", "gates"):
        values = asdict(getattr(settings, table))
        listed |= {f"{table}.{name}": value for name, value in values.items()}
    for name in ("whisper", "language", "compute_type"):
        listed[f"asr.{name}"] = getattr(settings.asr, name)
    return listed


def add_recordings(
    recordings: list[Recording],
    corpus: GrowingCorpus,
    heard: Iterable[list[Utterance] | ConfigError],
    *,
    strict: bool,
) -> int:
    """Add recordings to the corpus one by one; give how many could not be read.

    Args:
        recordings: In order.
        corpus: Where they go.
        heard: The turns of each, or why there are none.
        strict: Whether to stop there.

    Raises:
        ConfigError: If strict, at the first of those.
    """
    n_failed = 0
    tracked = track(recordings, "transcribing", "recordings")
    for recording, turns in zip(tracked, heard, strict=True):
        try:
            corpus.check_name(recording)
            if isinstance(turns, ConfigError):
                raise turns
        except ConfigError as error:
            if strict:
                raise
            tqdm.write(str(error), file=sys.stderr)
            n_failed += 1
        else:
            corpus.add(recording, turns)
    return n_failed
