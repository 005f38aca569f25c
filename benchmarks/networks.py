"""Time the two networks of a model, turn by turn, on one core.

    python -m benchmarks.networks [--model DIR] [--corpus FILE.jsonl]

The text encoder reads each text; the dialogue network (Stages I of the voice, II, III)
follows them as one conversation, with made-up numbers for the voice: what they are does
not change what they cost.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.dialogues import COMMITTED
from benchmarks.options import exit_with
from benchmarks.report import (
    Target,
    describe_machine,
    describe_version,
    print_document,
    print_spreads,
    print_targets,
    spread,
)
from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ConfigError
from stream_erc.flow import TurnFeatures, VoiceFeatures
from stream_erc.functionals import FUNCTIONALS_SIZE
from stream_erc.fusion import EmotionModel

CLIPS = COMMITTED / "ravdess" / "clips.jsonl"
N_WARM_UP = 20  # turns that are not counted
TEXT_LIMIT_MS, FUSION_LIMIT_MS, FOLDER_LIMIT_MB = 12.0, 2.0, 60.0


def read_texts(corpus: Path, n_turns: int) -> list[str]:
    """Give so many texts of a JSON Lines file, again from the start if it is short.

    Raises:
        ConfigError: If it has none, or is no JSON Lines.
    """
    lines = corpus.read_text(encoding="utf-8").splitlines()
    try:
        texts = [text for line in lines if (text := json.loads(line).get("text"))]
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"{corpus}: expected JSON objects, got: {error}") from error
    if not texts:
        raise ConfigError(f"{corpus}: expected lines with a text, got none")
    return [texts[number % len(texts)] for number in range(n_turns + N_WARM_UP)]


def time_text(model: EmotionModel, texts: list[str]) -> list[float]:
    """Give the milliseconds that each text takes."""
    return [took_ms(partial(model.embed, text)) for text in texts][N_WARM_UP:]


def time_fusion(model: EmotionModel, n_turns: int) -> list[float]:
    """Give the milliseconds that each turn of a conversation takes."""
    draw = np.random.default_rng(0)
    context, times_ms = model.empty_context(), []
    for number in range(n_turns + N_WARM_UP):
        encoder = draw.normal(size=model.voice_size).astype(np.float32)
        functionals = draw.normal(size=FUNCTIONALS_SIZE).astype(np.float32)
        turn = TurnFeatures("ab"[number % 2], None, VoiceFeatures(encoder, functionals))
        started_s = time.perf_counter()
        [(_, context)] = model.step([turn], [context])
        times_ms.append((time.perf_counter() - started_s) * 1000)
    return times_ms[N_WARM_UP:]


def took_ms(work: Callable[[], object]) -> float:
    """Give how long some work takes."""
    started_s = time.perf_counter()
    work()
    return (time.perf_counter() - started_s) * 1000


async def measure(options: argparse.Namespace) -> int:
    """Measure, and print."""
    machine = describe_machine()
    model = EmotionModel(options.model)
    spreads = {
        "text encoder, ms": spread(
            time_text(model, read_texts(options.corpus, options.turns))
        ),
        "fusion step, ms": spread(time_fusion(model, options.turns)),
    }
    folder_mb = sum(file.stat().st_size for file in options.model.iterdir()) / 1e6
    targets = [
        Target("text encoder p50, ms", spreads["text encoder, ms"].p50, TEXT_LIMIT_MS),
        Target("fusion step p50, ms", spreads["fusion step, ms"].p50, FUSION_LIMIT_MS),
        Target("model folder, MB", folder_mb, FOLDER_LIMIT_MB),
    ]
    print_spreads("per turn", spreads)
    print_targets(targets)
    conditions = {"machine": machine, "version": describe_version(options.model)}
    print_document("networks", conditions, {**spreads, "folder_mb": folder_mb}, targets)
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.networks",
        description="What the networks of a model cost per turn, on one core.",
    )
    parser.add_argument(
        "--model", type=Path, default=DEFAULT_MODEL, help="default: the shipped one"
    )
    parser.add_argument(
        "--corpus",
        type=Path,
        default=CLIPS,
        help="JSON Lines with a text (default: the sentences of tests/audio)",
    )
    parser.add_argument("--turns", type=int, default=300, help="to time (default: 300)")
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(measure(read_options()))
