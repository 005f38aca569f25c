"""Figures against values worked out by hand."""

import numpy as np
import pytest

from offline.scores import (
    calibration_error,
    confusion,
    macro_f1,
    unweighted_recall,
    weighted_f1,
)

# Class 0: 3 wanted, 4 given, 2 hits: recall 2/3, F1 4/7.
# Class 1: 2 wanted, 2 given, 1 hit:  recall 1/2, F1 1/2.
# Class 2: 1 wanted, 0 given:         recall 0,   F1 0.
WANTED = np.array([0, 0, 0, 1, 1, 2])
GIVEN = np.array([0, 0, 1, 1, 0, 0])


def test_confusion_has_wanted_down_and_given_across():
    assert confusion(WANTED, GIVEN, 3).tolist() == [[2, 1, 0], [1, 1, 0], [1, 0, 0]]


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
    for score in (weighted_f1, macro_f1, unweighted_recall):
        assert score(WANTED, WANTED) == pytest.approx(1.0)


@pytest.mark.parametrize("score", [weighted_f1, macro_f1, unweighted_recall])
def test_nothing_to_score_is_zero(score):
    nothing = np.array([], np.intp)
    assert score(nothing, nothing) == 0.0


def test_calibration_error_is_the_gap_between_confidence_and_hits():
    probabilities = np.array([[0.9, 0.1]] * 4 + [[0.4, 0.6]] * 2, np.float32)
    wanted = np.array([0, 0, 0, 1, 1, 1])
    # Bin of 0.9: 3 of 4 right, gap 0.15; bin of 0.6: both right, gap 0.4.
    expected = 4 / 6 * 0.15 + 2 / 6 * 0.4
    assert calibration_error(probabilities, wanted) == pytest.approx(expected, abs=1e-6)


def test_certainty_that_is_right_has_no_calibration_error():
    probabilities = np.eye(3, dtype=np.float32)
    assert calibration_error(probabilities, np.arange(3)) == pytest.approx(0.0)


def test_calibration_of_nothing_is_zero():
    assert calibration_error(np.zeros((0, 7), np.float32), np.array([], np.intp)) == 0.0
