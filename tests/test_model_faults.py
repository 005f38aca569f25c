"""A model that fails, hangs or gives no numbers costs one turn what it would have said.

Scripted models behind the real server; `test_server_inside` has the real ones.
"""

import asyncio

import pytest
from recording import (
    as_pcm16,
    join,
    of_turn,
    of_type,
    page,
    record,
    results,
    silence,
    talk,
    until_metric,
)
from scripted_models import Loudness, ScriptedModels, sentence
from talking import END, agent, marker

from benchmarks.faulty_models import FAULTS, Faulty
from stream_erc.config import EngineConfig
from stream_erc.engine import Lane

N_TURNS = 4
BAD = 1  # the turn that is spoilt
SCRIPT = [join(sentence(0.5 + n / 10), silence(0.8)) for n in range(N_TURNS)]
IMPATIENT = EngineConfig(hang_s=1.0)
PRIOR = {name: round(1 / 7, 4) for name in ("neutral", "joy", "anger")}


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


@pytest.fixture
def served(serve):
    """Gives a context manager that runs a server with these models."""

    def run(models, **settings):
        return serve(models, **{"drain_s": 0.2, "engine": IMPATIENT} | settings)

    return run


def assert_in_order(heard):
    assert [message["seq"] for message in heard] == list(range(len(heard)))
    order = ["turn.started", "turn.ended", "transcript.final", "emotion.final"]
    for kind in order:
        numbers = [message["turn"] for message in of_type(heard, kind)]
        assert numbers == list(range(heard[-1]["turns"]))
    for turn in range(heard[-1]["turns"]):
        kinds = [message["type"] for message in of_turn(heard, turn)]
        assert [kind for kind in kinds if kind in order] == order


def before(heard, kind, turn):
    """Give the message right before a turn's final, and that final."""
    [final] = [m for m in of_turn(heard, turn) if m["type"] == kind]
    return heard[final["seq"] - 1], final


def words(heard):
    return [message["text"] for message in of_type(heard, "transcript.final")]


def contexts(heard):
    finals = of_type(heard, "emotion.final")
    return [(final["context_seq"], final["context_turns"]) for final in finals]


# --- finals -------------------------------------------------------------------


async def hold_two(served, models):
    """Hold the session that is spoilt and another; give what both heard."""
    async with served(models) as (_, url):
        with models:
            script = [SCRIPT[0], *SCRIPT[1:], marker("last")]
            victim = await record(url, script, partials=False)
            other = await record(url, script, partials=False)
        undisturbed = await record(url, script, partials=False)
    assert_in_order(victim)
    assert victim[-2]["id"] == "last"
    assert results(other) == results(undisturbed)
    assert not of_type(other, "warning")
    assert len(of_type(victim, "warning")) == 1
    return victim, undisturbed


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_turn_that_is_not_transcribed_is_judged_by_its_voice(
    served, fault, caplog
):
    models = Faulty(ScriptedModels(), "hear", fault)
    victim, undisturbed = await hold_two(served, models)
    warning, transcript = before(victim, "transcript.final", BAD)
    assert (warning["type"], warning["code"]) == ("warning", "not_transcribed")
    assert warning["message"].startswith("turn 1: ")
    assert (transcript["text"], transcript["words"]) == ("", [])
    assert transcript["rejected"] is False
    expected = words(undisturbed)
    expected[BAD] = ""
    assert words(victim) == expected
    assert contexts(victim) == contexts(undisturbed)  # it is remembered by its voice
    assert "hear failed" in caplog.text


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_turn_that_is_not_judged_has_the_prior_and_is_not_remembered(
    served, fault, caplog
):
    models = Faulty(ScriptedModels(), "understand", fault)
    victim, undisturbed = await hold_two(served, models)
    warning, emotion = before(victim, "emotion.final", BAD)
    assert (warning["type"], warning["code"]) == ("warning", "not_judged")
    assert emotion["modalities"] == []
    assert emotion["probabilities"].items() >= PRIOR.items()
    assert words(victim) == words(undisturbed)
    assert contexts(victim) == [(0, 0), (1, 0), (2, 1), (3, 2)]
    assert results(victim)[0] == results(undisturbed)[0]
    assert "understand failed" in caplog.text


async def test_a_line_of_context_that_cannot_be_read_costs_that_line_alone(served):
    script = [SCRIPT[0], agent("I see."), SCRIPT[1]]
    models = Faulty(ScriptedModels(), "understand", "exception", turn=-1)
    async with served(models) as (_, url):
        heard = await record(url, script, partials=False)
    assert_in_order(heard)
    [warning] = of_type(heard, "warning")
    assert warning["code"] == "not_judged"
    assert warning["message"].startswith("context.add: ")
    assert contexts(heard) == [(0, 0), (2, 1)]


@pytest.mark.parametrize("method", ["hear", "understand"])
async def test_while_one_turn_hangs_others_get_their_finals(served, method):
    models = Faulty(ScriptedModels(), method, "hang", turn=0)
    async with served(models, engine=EngineConfig()) as (server, url):
        with models:
            async with talk(url, partials=False) as victim:
                await victim.say(as_pcm16(SCRIPT[0]), END)
                await victim.hear_until("turn.ended")
                desk = getattr(server._sessions._engine, f"_{method}ing")
                while not desk.relieve(0.0):  # noqa: ASYNC110
                    await asyncio.sleep(0)
                other = await record(url, SCRIPT, partials=False)
                assert_in_order(other)
                assert not of_type(other, "warning")
                assert_in_order(await victim.hear_all())


# --- partials -----------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("method", ["hear", "understand"])
async def test_a_partial_that_fails_is_left_out(served, method, fault):
    long = join(sentence(3.0), silence(0.8))
    models = Faulty(ScriptedModels(), method, fault, turn=0, lane=Lane.PARTIAL)
    async with served(models) as (_, url):
        with models:
            heard = await record(url, [long, SCRIPT[1]])
        undisturbed = await record(url, [long, SCRIPT[1]])
    assert_in_order(heard)
    assert results(heard) == results(undisturbed)
    assert not of_type(heard, "warning", "error")


# --- the operator ---------------------------------------------------------------


async def test_a_model_that_hangs_too_often_is_left_alone_and_told(served, caplog):
    models = Faulty(ScriptedModels(), "hear", "hang", turn=0)
    brief = EngineConfig(hang_s=1.0, max_stuck=1)
    async with served(models, engine=brief) as (_, url):
        with models:
            await record(url, [SCRIPT[0]], partials=False)
            ready = await asyncio.to_thread(page, url, "/readyz")
            assert ready == (503, "stuck\n")
            restarts = "stream_erc_worker_restarts_total"
            await until_metric(url, restarts, "hear", value=1)
            other = await record(url, SCRIPT, partials=False)
        assert_in_order(other)
        assert words(other) == [""] * N_TURNS
        warned = {m["code"] for m in of_type(other, "warning")}
        assert warned == {"not_transcribed"}
        assert "restart the server" in caplog.text
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(page, url, "/readyz"))[0] != 200:
                pass
        again = await record(url, SCRIPT, partials=False)
        assert not of_type(again, "warning")
        told = ("stream_erc_warnings_total", "not_transcribed")
        await until_metric(url, *told, value=1 + N_TURNS)
