"""FinishedTurn… -> TextGrid: words, turns and emotions of each speaker, for Praat.

Praat's long text format; "TextGrid file formats" in its manual. A tier's intervals
must cover the whole time without gaps or overlaps, so silence is an empty one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TextIO

from .forms import FinishedTurn, on_one_clock

Span = tuple[int, int, str]
"""Begin and end in milliseconds, and what is written there."""


def write_textgrid(
    turns: Iterable[FinishedTurn], out: TextIO, duration_ms: int = 0
) -> None:
    """Write three tiers for each speaker, in the order in which they were heard first.

    Args:
        turns: Of one conversation.
        out: Opened with encoding="utf-8".
        duration_ms: Of the recording; it may be longer than the last turn.
    """
    ordered, zero_ms = on_one_clock(turns)
    end_ms = max([duration_ms, *(turn.end_ms - zero_ms for turn in ordered)])
    tiers = list(make_tiers(ordered, zero_ms))
    out.write('File type = "ooTextFile"\nObject class = "TextGrid"\n\n')
    out.write(f"xmin = 0\nxmax = {seconds(end_ms)}\n")
    if not tiers:
        out.write("tiers? <absent>\n")
        return
    out.write(f"tiers? <exists>\nsize = {len(tiers)}\nitem []:\n")
    for number, (name, spans) in enumerate(tiers, 1):
        write_tier(number, name, list(fill_gaps(spans, end_ms)), out)


def make_tiers(
    turns: list[FinishedTurn], zero_ms: int
) -> Iterator[tuple[str, list[Span]]]:
    """Give the names of the tiers, and what stands in them."""
    voices: dict[tuple[str, str], list[FinishedTurn]] = {}
    for turn in turns:  # two sessions may have speakers of one name
        voices.setdefault((turn.emotion.session, turn.speaker), []).append(turn)
    for (_, speaker), own in voices.items():
        spans = [(turn.start_ms - zero_ms, turn.end_ms - zero_ms) for turn in own]
        yield (
            f"{speaker} words",
            [span for turn in own for span in words(turn, zero_ms)],
        )
        yield (
            f"{speaker} turns",
            [(*span, turn.text) for span, turn in zip(spans, own, strict=True)],
        )
        yield (
            f"{speaker} emotion",
            [(*span, turn.shown_label) for span, turn in zip(spans, own, strict=True)],
        )


def words(turn: FinishedTurn, zero_ms: int) -> Iterator[Span]:
    """Give the words of a turn."""
    offset_ms = turn.zero_ms - zero_ms
    for word in turn.transcript["words"]:
        text = " ".join(str(word["word"]).split())
        yield word["start_ms"] + offset_ms, word["end_ms"] + offset_ms, text


def fill_gaps(spans: Iterable[Span], end_ms: int) -> Iterator[Span]:
    """Give intervals that cover all the time from 0 to `end_ms`.

    Where two spans overlap, the first goes on to its end; what has no time of its own
    then is written behind what was before it.
    """
    at_ms = 0
    last: Span | None = None
    for start_ms, stop_ms, text in spans:
        start_ms = max(start_ms, at_ms)
        if stop_ms <= start_ms and last is not None:
            last = (*last[:2], f"{last[2]} {text}".strip())
            continue
        if last is not None:
            yield last
        if start_ms > at_ms:
            yield at_ms, start_ms, ""
        at_ms = max(stop_ms, start_ms + 1)
        last = start_ms, at_ms, text
    if last is not None:
        yield last
    if at_ms < end_ms:
        yield at_ms, end_ms, ""


def write_tier(number: int, name: str, spans: list[Span], out: TextIO) -> None:
    """Write one tier."""
    out.write(f'    item [{number}]:\n        class = "IntervalTier"\n')
    out.write(f"        name = {quote(name)}\n")
    out.write(f"        xmin = 0\n        xmax = {seconds(spans[-1][1])}\n")
    out.write(f"        intervals: size = {len(spans)}\n")
    for place, (start_ms, stop_ms, text) in enumerate(spans, 1):
        out.write(f"        intervals [{place}]:\n")
        out.write(f"            xmin = {seconds(start_ms)}\n")
        out.write(f"            xmax = {seconds(stop_ms)}\n")
        out.write(f"            text = {quote(text)}\n")


def seconds(ms: int) -> str:
    """Write a time as Praat does."""
    return f"{ms / 1000:.3f}"


def quote(text: str) -> str:
    """Write a string; a quotation mark in it is written twice."""
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
