"""A client whose server shuts down, and another one takes its session."""

import json

import msgspec
import pytest
from scripted_server import LIMITS, STARTED, one_turn, say, scripted_server

from clients import link, returning
from clients.connection import connect
from clients.errors import ConnectionLost
from stream_erc import events
from stream_erc.events import AudioFormat

AUDIO = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
RATE_HZ = 16_000
OPENED = msgspec.structs.replace(
    STARTED,
    resume_token="r",
    limits=msgspec.structs.replace(LIMITS, resume_window_s=5.0),
)
SECOND = bytes(range(256)) * (RATE_HZ * 2 // 256)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(returning, "FIRST_DELAY_S", 0.001)
    monkeypatch.setattr(returning, "MAX_DELAY_S", 0.002)


def number(told):
    return [msgspec.structs.replace(event, seq=n) for n, event in enumerate(told)]


class Gateways:
    """Scripts of servers, one for each socket; writes down what each was told.

    Attributes:
        asked: The query of each socket's URL.
        starts: The first message on each.
        heard: Everything behind it, audio joined.
    """

    def __init__(self, *scripts):
        self._scripts = list(scripts)
        self.asked = []
        self.starts = []
        self.heard = []

    async def __call__(self, socket):
        self.asked.append(socket.request.path.partition("?")[2])
        self.starts.append(json.loads(await socket.recv()))
        self.heard.append([])
        await self._scripts.pop(0)(socket, self.heard[-1])


def drains_after(n_bytes, *told, audio_ms, n_texts=1, opened=OPENED, turns=1):
    """Hears so much, tells, and shuts down; has carried out so many texts."""

    async def script(socket, heard):
        await say(socket, *number([opened]))
        audio = b""
        while len(audio) < n_bytes:
            message = await socket.recv()
            if isinstance(message, bytes):
                audio += message
            else:
                heard.append(json.loads(message))
        heard.append(audio)
        ended = events.SessionEnded(
            turns=turns,
            audio_ms=audio_ms,
            time_ms=audio_ms,
            client_messages_received=n_texts,
        )
        await say(socket, *number([opened, *told, ended])[1:])
        await socket.close(1001)

    return script


def ends(*told, audio_ms, opened=OPENED, turns=1):
    """Hears everything until `session.end`, then tells."""

    async def script(socket, heard):
        await say(socket, *number([opened]))
        audio = b""
        async for message in socket:
            if isinstance(message, bytes):
                audio += message
                continue
            heard.append(json.loads(message))
            if heard[-1] == {"type": "session.end"}:
                break
        heard.append(audio)
        ended = events.SessionEnded(turns=turns, audio_ms=audio_ms, time_ms=audio_ms)
        await say(socket, *number([opened, *told, ended])[1:])

    return script


async def refuses(socket, heard):
    told = events.Failure(seq=0, code="shutting_down", message="no", recoverable=False)
    await say(socket, told)
    await socket.close(1013)


async def hold(url, **wishes):
    """Say two seconds at the pace at which the server takes them; give its events."""
    async with connect(url, audio=AUDIO, **wishes) as connection:
        await connection.send_audio(SECOND)
        await connection.set_speaker("Ben")
        await connection.send_audio(SECOND)
        await connection.end()
        seen = [event async for event in connection]
        return connection, seen


@pytest.mark.parametrize(
    ("heard_ms", "n_texts"), [(0, 1), (500, 1), (1000, 1), (1000, 2), (1500, 2)]
)
async def test_the_session_goes_on_as_if_it_were_one(heard_ms, n_texts):
    n_bytes = 2 * len(SECOND)  # or the texts might not have been sent
    first = drains_after(n_bytes, *one_turn(), audio_ms=heard_ms, n_texts=n_texts)
    second = ends(*one_turn(start_ms=300), audio_ms=2000 - heard_ms)
    gateways = Gateways(first, refuses, second)
    async with scripted_server(gateways) as url:
        connection, seen = await hold(url, conversation_id="a b", speaker="Ann")
    assert (connection.n_moves, connection.n_resumes) == (1, 0)
    *texts, audio = gateways.heard[2]
    assert audio == (SECOND + SECOND)[heard_ms * 32 :]
    is_before = n_texts == 1
    assert ({"type": "speaker.set", "speaker": "Ben"} in texts) == is_before
    speakers = [start["speaker"] for start in gateways.starts]
    assert speakers == ["Ann", *["Ann" if is_before else "Ben"] * 2]
    assert {start["conversation_id"] for start in gateways.starts} == {"a b"}
    assert gateways.asked == ["conversation=a+b"] * 3
    turns = [event.turn for event in seen if isinstance(event, events.EmotionFinal)]
    assert turns == [0, 1]
    ends_ms = [e.end_ms for e in seen if isinstance(e, events.TurnEnded)]
    assert ends_ms == [600, 900 + heard_ms]
    assert (seen[-1].turns, seen[-1].audio_ms) == (2, 2000)
    assert sum(isinstance(event, events.SessionEnded) for event in seen) == 1
    [told] = [event for event in seen if isinstance(event, events.Warn)]
    assert (told.code, told.time_ms) == ("moved_anew", heard_ms)


async def test_a_server_that_knows_the_conversation_is_told_apart():
    knowing = msgspec.structs.replace(OPENED, conversation_turns=1)
    gateways = Gateways(
        drains_after(1, *one_turn(), audio_ms=0), ends(audio_ms=1, opened=knowing)
    )
    async with scripted_server(gateways) as url:
        _, seen = await hold(url)
    assert [e.code for e in seen if isinstance(e, events.Warn)] == ["moved"]


async def test_what_was_all_heard_wants_no_other_server():
    gateways = Gateways(drains_after(2 * len(SECOND), audio_ms=2000, turns=0))
    async with scripted_server(gateways) as url:
        connection, seen = await hold(url)
    assert connection.n_moves == 0
    assert isinstance(seen[-1], events.SessionEnded)


async def test_a_session_may_move_more_than_once():
    n_bytes = 2 * len(SECOND)
    gateways = Gateways(
        drains_after(1, *one_turn(), audio_ms=500),
        drains_after(n_bytes - 500 * 32, *one_turn(), audio_ms=700, n_texts=2),
        ends(*one_turn(), audio_ms=800),
    )
    async with scripted_server(gateways) as url:
        connection, seen = await hold(url)
    assert connection.n_moves == 2
    assert gateways.heard[2][-1] == (SECOND + SECOND)[1200 * 32 :]
    starts = [e.start_ms for e in seen if isinstance(e, events.TurnStarted)]
    assert starts == [0, 500, 1200]
    assert (seen[-1].turns, seen[-1].audio_ms) == (3, 2000)


async def test_a_socket_that_breaks_after_the_move_is_resumed_there():
    async def breaks(socket, heard):
        await say(socket, *number([OPENED, *one_turn()]))
        socket.transport.abort()

    async def resumes(socket, heard):
        resumed = events.SessionResumed(samples_received=0, client_messages_received=1)
        await say(socket, resumed, events.SessionEnded(seq=9, turns=1, audio_ms=1500))

    gateways = Gateways(drains_after(1, *one_turn(), audio_ms=500), breaks, resumes)
    async with scripted_server(gateways) as url:
        connection, seen = await hold(url)
    assert (connection.n_moves, connection.n_resumes) == (1, 1)
    key = gateways.asked[0]
    assert gateways.asked == [key, key, f"{key}&resume=1"]
    assert gateways.starts[2]["last_seq"] == 6
    assert (seen[-1].turns, seen[-1].audio_ms) == (2, 2000)


async def test_where_no_server_takes_the_session_it_is_lost(monkeypatch):
    monkeypatch.setattr(link, "MOVE_S", 0.05)
    gateways = Gateways(drains_after(1, audio_ms=0), *[refuses] * 1000)
    async with scripted_server(gateways) as url:
        with pytest.raises(
            ConnectionLost, match="the server shut down; no way"
        ) as lost:
            await hold(url)
    assert (lost.value.code, lost.value.close_code) == ("gave_up", 1001)


async def test_sessions_without_a_conversation_have_a_key_each():
    gateways = Gateways(*[ends(audio_ms=2000)] * 2)
    async with scripted_server(gateways) as url:
        for _ in range(2):
            await hold(url)
        with_key = Gateways(ends(audio_ms=2000))
    async with scripted_server(with_key) as url:
        await hold(f"{url}?conversation=mine&x=1")
    one, other = gateways.asked
    assert one != other
    assert with_key.asked == ["conversation=mine&x=1"]
