"""The demo's conversation is what it promises; its server is started and stopped."""

import asyncio
import itertools
import json
import sys
from argparse import Namespace
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from clients import demo
from clients.errors import ServerFailed
from clients.sources import RATE_HZ, Line, decode, load, read_corpus

AUDIO = Path(__file__).parent / "audio"


def a_server(monkeypatch, program):
    """Let the demo start `program` in place of the server."""
    monkeypatch.setattr(demo, "SERVE", (sys.executable, "-c", program))


def clips(folder):
    lines = (AUDIO / folder / "clips.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


async def test_a_server_that_dies_at_the_start_is_shown_with_its_last_words(
    monkeypatch,
):
    a_server(monkeypatch, "import sys; print('no model', file=sys.stderr); sys.exit(2)")
    with pytest.raises(ServerFailed, match="exit code 2: no model"):
        async with demo.serving():
            pytest.fail("there is no server")


async def test_a_server_that_is_never_ready_is_given_up(monkeypatch):
    a_server(monkeypatch, "import time; time.sleep(60)")
    monkeypatch.setattr(demo, "READY_TIMEOUT_S", 0.2)
    with pytest.raises(ServerFailed, match="not ready within"):
        async with demo.serving():
            pytest.fail("it is not ready")


async def test_the_server_is_stopped_by_the_signal_that_lets_it_finish(
    monkeypatch, tmp_path
):
    witness = tmp_path / "stopped"
    a_server(
        monkeypatch,
        "import pathlib, signal, sys\n"
        f"stop = lambda *_: (pathlib.Path({str(witness)!r}).touch(), sys.exit(0))\n"
        "signal.signal(signal.SIGTERM, stop)\n"
        "print('warming up\\nlistening on ws://127.0.0.1:9/v1/stream', flush=True)\n"
        "print('x' * 1_000_000, flush=True)\n"  # more than a pipe holds
        "signal.pause()",
    )
    async with demo.serving() as url:
        assert url == "ws://127.0.0.1:9/v1/stream"
        assert not witness.exists()
    assert witness.exists()


async def test_a_server_that_will_not_stop_is_killed(monkeypatch):
    a_server(
        monkeypatch,
        "import signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "print('listening on ws://127.0.0.1:9/v1/stream', flush=True)\n"
        "while True: signal.pause()",
    )
    monkeypatch.setattr(demo, "STOP_TIMEOUT_S", 0.1)
    with pytest.raises(ServerFailed, match="exit code -9"):
        async with demo.serving():
            pass


async def test_a_server_that_dies_midway_is_shown_with_its_last_words(monkeypatch):
    a_server(
        monkeypatch,
        "import asyncio, sys\n"
        "async def main():\n"
        "    async def die(reader, writer):\n"
        "        await reader.readline()\n"
        "        sys.exit('out of luck')\n"
        "    server = await asyncio.start_server(die, '127.0.0.1', 0)\n"
        "    port = server.sockets[0].getsockname()[1]\n"
        "    print(f'listening on ws://127.0.0.1:{port}/', flush=True)\n"
        "    await server.serve_forever()\n"
        "asyncio.run(main())",
    )
    with pytest.raises(ServerFailed, match="out of luck"):
        async with asyncio.timeout(20):
            await demo.demonstrate()


@pytest.mark.parametrize(
    ("stream", "page"),
    [
        ("ws://127.0.0.1:8765/v1/stream", "http://127.0.0.1:8765/"),
        ("wss://[::1]:9/v1/stream", "https://[::1]:9/"),
    ],
)
def test_the_page_is_at_the_root_of_the_server(stream, page):
    assert demo.page_of(stream) == page


async def test_the_page_stays_open_where_that_is_asked_for(monkeypatch, capsys):
    @asynccontextmanager
    async def serving():
        yield "ws://127.0.0.1:9/v1/stream"
        pytest.fail("only Ctrl-C ends it")

    played = asyncio.Event()

    async def replay(*_):
        played.set()
        return Namespace(n_finals=12)

    monkeypatch.setattr(demo, "serving", serving)
    monkeypatch.setattr(demo, "replay", replay)
    async with asyncio.timeout(20):
        demonstration = asyncio.create_task(demo.demonstrate(keep=True))
        await played.wait()
        assert "stays at http://127.0.0.1:9/ until" in capsys.readouterr().out
        demonstration.cancel()
        with pytest.raises(asyncio.CancelledError):
            await demonstration


# --- the recordings -----------------------------------------------------------------


def test_help_explains_and_starts_nothing(monkeypatch, capsys):
    monkeypatch.setattr(demo, "demonstrate", lambda **_: pytest.fail("it plays"))
    with pytest.raises(SystemExit) as done:
        demo.main(["--help"])
    assert done.value.code == 0
    assert "--keep" in capsys.readouterr().out


def test_the_demo_is_a_minute_of_three_speakers_with_a_feeling_each():
    lines = list(read_corpus(demo.CORPUS))
    assert all(isinstance(line, Line) for line in lines)
    assert 10 <= len(lines) <= 12
    feelings = {(line.speaker, line.emotion) for line in lines}
    assert len(feelings) == len({speaker for speaker, _ in feelings}) == 3
    assert {feeling for _, feeling in feelings} == {"anger", "sadness", "joy"}
    pairs = itertools.pairwise(line.speaker for line in lines)
    assert all(before != after for before, after in pairs)
    seconds = sum(len(load(line)) / RATE_HZ + demo.GAP_S for line in lines)
    assert seconds < 60.0


def test_every_turn_of_the_demo_is_its_voice_and_a_tenth_of_a_second_around_it():
    voices = {clip["file"]: clip for clip in clips("ravdess")}
    for line in read_corpus(demo.CORPUS):
        clip = voices[line.audio.name]
        assert line.start_s == pytest.approx(clip["voice_start_s"] - 0.1)
        assert line.end_s == pytest.approx(clip["voice_end_s"] + 0.1)


def test_the_clips_are_few_and_varied_enough_for_the_tests():
    drawn = clips("ravdess")
    assert len(drawn) == len(list((AUDIO / "ravdess").glob("*.flac"))) <= 36
    assert {clip["actor"] for clip in drawn} == {21, 22, 23, 24}
    assert len({clip["emotion"] for clip in drawn}) == 7
    assert len({clip["text"] for clip in drawn}) == 2
    assert {clip["repetition"] for clip in drawn} == {1, 2}


@pytest.mark.parametrize("folder", ["ravdess", "speech"])
def test_every_listed_clip_is_there_and_as_long_as_it_says(folder):
    for clip in clips(folder):
        samples = decode(AUDIO / folder / clip["file"])
        assert len(samples) / RATE_HZ == pytest.approx(clip["duration_s"], abs=0.002)
