"""Messages that are kept: numbered, in order, bounded."""

import json

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


@pytest.mark.parametrize("last_seq", [-2, 1, 5, 6])
def test_it_does_not_rewind_to_what_it_does_not_have(last_seq):
    backlog = filled(5, 2 * PONG_BYTES)
    send(backlog)  # 3 and 4 are kept
    with pytest.raises(NotAllowed, match=f"expected 2 to 4.* got {last_seq}"):
        backlog.rewind(last_seq)
    backlog.rewind(2)
    assert backlog.n_unsent == 2
