"""The command `stream-erc health`, against a real server."""

import asyncio
import signal
import socket

import pytest
from recording import page, talk
from scripted_models import Loudness, ScriptedModels
from test_server_admission import PAIR

from stream_erc.__main__ import main
from stream_erc.health import reachable


@pytest.fixture
def vad():
    return Loudness()


@pytest.fixture
def health(capsys):
    """Gives a coroutine function that runs the command; its exit code, its words."""

    async def run(url, *arguments):
        port = url.rpartition(":")[2].partition("/")[0]
        code = await asyncio.to_thread(main, ["health", "--port", port, *arguments])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


async def test_a_server_that_is_alive_says_so(serve, health):
    async with serve(ScriptedModels()) as (_, url):
        assert await health(url) == (0, "alive\n")
        assert await health(url, "--ready") == (0, "ready\n")


async def test_a_full_server_is_alive_and_not_ready(serve, health):
    async with serve(ScriptedModels(), max_sessions=1, drain_s=0.0) as (_, url):
        async with talk(url):
            assert await health(url) == (0, "alive\n")
            assert await health(url, "--ready") == (1, "full\n")


async def test_a_server_that_drains_is_alive_and_not_ready(serve, health):
    async with serve(ScriptedModels(), drain_s=1000.0) as (_, url):
        async with talk(url) as wire:
            wire.socket.transport.pause_reading()  # it does not answer the closing
            signal.raise_signal(signal.SIGTERM)
            while (await asyncio.to_thread(page, url, "/readyz"))[0] == 200:
                pass
            assert await health(url) == (0, "alive\n")
            assert await health(url, "--ready") == (1, "shutting down\n")
            wire.socket.transport.resume_reading()
            await wire.hear_all()


async def test_over_tls_it_asks_whatever_the_certificate_says(serve, health):
    pair = [f"--server.{name}={file}" for name, file in PAIR.items()]
    async with serve(ScriptedModels(), **PAIR) as (_, url):
        assert await health(url, *pair) == (0, "alive\n")
        code, told = await health(url)  # plain, to one that speaks TLS
        assert code == 1
        assert told.startswith("no answer")


async def test_where_no_server_is_the_answer_is_no(health):
    with socket.socket() as taken:  # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        code, told = await health(f"ws://127.0.0.1:{port}/")
    assert code == 1
    assert told.startswith(f"no answer from 127.0.0.1:{port}: ")


async def test_its_settings_may_come_from_the_file_of_the_server(
    serve, tmp_path, capsys
):
    async with serve(ScriptedModels()) as (_, url):
        port = url.rpartition(":")[2].partition("/")[0]
        file = tmp_path / "settings.toml"
        file.write_text(f"[server]\nport = {port}\n[limits]\nmax_sessions = 3\n")
        assert await asyncio.to_thread(main, ["health", "--config", str(file)]) == 0
    assert capsys.readouterr().out == "alive\n"


def test_wrong_settings_are_told_as_such(capsys):
    assert main(["health", "--config", "/nowhere.toml"]) == 2
    assert "/nowhere.toml" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("0.0.0.0", "127.0.0.1"),
        ("::", "::1"),
        ("::1", "::1"),
        ("10.0.0.7", "10.0.0.7"),
        ("localhost", "localhost"),
    ],
)
def test_a_server_on_all_addresses_is_asked_on_loopback(host, asked):
    assert reachable(host) == asked
