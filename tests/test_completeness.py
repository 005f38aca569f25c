"""str -> Completeness: what a turn sounds like before a pause."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.completeness import DANGLING, judge_completeness
from stream_erc.flow import Completeness


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
    assert judge_completeness(text) is Completeness.COMPLETE


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
    ],
)
def test_what_breaks_off_is_unfinished(text):
    assert judge_completeness(text) is Completeness.UNFINISHED


@pytest.mark.parametrize("text", ["", "  "])
def test_of_no_words_nothing_is_known(text):
    assert judge_completeness(text) is Completeness.UNKNOWN


@given(st.text())
def test_any_text_is_judged(text):
    assert isinstance(judge_completeness(text), Completeness)


@given(st.text(), st.sampled_from(sorted(DANGLING)), st.sampled_from(["", ".", "?"]))
def test_a_word_that_wants_another_is_never_complete(text, word, mark):
    assert judge_completeness(f"{text} {word}{mark}") is Completeness.UNFINISHED
