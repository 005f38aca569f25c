"""Sockets that are lost, as the server sees them."""

import asyncio
import json
from contextlib import asynccontextmanager
from dataclasses import replace

import numpy as np
import pytest
from journal_cases import kept
from recording import (
    MONO_16K,
    as_pcm16,
    dial,
    join,
    of_type,
    record,
    results,
    silence,
    talk,
    until_metric,
)
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END

from stream_erc.config import JournalConfig
from stream_erc.voiceprint import load_views

TURN = join(sentence(1.0), silence(0.8))


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


def resume_of(welcome, last_seq, **changes):
    return {
        "type": "session.resume",
        "session_id": welcome["session_id"],
        "resume_token": welcome["resume_token"],
        "last_seq": last_seq,
    } | changes


@asynccontextmanager
async def come_back(url, welcome, last_seq):
    """Open a socket on an old session; gives it and what `session.resumed` says."""
    async with dial(url) as wire:
        await wire.say(resume_of(welcome, last_seq))
        resumed = await wire.hear()
        assert resumed["type"] == "session.resumed", resumed
        yield wire, resumed


async def lose(wire):
    wire.socket.transport.abort()
    await wire.socket.wait_closed()


# --- what is told -----------------------------------------------------------------


async def test_what_came_is_told_in_whole_samples_and_text_messages(served):
    async with served() as (_, url):
        async with talk(url) as wire:
            await wire.say(bytes(6401), {"type": "ping", "id": 1}, "nonsense")
            await wire.hear_until("error")
            await lose(wire)
        async with come_back(url, wire.heard[0], 2) as (_, resumed):
            pass
    assert resumed == {
        "type": "session.resumed",
        "samples_received": 3200,
        "client_messages_received": 3,
    }


@pytest.mark.parametrize(
    ("encoding", "channels", "sample_bytes"),
    [("pcm_s16le", 2, 4), ("pcm_f32le", 1, 4), ("pcm_f32le", 2, 8), ("mulaw", 2, 2)],
)
async def test_samples_are_counted_at_the_declared_rate_and_for_each_channel(
    served, encoding, channels, sample_bytes
):
    audio = {"encoding": encoding, "sample_rate": 8000, "channels": channels}
    async with served() as (_, url):
        async with talk(url, audio=audio) as wire:
            await wire.say(bytes(sample_bytes * 100 + 1), {"type": "ping", "id": 1})
            await wire.hear_until("pong")
            await lose(wire)
        async with come_back(url, wire.heard[0], 1) as (_, resumed):
            pass
    assert resumed["samples_received"] == 100


async def test_half_a_sample_at_the_cut_is_thrown_away(served):
    data = as_pcm16(TURN)
    async with served() as (_, url):
        whole = await record(url, [TURN], partials=False)
        async with talk(url, partials=False) as wire:
            await wire.say(data[:16_001], {"type": "ping", "id": 1})
            await wire.hear_until("pong")
            await lose(wire)
        last_seq = wire.heard[-1]["seq"]
        async with come_back(url, wire.heard[0], last_seq) as (again, resumed):
            await again.say(data[resumed["samples_received"] * 2 :], END)
            heard = wire.heard + (await again.hear_all())[1:]
    assert results(heard) == results(whole)
    assert not of_type(heard, "warning")  # of another half, at the end


async def test_messages_are_sent_again_exactly_as_before(served):
    async with served() as (_, url):
        async with talk(url) as wire:
            await wire.say(as_pcm16(TURN))
            await wire.hear_until("emotion.final")
            await lose(wire)
        n_heard = len(wire.heard)
        async with come_back(url, wire.heard[0], -1) as (again, _):
            await again.say(END)
            heard = (await again.hear_all())[1:]
    assert heard[:n_heard] == wire.heard
    assert [message["seq"] for message in heard] == list(range(len(heard)))
    assert again.close_code == 1000


async def test_a_turn_that_runs_goes_on_on_the_next_socket(served):
    spoken = as_pcm16(TURN)
    async with served() as (_, url):
        whole = await record(url, [TURN], partials=False)
        async with talk(url, partials=False) as wire:
            await wire.say(spoken[:20_000])
            await wire.hear_until("turn.started")
            await lose(wire)
        last_seq = wire.heard[-1]["seq"]
        async with come_back(url, wire.heard[0], last_seq) as (again, resumed):
            await again.say(spoken[resumed["samples_received"] * 2 :], END)
            heard = wire.heard + (await again.hear_all())[1:]
    assert results(heard) == results(whole)


async def test_the_end_can_be_fetched_by_one_that_did_not_hear_it(served):
    async with served() as (_, url):
        async with talk(url) as wire:
            await wire.say(as_pcm16(TURN), END)
            await lose(wire)
        for _ in range(2):  # nor the second time
            async with come_back(url, wire.heard[0], 0) as (again, resumed):
                assert resumed["client_messages_received"] == 2
                await again.hear_until("session.ended")
                await lose(again)
        async with come_back(url, wire.heard[0], 0) as (again, _):
            heard = (await again.hear_all())[1:]
        assert again.close_code == 1000
        assert len(of_type(heard, "emotion.final")) == 1
        assert heard[-1]["type"] == "session.ended"
        async with dial(url) as late:
            await late.say(resume_of(wire.heard[0], 0))
            [error] = await late.hear_all()
    assert error["code"] == "resume_refused"


# --- who wins ---------------------------------------------------------------------


async def test_the_newer_socket_wins(served):
    async with served() as (_, url), talk(url) as older:
        async with come_back(url, older.heard[0], 0) as (newer, _):
            [_, error] = await older.hear_all()
            assert (error["type"], error["code"]) == ("error", "resumed_elsewhere")
            assert (older.close_code, error["recoverable"]) == (1008, False)
            await newer.say({"type": "ping", "id": 1})
            assert (await newer.hear())["type"] == "pong"


async def test_of_many_that_race_one_is_left_and_loses_nothing(served):
    async with served() as (_, url), talk(url, partials=False) as first:
        await first.say(as_pcm16(TURN))
        await first.hear_until("emotion.final")
        n_heard = len(first.heard)

        async def race():
            async with dial(url) as wire:
                await wire.say(resume_of(first.heard[0], -1))
                await wire.say({"type": "marker", "id": "alive"})
                while (message := await wire.hear())["type"] not in ("marker", "error"):
                    pass
                if message["type"] == "marker":
                    await wire.say(END)
                await wire.hear_all()
                return wire

        wires = await asyncio.gather(*(race() for _ in range(8)))
    ended = [wire for wire in wires if of_type(wire.heard, "session.ended")]
    assert len(ended) == 1
    assert ended[0].heard[1 : n_heard + 1] == first.heard[:n_heard]
    assert {wire.close_code for wire in wires if wire not in ended} == {1008}


# --- who is refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"resume_token": "guessed"},
        {"resume_token": ""},
        {"resume_token": "ö\u0000"},
        {"session_id": "another"},
    ],
)
async def test_a_wrong_token_is_refused_and_disturbs_nobody(served, changes):
    async with served() as (_, url), talk(url) as wire:
        async with dial(url) as thief:
            await thief.say(resume_of(wire.heard[0], 0, **changes))
            [error] = await thief.hear_all()
        assert (error["code"], error["recoverable"]) == ("resume_refused", False)
        assert (error["seq"], thief.close_code) == (0, 1008)
        await wire.say({"type": "ping", "id": 1})
        assert (await wire.hear())["type"] == "pong"


async def test_the_token_of_another_session_opens_nothing(served):
    async with served() as (_, url), talk(url) as one, talk(url) as other:
        token = other.heard[0]["resume_token"]
        async with dial(url) as thief:
            await thief.say(resume_of(one.heard[0], 0, resume_token=token))
            [error] = await thief.hear_all()
    assert error["code"] == "resume_refused"


@pytest.mark.parametrize("last_seq", [7, 1 << 70, -2])
async def test_a_number_that_was_never_sent_is_refused(served, last_seq):
    async with served() as (_, url), talk(url) as wire, dial(url) as again:
        await again.say(resume_of(wire.heard[0], last_seq))
        [error] = await again.hear_all()
        assert error["code"] in ("events_lost", "bad_field")
        assert again.close_code in (1008, 1002)


async def test_after_the_window_a_session_is_gone(served):
    async with served(resume_window_s=0.05, max_sessions=1) as (_, url):
        async with talk(url, partials=False) as wire:
            await wire.say(as_pcm16(TURN))
            await lose(wire)
        await until_metric(url, "stream_erc_sessions_lost_total", "window", value=1)
        assert (await record(url, []))[-1]["type"] == "session.ended"
        async with dial(url) as late:
            await late.say(resume_of(wire.heard[0], 0))
            [error] = await late.hear_all()
        assert error["code"] == "resume_refused"


async def test_where_resuming_is_off_there_is_no_token_and_no_way_back(served):
    async with served(resume_window_s=0.0) as (_, url):
        async with talk(url) as wire:
            assert wire.heard[0]["resume_token"] is None
            async with dial(url) as again:
                await again.say(resume_of(wire.heard[0], 0, resume_token=""))
                [error] = await again.hear_all()
    assert (error["code"], again.close_code) == ("resume_off", 1002)


# --- bounds -----------------------------------------------------------------------


async def test_a_session_for_which_too_much_waits_is_lost(served):
    async with served(max_kept_kib=1) as (_, url):
        async with talk(url) as wire:
            for turn in range(3):
                await wire.say({"type": "marker", "id": f"{turn}" * 500})
            await wire.say(as_pcm16(join(TURN, TURN, TURN)))
            await lose(wire)
        await until_metric(url, "stream_erc_sessions_lost_total", "backlog", value=1)
        async with dial(url) as late:
            await late.say(resume_of(wire.heard[0], 0))
            [error] = await late.hear_all()
    assert error["code"] == "resume_refused"


async def test_messages_that_are_no_longer_kept_are_not_skipped_in_silence(served):
    async with served(max_kept_kib=1) as (_, url):
        async with talk(url) as wire:
            for number in range(20):
                await wire.say({"type": "ping", "id": f"{number}" * 100})
                await wire.hear_until("pong")
            await lose(wire)
        async with dial(url) as again:
            await again.say(resume_of(wire.heard[0], 0))
            [error] = await again.hear_all()
        assert (error["code"], again.close_code) == ("events_lost", 1008)
        last_seq = wire.heard[-1]["seq"]
        async with come_back(url, wire.heard[0], last_seq) as (again, _):
            await again.say(END)
            assert (await again.hear())["type"] == "session.ended"


async def test_a_waiting_session_counts_and_is_shown(served):
    async with served(max_sessions=1) as (_, url):
        async with talk(url) as wire:
            await lose(wire)
        await until_metric(url, "stream_erc_sessions_waiting", value=1)
        async with dial(url) as other:
            await other.say({"type": "session.start", "audio": MONO_16K})
            [error] = await other.hear_all()
        assert error["code"] == "server_full"
        async with come_back(url, wire.heard[0], 0):
            await until_metric(url, "stream_erc_sessions_waiting", value=0)
            await until_metric(url, "stream_erc_resumes_total", value=1)


# --- shutting down ----------------------------------------------------------------


async def test_a_waiting_session_is_finished_and_may_be_fetched_while_draining(served):
    async with served(drain_s=30.0) as (server, url):
        async with talk(url, partials=False) as wire:
            await wire.say(as_pcm16(TURN[:24_000]), {"type": "ping", "id": 1})
            await wire.hear_until("pong")
            await lose(wire)
        draining = asyncio.create_task(server._sessions.drain())
        async with come_back(url, wire.heard[0], 0) as (again, _):
            heard = (await again.hear_all())[1:]
        await draining
    assert again.close_code == 1001
    assert len(of_type(heard, "emotion.final")) == 1
    assert heard[-1]["type"] == "session.ended"


# --- voices -----------------------------------------------------------------------


class Voiced(ScriptedModels):
    """Turns have the voices of two people, one after the other."""

    def __init__(self):
        one = load_views()[0].place(np.ones(256, np.float32))
        self.voices = [one, -one]

    def hear(self, requests):
        return [
            replace(result, voiceprint=self.voices[result.origin.turn % 2])
            for result in super().hear(requests)
        ]

    def understand(self, requests):
        return super().hear(requests)


async def test_voices_are_known_after_the_loss_and_names_are_kept(serve, tmp_path):
    journal = JournalConfig(file=str(tmp_path / "journal"))
    turn = as_pcm16(join(sentence(1.2), silence(0.8)))  # `TURN` is taken for noise
    async with serve(Voiced(), journal=journal, drain_s=0.2) as (_, url):
        async with talk(url, speaker="auto", partials=False) as wire:
            for _ in range(2):
                await wire.say(turn)
                await wire.hear_until("emotion.final")
            await lose(wire)
        last_seq = wire.heard[-1]["seq"]
        async with come_back(url, wire.heard[0], last_seq) as (again, _):
            await again.say(turn, END)
            await again.hear_all()
        entries = [json.loads(one.message) for one in kept(tmp_path / "journal")]
    for messages in (wire.heard + again.heard, entries):
        ended = of_type(messages, "turn.ended")
        assert [message["speaker"] for message in ended] == ["S1", "S2", "S1"]
