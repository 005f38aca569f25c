"""Requests of many sessions -> results: two lanes in front of a few threads."""

import threading
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.engine import Lane, Origin
from stream_erc.lanes import Desk, Lanes, Waiting

TIMEOUT_S = 20  # of a wait that ends at once unless the test fails


@dataclass(frozen=True)
class Request:
    """Stands in for both kinds of requests: the lanes look at the origin alone."""

    origin: Origin


@dataclass(frozen=True)
class Result:
    origin: Origin
    queue_s: float = 0.0
    compute_s: float = 0.0
    is_rescued: bool = False


def final(session="a", number=0):
    return Request(Origin(session, number, 0, Lane.FINAL))


def partial(session="a", revision=0, deadline_s=None):
    return Request(Origin(session, 0, revision, Lane.PARTIAL, deadline_s))


def wait(request):
    return Waiting(request, Future(), 0.0)


def lanes_of(*requests):
    lanes = Lanes()
    waiting = [wait(request) for request in requests]
    for one in waiting:
        lanes.put(one)
    return lanes, waiting


def take_all(lanes, with_partials=True):
    return [one.request for one in lanes.take(100, with_partials)]


# --- lanes --------------------------------------------------------------------


def test_finals_leave_in_the_order_in_which_they_came():
    requests = [final("a", 0), final("b", 0), final("a", 1)]
    lanes, _ = lanes_of(*requests)
    assert take_all(lanes) == requests


def test_finals_leave_before_partials():
    lanes, _ = lanes_of(partial("a"), final("b"), partial("c"), final("d"))
    assert take_all(lanes) == [final("b"), final("d"), partial("a"), partial("c")]


def test_of_a_sessions_partials_only_the_newest_waits():
    lanes, (first, second) = lanes_of(partial(revision=0), partial(revision=1))
    assert first.future.cancelled()
    assert not second.future.done()
    assert take_all(lanes) == [partial(revision=1)]


def test_a_newer_partial_keeps_its_sessions_place_in_the_row():
    lanes, _ = lanes_of(partial("a"), partial("b"), partial("a", revision=1))
    assert take_all(lanes) == [partial("a", revision=1), partial("b")]


def test_a_session_whose_partial_was_taken_waits_behind_the_others():
    lanes, _ = lanes_of(partial("a"), partial("b"))
    assert [one.request for one in lanes.take(1, True)] == [partial("a")]
    lanes.put(wait(partial("a", revision=1)))
    assert take_all(lanes) == [partial("b"), partial("a", revision=1)]


def test_no_more_are_taken_than_asked_for():
    lanes, _ = lanes_of(final("a"), final("b"), partial("c"))
    assert len(lanes.take(1, True)) == 1
    assert len(lanes.take(2, True)) == 2
    assert len(lanes) == 0


def test_partials_stay_where_they_are_not_wanted():
    lanes, _ = lanes_of(partial("a"), final("b"))
    assert take_all(lanes, with_partials=False) == [final("b")]
    assert take_all(lanes, with_partials=False) == []
    assert take_all(lanes) == [partial("a")]


def test_a_partial_past_its_deadline_is_cancelled_instead_of_taken():
    lanes, (late, _) = lanes_of(
        partial("a", deadline_s=float("-inf")), partial("b", deadline_s=float("inf"))
    )
    assert [one.request.origin.session for one in lanes.take(1, True)] == ["b"]
    assert late.future.cancelled()


def test_a_final_has_no_deadline():
    origin = Origin("a", 0, 0, Lane.FINAL, deadline_s=float("-inf"))
    lanes, _ = lanes_of(Request(origin))
    assert take_all(lanes) == [Request(origin)]


def test_what_was_taken_can_not_be_cancelled_any_more():
    lanes, (one,) = lanes_of(final())
    lanes.take(1, True)
    lanes.cancel("a")
    assert not one.future.cancel()


def test_a_request_that_its_session_cancelled_is_not_taken():
    lanes, (first, _) = lanes_of(final("a", 0), final("a", 1))
    first.future.cancel()
    assert take_all(lanes) == [final("a", 1)]


def test_a_session_that_is_gone_leaves_nothing_behind():
    lanes, waiting = lanes_of(final("a"), partial("a"), final("b"), partial("b"))
    lanes.cancel("a")
    assert [one.future.cancelled() for one in waiting] == [True, True, False, False]
    assert len(lanes) == 2
    assert take_all(lanes) == [final("b"), partial("b")]


names = st.sampled_from("abc")
requests = st.lists(
    st.builds(final, names, st.integers(0, 99))
    | st.builds(partial, names, st.integers(0, 99))
    | st.integers(1, 3)
)


@given(requests)
def test_every_final_leaves_once_and_every_partial_leaves_or_is_cancelled(script):
    lanes, put, taken = Lanes(), [], []
    for step in script:
        if isinstance(step, int):
            taken += lanes.take(step, True)
        else:
            put.append(wait(step))
            lanes.put(put[-1])
        n_partials = sum(one.request.origin.lane is Lane.PARTIAL for one in put)
        assert len(lanes) <= len(put) - n_partials + 3  # one of each session waits
    taken += lanes.take(1000, True)
    finals = [one for one in put if one.request.origin.lane is Lane.FINAL]
    assert [one for one in taken if one in finals] == finals
    for one in put:
        assert (one in taken) != one.future.cancelled()


# --- desks --------------------------------------------------------------------


class Worker:
    """Stands in for the models: holds a batch until it is let go, one by one."""

    def __init__(self):
        self._changed = threading.Condition()
        self._free = set()
        self.begun = []  # requests in the order in which work on them began

    def __call__(self, batch):
        with self._changed:
            self.begun += batch
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._free >= set(batch), TIMEOUT_S)
        return [Result(request.origin) for request in batch]

    def wait_until_begun(self, request):
        with self._changed:
            assert self._changed.wait_for(lambda: request in self.begun, TIMEOUT_S)

    def wait_until_begun_again(self, request):
        with self._changed:
            assert self._changed.wait_for(
                lambda: self.begun.count(request) == 2, TIMEOUT_S
            )

    def free(self, *requests):
        with self._changed:
            self._free |= set(requests)
            self._changed.notify_all()


@pytest.fixture
def open_desk():
    """Open desks that are closed behind the test."""
    desks = []

    def open_one(answer, n_threads=1, max_batch=1, rescue=rescue, max_stuck=4):
        desks.append(
            Desk(
                "test",
                answer,
                rescue,
                n_threads=n_threads,
                max_batch=max_batch,
                max_stuck=max_stuck,
            )
        )
        return desks[-1]

    yield open_one
    for desk in desks:
        desk.close()


def rescue(request):
    return Result(request.origin, is_rescued=True)


def answer_at_once(batch):
    return [Result(request.origin) for request in batch]


def test_a_desk_tells_how_long_the_next_final_has_waited(open_desk):
    worker = Worker()
    desk = open_desk(worker)
    assert desk.delay_s == 0.0
    futures = [desk.put(final("a", 1))]
    worker.wait_until_begun(final("a", 1))
    assert desk.delay_s == 0.0  # it waits no more
    futures.append(desk.put(final("a", 2)))
    earlier_s = desk.delay_s
    assert 0.0 < earlier_s < desk.delay_s
    worker.free(final("a", 1), final("a", 2))
    assert all(future.result(TIMEOUT_S) for future in futures)
    assert desk.delay_s == 0.0


def test_a_request_is_answered_with_how_long_it_took(open_desk):
    result = open_desk(answer_at_once).put(final()).result(TIMEOUT_S)
    assert result.origin == final().origin
    assert result.queue_s > 0
    assert result.compute_s > 0


def test_with_two_threads_a_final_never_waits_for_a_partial(open_desk):
    worker = Worker()
    desk = open_desk(worker, n_threads=2)
    finals = [final("c", number) for number in range(10)]
    worker.free(*finals)
    running = desk.put(partial("a"))
    worker.wait_until_begun(partial("a"))
    waiting = desk.put(partial("b"))
    for request in finals:  # one after another, while the partial is still at work
        desk.put(request).result(TIMEOUT_S)
    assert worker.begun == [partial("a"), *finals]
    worker.free(partial("a"), partial("b"))
    running.result(TIMEOUT_S)
    waiting.result(TIMEOUT_S)


def test_one_thread_takes_the_finals_that_wait_before_the_partials(open_desk):
    worker = Worker()
    desk = open_desk(worker)
    requests = [final("a"), partial("b"), final("c")]
    futures = [desk.put(requests[0])]
    worker.wait_until_begun(requests[0])
    futures += [desk.put(request) for request in requests[1:]]
    worker.free(*requests)
    for future in futures:
        future.result(TIMEOUT_S)
    assert worker.begun == [final("a"), final("c"), partial("b")]


def test_what_waits_together_is_answered_together_up_to_the_greatest_batch(open_desk):
    batches = []
    worker = Worker()

    def answer(batch):
        batches.append(len(batch))
        return worker(batch)

    desk = open_desk(answer, max_batch=3)
    requests = [final("a", number) for number in range(6)]
    futures = [desk.put(requests[0])]
    worker.wait_until_begun(requests[0])
    futures += [desk.put(request) for request in requests[1:]]
    worker.free(*requests)
    assert [future.result(TIMEOUT_S).origin for future in futures] == [
        request.origin for request in requests
    ]
    assert batches == [1, 3, 2]


def fail_the_bad(batch):
    if any(request.origin.session == "bad" for request in batch):
        raise ValueError("no such thing")
    return answer_at_once(batch)


def test_a_final_that_fails_is_rescued_and_the_desk_goes_on(open_desk, caplog):
    desk = open_desk(fail_the_bad)
    assert desk.put(final("bad")).result(TIMEOUT_S).is_rescued
    assert "no such thing" in caplog.text
    good = desk.put(final("good")).result(TIMEOUT_S)
    assert (good.origin.session, good.is_rescued) == ("good", False)


def test_a_partial_that_fails_is_not_rescued(open_desk):
    desk = open_desk(fail_the_bad)
    with pytest.raises(ValueError, match="no such thing"):
        desk.put(partial("bad")).result(TIMEOUT_S)


def test_a_rescue_that_fails_reaches_the_one_who_waits(open_desk):
    def drown(request):
        raise ZeroDivisionError

    desk = open_desk(fail_the_bad, rescue=drown)
    with pytest.raises(ZeroDivisionError):
        desk.put(final("bad")).result(TIMEOUT_S)
    assert not desk.put(final("good")).result(TIMEOUT_S).is_rescued


def test_one_sessions_error_does_not_reach_its_batch_mates(open_desk):
    worker = Worker()

    def answer(batch):
        worker(batch)
        return fail_the_bad(batch)

    desk = open_desk(answer, max_batch=8)
    requests = [final("first"), final("good"), final("bad"), final("fine")]
    futures = [desk.put(requests[0])]
    worker.wait_until_begun(requests[0])
    futures += [desk.put(request) for request in requests[1:]]
    worker.free(*requests)
    results = [future.result(TIMEOUT_S) for future in futures]
    assert [result.is_rescued for result in results] == [False, False, True, False]


def test_what_a_session_cancels_is_never_begun(open_desk):
    worker = Worker()
    desk = open_desk(worker)
    desk.put(final("a"))
    worker.wait_until_begun(final("a"))
    dropped = [desk.put(final("gone")), desk.put(partial("gone"))]
    last = desk.put(final("b"))
    assert desk.waiting() == 3
    desk.cancel("gone")
    assert desk.waiting() == 1
    worker.free(final("a"), final("b"))
    last.result(TIMEOUT_S)
    for future in dropped:
        with pytest.raises(CancelledError):
            future.result(TIMEOUT_S)
    assert worker.begun == [final("a"), final("b")]


def test_a_closing_desk_answers_what_waits_and_ends_its_threads():
    worker = Worker()
    desk = Desk("closing", worker, rescue, n_threads=2, max_batch=1, max_stuck=4)
    requests = [final("a"), partial("b"), final("c"), partial("d"), final("e")]
    futures = [desk.put(request) for request in requests]
    worker.free(*requests)
    desk.close()
    assert all(future.result(0) for future in futures)
    assert not [one for one in threading.enumerate() if "closing" in one.name]


# --- stuck threads ------------------------------------------------------------

NO_TIME_S = 0.0  # whatever works is taken for stuck
TIME_S = 1000.0


def test_a_stuck_final_is_rescued_and_the_next_one_answered_by_another_thread(
    open_desk, caplog
):
    worker = Worker()
    desk = open_desk(worker)
    stuck, later = desk.put(final("stuck")), desk.put(final("later"))
    worker.wait_until_begun(final("stuck"))
    assert desk.relieve(TIME_S) == 0
    assert desk.relieve(NO_TIME_S) == 1
    assert stuck.result(TIMEOUT_S).is_rescued
    assert "stuck" in caplog.text
    worker.free(final("later"))
    assert not later.result(TIMEOUT_S).is_rescued
    worker.free(final("stuck"))  # what it still brings is thrown away


def test_a_stuck_partial_is_not_rescued(open_desk):
    worker = Worker()
    desk = open_desk(worker)
    stuck = desk.put(partial("stuck"))
    worker.wait_until_begun(partial("stuck"))
    desk.relieve(NO_TIME_S)
    with pytest.raises(TimeoutError):
        stuck.result(TIMEOUT_S)
    worker.free(partial("stuck"))


def test_a_desk_where_nothing_works_has_nobody_stuck(open_desk):
    desk = open_desk(answer_at_once, n_threads=3)
    desk.put(final()).result(TIMEOUT_S)
    assert desk.relieve(TIME_S) == 0


def test_the_batch_mates_of_a_stuck_one_are_answered(open_desk):
    worker = Worker()
    desk = open_desk(worker, max_batch=8)
    requests = [final("first"), final("good"), final("stuck"), final("fine")]
    futures = [desk.put(requests[0])]
    worker.wait_until_begun(requests[0])
    futures += [desk.put(request) for request in requests[1:]]
    worker.free(final("first"), final("good"), final("fine"))
    worker.wait_until_begun(final("stuck"))  # in a batch with the others
    desk.relieve(NO_TIME_S)
    worker.wait_until_begun_again(final("stuck"))
    desk.relieve(NO_TIME_S)
    results = [future.result(TIMEOUT_S) for future in futures]
    assert [result.is_rescued for result in results] == [False, False, True, False]
    worker.free(final("stuck"))


def test_a_model_with_too_many_stuck_threads_is_left_alone_until_they_return(
    open_desk,
):
    worker = Worker()
    desk = open_desk(worker, max_stuck=2)
    for number in range(2):
        assert not desk.is_stuck
        desk.put(final("stuck", number))
        worker.wait_until_begun(final("stuck", number))
        desk.relieve(NO_TIME_S)
    assert desk.is_stuck
    assert desk.put(final("later")).result(TIMEOUT_S).is_rescued
    assert final("later") not in worker.begun
    stuck = desk._stuck[0].thread
    worker.free(final("stuck", 0), final("later"))
    stuck.join(TIMEOUT_S)
    assert not desk.is_stuck
    assert not desk.put(final("later")).result(TIMEOUT_S).is_rescued
    worker.free(final("stuck", 1))


def test_a_relieved_thread_keeps_a_place_free_for_finals(open_desk):
    worker = Worker()
    desk = open_desk(worker, n_threads=2)
    for number in range(2):
        desk.put(final("stuck", number))
        worker.wait_until_begun(final("stuck", number))
    assert desk.relieve(NO_TIME_S) == 2
    desk.put(partial("a"))
    worker.wait_until_begun(partial("a"))
    desk.put(partial("b"))
    worker.free(final("c"))
    assert not desk.put(final("c")).result(TIMEOUT_S).is_rescued
    worker.free(*(final("stuck", n) for n in range(2)), partial("a"), partial("b"))


# --- all at once --------------------------------------------------------------


def test_many_threads_and_sessions_lose_no_final(open_desk):
    desk = open_desk(answer_at_once, n_threads=4, max_batch=2)
    start = threading.Barrier(8)
    futures = {}

    def send(session):
        start.wait(TIMEOUT_S)
        for number in range(50):
            desk.put(partial(session, number))
            futures[session, number] = desk.put(final(session, number))

    threads = [threading.Thread(target=send, args=(f"s{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert len(futures) == 400
    for (session, number), future in futures.items():
        result = future.result(TIMEOUT_S)
        assert replace(result, queue_s=0, compute_s=0) == Result(
            final(session, number).origin
        )
