"""A voice detector that fails, hangs or gives no numbers costs nobody his session."""

import asyncio

import pytest
from recording import as_pcm16, of_type, page, record, results, talk, until_metric
from scripted_models import Loudness, ScriptedModels
from talking import END
from test_model_faults import SCRIPT, assert_in_order

from benchmarks.faulty_models import FAULTS, FaultyDetector
from stream_erc.config import EngineConfig

IN_THE_FIRST_VOICE = 8  # frames; both sentences have more
HANG_S = 0.3


@pytest.fixture
def fault():
    return "hang"


@pytest.fixture
def vad(fault):
    """Of the server in this process; its loudness and what is left agree."""
    return FaultyDetector(Loudness(), fault, IN_THE_FIRST_VOICE)


@pytest.mark.parametrize("fault", FAULTS)
async def test_a_detector_that_fails_costs_neither_of_two_sessions_anything(
    serve, vad, fault, caplog
):
    engine = EngineConfig(hang_s=HANG_S) if fault == "hang" else EngineConfig()
    async with serve(ScriptedModels(), engine=engine, drain_s=0.2) as (_, url):
        with vad:
            both = await asyncio.gather(
                *(record(url, SCRIPT, partials=False) for _ in range(2))
            )
        undisturbed = await record(url, SCRIPT, partials=False)
        told = ("stream_erc_warnings_total", "not_detected")
        n_told = sum(len(of_type(heard, "warning")) for heard in both)
        await until_metric(url, *told, value=n_told)
    for heard in both:
        assert_in_order(heard)
        assert results(heard) == results(undisturbed)
        assert {one["code"] for one in of_type(heard, "warning")} <= {"not_detected"}
    assert n_told in ({1, 2} if fault == "hang" else {1})  # mates of the call alone
    assert not of_type(undisturbed, "warning")
    assert "detect failed" in caplog.text


async def test_while_the_detector_hangs_at_one_others_are_heard(serve, vad):
    patient = EngineConfig()
    async with serve(ScriptedModels(), engine=patient, drain_s=0.2) as (server, url):
        with vad:
            async with talk(url, partials=False) as victim:
                await victim.say(as_pcm16(SCRIPT[0]), END)
                while not vad.has_shown:  # noqa: ASYNC110
                    await asyncio.sleep(0)
                other = await record(url, SCRIPT, partials=False)
                assert not of_type(other, "warning")
                assert server._sessions._rounds.relieve(0.0) == 1
                heard = await victim.hear_all()
                assert_in_order(heard)
                assert len(of_type(heard, "warning")) == 1


async def test_a_detector_that_hangs_too_often_is_left_alone_and_told(serve, vad):
    brief = EngineConfig(hang_s=HANG_S, max_stuck=1)
    async with serve(ScriptedModels(), engine=brief, drain_s=0.2) as (_, url):
        with vad:
            first = await record(url, SCRIPT[:1], partials=False)
            ready = await asyncio.to_thread(page, url, "/readyz")
            assert ready == (503, "stuck\n")
            await until_metric(
                url, "stream_erc_worker_restarts_total", "detect", value=1
            )
            other = await record(url, SCRIPT, partials=False)
            assert_in_order(other)
            assert [one["code"] for one in of_type(other, "warning")] == [
                "not_detected"
            ]
        async with asyncio.timeout(20):
            while (await asyncio.to_thread(page, url, "/readyz"))[0] != 200:
                pass
        again = await record(url, SCRIPT, partials=False)
    assert_in_order(first)
    assert not of_type(again, "warning")
    assert results(again) == results(other)
