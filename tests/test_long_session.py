"""Hours of one session, as fast as it goes: times stay exact, and nothing grows."""

import asyncio
import gc
import json
import random
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest
from director_cases import answer
from recording import MONO_16K, RATE_HZ, as_pcm16, join, silence
from scripted_models import sentence
from simulated import DelayedEngine, SimulatedLoop, World

from stream_erc.config import Settings
from stream_erc.engine import UnderstandRequest

FRAME_MS = 32
MOST_GROWTH_BYTES = 5 << 20
TURN = join(silence(0.6), sentence(1.7), silence(0.801))  # no whole number of frames
VOICE_MS = 600
TURN_MS = len(TURN) * 1000 / RATE_HZ
CONTEXT_TURNS = 24

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def forgetful(request):
    """As the model, whose context is bounded."""
    if isinstance(request, UnderstandRequest):
        request = replace(request, context=request.context[-CONTEXT_TURNS:])
    return answer(request)


class Listener:
    """A client that speaks in the same rhythm for hours, and remembers nothing."""

    def __init__(self, socket):
        self._socket = socket
        self._n_seen = 0
        self.n_turns = self.n_finals = self.n_markers = 0
        self.last = None

    async def speak(self, n_turns):
        audio = as_pcm16(TURN)
        for _ in range(n_turns):
            await self._socket.say(audio[: len(audio) // 3])
            await self._socket.say(audio[len(audio) // 3 :])
            self.n_turns += 1
            await self._socket.say(f'{{"type": "marker", "id": {self.n_turns}}}')
            self.take()

    def take(self):
        for text in self._socket.heard:
            message = self.last = json.loads(text)
            assert message["seq"] == self._n_seen
            self._n_seen += 1
            self._check(message)
        self._socket.heard.clear()

    def _check(self, message):
        match message["type"]:
            case "turn.started":
                said_ms = message["turn"] * TURN_MS + VOICE_MS
                assert abs(message["voice_start_ms"] - said_ms) <= FRAME_MS
            case "emotion.final":
                assert message["turn"] == message["context_seq"] == self.n_finals
                self.n_finals += 1
            case "marker":
                self.n_markers += 1
                assert message["id"] == self.n_markers
                assert abs(message["time_ms"] - self.n_markers * TURN_MS) <= 1
            case "error" | "warning":
                assert message["code"] == "held_back"


def weigh():
    """Give bytes in memory, and objects."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096, len(gc.get_objects())


async def hold(monkeypatch, n_turns):
    world = World(Settings(), monkeypatch)
    world.dice(random.Random(0))
    monkeypatch.setattr(DelayedEngine, "answer", staticmethod(forgetful))
    socket = world.dial()
    await socket.say(json.dumps({"type": "session.start", "audio": MONO_16K}))
    client = Listener(socket)
    await client.speak(n_turns // 10)  # until all that is kept is full
    before_bytes, n_before = weigh()
    await client.speak(n_turns - n_turns // 10)
    after_bytes, n_after = weigh()
    await socket.say('{"type": "session.end"}')
    await socket.until_closed()
    client.take()
    assert client.n_finals == client.n_markers == client.n_turns == n_turns
    assert client.last["type"] == "session.ended"
    assert client.last["turns"] == n_turns
    assert client.last["audio_ms"] == round(n_turns * TURN_MS)
    await world.until_empty()
    print(f"{n_turns} turns: {after_bytes - before_bytes} bytes, {n_after - n_before}")
    assert n_after - n_before < 2000
    assert after_bytes - before_bytes < MOST_GROWTH_BYTES


def run_alone(n_turns):
    with (
        pytest.MonkeyPatch.context() as monkeypatch,
        asyncio.Runner(loop_factory=SimulatedLoop) as runner,
    ):
        runner.run(hold(monkeypatch, n_turns))


@pytest.mark.parametrize(
    "hours", [0.1, pytest.param(8, marks=pytest.mark.slow)], ids=lambda h: f"{h} h"
)
def test_a_long_session_is_exact_to_its_end_and_does_not_grow(hours):
    n_turns = round(hours * 3_600_000 / TURN_MS)
    # In a process of its own: what other tests left in this one is weighed, too.
    with ProcessPoolExecutor(1, get_context("spawn")) as alone:
        alone.submit(run_alone, n_turns).result()
