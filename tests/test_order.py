"""Record, Result -> Event: the order that the protocol promises, whatever happens.

What a session hears is drawn; so is when the engine answers, in which order, and which
partials are dropped.
"""

import random
from collections import Counter
from itertools import pairwise

import numpy as np
from director_cases import Client, Script, feeling, run, words_of, write
from hypothesis import given
from hypothesis import strategies as st
from turn_stream import configs, play, steps, vads

from stream_erc import events
from stream_erc.conversation import Conversation
from stream_erc.flow import (
    EMOTIONS,
    ContextAdded,
    MarkerReached,
    TurnEnded,
    TurnPaused,
    TurnResumed,
)
from stream_erc.names import AUTO

# --- one session --------------------------------------------------------------


def run_one(rng, n_turns):
    script = write(rng, n_turns, rng.choice(["Ann", AUTO]))
    (client,) = run(rng, [Client()], [script])
    return script, client


draws = st.integers(0, 2**32).map(random.Random)
sizes = st.integers(0, 4)


def any_run(test):
    """Run a test on any script of one session, answered in any order."""
    return given(st.builds(run_one, draws, sizes))(test)


def of_turn(client, turn):
    return [event for event in client.sent if getattr(event, "turn", None) == turn]


@any_run
def test_every_script_comes_to_its_end(case):
    script, client = case
    assert client.types()[-1] == "session.ended"
    assert client.types().count("session.ended") == 1
    assert client.director.n_unfinished == 0
    assert client.sent[-1].turns == script.n_turns


@any_run
def test_the_events_of_a_turn_are_in_order(case):
    script, client = case
    for turn in range(script.n_turns):
        types = [event.__struct_config__.tag for event in of_turn(client, turn)]
        assert types[0] == "turn.started"
        assert types[-3:] == ["turn.ended", "transcript.final", "emotion.final"]
        assert set(types[1:-3]) <= {
            "transcript.partial",
            "emotion.partial",
            "turn.resumed",
        }
        assert not client.of(events.TurnStarted)[script.n_turns :]


@any_run
def test_finals_come_in_the_order_of_turns(case):
    script, client = case
    for kind in (events.TurnEnded, events.TranscriptFinal, events.EmotionFinal):
        assert [event.turn for event in client.of(kind)] == list(range(script.n_turns))


@any_run
def test_revisions_go_up_and_the_stable_words_stay(case):
    _, client = case
    for kind in (events.TranscriptPartial, events.EmotionPartial):
        told = [(event.turn, event.revision) for event in client.of(kind)]
        assert told == sorted(set(told))
    shown = {}
    for partial in client.of(events.TranscriptPartial):
        stable = shown.get(partial.turn, "")
        assert partial.text.startswith(f"turn{partial.turn}")
        assert partial.text.startswith(stable)
        assert partial.stable_chars >= len(stable)
        shown[partial.turn] = partial.text[: partial.stable_chars]


@any_run
def test_final_words_are_those_of_the_turns_whole_audio(case):
    script, client = case
    wanted = [
        words_of(len(record.audio.samples), record.audio.turn)
        for _, record in script.placed
        if isinstance(record, TurnEnded)
    ]
    assert [final.text for final in client.of(events.TranscriptFinal)] == wanted


@any_run
def test_every_pause_that_was_none_is_told_and_no_other(case):
    script, client = case
    wanted = [r.turn for _, r in script.placed if isinstance(r, TurnResumed)]
    assert [event.turn for event in client.of(events.TurnResumed)] == wanted


@any_run
def test_marks_stand_behind_the_finals_before_them_and_before_the_later_ones(case):
    script, client = case
    wanted = [
        ("marker", record.id)
        if isinstance(record, MarkerReached)
        else ("emotion.final", record.audio.turn)
        for _, record in script.placed
        if isinstance(record, MarkerReached | TurnEnded)
    ]
    told = [
        ("marker", event.id)
        if isinstance(event, events.Marker)
        else ("emotion.final", event.turn)
        for event in client.of(events.Marker, events.EmotionFinal)
    ]
    assert told == wanted


def context_of(script):
    """What one session alone commits: what was said and added, in order."""
    return tuple(
        (record.speaker, record.text)
        if isinstance(record, ContextAdded)
        else (
            "S1" if record.audio.speaker == AUTO else record.audio.speaker,
            words_of(len(record.audio.samples), record.audio.turn) or None,
        )
        for _, record in script.placed
        if isinstance(record, ContextAdded | TurnEnded)
    )


def rests_on(final, client):
    """Whether a final's numbers are those of its turn in the context before it."""
    context = client.conversation.context
    emotions, _ = feeling(
        Said(*context[final.context_seq]), context[: final.context_seq]
    )
    told = [final.probabilities[label] for label in EMOTIONS]
    return np.allclose(told, emotions, atol=1e-4)


class Said:
    """Stands in for a turn's features: what `feeling` looks at."""

    def __init__(self, speaker, text):
        self.speaker, self.text = speaker, text


@any_run
def test_the_context_is_what_was_said_and_added_in_order(case):
    script, client = case
    assert client.conversation.context == context_of(script)


@any_run
def test_every_final_rests_on_all_that_was_committed_before_it(case):
    _, client = case
    for final in client.of(events.EmotionFinal):
        assert final.context_turns == final.context_seq
        assert rests_on(final, client)


def finals_of(client):
    """All that must not depend on load: the finals without their clocks."""
    return [
        (type(event), event.turn, getattr(event, "probabilities", event.text))
        if not isinstance(event, events.EmotionFinal)
        else (type(event), event.turn, event.probabilities)
        for event in client.of(events.TranscriptFinal, events.EmotionFinal)
    ]


@given(draws, sizes, st.sampled_from([0.0, 0.5, 1.0]))
def test_dropping_partials_and_the_order_of_answers_change_no_final(
    rng, n_turns, drop_share
):
    script = write(rng, n_turns)
    patient = Client()
    for placed in script.placed:
        patient.hear(placed).answer_all()
    hasty = Client(partial_interval_ms=rng.choice([32, 320, 1000]))
    (client,) = run(rng, [hasty], [script], drop_share)
    assert finals_of(client) == finals_of(patient)


# --- turns as the listening stages make them ------------------------------------


def run_stream(rng, stream):
    """A session that hears a stream's records, answered in any order."""
    script = Script()
    script.placed = [(0, record) for record in stream.records]
    script.n_turns = len(stream.of(TurnEnded))
    client = Client(partial_interval_ms=rng.choice([32, 320, 1000]))
    (client,) = run(rng, [client], [script.end()])
    return stream, client


any_stream = given(st.builds(run_stream, draws, st.builds(play, steps, configs, vads)))


@any_stream
def test_what_is_said_of_a_stream_is_said_in_order(case):
    stream, client = case
    for turn, ended in enumerate(stream.of(TurnEnded)):
        types = [event.__struct_config__.tag for event in of_turn(client, turn)]
        assert types[0] == "turn.started"
        assert types[-3:] == ["turn.ended", "transcript.final", "emotion.final"]
        (final,) = [
            final for final in client.of(events.TranscriptFinal) if final.turn == turn
        ]
        assert final.text == words_of(len(ended.audio.samples), turn)
    assert client.types()[-1] == "session.ended"


@any_stream
def test_what_is_heard_in_a_turns_last_pause_is_never_heard_again(case):
    stream, client = case
    turns = stream.of((TurnPaused, TurnResumed, TurnEnded))
    n_without_pause = sum(
        isinstance(record, TurnEnded) and not isinstance(before, TurnPaused)
        for before, record in pairwise([None, *turns])
    )
    assert client.n_heard == len(stream.of(TurnPaused)) + n_without_pause


# --- several sessions, one conversation ---------------------------------------

NAMES = ("Ann", "Bob", "Cem", "Dea", "Eve", "Fay", "Gus", "Hal")


class Noting(Conversation):
    """A conversation that notes the order in which turns have ended."""

    def __init__(self):
        super().__init__(())
        self.ended = []

    def queue_up(self, session):
        self.ended.append(session)
        super().queue_up(session)


def run_several(rng, n_sessions):
    conversation = Noting()
    names = NAMES[:n_sessions]
    clients = [Client(conversation, name) for name in names]
    speakers = [rng.choice([name, AUTO]) for name in names]
    scripts = [write(rng, rng.randint(0, 3), name) for name in speakers]
    return scripts, run(rng, clients, scripts)


any_several = given(st.builds(run_several, draws, st.integers(2, 8)))


@any_several
def test_all_sessions_of_a_conversation_come_to_their_end(case):
    for script, client in zip(*case, strict=True):
        assert client.types()[-1] == "session.ended"
        assert [final.turn for final in client.of(events.EmotionFinal)] == list(
            range(script.n_turns)
        )


@any_several
def test_several_sessions_commit_everything_once_in_one_order(case):
    scripts, clients = case
    context = clients[0].conversation.context
    assert Counter(context) == sum(map(Counter, map(context_of, scripts)), Counter())
    places = [f.context_seq for one in clients for f in one.of(events.EmotionFinal)]
    assert len(places) == len(set(places))
    assert clients[0].conversation.version == len(context)
    for client in clients:
        own = [final.context_seq for final in client.of(events.EmotionFinal)]
        assert own == sorted(own)


@any_several
def test_turns_are_committed_in_the_order_in_which_they_ended(case):
    scripts, clients = case
    lines = {
        name: list(context_of(script))
        for name, script in zip(NAMES, scripts, strict=False)
    }
    ended = clients[0].conversation.ended
    wanted = tuple(lines[session].pop(0) for session in ended)
    assert clients[0].conversation.context == wanted


@any_several
def test_every_final_of_a_conversation_rests_on_the_version_before_it(case):
    _, clients = case
    for client in clients:
        for final in client.of(events.EmotionFinal):
            assert final.context_turns == final.context_seq
            assert rests_on(final, client)


@given(draws, st.integers(1, 7))
def test_who_leaves_in_the_middle_keeps_nobody_waiting(rng, n_others):
    conversation = Conversation(())
    leaver = Client(conversation, "leaver")
    script = write(rng, 3)
    n_heard = rng.randint(0, len(script.placed) - 1)
    leaver.hear(*script.placed[:n_heard])
    others = [Client(conversation, name) for name in NAMES[:n_others]]
    scripts = [write(rng, 2, name) for name in NAMES[:n_others]]
    for client, heard in zip(others, scripts, strict=True):
        client.hear(*heard.placed)
    leaver.leave()
    run(rng, others, [Script() for _ in others])
    for client in others:
        assert client.types()[-1] == "session.ended"


@given(draws)
def test_sessions_of_different_conversations_share_nothing(rng):
    scripts = [write(rng, 3), write(rng, 3)]
    together = run(rng, [Client(), Client()], scripts)
    for script, client in zip(scripts, together, strict=True):
        assert client.conversation.context == context_of(script)
