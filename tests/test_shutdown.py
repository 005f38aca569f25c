"""How a server ends: it finishes what it can, tells what it cannot, and does end."""

import asyncio
import os
import signal
import subprocess
import sys
import threading

import pytest
from recording import (
    TIMEOUT_S,
    as_pcm16,
    join,
    of_type,
    page,
    silence,
    talk,
)
from scripted_models import Loudness, ScriptedModels, sentence

from stream_erc.config import Settings

N_TURNS = 5
SPEECH = as_pcm16(join(*[sentence(0.6), silence(0.8)] * N_TURNS))


@pytest.fixture
def vad():
    return Loudness()


class Held(ScriptedModels):
    """Models whose recognizer waits until it is let go."""

    def __init__(self):
        self._is_free = threading.Event()
        self.n_heard = 0

    def hear(self, requests):
        self.n_heard += 1
        self._is_free.wait()
        return super().hear(requests)

    def let_go(self):
        self._is_free.set()


@pytest.fixture
def held():
    models = Held()
    yield models
    models.let_go()


async def until_not_ready(url):
    """Wait until the server says that it shuts down."""
    async with asyncio.timeout(TIMEOUT_S):
        while await asyncio.to_thread(page, url, "/readyz") != (503, "shutting down\n"):
            pass


async def say_all_turns(wire):
    await wire.say(SPEECH)
    for _ in range(N_TURNS):
        await wire.hear_until("turn.ended")


def assert_cut(wire):
    """The client was told that its last turns are lost, in order, and why."""
    heard = wire.heard
    assert (heard[-1]["type"], heard[-1]["code"]) == ("error", "shutting_down")
    assert heard[-1]["recoverable"] is False
    assert [message["seq"] for message in heard] == list(range(len(heard)))
    assert not of_type(heard, "transcript.final", "session.ended")
    assert wire.close_code == 1001


async def test_what_was_queued_is_finished_while_there_is_time(serve, held):
    async with serve(held) as (_, url), talk(url, partials=False) as wire:
        await say_all_turns(wire)
        signal.raise_signal(signal.SIGTERM)
        await until_not_ready(url)
        held.let_go()
        heard = await wire.hear_all()
        assert [m["turn"] for m in of_type(heard, "emotion.final")] == [*range(N_TURNS)]
        assert heard[-1]["type"] == "session.ended"
        assert wire.close_code == 1001


async def test_what_is_queued_when_the_time_is_over_is_dropped_and_told(serve, held):
    async with serve(held, drain_s=0.05) as (_, url):
        async with talk(url, partials=False) as wire:
            await say_all_turns(wire)
            signal.raise_signal(signal.SIGTERM)
            await wire.hear_all()
        assert_cut(wire)
        held.let_go()
    assert held.n_heard <= Settings().asr.n_workers


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
async def test_a_second_signal_ends_the_waiting(serve, held, second):
    async with serve(held, drain_s=1000.0) as (_, url):
        async with talk(url, partials=False) as wire:
            await say_all_turns(wire)
            signal.raise_signal(signal.SIGTERM)
            await until_not_ready(url)
            signal.raise_signal(second)
            await wire.hear_all()
        assert_cut(wire)


async def test_a_second_signal_cuts_a_client_that_does_not_answer_the_closing(
    serve, held
):
    async with serve(held, drain_s=1000.0) as (_, url):
        async with talk(url, partials=False) as wire:
            wire.socket.transport.pause_reading()
            for _ in range(2):
                signal.raise_signal(signal.SIGTERM)
                await until_not_ready(url)
            with pytest.raises(OSError):
                while True:  # until the port is closed
                    await asyncio.to_thread(page, url, "/healthz")
            wire.socket.transport.abort()  # or the test's own closing would wait


HANGING = """
import threading
import scripted_process
from scripted_models import ScriptedModels
ScriptedModels.hear = lambda self, requests: threading.Event().wait()
scripted_process.run("serve", "--port", "0", "--server.drain_s", "1000")
"""


@pytest.fixture
def hanging():
    """A server whose recognizer never answers; its process and its address."""
    process = subprocess.Popen(
        [sys.executable, "-uc", HANGING],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process, process.stdout.readline().split()[-1]
    process.kill()
    process.wait()
    process.stdout.close()


async def test_a_model_that_hangs_does_not_keep_the_process(hanging):
    process, url = hanging
    async with talk(url, partials=False) as wire:
        await wire.say(as_pcm16(join(sentence(0.6), silence(0.8))))
        await wire.hear_until("turn.ended")
        process.send_signal(signal.SIGTERM)
        await until_not_ready(url)
        process.send_signal(signal.SIGTERM)
        await wire.hear_all()
    assert_cut(wire)
    assert await asyncio.to_thread(process.wait, TIMEOUT_S) == 0


async def test_a_server_that_fails_leaves_no_thread_behind(serve):
    before = set(threading.enumerate())
    with pytest.raises(ExceptionGroup):
        async with serve(ScriptedModels()) as (_, url), talk(url) as wire:
            await wire.say(as_pcm16(sentence(0.6)))
            await wire.hear_until("turn.started")
            raise ZeroDivisionError
    left = set(threading.enumerate()) - before
    for thread in left:
        await asyncio.to_thread(thread.join, TIMEOUT_S)
    assert not [thread for thread in left if thread.is_alive()]
