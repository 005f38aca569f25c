"""FinishedTurn… -> PNG: the time line of a conversation, as the page draws it.

For each speaker a lane, in it a row for each emotion, in the row a bar as high as the
probability. The place tells the emotion, not the colour alone.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ConfigError
from .flow import EMOTIONS
from .forms import FinishedTurn, on_one_clock

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = {  # of the page, in light
    "neutral": "#6c7876",
    "surprise": "#00838f",
    "fear": "#7b3fc4",
    "sadness": "#2a62b4",
    "joy": "#b06f00",
    "disgust": "#4b7a14",
    "anger": "#c6322b",
}
INCHES_A_SECOND = 0.08
SHORTEST_INCHES, LONGEST_INCHES = 9.0, 80.0
LANE_INCHES = 1.8
TICKS_S = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600)
DPI = 100

_drawing = threading.Lock()  # matplotlib is not thread-safe


def require_matplotlib() -> None:
    """Refuse to draw where that cannot be done, before anything slow begins.

    Raises:
        ConfigError: If matplotlib is missing.
    """
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "--format png: expected matplotlib (pip install 'stream-erc[plot]'), "
            "got none"
        )


def draw_png(turns: Iterable[FinishedTurn], file: Path, duration_ms: int = 0) -> None:
    """Draw the turns of one conversation.

    Args:
        turns: In any order.
        file: To be written, whatever its suffix.
        duration_ms: Of the recording; it may be longer than the last turn.
    """
    # Figures made without pyplot need no display and no backend chosen.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MultipleLocator

    ordered, zero_ms = on_one_clock(turns)
    end_ms = max([duration_ms, 1000, *(turn.end_ms - zero_ms for turn in ordered)])
    lanes: dict[str, list[FinishedTurn]] = {}
    for turn in ordered:
        lanes.setdefault(turn.speaker, []).append(turn)
    wanted = end_ms / 1000 * INCHES_A_SECOND
    width = min(max(wanted, SHORTEST_INCHES), LONGEST_INCHES)
    n_lanes = max(1, len(lanes))
    with _drawing:
        figure = Figure((width, LANE_INCHES * n_lanes + 0.5), layout="constrained")
        stacked = figure.subplots(n_lanes, 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, own) in zip(stacked, lanes.items() or [("", [])], strict=True):
            draw_lane(axes, name or "no speech", own, zero_ms)
        stacked[-1].set_xlim(0, end_ms / 1000)
        stacked[-1].xaxis.set_major_locator(MultipleLocator(tick_s(end_ms, width)))
        stacked[-1].xaxis.set_major_formatter(lambda s, _: clock(s))
        figure.savefig(file, format="png", dpi=DPI)


def tick_s(end_ms: int, inches: float) -> int:
    """Choose how far the times on the axis are apart: an inch or more, if possible."""
    fitting = (step_s for step_s in TICKS_S if end_ms / 1000 / step_s <= inches)
    return next(fitting, TICKS_S[-1])


def draw_lane(axes: Axes, name: str, turns: list[FinishedTurn], zero_ms: int) -> None:
    """Draw the turns of one speaker; what was not speech is a pale band."""
    for turn in (turn for turn in turns if turn.is_rejected):
        begin_s, end_s = (ms / 1000 for ms in (turn.start_ms, turn.end_ms))
        axes.axvspan(begin_s - zero_ms / 1000, end_s - zero_ms / 1000, color="#eef1f0")
    turns = [turn for turn in turns if not turn.is_rejected]
    starts_s = [(turn.start_ms - zero_ms) / 1000 for turn in turns]
    lengths_s = [(turn.end_ms - turn.start_ms) / 1000 for turn in turns]
    for row, label in enumerate(EMOTIONS):
        heights = [
            turn.emotion.message["probabilities"].get(label, 0.0) * 0.9
            for turn in turns
        ]
        bottom = len(EMOTIONS) - 1 - row
        axes.bar(
            starts_s,
            heights,
            lengths_s,
            bottom,
            align="edge",
            color=COLOURS[label],
        )
        axes.axhline(bottom, color="#d8dddb", linewidth=0.5)
    axes.set_yticks([len(EMOTIONS) - 0.5 - row for row in range(len(EMOTIONS))])
    axes.set_yticklabels(EMOTIONS, fontsize=7)
    for tick, label in zip(axes.get_yticklabels(), EMOTIONS, strict=True):
        tick.set_color(COLOURS[label])
    axes.set_ylim(0, len(EMOTIONS))
    # A name is no formula, whatever dollars are in it.
    axes.set_title(name, loc="left", fontsize=9, parse_math=False)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)


def clock(seconds: float) -> str:
    """Write a time as m:ss."""
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02}"
