"""In which order partials are given up, and that they come back."""

from hypothesis import given
from hypothesis import strategies as st

from stream_erc.degradation import CALM_S, LEVELS, PATIENCE, Degradation

happenings = st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=40)
"""None: a partial was dropped; a number: it came after so many seconds in line."""


def play(happened):
    degradation, levels = Degradation(), [0]
    for queue_s in happened:
        if queue_s is None:
            degradation.note_drop()
        else:
            degradation.note_result(queue_s)
        levels.append(LEVELS.index(degradation.left))
    return degradation, levels


@given(happenings)
def test_partials_are_given_up_one_level_after_another(happened):
    _, levels = play(happened)
    for n, queue_s in enumerate(happened):
        before, after = levels[n : n + 2]
        if queue_s is None:
            assert before <= after <= before + 1
            if after > before:  # never for a single one
                assert happened[max(0, n + 1 - PATIENCE) : n + 1] == [None] * PATIENCE
        else:
            assert after <= before
    drops = 0
    for level, queue_s in zip(levels[1:], happened, strict=True):
        drops = drops + 1 if queue_s is None else 0
        assert level >= min(len(LEVELS) - 1, drops // PATIENCE)


@given(happenings, st.floats(0, CALM_S))
def test_whatever_was_one_that_waits_little_brings_all_back(happened, queue_s):
    degradation, _ = play([*happened, queue_s])
    assert degradation.left == "all"


@given(happenings)
def test_words_are_asked_for_until_they_are_given_up(happened):
    degradation, levels = play(happened)
    assert degradation.asks_words == (levels[-1] < LEVELS.index("emotion"))


def test_voices_that_come_late_bring_emotions_back_but_no_words():
    drops = [None] * (PATIENCE * (len(LEVELS) - 1))
    assert play(drops)[0].left == "none"
    assert play([*drops, 2 * CALM_S])[0].left == "emotion"
