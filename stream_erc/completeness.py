"""str -> Completeness: do the words before a pause sound as if more will come?

By the marks that Whisper sets and a few words that seldom end a sentence. English;
of other languages only the marks are known.
"""

from __future__ import annotations

from .flow import Completeness

ENDS = (".", "?", "!", "。", "？", "！")
TRAILS = ("...", "…", "-", "–", "—")

DANGLING = frozenset(
    "and but or because if that which who whose the a an my your our their of from "
    "with than as is are was were am be been to at by into uh um er erm hmm like "
    "i he she we they very so then when while although though until unless".split()
)
"""After these a sentence goes on, whatever mark Whisper sets behind them."""


def judge_completeness(text: str) -> Completeness:
    """Say what a turn sounds like before a pause.

    Args:
        text: Its words so far; empty where nothing was understood.
    """
    words = text.split()
    if not words:
        return Completeness.UNKNOWN
    if text.endswith(TRAILS):
        return Completeness.UNFINISHED
    last = "".join(c for c in words[-1].lower() if c.isalpha())
    if last in DANGLING or not text.rstrip("\"'”’)").endswith(ENDS):
        return Completeness.UNFINISHED
    return Completeness.COMPLETE
