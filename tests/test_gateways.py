"""Several servers behind a real HAProxy: who comes where, and what a shutdown does."""

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio
from recording import TIMEOUT_S, as_pcm16, clip, join, metrics, page, pieces, silence
from talking import CUTTER, MODERN, SAD

from clients.connection import connect
from clients.errors import ConnectionFailed
from clients.sources import FORMAT
from stream_erc import events

CONFIG = Path(__file__).parents[1] / "docs" / "operate" / "haproxy.cfg"
HAPROXY = shutil.which("haproxy", path=f"{os.environ['PATH']}:/usr/sbin")
N_GATEWAYS = 3
MOST_SESSIONS = 10  # of a gateway
TURNS = [join(clip(name), silence(0.8)) for name in (MODERN, SAD, CUTTER)]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        HAPROXY is None, reason="wants HAProxy: apt-get install haproxy"
    ),
]


@dataclass(frozen=True)
class Gateway:
    process: subprocess.Popen
    url: str

    def n_sessions(self):
        return metrics(self.url)["stream_erc_sessions",]


@dataclass(frozen=True)
class Site:
    """The gateways, and the address that they share."""

    gateways: list
    url: str

    async def count(self):
        """Give how many sessions each gateway has."""
        counted = (asyncio.to_thread(one.n_sessions) for one in self.gateways)
        return [int(n) for n in await asyncio.gather(*counted)]

    async def until_ready(self):
        """Wait until the balancer sends to gateways alone that have room."""
        async with asyncio.timeout(TIMEOUT_S):
            n_well = 0
            while n_well < 2 * N_GATEWAYS:
                try:
                    status, _ = await asyncio.to_thread(page, self.url, "/readyz")
                except OSError:
                    status = 0
                n_well = n_well + 1 if status == 200 else 0


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def write_config(path, gateways):
    """Write the published file with these gateways and a free port; give the URL."""
    text, port = CONFIG.read_text(), free_port()
    for number, gateway in enumerate(gateways, 1):
        own = re.search(r"//(.*?)/", gateway.url)[1]
        text, n_found = re.subn(rf"(server gateway{number}) \S+", rf"\1 {own}", text)
        assert n_found == 3
    text, n_found = re.subn(r"bind \S+", f"bind 127.0.0.1:{port}", text)
    assert n_found == 1
    path.write_text(text)
    return f"ws://127.0.0.1:{port}{events.PATH}"


@pytest_asyncio.fixture
async def open_site(own_server, tmp_path):
    """Starts gateways and a balancer; options are those of each gateway."""
    started = []

    async def open_one(*options):
        gateways = [
            Gateway(*own_server(f"--limits.max_sessions={MOST_SESSIONS}", *options))
            for _ in range(N_GATEWAYS)
        ]
        file = tmp_path / "haproxy.cfg"
        site = Site(gateways, write_config(file, gateways))
        started.append(await asyncio.create_subprocess_exec(HAPROXY, "-db", "-f", file))
        await site.until_ready()
        return site

    yield open_one
    for balancer in started:
        balancer.kill()
        await balancer.wait()


class Talk:
    """A session whose events gather in a list."""

    def __init__(self, connection):
        self.connection = connection
        self.seen = []
        self._came = asyncio.Event()
        self.reading = asyncio.create_task(self._read())

    async def _read(self):
        async for event in self.connection:
            self.seen.append(event)
            self._came.set()

    def all(self, kind):
        return [event for event in self.seen if isinstance(event, kind)]

    @property
    def finals(self):
        return self.all(events.EmotionFinal)

    async def say(self, samples, n_finals):
        """Say something, and wait until there are so many finals in all."""
        await self.connection.send_audio(as_pcm16(samples))
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.finals) < n_finals:
                self._came.clear()
                await self._came.wait()

    async def end(self):
        await self.connection.end()
        await asyncio.wait_for(self.reading, TIMEOUT_S)

    def lose_socket(self):
        self.connection._link._socket.transport.abort()


@asynccontextmanager
async def talk(url, **wishes):
    wishes = {"partials": False} | wishes
    async with connect(url, audio=FORMAT, **wishes) as connection:
        one = Talk(connection)
        try:
            yield one
        finally:
            one.reading.cancel()


def test_the_published_file_is_one_that_haproxy_takes():
    done = subprocess.run([HAPROXY, "-c", "-f", CONFIG], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


async def test_a_conversation_has_one_gateway_and_whoever_comes_back_finds_it(
    open_site,
):
    site = await open_site()
    async with AsyncExitStack() as stack:
        before = await site.count()
        talking = []
        for name in ("ann & ben", "kitchen", "Küche", "1"):
            for _ in range(2):
                one = talk(site.url, conversation_id=name)
                talking.append(await stack.enter_async_context(one))
            after = await site.count()
            grown = [b - a for a, b in zip(before, after, strict=True)]
            assert sorted(grown) == [0, 0, 2]
            before = after
        for one in talking:
            one.lose_socket()
        for n, one in enumerate(talking):
            await one.say(TURNS[n % 3], 1)
            assert one.connection.n_resumes == 1
            assert [final.turn for final in one.finals] == [0]
        assert await site.count() == after


async def test_sessions_of_nobody_else_go_anywhere_but_to_a_gateway_that_is_full(
    open_site,
):
    site = await open_site()
    async with AsyncExitStack() as stack:
        first = await stack.enter_async_context(talk(site.url, conversation_id="one"))
        full = (await site.count()).index(1)
        for _ in range(MOST_SESSIONS - 1):
            one = talk(site.url, conversation_id="one")
            await stack.enter_async_context(one)
        for _ in range(6):
            await come_in(stack, site.url)
        counted = await site.count()
        assert counted[full] == MOST_SESSIONS and sum(counted) == MOST_SESSIONS + 6
        with pytest.raises(ConnectionFailed) as refused:  # and not elsewhere, alone
            await stack.enter_async_context(talk(site.url, conversation_id="one"))
        assert refused.value.code == "server_full"
        first.lose_socket()
        await first.say(TURNS[0], 1)
        assert first.connection.n_resumes == 1


async def come_in(stack, url):
    """Open a session; where its gateway is found to be full, another one."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            try:
                return await stack.enter_async_context(talk(url))
            except ConnectionFailed as error:
                assert error.code == "server_full"


async def find(site, name):
    """Give the gateway of a conversation."""
    before = await site.count()
    async with talk(site.url, conversation_id=name) as one:
        after = await site.count()
        await one.end()
    grown = [b - a for a, b in zip(before, after, strict=True)]
    return site.gateways[grown.index(1)]


@pytest.mark.parametrize("is_shared", [True, False], ids=["shared", "anew"])
async def test_sessions_between_turns_go_on_elsewhere_as_if_nothing_had_been(
    open_site, tmp_path, is_shared
):
    site = await open_site(*[f"--server.handover={tmp_path / 'left'}"] * is_shared)
    gateway = await find(site, "kitchen")
    async with (
        talk(site.url, conversation_id="kitchen", speaker="Ann") as ann,
        talk(site.url, conversation_id="kitchen", speaker="Ben") as ben,
    ):
        for one in (ann, ben):
            await one.say(TURNS[0], 1)
        gateway.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(gateway.process.wait, TIMEOUT_S) == 0
        for one in (ann, ben):
            await one.say(TURNS[1], 2)
        for one in (ann, ben):
            await one.end()
    told = [*ann.finals, *ben.finals]
    assert [final.turn for final in told] == [0, 1, 0, 1]
    known = 2 * is_shared  # turns, at the gateway where they go on
    expected = [0, known, 1, known + 1]
    assert [final.context_seq for final in told] == expected
    assert [final.context_turns for final in told] == expected
    for one in (ann, ben):
        assert one.connection.n_moves == 1
        assert [warning.code for warning in one.all(events.Warn)] == [
            "moved" if is_shared else "moved_anew"
        ]


async def test_a_shutdown_amid_turns_loses_no_audio_and_no_final(open_site, tmp_path):
    site = await open_site(f"--server.handover={tmp_path / 'left'}")
    gateway = await find(site, "one")
    said = as_pcm16(join(*TURNS))
    begun = asyncio.Event()

    async def hold(name):
        async with talk(site.url, conversation_id=name) as one:
            await one.say(TURNS[0], 1)
            begun.set()
            for piece in pieces(said, 6400):
                await one.connection.send_audio(piece)
                await asyncio.sleep(0.02)  # ten times faster than life
            await one.end()
        return one

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hold(name)) for name in ("one", "two", "three")]
        await begun.wait()
        gateway.process.send_signal(signal.SIGTERM)
    held = [task.result() for task in tasks]
    assert held[0].connection.n_moves == 1
    said_ms = len(TURNS[0]) / 16 + len(said) / 32
    for one in held:
        [ended] = one.all(events.SessionEnded)
        for kind in (events.TranscriptFinal, events.EmotionFinal):
            assert [told.turn for told in one.all(kind)] == list(range(ended.turns))
        assert abs(ended.audio_ms - said_ms) <= 2
        assert not one.all(events.Failure)
