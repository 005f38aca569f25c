"""A client over a network that misbehaves: nothing lost, nothing twice."""

import asyncio
import random
import threading

import pytest
from recording import as_pcm16, join, silence, until_metric
from scripted_models import Loudness, ScriptedModels, conversation, sentence

from benchmarks.rough_network import rough_network
from clients import link, returning
from clients.connection import connect
from clients.errors import ConnectionLost
from clients.sources import FORMAT
from stream_erc import events

FRAME = 1024  # bytes

MOST_SAID = {  # the client's own method for each message of a script
    "context.add": lambda c, m: c.add_context(m["speaker"], m["text"]),
    "marker": lambda c, m: c.mark(m["id"]),
    "speaker.set": lambda c, m: c.set_speaker(m["speaker"]),
    "turn.flush": lambda c, m: c.flush_turn(),
}
KINDS = (
    events.TurnEnded,
    events.TranscriptFinal,
    events.EmotionFinal,
    events.Marker,
    events.SessionEnded,
)


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


@pytest.fixture
def served(serve, monkeypatch):
    """Gives a context manager that runs a server with scripted models."""
    monkeypatch.setattr(returning, "FIRST_DELAY_S", 0.002)
    monkeypatch.setattr(returning, "MAX_DELAY_S", 0.01)

    def run(**settings):
        return serve(ScriptedModels(), **{"drain_s": 0.2} | settings)

    return run


async def hold(url, script, *, between=None, **wishes):
    """Hold one session; gives its events and how often its socket was replaced.

    Args:
        between: Awaited before every frame of audio.
    """
    async with connect(url, audio=FORMAT, **wishes) as connection:

        async def speak():
            for item in script:
                if isinstance(item, dict):
                    await MOST_SAID[item["type"]](connection, item)
                    continue
                audio = as_pcm16(item)
                for at in range(0, len(audio), FRAME):
                    await (between or nothing)()
                    await connection.send_audio(audio[at : at + FRAME])
            await connection.end()

        async with asyncio.TaskGroup() as group:
            group.create_task(speak())
            heard = [event async for event in connection]
        return heard, connection.n_resumes


async def nothing():
    await asyncio.sleep(0)


def outcome(heard):
    """Finals, markers and the end, each kind in its order, without clocks.

    A turn may end before the finals of the one before it are there, or after.
    """
    clocks = {"seq", "latency", "time_ms"}
    found = {kind: [] for kind in KINDS}
    for event in heard:
        if type(event) in found:
            kept = {name: each for name, each in fields(event) if name not in clocks}
            found[type(event)].append(kept)
    return found


def fields(event):
    return [(name, getattr(event, name)) for name in event.__struct_fields__]


def in_order(heard):
    assert [event.seq for event in heard] == list(range(len(heard)))
    return heard


@pytest.mark.parametrize(
    ("n_drops", "n_turns"), [(40, 12), pytest.param(200, 60, marks=pytest.mark.slow)]
)
async def test_drops_over_a_conversation_cost_no_final_and_double_none(
    served, n_drops, n_turns
):
    script = conversation(n_turns)
    dice = random.Random(0)
    async with served() as (_, url):
        whole, _ = await hold(url, script, partials=False)
        async with rough_network(url) as network:
            network.budgets = [dice.randint(500, 30_000) for _ in range(n_drops)]
            heard, n_resumes = await hold(network.url, script)
            assert network.n_cuts == n_drops
    assert n_resumes > n_drops / 2
    assert len([e for e in whole if isinstance(e, events.EmotionFinal)]) > n_turns
    assert outcome(in_order(heard)) == outcome(in_order(whole))


@pytest.mark.parametrize("seed", range(8))
async def test_wherever_it_is_cut_even_in_the_first_and_the_last_message(served, seed):
    script = conversation(2)
    dice = random.Random(seed)
    async with served() as (_, url):
        whole, _ = await hold(url, script, partials=False)
        async with rough_network(url) as network:
            # The first one lives long enough to hear `session.started`.
            network.budgets = [dice.randint(1, 3000) for _ in range(40)]
            network.budgets += [dice.randint(3000, 200_000)]
            heard, _ = await hold(network.url, script, partials=False)
    assert outcome(in_order(heard)) == outcome(whole)


async def test_a_network_that_is_gone_for_a_while_costs_nothing(served):
    script = conversation(6)
    async with served() as (_, url):
        whole, _ = await hold(url, script, partials=False)
        async with rough_network(url) as network:
            n_frames = 0

            async def between():
                nonlocal n_frames
                n_frames += 1
                if n_frames == 100:
                    network.is_there = False
                    network.cut()
                if n_frames == 300:  # recorded all the while
                    network.is_there = True

            heard, n_resumes = await hold(
                network.url, script, between=between, partials=False
            )
    assert n_resumes == 1
    assert outcome(in_order(heard)) == outcome(whole)


async def test_a_network_that_stalls_and_then_breaks_costs_nothing(served):
    script = conversation(6)
    async with served() as (_, url):
        whole, _ = await hold(url, script, partials=False)
        async with rough_network(url) as network:
            n_frames = 0

            async def between():
                nonlocal n_frames
                n_frames += 1
                if n_frames == 100:
                    network.is_open.clear()
                if n_frames == 150:
                    network.cut()
                    network.is_open.set()

            heard, n_resumes = await hold(
                network.url, script, between=between, partials=False
            )
    assert n_resumes == 1
    assert outcome(in_order(heard)) == outcome(whole)


class HeldModels(ScriptedModels):
    """Recognizes nothing before it is let."""

    def __init__(self):
        self.is_free = threading.Event()

    def hear(self, requests):
        self.is_free.wait()
        return super().hear(requests)


async def test_a_drop_while_the_server_holds_the_audio_back_costs_nothing(serve):
    script = conversation(20)
    models = HeldModels()
    models.is_free.set()
    async with serve(models, drain_s=0.2) as (_, url):
        whole, _ = await hold(url, script, partials=False)
        models.is_free.clear()
        async with rough_network(url) as network:
            n_frames = 0

            async def between():
                nonlocal n_frames
                n_frames += 1
                if n_frames in (900, 1000, 1100):
                    # Ten turns and more are in, so a message in hand waits for room.
                    network.cut()
                    n_cuts = network.n_cuts
                    await until_metric(url, "stream_erc_resumes_total", value=n_cuts)
                if n_frames == 1200:
                    models.is_free.set()

            heard, n_resumes = await hold(
                network.url, script, between=between, partials=False
            )
    models.is_free.set()
    assert n_resumes == 3
    assert outcome(in_order(heard)) == outcome(whole)


async def test_a_slow_network_only_takes_longer(served):
    script = [join(sentence(0.4), silence(0.2))] * 2
    async with served() as (_, url):
        whole, _ = await hold(url, script, partials=False)
        async with rough_network(url) as network:
            network.bytes_per_s = 100_000
            network.budgets = [20_000]
            heard, n_resumes = await hold(network.url, script, partials=False)
    assert n_resumes == 1
    assert outcome(in_order(heard)) == outcome(whole)


# --- when it cannot be mended -----------------------------------------------------


async def test_a_client_that_cannot_come_back_in_time_is_told(served):
    async with served(resume_window_s=0.2) as (_, url):
        async with rough_network(url) as network:
            async with connect(network.url, audio=FORMAT) as connection:
                network.is_there = False
                network.cut()
                with pytest.raises(ConnectionLost, match=r"within 0\.2 s") as lost:
                    async for _ in connection:
                        pass
                with pytest.raises(ConnectionLost):
                    await connection.send_audio(b"\0\0")
    assert lost.value.code == "gave_up"


async def test_a_client_whose_session_is_gone_is_told(served):
    async with served() as (server, url), rough_network(url) as network:
        async with connect(network.url, audio=FORMAT) as connection:
            server._sessions._kept.clear()  # as if the server had been restarted
            network.cut()
            with pytest.raises(ConnectionLost, match="still kept") as lost:
                async for _ in connection:
                    pass
    assert lost.value.code == "resume_refused"


async def test_a_client_that_kept_too_little_says_so_and_does_not_shift_the_audio(
    served,
):
    async with served() as (_, url), rough_network(url) as network:
        async with connect(
            network.url, audio=FORMAT, max_kept_bytes=10_000
        ) as connection:
            network.is_open.clear()  # what is sent from here on goes nowhere
            for _ in range(30):
                await connection.send_audio(bytes(1000))
            network.cut()
            network.is_open.set()
            with pytest.raises(ConnectionLost, match="10000 bytes") as lost:
                async for _ in connection:
                    pass
    assert lost.value.code == "audio_lost"


@pytest.fixture
def outage(monkeypatch):
    """Gives a function that takes the network away and waits until it is missed."""

    async def begin(network):
        missed = asyncio.Event()

        def delays():
            missed.set()
            while True:
                yield 0.002

        monkeypatch.setattr(link, "delays", delays)
        network.is_there = False
        network.cut()
        await missed.wait()

    return begin


async def test_without_a_socket_a_client_keeps_so_much_and_then_waits(served, outage):
    async with served() as (_, url), rough_network(url) as network:
        async with connect(
            network.url, audio=FORMAT, max_kept_bytes=10_000
        ) as connection:
            await outage(network)
            for _ in range(10):
                await connection.send_audio(bytes(1000))
            more = asyncio.create_task(connection.send_audio(bytes(1000)))
            await asyncio.wait([more], timeout=0.05)
            assert not more.done()
            network.is_there = True
            await more
            await connection.end()
            *_, last = [event async for event in connection]
    assert last.audio_ms == 11_000 // 32


async def test_what_comes_without_a_socket_does_not_push_out_what_was_on_its_way(
    served, outage
):
    async with served() as (_, url), rough_network(url) as network:
        async with connect(
            network.url, audio=FORMAT, max_kept_bytes=10_000
        ) as connection:
            network.is_open.clear()
            await connection.send_audio(bytes(9000))
            await outage(network)
            await connection.send_audio(bytes(9000))
            network.is_there = True
            network.is_open.set()
            await connection.end()
            *_, last = [event async for event in connection]
    assert last.audio_ms == 18_000 // 32
