"""Shares of something that comes at a rate."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.allowance import Allowance, Allowances


class Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


steps = st.lists(st.tuples(st.floats(0, 5), st.floats(0.1, 8)), max_size=40)
rates = st.tuples(st.floats(0.1, 50), st.floats(1, 20))


@given(rates, steps)
def test_nobody_gets_more_than_the_burst_and_what_came_since(rate, steps):
    per_s, burst = rate
    clock = Clock()
    allowance = Allowance(per_s, burst, clock)
    taken = 0.0
    for pause_s, amount in steps:
        clock.now_s += pause_s
        if not allowance.wait_s(amount):
            allowance.take(amount)
            taken += amount
            came = burst + per_s * (clock.now_s - 1000)
            assert taken <= came + max(0, amount - burst) + 1e-6


@given(rates, steps)
def test_whoever_waits_as_long_as_told_may_take(rate, steps):
    clock = Clock()
    allowance = Allowance(*rate, clock)
    for pause_s, amount in steps:
        clock.now_s += pause_s
        clock.now_s += allowance.wait_s(amount)
        assert allowance.wait_s(amount) == pytest.approx(0, abs=1e-9)
        allowance.take(amount)


def test_the_burst_is_there_at_once_and_not_one_more():
    clock = Clock()
    allowances = Allowances(2.0, 3, clock)
    assert [allowances.take("ann") for _ in range(4)] == [0, 0, 0, 0.5]
    assert allowances.take("ben") == 0
    clock.now_s += 0.5
    assert [allowances.take("ann") for _ in range(2)] == [0, 0.5]


def test_being_turned_away_costs_nothing():
    clock = Clock()
    allowances = Allowances(1.0, 1, clock)
    allowances.take("ann")
    for _ in range(100):
        assert allowances.take("ann") == 1
    clock.now_s += 1
    assert allowances.take("ann") == 0


@given(st.lists(st.tuples(st.floats(0, 3), st.integers(0, 5)), max_size=60))
def test_of_users_that_come_and_go_few_are_kept(visits):
    clock = Clock()
    allowances = Allowances(2.0, 4, clock)
    seen_s = {}
    for pause_s, user in visits:
        clock.now_s += pause_s
        allowances.take(str(user))
        seen_s[user] = clock.now_s
        recent = [at_s for at_s in seen_s.values() if clock.now_s - at_s <= 4 / 2]
        assert len(allowances) <= len(recent)
