"""Attention -> times: when each token was said.

After `find_alignment` in openai/whisper's timing.py: the heads that follow the sound,
each token's attention set against that of the others, smoothed, and the cheapest way
through it that only goes forward.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .recognizer import Array

SMOOTHED = 7
"""States under the median filter."""

LEAST = 1e-5
"""Added to what may be none."""


def find_bounds(attention: Array, n_states: int, n_tokens: int) -> NDArray[np.int64]:
    """Tell when each token starts, and when the last one ends.

    Args:
        attention: As `decoder.Followed` has it.
        n_states: Of the turn; what lies behind is left out.
        n_tokens: Of the text.

    Returns:
        States of 20 ms, shape (n_tokens + 1,), in order.
    """
    heard = attention[:, :, :n_states]
    shares = heard / (heard.sum(axis=-1, keepdims=True) + LEAST)
    around = shares.mean(axis=1, keepdims=True)
    shares = (shares - around) / (shares.std(axis=1, keepdims=True) + LEAST)
    rows = shares[:, -n_tokens - 1 :]
    # One head after the other: a filter's windows are seven times as large as they.
    return find_way(-np.mean([smooth(head) for head in rows], axis=0))


def smooth(shares: Array) -> Array:
    """Take the median around each along the last axis, mirrored at both ends."""
    reach = SMOOTHED // 2
    if shares.shape[-1] <= reach:
        return shares
    padded = np.pad(shares, [(0, 0), (reach, reach)], mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, SMOOTHED, axis=-1)
    middle: Array = np.partition(windows, reach, axis=-1)[..., reach]
    return middle


def find_way(costs: Array) -> NDArray[np.int64]:
    """Find the cheapest way from the first corner to the last (dynamic time warping).

    Args:
        costs: Shape (n_rows, n_columns). The way goes to the next row, the next
            column, or both.

    Returns:
        The column where each row is entered, shape (n_rows,).
    """
    n_rows, n_columns = costs.shape
    sums = np.full((n_rows + 1, n_columns + 1), np.inf)
    sums[0, 0] = 0.0
    for row, steps in enumerate(costs.astype(np.float64)):
        # s[j] = step[j] + min(from above, s[j - 1]), for the whole row at once.
        above = np.minimum(sums[row, :-1], sums[row, 1:])
        total = np.cumsum(steps)
        sums[row + 1, 1:] = total + np.minimum.accumulate(above - (total - steps))
    return trace(sums)


def trace(sums: NDArray[np.float64]) -> NDArray[np.int64]:
    """Go back the way that led to the last corner."""
    row, column = np.subtract(sums.shape, 1)
    entered = np.zeros(row, np.int64)
    while row > 0:
        entered[row - 1] = column - 1
        both, above = sums[row - 1, column - 1], sums[row - 1, column]
        before = sums[row, column - 1]
        if both <= min(above, before):
            row, column = row - 1, column - 1
        elif above <= before:
            row -= 1
        else:
            column -= 1
    return entered
