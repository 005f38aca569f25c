"""Turns as they stand -> what a terminal shows of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.text import Text

from clients.conversation import (
    Conversation,
    TurnSoFar,
    clock,
    emotion_of,
    words_of,
)
from clients.lines import clean, who

BAR_CELLS = 24  # at most; less where the terminal is narrow
NAME_CELLS = 10  # of a speaker, beside the strip
MAX_ROWS = 8  # of the strip: as many as a conversation has participants
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
LETTERS = {"surprise": "U"}  # S is that of sadness; the others have their first


def draw(conversation: Conversation, width: int) -> RenderableType:
    """Draw a conversation as it stands.

    Args:
        conversation: Of one session, and what it was told of others.
        width: Columns.
    """
    state = draw_state(conversation)
    turns = conversation.turns
    running = [turn for turn in turns if not turn.is_final] or turns[-1:]
    if not running:
        return state
    *waiting, last = running
    return Group(
        state,
        *(growing_line(turn, 2 * width) for turn in waiting),
        draw_turn(last, conversation.labels, width),
        *draw_strip(conversation.emotions, width),
    )


def draw_state(conversation: Conversation) -> Text:
    """Draw in a line whether somebody speaks, and how late that is known.

    The lag is measured here, from sending to hearing of it; a server that leaves out
    partials says itself how far it is behind.
    """
    state = Text(no_wrap=True, overflow="ellipsis")
    if conversation.is_voice:
        state.append("● voice", style="bold green")
    else:
        state.append("○ silence", style="dim")
    state.append(f"  {clock(conversation.time_ms)}", style="dim")
    if conversation.is_degraded:
        behind_s = conversation.behind_ms / 1000
        state.append(f"  {behind_s:.1f} s behind", style="yellow")
    elif conversation.lag_ms is not None:
        state.append(f"  lag {conversation.lag_ms:.0f} ms", style="dim")
    if conversation.is_recorded:
        state.append("  ● rec", style="red")
    return state


def draw_strip(emotions: Sequence[tuple[str, str]], width: int) -> Iterator[Text]:
    """Draw the emotions so far: a row for each speaker, a column for each turn.

    The letter tells the emotion, too, not the colour alone.

    Args:
        emotions: Speaker and label of each final turn, in order.
        width: Columns; what was before is left out.
    """
    names = list(dict.fromkeys(speaker for speaker, _ in emotions))[-MAX_ROWS:]
    room = max(map(len, names), default=0) + 1
    room = min(room, NAME_CELLS + 1)
    shown = emotions[-max(1, width - room) :]
    for name in names:
        row = Text(no_wrap=True, overflow="crop")
        row.append(clean(name)[: room - 1].ljust(room), style="dim")
        for speaker, label in shown:
            if speaker == name:
                row.append(letter_of(label), style=f"bold reverse {style_of(label)}")
            else:
                row.append("·", style="dim")
        yield row


def finished_line(turn: TurnSoFar) -> Text:
    """Draw a finished turn in a line, its emotion at the end."""
    line = Text(f"{clean(who(turn))}  ", style="dim")
    line.append(clean(words_of(turn)), style="not dim")
    if not turn.is_rejected:
        label, probability = emotion_of(turn)
        style = f"not dim bold {style_of(label)}"
        line.append(f"  {clean(label)} {probability}", style=style)
    return line


def growing_line(turn: TurnSoFar, max_chars: int | None = None) -> Text:
    """Draw who speaks and the words so far: bright what stays, dim what may change.

    Args:
        turn: Still running.
        max_chars: Of the words; of more the last are shown. None: all.
    """
    line = Text(f"{clean(who(turn))}  ", style="dim")
    n_hidden = max(0, len(turn.text) - max_chars) if max_chars else 0
    line.append("… " if n_hidden else "")
    stable = clean(turn.text[n_hidden : turn.stable_chars])
    line.append(stable, style="not dim bold")
    line.append(clean(turn.text[max(n_hidden, turn.stable_chars) :]))
    return line


def draw_turn(turn: TurnSoFar, labels: Sequence[str], width: int) -> RenderableType:
    """Draw a turn with the bars of its emotions and of its sentiment."""
    if turn.is_rejected:
        return finished_line(turn)
    heading = growing_line(turn, 2 * width)
    heading.append("" if turn.is_final else " …")
    state = "final" if turn.is_final else "so far"
    bars = [
        bar(name, turn.probabilities.get(name), width, is_final=turn.is_final)
        for name in labels
    ]
    sentiment = Text(f"sentiment {state}:", style="dim")
    for name, probability in turn.sentiment.items():
        sentiment.append(f"  {clean(name)} {probability:.2f}", style=style_of(name))
    return Group(heading, *bars, sentiment)


def bar(name: str, probability: float | None, width: int, *, is_final: bool) -> Text:
    """Draw one probability as a bar, dim while it may change; None: not known yet."""
    label = f" {letter_of(name)} {clean(name):<9} "
    n_cells = max(1, min(BAR_CELLS, width - len(label) - len(" 0.00")))
    n_full = round(min(max(probability or 0.0, 0.0), 1.0) * n_cells)
    line = Text(label, style="" if is_final else "dim", no_wrap=True)
    line.append("█" * n_full, style=style_of(name))
    line.append("░" * (n_cells - n_full), style="dim")
    line.append("" if probability is None else f" {probability:.2f}")
    return line


def letter_of(label: str) -> str:
    """Give the letter of an emotion; no two of the seven have the same."""
    return LETTERS.get(label, clean(label[:1]).upper() or "?")


def style_of(name: str) -> str:
    """Give the colour of an emotion or a sentiment."""
    return COLOURS.get(name, "white")


def paint(cell: str) -> Text:
    """Give a cell of the table, coloured if it names an emotion."""
    return Text(cell, style=COLOURS.get(cell, ""))
