"""Every limit at ten times its load, through a real server with scripted models.

Whoever asks for too much is refused, or held back and loses nothing; it is counted,
and others notice nothing.
"""

import asyncio
import json
import threading

import pytest
from recording import (
    MONO_16K,
    TIMEOUT_S,
    as_pcm16,
    dial,
    join,
    of_type,
    pieces,
    record,
    results,
    silence,
    talk,
)
from scripted_models import Loudness, ScriptedModels, conversation, sentence
from simulated import SimulatedLoop, World
from talking import END
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from clients.connection import connect
from clients.errors import ConnectionFailed, ConnectionLost
from clients.sources import FORMAT
from stream_erc.admission import hash_token, make_token, network_of
from stream_erc.config import Settings
from stream_erc.limits import LimitsConfig
from stream_erc.rounds import GATHER_S

ANN, BEN = make_token(), make_token()
TURN = join(sentence(1.0), silence(0.8))
START = {"type": "session.start", "audio": MONO_16K}
MANY = 10


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


@pytest.fixture
def served(serve):
    """Gives a context manager that runs a server with scripted models."""

    def run(**settings):
        return serve(ScriptedModels(), **{"drain_s": 0.2} | settings)

    return run


@pytest.fixture
def tokens(tmp_path):
    """A file with the tokens of Ann and Ben."""
    path = tmp_path / "tokens"
    lines = [f"{n} {hash_token(t).hex()}\n" for n, t in (("ann", ANN), ("ben", BEN))]
    path.write_text("".join(lines))
    return str(path)


def of_token(token):
    return {"additional_headers": {"Authorization": f"Bearer {token}"}}


def limited(server, limit):
    """How often a limit was reached."""
    found = server.metrics.registry.get_sample_value(
        "stream_erc_limited_total", {"limit": limit}
    )
    assert found is not None, limit
    return found


async def until(is_so):
    """Wait until something is so within the server, which runs in this loop."""
    async with asyncio.timeout(TIMEOUT_S):
        while not is_so():  # noqa: ASYNC110
            await asyncio.sleep(0)


async def asked(url, **dialing):
    """Ask for a session; give the first answer and the close code, if it was closed."""
    async with dial(url, **dialing) as wire:
        await wire.say(START)
        answer = await wire.hear()
        if answer["type"] == "error":
            await wire.hear_all()
        return answer, wire.close_code


async def someone_is_served(url, **wishes):
    """Another client notices nothing of it."""
    heard = await record(url, [TURN], partials=False, **wishes)
    assert len(of_type(heard, "emotion.final")) == 1


def test_every_limit_is_counted_from_the_start():
    from stream_erc.metrics import Metrics

    text = Metrics().text()
    for name in LimitsConfig.__slots__:
        assert f'stream_erc_limited_total{{limit="{name}"}} 0.0' in text


# --- sessions and sockets -----------------------------------------------------


async def test_of_ten_times_too_many_sessions_the_rest_is_refused(served):
    async with served(max_sessions=2) as (server, url):
        async with talk(url), talk(url):
            answers = await asyncio.gather(*(asked(url) for _ in range(2 * MANY)))
            assert {code for _, code in answers} == {1013}
            assert {answer["code"] for answer, _ in answers} == {"server_full"}
            assert "at most 2 sessions" in answers[0][0]["message"]
            assert limited(server, "max_sessions") == 2 * MANY


async def test_nobody_more_is_let_in_while_the_models_are_behind(serve):
    release = threading.Event()

    class Slow(ScriptedModels):
        def hear(self, requests):
            release.wait(TIMEOUT_S)
            return super().hear(requests)

    async with serve(Slow(), drain_s=0.2, max_delay_s=0.001) as (server, url):
        async with talk(url, partials=False) as wire:
            try:
                for _ in range(4):  # two of them at work, two in the queue
                    await wire.say(as_pcm16(TURN))
                while server._sessions._engine.waiting()["hear"] < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                answer, code = await asked(url)
                assert (answer["code"], code) == ("server_busy", 1013)
                assert limited(server, "max_delay_s") == 1
            finally:
                release.set()
            await wire.say(END)
            assert len(of_type(await wire.hear_all(), "emotion.final")) == 4
        await someone_is_served(url)


async def test_one_token_cannot_take_all_the_room(served, tokens):
    async with served(tokens=tokens, max_sessions_per_owner=2) as (server, url):
        anns = {"dialing": of_token(ANN)}
        async with talk(url, **anns), talk(url, **anns):
            answers = await asyncio.gather(
                *(asked(url, **of_token(ANN)) for _ in range(2 * MANY))
            )
            assert {code for _, code in answers} == {1013}
            assert {answer["code"] for answer, _ in answers} == {"owner_full"}
            assert "at most 2 sessions of one token" in answers[0][0]["message"]
            assert limited(server, "max_sessions_per_owner") == 2 * MANY
            await someone_is_served(url, dialing=of_token(BEN))
        await someone_is_served(f"{url}?token={BEN}")


async def test_without_tokens_there_is_no_limit_by_owner(served):
    async with served(max_sessions_per_owner=1) as (_, url), talk(url):
        await someone_is_served(url)


async def turned_away(url, **options):
    try:
        async with dial(url, **options):
            return None
    except InvalidStatus as error:
        return error.response


async def test_sockets_faster_than_their_rate_get_429_and_are_told_to_wait(served):
    limits = {"connections_per_s": 0.001, "connection_burst": 3}
    async with served(**limits) as (server, url):
        answers = [await turned_away(url) for _ in range(3 * MANY)]
        assert answers[:3] == [None] * 3
        assert {answer.status_code for answer in answers[3:]} == {429}
        assert 0 < int(answers[3].headers["Retry-After"]) <= 1000
        assert b"at most 0.001 sockets a second" in answers[3].body
        assert limited(server, "connections_per_s") == 3 * MANY - 3
        with pytest.raises(ConnectionFailed, match="429") as caught:
            async with connect(url, audio=FORMAT):
                pass
    assert "wait" in str(caught.value)


async def test_sockets_are_counted_by_token(served, tokens):
    limits = {"connections_per_s": 0.001, "connection_burst": 2, "tokens": tokens}
    async with served(**limits) as (_, url):
        anns = [await turned_away(url, **of_token(ANN)) for _ in range(2 * MANY)]
        assert [answer is None for answer in anns] == [True] * 2 + [False] * 18
        wrong = [await turned_away(url, **of_token("x")) for _ in range(2 * MANY)]
        assert {answer.status_code for answer in wrong} == {401}
        await someone_is_served(url, dialing=of_token(BEN))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
    ],
)
def test_an_address_is_counted_by_what_one_customer_has(address, network):
    assert network_of(address) == network


# --- messages -----------------------------------------------------------------


async def test_a_frame_ten_times_too_big_closes_its_socket_with_1009(served):
    async with served(max_frame_kib=4, max_text_kib=2) as (server, url):
        async with talk(url) as wire:
            assert wire.heard[0]["limits"]["max_frame_bytes"] == 4096
            await wire.say(bytes(4096))
            await wire.say(bytes(MANY * 4096))
            await wire.hear_all()
            assert wire.close_code == 1009
        async with dial(url) as unopened:
            await unopened.say(bytes(MANY * 4096))
            await unopened.hear_all()
            assert unopened.close_code == 1009
        await until(lambda: limited(server, "max_frame_kib") == 2)
        async with talk(url) as wire:  # the library's `record` sends larger frames
            await wire.say(END)
            assert (await wire.hear_all())[-1]["type"] == "session.ended"


async def test_a_text_ten_times_too_long_is_refused_and_nothing_else(served):
    async with served(max_text_kib=2) as (server, url):
        long = json.dumps({"type": "marker", "id": "x" * 2048 * MANY})
        async with talk(url) as wire:
            assert wire.heard[0]["limits"]["max_text_bytes"] == 2048
            await wire.say(long, {"type": "marker", "id": "short"}, END)
            [_, error, marker, _] = await wire.hear_all()
        assert (error["code"], error["recoverable"]) == ("text_too_long", True)
        assert f"at most 2048 bytes of JSON, got {len(long)}" in error["message"]
        assert marker["id"] == "short"
        async with dial(url) as unopened:
            await unopened.say(json.dumps(START | {"x": "x" * 2048}))
            [error] = await unopened.hear_all()
        assert (error["code"], unopened.close_code) == ("text_too_long", 1002)
        assert limited(server, "max_text_kib") == 2


async def test_ten_times_too_many_messages_are_held_back_and_none_is_lost(served):
    limits = {"messages_per_s": 400.0, "message_burst": 10}
    async with served(**limits) as (server, url), talk(url) as wire:
        for number in range(10 * MANY):
            await wire.say({"type": "ping", "id": number})
        await wire.say(END)
        async with asyncio.TaskGroup() as group:
            hearing = group.create_task(wire.hear_all())
            await someone_is_served(url)
        heard = hearing.result()
        assert [m["id"] for m in of_type(heard, "pong")] == list(range(10 * MANY))
        [warning] = of_type(heard, "warning")
        assert warning["code"] == "held_back"
        assert "at most 400 text messages a second" in warning["message"]
        assert limited(server, "messages_per_s") > 1


# --- audio --------------------------------------------------------------------


async def test_audio_faster_than_the_pace_is_held_back_and_none_is_lost(served):
    script = conversation(4)
    async with served() as (_, url):
        whole = await record(url, script, partials=False)
    assert not of_type(whole, "warning")
    async with served(max_pace=100.0, pace_burst_s=0.5) as (server, url):
        heard, _ = await asyncio.gather(
            record(url, script, partials=False), someone_is_served(url)
        )
        assert results(heard) == results(whole)
        [warning] = of_type(heard, "warning")
        assert warning["code"] == "held_back"
        assert "at most 100 times real time" in warning["message"]
        assert limited(server, "max_pace") > 0


async def test_audio_that_waits_to_be_heard_is_bounded(served, monkeypatch):
    from stream_erc import inbox
    from stream_erc.listener import Listener

    most_waiting, longest_heard = 0, 0
    put, receive = inbox.Inbox.put_audio, Listener.receive

    def put_audio(self, audio):
        nonlocal most_waiting
        put(self, audio)
        most_waiting = max(most_waiting, self._waiting_bytes)

    def hear(self, data):
        nonlocal longest_heard
        longest_heard = max(longest_heard, len(data))
        return receive(self, data)

    monkeypatch.setattr(inbox.Inbox, "put_audio", put_audio)
    monkeypatch.setattr(Listener, "receive", hear)
    script = conversation(20)
    async with served() as (_, url):
        whole = await record(url, script, partials=False)
    most_waiting = longest_heard = 0
    async with served(max_unheard_kib=16) as (server, url):
        heard = await record(
            url, script, partials=False, cutting=lambda data: pieces(data, 4096)
        )
        assert limited(server, "max_unheard_kib") > 0
    assert most_waiting < 16 * 1024 + 4096
    assert longest_heard <= most_waiting
    assert results(heard) == results(whole)


# --- time ---------------------------------------------------------------------


async def finished(url, code, *said):
    """Open a session and say something; give all of it, once it was finished."""
    async with talk(url, partials=False) as wire:
        await wire.say(*said)
        heard = await wire.hear_all()
        assert wire.close_code == 1008
        assert wire.socket.close_reason == code
    [error] = of_type(heard, "error")
    assert (error["code"], error["recoverable"]) == (code, False)
    assert heard[-1]["type"] == "session.ended"
    return heard, error


async def test_a_session_whose_client_is_silent_is_finished(served):
    async with served(idle_timeout_s=0.3) as (server, url):
        heard, error = await finished(url, "idle", as_pcm16(TURN[:20_000]))
        assert heard[0]["limits"]["idle_timeout_s"] == 0.3
        assert len(of_type(heard, "emotion.final")) == 1  # of what had come
        assert "within 0.3 s, got nothing" in error["message"]
        assert limited(server, "idle_timeout_s") == 1


def test_a_session_that_says_anything_at_all_is_not_idle(monkeypatch):
    settings = Settings(limits=LimitsConfig(idle_timeout_s=10.0))
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(ping_for_a_while(World(settings, monkeypatch)))


async def ping_for_a_while(world):
    clock = asyncio.get_running_loop().time
    socket = world.dial()
    await socket.say(json.dumps(START))
    for number in range(MANY):
        await asyncio.sleep(9.0)
        await socket.say(json.dumps({"type": "ping", "id": number}))
    silent_s = clock()
    await socket.until_closed()
    assert clock() - silent_s == pytest.approx(10.0 + GATHER_S, abs=0.01)
    kinds = [json.loads(text)["type"] for text in socket.heard]
    assert kinds == ["session.started", *["pong"] * MANY, "error", "session.ended"]
    await world.until_empty()


async def test_a_session_that_is_too_long_is_finished(served):
    async with served(max_session_s=0.3) as (server, url):
        heard, error = await finished(url, "session_too_long", as_pcm16(TURN[:20_000]))
        assert heard[0]["limits"]["max_session_s"] == 0.3
        assert len(of_type(heard, "emotion.final")) == 1
        assert "at most 0.3 s, got 0." in error["message"]
        assert limited(server, "max_session_s") == 1


async def test_the_client_gives_all_finals_and_then_says_why_it_ended(served):
    async with served(max_session_s=0.5) as (_, url):
        async with connect(url, audio=FORMAT, partials=False) as connection:
            await connection.send_audio(as_pcm16(TURN))
            kinds = []
            with pytest.raises(ConnectionLost, match=r"at most 0\.5 s") as lost:
                async for event in connection:
                    kinds.append(type(event).__name__)
    assert lost.value.code == "session_too_long"
    assert kinds.count("EmotionFinal") == 1
    assert kinds[-1] == "SessionEnded"


# --- readers ------------------------------------------------------------------


async def test_for_a_slow_reader_partials_fall_out_and_nothing_else(
    served, monkeypatch
):
    script = conversation(12)
    async with served() as (_, url):
        whole = await record(url, script)
    may_send = asyncio.Event()  # on the first socket, as if its network were slow
    slow, sent = [], ServerConnection.send

    async def send(self, text):
        slow.append(self)
        if self is slow[0] and len(slow) > 1:
            await may_send.wait()
        await sent(self, text)

    monkeypatch.setattr(ServerConnection, "send", send)
    async with served(max_unread_events=5) as (server, url):
        async with talk(url) as wire, asyncio.TaskGroup() as group:
            group.create_task(say_all(wire, script))
            await until(lambda: limited(server, "max_unread_events"))
            await record(url, [TURN])  # others notice nothing
            may_send.set()
            heard = await wire.hear_all()
    assert results(heard) == results(whole)
    assert [m["seq"] for m in heard] == list(range(len(heard)))


async def say_all(wire, script):
    for item in script:
        await wire.say(item if isinstance(item, dict) else as_pcm16(item))
    await wire.say(END)


async def test_a_reader_that_takes_nothing_is_closed_with_1013(served):
    limits = {"reader_timeout_s": 0.3, "max_unread_events": 20}
    async with served(**limits) as (server, url), dial(url, max_queue=1) as deaf:

        async def flood():
            while True:
                await deaf.say({"type": "ping", "id": "x" * 60_000})
                await asyncio.sleep(0)

        await deaf.say(START)
        flooding = asyncio.create_task(flood())
        await until(lambda: limited(server, "reader_timeout_s"))
        await someone_is_served(url)
        assert limited(server, "reader_timeout_s") == 1
        deaf.socket.transport.abort()
        with pytest.raises(ConnectionClosed):
            await flooding


def test_a_slow_reader_that_came_back_is_told_behind_what_it_has(monkeypatch):
    with asyncio.Runner(loop_factory=SimulatedLoop) as runner:
        runner.run(come_back_and_stall(World(Settings(), monkeypatch)))


async def come_back_and_stall(world):
    first = world.dial()
    await first.say(json.dumps(START))
    await first.until_heard()
    welcome = json.loads(first.heard[0])
    first.cut()
    again = world.dial()
    await again.say(
        json.dumps(
            {
                "type": "session.resume",
                "session_id": welcome["session_id"],
                "resume_token": welcome["resume_token"],
                "last_seq": 0,
            }
        )
    )
    await again.until_heard()
    again.pause(False)
    await again.say('{"type": "ping", "id": 1}')
    await asyncio.sleep(LimitsConfig().reader_timeout_s + 1)
    again.pause(True)
    await again.until_closed()
    [resumed, error] = map(json.loads, again.heard)
    assert resumed["type"] == "session.resumed"
    assert (error["code"], error["seq"]) == ("slow_reader", 1)
    assert again.close_code == 1013
    await world.until_empty()


# --- conversations ------------------------------------------------------------


async def test_of_idle_conversations_the_oldest_go_first(served):
    async with served(max_idle_conversations=3) as (server, url):
        for number in range(3 * MANY):
            await record(url, [TURN], partials=False, conversation_id=f"{number}")
        await until(lambda: limited(server, "max_idle_conversations") == 3 * MANY - 3)
        kept = server.metrics.registry.get_sample_value("stream_erc_conversations")
        assert kept == 3
        places = []
        for number in (0, 3 * MANY - 1):
            heard = await record(url, [TURN], conversation_id=f"{number}")
            places.append(of_type(heard, "emotion.final")[0]["context_seq"])
        assert places == [0, 1]
