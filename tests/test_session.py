"""Clients that vanish, and clients that say very much, through a real server."""

import asyncio
import socket

import pytest
from conftest import start_server
from recording import (
    RATE_HZ,
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
    until_sessions,
    whole,
)
from talking import END, MODERN


@pytest.fixture(scope="module")
def strict_url():
    """The address of a server where a lost socket ends its session."""
    process, url = start_server("--server.resume_window_s", "0")
    yield url
    process.terminate()
    process.wait(20)
    process.stdout.close()


# --- who else is there ---------------------------------------------------------


@pytest.mark.parametrize("is_polite", [True, False], ids=["closes", "is cut off"])
async def test_a_client_that_vanishes_within_a_turn_is_forgotten_and_others_go_on(
    strict_url, is_polite
):
    script = [clip(MODERN), silence(0.8)]
    reference = await record(strict_url, script, partials=False)
    await until_sessions(strict_url, 0)
    async with talk(strict_url, partials=False) as other:
        async with talk(strict_url) as wire:
            await wire.say(as_pcm16(clip(MODERN)))
            await wire.hear_until("turn.started")
            await until_sessions(strict_url, 2)
            if is_polite:
                await wire.socket.close()
            else:
                wire.socket.transport.abort()
        await until_sessions(strict_url, 1)
        await other.say(*whole(as_pcm16(join(*script))), END)
        assert agree(results(await other.hear_all()), results(reference))
    await until_sessions(strict_url, 0)


async def test_clients_that_vanish_in_numbers_leave_nothing_behind(strict_url):
    async def come_and_go():
        async with talk(strict_url, conversation_id="crowd") as wire:
            await wire.say(as_pcm16(clip(MODERN)))
            wire.socket.transport.abort()

    await asyncio.gather(*(come_and_go() for _ in range(12)))
    await until_sessions(strict_url, 0)
    heard = await record(strict_url, [clip(MODERN), silence(0.8)], partials=False)
    assert len(of_type(heard, "emotion.final")) == 1


async def test_a_client_that_says_nothing_and_leaves_is_no_session(server_url):
    async with dial(server_url):
        pass
    address = server_url.removeprefix("ws://").partition("/")[0].split(":")
    with socket.create_connection((address[0], int(address[1]))) as raw:
        raw.sendall(b"GET /v1/str")
    await until_sessions(server_url, 0)


# --- many messages -------------------------------------------------------------


async def test_a_ping_is_answered_while_audio_waits(server_url):
    async with talk(server_url) as wire:
        await wire.say(*[b"\0" * (1 << 20)] * 3)
        await wire.say({"type": "marker", "id": 1}, {"type": "ping", "id": 2})
        said = [(await wire.hear())["type"], (await wire.hear())["type"]]
        await wire.say(END)
        await wire.hear_all()
    assert said == ["pong", "marker"]


async def test_a_flood_of_text_is_answered_in_order(server_url):
    async with talk(server_url) as wire:
        for number in range(400):
            await wire.say({"type": "ping", "id": number})
            await wire.say({"type": "marker", "id": number})
        await wire.say(*["nonsense"] * 150, END)
        heard = await wire.hear_all()
    for kind in ("pong", "marker"):
        assert [m["id"] for m in of_type(heard, kind)] == list(range(400))
    assert len(of_type(heard, "error")) == 150
    assert [m["seq"] for m in heard] == list(range(len(heard)))


async def test_a_flood_of_speakers_and_flushes_makes_no_turn_of_nothing(server_url):
    script = []
    for number in range(300):
        script += [
            {"type": "speaker.set", "speaker": f"speaker {number}"},
            {"type": "turn.flush"},
            silence(0.01),
        ]
    heard = await record(server_url, script)
    assert [m["type"] for m in heard] == ["session.started", "session.ended"]
    assert heard[-1]["audio_ms"] == 3000


async def test_speech_cut_every_tenth_of_a_second_loses_no_sample(server_url):
    spoken = clip(MODERN)
    script = []
    for at in range(0, len(spoken), RATE_HZ // 2):
        script += [spoken[at : at + RATE_HZ // 2], {"type": "turn.flush"}]
    heard = await record(server_url, script, partials=False)
    ended = of_type(heard, "turn.ended")
    assert {m["reason"] for m in ended} == {"flush"}
    for one, after in zip(ended, ended[1:], strict=False):
        assert one["end_ms"] == after["start_ms"]


async def test_many_lines_that_were_not_heard_all_enter_the_context(server_url):
    line = {"type": "context.add", "speaker": "agent", "text": "Yes, of course."}
    script = [line] * 40 + [clip(MODERN), silence(0.8)]
    heard = await record(server_url, script, partials=False)
    [final] = of_type(heard, "emotion.final")
    assert final["context_seq"] == 40
    assert 1 <= final["context_turns"] <= 40


@pytest.mark.parametrize("modalities", [["audio"], ["text"], ["audio", "text"]])
async def test_an_emotion_rests_on_no_more_than_was_allowed(server_url, modalities):
    script = [clip(MODERN), silence(0.8)]
    heard = await record(server_url, script, modalities=modalities, partials=False)
    [final] = of_type(heard, "emotion.final")
    assert final["modalities"] == modalities
    assert sum(final["probabilities"].values()) == pytest.approx(1, abs=0.001)
