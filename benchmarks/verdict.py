"""Events of a session -> how many of its finals are lost, doubled, or others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import numpy as np

from benchmarks.dialogues import COMMITTED
from clients.connection import connect
from clients.errors import ConnectionLost
from clients.sources import FORMAT, RATE_HZ, decode
from stream_erc import events

CHUNK_BYTES = 1280  # 40 ms
PAUSE_S = 0.8
FINALS = (events.TranscriptFinal, events.EmotionFinal)
WITHOUT_MODEL = ("not_transcribed", "not_judged")


@dataclass(frozen=True, slots=True)
class Scene:
    """What every session says, and what it is told where nothing goes wrong.

    Attributes:
        turns: PCM of each, with a pause behind it.
        words: Of each turn that the server finds.
    """

    turns: tuple[bytes, ...]
    words: tuple[str, ...] = ()

    @property
    def audio(self) -> bytes:
        """All of it."""
        return b"".join(self.turns)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of the finals of some sessions.

    Attributes:
        expected: Both finals of every turn.
        lost: Of these, that did not come.
        doubled: That came again.
        altered: Turns with other words than without the fault.
        without_model: Turns that were told without words or emotion, and said so.
    """

    expected: int = 0
    lost: int = 0
    doubled: int = 0
    altered: int = 0
    without_model: int = 0

    def __add__(self, other: Verdict) -> Verdict:
        """Count two sessions as one."""
        sums = {name: one + asdict(other)[name] for name, one in asdict(self).items()}
        return Verdict(**sums)


def read_scene(n_turns: int) -> Scene:
    """Take so many of the committed clips, each followed by a pause."""
    files = sorted((COMMITTED / "ravdess").glob("*.flac"))
    pause = np.zeros(round(PAUSE_S * RATE_HZ), np.int16)
    return Scene(
        tuple(
            np.concatenate([decode(files[n % len(files)]), pause]).tobytes()
            for n in range(n_turns)
        )
    )


async def converse(
    url: str,
    audio: bytes,
    *,
    chunk_s: float = 0.0,
    heard: list[events.ServerEvent] | None = None,
) -> list[events.ServerEvent]:
    """Say all of it; give what came, whether the session came to its end or not.

    Args:
        url: Of the server.
        audio: PCM.
        chunk_s: Waited before every chunk; 0: as fast as it is taken.
        heard: Takes what comes, as it comes.

    Raises:
        ConnectionFailed: If the session is not let in.
    """
    heard = [] if heard is None else heard
    async with connect(url, audio=FORMAT) as connection:

        async def speak() -> None:
            with suppress(ConnectionLost):  # told to who listens
                for at in range(0, len(audio), CHUNK_BYTES):
                    await asyncio.sleep(chunk_s)
                    await connection.send_audio(audio[at : at + CHUNK_BYTES])
                await connection.end()

        speaking = asyncio.create_task(speak(), name="speak")
        with suppress(ConnectionLost):
            async for event in connection:
                heard.append(event)
        speaking.cancel()
    return heard


def judge(heard: Iterable[events.ServerEvent], words: Sequence[str]) -> Verdict:
    """Hold what one session was told against what it should have been told."""
    came: Counter[tuple[type, int]] = Counter()
    told: dict[int, str] = {}
    n_without: Counter[str] = Counter()
    for event in heard:
        if isinstance(event, FINALS):
            came[type(event), event.turn] += 1
        if isinstance(event, events.TranscriptFinal):
            told[event.turn] = event.text
        if isinstance(event, events.Warn) and event.code in WITHOUT_MODEL:
            n_without[event.code] += 1
    wanted = {(kind, turn) for kind in FINALS for turn in range(len(words))}
    n_other = sum(told.get(turn, text) != text for turn, text in enumerate(words))
    return Verdict(
        expected=len(wanted),
        lost=len(wanted - set(came)),
        doubled=sum(count - 1 for count in came.values()) + len(set(came) - wanted),
        altered=n_other - n_without["not_transcribed"],
        without_model=n_without.total(),
    )


@dataclass(frozen=True, slots=True)
class Injection:
    """A fault, as often as it was injected, and what became of it.

    Attributes:
        n_injected: How often.
        n_survived: How often whoever was to go on went on.
        verdict: Of all sessions that were to be served.
        note: What else is worth telling.
        figures: What was measured besides, by name.
    """

    n_injected: int
    n_survived: int
    verdict: Verdict
    note: str = ""
    figures: Mapping[str, float | None] = field(default_factory=dict)


def has_ended(heard: Sequence[events.ServerEvent]) -> bool:
    """Tell whether a session came to its good end."""
    return bool(heard) and isinstance(heard[-1], events.SessionEnded)
