"""How right turns, words and emotions are, streamed through the real server.

python -m benchmarks.accuracy [--data FOLDER] [--actors 21-24] [--speed 8]

Results do not depend on the pace (an invariant of the protocol), so the dialogues are
played faster than life and without partials. A second pass bars the model from the
words: `modalities: ["audio"]`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.dialogues import (
    Dialogue,
    lay_out,
    make_dialogues,
    read_actors,
    read_pairs,
    read_readings,
    rest_alike,
)
from benchmarks.matching import Match, match
from benchmarks.options import (
    describe,
    exit_with,
    find_clips,
    make_parser,
    serving_as_asked,
)
from benchmarks.playing import Manner, perform
from benchmarks.report import (
    Target,
    describe_machine,
    print_document,
    print_spreads,
    print_table,
    print_targets,
)
from benchmarks.scoring import (
    Boundaries,
    EmotionScores,
    measure_boundaries,
    one_turn_share,
    score_emotions,
    word_error_rate,
)
from stream_erc.events import Modality
from stream_erc.flow import EMOTIONS

FUSED: tuple[Modality, ...] = ("audio", "text")
VOICE_ALONE: tuple[Modality, ...] = ("audio",)


@dataclass(slots=True)
class Pass:
    """What came back of some dialogues.

    Attributes:
        matches: One a clip.
        n_turns: How many turns there were.
        n_rejected: Those of them that the server took for no speech.
        n_untold: Clips whose speaker could not be told in time.
        warnings: Codes of what the server complained about.
    """

    matches: list[Match]
    n_turns: int
    n_rejected: int
    n_untold: int
    warnings: list[str]


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    folder = find_clips(options)
    pairs = read_pairs(folder, read_actors(options.actors))
    acted = make_dialogues(pairs, options.seed, options.fill)
    reading = make_reading(folder, options)
    async with serving_as_asked(options) as server:
        fused = await play(server.url, acted, options, FUSED)
        voice = await play(server.url, acted, options, VOICE_ALONE)
        read = await play(server.url, [reading], options, FUSED)
    report(options, machine, fused, voice, read)
    return 0


def make_reading(folder: Path, options: argparse.Namespace) -> Dialogue:
    """Lay the clips of read speech one after another."""
    rng = np.random.default_rng(options.seed)
    voices = read_readings(folder)
    return lay_out("reading", voices, rng, options.fill, rest_alike)


async def play(
    url: str,
    dialogues: Sequence[Dialogue],
    options: argparse.Namespace,
    modalities: Sequence[Modality],
) -> Pass:
    """Play dialogues one after another, each in a session of its own."""
    manner = Manner(
        speed=options.speed,
        speakers=options.speakers,
        partials=False,
        modalities=modalities,
    )
    result = Pass([], 0, 0, 0, [])
    for dialogue in dialogues:
        performance = await perform(url, dialogue, manner)
        result.matches += match(dialogue.clips, performance.turns)
        result.n_turns += len(performance.turns)
        result.n_rejected += sum(turn.is_rejected for turn in performance.turns)
        result.n_untold += performance.n_untold
        result.warnings += performance.warnings
    return result


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    fused: Pass,
    voice: Pass,
    read: Pass,
) -> None:
    """Print the tables, the targets and the last line."""
    counts = count(fused, voice, read)
    boundaries = measure_boundaries(fused.matches)
    scores = {
        "fused": score_emotions(fused.matches),
        "voice_alone": score_emotions(voice.matches),
    }
    targets = set_targets(counts, boundaries, scores)
    print(f"pauses: {options.fill}, speed: {options.speed or 'max'}\n")
    print_table(("RAVDESS and read speech", ""), list(counts.items()))
    print_spreads("boundaries, ms", boundaries.spreads())
    print_scores(scores)
    if options.verbose:
        print_troubles(fused.matches + read.matches)
    print_targets(targets)
    figures = {
        **counts,
        "boundaries_ms": boundaries.spreads(),
        **{name: score.to_json() for name, score in scores.items()},
    }
    print_document("accuracy", describe(options, machine), figures, targets)


def count(fused: Pass, voice: Pass, read: Pass) -> dict[str, Any]:
    """Give what is counted, and shares of it."""
    return {
        "clips": len(fused.matches),
        "turns": fused.n_turns,
        "turns_rejected": fused.n_rejected,
        "one_turn_per_clip": one_turn_share(fused.matches),
        "clips_without_turn": sum(not one.turns for one in fused.matches),
        "speakers_not_told_in_time": fused.n_untold,
        "warnings": len(fused.warnings + voice.warnings + read.warnings),
        "word_error_rate_ravdess": word_error_rate(fused.matches),
        "word_error_rate_speech": word_error_rate(read.matches),
        "clips_speech": len(read.matches),
        "turns_speech": read.n_turns,
    }


def set_targets(
    counts: dict[str, Any], boundaries: Boundaries, scores: dict[str, EmotionScores]
) -> list[Target]:
    """Set the figures beside what they must reach."""
    return [
        Target("one turn per clip, share", counts["one_turn_per_clip"], 0.97, False),
        Target("voice_start_ms error p95, ms", boundaries.start_error.p95, 250.0),
        Target("end_ms error p95, ms", boundaries.end_error.p95, 250.0),
        Target("WER, RAVDESS", counts["word_error_rate_ravdess"], 0.08),
        Target("WER, speech/", counts["word_error_rate_speech"], 0.08),
        Target("UAR of 7, voice alone", scores["voice_alone"].recall, 0.58, False),
        Target("UAR of 7, fused", scores["fused"].recall, 0.50, False),
    ]


def print_scores(scores: dict[str, EmotionScores]) -> None:
    """Print the emotions' figures and confusions."""
    print_table(
        ("emotion", "n", "UAR", "weighted F1", "accuracy", "ECE"),
        [
            (name, s.n, s.recall, s.weighted_f1, s.accuracy, s.calibration_error)
            for name, s in scores.items()
        ],
    )
    for name, score in scores.items():
        print_table(
            (f"{name}: truth", *EMOTIONS, "no turn"),
            [
                (emotion, *row)
                for emotion, row in zip(EMOTIONS, score.confusion.tolist(), strict=True)
            ],
        )


def print_troubles(matches: Sequence[Match]) -> None:
    """Print the clips whose turns or words are not right."""
    rows = [
        (
            one.clip.voice.file.name,
            len(one.turns),
            one.clip.voice.text,
            one.text,
        )
        for one in matches
        if not one.is_one_turn or word_error_rate([one])
    ]
    print_table(("clip", "turns", "said", "heard"), rows)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("benchmarks.accuracy", "How right turns and emotions are.")
    parser.add_argument(
        "--speed",
        type=read_speed,
        default=8.0,
        help='times faster than life, or "max" (default: 8)',
    )
    parser.add_argument(
        "--verbose", action="store_true", help="list each clip that came back wrong"
    )
    return parser.parse_args()


def read_speed(option: str) -> float | None:
    """Read a speed; None for `max`."""
    if option == "max":
        return None
    speed = float(option)
    if speed <= 0:
        raise argparse.ArgumentTypeError(f"expected more than 0, got {option}")
    return speed


if __name__ == "__main__":
    exit_with(measure(read_options()))
