"""The Python API: typed events in, audio out, and no error but its own."""

import asyncio
import time

import pytest
from scripted_server import (
    ENDED,
    LIMITS,
    STARTED,
    never,
    one_turn,
    open_session,
    recorder,
    say,
    scripted_server,
    take_all,
)

from clients.connection import Connection, connect
from clients.errors import ConnectionFailed, ConnectionLost
from stream_erc import events
from stream_erc.events import AudioFormat, EmotionFinal, SessionEnded, SessionStarted

AUDIO = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)


async def test_a_program_has_its_emotions_in_ten_lines():
    heard = []
    async with scripted_server(recorder(heard, *one_turn())) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.send_audio(b"\1\0" * 16_000)
            await connection.end()
            seen = [event async for event in connection]
    assert isinstance(seen[0], SessionStarted)
    assert [event.label for event in seen if isinstance(event, EmotionFinal)] == [
        "anger"
    ]
    assert isinstance(seen[-1], SessionEnded)


async def test_session_start_asks_for_what_connect_was_given():
    heard = []
    async with scripted_server(recorder(heard)) as url:
        async with connect(
            url,
            audio=AUDIO,
            speaker="Ann",
            conversation_id="talk",
            language="en",
            partials=False,
            observe=True,
            modalities=["audio"],
        ) as connection:
            await connection.end()
            assert connection.started.session_id == "s"
            assert [event async for event in connection][-1].turns == 1
    assert heard[0] == {
        "type": "session.start",
        "audio": {"encoding": "pcm_s16le", "sample_rate": 16_000, "channels": 1},
        "speaker": "Ann",
        "conversation_id": "talk",
        "language": "en",
        "partials": False,
        "observe": True,
        "modalities": ["audio"],
    }


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda c: c.set_speaker("B"), {"type": "speaker.set", "speaker": "B"}),
        (
            lambda c: c.add_context("bot", "Hm."),
            {"type": "context.add", "speaker": "bot", "text": "Hm."},
        ),
        (lambda c: c.flush_turn(), {"type": "turn.flush"}),
        (lambda c: c.mark(7), {"type": "marker", "id": 7}),
        (lambda c: c.ping("a"), {"type": "ping", "id": "a"}),
    ],
)
async def test_each_method_sends_its_message_between_the_audio(call, message):
    heard = []
    async with scripted_server(recorder(heard)) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.send_audio(b"\1\0")
            await call(connection)
            await connection.send_audio(b"\2\0")
            await connection.end()
            async for _ in connection:
                pass
    assert heard[1:] == [b"\1\0", message, b"\2\0", {"type": "session.end"}]


async def test_audio_longer_than_a_frame_may_be_goes_out_in_several():
    audio = bytes(range(256)) * (LIMITS.max_frame_bytes // 256 * 2 + 1)
    heard = []
    async with scripted_server(recorder(heard)) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.send_audio(audio)
            await connection.end()
            async for _ in connection:
                pass
    frames = heard[1:-1]
    assert max(map(len, frames)) == LIMITS.max_frame_bytes
    assert b"".join(frames) == audio


async def test_a_type_of_a_later_version_is_skipped_but_arrives_as_it_is():
    strange = '{"type":"mood.ring","seq":1}'
    async with scripted_server(recorder([], strange)) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            seen = [event async for event in connection]
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            arrivals = [arrival async for arrival in connection.arrivals()]
    assert [type(event) for event in seen] == [SessionStarted, SessionEnded]
    assert [(a.text, a.event) for a in arrivals][1] == (strange, None)


async def test_a_caller_that_sends_everything_before_it_reads_is_not_stuck():
    filler = events.Warn(code="filler", message="x" * 100_000)

    async def script(socket):
        await open_session(socket)
        await say(socket, *[filler] * 60)  # reads nothing before all this has gone
        await take_all(socket, [])
        await say(socket, ENDED)

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            for _ in range(60):
                await connection.send_audio(bytes(100_000))
            await connection.end()
            seen = [event async for event in connection]
    assert len(seen) == 62


async def test_the_end_is_told_to_everybody_who_asks():
    async with scripted_server(recorder([])) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            assert len([event async for event in connection]) == 2
            assert [event async for event in connection] == []
            with pytest.raises(ConnectionLost) as lost:
                await connection.send_audio(b"\0\0")
    assert lost.value.code == "ended"


async def test_leaving_early_closes_the_socket():
    closed = asyncio.Event()

    async def script(socket):
        await open_session(socket)
        async for _ in socket:
            pass
        closed.set()

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO):
            pass
        async with asyncio.timeout(5):
            await closed.wait()


async def test_an_error_of_the_caller_inside_the_block_stays_as_it_is():
    async with scripted_server(never) as url:
        with pytest.raises(OSError, match="mine"):
            async with connect(url, audio=AUDIO):
                raise OSError("mine")


# --- no session -----------------------------------------------------------------


async def refuse(socket, *, recoverable):
    await socket.recv()
    await say(
        socket,
        events.Failure(code="bad_field", message="rate?", recoverable=recoverable),
    )
    if not recoverable:
        await socket.close(1002)
    await socket.wait_closed()


@pytest.mark.parametrize("recoverable", [False, True])
async def test_a_refused_session_has_the_servers_code_and_words(recoverable):
    async def script(socket):
        await refuse(socket, recoverable=recoverable)

    async with scripted_server(script) as url:
        with pytest.raises(ConnectionFailed, match="rate") as failed:
            async with connect(url, audio=AUDIO):
                pytest.fail("the session was refused")
    assert failed.value.code == "bad_field"
    assert failed.value.close_code == (None if recoverable else 1002)


async def test_a_full_server_that_only_closes_is_a_failed_connection():
    async def script(socket):
        await socket.close(1013, "full")

    async with scripted_server(script) as url:
        with pytest.raises(ConnectionFailed, match="full") as failed:
            async with connect(url, audio=AUDIO):
                pass
    assert (failed.value.code, failed.value.close_code) == ("closed", 1013)


async def test_where_nobody_listens_the_url_is_named():
    async with scripted_server(never) as url:
        pass  # the port is free again
    with pytest.raises(ConnectionFailed, match=f"{url}: no server there") as failed:
        async with connect(url, audio=AUDIO):
            pass
    assert (failed.value.code, failed.value.close_code) == ("unreachable", None)


async def test_a_url_of_another_kind_is_answered_with_one_that_would_do():
    with pytest.raises(ConnectionFailed, match="expected a URL like ws://"):
        async with connect("http://127.0.0.1/", audio=AUDIO):
            pass


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "refused"),
        (b"220 mail.example ESMTP\r\n", "not_stream_erc"),
    ],
)
async def test_a_server_of_another_kind_is_recognized(reply, code):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionFailed) as failed:
            async with connect(f"ws://127.0.0.1:{port}/", audio=AUDIO):
                pass
    assert failed.value.code == code


@pytest.mark.parametrize(
    ("status", "got"), [(b"200 OK", "a page"), (b"404 Not Found", "nothing")]
)
async def test_a_wrong_path_is_answered_with_the_right_one(status, got):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        told = f"expected a URL like ws://.*/v1/stream, got ws://.*/other with {got}"
        with pytest.raises(ConnectionFailed, match=told):
            async with connect(f"ws://127.0.0.1:{port}/other", audio=AUDIO):
                pass


# --- sessions that break off ----------------------------------------------------


async def test_a_session_that_breaks_off_tells_the_reader_and_the_sender_why():
    async def script(socket):
        await open_session(socket)
        await say(
            socket, events.Failure(code="too_slow", message="behind", recoverable=False)
        )
        await socket.close(1013)

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            with pytest.raises(ConnectionLost, match="behind") as read:
                async for _ in connection:
                    pass
            with pytest.raises(ConnectionLost, match="behind") as sent:
                await connection.send_audio(b"\0\0")
    assert read.value.code == sent.value.code == "too_slow"
    assert read.value.close_code == 1013


@pytest.mark.parametrize("code", [1000, 1001, 1011])
async def test_a_close_without_session_ended_is_a_loss(code):
    async def script(socket):
        await open_session(socket)
        await socket.close(code)

    async with scripted_server(script) as url:
        async with connect(url, audio=AUDIO) as connection:
            with pytest.raises(ConnectionLost) as lost:
                async for _ in connection:
                    pass
    assert (lost.value.code, lost.value.close_code) == ("closed", code)


async def test_a_recoverable_error_is_an_event_like_others():
    mistake = events.Failure(code="unknown_type", message="?", recoverable=True)
    async with scripted_server(recorder([], mistake)) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            seen = [event async for event in connection]
    assert seen[1] == mistake


@pytest.mark.parametrize("text", ["}", '{"type":"marker"}', '{"type":"pong","id":[]}'])
async def test_what_is_not_the_protocol_is_an_error_of_ours(text):
    async with scripted_server(recorder([], text)) as url:
        async with connect(url, audio=AUDIO) as connection:
            await connection.end()
            with pytest.raises(ConnectionLost) as lost:
                async for _ in connection:
                    pass
    assert lost.value.code == "not_stream_erc"


# --- times ----------------------------------------------------------------------


class SlowSocket:
    """Stands in for a socket whose server holds it back."""

    async def recv(self):
        await asyncio.Event().wait()

    async def send(self, frame):
        self.taken_s = time.monotonic()
        while time.monotonic() == self.taken_s:
            pass

    async def close(self):
        pass


async def test_audio_is_timed_when_it_is_handed_over_not_when_it_has_gone():
    socket = SlowSocket()
    connection = Connection(socket, never, events.SessionStart(audio=AUDIO))
    connection.started = STARTED
    await connection.send_audio(bytes(32_000))
    await connection._link.close()
    assert connection.send_times.sent_ms == 1000
    assert connection.send_times.sent_at(1000) <= socket.taken_s


async def test_an_event_is_timed_when_it_comes_not_when_it_is_asked_for():
    async with scripted_server(recorder([])) as url:
        async with connect(url, audio=AUDIO) as connection:
            before_s = time.monotonic()
            await connection.end()
            await asyncio.wait([connection._link._reader])
            come_s = time.monotonic()
            *_, last = [arrival async for arrival in connection.arrivals()]
    assert before_s < last.received_s < come_s
