"""What the sessions of one conversation share, and for how long."""

import asyncio
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scripted_server import LABELS

from stream_erc import events
from stream_erc.conversation import Conversation, Conversations
from stream_erc.handover import Memory
from stream_erc.voices import Voices

AGES_S = 3600.0
ANN, BEN = "ann", "ben"


def conversations(linger_s=AGES_S, max_idle=100, on_excess=lambda: None, shelf=None):
    """Conversations whose empty context is a new object each, to tell them apart."""
    return Conversations(lambda: [], linger_s, max_idle, on_excess, shelf)


async def due_timers_have_run():
    """Wait for a timer that was set behind all those that are due."""
    done = asyncio.Event()
    asyncio.get_running_loop().call_later(0, done.set)
    await done.wait()


def test_commits_are_counted_and_the_last_context_is_the_one_remembered():
    conversation = Conversation(("nothing",))
    assert conversation.version == 0
    conversation.queue_up("s")
    conversation.queue_up("s")
    assert conversation.commit(("one",), Voices()) == 0
    assert conversation.commit(("one", "two"), Voices()) == 1
    assert (conversation.version, conversation.context) == (2, ("one", "two"))


async def test_sessions_that_name_the_same_conversation_share_it():
    shared = conversations()
    with shared.join(ANN, "kitchen") as one, shared.join(ANN, "kitchen") as other:
        assert one is other
        assert len(shared) == 1


async def test_sessions_that_name_different_conversations_or_none_share_nothing():
    shared = conversations()
    with (
        shared.join(ANN, "kitchen") as one,
        shared.join(ANN, "garden") as other,
        shared.join(ANN, None) as alone,
        shared.join(ANN, None) as lonely,
    ):
        contexts = [c.context for c in (one, other, alone, lonely)]
        assert len({id(context) for context in contexts}) == 4
        assert len(shared) == 2


async def test_what_two_owners_call_the_same_are_two_conversations():
    shared = conversations()
    with (
        shared.join(ANN, "kitchen") as one,
        shared.join(BEN, "kitchen") as other,
        shared.join("annkit", "chen") as glued,
    ):
        assert one is not other is not glued is not one
        assert len(shared) == 3


async def test_a_conversation_waits_a_while_for_its_next_session():
    shared = conversations()
    with shared.join(ANN, "kitchen") as one:
        pass
    await due_timers_have_run()
    with shared.join(ANN, "kitchen") as other:
        assert one is other


async def test_a_conversation_is_forgotten_a_while_after_its_last_session():
    shared = conversations(linger_s=0)
    with shared.join(ANN, "kitchen") as one:
        pass
    await due_timers_have_run()
    assert len(shared) == 0
    with shared.join(ANN, "kitchen") as other:
        assert one is not other


async def test_a_conversation_lives_while_any_of_its_sessions_does():
    shared = conversations(linger_s=0)
    with shared.join(ANN, "kitchen") as one:
        with shared.join(ANN, "kitchen"):
            pass
        await due_timers_have_run()
        with shared.join(ANN, "kitchen") as other:
            assert one is other


async def test_a_session_that_comes_back_in_time_stops_the_forgetting():
    shared = conversations(linger_s=0)
    with shared.join(ANN, "kitchen"):
        pass
    with shared.join(ANN, "kitchen"):
        await due_timers_have_run()
        assert len(shared) == 1


async def test_of_idle_conversations_so_many_are_kept_of_each_owner():
    n_forgotten = 0

    def count():
        nonlocal n_forgotten
        n_forgotten += 1

    shared = conversations(max_idle=2, on_excess=count)
    with shared.join(BEN, "first") as bens:
        pass
    with shared.join(ANN, "open") as opened:
        firsts = []
        for name in ("one", "two", "three", "two"):
            with shared.join(ANN, name) as conversation:
                firsts.append(conversation)
        assert n_forgotten == 1
        with shared.join(ANN, "one") as one, shared.join(ANN, "two") as two:
            assert one is not firsts[0]
            assert two is firsts[1]
    with shared.join(BEN, "first") as again, shared.join(ANN, "open") as still:
        assert (again, still) == (bens, opened)
    assert len(shared) == 3


async def test_a_session_that_fails_leaves_its_conversation_as_any_other():
    shared = conversations(linger_s=0)
    try:
        with shared.join(ANN, "kitchen"):
            raise ConnectionError
    except ConnectionError:
        await due_timers_have_run()
    assert len(shared) == 0


# --- who hears of whom ----------------------------------------------------------


class Listening:
    """A participant that notes what it is told."""

    def __init__(self):
        self.heard = []

    def go_on(self):
        """Nothing waits."""

    def hear_of(self, turn):
        self.heard.append(turn)


def turn_of(session):
    return events.ConversationTurn(
        session_id=session,
        speaker="Ann",
        start_ms=0,
        end_ms=1000,
        text="Yes.",
        rejected=False,
        label="joy",
        probabilities=dict.fromkeys(LABELS, 1 / 7),
        sentiment={"negative": 0.0, "neutral": 0.0, "positive": 1.0},
        modalities=("audio",),
        context_turns=0,
        context_seq=0,
    )


rooms = st.tuples(
    st.sampled_from([ANN, BEN, ""]), st.sampled_from(["kitchen", "annkit", None])
)


@given(st.lists(rooms, min_size=1, max_size=8))
def test_a_turn_is_heard_of_in_its_own_room_of_its_own_owner_alone(joined):
    async def gather():
        shared = conversations()
        with ExitStack() as stack:
            seats = []
            for number, room in enumerate(joined):
                conversation = stack.enter_context(shared.join(*room))
                listening = Listening()
                stack.enter_context(conversation.seat(str(number), listening))
                seats.append((room, conversation, listening))
            for number, (_, conversation, _) in enumerate(seats):
                conversation.tell(turn_of(str(number)))
            return seats

    seats = asyncio.run(gather())
    for number, (room, _, listening) in enumerate(seats):
        wanted = [
            str(other)
            for other, (its, _, _) in enumerate(seats)
            if its == room and its[1] is not None and other != number
        ]
        assert [turn.session_id for turn in listening.heard] == wanted


# --- from one server to another -----------------------------------------------


class Shelf:
    """Stands in for a folder; its disk answers once it is let go."""

    def __init__(self, write_s=0.0):
        self.left = {}
        self.n_taken = 0
        self.n_asked_to_leave = 0
        self.write_s = write_s
        self.can_answer = threading.Event()
        self.can_answer.set()

    def leave(self, key, memory):
        self.n_asked_to_leave += 1
        self.can_answer.wait()
        time.sleep(self.write_s)  # a slow disk, not a wait for anything
        self.left[key] = memory
        return True

    def take(self, key):
        self.can_answer.wait()
        self.n_taken += 1
        return self.left.pop(key, None)

    def sweep(self):
        """Nothing is ever too old."""


@pytest.fixture
def shelf():
    shelf = Shelf()
    yield shelf
    shelf.can_answer.set()


async def test_sessions_that_come_together_take_up_what_was_left_once(shelf):
    shelf.left[ANN, "kitchen"] = Memory(("said",), Voices(), 5)
    shared = conversations(shelf=shelf)
    fetches = [shared.fetch(ANN, "kitchen") for _ in range(3)]
    await asyncio.gather(
        *fetches, shared.fetch(BEN, "kitchen"), shared.fetch(ANN, None)
    )
    with shared.join(ANN, "kitchen") as one, shared.join(BEN, "kitchen") as other:
        assert (one.context, one.version) == (("said",), 5)
        assert (other.context, other.version) == ([], 0)
        await shared.fetch(ANN, "kitchen")  # known by now
    assert shelf.n_taken == 2


async def test_what_was_left_lingers_no_longer_than_any_conversation(shelf):
    shelf.left[ANN, "kitchen"] = Memory(("said",), Voices(), 5)
    shared = conversations(linger_s=0, shelf=shelf)
    await shared.fetch(ANN, "kitchen")
    await due_timers_have_run()
    assert len(shared) == 0


async def test_all_that_is_remembered_is_left_also_without_a_session(shelf):
    shared = conversations(shelf=shelf)
    with shared.join(ANN, "kitchen"), shared.join(ANN, None):
        with shared.join(BEN, "garden"):
            pass
        await shared.leave_all()
    assert shelf.left.keys() == {(ANN, "kitchen"), (BEN, "garden")}


async def test_a_disk_that_does_not_answer_holds_nobody_up(shelf, monkeypatch, caplog):
    monkeypatch.setattr("stream_erc.conversation.DISK_S", 0.01)
    shared = conversations(shelf=shelf)
    shelf.left[ANN, "kitchen"] = Memory(("said",), Voices(), 5)
    shelf.can_answer.clear()
    await shared.fetch(ANN, "kitchen")
    with shared.join(ANN, "kitchen") as anew:
        await shared.leave(ANN, "kitchen")
        shelf.can_answer.set()
        assert anew.version == 0
    assert ["does not answer" in line for line in caplog.messages] == [True, True]


async def test_a_disk_that_hangs_is_not_asked_again_before_it_answers(
    shelf, monkeypatch
):
    monkeypatch.setattr("stream_erc.conversation.DISK_S", 0.01)
    shared = conversations(shelf=shelf)
    with ExitStack() as stack:
        for name in "abcde":
            stack.enter_context(shared.join(ANN, name))
        shelf.can_answer.clear()
        await asyncio.gather(*(shared.leave(ANN, name) for name in "abcde"))
        assert shelf.n_asked_to_leave == 1


async def test_who_waits_for_others_at_a_slow_disk_loses_nothing(monkeypatch):
    monkeypatch.setattr("stream_erc.conversation.DISK_S", 0.3)
    shelf = Shelf(write_s=0.05)
    shared = conversations(shelf=shelf)
    names = "abcdefghij"
    with ExitStack() as stack:
        for name in names:
            stack.enter_context(shared.join(ANN, name))
        await asyncio.gather(*(shared.leave(ANN, name) for name in names))
    assert shelf.left.keys() == {(ANN, name) for name in names}


async def test_what_was_left_and_taken_is_left_again_only_if_it_has_grown(shelf):
    shared = conversations(shelf=shelf)
    with shared.join(ANN, "kitchen") as conversation:
        await shared.leave(ANN, "kitchen")
        assert shelf.take((ANN, "kitchen"))
        await shared.leave_all()
        assert not shelf.left
        conversation.queue_up("s")
        conversation.commit(("more",), Voices())
        await shared.leave_all()
        assert shelf.left[ANN, "kitchen"].n_committed == 1


HANGING = """
import asyncio, threading
from stream_erc import conversation

class Shelf:
    def leave(self, key, memory):
        threading.Event().wait()
    take = sweep = leave

async def stop():
    shared = conversation.Conversations(tuple, 30.0, 9, print, Shelf())
    with shared.join("ann", "kitchen"):
        await shared.leave_all()

conversation.DISK_S = 0.01
asyncio.run(stop())
"""


def test_a_disk_that_hangs_does_not_keep_the_process():
    subprocess.run([sys.executable, "-c", HANGING], check=True, timeout=30)
