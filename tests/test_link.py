"""A client whose socket breaks, against a scripted server."""

import json

import msgspec
import pytest
from scripted_server import LIMITS, STARTED, say, scripted_server

from clients.connection import connect
from clients.errors import ConnectionLost
from stream_erc import events
from stream_erc.events import AudioFormat, SessionEnded

AUDIO = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
RESUMABLE = msgspec.structs.replace(
    STARTED,
    resume_token="secret",
    limits=msgspec.structs.replace(LIMITS, resume_window_s=5.0),
)


async def open_resumable(socket):
    await socket.recv()
    await say(socket, RESUMABLE)


async def test_a_client_asks_for_what_it_lacks_and_takes_nothing_twice():
    asked = []

    async def script(socket):
        first = json.loads(await socket.recv())
        if first["type"] == "session.start":
            await say(socket, RESUMABLE, events.Pong(seq=1, id="a"))
            socket.transport.close()
            return
        asked.append(first)
        resumed = events.SessionResumed(samples_received=0, client_messages_received=1)
        await say(socket, resumed, events.Pong(seq=1, id="a"))
        await say(socket, events.Pong(seq=2, id="b"))
        await say(socket, events.SessionEnded(seq=3, turns=0, audio_ms=0))

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            seen = [event async for event in connection]
            assert connection.n_resumes == 1
    assert asked == [
        {
            "type": "session.resume",
            "session_id": "s",
            "resume_token": "secret",
            "last_seq": 1,
        }
    ]
    assert [event.seq for event in seen] == list(range(4))


@pytest.mark.parametrize("code", [1002, 1008, 1009, 1013])
async def test_a_client_that_was_sent_away_does_not_come_back(code):
    n_sockets = 0

    async def script(socket):
        nonlocal n_sockets
        n_sockets += 1
        await open_resumable(socket)
        await socket.close(code)

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            with pytest.raises(ConnectionLost) as lost:
                async for _ in connection:
                    pass
    assert (lost.value.code, lost.value.close_code) == ("closed", code)
    assert n_sockets == 1


async def test_a_server_that_answers_a_return_with_something_else_is_told():
    async def script(socket):
        first = json.loads(await socket.recv())
        await say(socket, RESUMABLE)
        if first["type"] == "session.start":
            socket.transport.close()

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            with pytest.raises(ConnectionLost, match=r"session\.resumed") as lost:
                async for _ in connection:
                    pass
    assert lost.value.code == "not_stream_erc"


async def test_a_socket_that_breaks_after_the_end_is_no_loss():
    async def script(socket):
        await open_resumable(socket)
        await say(socket, events.SessionEnded(seq=1, turns=0, audio_ms=0))
        await socket.recv()
        socket.transport.close()

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            *_, last = [event async for event in connection]
            assert isinstance(last, SessionEnded)
