"""Work of many sessions -> few trips to a thread."""

import asyncio
import threading
from functools import partial

import pytest

from stream_erc.config import EngineConfig
from stream_erc.rounds import TOGETHER, Rounds, attempt


class Calls:
    """A round of functions; they are the model."""

    def __init__(self, works):
        self.works = works

    def ask(self):
        return [attempt(work) for work in self.works]

    def finish(self, answer):
        outcomes, failed = answer
        return outcomes or [(None, failed)] * len(self.works)


def open_rounds(open_round=Calls, on_restart=lambda _: None, **config):
    return Rounds(open_round, 2, "rounds", EngineConfig(**config), on_restart)


@pytest.fixture
def rounds():
    rounds = open_rounds()
    yield rounds
    rounds.shutdown()


async def test_everybody_gets_what_came_of_his_own_work(rounds):
    works = [partial(pow, n, 2) for n in range(3 * TOGETHER)]
    results = await asyncio.gather(*map(rounds.run, works))
    assert results == [n**2 for n in range(3 * TOGETHER)]


async def test_what_comes_at_the_same_time_goes_in_one_trip(rounds):
    threads = await asyncio.gather(*[rounds.run(threading.get_ident)] * TOGETHER)
    assert len(set(threads)) == 1
    assert threads[0] != threading.get_ident()


async def test_what_may_not_wait_takes_along_what_was_gathered(rounds, monkeypatch):
    monkeypatch.setattr("stream_erc.rounds.GATHER_S", 1000.0)
    patient = asyncio.create_task(rounds.run(partial(int, "1")))
    await asyncio.sleep(0)  # it has been gathered
    assert await rounds.run(partial(int, "2"), at_once=True) == 2
    assert await patient == 1


async def test_one_that_fails_spoils_no_other(rounds):
    works = [partial(int, text) for text in ("1", "two", "3")]
    one, two, three = await asyncio.gather(
        *map(rounds.run, works), return_exceptions=True
    )
    assert (one, three) == (1, 3)
    assert isinstance(two, ValueError)


async def test_a_round_that_fails_as_a_whole_is_told_to_everybody():
    def fail(works):
        raise MemoryError

    rounds = open_rounds(fail)
    one, two = await asyncio.gather(
        rounds.run(1), rounds.run(2), return_exceptions=True
    )
    assert isinstance(one, MemoryError) and isinstance(two, MemoryError)
    rounds.shutdown()


async def test_one_that_does_not_wait_any_more_spoils_no_other(rounds):
    begun, release = threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait()

    impatient = asyncio.create_task(rounds.run(work))
    patient = asyncio.create_task(rounds.run(partial(int, "3")))
    await asyncio.to_thread(begun.wait)
    impatient.cancel()
    release.set()
    assert await patient == 3
    with pytest.raises(asyncio.CancelledError):
        await impatient


async def test_a_long_trip_holds_up_no_later_round(rounds):
    begun, release = threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait()

    long = asyncio.create_task(rounds.run(work))
    await asyncio.to_thread(begun.wait)
    assert await rounds.run(partial(int, "3")) == 3
    release.set()
    await long


def test_a_loop_that_has_closed_is_not_told(rounds):
    begun, release = threading.Event(), threading.Event()

    def work():
        begun.set()
        release.wait()

    async def leave():
        task = asyncio.create_task(rounds.run(work))
        await asyncio.to_thread(begun.wait)
        task.cancel()

    asyncio.run(leave())
    release.set()  # whatever goes wrong from here on, shutdown would show


# --- a model that hangs -----------------------------------------------------------


class Hanging:
    """A call that hangs until the end of a `with`."""

    def __init__(self):
        self.begun, self.release = threading.Event(), threading.Event()

    def __call__(self):
        self.begun.set()
        self.release.wait()
        return "late"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.release.set()


async def hang(rounds, call):
    """Let a round of its own hang in a call; give who waits for it."""
    waiting = asyncio.create_task(rounds.run(call, at_once=True))
    await asyncio.to_thread(call.begun.wait)
    return waiting


async def test_a_thread_that_hangs_is_replaced_and_its_answer_thrown_away(caplog):
    restarts = []
    rounds = open_rounds(on_restart=restarts.append)
    with Hanging() as one, Hanging() as other:
        waiting = [await hang(rounds, call) for call in (one, other)]
        assert rounds.relieve(1000.0) == 0
        assert rounds.relieve(0.0) == 2
        for late in waiting:
            with pytest.raises(TimeoutError, match="rounds: expected an answer"):
                await late
        assert await rounds.run(partial(int, "3")) == 3
    assert await rounds.run(partial(int, "4")) == 4
    assert restarts == ["rounds"] * 2
    assert "another takes its place" in caplog.text
    rounds.shutdown()  # no thread is missing, none too many


async def test_somebody_looks_whether_a_call_hangs():
    rounds = open_rounds(hang_s=0.1)
    with Hanging() as call:
        with pytest.raises(TimeoutError):
            await rounds.run(call)
    rounds.shutdown()


async def test_a_model_that_hangs_too_often_is_left_alone_until_it_answers(caplog):
    rounds = open_rounds(max_stuck=2)
    with Hanging() as one, Hanging() as other:
        waiting = [await hang(rounds, call) for call in (one, other)]
        rounds.relieve(0.0)
        await asyncio.wait(waiting)
        assert rounds.is_stuck
        with pytest.raises(RuntimeError, match="left alone"):
            await rounds.run(partial(int, "3"))
    while rounds.is_stuck:  # noqa: ASYNC110
        await asyncio.sleep(0)
    assert await rounds.run(partial(int, "4")) == 4
    assert "restart the server" in caplog.text
    assert all(isinstance(late.exception(), TimeoutError) for late in waiting)
    rounds.shutdown()
