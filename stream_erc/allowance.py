"""How much somebody may use up: so much a second, and so much at once."""

from __future__ import annotations

from collections.abc import Callable


class Allowance:
    """One user's share of something (a token bucket).

    Args:
        per_s: What comes in a second.
        burst: What there is at first, and at most.
        clock: Gives monotonic seconds.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left = burst  # below 0 after more than `burst` was taken at once
        self._counted_s = clock()

    @property
    def is_full(self) -> bool:
        """Whether there is as much as there can be."""
        return self._count() >= self._burst

    def wait_s(self, amount: float = 1.0) -> float:
        """Give the seconds until so much may be taken; 0 where it may be at once.

        More than `burst` may be taken once there is `burst`.
        """
        return max(0.0, (min(amount, self._burst) - self._count()) / self._per_s)

    def take(self, amount: float = 1.0) -> None:
        """Use up so much."""
        self._left = self._count() - amount

    def _count(self) -> float:
        now_s = self._clock()
        came = (now_s - self._counted_s) * self._per_s
        self._left = min(self._burst, self._left + came)
        self._counted_s = now_s
        return self._left


class Allowances:
    """One `Allowance` for each user; those that are full again are forgotten.

    Args:
        per_s: What comes in a second.
        burst: What there is at first, and at most.
        clock: Gives monotonic seconds.
    """

    def __init__(self, per_s: float, burst: float, clock: Callable[[], float]) -> None:
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._of: dict[str, Allowance] = {}  # whoever took least recently first

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._of)

    def take(self, user: str) -> float:
        """Use up one; give 0, or the seconds to wait where there is none."""
        allowance = self._of.pop(user, None)
        self._forget_full()
        if allowance is None:
            allowance = Allowance(self._per_s, self._burst, self._clock)
        self._of[user] = allowance
        wait_s = allowance.wait_s()
        if not wait_s:
            allowance.take()
        return wait_s

    def _forget_full(self) -> None:
        while self._of and self._of[user := next(iter(self._of))].is_full:
            del self._of[user]
