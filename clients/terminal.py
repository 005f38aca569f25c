"""Events -> a live view, where there is a terminal that can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clients.connection import Arrival
from clients.conversation import Conversation, Played, TurnSoFar, tabulate, words_of
from clients.lines import JsonLines, PlainLines, View, clean, describe_session, who
from clients.schedule import SendTimes

MIN_WIDTH = 40  # columns; the bars need them
WIDE = 100  # columns; the table fits with two spaces between its own
BAR_CELLS = 24
REFRESH_HZ = 12
NUMBERS = ("turn", "probability", "ms after the endpoint")  # columns set flush right
COLOURS = {
    "anger": "red",
    "disgust": "green",
    "fear": "magenta",
    "joy": "yellow",
    "neutral": "white",
    "sadness": "bright_blue",
    "surprise": "cyan",
    "negative": "red",
    "positive": "green",
}


class LiveView:
    """Finished turns scroll up; below them the running turn grows, with its bars."""

    def __init__(self, console: Console | None = None):
        """Begin before the first event.

        Args:
            console: Where to draw; None: stdout.
        """
        self._conversation = Conversation()
        self._console = console or Console(highlight=False)
        # Drawn by a thread of its own some times a second: drawing at every event
        # would hold up the reading of the next one, and so the times shown.
        self._live = Live(
            get_renderable=self._draw,
            console=self._console,
            refresh_per_second=REFRESH_HZ,
            transient=True,
            redirect_stderr=sys.stderr.isatty(),
        )

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._live.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the finished turns on the screen, and the cursor below them."""
        self._live.__exit__(kind, error, trace)

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Take an event into the picture."""
        event = arrival.event
        if event is None:
            return
        turn = self._conversation.take(event, arrival.received_s, send_times)
        if turn is not None and turn.is_final:
            self._console.print(finished_line(turn))
        elif turn is None and (line := describe_session(event)):
            self.note(line)

    def note(self, message: str) -> None:
        """Put a line above the running turn."""
        self._console.print(Text(clean(message), style="dim"))

    def summarize(self, played: Sequence[Played]) -> None:
        """Draw the table."""
        header, rows = tabulate(self._conversation.turns, played)
        if not rows:
            return
        is_wide = self._console.width >= WIDE  # else the words need the space
        padding = (0, 1 if is_wide else 0, 0, 0)
        table = Table(header_style="bold", box=SIMPLE_HEAD, padding=padding)
        for name in header:
            table.add_column(
                name,
                justify="right" if name in NUMBERS else "left",
                width=len("endpoint") if name.endswith("endpoint") else None,
                no_wrap=name in ("turn", "time", "emotion", "probability", "labelled"),
            )
        for row in rows:
            table.add_row(*(paint(clean(cell)) for cell in row))
        self._console.print(table)

    def _draw(self) -> RenderableType:
        turns = self._conversation.turns
        running = [turn for turn in turns if not turn.is_final] or turns[-1:]
        if not running:
            return Text("listening …", style="dim")
        *waiting, last = running
        lines = [growing_line(turn) for turn in waiting]
        return Group(*lines, draw_turn(last, self._conversation.labels))


def choose_view(*, as_json: bool) -> View:
    """Give the view that stdout can show."""
    if as_json:
        return JsonLines()
    return PlainLines() if wants_plain(sys.stdout, os.environ) else LiveView()


def wants_plain(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether only plain lines can, or should, be written to `stream`."""
    if environment.get("NO_COLOR") or not stream.isatty():
        return True
    if environment.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return True
    if (stream.encoding or "").lower().replace("-", "") != "utf8":
        return True
    return os.get_terminal_size(stream.fileno()).columns < MIN_WIDTH


def finished_line(turn: TurnSoFar) -> Text:
    """Draw a finished turn in a line, its emotion at the end."""
    line = Text(f"{clean(who(turn))}  ", style="dim")
    line.append(clean(words_of(turn)), style="not dim")
    probability = turn.probabilities.get(turn.label or "", 0.0)
    style = f"not dim bold {COLOURS.get(turn.label or '', 'white')}"
    line.append(f"  {clean(turn.label or '')} {probability:.2f}", style=style)
    return line


def growing_line(turn: TurnSoFar) -> Text:
    """Draw who speaks and the words so far: bright what stays, dim what may change."""
    line = Text(f"{clean(who(turn))}  ", style="dim")
    stable = clean(turn.text[: turn.stable_chars])
    line.append(stable, style="not dim bold")
    line.append(clean(turn.text[turn.stable_chars :]))
    return line


def draw_turn(turn: TurnSoFar, labels: Sequence[str]) -> RenderableType:
    """Draw a turn with the bars of its emotions and of its sentiment."""
    heading = growing_line(turn)
    heading.append("" if turn.is_final else " …")
    state = "final" if turn.is_final else "so far"
    bars = [
        bar(name, turn.probabilities.get(name), is_final=turn.is_final)
        for name in labels
    ]
    sentiment = Text(f"sentiment {state}:", style="dim")
    for name, probability in turn.sentiment.items():
        sentiment.append(f"  {clean(name)} {probability:.2f}", style=style_of(name))
    return Group(heading, *bars, sentiment)


def bar(name: str, probability: float | None, *, is_final: bool) -> Text:
    """Draw one probability as a bar, dim while it may change; None: not known yet."""
    cells = round(min(max(probability or 0.0, 0.0), 1.0) * BAR_CELLS)
    line = Text(f"  {clean(name):<9} ", style="" if is_final else "dim")
    line.append("█" * cells, style=style_of(name))
    line.append("░" * (BAR_CELLS - cells), style="dim")
    line.append("" if probability is None else f" {probability:.2f}")
    return line


def style_of(name: str) -> str:
    """Give the colour of an emotion or a sentiment."""
    return COLOURS.get(name, "white")


def paint(cell: str) -> Text:
    """Give a cell of the table, coloured if it names an emotion."""
    return Text(cell, style=COLOURS.get(cell, ""))
