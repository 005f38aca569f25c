"""Faults between client and server: a network that misbehaves, a slow reader."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.rough_network import RoughNetwork, rough_network
from benchmarks.serving import serving
from benchmarks.verdict import Injection, Scene, converse, has_ended, judge
from clients.arrival import parse
from clients.opening import open_socket
from clients.sources import FORMAT
from stream_erc import events

CHUNK_S = 0.02  # twice the pace of life: the faults need a session that lasts
DROP_S = (0.1, 0.4)  # between two of them
STALL_S, N_STALLS = 1.0, 5
SLOW_BYTES_PER_S = 100_000
CUT_BYTES = (2000, 40_000)  # carried before a cut
OPENING_BYTES = 30_000  # so many at first, so that the session is opened
SLEEP_S = 3.0  # of a reader
YAWN_S = 0.01  # between two messages that it reads
N_PINGS, PING_CHARACTERS = 200, 100_000


@asynccontextmanager
async def misbehaving() -> AsyncIterator[RoughNetwork]:
    """Run a server behind a network."""
    async with serving() as server, rough_network(server.url) as network:
        yield network


async def drop(scene: Scene, n_drops: int) -> Injection:
    """Cut the socket at any time, the last finals' included."""
    dice = random.Random(0)

    async with misbehaving() as network:
        talk = asyncio.create_task(converse(network.url, scene.audio, chunk_s=CHUNK_S))
        while not talk.done() and network.n_cuts < n_drops:
            await asyncio.sleep(dice.uniform(*DROP_S))
            network.cut()
        heard = await talk
    return conclude(heard, scene, network.n_cuts)


async def cut_within(scene: Scene, n_cuts: int) -> Injection:
    """Cut after any number of bytes: within frames of audio, mostly."""
    dice = random.Random(0)
    async with misbehaving() as network:
        network.budgets = [dice.randint(*CUT_BYTES) for _ in range(n_cuts - 1)]
        network.budgets.append(OPENING_BYTES)
        heard = await converse(network.url, scene.audio)
    return conclude(heard, scene, network.n_cuts)


async def stall(scene: Scene) -> Injection:
    """Carry nothing for a while, again and again; cut the last time."""
    async with misbehaving() as network:
        talk = asyncio.create_task(converse(network.url, scene.audio, chunk_s=CHUNK_S))
        for number in range(N_STALLS):
            await asyncio.sleep(STALL_S)
            network.is_open.clear()
            await asyncio.sleep(STALL_S)
            if number == N_STALLS - 1:
                network.cut()
            network.is_open.set()
        heard = await talk
    return conclude(heard, scene, N_STALLS)


async def slow_down(scene: Scene) -> Injection:
    """Carry little."""
    async with misbehaving() as network:
        network.bytes_per_s = SLOW_BYTES_PER_S
        heard = await converse(network.url, scene.audio)
    return conclude(heard, scene, 1)


def conclude(
    heard: list[events.ServerEvent], scene: Scene, n_injected: int
) -> Injection:
    """Survived are all faults of a session that came to its end, or none."""
    n_survived = n_injected if has_ended(heard) else 0
    return Injection(n_injected, n_survived, judge(heard, scene.words))


async def read_slowly(scene: Scene) -> Injection:
    """Cause megabytes of answers, sleep, then read them one by one."""
    heard: list[events.ServerEvent] = []
    n_characters = 0
    async with serving() as server:
        socket = await open_socket(server.url)
        try:
            saying = asyncio.create_task(say(socket, scene.audio), name="say")
            await asyncio.sleep(SLEEP_S)
            with suppress(ConnectionClosed):
                while True:
                    text = str(await socket.recv())
                    n_characters += len(text)
                    event = parse(text)
                    assert not isinstance(event, events.SessionResumed)
                    if event is not None:
                        heard.append(event)
                    await asyncio.sleep(YAWN_S)
            saying.cancel()
        finally:
            await socket.close()
    injection = conclude(heard, scene, 1)
    note = f"{n_characters / 1e6:.0f} MB of answers read late"
    return Injection(1, injection.n_survived, injection.verdict, note)


async def say(socket: ClientConnection, audio: bytes) -> None:
    """Say everything, and ask for large answers between."""
    await socket.send(events.encode(events.SessionStart(audio=FORMAT)))
    step = len(audio) // N_PINGS // 2 * 2 + 2
    for number in range(N_PINGS):
        await socket.send(audio[number * step : (number + 1) * step])
        identifier = f"{number:0{PING_CHARACTERS}}"
        await socket.send(events.encode(events.Ping(id=identifier)))
    await socket.send(events.encode(events.SessionEnd()))
