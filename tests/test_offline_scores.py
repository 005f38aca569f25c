"""Figures against values worked out by hand."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies
from hypothesis.extra import numpy as arrays

from offline.evaluation.figures import figures_of
from offline.evaluation.scores import (
    accuracy,
    calibration_error,
    calibration_error_if_calibrated,
    class_scores,
    confusion,
    macro_f1,
    reliability,
    unweighted_recall,
    weighted_f1,
    weighted_f1_interval,
)

# Class 0: 3 wanted, 4 given, 2 hits: precision 1/2, recall 2/3, F1 4/7.
# Class 1: 2 wanted, 2 given, 1 hit:  precision 1/2, recall 1/2, F1 1/2.
# Class 2: 1 wanted, 0 given:         precision 0,   recall 0,   F1 0.
WANTED = np.array([0, 0, 0, 1, 1, 2])
GIVEN = np.array([0, 0, 1, 1, 0, 0])


def test_confusion_has_wanted_down_and_given_across():
    assert confusion(WANTED, GIVEN, 3).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


def test_each_class_has_its_figures():
    scores = class_scores(WANTED, GIVEN, 4)
    assert scores.n.tolist() == [3, 2, 1, 0]
    assert scores.precision == pytest.approx([1 / 2, 1 / 2, 0, 0])
    assert scores.recall == pytest.approx([2 / 3, 1 / 2, 0, 0])
    assert scores.f1 == pytest.approx([4 / 7, 1 / 2, 0, 0])


def test_accuracy_is_the_share_that_is_right():
    assert accuracy(WANTED, GIVEN) == pytest.approx(3 / 6)


def test_weighted_f1_weighs_by_what_was_wanted():
    assert weighted_f1(WANTED, GIVEN) == pytest.approx((3 * 4 / 7 + 2 * 1 / 2) / 6)


def test_macro_f1_weighs_classes_alike():
    assert macro_f1(WANTED, GIVEN) == pytest.approx((4 / 7 + 1 / 2) / 3)


def test_unweighted_recall_is_the_mean_of_recalls():
    assert unweighted_recall(WANTED, GIVEN) == pytest.approx((2 / 3 + 1 / 2) / 3)


def test_a_class_that_nobody_wanted_counts_nowhere():
    given = np.array([0, 0, 1, 1, 6, 2])
    assert unweighted_recall(WANTED, given) == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    assert macro_f1(WANTED, given) == pytest.approx((4 / 5 + 1 / 2 + 1) / 3)


def test_perfect_answers_score_one():
    for score in (weighted_f1, macro_f1, unweighted_recall, accuracy):
        assert score(WANTED, WANTED) == pytest.approx(1.0)


@pytest.mark.parametrize("score", [weighted_f1, macro_f1, unweighted_recall, accuracy])
def test_nothing_to_score_is_zero(score):
    nothing = np.array([], np.intp)
    assert score(nothing, nothing) == 0.0


def test_calibration_error_is_the_gap_between_confidence_and_hits():
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2, np.float32)
    wanted = np.array([0, 0, 0, 1, 1, 1])
    # Bin of 0.9: 3 of 4 right, gap 0.15; bin of 0.6: both right, gap 0.4.
    expected = 4 / 6 * 0.15 + 2 / 6 * 0.4
    assert calibration_error(probabilities, wanted) == pytest.approx(expected, abs=1e-6)


def test_confidences_of_one_bin_are_averaged_before_they_are_compared():
    # Both lie in the sixth of ten bins: their gaps, -0.55 and 0.49, cancel out.
    probabilities = np.array([[0.55, 0.45], [0.51, 0.49]], np.float32)
    error = calibration_error(probabilities, np.array([1, 0]))
    assert error == pytest.approx(abs(0.5 - 0.53), abs=1e-6)


def test_certainty_that_is_right_has_no_calibration_error():
    probabilities = np.eye(3, dtype=np.float32)
    assert calibration_error(probabilities, np.arange(3)) == pytest.approx(0.0)


def test_calibration_of_nothing_is_zero():
    assert calibration_error(np.zeros((0, 7), np.float32), np.array([], np.intp)) == 0.0


def test_bins_have_the_turns_of_their_confidence():
    confidence = np.array([0.0, 0.05, 0.95, 1.0], np.float32)
    bins = reliability(confidence, np.array([False, True, True, True]))
    assert bins.n.tolist() == [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]
    assert bins.accuracy[[0, 9]] == pytest.approx([0.5, 1.0])
    assert bins.confidence[[0, 9]] == pytest.approx([0.025, 0.975])


def test_chance_leaves_less_error_the_more_turns_there_are():
    few, many = (
        calibration_error_if_calibrated(np.full(n, 0.7, np.float32), seed=0)
        for n in (20, 2000)
    )
    # All in one bin: the mean distance of a share from 0.7, of a normal distribution.
    expected = np.sqrt(0.7 * 0.3 / 2000) * np.sqrt(2 / np.pi)
    assert many == pytest.approx(expected, rel=0.2)
    assert few > 5 * many


def test_a_certain_model_has_no_error_by_chance():
    assert calibration_error_if_calibrated(np.ones(9, np.float32), seed=0) == 0.0


def test_the_interval_holds_the_score_and_repeats_with_its_seed():
    draw = np.random.default_rng(0)
    wanted = draw.integers(3, size=300)
    given = np.where(draw.random(300) < 0.7, wanted, draw.integers(3, size=300))
    dialogues = np.repeat(np.arange(30), 10)
    interval = weighted_f1_interval(wanted, given, dialogues, seed=1)
    assert interval[0] < weighted_f1(wanted, given) < interval[1]
    assert interval == weighted_f1_interval(wanted, given, dialogues, seed=1)
    assert interval != weighted_f1_interval(wanted, given, dialogues, seed=2)


def test_turns_that_fail_together_make_the_interval_wider():
    wanted = np.zeros(200, np.intp)
    given = np.repeat(np.arange(20) % 2, 10)
    dialogues = np.repeat(np.arange(20), 10)
    whole = weighted_f1_interval(wanted, given, dialogues, seed=0)
    apart = weighted_f1_interval(wanted, given, np.arange(200), seed=0)
    assert whole[1] - whole[0] > 2 * (apart[1] - apart[0])


def test_one_dialogue_has_no_interval():
    assert weighted_f1_interval(WANTED, GIVEN, np.zeros(6, np.intp), seed=0) is None


@settings(max_examples=30)
@given(
    arrays.arrays(
        np.float32,
        strategies.tuples(strategies.integers(1, 30), strategies.just(4)),
        elements=strategies.floats(0.015625, 1.0, width=32),
    ),
    strategies.integers(0, 2**16),
)
def test_figures_stay_within_their_bounds(weights, seed):
    probabilities = weights / weights.sum(1, keepdims=True)
    wanted = np.random.default_rng(seed).integers(4, size=len(weights))
    found = figures_of(wanted, probabilities, "abcd", seed=seed)
    for name in ("weighted_f1", "macro_f1", "uar", "accuracy", "ece"):
        assert 0.0 <= found[name] <= 1.0
    assert found["n"] == np.sum(found["confusion"]) == len(wanted)
    assert sum(each["n"] for each in found["reliability"]) == len(wanted)
    assert sum(each["n"] for each in found["per_class"].values()) == len(wanted)
