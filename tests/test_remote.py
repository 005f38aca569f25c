"""Requests to a pool: asked again where a replica is lost, partials only in time.

A scripted pool stands in for Ray; `test_cluster` has the real one.
"""

import asyncio
import logging
import shutil
import sys
import threading
import time
from collections import defaultdict
from concurrent.futures import CancelledError
from dataclasses import replace

import numpy as np
import pytest
from scripted_models import ScriptedModels

from stream_erc import remote
from stream_erc.cluster import ClusterConfig
from stream_erc.config import DEFAULT_MODEL, AsrConfig, EmotionConfig, Settings
from stream_erc.engine import HearRequest, Lane, Origin, UnderstandRequest
from stream_erc.engines import InlineEngine
from stream_erc.errors import ConfigError, ModelError
from stream_erc.fingerprint import fingerprint_hearing, fingerprint_understanding
from stream_erc.flow import TurnFeatures
from stream_erc.lanes import Desk
from stream_erc.ray_cluster import Terse
from stream_erc.ray_pool import find_cause, join_cluster, receive
from stream_erc.remote import RemoteEngine, Unanswered
from stream_erc.replicas import (
    Call,
    HearingReplica,
    Profile,
    Refusal,
    Replica,
    UnderstandingReplica,
    pack,
    unpack,
)
from stream_erc.rescue import hear_voice

TIMEOUT_S = 20  # of a wait that ends at once unless the test fails
QUICK = ClusterConfig(attempt_s=0.05, patience_s=10.0)
LOST, SILENT = "lost", "silent"


def hear(session="a", turn=0, lane=Lane.FINAL, deadline_s=None):
    origin = Origin(session, turn, 0, lane, deadline_s)
    return HearRequest(origin, np.zeros(1600, np.float32), 1600, None)


def understand():
    features = TurnFeatures("Ann", "Hi.", None)
    return UnderstandRequest(Origin("a", 0, 0, Lane.FINAL), features, (), 0)


class ScriptedPool:
    """Does what the script of a desk says, question by question; then it answers.

    Attributes:
        asked: Every question so far: desk, origin, seconds left.
        script: `LOST`, `SILENT` or an event that an answer waits for, by desk.
        is_there: Whether `check` finds a replica.
    """

    languages = ("en",)
    prior = ScriptedModels.prior

    def __init__(self):
        self._models = InlineEngine(ScriptedModels())
        self.asked = []
        self.script = defaultdict(list)
        self.is_there = True

    def empty_context(self):
        return ()

    async def ask(self, desk, request, left_s):
        self.asked.append((desk, request.origin, left_s))
        step = self.script[desk].pop(0) if self.script[desk] else None
        if step == LOST:
            raise Unanswered("ActorDiedError")
        if step == SILENT:
            await asyncio.Event().wait()
        if isinstance(step, asyncio.Event):
            await step.wait()
        travelled = replace(request.origin, deadline_s=-1.0)  # another machine's clock
        answered = self._models.submit(request).result()
        return replace(answered, origin=travelled, queue_s=0.25)

    def close(self):
        self.is_there = None

    async def check(self):
        if not self.is_there:
            raise Unanswered("nobody")


@pytest.fixture
def pool():
    return ScriptedPool()


@pytest.fixture
def open_engine(pool):
    """Gives an engine in front of the pool; what it counts is in `retries`."""
    engines = []

    def run(config=QUICK):
        retries = []
        engine = RemoteEngine(pool, config, retries.append)
        engine.retries = retries
        engines.append(engine)
        return engine

    yield run
    for engine in engines:
        engine.close()


def test_an_answer_has_the_origin_of_its_request_and_how_long_it_waited(open_engine):
    result = open_engine().submit(hear()).result(TIMEOUT_S)
    assert result.origin == hear().origin
    assert result.queue_s >= 0.25  # at the replica, too
    assert result.compute_s >= -0.25


@pytest.mark.parametrize("request_", [hear(), understand()], ids=["hear", "understand"])
@pytest.mark.parametrize("fault", [LOST, SILENT])
def test_a_final_is_asked_until_somebody_answers(pool, open_engine, request_, fault):
    desk = "hear" if isinstance(request_, HearRequest) else "understand"
    pool.script[desk] = [fault, fault]
    engine = open_engine()
    result = engine.submit(request_).result(TIMEOUT_S)
    assert not result.is_rescued
    assert [asked[0] for asked in pool.asked] == [desk] * 3
    assert engine.retries == [desk] * 2


def test_a_final_that_nobody_answers_is_told_without_the_model(pool, open_engine):
    pool.script["hear"] = [LOST] * 1000
    engine = open_engine(ClusterConfig(patience_s=0.1))
    result = engine.submit(hear()).result(TIMEOUT_S)
    assert result.is_rescued
    assert result.voice.functionals is not None


def test_a_partial_is_asked_once(pool, open_engine):
    pool.script["hear"] = [LOST]
    engine = open_engine()
    with pytest.raises(Unanswered):
        engine.submit(hear(lane=Lane.PARTIAL)).result(TIMEOUT_S)
    assert len(pool.asked) == 1
    assert engine.retries == []


def test_a_deadline_travels_as_the_time_that_is_left(pool, open_engine):
    deadline_s = time.monotonic() + 100
    partial = hear(lane=Lane.PARTIAL, deadline_s=deadline_s)
    result = open_engine().submit(partial).result(TIMEOUT_S)
    [(_, _, left_s)] = pool.asked
    assert 0 < left_s <= 100
    assert result.origin.deadline_s == deadline_s


def test_a_partial_that_is_late_is_given_up(pool, open_engine):
    pool.script["hear"] = [SILENT]
    soon = time.monotonic() + 0.05
    waiting = open_engine().submit(hear(lane=Lane.PARTIAL, deadline_s=soon))
    with pytest.raises((TimeoutError, CancelledError)):
        waiting.result(TIMEOUT_S)


def test_while_nobody_is_there_partials_stop_and_finals_wait(
    pool, open_engine, monkeypatch
):
    monkeypatch.setattr(remote, "CHECK_S", 0.001)
    pool.is_there = False
    pool.script["hear"] = [LOST] * 3
    engine = open_engine()
    wait_until(lambda: engine.trouble == "no replica answers")
    with pytest.raises(Unanswered):
        engine.submit(hear(lane=Lane.PARTIAL)).result(TIMEOUT_S)
    assert pool.asked == []
    assert not engine.submit(hear()).result(TIMEOUT_S).is_rescued
    pool.is_there = True
    wait_until(lambda: engine.trouble is None)
    assert engine.submit(hear(lane=Lane.PARTIAL)).result(TIMEOUT_S)


def test_partials_leave_half_of_the_room_to_finals(pool, open_engine):
    gate = asyncio.Event()
    pool.script["hear"] = [gate, gate]
    engine = open_engine(ClusterConfig(in_flight=4))
    partials = [engine.submit(hear(s, lane=Lane.PARTIAL)) for s in "abc"]
    assert engine.submit(hear("d")).result(TIMEOUT_S)
    assert engine.waiting() == {"hear": 1, "understand": 0}
    engine._loop.call_soon_threadsafe(gate.set)
    assert all(partial.result(TIMEOUT_S) for partial in partials)


def test_the_delay_is_that_of_the_oldest_final_under_way(pool, open_engine):
    gate = asyncio.Event()
    pool.script["hear"] = [gate]
    engine = open_engine(ClusterConfig())
    assert engine.delay_s == 0.0
    final = engine.submit(hear())
    wait_until(lambda: engine.delay_s > 0.01)
    engine._loop.call_soon_threadsafe(gate.set)
    final.result(TIMEOUT_S)
    wait_until(lambda: engine.delay_s == 0.0)


def wait_until(is_so):
    until_s = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < until_s


# --- on the other machine -------------------------------------------------------

PROFILE = Profile("1", "right", 768)


@pytest.fixture
def open_replica():
    """Gives a replica in front of a function that answers batches."""
    desks = []

    def run(answer):
        desk = Desk("hear", answer, hear_voice, n_threads=1, max_batch=1, max_stuck=1)
        desks.append(desk)
        return Replica(desk, PROFILE, hang_s=0.0)

    yield run
    for desk in desks:
        desk.close()


def answer(requests):
    return [InlineEngine(ScriptedModels()).submit(one).result() for one in requests]


async def test_a_replica_answers_for_its_own_models_alone(open_replica):
    replica = open_replica(answer)
    answered = await replica.answer(Call(hear(), "right", None))
    assert answered.transcript.text
    refused = await replica.answer(Call(hear(), "wrong", None))
    assert refused == Refusal("the replica has other models")


async def test_a_partial_is_late_by_the_clock_of_its_replica(open_replica):
    replica = open_replica(answer)
    late = hear(lane=Lane.PARTIAL, deadline_s=time.monotonic() + 1000)
    assert isinstance(await replica.answer(Call(late, "right", -1.0)), Refusal)
    early = hear(lane=Lane.PARTIAL, deadline_s=time.monotonic() - 1000)
    answered = await replica.answer(Call(early, "right", 1000.0))
    assert not isinstance(answered, Refusal)


async def test_a_refusal_quotes_nothing_that_was_said(open_replica, caplog):
    def fail(requests):
        raise KeyError("Ann")

    refused = await open_replica(fail).answer(
        Call(hear(lane=Lane.PARTIAL), "right", None)
    )
    assert refused == Refusal("the model failed: KeyError")


async def test_a_replica_whose_model_hangs_is_not_healthy(open_replica, caplog):
    is_called, may_go_on = threading.Event(), threading.Event()

    def hang(requests):
        is_called.set()
        may_go_on.wait()
        return answer(requests)

    replica = open_replica(hang)
    replica.check_health()
    asking = asyncio.create_task(replica.answer(Call(hear(), "right", None)))
    await asyncio.to_thread(is_called.wait)
    with pytest.raises(RuntimeError, match="stuck"):
        replica.check_health()
    assert (await asking).is_rescued
    may_go_on.set()


# --- which models ----------------------------------------------------------------


def test_models_with_other_settings_or_files_have_another_fingerprint(tmp_path):
    usual = Settings()
    hear, understand = fingerprint_hearing(usual), fingerprint_understanding(usual)
    assert fingerprint_hearing(Settings(asr=AsrConfig(threads=2))) == hear
    assert fingerprint_hearing(Settings(asr=AsrConfig(compute_type="int16"))) != hear
    model = tmp_path / "model"
    shutil.copytree(DEFAULT_MODEL, model)
    copied = Settings(emotion=EmotionConfig(model=str(model)))
    assert fingerprint_understanding(copied) == understand
    manifest = model / "manifest.json"
    manifest.write_text(manifest.read_text() + "\n")
    assert fingerprint_understanding(copied) != understand


def test_a_recognizer_that_is_not_here_cannot_be_asked_of_a_pool():
    with pytest.raises(ConfigError, match=r"asr\.whisper.*folder.*medium\.en"):
        fingerprint_hearing(Settings(asr=AsrConfig(whisper="medium.en")))


@pytest.mark.parametrize("kind", [HearingReplica, UnderstandingReplica])
def test_a_replica_of_another_model_does_not_start(kind):
    with pytest.raises(ModelError, match="expected on this node the model of the gate"):
        kind(pack(Settings()), "another")


def test_a_replica_without_the_model_does_not_start(tmp_path):
    nowhere = Settings(emotion=EmotionConfig(model=str(tmp_path)))
    with pytest.raises(ModelError, match="expected a model's manifest, got none"):
        UnderstandingReplica(pack(nowhere), "any")


def test_the_shipped_model_is_found_where_the_product_is():
    assert pack(Settings()).emotion.model == ""
    assert unpack(pack(Settings())).emotion.model == str(DEFAULT_MODEL)


async def test_a_replica_that_cancels_a_call_has_not_cancelled_who_asks():
    class Response(asyncio.Future):  # Ray's have `cancel`, too
        is_given_up = False

        def cancel(self, msg=None):
            self.is_given_up = True
            return super().cancel(msg)

    stopped = Response()
    stopped.set_exception(asyncio.CancelledError())
    with pytest.raises(Unanswered, match="the replica stops"):
        await receive(lambda: stopped)
    slow = Response()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.0):
            await receive(lambda: slow)
    assert slow.is_given_up


@pytest.mark.parametrize("error", [RuntimeError, OSError])
async def test_whatever_a_call_brings_instead_of_an_answer_is_none(error):
    broken = asyncio.Future()
    broken.set_exception(error("what was said"))
    with pytest.raises(Unanswered, match=f"^{error.__name__}$"):
        await receive(lambda: broken)


def test_what_a_replica_died_of_is_told_in_a_line():
    class Told:
        def __init__(self, message, *others):
            self.message = message
            self.deployments = dict(enumerate(others))

    error = "Traceback\n  ...\nstream_erc.errors.ModelError: a: expected b, got c\nx"
    assert find_cause([Told(""), Told("failed", Told(error))]) == "a: expected b, got c"
    killed = "x: '2 worker(s) were killed due to the node running low on memory.\nx'"
    assert find_cause([Told(killed)]).startswith("2 worker(s) were killed")
    assert find_cause([Told("", Told("no room\nfor 64 cores\n"))]) == "for 64 cores"
    assert find_cause([]) == "nothing"


def test_of_what_ray_logs_the_first_line_is_told_once_a_minute():
    def tell(at_s, *arguments):
        record = logging.LogRecord(
            "ray", 30, "", 0, "%s died\nand so on", arguments, with_trace
        )
        record.created = at_s
        return terse.filter(record) and logging.Formatter().format(record)

    try:
        raise ValueError("several\nlines")
    except ValueError:
        with_trace = sys.exc_info()
    terse = Terse()
    told = [tell(0.0, "a"), tell(1.0, "a"), tell(2.0, "b"), tell(59.9, "a")]
    assert told == ["a died", False, "b died", False]
    assert tell(60.0, "a") == "a died"


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"engine\.kind.*stream-erc\[cluster\]"):
        join_cluster(ClusterConfig())


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"address": "ray://h:1"}, "cluster.address"),
        ({"pool": "a b"}, "cluster.pool"),
        ({"hearing_min": 5}, "cluster.hearing_min"),
        ({"understanding_gpus": -1.0}, "cluster.understanding_gpus"),
        ({"in_flight": 1}, "cluster.in_flight"),
        ({"patience_s": 0.0}, "cluster.patience_s"),
    ],
)
def test_a_setting_of_the_cluster_that_is_wrong_is_named(wrong, told):
    with pytest.raises(ConfigError, match=told):
        ClusterConfig(**wrong)
