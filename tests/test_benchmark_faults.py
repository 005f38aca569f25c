"""What the benchmark of faults counts: hand-made sessions, no server."""

from collections import Counter

import pytest
from scripted_server import STARTED, one_turn

from benchmarks.abuses import ABUSES, Met
from benchmarks.faults import Row, set_targets
from benchmarks.pressure import NOBODY, Beside, press, set_pressure_targets
from benchmarks.server_faults import compare
from benchmarks.verdict import Injection, Verdict, has_ended, judge, read_scene
from stream_erc import events
from stream_erc.limits import LimitsConfig

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


# --- limits ---------------------------------------------------------------------


def beside(name, p95_ms, met=(10, 10), limited=3, n_lost=0):
    return Beside(name, Met(*met), limited, 9, n_lost, 600.0, p95_ms, 1.0, 400.0)


def measured(*taken):
    targets = set_pressure_targets([beside(NOBODY, 600.0, (0, 0), 0), *taken])
    return [target.value for target in targets]


def test_the_worst_beside_a_limit_is_a_multiple_of_the_wait_beside_nobody():
    assert measured(beside("a", 900.0), beside("b", 1500.0)) == [0, 0, 0, 2.5]


def test_what_went_beyond_a_limit_was_lost_or_was_not_counted_is_told():
    taken = beside("a", 600.0, (10, 8), limited=0, n_lost=1)
    assert measured(taken, beside("b", 600.0)) == [2, 1, 1, 1.0]


def test_where_nobody_was_measured_there_is_no_multiple():
    assert measured(beside("a", None))[-1] is None


def test_every_abuse_is_of_a_limit_that_there_is():
    assert set(ABUSES) <= set(LimitsConfig.__dataclass_fields__)


def test_figures_of_faults_reach_the_targets():
    rows = [
        Row("kill", Injection(1, 1, Verdict(), figures={"ready_s": 3.0}), 1.0),
        Row("many", Injection(4, 3, Verdict(lost=2)), 1.0),
    ]
    values = [target.value for target in set_targets(rows)]
    assert values == [2, 0, 0, 1, 3.0, None]
    assert rows[0].to_json()["note"] == "ready_s 3"


@pytest.mark.slow
async def test_limits_hold_under_ten_times_their_load():
    taken = await press(read_scene(2), seconds=3.0)
    assert len(taken) == len(ABUSES) + 2
    *counts, _ = set_pressure_targets(taken)  # a share of time is for the benchmark
    assert all(target.is_met for target in counts), taken
