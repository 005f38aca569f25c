"""Hypotheses -> stable prefix."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from stream_erc.agreement import StablePrefix

words = st.sampled_from(["a", "b", "so", "my", "fellow"])
hypotheses = st.lists(st.lists(words, max_size=6).map(" ".join), max_size=8)


def push_all(texts):
    prefix = StablePrefix()
    return [prefix.push(text) for text in texts]


def test_one_hypothesis_alone_makes_nothing_stable():
    assert push_all(["so my fellow"]) == [("so my fellow", 0)]


def test_what_two_hypotheses_in_a_row_share_from_the_start_is_stable():
    shown = push_all(["so my fellow", "so my friend said"])
    assert shown[-1] == ("so my friend said", len("so my"))


def test_what_two_share_only_later_is_not_stable():
    assert push_all(["so my fellow", "oh my fellow"])[-1] == ("oh my fellow", 0)


def test_a_stable_word_stays_though_the_recognizer_goes_back_on_it():
    shown = push_all(["so my fellow", "so my fellow Americans", "so why ask"])
    assert shown[-1] == ("so my fellow", len("so my fellow"))


def test_words_hidden_behind_the_stable_ones_do_not_become_stable_by_that():
    shown = push_all(["so my", "so my", "oh no then", "oh no now"])
    assert shown[-1] == ("so my now", len("so my"))


def test_a_word_shown_twice_in_a_row_is_stable_though_it_was_not_heard_twice():
    assert push_all(["so", "so", "oh my", "so my"])[-1] == ("so my", len("so my"))


def test_spaces_are_no_matter():
    assert push_all(["so  my ", " so my"])[-1] == ("so my", 5)


@given(hypotheses)
def test_the_stable_part_never_shrinks_and_starts_every_later_text(texts):
    shown = push_all(texts)
    for (text, n_stable), (later, n_later) in pairwise(shown):
        assert n_later >= n_stable
        assert later[:n_stable] == text[:n_stable]


@given(hypotheses)
def test_the_stable_part_ends_with_a_word(texts):
    for text, n_stable in push_all(texts):
        assert n_stable <= len(text)
        assert n_stable == 0 or text[n_stable : n_stable + 1] in {"", " "}


@given(st.lists(words, min_size=1).map(" ".join))
def test_the_same_hypothesis_twice_is_stable_whole(text):
    assert push_all([text, text])[-1] == (text, len(text))
