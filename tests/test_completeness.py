"""Transcript -> Completeness: what a turn sounds like before a pause."""

from dataclasses import replace

import pytest
from director_cases import Client, Script, answer
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.completeness import DANGLING, SURE, judge_completeness
from stream_erc.flow import Completeness, Transcript, Word


def judge(text, probability=1.0):
    """Judge a text whose last word is so probable."""
    spelled = text.split()
    sure = [1.0] * len(spelled[:-1]) + [probability]
    words = tuple(Word(w, 0, 1, p) for w, p in zip(spelled, sure, strict=False))
    return judge_completeness(Transcript(text, words, is_rejected=False))


@pytest.mark.parametrize(
    "text",
    [
        "Kids are talking by the door.",
        "Are you all right?",
        "Go away!",
        'He said: "Never."',
        "Come in.",
        "No.",
        "もういい。",
    ],
)
def test_a_sentence_with_its_mark_is_complete(text):
    assert judge(text) is Completeness.COMPLETE


@pytest.mark.parametrize(
    "text",
    [
        "Kids are talking by the",
        "I would have come, but",
        "I would have come, but.",
        "I would have come, because...",
        "I would have come…",
        "Dogs are s-",
        "I would have come —",
        "And it is worth mention,",
        "Uh.",
        "Well, um,",
        "Kids are talking",
        '"And',
        '"I would have come..."',
    ],
)
def test_what_breaks_off_is_unfinished(text):
    assert judge(text) is Completeness.UNFINISHED


def test_a_mark_behind_a_doubtful_word_tells_nothing():
    assert judge("Dogs are sick.", SURE) is Completeness.COMPLETE
    assert judge("Dogs are sick.", SURE - 0.01) is Completeness.UNKNOWN
    assert judge("Dogs are sitting by the", 0.1) is Completeness.UNFINISHED


@pytest.mark.parametrize("is_rejected", [True, False])
def test_where_nothing_was_understood_more_will_come(is_rejected):
    silent = Transcript("", (), is_rejected)
    assert judge_completeness(silent) is Completeness.UNFINISHED


@given(st.text(), st.floats(0, 1))
def test_any_text_is_judged(text, probability):
    assert isinstance(judge(text, probability), Completeness)


@given(st.text(), st.sampled_from(sorted(DANGLING)), st.sampled_from(["", ".", "?"]))
def test_a_word_that_wants_another_is_never_complete(text, word, mark):
    assert judge(f"{text} {word}{mark}") is Completeness.UNFINISHED


# --- the director -------------------------------------------------------------


def paused():
    return Client().hear(*Script().start().speak(3).pause().placed)


def test_what_is_not_heard_yet_is_waited_for():
    client = paused()
    assert client.director.completeness is None
    client.answer()
    assert client.director.completeness is Completeness.UNFINISHED


def test_of_words_that_a_model_failed_to_give_nothing_is_known():
    client = paused()
    failed = replace(answer(client.waiting[0]), is_rescued=True)
    client.take(client.director.on_result(failed))
    assert client.director.completeness is Completeness.UNKNOWN
