"""The clients against the real server and its real models."""

import asyncio
import json
import random
from pathlib import Path

import msgspec
import pytest
from conftest import start_server
from recording import agree

from benchmarks.rough_network import rough_network
from clients import demo, replay
from clients.connection import connect
from clients.errors import ConnectionFailed, ConnectionLost
from clients.sources import FORMAT, decode, read_corpus
from stream_erc import events
from stream_erc.events import AudioFormat

SPEECH = Path(__file__).parent / "audio" / "speech"
JFK = SPEECH / "jfk.flac"


async def test_the_ten_lines_of_the_readme_hear_what_was_said(server_url):
    pcm = decode(JFK).tobytes()
    async with connect(server_url, audio=FORMAT) as connection:
        await connection.send_audio(pcm)
        await connection.end()
        seen = [event async for event in connection]
    words = " ".join(e.text for e in seen if isinstance(e, events.TranscriptFinal))
    assert "what your country can do for you" in words.lower()
    feelings = [e for e in seen if isinstance(e, events.EmotionFinal)]
    assert feelings
    assert set(feelings[0].probabilities) == set(connection.started.labels)
    assert [event.seq for event in seen] == list(range(len(seen)))


async def test_every_line_of_the_demo_comes_back_as_a_turn_of_its_speaker(
    server_url, capsys
):
    argv = [str(demo.CORPUS), "--url", server_url, "--speed", "max", "--json"]
    argv += ["--gap-s", str(demo.GAP_S), "--no-partials"]
    assert await asyncio.to_thread(replay.main, argv) == 0
    said = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    heard = [event["speaker"] for event in said if event["type"] == "turn.ended"]
    assert heard == [line.speaker for line in read_corpus(demo.CORPUS)]
    assert sum(event["type"] == "emotion.final" for event in said) == len(heard)
    assert said[-1]["type"] == "session.ended"


async def test_every_method_of_a_connection_is_understood(server_url):
    async with connect(
        server_url,
        audio=FORMAT,
        speaker="Ann",
        conversation_id="every method",
        partials=False,
        modalities=["audio"],
    ) as connection:
        await connection.ping("early")
        await connection.add_context("bot", "How are you?")
        await connection.send_audio(decode(SPEECH / "LJ001-0008.flac").tobytes())
        await connection.flush_turn()
        await connection.set_speaker("Bob")
        await connection.mark(7)
        await connection.end()
        seen = [event async for event in connection]
    assert not [e for e in seen if isinstance(e, events.Failure | events.Warn)]
    assert [e.id for e in seen if isinstance(e, events.Pong)] == ["early"]
    assert [e.id for e in seen if isinstance(e, events.Marker)] == [7]
    (final,) = (e for e in seen if isinstance(e, events.EmotionFinal))
    assert final.modalities == ("audio",)
    assert final.context_turns == 1


async def test_audio_longer_than_a_frame_may_be_is_heard_to_its_end(server_url):
    pcm = decode(JFK).tobytes() * 3
    async with connect(server_url, audio=FORMAT, partials=False) as connection:
        await connection.send_audio(pcm + bytes(32_000))
        await connection.end()
        *_, last = [event async for event in connection]
    assert len(pcm) > connection.started.limits.max_frame_bytes
    assert last.audio_ms == connection.send_times.sent_ms == 34_000


async def test_a_refusal_of_the_server_says_what_it_expected(server_url):
    audio = AudioFormat(encoding="pcm_s16le", sample_rate=1000, channels=1)
    with pytest.raises(ConnectionFailed, match=r"sample_rate.* 1000") as failed:
        async with connect(server_url, audio=audio):
            pytest.fail("1 kHz is not speech")
    assert failed.value.code == "bad_field"


async def test_a_path_that_the_server_does_not_have_is_refused(server_url):
    with pytest.raises(ConnectionFailed, match="HTTP 404"):
        async with connect(f"{server_url}/nowhere", audio=FORMAT):
            pass


async def test_the_demos_server_starts_and_stops_as_it_should():
    async with demo.serving() as url, connect(url, audio=FORMAT) as connection:
        assert connection.started.protocol == 1
        await connection.end()
        async for _ in connection:
            pass


async def test_a_server_that_shuts_down_finishes_the_turn_and_says_so():
    process, url = start_server()
    seen = []
    with process, pytest.raises(ConnectionLost, match="the server shut down"):
        async with connect(url, audio=FORMAT) as connection:
            await connection.send_audio(decode(JFK).tobytes())
            await connection.mark("all heard")
            async for event in connection:
                seen.append(event)
                if isinstance(event, events.Marker):
                    process.terminate()
    assert any(isinstance(event, events.EmotionFinal) for event in seen)
    assert process.returncode == 0


@pytest.mark.parametrize("seed", range(2))
async def test_drops_change_no_final_of_real_speech(server_url, seed):
    async def hold(url):
        async with connect(url, audio=FORMAT, partials=False) as connection:
            for clip in (JFK, SPEECH / "LJ001-0008.flac"):
                pcm = decode(clip).tobytes() + bytes(32_000)
                for at in range(0, len(pcm), 640):
                    await connection.send_audio(pcm[at : at + 640])
            await connection.end()
            return [event async for event in connection], connection.n_resumes

    dice = random.Random(seed)
    whole, _ = await hold(server_url)
    async with rough_network(server_url) as network:
        network.budgets = [dice.randint(2000, 100_000) for _ in range(6)]
        heard, n_resumes = await hold(network.url)
    assert n_resumes >= 3
    assert [event.seq for event in heard] == list(range(len(heard)))
    kinds = (events.TurnEnded, events.TranscriptFinal, events.EmotionFinal)
    for kind in kinds:
        one, other = (
            [e for e in each if isinstance(e, kind)] for each in (heard, whole)
        )
        assert len(one) == len(other) > 1
        for a, b in zip(one, other, strict=True):
            assert agree(comparable(a), comparable(b))


def comparable(event):
    return {
        name: value
        for name, value in msgspec.to_builtins(event).items()
        if name not in ("seq", "time_ms", "latency")
    }
