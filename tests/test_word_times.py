"""Attention -> times: the cheapest way forward."""

from itertools import combinations_with_replacement

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stream_erc.word_times import SMOOTHED, find_bounds, find_way, smooth

COSTS = st.tuples(st.integers(1, 4), st.integers(1, 6)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.integers(-9, 9))
)


def price(costs, entered):
    """What a way costs that enters each row there, straight or by a corner."""
    n_rows, n_columns = costs.shape
    total = 0.0
    for row, start in enumerate(entered):
        last = row + 1 == n_rows
        ends = [n_columns - 1] if last else [entered[row + 1] - 1, entered[row + 1]]
        sums = [costs[row, start : end + 1].sum() for end in ends if end >= start]
        total += min(sums, default=np.inf)
    return total


@given(COSTS)
def test_no_way_is_cheaper(costs):
    n_rows, n_columns = costs.shape
    ways = combinations_with_replacement(range(n_columns), n_rows - 1)
    best = min(price(costs, [0, *way]) for way in ways)
    found = find_way(costs)
    assert price(costs, list(found)) == pytest.approx(best)


@given(COSTS)
def test_it_only_goes_forward_from_the_first_column(costs):
    entered = find_way(costs)
    assert entered[0] == 0
    assert (np.diff(entered) >= 0).all()


def test_the_median_is_that_of_mirrored_neighbours():
    rng = np.random.default_rng(0)
    shares = rng.normal(size=(3, 20)).astype(np.float32)
    padded = np.pad(shares, [(0, 0), (3, 3)], mode="reflect")
    wanted = [np.median(padded[..., i : i + SMOOTHED], axis=-1) for i in range(20)]
    np.testing.assert_array_equal(smooth(shares), np.stack(wanted, axis=-1))


@pytest.mark.parametrize("n_states", [1, 2, 3, 4])
def test_few_states_are_left_as_they_are_or_mirrored(n_states):
    shares = np.ones((2, n_states), np.float32)
    np.testing.assert_array_equal(smooth(shares), shares)


def test_where_nobody_looked_tokens_lie_somewhere():
    bounds = find_bounds(np.zeros((2, 5, 40), np.float32), 30, 3)
    assert (np.diff(bounds) >= 0).all()
    assert 0 <= bounds[0] <= bounds[-1] < 30


def test_tokens_lie_where_the_heads_look():
    """Three tokens, each looked for at ten states of its own."""
    rows = np.full((2, 5, 40), 0.01, np.float32)  # a start, and the prompt's last
    for token in range(3):
        rows[:, 1 + token, 10 * token : 10 * token + 10] = 1.0
    rows[:, 4, 30:] = 1.0
    np.testing.assert_allclose(find_bounds(rows, 40, 3), [0, 10, 20, 30], atol=3)
