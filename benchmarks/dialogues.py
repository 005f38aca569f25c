"""Clips -> dialogues on one stream, and the truth about every clip in them.

RAVDESS has its clips in silence; here two actors take turns with them. What lies
between two voices is a pause of a drawn length, filled with digital zeros or with
noise of one bit; nothing else is added and nothing is made louder.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, cycle
from pathlib import Path
from typing import Literal

import msgspec
import numpy as np

from clients.sources import RATE_HZ, Pcm16, decode
from offline.corpora.collected import read_collected_ravdess
from offline.corpora.findings import Findings
from offline.corpora.sources import read_rows
from stream_erc.errors import ConfigError

COMMITTED = Path(__file__).parents[1] / "tests" / "audio"
MARGIN_S = 0.1  # of a clip, kept on each side of the voice
PAUSE_S = (0.8, 1.4)  # voice to voice, drawn evenly
READING_PAUSE_S = 1.5  # between clips of read speech
TAIL_S = 1.5  # after the last voice: its turn ends by silence, as all others do
CLIPS_PER_DIALOGUE = 16


class Reading(msgspec.Struct, frozen=True):
    """A line of `speech/`."""

    file: str
    text: str
    source: str


Filling = Literal["noise", "zeros"]

Pause = Callable[[np.random.Generator, float], float]
"""Draws how many seconds are silent before a voice of so many seconds."""


@dataclass(frozen=True, slots=True)
class Voice:
    """A recorded clip, and what is known of it.

    Attributes:
        file: The recording.
        speaker: Who speaks.
        text: The words, as the corpus has them.
        emotion: One of the seven; None where nobody said.
        start_s: Where the voice starts in the file.
        end_s: Where it ends; None: at the end of the file.
    """

    file: Path
    speaker: str
    text: str
    emotion: str | None
    start_s: float = 0.0
    end_s: float | None = None


@dataclass(frozen=True, slots=True)
class Clip:
    """The truth about one voice on the stream; times in samples.

    Attributes:
        voice: What was laid there.
        start: First sample of the trimmed recording.
        end: One past its last.
        voice_start: First sample of the voice.
        voice_end: One past its last.
    """

    voice: Voice
    start: int
    end: int
    voice_start: int
    voice_end: int


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A stream to play, and what is in it.

    Attributes:
        name: For tables.
        samples: Shape (n_samples,), 16 kHz, mono.
        clips: In order.
    """

    name: str
    samples: Pcm16
    clips: tuple[Clip, ...]


def to_ms(samples: int) -> float:
    """Give a sample count in milliseconds."""
    return samples * 1000 / RATE_HZ


def read_actors(option: str) -> list[int]:
    """Read `21-24` or `21,22` into the actors' numbers.

    Raises:
        ConfigError: If that is no even number of actors.
    """
    first, _, last = option.partition("-")
    try:
        actors = (
            list(range(int(first), int(last) + 1))
            if last
            else [int(part) for part in option.split(",")]
        )
    except ValueError:
        actors = []
    if not actors or len(actors) % 2:
        raise ConfigError(
            f"--actors: expected an even number of actors, as 21-24, got {option!r}"
        )
    return actors


def read_pairs(folder: Path, actors: Sequence[int]) -> list[tuple[list[Voice], ...]]:
    """Give the clips of each two neighbouring actors, one list an actor.

    Args:
        folder: Holds `ravdess/clips.jsonl`.
        actors: Numbers; an even count of them.

    Raises:
        ConfigError: If an actor has no clips there.
    """
    splits = read_collected_ravdess(folder / "ravdess", Findings(strict=True))
    voices: dict[int, list[Voice]] = {actor: [] for actor in actors}
    for utterance in chain.from_iterable(splits.values()):
        actor = int(utterance.speaker.removeprefix("actor"))
        if actor in voices:
            assert utterance.audio is not None and utterance.start_s is not None
            voices[actor].append(
                Voice(
                    file=Path(utterance.audio),
                    speaker=utterance.speaker,
                    text=utterance.text or "",
                    emotion=utterance.emotion,
                    start_s=utterance.start_s,
                    end_s=utterance.end_s,
                )
            )
    for actor, found in voices.items():
        if not found:
            raise ConfigError(f"{folder}: expected clips of actor {actor}, got none")
    lists = list(voices.values())
    return list(zip(lists[::2], lists[1::2], strict=True))


def read_readings(folder: Path) -> list[Voice]:
    """Give the clips of read speech; all of a file counts as voice.

    Raises:
        ConfigError: If `speech/clips.jsonl` is missing or lacks a field.
    """
    file = folder / "speech" / "clips.jsonl"
    return [
        Voice(file.parent / row.file, row.source, row.text, None)
        for _, row in read_rows(file, Reading, Findings(strict=True))
    ]


def alternate(pair: Sequence[Sequence[Voice]], rng: np.random.Generator) -> list[Voice]:
    """Shuffle each speaker's clips and let the speakers take turns.

    Where one has more clips than the other, the rest of them follow in a row.
    """
    queues = [[voices[i] for i in rng.permutation(len(voices))] for voices in pair]
    order: list[Voice] = []
    for number in range(max(map(len, queues))):
        order += [queue[number] for queue in queues if number < len(queue)]
    return order


def make_dialogues(
    pairs: Sequence[Sequence[Sequence[Voice]]], seed: int, filling: Filling
) -> list[Dialogue]:
    """Lay every clip once, in dialogues of about `CLIPS_PER_DIALOGUE`."""
    dialogues = []
    for pair_number, pair in enumerate(pairs):
        rng = np.random.default_rng([seed, pair_number])
        order = alternate(pair, rng)
        n_dialogues = max(1, round(len(order) / CLIPS_PER_DIALOGUE))
        cuts = [len(order) * n // n_dialogues for n in range(n_dialogues + 1)]
        for begin, end in zip(cuts, cuts[1:], strict=False):
            name = "+".join(voices[0].speaker for voices in pair)
            dialogues.append(
                lay_out(f"{name} {begin}-{end - 1}", order[begin:end], rng, filling)
            )
    return dialogues


def make_sessions(
    pairs: Sequence[Sequence[Sequence[Voice]]],
    n_sessions: int,
    duration_s: float,
    seed: int,
    filling: Filling,
) -> list[Dialogue]:
    """Give each session a dialogue of its own, just longer than `duration_s`.

    Where there are too few clips, they come again, in the same order.
    """
    dialogues = []
    for number in range(n_sessions):
        rng = np.random.default_rng([seed, number])
        order = alternate(pairs[number % len(pairs)], rng)
        voices = list(take_for(duration_s, order))
        dialogues.append(lay_out(f"session {number}", voices, rng, filling))
    return dialogues


def take_for(duration_s: float, voices: Sequence[Voice]) -> Iterator[Voice]:
    """Give so many clips, again and again, that they last `duration_s` with pauses."""
    laid_s = 0.0
    for voice in cycle(voices):
        yield voice
        assert voice.end_s is not None
        laid_s += voice.end_s - voice.start_s + sum(PAUSE_S) / 2
        if laid_s >= duration_s:
            return


def draw_evenly(rng: np.random.Generator, _voice_s: float) -> float:
    """Draw a pause of `PAUSE_S`, however long the voice is."""
    return rng.uniform(*PAUSE_S)


def rest_alike(_rng: np.random.Generator, _voice_s: float) -> float:
    """Give the pause between clips of read speech: always the same."""
    return READING_PAUSE_S


def lay_out(
    name: str,
    voices: Sequence[Voice],
    rng: np.random.Generator,
    filling: Filling,
    pause: Pause = draw_evenly,
) -> Dialogue:
    """Lay clips one after another, a pause before each and `TAIL_S` at the end.

    Args:
        name: Of the dialogue.
        voices: In order.
        rng: Draws the pauses and the noise.
        filling: What the pauses hold.
        pause: From voice to voice.
    """
    parts: list[Pcm16] = []
    clips: list[Clip] = []
    position = voice_end = 0
    for voice in voices:
        samples, voiced_from, voiced_to = trim(voice)
        voice_s = (voiced_to - voiced_from) / RATE_HZ
        silent = round(pause(rng, voice_s) * RATE_HZ)
        start = max(position, voice_end + silent - voiced_from)
        voice_end = start + voiced_to
        clips.append(
            Clip(voice, start, start + len(samples), start + voiced_from, voice_end)
        )
        parts += [fill(start - position, rng, filling), samples]
        position = start + len(samples)
    parts.append(fill(round(TAIL_S * RATE_HZ), rng, filling))
    return Dialogue(name, np.concatenate(parts), tuple(clips))


@cache  # sessions share the clips
def trim(voice: Voice) -> tuple[Pcm16, int, int]:
    """Cut a recording to its voice and `MARGIN_S` on each side.

    Returns:
        The samples, where in them the voice starts, and where it has ended.
    """
    samples = decode(voice.file)
    voice_start = round(voice.start_s * RATE_HZ)
    voice_end = (
        len(samples)
        if voice.end_s is None
        else min(len(samples), round(voice.end_s * RATE_HZ))
    )
    margin = round(MARGIN_S * RATE_HZ)
    begin = max(0, voice_start - margin)
    end = min(len(samples), voice_end + margin)
    return samples[begin:end], voice_start - begin, voice_end - begin


def fill(n_samples: int, rng: np.random.Generator, filling: Filling) -> Pcm16:
    """Make what lies between two clips."""
    if filling == "zeros":
        return np.zeros(n_samples, np.int16)
    return rng.integers(-1, 2, n_samples).astype(np.int16)  # -1, 0 or 1
