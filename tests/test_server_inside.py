"""The server within the test process, where a clock and a model can be changed."""

import threading

import pytest
from recording import (
    MONO_16K,
    as_pcm16,
    clip,
    dial,
    join,
    of_type,
    record,
    silence,
    talk,
    until_sessions,
)
from talking import MODERN

from benchmarks.faulty_models import Faulty
from stream_erc import server as server_module
from stream_erc.config import Settings

SCRIPT = [clip(MODERN), silence(0.8)]


async def test_a_client_that_does_not_start_a_session_is_sent_away(
    serve, models, monkeypatch
):
    monkeypatch.setattr(server_module, "START_TIMEOUT_S", 0.01)
    async with serve(models) as (_, url), dial(url) as wire:
        [error] = await wire.hear_all()
        assert (error["type"], error["code"]) == ("error", "no_start")
        assert wire.close_code == 1002


@pytest.mark.parametrize("fault", ["exception", "nan"])
async def test_of_a_turn_that_is_not_transcribed_the_functionals_are_left(
    serve, models, fault
):
    faulty = Faulty(models, "hear", fault, turn=0)
    async with serve(faulty) as (_, url):
        heard = await record(url, SCRIPT * 2, partials=False)
    transcripts = of_type(heard, "transcript.final")
    assert [bool(transcript["text"]) for transcript in transcripts] == [False, True]
    finals = of_type(heard, "emotion.final")
    assert [f["modalities"] for f in finals] == [["audio"], ["audio", "text"]]
    assert [m["code"] for m in of_type(heard, "warning")] == ["not_transcribed"]


async def test_what_is_no_number_enters_no_context(serve, models):
    faulty = Faulty(models, "understand", "nan", turn=0)
    async with serve(faulty) as (_, url):
        heard = await record(url, SCRIPT * 2, partials=False)
    bad, good = of_type(heard, "emotion.final")
    assert (bad["modalities"], bad["context_turns"]) == ([], 0)
    assert (good["modalities"], good["context_turns"]) == (["audio", "text"], 0)
    for final in bad, good:
        assert sum(final["probabilities"].values()) == pytest.approx(1, abs=0.001)


async def test_a_bug_in_the_listener_ends_one_session_with_1011_and_no_other(
    serve, models, monkeypatch, caplog
):
    from stream_erc.listener import Listener

    async with serve(models) as (_, url), talk(url) as wire:
        with monkeypatch.context() as patch:
            patch.setattr(Listener, "hear", lambda *_: 1 // 0)
            await wire.say(bytes(1024))
            heard = await wire.hear_all()
        assert heard[-1]["code"] == "internal"
        assert wire.close_code == 1011
        others = await record(url, SCRIPT, partials=False)
        assert len(of_type(others, "emotion.final")) == 1


async def test_a_conversation_is_forgotten_some_time_after_its_last_session(
    serve, models
):
    shared = {"conversation_id": "short", "partials": False}
    async with serve(models, resume_window_s=0.0) as (_, url):
        for _ in range(2):
            [final] = of_type(await record(url, SCRIPT, **shared), "emotion.final")
            assert (final["context_seq"], final["context_turns"]) == (0, 0)


async def test_a_conversation_is_kept_while_a_session_of_it_is_open(serve, models):
    shared = {"conversation_id": "long", "partials": False}
    async with serve(models, resume_window_s=0.0) as (_, url):
        async with talk(url, **shared):
            first, second = [await record(url, SCRIPT, **shared) for _ in range(2)]
    assert [of_type(h, "emotion.final")[0]["context_seq"] for h in (first, second)] == [
        0,
        1,
    ]


async def test_no_session_is_let_in_beyond_the_most_and_one_more_when_one_leaves(
    serve, models
):
    async with serve(models, max_sessions=2, drain_s=0.1) as (_, url):
        async with talk(url), talk(url) as second:
            async with dial(url) as third:
                await third.say({"type": "session.start", "audio": MONO_16K})
                await third.hear_all()
            assert third.close_code == 1013
            await second.say({"type": "session.end"})
            await second.hear_all()
            assert (await record(url, []))[-1]["type"] == "session.ended"


class Held:
    """Stands in for models whose recognizer waits until it is let go."""

    def __init__(self, models):
        self._models = models
        self._is_free = threading.Event()
        self.sessions = []  # of every request that was taken up

    def __getattr__(self, name):
        return getattr(self._models, name)

    def hear(self, requests):
        self.sessions += [request.origin.session for request in requests]
        self._is_free.wait()
        return self._models.hear(requests)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._is_free.set()


@pytest.mark.parametrize(
    "last", [[], [{"type": "session.end"}]], ids=["within a turn", "at the end"]
)
async def test_what_a_client_that_vanished_waited_for_is_not_computed(
    serve, models, last
):
    held = Held(models)
    async with serve(held, resume_window_s=0.0) as (_, url):
        with held:
            async with talk(url, partials=False) as wire:
                await wire.say(as_pcm16(join(*SCRIPT * 5)), *last)
                for _ in range(5):
                    await wire.hear_until("turn.ended")
                wire.socket.transport.abort()
            await until_sessions(url, 0)
        heard = await record(url, SCRIPT, partials=False)
    assert len(of_type(heard, "emotion.final")) == 1
    session = wire.heard[0]["session_id"]
    assert held.sessions.count(session) <= Settings().asr.n_workers
