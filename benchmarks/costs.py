"""What one turn costs, part by part and by its length, on one core.

    python -m benchmarks.costs [--plot FILE.png]

Each part is the difference between two calls of the product: what `Whisper.voice` takes
is encoding; what `Whisper.hear` takes beyond it is decoding, the words' times included.
Voices are detected in eight sessions at once, as on a crowded server; the row has the
share of one, the last line what one takes alone. The turns are beginnings of read
speech, so all have words.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
from faster_whisper.audio import decode_audio

from benchmarks.dialogues import COMMITTED
from benchmarks.networks import took_ms
from benchmarks.options import exit_with
from benchmarks.report import describe_machine, describe_version, print_document
from stream_erc.asr import Whisper
from stream_erc.config import DEFAULT_MODEL, AsrConfig
from stream_erc.flow import (
    FRAME_SAMPLES,
    SAMPLE_RATE_HZ,
    TurnFeatures,
    VoiceFeatures,
)
from stream_erc.functionals import functionals
from stream_erc.fusion import EmotionModel
from stream_erc.rounds import TOGETHER
from stream_erc.vad import SileroVad

CLIP = COMMITTED / "speech" / "jfk.flac"  # the longest: 11 s
LENGTHS_S = (1, 2, 4, 8)

PARTS = (
    "voice detection",
    "encoding",
    "decoding",
    "functionals",
    "judging",
)
ALONE = "voice detected alone"

Parts = dict[str, float]


def time_parts(
    whisper: Whisper, model: EmotionModel, seconds: int, repeats: int
) -> Parts:
    """Give the milliseconds that each part of such a turn takes, the median of some."""
    samples = decode_audio(str(CLIP))[: seconds * SAMPLE_RATE_HZ]
    heard = whisper.hear(samples, with_words=True)
    turn = TurnFeatures(
        "speaker", heard.text, VoiceFeatures(heard.voice, functionals(samples))
    )
    vad = SileroVad()
    frames = [
        samples[start : start + FRAME_SAMPLES]
        for start in range(0, len(samples), FRAME_SAMPLES)
    ]
    crowd = [(vad.stream(), frames) for _ in range(TOGETHER)]
    calls: Mapping[str, Callable[[], object]] = {
        "voice": partial(whisper.voice, samples),
        "words": partial(whisper.hear, samples, with_words=True),
        "functionals": partial(functionals, samples),
        "judging": partial(model.step, [turn], [model.empty_context()]),
        "voice detection": partial(vad.detect, crowd),
        ALONE: partial(vad.detect, crowd[:1]),
    }
    took = {
        # The first time does not count.
        name: median([took_ms(call) for _ in range(repeats + 1)][1:])
        for name, call in calls.items()
    }
    return {
        "voice detection": took["voice detection"] / TOGETHER,
        "encoding": took["voice"],
        "decoding": took["words"] - took["voice"],
        "functionals": took["functionals"],
        "judging": took["judging"],
        ALONE: took[ALONE],
    }


def print_parts(table: Mapping[int, Parts]) -> None:
    """Print the lengths as columns."""
    print("ms".ljust(21), *(f"{seconds} s".rjust(8) for seconds in table))
    rows = {name: [parts[name] for parts in table.values()] for name in (*PARTS, ALONE)}
    rows["sum"] = [sum(parts[name] for name in PARTS) for parts in table.values()]
    for name in (*PARTS, "sum", ALONE):
        print(name.ljust(21), *(f"{ms:8.1f}" for ms in rows[name]))


def draw(table: Mapping[int, Parts], file: Path) -> None:
    """Draw the parts as stacked bars."""
    from matplotlib.figure import Figure  # extra `plot`

    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    left = np.zeros(len(table))
    lengths = [f"{seconds} s" for seconds in table]
    for name in PARTS:
        widths = np.array([parts[name] for parts in table.values()])
        axes.barh(lengths, widths, left=left, label=name)
        left += widths
    axes.invert_yaxis()
    axes.set_xlabel("ms of one core")
    axes.set_ylabel("turn")
    axes.legend(fontsize="small")
    figure.savefig(file, dpi=120)


async def measure(options: argparse.Namespace) -> int:
    """Measure, and print."""
    machine = describe_machine()
    whisper = Whisper(AsrConfig(workers=1))
    model = EmotionModel(DEFAULT_MODEL)
    table = {
        seconds: time_parts(whisper, model, seconds, options.repeats)
        for seconds in LENGTHS_S
    }
    print_parts(table)
    if options.plot:
        draw(table, options.plot)
    conditions = {"machine": machine, "version": describe_version(DEFAULT_MODEL)}
    print_document("costs", conditions, {"ms by length in s": table}, [])
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.costs",
        description="What one turn costs, part by part, on one core.",
    )
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw it, too")
    parser.add_argument("--repeats", type=int, default=15, help="default: 15")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(measure(read_options()))
