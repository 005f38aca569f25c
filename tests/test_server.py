"""The command `stream-erc serve` as a process: its pages, its start and its end."""

import asyncio
import json
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
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
    of_type,
    record,
    results,
    silence,
    talk,
)
from websockets.exceptions import InvalidStatus

from stream_erc import events
from stream_erc.config import DEFAULT_MODEL
from stream_erc.flow import EMOTIONS

MODERN = "speech/LJ001-0002.flac"
CUTTER = "speech/7902-96591-0000.flac"
END = {"type": "session.end"}


@contextmanager
def running(*arguments):
    """A server of the test's own; gives its process and its address."""
    process, url = start_server(*arguments)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@pytest.fixture(scope="module")
def narrow():
    """A server with room for one session."""
    with running("--server.max_sessions", "1") as (_, url):
        yield url


def page(url, path):
    """Give status and text of a page of the server at `url`."""
    root = url.replace("ws://", "http://").removesuffix(events.PATH)
    try:
        with urllib.request.urlopen(root + path, timeout=TIMEOUT_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


# --- pages --------------------------------------------------------------------


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
    assert all(name.startswith("stream_erc_") for name in names)


def numbers(url):
    """Give every sample of /metrics by name and labels."""
    _, text = page(url, "/metrics")
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_metrics_count_what_happened(server_url):
    before = await asyncio.to_thread(numbers, server_url)
    script = [clip(MODERN), silence(0.8)]
    heard = await record(server_url, [*script, "nonsense"], partials=False)
    after = await asyncio.to_thread(numbers, server_url)

    def grown(*name):
        return after[name] - before.get(name, 0)

    seconds = heard[-1]["audio_ms"] / 1000
    assert grown("stream_erc_audio_seconds_total") == pytest.approx(seconds, abs=0.04)
    assert grown("stream_erc_turns_total", "silence") == 1
    [final] = of_type(heard, "emotion.final")
    assert grown("stream_erc_finals_total", final["label"]) == 1
    assert grown("stream_erc_endpoint_to_emotion_seconds_count") == 1
    assert grown("stream_erc_errors_total", "not_json") == 1


async def test_a_full_server_is_not_ready_and_refuses_with_1013(narrow):
    async with talk(narrow) as wire:
        assert await asyncio.to_thread(page, narrow, "/readyz") == (503, "full\n")
        assert (await asyncio.to_thread(page, narrow, "/healthz"))[0] == 200
        async with dial(narrow) as other:
            await other.say({"type": "session.start", "audio": MONO_16K})
            [error] = await other.hear_all()
        assert (error["type"], error["code"]) == ("error", "server_full")
        assert other.close_code == 1013
        await wire.say(END)
        await wire.hear_all()
    assert await asyncio.to_thread(page, narrow, "/readyz") == (200, "ready\n")
    assert (await record(narrow, []))[-1]["type"] == "session.ended"


# --- opening -------------------------------------------------------------------


async def test_the_subprotocol_is_agreed_on(server_url):
    async with talk(server_url) as wire:
        assert wire.socket.subprotocol == "stream-erc.v1"


@pytest.mark.parametrize("offered", [None, ["stream-erc.v2"]])
async def test_a_client_of_another_subprotocol_is_turned_away(server_url, offered):
    with pytest.raises(InvalidStatus, match="400"):
        async with websockets.asyncio.client.connect(server_url, subprotocols=offered):
            pass


async def test_a_client_may_offer_other_subprotocols_too(server_url):
    offered = ["stream-erc.v2", "stream-erc.v1"]
    async with dial(server_url, subprotocols=offered) as wire:
        assert wire.socket.subprotocol == "stream-erc.v1"


async def test_the_welcome_says_what_a_client_must_know(server_url):
    async with talk(server_url) as wire, talk(server_url) as other:
        [welcome], [second] = wire.heard, other.heard
    assert welcome.pop("session_id") != second["session_id"]
    assert welcome == {
        "type": "session.started",
        "seq": 0,
        "time_ms": 0,
        "resume_token": None,
        "protocol": 1,
        "labels": list(EMOTIONS),
        "limits": {
            "max_frame_bytes": 1 << 20,
            "max_turn_ms": 19_000,
            "end_silence_ms": 544,
            "pre_roll_ms": 300,
            "resume_window_s": 30.0,
        },
    }


# --- what cannot start ------------------------------------------------------------


def try_to_start(*arguments):
    """Start a server that must not start; give its exit code and its two outputs."""
    done = subprocess.run(
        [sys.executable, "-m", "stream_erc", "serve", "--port", "0", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    return done.returncode, done.stdout, done.stderr


def assert_refused(arguments, *told):
    code, out, err = try_to_start(*arguments)
    assert (code, out) == (2, ""), err
    assert err.count("\n") == 1 and len(err) < 1000, err
    for part in told:
        assert part in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server.port", "99999"], ["server.port", "65535", "99999"]),
        (["--server.port", "many"], ["port", "many"]),
        (["--vad.onset", "0.2"], ["vad", "offset", "0.2"]),
        (["--vad.onset", "nan"], ["vad", "nan"]),
        (["--turns.max_turn_ms", "60000"], ["turns.max_turn_ms", "29000", "60000"]),
        (["--server.max_sessions", "0"], ["server.max_sessions", "at least 1", "0"]),
        (["--asr.device", "tpu"], ["asr.device", "cuda", "tpu"]),
        (["--colour", "red"], ["--colour"]),
        (["--config", "/nowhere/settings.toml"], ["/nowhere/settings.toml"]),
        (["--config", "/"], ["/"]),
    ],
)
def test_a_setting_that_is_wrong_stops_the_start_with_one_line(arguments, told):
    assert_refused(arguments, *told)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[server]\nprot = 1\n", ["server.prot", "port"]),
        ("[sever]\nport = 1\n", ["sever", "server"]),
        ('[server]\nport = "1"\n', ["server.port", "int", "'1'"]),
        ("[server]\nport = 1.0\n", ["server.port", "int"]),
        ("[server]\nmax_sessions = true\n", ["server.max_sessions", "True"]),
        ("port = 1\n", ["port", "table"]),
        ("[server\n", ["settings.toml", "TOML"]),
        ("[server]\nhost = '\0'\n", ["settings.toml", "TOML"]),
    ],
)
def test_a_settings_file_that_is_wrong_stops_the_start_with_one_line(
    tmp_path, toml, told
):
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    assert_refused(["--config", str(file)], *told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--asr.whisper", "huge"], ["asr.whisper", "huge", "tiny.en"]),
        (["--asr.whisper", "medium.en"], ["asr.whisper", "medium.en"]),  # not here
        (["--asr.language", "xx"], ["asr.language", "en", "xx"]),
        (["--asr.compute_type", "int3"], ["asr", "int3"]),
        (["--model", "/nowhere"], ["/nowhere", "none"]),
        (["--emotion.device", "cuda"], ["CUDA"]),
        (["--host", "no.such.host.invalid"], ["stream-erc"]),
        (["--host", "192.0.2.1"], ["192.0.2.1"]),
    ],
)
def test_what_cannot_be_loaded_or_bound_stops_the_start_with_one_line(arguments, told):
    assert_refused(arguments, *told)


def test_a_port_in_use_stops_the_start_with_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert_refused(["--port", port], port, "in use")


@pytest.fixture
def model(tmp_path):
    """A copy of the shipped model, to be spoiled."""
    return Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "model"))


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewrite(model, **changes):
    manifest = model / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | changes))


FILES = ["dialogue.onnx", "text_encoder.onnx", "tokenizer.json", "voice_statistics.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_file_stops_the_start_with_its_name(model, name):
    flip_a_bit(model / name)
    assert_refused(["--model", str(model)], name, "damaged")


@pytest.mark.parametrize("name", ["manifest.json", "dialogue.onnx"])
def test_a_missing_model_file_stops_the_start_with_its_name(model, name):
    (model / name).unlink()
    assert_refused(["--model", str(model)], name, "none")


def test_a_manifest_that_is_no_json_stops_the_start(model):
    (model / "manifest.json").write_text("{\n\n")
    assert_refused(["--model", str(model)], "manifest.json")


def test_a_model_of_other_classes_stops_the_start(model):
    rewrite(model, emotions=["calm", "wild"])
    assert_refused(["--model", str(model)], "manifest.json", "calm")


@pytest.mark.parametrize("size", ["width", "window", "text", "encoder", "functionals"])
def test_a_model_of_another_shape_stops_the_start(model, size):
    sizes = json.loads((model / "manifest.json").read_text())["sizes"]
    rewrite(model, sizes=sizes | {size: sizes[size] + 1})
    assert_refused(["--model", str(model)], str(sizes[size] + 1), str(sizes[size]))


def test_help_explains_every_setting():
    code, out, err = try_to_start("--help")
    assert (code, err) == (0, "")
    from stream_erc.config import explain

    for name, _, _, text in explain():
        assert f"--{name}" in out
        assert text.split()[0] in out


# --- the process ----------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_server_does_not_load_torch():
    with running() as (process, url):
        await record(url, [clip(MODERN), silence(0.8)])
        mapped = Path(f"/proc/{process.pid}/maps").read_text()
    assert "ctranslate2" in mapped
    assert "torch" not in mapped


def test_importing_the_server_imports_no_torch():
    program = (
        "import sys, stream_erc.server, stream_erc.__main__;"
        "sys.exit(any(name in sys.modules for name in ('torch', 'transformers')))"
    )
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


@pytest.mark.skipif(not socket.has_ipv6, reason="needs IPv6")
async def test_the_printed_address_is_one_that_a_client_can_dial():
    with running("--host", "::1") as (_, url):
        assert (await record(url, []))[-1]["type"] == "session.ended"


# --- shutting down -----------------------------------------------------------------


def stop(process):
    """Wait until a server that was told to stop has; give its exit code."""
    code = process.wait(TIMEOUT_S)
    process.stdout.close()
    return code


async def until_not_ready(url):
    """Wait until the server says that it shuts down."""
    async with asyncio.timeout(TIMEOUT_S):
        while await asyncio.to_thread(page, url, "/readyz") != (503, "shutting down\n"):
            pass


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_server_that_is_told_to_stop_exits_with_0(number):
    process, url = start_server()
    async with dial(url) as silent:
        process.send_signal(number)
        await silent.hear_all()
    assert silent.close_code == 1001
    assert await asyncio.to_thread(stop, process) == 0


async def test_busy_sessions_are_finished_when_the_server_is_told_to_stop(server_url):
    script = [clip(MODERN), silence(0.8), clip(CUTTER)]
    whole = await record(server_url, script, partials=False)
    process, url = start_server()

    async def busy():
        async with talk(url, partials=False) as wire:
            await wire.say(as_pcm16(join(*script)))
            await wire.hear_until("turn.ended")
            started.release()
            return await wire.hear_all(), wire.close_code

    started = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        sessions = [group.create_task(busy()) for _ in range(3)]
        for _ in sessions:
            await started.acquire()
        process.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(stop, process) == 0
    for session in sessions:
        heard, close_code = session.result()
        assert agree(results(heard), results(whole))
        assert heard[-1]["type"] == "session.ended"
        assert close_code == 1001


async def test_a_microphone_that_goes_on_sending_does_not_keep_the_server():
    process, url = start_server()
    async with talk(url) as wire:
        async with asyncio.TaskGroup() as group:

            async def send():
                while True:
                    await wire.say(bytes(640))
                    await asyncio.sleep(0)

            sending = group.create_task(send())
            process.send_signal(signal.SIGTERM)
            heard = await wire.hear_all()
            sending.cancel()
    assert [m["type"] for m in heard] == ["session.started", "session.ended"]
    assert wire.close_code == 1001
    assert await asyncio.to_thread(stop, process) == 0
