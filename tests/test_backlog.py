"""Messages that are kept: numbered, in order, bounded."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc import events
from stream_erc.backlog import Backlog
from stream_erc.errors import NotAllowed

PONG_BYTES = len(events.encode(events.Pong(seq=0, id="x")))


def filled(n_events, max_bytes=1 << 20, max_unsent=1000):
    backlog = Backlog(max_bytes, max_unsent)
    for _ in range(n_events):
        backlog.add(events.Pong(id="x"))
    return backlog


def send(backlog, n_events=1 << 30):
    sent = []
    while backlog.n_unsent and len(sent) < n_events:
        sent.append(backlog.peek())
        backlog.advance()
    return sent


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9))))
def test_whatever_is_lost_on_the_way_comes_again_as_it_was(steps):
    backlog, received = Backlog(1 << 20, 1000), []
    for n_new, n_sent, n_lost in steps:
        for _ in range(n_new):
            backlog.add(events.Pong(id=len(received)))
        received += send(backlog, n_sent)
        if n_lost:
            kept = received[: max(0, len(received) - n_lost)]
            backlog.rewind(len(kept) - 1)
            again = send(backlog, len(received) - len(kept))
            assert kept + again == received
    received += send(backlog)
    assert [json.loads(text)["seq"] for text in received] == list(range(len(received)))


@given(st.integers(1, 30), st.integers(0, 30), st.integers(1, 20))
def test_of_what_was_sent_only_so_much_is_kept(n_events, n_sent, n_kept):
    backlog = filled(n_events, n_kept * (PONG_BYTES + 1))
    sent = send(backlog, n_sent)
    assert backlog.next_seq == len(sent)
    assert len(backlog._texts) <= max(n_kept * 2, backlog.n_unsent)


def test_nothing_unsent_is_ever_forgotten():
    assert len(send(filled(100, max_bytes=1))) == 100


def test_it_is_overfull_when_more_waits_than_there_is_room_for():
    assert not filled(2, 2 * PONG_BYTES).is_overfull
    backlog = filled(3, 2 * PONG_BYTES)
    assert backlog.is_overfull
    send(backlog, 1)
    assert not backlog.is_overfull


# --- held back ------------------------------------------------------------------


def send_ready(backlog):
    sent = []
    while backlog.is_ready:
        sent.append(json.loads(backlog.peek())["id"])
        backlog.advance()
    return sent


@given(st.lists(st.booleans(), max_size=20), st.randoms())
def test_nothing_goes_before_what_is_held_and_nothing_stays_behind(are_held, dice):
    backlog, held, sent = Backlog(1 << 20, 1000), [], []
    for number, is_held in enumerate(are_held):
        event = events.Pong(id=number)
        backlog.add(event)
        if is_held:
            backlog.hold(event)
            held.append(event)
    releasing = dice.sample(held, len(held))
    while True:
        sent += send_ready(backlog)
        first = min((event.id for event in held), default=len(are_held))
        assert sent == list(range(first))
        if not releasing:
            return
        event = releasing.pop()
        held.remove(event)
        backlog.release(event)
        backlog.release(event)  # by whoever comes later


def test_what_was_sent_is_sent_again_though_more_is_held():
    backlog = filled(3)
    send(backlog)
    event = events.Pong(id="held")
    backlog.add(event)
    backlog.hold(event)
    backlog.rewind(0)
    assert send_ready(backlog) == ["x", "x"]
    backlog.release(event)
    assert send_ready(backlog) == ["held"]


# --- going back -----------------------------------------------------------------


# --- a slow reader ----------------------------------------------------------------


def partial_of(number):
    return events.TranscriptPartial(
        turn=0, revision=number, text="so far " * 9, stable_chars=0
    )


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3), st.integers(0, 4))),
    st.integers(1, 8),
    st.integers(1, 12),
)
def test_partials_fall_out_where_too_much_waits_and_nothing_else(
    steps, max_unsent, n_kept
):
    backlog = Backlog(n_kept * PONG_BYTES, max_unsent)
    received, n_dropped = [], 0
    for number, (is_partial, n_sent, n_lost) in enumerate(steps):
        event = partial_of(number) if is_partial else events.Pong(id=number)
        dropped = backlog.add(event)
        n_dropped += dropped
        assert dropped or not is_partial or not backlog.is_full
        received += send(backlog, n_sent)
        with suppress(NotAllowed):
            backlog.rewind(len(received) - 1 - min(n_lost, len(received)))
            received = received[: backlog.next_seq]
    received = [json.loads(text) for text in received + send(backlog)]
    assert [message["seq"] for message in received] == list(range(len(received)))
    assert len(received) == len(steps) - n_dropped
    pongs = [m["id"] for m in received if m["type"] == "pong"]
    assert pongs == [n for n, (is_partial, _, _) in enumerate(steps) if not is_partial]
    assert (backlog._unsent_bytes, backlog.n_unsent) == (0, 0)
    assert backlog._kept_bytes == sum(map(len, backlog._texts))


def test_a_partial_that_has_its_number_is_kept():
    backlog = Backlog(1 << 20, 2)
    backlog.add(partial_of(0))
    first = send(backlog)
    backlog.rewind(-1)
    for number in range(5):
        backlog.add(events.Pong(id=number))
    assert send(backlog, 1) == first


# --- what cannot be had -----------------------------------------------------------


@pytest.mark.parametrize("last_seq", [-2, 1, 5, 6])
def test_it_does_not_rewind_to_what_it_does_not_have(last_seq):
    backlog = filled(5, 2 * PONG_BYTES)
    send(backlog)  # 3 and 4 are kept
    with pytest.raises(NotAllowed, match=f"expected 2 to 4.* got {last_seq}"):
        backlog.rewind(last_seq)
    backlog.rewind(2)
    assert backlog.n_unsent == 2
