"""Tell the speakers of one microphone apart by voice, and count who is right.

    python -m benchmarks.speakers [--data FOLDER] [--actors 21-24] [--seed 0]

The actors 1 to 20 are those from whom the views of a voice are learned.

Clips of RAVDESS become turns, cut as the server cuts them, and turns become dialogues
of two, three and four actors: mostly somebody else goes on. Each turn is named as in a
live session, by the product's own encoder and rules; a turn is right if its name is the
one that the best one-to-one matching of names and actors gives its actor.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.dialogues import (
    COMMITTED,
    Voice,
    read_actors,
    read_pairs,
)
from benchmarks.options import exit_with, make_clips_parser
from benchmarks.report import (
    Target,
    describe_machine,
    describe_version,
    print_document,
    print_spreads,
    print_table,
    print_targets,
    spread,
)
from clients.sources import RATE_HZ, decode
from stream_erc.asr import Whisper
from stream_erc.config import DEFAULT_MODEL, AsrConfig, TurnConfig
from stream_erc.flow import Samples, Vector, to_samples
from stream_erc.functionals import functionals
from stream_erc.speakers import SpeakerConfig
from stream_erc.voiceprint import VoiceEncoder, load_spread
from stream_erc.voices import Voices

N_SPEAKERS = (2, 3, 4)
N_TURNS = 16
SAME_AGAIN = 0.2  # how often whoever spoke goes on
RIGHT_LIMIT, TURN_LIMIT_MS = 0.92, 10.0


@dataclass(frozen=True, slots=True)
class Turn:
    """What a session knows of a turn.

    Attributes:
        voiceprint: Of its audio.
        voiced_samples: In it.
    """

    voiceprint: Vector
    voiced_samples: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a number of dialogues went.

    Attributes:
        n_turns: In all of them.
        n_right: Whose speaker has the name that is matched to it.
        n_found: Names in a dialogue, on average.
    """

    n_turns: int
    n_right: int
    n_found: float

    @property
    def share_right(self) -> float:
        """Of all turns."""
        return self.n_right / self.n_turns


def cut(voice: Voice, turns: TurnConfig) -> tuple[Samples, int]:
    """Give the audio of a clip's turn, and how many samples have voice."""
    samples = decode(voice.file).astype(np.float32) / np.float32(32_768)
    end_s = len(samples) / RATE_HZ if voice.end_s is None else voice.end_s
    start, end = round(voice.start_s * RATE_HZ), round(end_s * RATE_HZ)
    first = max(0, start - to_samples(turns.pre_roll_ms))
    return samples[first : end + to_samples(turns.post_roll_ms)], end - start


def listen(
    voices: Sequence[Voice], whisper: Whisper, times_ms: list[float]
) -> list[Turn]:
    """Give the turns of one actor.

    Args:
        voices: Of the actor.
        whisper: Hears them.
        times_ms: Gets the processor's time for what is done for the voiceprint alone.
    """
    encoder, config, turns = VoiceEncoder(), TurnConfig(), []
    for voice in voices:
        samples, n_voiced = cut(voice, config)
        others = functionals(samples), whisper.voice(samples)
        started_s = time.thread_time()
        voiceprint = encoder.embed(samples, *others)
        times_ms.append((time.thread_time() - started_s) * 1000)
        turns.append(Turn(voiceprint, n_voiced))
    return turns


def draw_order(n_speakers: int, n_turns: int, rng: np.random.Generator) -> list[int]:
    """Draw who speaks when; everybody is heard."""
    order = [int(one) for one in rng.permutation(n_speakers)]
    while len(order) < n_turns:
        others = [one for one in range(n_speakers) if one != order[-1]]
        goes_on = rng.random() < SAME_AGAIN
        order.append(order[-1] if goes_on else int(rng.choice(others)))
    return order


def name_turns(turns: Sequence[Turn], config: SpeakerConfig) -> list[str]:
    """Name the speakers of a dialogue, turn by turn."""
    names, voices = [], Voices()
    for turn in turns:
        name, voices = voices.assign(
            turn.voiceprint, turn.voiced_samples, load_spread(), config
        )
        names.append(name)
    return names


def count_right(names: Sequence[str], speakers: Sequence[int]) -> int:
    """Count the turns that the best matching of names and speakers gets right."""
    found, real = sorted(set(names)), sorted(set(speakers))
    together = list(zip(names, speakers, strict=True))
    counts = {(n, s): together.count((n, s)) for n in found for s in real}
    n_few = min(len(found), len(real))
    return max(
        sum(counts[pair] for pair in zip(some, others, strict=True))
        for some in itertools.combinations(found, n_few)
        for others in itertools.permutations(real, n_few)
    )


def hold(
    actors: Sequence[Sequence[Turn]],
    n_speakers: int,
    n_dialogues: int,
    seed: int,
    config: SpeakerConfig,
) -> Outcome:
    """Let so many dialogues of so many actors be told apart."""
    rng = np.random.default_rng([seed, n_speakers])
    n_turns = n_right = n_found = 0
    for _ in range(n_dialogues):
        cast = rng.choice(len(actors), n_speakers, replace=False)
        n_most = min(N_TURNS, *(len(actors[one]) for one in cast))
        order = draw_order(n_speakers, n_most, rng)
        left = [iter(rng.permutation(len(actors[one]))) for one in cast]
        turns = [actors[cast[one]][next(left[one])] for one in order]
        names = name_turns(turns, config)
        n_turns += len(order)
        n_right += count_right(names, order)
        n_found += len(set(names))
    return Outcome(n_turns, n_right, n_found / n_dialogues)


def hold_all(
    actors: Sequence[Sequence[Turn]], options: argparse.Namespace
) -> dict[str, Outcome]:
    """Hold dialogues of each size, and where the server is told how many speak."""
    outcomes = {}
    for n in (n for n in N_SPEAKERS if n <= len(actors)):
        for told, config in (
            ("", SpeakerConfig()),
            (", most = " + str(n), SpeakerConfig(most=n)),
        ):
            outcomes[f"{n}{told}"] = hold(
                actors, n, options.dialogues, options.seed, config
            )
    return outcomes


async def measure(options: argparse.Namespace) -> int:
    """Measure, and print."""
    machine = describe_machine()
    numbers = read_actors(options.actors)
    pairs = read_pairs(options.data or COMMITTED, numbers)
    times_ms: list[float] = []
    whisper = Whisper(AsrConfig())
    actors = [listen(voices, whisper, times_ms) for pair in pairs for voices in pair]
    outcomes = hold_all(actors, options)
    print_table(
        ("speakers", "dialogues", "turns", "right", "names found"),
        [
            (name, options.dialogues, one.n_turns, one.share_right, one.n_found)
            for name, one in outcomes.items()
        ],
    )
    took = {"voiceprint, ms of the processor": spread(times_ms)}
    print_spreads("per turn", took)
    [p50] = [one.p50 for one in took.values()]
    targets = [
        Target("two speakers, right", outcomes["2"].share_right, RIGHT_LIMIT, False),
        Target("voiceprint p50, ms", p50, TURN_LIMIT_MS),
    ]
    print_targets(targets)
    conditions = {
        "machine": machine,
        "version": describe_version(DEFAULT_MODEL),
        "actors": numbers,
        "dialogues": options.dialogues,
        "seed": options.seed,
    }
    told = {
        name: {**asdict(one), "share_right": one.share_right}
        for name, one in outcomes.items()
    }
    figures: dict[str, Any] = {**took, "speakers": told}
    print_document("speakers", conditions, figures, targets)
    return 0


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_clips_parser("benchmarks.speakers", __doc__.splitlines()[0])
    parser.add_argument(
        "--dialogues", type=int, default=200, help="of each size (default: 200)"
    )
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(measure(read_options()))
