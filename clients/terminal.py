"""Events -> what a person sees: JSON lines, plain lines, or a live view."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clients.connection import Arrival
from clients.conversation import (
    Conversation,
    Played,
    TurnSoFar,
    clock,
    tabulate,
    words_of,
)
from clients.schedule import SendTimes
from stream_erc import events

MIN_WIDTH = 40  # columns; the bars need them
BAR_CELLS = 24
PARTIAL_EVERY_MS = 1000  # of audio, between two plain lines of unfinished words
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


class View(Protocol):
    """Shows one session."""

    def __enter__(self) -> Self:
        """Take the screen."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the screen back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Show a message of the server."""

    def note(self, message: str) -> None:
        """Show what the client itself has to say."""

    def summarize(self, played: Sequence[Played]) -> None:
        """Show the table, if there are turns; called after the `with` block."""


class JsonLines:
    """Every message of the server unchanged, one a line; notes go to stderr."""

    def __enter__(self) -> Self:
        """Nothing to take."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Print the JSON as it came."""
        print(arrival.text, flush=True)

    def note(self, message: str) -> None:
        """Keep stdout free for the events."""
        print(clean(message), file=sys.stderr)

    def summarize(self, played: Sequence[Played]) -> None:
        """Print nothing: the events have it all."""


class PlainLines:
    """One line per event that a person wants; no control characters."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self._conversation = Conversation()
        self._next_partial_ms: dict[int, int] = {}  # by turn, on the audio clock

    def __enter__(self) -> Self:
        """Nothing to take."""
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing to give back."""

    def show(self, arrival: Arrival, send_times: SendTimes) -> None:
        """Print a line, if this is worth one."""
        event = arrival.event
        if event is None:
            return
        turn = self._conversation.take(event, arrival.received_s, send_times)
        if turn is None:
            line = describe_session(event)
        elif isinstance(event, events.TurnStarted):
            line = f"{who(turn)} speaks"
        elif isinstance(event, events.TranscriptPartial):
            line = self._partial(event, turn)
        elif isinstance(event, events.EmotionFinal):
            line = describe_final(turn)
        else:
            line = ""
        if line:
            self.note(line)

    def note(self, message: str) -> None:
        """Print a line."""
        print(clean(message), flush=True)

    def summarize(self, played: Sequence[Played]) -> None:
        """Print the table, its columns padded with spaces."""
        header, rows = tabulate(self._conversation.turns, played)
        if not rows:
            return
        lines = [header, *rows]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        for line in lines:
            cells = zip(line, widths, strict=True)
            self.note("  ".join(cell.ljust(width) for cell, width in cells).rstrip())

    def _partial(self, event: events.TranscriptPartial, turn: TurnSoFar) -> str:
        """Describe unfinished words, now and then."""
        if event.time_ms < self._next_partial_ms.get(event.turn, 0) or not turn.text:
            return ""
        self._next_partial_ms = {event.turn: event.time_ms + PARTIAL_EVERY_MS}
        return f"{who(turn)} … {turn.text}"


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
        table = Table(header_style="bold", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for name in header:
            table.add_column(name, justify="right" if name in NUMBERS else "left")
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


def describe_session(event: events.ServerEvent) -> str:
    """Describe an event about no turn; "" if nobody wants to see it."""
    match event:
        case events.SessionStarted():
            return f"session {event.session_id} is open"
        case events.Warn():
            return f"warning {event.code}: {event.message}"
        case events.Failure():
            return f"error {event.code}: {event.message}"
        case events.Status():
            state = "fewer partials" if event.degraded else "keeps up"
            return f"server {event.lag_ms} ms behind: {state}"
        case events.SessionEnded():
            return f"session ended: {event.turns} turns in {clock(event.audio_ms)}"
        case _:
            return ""


def describe_final(turn: TurnSoFar) -> str:
    """Describe a finished turn in a line."""
    probability = turn.probabilities.get(turn.label or "", 0.0)
    line = f"{who(turn)}: {words_of(turn)} [{turn.label} {probability:.2f}"
    if turn.sentiment:
        line += f", {likeliest(turn.sentiment)}"
    if turn.after_endpoint_ms is not None:
        line += f", {turn.after_endpoint_ms:.0f} ms after the endpoint"
    return line + "]"


def who(turn: TurnSoFar) -> str:
    """Say when a turn began and who speaks."""
    return f"{clock(turn.start_ms)} {turn.speaker or '?'}"


def likeliest(probabilities: Mapping[str, float]) -> str:
    """Give the name of the largest probability."""
    return max(probabilities, key=lambda name: probabilities[name])


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


def clean(text: str) -> str:
    """Replace what a terminal would obey: names and words come from strangers."""
    return "".join(
        char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text
    )
