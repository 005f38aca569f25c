"""Hypothesis -> stable prefix: what two hypotheses in a row agree on stays.

The idea of LocalAgreement-2 (Machacek et al. 2023, whisper_streaming), without its
trimming: turns are short, so each hypothesis is of the whole turn so far.
"""

from __future__ import annotations

from itertools import takewhile


class StablePrefix:
    """The hypotheses of one turn."""

    def __init__(self) -> None:
        self._stable: list[str] = []
        self._last: list[str] = []

    def push(self, text: str) -> tuple[str, int]:
        """Take the next hypothesis.

        Returns:
            The text to show, and how many of its characters will stay. Where the
            hypothesis goes back on a stable word, the stable word is shown.
        """
        words = text.split()
        shown = self._stable + words[len(self._stable) :]
        agreed = takewhile(
            lambda pair: pair[0] == pair[1], zip(self._last, shown, strict=False)
        )
        self._stable = max(
            self._stable, [word for word, _ in agreed], key=lambda prefix: len(prefix)
        )
        self._last = shown
        return " ".join(shown), len(" ".join(self._stable))
