"""What is wrong with the material of an evaluation: told, counted by kind."""

from __future__ import annotations

import logging
from collections import Counter

from stream_erc.errors import ConfigError

log = logging.getLogger(__name__)

CORPUS = "corpus_lines"
AUDIO_FILES = "audio_files"
AUDIO_TURNS = "audio_turns"
LONG_TURNS = "long_turns"
FEATURES = "features"
UNJUDGED = "unjudged_turns"
KINDS = (CORPUS, AUDIO_FILES, AUDIO_TURNS, LONG_TURNS, FEATURES, UNJUDGED)

MOST_TOLD = 10
"""Of one kind; the rest is counted alone."""


class Faults:
    """Counts faults; a strict one ends the evaluation at the first."""

    def __init__(self, is_strict: bool) -> None:
        self._is_strict = is_strict
        self.counts = Counter(dict.fromkeys(KINDS, 0))

    def add(self, kind: str, message: str) -> None:
        """Tell of a fault.

        Raises:
            ConfigError: If strict.
        """
        if self._is_strict:
            raise ConfigError(message)
        self.counts[kind] += 1
        if self.counts[kind] <= MOST_TOLD:
            log.warning("%s", message)
        elif self.counts[kind] == MOST_TOLD + 1:
            log.warning("%s: more than %d; the rest is counted", kind, MOST_TOLD)
