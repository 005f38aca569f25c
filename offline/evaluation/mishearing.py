"""Words -> words with the errors of a recognizer, as many as asked for."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np

from stream_erc.errors import ConfigError

SUBSTITUTED, DELETED, INSERTED = 0.60, 0.25, 0.15
"""Shares of all errors. Assumed, not measured: in free speech words are mostly taken
for others, some are missed, and the fewest are made up."""

SOUNDS = {
    letter: digit
    for digit, letters in enumerate(("bfpv", "cgjkqsxz", "dt", "l", "mn", "r"), start=1)
    for letter in letters
}
"""Consonants that are taken for each other: Soundex (Russell, 1918)."""

CORE = re.compile(r"^(\W*)(.*?)(\W*)$", re.DOTALL)


class Mishearing:
    """Draws errors from the words of a corpus.

    Args:
        texts: All that was said.

    Raises:
        ConfigError: If there are not two different words to take for each other.
    """

    def __init__(self, texts: Iterable[str]) -> None:
        self._said = [word for text in texts for word in plain_words(text)]
        words = sorted(set(self._said))
        if len(words) < 2:
            raise ConfigError(
                f"--asr-errors: expected a corpus with two different words, got {words}"
            )
        self._alike: dict[str, list[str]] = defaultdict(list)
        for word in words:
            self._alike[sound_of(word)].append(word)

    def mishear(self, text: str, rate: float, draw: np.random.Generator) -> str:
        """Give what a recognizer might have written.

        Args:
            text: What was said.
            rate: Errors per word, 0 to 1.
            draw: Of the errors.

        Returns:
            At least one word, if there was one.
        """
        words = text.split()
        heard: list[str] = []
        for word in words:
            chance = draw.random() / rate
            if chance < SUBSTITUTED:
                heard.append(self._substitute(word, draw))
            elif chance >= SUBSTITUTED + DELETED:
                heard.append(word)
            if draw.random() < rate * INSERTED:
                heard.append(self._draw_word(draw))
        return " ".join(heard or words[:1])

    def _substitute(self, word: str, draw: np.random.Generator) -> str:
        """Take another word of the corpus for this: one that sounds alike, if any."""
        match = CORE.fullmatch(word)
        assert match is not None  # it takes anything
        before, core, behind = match.groups()
        plain = core.lower()
        alike = [each for each in self._alike.get(sound_of(plain), ()) if each != plain]
        if alike:
            other = alike[int(draw.integers(len(alike)))]
        else:
            other = self._draw_word(draw)
            while other == plain:
                other = self._draw_word(draw)
        return f"{before}{other.capitalize() if core[:1].isupper() else other}{behind}"

    def _draw_word(self, draw: np.random.Generator) -> str:
        """Draw a word, the likelier the more often it was said."""
        return self._said[int(draw.integers(len(self._said)))]


def plain_words(text: str) -> list[str]:
    """Give the words to compare: lower case, without marks around them."""
    cores = [CORE.sub(r"\2", word).lower() for word in text.split()]
    return [core for core in cores if core]


def sound_of(word: str) -> str:
    """Give the Soundex code of a word: the same for words that sound alike.

    Its first letter and three digits; equal neighbours count once, vowels part them,
    h and w do not.
    """
    letters = [letter for letter in word.lower() if letter.isalpha()]
    if not letters:
        return word
    digits = []
    latest = SOUNDS.get(letters[0], 0)
    for letter in letters[1:]:
        digit = SOUNDS.get(letter, 0)
        if digit and digit != latest:
            digits.append(str(digit))
        if letter not in "hw":
            latest = digit
    return (letters[0] + "".join(digits) + "000")[:4]


def count_word_errors(wanted: Sequence[str], given: Sequence[str]) -> int:
    """Count the fewest substitutions, deletions and insertions between two texts.

    Levenshtein (1966), one row of the table at a time.
    """
    row = list(range(len(given) + 1))
    for n_wanted, word in enumerate(wanted, start=1):
        diagonal, row[0] = row[0], n_wanted
        for n_given, other in enumerate(given, start=1):
            substituted = diagonal + (word != other)
            diagonal = row[n_given]
            row[n_given] = min(substituted, row[n_given] + 1, row[n_given - 1] + 1)
    return row[-1]


def word_error_rate(said: Iterable[str], heard: Iterable[str]) -> float:
    """Errors per word said, over all texts."""
    n_errors = n_words = 0
    for wanted, given in zip(said, heard, strict=True):
        words = plain_words(wanted)
        n_errors += count_word_errors(words, plain_words(given))
        n_words += len(words)
    return n_errors / max(1, n_words)
