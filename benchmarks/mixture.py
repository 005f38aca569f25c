"""Clips -> what many people say at once: sessions as different as they are in life.

Of every four sessions one is a single speaker who also reads, one is two people who
take turns at one microphone, and two are the two ends of one conversation, a socket
each. Half of the time there is voice: each session draws its own share of 40 to 60 %,
and long turns are followed by long pauses.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.dialogues import (
    Dialogue,
    Filling,
    Pause,
    Voice,
    alternate,
    lay_out,
    read_pairs,
    read_readings,
    trim,
)
from benchmarks.playing import Speakers
from clients.sources import RATE_HZ

VOICE_SHARE = (0.4, 0.6)
MIN_PAUSE_S = 0.8  # a shorter one might not end the turn
PAUSE_JITTER = (0.6, 1.4)  # of the pause that the share asks for
READING_EVERY = 4  # clips of a single speaker: turns of 2 to 11 s among those of 2 s


@dataclass(frozen=True, slots=True)
class Part:
    """What one session plays.

    Attributes:
        dialogue: The audio.
        speakers: Whether the speakers are told.
        conversation_id: Shared by the two ends of a conversation; None: its own.
    """

    dialogue: Dialogue
    speakers: Speakers
    conversation_id: str | None


@dataclass(frozen=True, slots=True)
class Material:
    """What there is to say.

    Attributes:
        pairs: Clips of two actors each, one list an actor.
        readings: Read speech.
    """

    pairs: Sequence[tuple[list[Voice], ...]]
    readings: Sequence[Voice]


def read_material(folder: Path, actors: Sequence[int]) -> Material:
    """Find the clips.

    Raises:
        ConfigError: If they are not there.
    """
    return Material(read_pairs(folder, actors), read_readings(folder))


def cast(
    material: Material,
    durations_s: Sequence[float],
    seed: int,
    filling: Filling,
) -> list[Part]:
    """Give each session its part, just longer than its duration.

    The same number of session always plays the same, however many others there are.
    """
    parts = []
    for number, duration_s in enumerate(durations_s):
        rng = np.random.default_rng([seed, number])
        kind, pair = number % 4, material.pairs[number // 4 % len(material.pairs)]
        if kind == 1:
            voices = alternate(pair, rng)
        else:
            voices = add_readings(alternate([pair[kind % 2]], rng), material, rng)
        share = rng.uniform(*VOICE_SHARE)
        dialogue = lay_out(
            f"session {number}",
            list(take_for(duration_s, voices, share)),
            rng,
            filling,
            pause_for(share),
        )
        conversation_id = f"conversation {number // 4}" if kind >= 2 else None
        parts.append(Part(dialogue, "set" if kind == 1 else "never", conversation_id))
    return parts


def add_readings(
    voices: Sequence[Voice], material: Material, rng: np.random.Generator
) -> list[Voice]:
    """Put a reading after every few clips, another one each time."""
    order = cycle(rng.permutation(len(material.readings)))
    mixed: list[Voice] = []
    for number, voice in enumerate(voices, start=1):
        mixed.append(voice)
        if number % (READING_EVERY - 1) == 0:
            mixed.append(material.readings[next(order)])
    return mixed


def take_for(
    duration_s: float, voices: Sequence[Voice], share: float
) -> Iterator[Voice]:
    """Give so many clips, again and again, that they last with their pauses."""
    laid_s = 0.0
    for voice in cycle(voices):
        yield voice
        voice_s = length_s(voice)
        laid_s += voice_s + silence_s(voice_s, share)
        if laid_s >= duration_s:
            return


def length_s(voice: Voice) -> float:
    """Tell how long a voice lasts."""
    _, voiced_from, voiced_to = trim(voice)
    return (voiced_to - voiced_from) / RATE_HZ


def silence_s(voice_s: float, share: float) -> float:
    """Tell how long the pause beside a voice is on average."""
    return max(MIN_PAUSE_S, voice_s * (1 - share) / share)


def pause_for(share: float) -> Pause:
    """Draw pauses that leave the voice its share of the time."""
    return partial(draw_pause, share)


def draw_pause(share: float, rng: np.random.Generator, voice_s: float) -> float:
    """Draw the pause before a voice."""
    jitter = rng.uniform(*PAUSE_JITTER)
    return max(MIN_PAUSE_S, silence_s(voice_s, share) * jitter)
