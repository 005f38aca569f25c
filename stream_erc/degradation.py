"""Partials dropped or in time -> what is still asked for: the order of giving up.

Slower partials, then emotions without new words, then none; finals never. The next
step, new clients refused, is the server's: see `limits.max_delay_s`.
"""

from __future__ import annotations

from .events import PartialsLeft

LEVELS: tuple[PartialsLeft, ...] = ("all", "slower", "emotion", "none")

PATIENCE = 2
"""Partials dropped in a row before the next level; one is no trouble."""

CALM_S = 0.25
"""A wait for the model after which words, most of the work, may be asked again."""


class Degradation:
    """How far one session's partials have been given up."""

    def __init__(self) -> None:
        self._level = 0
        self._n_dropped = 0  # in a row, on this level

    @property
    def left(self) -> PartialsLeft:
        """What the client may expect."""
        return LEVELS[self._level]

    @property
    def asks_words(self) -> bool:
        """Whether the next request is for words, too; the voice is asked for always.

        Or nobody would see when there is time again.
        """
        return self.left in ("all", "slower")

    def note_drop(self) -> None:
        """Take in that a partial was overtaken, or failed."""
        self._n_dropped += 1
        if self._n_dropped >= PATIENCE and self._level < len(LEVELS) - 1:
            self._level += 1
            self._n_dropped = 0

    def note_result(self, queue_s: float) -> None:
        """Take in that a partial came in time, and how long it waited for the model."""
        self._n_dropped = 0
        if self.asks_words or queue_s <= CALM_S:
            self._level = 0
        else:
            self._level = LEVELS.index("emotion")
