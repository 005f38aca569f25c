"""How often a turn is ended too early, against how long its end is waited for.

python -m benchmarks.endpointing [--data FOLDER] [--actors 21-24]
    [--silence 544 352/544/960 ...]

Without sockets and without a clock: the plain driver hears dialogues, once for each
choice of end silences, and every time is one of the audio's own. So the figures are the
same on any machine, busy or not. What a live session adds is the models' time, and only
where it is longer than the silence after the eager point.

A turn cuts in where a clip goes on after it. The clips are acted sentences, read speech
with its own pauses (one of its clips is three sentences long, and counts as one), and
both again with a pause laid between two words of each.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass, replace
from typing import Any, cast

import numpy as np

from benchmarks.dialogues import (
    Dialogue,
    lay_out,
    make_dialogues,
    read_actors,
    read_pairs,
    read_readings,
    rest_alike,
    to_ms,
)
from benchmarks.hesitating import hesitate
from benchmarks.matching import Match, Turn, gather, match
from benchmarks.options import describe, exit_with, find_clips, make_clips_parser
from benchmarks.report import (
    Spread,
    Target,
    describe_machine,
    print_document,
    print_table,
    print_targets,
    spread,
)
from clients.arrival import Arrival
from clients.sources import FORMAT
from stream_erc import events
from stream_erc.config import Settings, TurnConfig
from stream_erc.conversation import Conversation
from stream_erc.engine import HearRequest, HearResult, Models, Request, Result
from stream_erc.engines import InlineEngine
from stream_erc.errors import ConfigError
from stream_erc.flow import FRAME_SAMPLES
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.vad import SileroVad

SILENCES = ("544", "384", "352/544/960")
READ_AGAIN = 6  # times that each clip of read speech is broken, each time elsewhere
BROKEN_EVERY = 4  # acted dialogues: one of so many is played broken, too
MAX_WAIT_MS, MAX_CUT_IN = 450.0, 0.03
MATERIALS = ("acted", "acted, broken", "read", "read, broken")


class MemoryEngine(InlineEngine):
    """Spares the recognizer what it has heard: the same samples, the same answer."""

    def __init__(self, models: Models) -> None:
        super().__init__(models)
        self._known: dict[tuple[bytes, int], HearResult] = {}

    def submit(self, request: Request) -> Future[Result]:
        """Answer a request; the future is done."""
        if not isinstance(request, HearRequest):
            return super().submit(request)
        key = request.samples.tobytes(), request.voiced_samples
        if key not in self._known:
            result = super().submit(request).result()
            assert isinstance(result, HearResult)
            self._known[key] = result
        future: Future[Result] = Future()
        future.set_result(replace(self._known[key], origin=request.origin))
        return future


@dataclass(frozen=True, slots=True)
class Material:
    """Dialogues of a kind.

    Attributes:
        name: For tables.
        dialogues: With the truth about each clip.
        probabilities: Of a voice in each frame of each dialogue.
    """

    name: str
    dialogues: Sequence[Dialogue]
    probabilities: Sequence[Sequence[float]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What turns made of one clip.

    Attributes:
        n_turns: How many hold some of its voice.
        is_torn: Whether two or more of them have words; what else stands before or
            behind the words is a breath, a laugh, a sob.
        is_merged: Whether one of them holds some of another clip.
        wait_ms: From the end of its voice to the decision that its last turn is over;
            None where silence did not end it, or another clip did.
    """

    n_turns: int
    is_torn: bool
    is_merged: bool
    wait_ms: float | None


@dataclass(frozen=True, slots=True)
class Endpoints:
    """What came of one material with one choice of silences.

    Attributes:
        clips: How many.
        missed: Share of clips without a turn.
        cut_in: Share of clips in which a turn was ended although they went on.
        torn: Share of clips whose words were cut apart so.
        merged: Share of clips that share a turn with another one.
        wait_ms: As in `Outcome`.
    """

    clips: int
    missed: float
    cut_in: float
    torn: float
    merged: float
    wait_ms: Spread


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    choices = {silence: read_silence(silence) for silence in options.silence}
    models, vad = Models(Settings()), SileroVad()
    materials = list(make_materials(options, models, vad))
    engine = MemoryEngine(models)
    found = {
        silence: {one.name: play(one, turns, engine) for one in materials}
        for silence, turns in choices.items()
    }
    report(options, machine, found)
    return 0


def read_silence(option: str) -> TurnConfig:
    """Read `COMPLETE/ANY/UNFINISHED` or `ANY`, in milliseconds.

    Raises:
        ConfigError: If these are no end silences.
    """
    parts = option.split("/") if "/" in option else ["0", option, "0"]
    try:
        complete, any_other, unfinished = map(int, parts)
    except ValueError as error:
        raise ConfigError(
            "--silence: expected ANY or COMPLETE/ANY/UNFINISHED in ms, as 544 or "
            f"352/544/960, got {option!r}"
        ) from error
    return TurnConfig(
        end_silence_ms=any_other,
        end_silence_complete_ms=complete,
        end_silence_unfinished_ms=unfinished,
    )


def make_materials(
    options: argparse.Namespace, models: Models, vad: SileroVad
) -> Iterator[Material]:
    """Lay out the dialogues, whole and broken."""
    folder, rng = find_clips(options), np.random.default_rng(options.seed)
    pairs = read_pairs(folder, read_actors(options.actors))
    acted = make_dialogues(pairs, options.seed, options.fill)
    voices = read_readings(folder)
    read, again = (
        lay_out("read", voices * times, rng, options.fill, rest_alike)
        for times in (1, READ_AGAIN)
    )
    to_break = acted[:: options.broken_every], [again]
    broken = [
        [hesitate(one, models.whisper, rng, options.fill) for one in dialogues]
        for dialogues in to_break
    ]
    laid = acted, broken[0], [read], broken[1]
    for name, dialogues in zip(MATERIALS, laid, strict=True):
        yield Material(name, dialogues, [detect(one, vad) for one in dialogues])


def detect(dialogue: Dialogue, vad: SileroVad) -> list[float]:
    """Give the probability of a voice in each frame; turns do not change it."""
    samples = (dialogue.samples / 32_768).astype(np.float32)
    frames = [
        samples[at : at + FRAME_SAMPLES] for at in range(0, len(samples), FRAME_SAMPLES)
    ]
    [probabilities] = vad.detect([(vad.stream(), frames)])
    return probabilities


def play(material: Material, turns: TurnConfig, engine: MemoryEngine) -> Endpoints:
    """Hear dialogues with some end silences, and count."""
    outcomes: list[Outcome] = []
    for dialogue, known in zip(material.dialogues, material.probabilities, strict=True):
        turns_heard = hear(dialogue, known, turns, engine)
        outcomes += judge(match(dialogue.clips, turns_heard))
    waits = [one.wait_ms for one in outcomes if one.wait_ms is not None]
    return Endpoints(
        clips=len(outcomes),
        missed=float(np.mean([one.n_turns == 0 for one in outcomes])),
        cut_in=float(np.mean([one.n_turns > 1 for one in outcomes])),
        torn=float(np.mean([one.is_torn for one in outcomes])),
        merged=float(np.mean([one.is_merged for one in outcomes])),
        wait_ms=spread(waits),
    )


def hear(
    dialogue: Dialogue,
    probabilities: Sequence[float],
    turns: TurnConfig,
    engine: MemoryEngine,
) -> list[Turn]:
    """Send a dialogue through the whole recognizer; give its turns."""
    known = iter(probabilities)
    listener, director = open_session(
        events.SessionStart(audio=FORMAT, partials=False),
        session=dialogue.name,
        settings=Settings(turns=turns),
        probability=lambda _: next(known),
        conversation=Conversation(engine.empty_context()),
    )
    pipeline = Pipeline(listener, director, engine)
    sent = pipeline.push(dialogue.samples.tobytes())
    sent += pipeline.tell(events.SessionEnd())
    return gather([Arrival("", cast(events.ServerEvent, event), 0.0) for event in sent])


def judge(matches: Sequence[Match]) -> Iterator[Outcome]:
    """Say what became of each clip of a dialogue."""
    n_clips = Counter(turn.turn for one in matches for turn in one.turns)
    for one in matches:
        is_merged = any(n_clips[turn.turn] > 1 for turn in one.turns)
        wait_ms = None
        if one.turns and one.turns[-1].reason == "silence":
            decided_ms = one.turns[-1].decided_ms
            assert decided_ms is not None
            if n_clips[one.turns[-1].turn] == 1:
                wait_ms = decided_ms - to_ms(one.clip.voice_end)
        is_torn = sum(bool(turn.text) for turn in one.turns) > 1
        yield Outcome(len(one.turns), is_torn, is_merged, wait_ms)


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    found: dict[str, dict[str, Endpoints]],
) -> None:
    """Print the tables, the targets and the last line."""
    for name in MATERIALS:
        print_table(
            (f"{name}: end silence, ms", "clips", "cut in", "torn", "merged", "missed")
            + ("wait p50", "p95", "max"),
            [
                (silence, one.clips, one.cut_in, one.torn, one.merged, one.missed)
                + (one.wait_ms.p50, one.wait_ms.p95, one.wait_ms.max)
                for silence, materials in found.items()
                for one in [materials[name]]
            ],
        )
    acted = found[options.silence[-1]]["acted"]
    targets = [
        Target("acted: cut in, share", acted.cut_in, MAX_CUT_IN),
        Target("acted: wait p50, ms", acted.wait_ms.p50, MAX_WAIT_MS),
    ]
    print_targets(targets)
    figures = {
        silence: {name: asdict(one) for name, one in materials.items()}
        for silence, materials in found.items()
    }
    print_document("endpointing", describe(options, machine), figures, targets)


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_clips_parser(
        "benchmarks.endpointing", "How often turns are cut, against waiting."
    )
    parser.add_argument(
        "--silence",
        nargs="+",
        default=list(SILENCES),
        metavar="ANY or COMPLETE/ANY/UNFINISHED",
        help="end silences, ms; 0: as any other; the targets are the last one's "
        f"(default: {' '.join(SILENCES)})",
    )
    parser.add_argument(
        "--broken-every",
        type=read_every,
        default=BROKEN_EVERY,
        help="play one of so many acted dialogues broken, too (default: 4)",
    )
    return parser.parse_args()


def read_every(option: str) -> int:
    """Read one of how many."""
    if (every := int(option)) < 1:
        raise argparse.ArgumentTypeError(f"expected 1 or more, got {option}")
    return every


if __name__ == "__main__":
    exit_with(measure(read_options()))
