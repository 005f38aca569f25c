"""Transcript -> Completeness: do the words before a pause sound as if more will come?

By the marks that Whisper sets, how sure it is of the last word, and a few words that
seldom end a sentence. These are English; of other languages only the marks are known.
"""

from __future__ import annotations

from .flow import Completeness, Transcript

ENDS = (".", "?", "!", "。", "？", "！")
TRAILS = ("...", "…", "-", "–", "—")
QUOTES = "\"'”’)»"

SURE = 0.7
"""Probability of the last word below which its mark is not believed: half a word is
made into a whole one, with a full stop. docs/decisions.md, "What sounds complete"."""

DANGLING = frozenset(
    "and but or because if that which who whose the a an my your our their of from "
    "with than as is are was were am be been to at by into uh um er erm hmm like "
    "i he she we they very so then when while although though until unless".split()
)
"""After these a sentence goes on, whatever mark Whisper sets behind them."""


def judge_completeness(transcript: Transcript) -> Completeness:
    """Say what a turn sounds like before a pause.

    Where nothing was understood yet, as of a breath before the first word, it goes on.

    Args:
        transcript: Of the turn so far, with its words.
    """
    if not transcript.words:
        return Completeness.UNFINISHED
    text = transcript.text.rstrip(QUOTES)
    last = transcript.words[-1]
    bare = "".join(c for c in last.text.lower() if c.isalpha())
    if text.endswith(TRAILS) or bare in DANGLING or not text.endswith(ENDS):
        return Completeness.UNFINISHED
    return Completeness.COMPLETE if last.probability >= SURE else Completeness.UNKNOWN
