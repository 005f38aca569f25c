"""Work of many sessions -> few trips to a thread."""

import asyncio
import threading
from functools import partial

import pytest

from stream_erc.rounds import TOGETHER, Rounds, attempt


@pytest.fixture
def rounds():
    rounds = Rounds(lambda works: [attempt(work) for work in works], 2, "rounds")
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

    rounds = Rounds(fail, 1, "rounds")
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
