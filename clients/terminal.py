"""Events -> a live view, where there is a terminal that can show it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from clients.connection import Arrival
from clients.conversation import Conversation, Played, count_agreement, tabulate
from clients.lines import JsonLines, PlainLines, View, clean, describe_session
from clients.picture import draw, draw_strip, finished_line, paint
from clients.schedule import SendTimes

MIN_WIDTH = 40  # columns; the state and the bars need them
WIDE = 100  # columns; the table fits with two spaces between its own
REFRESH_HZ = 12
NUMBERS = ("turn", "probability", "ms after the endpoint")  # columns set flush right


class LiveView:
    """Finished turns scroll up; below them the running turn grows, with its bars.

    Below those, the emotions so far. Without colour (NO_COLOR) letters tell them.
    """

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
        """Draw the table, and the emotions of all turns above it."""
        header, rows = tabulate(self._conversation.turns, played)
        if not rows:
            return
        self._console.print(
            *draw_strip(self._conversation.emotions, self._console.width), sep="\n"
        )
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
        talk = self._conversation
        if counted := count_agreement(talk.turns, played, len(talk.labels)):
            self._console.print(counted)

    def _draw(self) -> RenderableType:
        return draw(self._conversation, self._console.width)


def choose_view(*, as_json: bool) -> View:
    """Give the view that stdout can show."""
    if as_json:
        return JsonLines()
    return PlainLines() if wants_plain(sys.stdout, os.environ) else LiveView()


def wants_plain(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Tell whether only plain lines can, or should, be written to `stream`."""
    if not stream.isatty():
        return True
    if environment.get("TERM", "dumb") in ("", "dumb", "unknown"):
        return True
    if (stream.encoding or "").lower().replace("-", "") != "utf8":
        return True
    return os.get_terminal_size(stream.fileno()).columns < MIN_WIDTH
