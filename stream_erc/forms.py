"""FinishedTurn… -> JSON Lines, CSV, WebVTT, SubRip, a table: turns for others to read.

The columns and captions are those of the page's own exports.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

import msgspec

from .flow import EMOTIONS

Message = dict[str, Any]
"""A message of the protocol, as its fields."""

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What spreadsheets take for a formula (OWASP, "CSV Injection")."""

COLUMNS = ("turn", "speaker", "start_ms", "end_ms", "text", "rejected", "emotion")


@dataclass(frozen=True, slots=True)
class Said:
    """A message of a session.

    Attributes:
        message: Its fields.
        session: Tells the session from others.
        conversation: Tells the conversation from others: its owner and its name.
        whose: Where it comes from, for people: columns and their values.
        at_ms: When it was caused, on a clock that the sessions share.
    """

    message: Message
    session: str
    conversation: tuple[str, str]
    whose: Mapping[str, str | int | None]
    at_ms: int


@dataclass(frozen=True, slots=True)
class FinishedTurn:
    """One turn that has its finals.

    Attributes:
        emotion: Its `emotion.final`, and where that comes from.
        zero_ms: When its session's audio began, on the clock of `emotion.at_ms`.
        ended: Its `turn.ended`.
        transcript: Its `transcript.final`.
    """

    emotion: Said
    zero_ms: int
    ended: Message
    transcript: Message

    @property
    def speaker(self) -> str:
        """Who spoke, in one line."""
        return " ".join(str(self.ended["speaker"]).split())

    @property
    def start_ms(self) -> int:
        """Where it begins, on the clock of `emotion.at_ms`."""
        return self.zero_ms + int(self.ended["start_ms"])

    @property
    def end_ms(self) -> int:
        """Where it ends, likewise."""
        return self.zero_ms + int(self.ended["end_ms"])

    @property
    def text(self) -> str:
        """What was said, in one line."""
        return " ".join(str(self.transcript["text"]).splitlines())

    @property
    def is_rejected(self) -> bool:
        """Whether it was judged not to be speech; it then has no emotion of anybody."""
        return bool(self.transcript["rejected"])

    @property
    def label(self) -> str:
        """Its emotion."""
        return str(self.emotion.message["label"])

    @property
    def shown_label(self) -> str:
        """Its emotion, as people should see it."""
        return "-" if self.is_rejected else self.label

    @property
    def probability(self) -> float:
        """That of its emotion."""
        return float(self.emotion.message["probabilities"][self.label])


def join_turns(messages: Iterable[Said], since_ms: int = 0) -> Iterator[FinishedTurn]:
    """Join the messages of each turn; in the order of their emotions.

    Args:
        messages: Of any number of sessions, each in its order.
        since_ms: Turns whose emotion is older are left out.
    """
    zeros_ms: dict[str, int] = {}
    unfinished: dict[tuple[str, int], dict[str, Message]] = {}
    for said in messages:
        message = said.message
        zero_ms = zeros_ms.setdefault(said.session, said.at_ms - message["time_ms"])
        if "turn" not in message:
            continue
        key = said.session, message["turn"]
        parts = unfinished.setdefault(key, {})
        parts[message["type"]] = message
        if message["type"] == "emotion.final":
            del unfinished[key]
            is_whole = {"turn.ended", "transcript.final"} <= parts.keys()
            if is_whole and said.at_ms >= since_ms:
                ended, transcript = parts["turn.ended"], parts["transcript.final"]
                yield FinishedTurn(said, zero_ms, ended, transcript)


def on_one_clock(turns: Iterable[FinishedTurn]) -> tuple[list[FinishedTurn], int]:
    """Give turns in the order of their starts, and when the first session began."""
    ordered = sorted(turns, key=lambda turn: turn.start_ms)
    return ordered, min((turn.zero_ms for turn in ordered), default=0)


def write_json_lines(messages: Iterable[Said], out: TextIO) -> None:
    """Write every message, with whose it is; the page can open those of a session."""
    for said in messages:
        out.write(f"{msgspec.json.encode(said.message | dict(said.whose)).decode()}\n")


def write_csv(
    turns: Iterable[FinishedTurn],
    whose: Sequence[str],
    out: TextIO,
    *,
    has_header: bool = True,
) -> None:
    """Write a row for each turn, a column for each probability (RFC 4180).

    Args:
        turns: In any order.
        whose: Names of the columns that tell where each comes from.
        out: Opened with newline="".
        has_header: Whether the names of the columns come first.
    """
    rows = csv.writer(out, lineterminator="\r\n")
    if has_header:
        rows.writerow([*COLUMNS, *EMOTIONS, *whose])
    for turn in turns:
        probabilities = turn.emotion.message["probabilities"]
        rows.writerow(
            [
                turn.ended["turn"],
                guard(turn.ended["speaker"]),
                turn.ended["start_ms"],
                turn.ended["end_ms"],
                guard(turn.transcript["text"]),
                str(turn.is_rejected).lower(),
                turn.label,
                *(probabilities.get(label, "") for label in EMOTIONS),
                *(write_cell(turn.emotion.whose[name]) for name in whose),
            ]
        )


def write_vtt(turns: Iterable[FinishedTurn], out: TextIO) -> None:
    """Write a cue for each turn that has words, in the order of their starts."""
    ordered, zero_ms = on_one_clock(turns)
    out.write("WEBVTT\n")
    for number, turn in enumerate((turn for turn in ordered if turn.text), 1):
        start = caption_time(turn.start_ms - zero_ms, ".")
        end = caption_time(turn.end_ms - zero_ms, ".")
        out.write(f"\n{number}\n{start} --> {end}\n")
        out.write(f"<v {escape_vtt(turn.speaker)}>{escape_vtt(turn.text)}</v>\n")
        out.write(f"[{escape_vtt(turn.label)} {percent(turn)}]\n")


def write_srt(turns: Iterable[FinishedTurn], out: TextIO) -> None:
    """Write SubRip captions, as players and video editors read them."""
    ordered, zero_ms = on_one_clock(turns)
    for number, turn in enumerate((turn for turn in ordered if turn.text), 1):
        start = caption_time(turn.start_ms - zero_ms, ",")
        end = caption_time(turn.end_ms - zero_ms, ",")
        text = turn.text.replace("-->", "->")  # an arrow would be read as times
        out.write(f"{number}\n{start} --> {end}\n{turn.speaker}: {text}\n")
        out.write(f"[{turn.label} {percent(turn)}]\n\n")


def write_table(turns: Iterable[FinishedTurn], out: TextIO) -> None:
    """Write a line for each turn, for people; in the order of their starts."""
    ordered, zero_ms = on_one_clock(turns)
    rows = [
        (
            caption_time(turn.start_ms - zero_ms, ".")[:-2],
            clean(turn.speaker),
            turn.shown_label,
            "-" if turn.is_rejected else f"{turn.probability:.2f}",
            "(not speech)" if turn.is_rejected else clean(turn.text),
        )
        for turn in ordered
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = "  ".join(cell.ljust(width) for cell, width in cells)
        out.write(f"{line.rstrip()}\n")


def guard(text: str) -> str:
    """Keep a spreadsheet from calculating what somebody said."""
    return f"'{text}" if text.startswith(FORMULA) else text


def write_cell(value: str | int | None) -> str | int:
    """Give a value as a cell holds it."""
    return guard(value or "") if value is None or isinstance(value, str) else value


def percent(turn: FinishedTurn) -> str:
    """Write how likely a turn's emotion is."""
    return f"{math.floor(turn.probability * 100 + 0.5)} %"


def caption_time(ms: int, point: str) -> str:
    """Write a time as captions do; WebVTT has a point in it, SubRip a comma."""
    minutes, rest_ms = divmod(ms, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{rest_ms // 1000:02}{point}{rest_ms % 1000:03}"


def escape_vtt(text: str) -> str:
    """Write as entities what would end a cue or a tag."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def clean(text: str) -> str:
    """Replace what a terminal would obey: names of files come from strangers."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )
