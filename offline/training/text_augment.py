"""Text -> text as a recognizer writes it, or as far as it has been heard."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

PUNCTUATION = re.compile(r"[^\w\s']")

LOOK_ALIKES = (
    ("you're", "your"),
    ("they're", "there"),
    ("their", "there"),
    ("too", "to"),
    ("going to", "gonna"),
    ("want to", "wanna"),
    ("oh my god", "oh my gosh"),
    ("no", "know"),
    ("hear", "here"),
    ("right", "write"),
    ("for", "four"),
    ("and", "in"),
    ("his", "is"),
    ("then", "than"),
    ("of", "have"),
)
"""Pairs that sound alike; a small recognizer takes one for the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TextAugment:
    """How often a text is changed in training; each is a probability."""

    bare: float = 0.25  # lower case without punctuation, as many recognizers write
    misheard: float = 0.10  # of each word: dropped, doubled or taken for another
    misheard_texts: float = 0.25  # texts in which words may be misheard at all
    prefix: float = 0.10  # only the first words, as partial transcripts have them


def augment_text(text: str, settings: TextAugment, draw: random.Random) -> str:
    """Give the text, sometimes changed; never empty unless it was."""
    words = text.split()
    if len(words) > 3 and draw.random() < settings.prefix:
        words = words[: draw.randint(2, len(words) - 1)]
    if draw.random() < settings.misheard_texts:
        words = [w for word in words for w in mishear(word, settings.misheard, draw)]
    changed = " ".join(words)
    if draw.random() < settings.bare:
        changed = PUNCTUATION.sub("", changed).lower()
    return changed.strip() or text


def mishear(word: str, probability: float, draw: random.Random) -> list[str]:
    """Give what is understood instead of one word: none, one or two words."""
    if draw.random() >= probability:
        return [word]
    for said, heard in LOOK_ALIKES:
        if word.lower() == said:
            return [heard]
    return draw.choice(([], [word, word], [word[:-1] or word]))
