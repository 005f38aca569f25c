"""What the benchmark of faults counts: hand-made sessions, no server."""

from collections import Counter

import pytest
from scripted_server import STARTED, one_turn

from benchmarks.server_faults import compare
from benchmarks.verdict import Verdict, has_ended, judge, read_scene
from stream_erc import events

WORDS = ("Kids are talking.", "Dogs are sitting.")
ENDED = events.SessionEnded(turns=2, audio_ms=2000)


def warning(code):
    return events.Warn(code=code, message="")


def session():
    """Two turns as they should be told."""
    turns = [one_turn(turn, text=text) for turn, text in enumerate(WORDS)]
    return [STARTED, *turns[0], *turns[1], ENDED]


def test_a_session_as_it_should_be_has_nothing_lost_doubled_or_altered():
    assert judge(session(), WORDS) == Verdict(expected=4)
    assert has_ended(session())


@pytest.mark.parametrize("kind", [events.TranscriptFinal, events.EmotionFinal])
def test_a_final_that_did_not_come_is_lost(kind):
    heard = [one for one in session() if not (isinstance(one, kind) and one.turn == 1)]
    assert judge(heard, WORDS) == Verdict(expected=4, lost=1)


def test_a_final_that_came_again_is_doubled():
    heard = session()
    assert judge([*heard, heard[-2]], WORDS) == Verdict(expected=4, doubled=1)


def test_a_turn_that_nobody_said_is_doubled():
    heard = [*session(), *one_turn(2)]
    assert judge(heard, WORDS) == Verdict(expected=4, doubled=2)


def test_other_words_are_altered():
    assert judge(session(), (WORDS[0], "Dogs.")) == Verdict(expected=4, altered=1)


def test_words_that_are_said_to_be_missing_are_not_altered():
    heard = [
        STARTED,
        warning("not_transcribed"),
        *one_turn(0, text=""),
        *one_turn(1, text=WORDS[1]),
    ]
    assert judge(heard, WORDS) == Verdict(expected=4, without_model=1)
    assert not has_ended(heard)


def test_an_emotion_that_is_said_to_be_missing_is_counted():
    heard = [*session()[:-1], warning("not_judged"), warning("held_back")]
    assert judge(heard, WORDS) == Verdict(expected=4, without_model=1)


def test_sessions_are_counted_together():
    one = Verdict(expected=4, lost=1, altered=2)
    assert one + Verdict(expected=4, doubled=3) == Verdict(8, 1, 3, 2, 0)


def test_what_a_client_saw_and_nobody_kept_is_lost():
    kept = Counter({("s", "transcript.final", 0): 1, ("s", "emotion.final", 0): 2})
    assert compare([session()], kept) == Verdict(expected=4, lost=2, doubled=1)


def test_a_scene_says_so_many_turns_of_whole_samples():
    scene = read_scene(3)
    assert len(scene.turns) == 3
    assert all(len(turn) % 2 == 0 for turn in scene.turns)
    assert scene.audio == b"".join(scene.turns)
