"""`observe`: who takes part is told of the others' turns, from joining to leaving."""

import asyncio

import pytest
from director_cases import FRAME
from recording import (
    MONO_16K,
    RATE_HZ,
    as_pcm16,
    dial,
    join,
    of_type,
    silence,
    talk,
    until_metric,
)
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END

from clients.connection import connect
from stream_erc.events import AudioFormat, ConversationTurn
from stream_erc.retelling import on_clock

TURN = as_pcm16(join(sentence(1.0), silence(0.8)))
ROOM = {"conversation_id": "room", "partials": False}


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


async def speak(wire):
    """Say one turn; give its last final."""
    await wire.say(TURN)
    return await wire.hear_until("emotion.final")


def told(wire):
    return [
        (message["speaker"], message["context_seq"])
        for message in of_type(wire.heard, "conversation.turn")
    ]


async def test_who_observes_is_told_of_all_that_others_say_while_it_is_there(serve):
    async with serve(ScriptedModels(), drain_s=0.2) as (_, url):
        async with (
            talk(url, speaker="Ann", observe=True, **ROOM) as ann,
            talk(url, speaker="Ben", observe=True, **ROOM) as ben,
            talk(url, speaker="Cem", **ROOM) as cem,
            talk(url, speaker="Dea", observe=True, conversation_id="other") as dea,
        ):
            await speak(ann)
            await speak(ben)
            await speak(cem)
            async with talk(url, speaker="Eve", observe=True, **ROOM) as late:
                await speak(late)
                await ann.hear_until("conversation.turn")
                await ann.say(END)
                await ann.hear_all()
                await speak(ben)
                for wire in (ben, cem, dea, late):
                    await wire.say(END)
                    await wire.hear_all()
    assert told(ann)[:2] == [("Ben", 1), ("Cem", 2)]
    assert told(ben) == [("Ann", 0), ("Cem", 2), ("Eve", 3)]
    assert told(late) == [("Ben", 4)]
    assert told(cem) == told(dea) == []
    for wire in (ann, ben, cem, dea, late):
        assert wire.heard[-1]["type"] == "session.ended"
        assert [m["seq"] for m in wire.heard] == list(range(len(wire.heard)))


async def test_what_is_told_are_the_finals_without_a_turn(serve):
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        talk(url, speaker="Ann", **ROOM) as ann,
        talk(url, speaker="Ben", observe=True, **ROOM) as ben,
    ):
        final = await speak(ann)
        turn = await ben.hear_until("conversation.turn")
    [said] = of_type(ann.heard, "transcript.final")
    [ended] = of_type(ann.heard, "turn.ended")
    joined = final | said | ended | {"session_id": ann.heard[0]["session_id"]}
    told = {name: joined[name] for name in turn.keys() & joined.keys()}
    own = ("type", "seq", "time_ms", "start_ms", "end_ms")
    assert set(turn) == set(told)
    assert "turn" not in turn
    assert all(turn[name] == told[name] for name in turn if name not in own)
    length_ms = ended["end_ms"] - ended["start_ms"]
    assert turn["end_ms"] - turn["start_ms"] == length_ms
    behind_ms = final["time_ms"] - ended["end_ms"]
    assert turn["end_ms"] == turn["time_ms"] - behind_ms


async def test_turns_of_others_are_told_at_their_times_to_who_is_silent(serve):
    n_frames = 100
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        talk(url, speaker="Ben", observe=True, **ROOM) as ben,
    ):
        await ben.say(bytes(n_frames * FRAME * 2))
        heard_s = n_frames * FRAME / RATE_HZ
        await until_metric(url, "stream_erc_audio_seconds_total", value=heard_s)
        async with talk(url, speaker="Ann", **ROOM) as ann:
            final = await speak(ann)
            turn = await ben.hear_until("conversation.turn")
    [ended] = of_type(ann.heard, "turn.ended")
    behind_ms = final["time_ms"] - ended["end_ms"]
    assert turn["time_ms"] == heard_s * 1000
    assert turn["end_ms"] == turn["time_ms"] - behind_ms


async def come_back(again, wire):
    await again.say(
        {
            "type": "session.resume",
            "session_id": wire.heard[0]["session_id"],
            "resume_token": wire.heard[0]["resume_token"],
            "last_seq": wire.heard[-1]["seq"],
        }
    )
    await again.hear_until("session.resumed")


async def test_turns_of_others_are_brought_after_a_drop_like_any_event(serve):
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        talk(url, speaker="Ann", **ROOM) as ann,
    ):
        async with talk(url, speaker="Ben", observe=True, **ROOM) as ben:
            await speak(ann)
            await ben.hear_until("conversation.turn")
        await speak(ann)
        async with dial(url) as again:
            await come_back(again, ben)
            missed = await again.hear()
    assert told(ben) == [("Ann", 0)]
    assert (missed["type"], missed["seq"], missed["context_seq"]) == (
        "conversation.turn",
        2,
        1,
    )


async def test_others_turns_are_left_out_for_who_does_not_read_them(serve):
    async with (
        serve(ScriptedModels(), max_unread_events=1, drain_s=0.2) as (_, url),
        talk(url, speaker="Ann", **ROOM) as ann,
    ):
        async with talk(url, speaker="Ben", observe=True, **ROOM) as ben:
            pass
        await until_metric(url, "stream_erc_sessions_waiting", value=1)
        for _ in range(4):
            await speak(ann)
        async with dial(url) as again:
            await come_back(again, ben)
            await again.hear_until("warning")
            await again.say(END)
            await again.hear_all()
    assert told(again) == [("Ann", 0), ("Ann", 1)]
    assert [m["code"] for m in of_type(again.heard, "warning")] == ["turns_left_out"]
    assert again.heard[-1]["type"] == "session.ended"


async def test_the_client_library_gives_them_as_events(serve):
    audio = AudioFormat(**MONO_16K)
    wishes = {"audio": audio, "conversation_id": "room", "partials": False}
    async with (
        serve(ScriptedModels(), drain_s=0.2) as (_, url),
        connect(url, speaker="Ann", observe=True, **wishes) as ann,
        connect(url, speaker="Ben", **wishes) as ben,
    ):
        await ben.send_audio(TURN)
        async with asyncio.timeout(20):
            async for event in ann:
                if isinstance(event, ConversationTurn):
                    break
    assert event.speaker == "Ben"
    assert on_clock(event, event.time_ms) == event
