"""Half an hour at the pace of life with the real models: nothing lost, none grown."""

import asyncio
import random
import signal
import sys
import time
from bisect import bisect
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import AUDIO, start_server
from recording import (
    RATE_HZ,
    agree,
    as_pcm16,
    clip,
    join,
    metrics,
    of_type,
    page,
    pieces,
    record,
    results,
    silence,
    talk,
)

from benchmarks.serving import read_resident_mb

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
]

MINUTES = 30
WARM_MINUTES = 5  # until all that is kept is full
CHUNK_S = 0.04
LOOK_S = 5.0
MOST_GROWTH_MB = 5.0
FRAME_MS = 32
ROLL_MS = 250  # a turn may begin so long before its clip
PAUSES_S = (0.9, 4.0)
FINALS = ("turn.ended", "transcript.final", "emotion.final")


@dataclass(frozen=True)
class Talk:
    """What one session says.

    Attributes:
        samples: All of it.
        names: Of the clips, in order.
        starts_ms: Of the clips.
    """

    samples: np.ndarray
    names: list[str]
    starts_ms: list[float]


def compose(seed):
    """Say all clips there are in any order, and again, with pauses between."""
    dice = random.Random(seed)
    names = sorted(str(path.relative_to(AUDIO)) for path in AUDIO.glob("*/*.flac"))
    parts, said, starts_ms, n_samples = [silence(0.5)], [], [], RATE_HZ // 2
    while n_samples < MINUTES * 60 * RATE_HZ:
        for name in dice.sample(names, len(names)):
            said.append(name)
            starts_ms.append(n_samples * 1000 / RATE_HZ)
            parts += [clip(name), silence(dice.uniform(*PAUSES_S))]
            n_samples += len(parts[-2]) + len(parts[-1])
            if n_samples >= MINUTES * 60 * RATE_HZ:
                break
    return Talk(join(*parts), said, starts_ms)


async def live(url, said, begin_s, **wishes):
    """Say it, each piece when it is due; give every message until the close."""
    async with talk(url, dialing={"ping_timeout": None}, **wishes) as wire:

        async def speak():
            chunks = pieces(as_pcm16(said.samples), round(CHUNK_S * RATE_HZ) * 2)
            for number, chunk in enumerate(chunks, 1):
                await asyncio.sleep(begin_s + number * CHUNK_S - time.monotonic())
                await wire.say(chunk)
            await wire.say({"type": "session.end"})

        async with asyncio.TaskGroup() as group:
            group.create_task(speak())
            group.create_task(wire.hear_all())
    assert wire.close_code == 1000, wire.heard[-1]
    return wire.heard


async def weigh(process, begin_s):
    """Give (minutes, MB) of the server every few seconds, once it is warm."""
    status, weights = Path(f"/proc/{process.pid}/status"), []
    while (minutes := (time.monotonic() - begin_s) / 60) < MINUTES:
        if minutes >= WARM_MINUTES:
            weights.append((minutes, read_resident_mb(status)))
        await asyncio.sleep(LOOK_S)
    return weights


def check_once(heard):
    """Every turn has its end and both finals, once, in order; nothing went wrong."""
    assert [message["seq"] for message in heard] == list(range(len(heard)))
    n_turns = heard[-1]["turns"]
    for kind in FINALS:
        turns = [message["turn"] for message in of_type(heard, kind)]
        assert turns == list(range(n_turns)), kind
    assert not of_type(heard, "error", "warning")


def check_times(heard, said):
    """Every clip has its turns, which lie in it, and none drifts."""
    assert heard[-1]["audio_ms"] == len(said.samples) * 1000 // RATE_HZ
    halves = ({}, {})  # clip -> where in it its first turns start, ms
    found = {}
    turns = [of_type(heard, kind) for kind in ("turn.started", "turn.ended")]
    for started, ended in zip(*turns, strict=True):
        at = bisect(said.starts_ms, started["voice_start_ms"] + ROLL_MS) - 1
        length_ms = len(clip(said.names[at])) * 1000 / RATE_HZ
        assert ended["end_ms"] - said.starts_ms[at] <= length_ms + ROLL_MS
        found.setdefault(at, started["voice_start_ms"] - said.starts_ms[at])
    assert found.keys() == set(range(len(said.names)))
    for at, offset_ms in found.items():
        half = halves[2 * at >= len(said.names)]
        half.setdefault(said.names[at], []).append(offset_ms)
    # What was heard before moves a start; it does so both ways.
    drifts_ms = [
        np.mean(halves[1][name]) - np.mean(halves[0][name]) for name in halves[0]
    ]
    assert abs(np.median(drifts_ms)) <= FRAME_MS


async def hold(process, url):
    talks = [compose(seed) for seed in (1, 2)]
    begin_s = time.monotonic()
    one, other, weights = await asyncio.gather(
        live(url, talks[0], begin_s),
        live(url, talks[1], begin_s, partials=False),
        weigh(process, begin_s),
    )
    slope, _ = np.polyfit(*zip(*weights, strict=True), 1)
    grown_mb = slope * (MINUTES - WARM_MINUTES)
    print(f"{one[-1]['turns']} and {other[-1]['turns']} turns, {grown_mb:.1f} MB")
    print([f"{minutes:.1f}: {mb:.1f}" for minutes, mb in weights[::12]])
    for heard, said in zip((one, other), talks, strict=True):
        check_once(heard)
        check_times(heard, said)
    assert of_type(one, "transcript.partial") and not of_type(
        other, "transcript.partial"
    )
    assert grown_mb < MOST_GROWTH_MB
    return zip((one, other), talks, strict=True)


def test_half_an_hour_of_life_loses_nothing_and_is_what_it_is_at_once():
    process, url = start_server("--engine.hang_s", "300")  # machines of CI are slow
    try:
        for heard, said in asyncio.run(hold(process, url)):
            at_once = asyncio.run(record(url, [said.samples], partials=False))
            assert agree(results(heard), results(at_once))
        assert page(url, "/readyz")[0] == 200
        told = metrics(url)
        assert told[("stream_erc_sessions",)] == 0
        for name, value in told.items():
            assert not (value and name[0].endswith(("restarts_total", "errors_total")))
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(60)
        process.stdout.close()
    assert code == 0
