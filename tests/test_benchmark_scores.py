"""Turns, words and emotions are compared with the truth as a hand would do it."""

import pytest
from benchmark_cases import a_clip, a_turn, an_emotion

from benchmarks.matching import gather, match, normalise
from benchmarks.scoring import (
    measure_boundaries,
    one_turn_share,
    score_emotions,
    word_error_rate,
)
from clients.connection import Arrival
from offline.evaluation.mishearing import count_word_errors
from stream_erc import events
from stream_erc.flow import EMOTIONS

# --- matching -------------------------------------------------------------------


def test_a_turn_that_overlaps_one_clip_alone_is_one_turn():
    clips = [a_clip(1000, 2000), a_clip(3000, 4000)]
    turns = [a_turn(0, 990, 2100), a_turn(1, 2900, 4090)]
    assert [one.is_one_turn for one in match(clips, turns)] == [True, True]
    assert one_turn_share(match(clips, turns)) == 1.0


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], [False, False]),
        ([a_turn(0, 1000, 4000)], [False, False]),  # two clips in one turn
        (
            [a_turn(0, 1000, 1300), a_turn(1, 1500, 2000), a_turn(2, 3000, 4000)],
            [False, True],
        ),
    ],
)
def test_clips_without_with_shared_and_with_several_turns_are_not_one_turn(
    turns, expected
):
    clips = [a_clip(1000, 2000), a_clip(3000, 4000)]
    assert [one.is_one_turn for one in match(clips, turns)] == expected


def test_the_longest_of_several_turns_gives_the_emotion():
    turns = [a_turn(0, 1000, 1300, label="anger"), a_turn(1, 1500, 2000, label="fear")]
    (matched,) = match([a_clip(1000, 2000)], turns)
    assert matched.longest.label == "fear"


def test_words_count_once_and_none_is_forgotten():
    clips = [a_clip(1000, 2000), a_clip(3000, 4000)]
    turns = [
        a_turn(0, 1000, 3200, "both"),  # most of it is in the first clip
        a_turn(1, 3300, 4000, "second"),
        a_turn(2, 4500, 4600, "nobody said this"),
    ]
    assert [one.text for one in match(clips, turns)] == [
        "both",
        "second nobody said this",
    ]


def test_messages_are_put_together_turn_by_turn():
    said = [
        events.TurnStarted(turn=0, speaker="a", start_ms=0, voice_start_ms=300),
        events.TranscriptPartial(turn=0, revision=0, text="", stable_chars=0),
        events.TranscriptPartial(turn=0, revision=1, text="Hi", stable_chars=0),
        an_emotion(events.EmotionPartial, revision=1, label="joy"),
        events.TurnEnded(
            turn=0,
            speaker="b",
            start_ms=0,
            end_ms=1000,
            decided_ms=1500,
            reason="silence",
        ),
        events.TranscriptFinal(turn=0, text="Hi.", words=(), rejected=False),
        an_emotion(
            events.EmotionFinal,
            label="fear",
            context_turns=0,
            context_seq=0,
            latency=events.Latency(endpoint_ms=1.0, compute_ms=2.0, queue_ms=3.0),
        ),
    ]
    (turn,) = gather([Arrival("", one, float(at)) for at, one in enumerate(said)])
    assert (turn.voice_start_ms, turn.end_ms, turn.decided_ms) == (300, 1000, 1500)
    assert (turn.speaker, turn.text, turn.label) == ("b", "Hi.", "fear")
    assert (turn.first_words_s, turn.first_emotion_s) == (2.0, 3.0)
    assert (turn.ended_s, turn.final_s) == (4.0, 6.0)
    assert turn.partial_labels == [(3.0, "joy")]


# --- words ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "given", "n_errors"),
    [
        ("", "", 0),
        ("a b c", "a b c", 0),
        ("a b c", "a x c", 1),
        ("a b c", "a c", 1),
        ("a c", "a b c", 1),
        ("a b c", "", 3),
        ("", "a b", 2),
        ("a b c d", "b c d e", 2),
        ("kids are talking by the door", "kids talk by the by the door", 3),
    ],
)
def test_word_errors_are_the_fewest_edits(wanted, given, n_errors):
    assert count_word_errors(wanted.split(), given.split()) == n_errors


def test_case_and_marks_do_not_count_as_errors():
    assert normalise("Don't STOP -- well-known, (he said): 3 o’clock!") == (
        "dont stop well known he said 3 oclock".split()
    )


def test_the_word_error_rate_weighs_words_not_clips():
    clips = [a_clip(0, 1000, "one two three"), a_clip(2000, 3000, "four")]
    turns = [a_turn(0, 0, 1000, "One, two, three."), a_turn(1, 2000, 3000, "for")]
    assert word_error_rate(match(clips, turns)) == 1 / 4


# --- scores ---------------------------------------------------------------------


def test_boundaries_are_compared_with_the_voice_and_keep_their_sign():
    clips = [a_clip(1000, 2000), a_clip(3000, 4000), a_clip(5000, 6000)]
    turns = [a_turn(0, 980, 2100), a_turn(1, 3060, 3900)]
    measured = measure_boundaries(match(clips, turns))
    assert measured.start_error.n == 2  # the third has no turn
    assert measured.start_error.p50 == 40.0
    assert measured.start_offset.p50 == 20.0
    assert measured.end_error.p50 == 100.0
    assert measured.end_offset.p50 == 0.0


def test_a_clip_without_a_turn_counts_as_wrong():
    clips = [
        a_clip(1000, 2000, emotion="joy"),
        a_clip(3000, 4000, emotion="joy"),
        a_clip(5000, 6000, emotion="anger"),
        a_clip(7000, 8000, emotion="neutral"),
    ]
    turns = [
        a_turn(0, 1000, 2000, label="joy"),
        a_turn(1, 5000, 6000, label="anger"),
        a_turn(2, 7000, 8000, label="joy"),
    ]
    scores = score_emotions(match(clips, turns))
    assert (scores.n, scores.n_without_turn) == (4, 1)
    assert scores.accuracy == 0.5
    assert scores.recall == pytest.approx((0.5 + 1.0 + 0.0) / 3)
    # joy: 1 hit, 2 wanted, 2 given; anger: all right; neutral: none.
    assert scores.weighted_f1 == pytest.approx((2 * 0.5 + 1 * 1.0 + 1 * 0.0) / 4)
    assert scores.calibration_error == pytest.approx(1 / 3)  # sure, 2 of 3 right
    joy = EMOTIONS.index("joy")
    assert scores.confusion[joy].tolist() == [
        *(int(column == joy) for column in range(len(EMOTIONS))),
        1,
    ]
