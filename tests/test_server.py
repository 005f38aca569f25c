"""The command `stream-erc serve` as a process: its pages, its start and its end."""

import asyncio
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import websockets.asyncio.client
from conftest import start_server
from prometheus_client.parser import text_string_to_metric_families
from recording import (
    MONO_16K,
    TIMEOUT_S,
    agree,
    as_pcm16,
    clip,
    dial,
    join,
    metrics,
    of_type,
    page,
    record,
    results,
    silence,
    talk,
    until_sessions,
)
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END, MODERN
from websockets.exceptions import ConnectionClosed, InvalidStatus

from stream_erc import events
from stream_erc.flow import EMOTIONS

SCRIPTED = [Path(__file__).parent / "scripted_process.py"]


@contextmanager
def running(*arguments, **program):
    """A server of the test's own; gives its process and its address."""
    process, url = start_server(*arguments, **program)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


@pytest.fixture(scope="module")
def narrow_server():
    """A server with room for one session; its process and its address."""
    with running("--limits.max_sessions", "1") as started:
        yield started


@pytest.fixture
def narrow(narrow_server):
    """The address of a server with room for one session."""
    return narrow_server[1]


# --- pages ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/healthz", 200),
        ("/readyz", 200),
        ("/metrics", 200),
        ("/", 200),
        ("/healthz?verbose", 200),
        ("/nothing", 404),
        ("/healthz/", 404),
        ("/v1/streams", 404),
        (events.PATH, 426),
    ],
)
def test_a_page_answers_with_its_status(server_url, path, status):
    answered, text = page(server_url, path)
    assert answered == status
    assert text.strip()


def test_metrics_are_prometheus_text_under_names_of_our_own(server_url):
    _, text = page(server_url, "/metrics")
    names = {family.name for family in text_string_to_metric_families(text)}
    assert names >= {"stream_erc_sessions", "stream_erc_turns", "stream_erc_finals"}
    ours = ("stream_erc_", "process_")  # the latter are every program's
    assert all(name.startswith(ours) for name in names)


async def test_metrics_tell_of_the_start_and_of_every_desk(server_url):
    told = await asyncio.to_thread(metrics, server_url)
    assert told["stream_erc_model_load_seconds",] > 0
    for desk in ("hear", "understand"):
        assert told["stream_erc_requests_waiting", desk] >= 0


async def test_metrics_count_what_happened(server_url):
    before = await asyncio.to_thread(metrics, server_url)
    script = [clip(MODERN), silence(0.8)]
    heard = await record(server_url, [*script, "nonsense"], partials=False)
    after = await asyncio.to_thread(metrics, server_url)

    def grown(*name):
        return after[name] - before.get(name, 0)

    seconds = heard[-1]["audio_ms"] / 1000
    assert grown("stream_erc_audio_seconds_total") == pytest.approx(seconds, abs=0.04)
    assert grown("stream_erc_turns_total", "silence") == 1
    [final] = of_type(heard, "emotion.final")
    assert grown("stream_erc_finals_total", final["label"]) == 1
    assert grown("stream_erc_endpoint_to_emotion_seconds_count") == 1
    assert grown("stream_erc_errors_total", "not_json") == 1
    assert grown("stream_erc_sessions_opened_total") == 1
    for stage in ("queue", "hear", "understand"):
        assert grown("stream_erc_final_stage_seconds_count", stage) == 1


async def test_a_full_server_is_not_ready_and_refuses_with_1013(narrow):
    async with talk(narrow) as wire:
        assert await asyncio.to_thread(page, narrow, "/readyz") == (503, "full\n")
        assert (await asyncio.to_thread(page, narrow, "/healthz"))[0] == 200
        async with dial(narrow) as other:
            await other.say({"type": "session.start", "audio": MONO_16K})
            [error] = await other.hear_all()
        assert (error["type"], error["code"]) == ("error", "server_full")
        assert other.close_code == 1013
        told = await asyncio.to_thread(metrics, narrow)
        assert told["stream_erc_sessions_refused_total", "server_full"] == 1
        await wire.say(END)
        await wire.hear_all()
    # The server ends a session once it has seen the client's answer to the closing.
    async with asyncio.timeout(TIMEOUT_S):
        while (told := await asyncio.to_thread(page, narrow, "/readyz"))[0] == 503:
            assert told[1] == "full\n"
    assert told == (200, "ready\n")
    assert (await record(narrow, []))[-1]["type"] == "session.ended"


# --- opening -------------------------------------------------------------------


async def test_the_subprotocol_is_agreed_on(server_url):
    async with talk(server_url) as wire:
        assert wire.socket.subprotocol == "stream-erc.v1"


async def test_a_client_of_another_subprotocol_is_turned_away(server_url):
    offered = ["stream-erc.v2"]
    with pytest.raises(InvalidStatus, match="400"):
        async with websockets.asyncio.client.connect(server_url, subprotocols=offered):
            pass


async def test_a_client_that_offers_no_subprotocol_is_welcome(server_url):
    async with dial(server_url, subprotocols=None) as wire:
        assert wire.socket.subprotocol is None


async def test_a_client_may_offer_other_subprotocols_too(server_url):
    offered = ["stream-erc.v2", "stream-erc.v1"]
    async with dial(server_url, subprotocols=offered) as wire:
        assert wire.socket.subprotocol == "stream-erc.v1"


async def test_the_welcome_says_what_a_client_must_know(server_url):
    async with talk(server_url) as wire, talk(server_url) as other:
        [welcome], [second] = wire.heard, other.heard
    for secret in ("session_id", "resume_token"):
        assert welcome.pop(secret) != second[secret]
    assert welcome == {
        "type": "session.started",
        "seq": 0,
        "time_ms": 0,
        "protocol": 1,
        "labels": list(EMOTIONS),
        "recorded": False,
        "conversation_turns": 0,
        "limits": {
            "max_frame_bytes": 1 << 20,
            "max_text_bytes": 128 << 10,
            "max_session_s": 86_400.0,
            "idle_timeout_s": 300.0,
            "max_turn_ms": 19_000,
            "end_silence_ms": 544,
            "pre_roll_ms": 300,
            "resume_window_s": 30.0,
        },
    }


# --- the process ---------------------------------------------------------------


def libraries_of(process):
    return Path(f"/proc/{process.pid}/maps").read_text()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_server_does_not_load_torch(narrow_server):
    process, url = narrow_server
    await record(url, [clip(MODERN), silence(0.8)])
    mapped = libraries_of(process)
    assert "onnxruntime" in mapped
    assert "torch" not in mapped


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_the_printed_address_is_one_that_a_client_can_dial(serve):
    async with serve(ScriptedModels(), host="::1") as (_, url):
        assert (await record(url, []))[-1]["type"] == "session.ended"


# --- shutting down -------------------------------------------------------------


async def exit_code(process):
    """Wait until a server that was told to stop has."""
    return await asyncio.to_thread(process.wait, TIMEOUT_S)


async def until_not_ready(url):
    """Wait until the server says that it shuts down."""
    async with asyncio.timeout(TIMEOUT_S):
        while await asyncio.to_thread(page, url, "/readyz") != (503, "shutting down\n"):
            pass


async def test_an_idle_server_that_is_interrupted_exits_with_0():
    with running(program=SCRIPTED) as (process, url):
        async with dial(url) as silent:
            process.send_signal(signal.SIGINT)
            await silent.hear_all()
        assert silent.close_code == 1001
        assert await exit_code(process) == 0


async def test_busy_sessions_are_finished_when_the_server_is_told_to_stop():
    script = [sentence(0.6), silence(0.8), sentence(1.1)]
    n_busy = asyncio.Semaphore(0)

    async def converse(url):
        async with talk(url, partials=False) as wire:
            await wire.say(as_pcm16(join(*script)))
            await wire.hear_until("turn.ended")
            n_busy.release()
            return await wire.hear_all(), wire.close_code

    with running(program=SCRIPTED) as (process, url):
        whole = await record(url, script, partials=False)
        async with asyncio.TaskGroup() as group:
            sessions = [group.create_task(converse(url)) for _ in range(3)]
            for _ in sessions:
                await n_busy.acquire()
            process.send_signal(signal.SIGTERM)
        assert await exit_code(process) == 0
    assert len(results(whole)) == 2
    for session in sessions:
        heard, close_code = session.result()
        assert agree(results(heard), results(whole))
        assert heard[-1]["type"] == "session.ended"
        assert close_code == 1001


async def test_a_client_that_goes_on_sending_does_not_keep_the_server(serve):
    async with serve(ScriptedModels()) as (_, url), talk(url) as wire:
        async with asyncio.TaskGroup() as group:

            async def send():
                with suppress(ConnectionClosed):
                    while True:
                        await wire.say(bytes(64_000))

            group.create_task(send())
            signal.raise_signal(signal.SIGTERM)
            heard = await wire.hear_all()
        assert heard[-1]["type"] == "session.ended"
        assert wire.close_code == 1001


async def test_a_client_that_comes_while_the_server_shuts_down_is_refused(serve):
    async with serve(ScriptedModels()) as (_, url):
        async with talk(url) as busy, dial(url) as late:
            busy.socket.transport.pause_reading()  # it does not answer the closing
            signal.raise_signal(signal.SIGTERM)
            await until_not_ready(url)
            await late.say({"type": "session.start", "audio": MONO_16K})
            [error] = await late.hear_all()
            assert (error["type"], error["code"]) == ("error", "shutting_down")
            assert late.close_code == 1013
            busy.socket.transport.resume_reading()
            assert (await busy.hear_all())[-1]["type"] == "session.ended"
            assert busy.close_code == 1001


async def test_a_client_that_reads_nothing_is_sent_away_and_others_notice_nothing(
    serve,
):
    limits = {"reader_timeout_s": 0.5, "max_unread_events": 50}
    async with serve(ScriptedModels(), **limits) as (_, url):
        async with dial(url, max_queue=1) as deaf, talk(url) as other:

            async def mark():
                while True:
                    await deaf.say({"type": "marker", "id": "x" * 100_000})
                    await asyncio.sleep(0)  # `other` runs in this loop too

            await deaf.say({"type": "session.start", "audio": MONO_16K})
            marking = asyncio.create_task(mark())
            await until_sessions(url, 2)
            await until_sessions(url, 1)
            await other.say(as_pcm16(join(sentence(0.6), silence(0.8))), END)
            assert of_type(await other.hear_all(), "emotion.final")
            deaf.socket.transport.abort()
            with pytest.raises(ConnectionClosed):
                await marking
