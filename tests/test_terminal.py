"""What a person sees: plain lines anywhere, a picture where there is a terminal."""

import io
import re
import sys
from dataclasses import replace

import msgspec
import pytest
from rich.console import Console
from rich.text import Text
from scripted_server import ENDED, STARTED, one_turn

from clients import picture, terminal
from clients.connection import Arrival
from clients.conversation import Conversation, Played, count_agreement, tabulate
from clients.lines import JsonLines, PlainLines
from clients.schedule import SendTimes
from stream_erc import events


def sent(seconds=10):
    """20 ms of audio every 20 ms, from wall time 0 on."""
    times = SendTimes(bytes_per_s=32_000)
    for frame in range(1, seconds * 50 + 1):
        times.record(640, at_s=frame * 0.02)
    return times


def show_all(view, said, received_s=0.0):
    with view:
        for event in said:
            arrival = Arrival(events.encode(event), event, received_s)
            view.show(arrival, sent())


def conversation(*said, received_s=0.0):
    told = Conversation()
    for event in said:
        told.take(event, received_s, sent())
    return told


def live(width=80):
    out = io.StringIO()
    console = Console(
        file=out, force_terminal=True, width=width, color_system="truecolor"
    )
    return terminal.LiveView(console), out


def drawn(renderable, width=80):
    console = Console(file=io.StringIO(), width=width, record=True)
    console.print(renderable)
    return console.export_text()


# --- plain lines ----------------------------------------------------------------


def test_plain_lines_tell_a_turn_in_three_lines_and_a_table(capsys):
    view = PlainLines()
    show_all(view, [STARTED, *one_turn(start_ms=3200), ENDED], received_s=4.125)
    view.summarize([])
    assert capsys.readouterr().out.splitlines() == [
        "session s is open",
        "0:03.2 Ann speaks",
        "0:03.2 Ann … kids are walking",
        "0:03.2 Ann: Kids are talking. "
        "[anger 0.82, negative, 25 ms after the endpoint]",
        "session ended: 1 turns in 0:01.0",
        "turn  speaker  time    words              emotion  probability"
        "  ms after the endpoint",
        "0     Ann      0:03.2  Kids are talking.  anger    0.82         25",
    ]


def test_unfinished_words_come_at_most_once_a_second(capsys):
    begin = one_turn()[0]
    partials = [
        events.TranscriptPartial(
            turn=0, revision=n, text=f"word {n}", stable_chars=0, time_ms=1000 + n * 300
        )
        for n in range(8)
    ]
    show_all(PlainLines(), [begin, *partials])
    lines = capsys.readouterr().out.splitlines()[1:]
    assert [line[-1] for line in lines] == ["0", "4"]


def test_plain_lines_have_no_control_characters_whatever_is_said(capsys):
    evil = "\x1b[2J\x07\r\n\x9b31m\u202eann\tz"
    turn = one_turn(text=evil, speaker=evil)
    warning = events.Warn(code="c", message=evil)
    view = PlainLines()
    show_all(view, [STARTED, *turn, warning])
    view.summarize([Played(0.0, 600.0, evil)])
    lines = capsys.readouterr().out.splitlines()
    assert all(line.isprintable() for line in lines)
    assert len(lines) == 8


def rejected_turn():
    said = one_turn()
    said[4] = events.TranscriptFinal(turn=0, text="", words=(), rejected=True)
    return said


def test_what_was_no_speech_is_shown_as_such_and_without_an_emotion(capsys):
    view = PlainLines()
    show_all(view, rejected_turn(), received_s=0.925)
    view.summarize([Played(0.0, 600.0, "anger")])
    said = capsys.readouterr().out
    assert "Ann: (not speech) [25 ms after the endpoint]" in said
    assert "anger 0" not in said
    (row,) = (line.split() for line in said.splitlines() if line.startswith("0  "))
    assert row[-4:] == ["-", "-", "25", "anger"]


def test_what_was_no_speech_agrees_with_no_label_and_has_no_place_among_the_emotions():
    talk = conversation(STARTED, *rejected_turn())
    assert talk.emotions == []
    counted = count_agreement(talk.turns, [Played(0.0, 600.0, "anger")], 7)
    assert counted.startswith("0 of 1 labelled turns agree")
    said = drawn(picture.draw(talk, 80))
    assert "(not speech)" in said
    assert "anger" not in said


def test_json_lines_leave_stdout_to_the_events(capsys):
    view = JsonLines()
    view.note("microphone: 1 overflow")
    show_all(view, [STARTED])
    said = capsys.readouterr()
    assert said.out == events.encode(STARTED) + "\n"
    assert said.err == "microphone: 1 overflow\n"


# --- the live view --------------------------------------------------------------


def test_words_that_stay_are_bright_and_words_that_may_change_are_dim():
    turn = conversation(*one_turn()[:2]).turns[0]
    line = picture.growing_line(turn)
    console = Console()

    def is_dim(word):
        style = line.get_style_at_offset(console, line.plain.index(word))
        return bool(style.dim)

    assert not is_dim("kids are")
    assert is_dim("walking")


def test_every_emotion_has_a_bar_as_long_as_it_is_likely():
    told = conversation(STARTED, *one_turn())
    shown = drawn(picture.draw_turn(told.turns[0], told.labels, 80)).splitlines()
    bars = {line.split()[1]: line.count("█") for line in shown[1:8]}
    assert list(bars) == list(STARTED.labels)
    assert bars["anger"] == round(0.82 * picture.BAR_CELLS)
    assert bars["joy"] == round(0.03 * picture.BAR_CELLS)
    assert shown[8].startswith("sentiment final:  negative 0.90")


def test_a_provisional_emotion_is_told_from_a_final_one():
    told = conversation(STARTED, *one_turn()[:3])
    shown = drawn(picture.draw_turn(told.turns[0], told.labels, 80))
    assert "sentiment so far" in shown
    assert shown.splitlines()[0].endswith("walking …")


def test_finished_turns_stay_on_the_screen_and_the_cursor_comes_back():
    view, out = live()
    show_all(view, [STARTED, *one_turn(), ENDED])
    shown = out.getvalue()
    assert "Kids are talking." in shown
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1


def test_strangers_cannot_command_the_terminal():
    evil = "\x1b]0;owned\x07"
    view, out = live()
    show_all(view, [STARTED, *one_turn(text=evil, speaker=evil)])
    view.note(evil)
    view.summarize([])
    assert "\x1b]" not in out.getvalue()
    assert "\x07" not in out.getvalue()


def test_brackets_in_words_are_words_and_no_markup():
    view, out = live()
    show_all(view, [STARTED, *one_turn(text="[red]stop[/red]")])
    assert "[red]stop[/red]" in out.getvalue()


def busy():
    """Two speakers, one of them speaking; a server that records and is behind."""
    recorded = msgspec.structs.replace(STARTED, recorded=True)
    said = [recorded]
    for n in range(60):
        said += one_turn(n, start_ms=n * 2000, speaker=["Ann", "Benedict II."][n % 2])
    said += one_turn(60, start_ms=120_000, text="")[:3]
    said += [
        events.SpeechStarted(time_ms=119_000, at_ms=118_900),
        events.Status(time_ms=120_500, lag_ms=1250, degraded=True),
    ]
    return said


@pytest.mark.parametrize("width", [40, 60, 120])
def test_the_picture_fits_the_terminal_with_every_bar_and_state(width):
    told = conversation(*busy())
    shown = drawn(picture.draw(told, width), width)
    lines = shown.splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].split("  ") == ["● voice", "2:00.5", "1.2 s behind", "● rec"]
    bars = [line for line in lines if "█" in line]
    assert [line.split()[0] for line in bars] == list("NUFSJDA")
    assert "…" not in "".join(bars)


def test_the_strip_has_a_letter_for_each_turn_beside_its_speaker():
    told = conversation(STARTED, *one_turn(0), *one_turn(1, speaker="Bob"))
    told.take(another(label="joy"), 0.0, sent())
    rows = [line.split() for line in drawn(picture.draw(told, 40)).splitlines()[-3:]]
    assert rows == [["Ann", "A··"], ["Bob", "·A·"], ["Cy", "··J"]]


def test_of_a_long_conversation_the_strip_shows_the_end():
    told = conversation(*busy())
    told.take(another(label="fear"), 0.0, sent())
    *_, bob, cy = picture.draw_strip(told.emotions, 40)
    assert len(bob.plain) == len(cy.plain) == 40
    assert cy.plain.endswith("·F")


def test_no_two_emotions_have_one_letter():
    assert len({picture.letter_of(name) for name in STARTED.labels}) == 7


def test_without_colour_letters_and_bars_are_left():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, no_color=True, width=80)
    console.print(picture.draw(conversation(*busy()), 80))
    colours = re.findall(r"\x1b\[(?:3|9)[0-7]", out.getvalue())
    assert colours == []
    assert " A anger" in Text.from_ansi(out.getvalue()).plain


def test_of_many_words_the_last_are_shown():
    turn = conversation(*one_turn()[:1]).turns[0]
    turn = replace(turn, text="word " * 200 + "end", stable_chars=900)
    line = picture.growing_line(turn, 80)
    assert len(line.plain) < 120
    assert line.plain.endswith("word end") and "… " in line.plain


def test_the_lag_is_from_sending_what_caused_an_event_to_its_arrival():
    edge = events.SpeechStarted(time_ms=900, at_ms=800)
    told = conversation(edge, received_s=0.935)
    assert told.lag_ms == pytest.approx(35.0)
    assert told.is_voice
    told.take(events.SpeechStopped(time_ms=2000, at_ms=1900), 2.0, sent())
    assert not told.is_voice


# --- several people -------------------------------------------------------------


def another(**changes):
    """A turn of another participant."""
    final = one_turn()[-1]
    told = events.ConversationTurn(
        session_id="t",
        speaker="Cy",
        start_ms=500,
        end_ms=900,
        text="I see.",
        rejected=False,
        label=final.label,
        probabilities=final.probabilities,
        sentiment=final.sentiment,
        modalities=final.modalities,
        context_turns=1,
        context_seq=1,
    )
    return msgspec.structs.replace(told, **changes)


def test_turns_of_other_participants_are_lines_and_not_in_the_table(capsys):
    plain = PlainLines()
    show_all(plain, [STARTED, *one_turn(), another()])
    plain.summarize([])
    out = capsys.readouterr().out
    assert "0:00.5 Cy: I see. [anger 0.82, negative]" in out.splitlines()
    assert len(out.partition("turn  speaker")[2].splitlines()) == 2
    view, drawn_on = live()
    show_all(view, [STARTED, another()])
    assert "I see." in drawn_on.getvalue()


@pytest.mark.parametrize("recorded", [True, False])
def test_a_server_that_records_says_so(capsys, recorded):
    started = msgspec.structs.replace(STARTED, recorded=recorded)
    show_all(PlainLines(), [started])
    line = "session s is open" + "; the server records it" * recorded
    assert capsys.readouterr().out.splitlines() == [line]


# --- which of them --------------------------------------------------------------


class Screen(io.StringIO):
    """A terminal, as far as it can be asked."""

    encoding = "utf-8"

    def __init__(self, is_terminal=True):
        super().__init__()
        self._is_terminal = is_terminal

    def isatty(self):
        return self._is_terminal

    def fileno(self):
        return 1


@pytest.mark.parametrize(
    ("environment", "is_terminal", "width", "is_plain"),
    [
        ({"TERM": "xterm"}, True, 80, False),
        ({"TERM": "xterm", "NO_COLOR": ""}, True, 80, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, 80, False),
        ({"TERM": "dumb"}, True, 80, True),
        ({}, True, 80, True),
        ({"TERM": "xterm"}, False, 80, True),
        ({"TERM": "xterm"}, True, 0, True),
        ({"TERM": "xterm"}, True, 30, True),
    ],
)
def test_plain_lines_where_there_is_no_terminal_or_no_width(
    monkeypatch, environment, is_terminal, width, is_plain
):
    monkeypatch.setattr(
        terminal.os,
        "get_terminal_size",
        lambda _: terminal.os.terminal_size((width, 9)),
    )
    assert terminal.wants_plain(Screen(is_terminal), environment) is is_plain


def test_a_terminal_that_is_not_unicode_gets_plain_lines(monkeypatch):
    monkeypatch.setattr(Screen, "encoding", "latin-1")
    assert terminal.wants_plain(Screen(), {"TERM": "xterm"})


def test_json_is_chosen_over_any_view(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Screen())
    assert isinstance(terminal.choose_view(as_json=True), JsonLines)


# --- the table ------------------------------------------------------------------


def test_milliseconds_run_from_sending_the_sample_of_the_decision_to_the_final():
    told = conversation(
        *one_turn(), received_s=0.95
    )  # decided at 900 ms, sent at 0.9 s
    assert told.turns[0].after_endpoint_ms == pytest.approx(50.0)


def test_the_table_fits_a_terminal_of_80_columns_with_every_cell_whole():
    view, out = live(80)
    speech = "Kids are talking by the door."
    turns = [one_turn(n, start_ms=n * 60_000, text=speech) for n in range(11)]
    show_all(view, [STARTED, *sum(turns, [])])
    out.truncate(out.seek(0))
    view.summarize([Played(0.0, 900_000.0, "surprise")])
    table = Text.from_ansi(out.getvalue()).plain
    assert max(map(len, table.splitlines())) <= 80
    for cell in ("probability", "labelled", "surprise", "10:00.0", "0.82", "endpoint"):
        assert cell in table
    assert "…" not in table


def test_a_turn_without_its_final_is_not_in_the_table():
    _, rows = tabulate(conversation(*one_turn(), *one_turn(1)[:4]).turns, [])
    assert [row[0] for row in rows] == ["0"]


def test_the_emotion_of_the_corpus_stands_beside_the_turn_it_was_played_in():
    turns = conversation(*one_turn(0), *one_turn(1, start_ms=1000)).turns
    played = [Played(-50.0, 550.0, "joy"), Played(950.0, 1650.0, None)]
    header, rows = tabulate(turns, played)
    assert header[-1] == "labelled"
    assert [row[-1] for row in rows] == ["joy", ""]


def test_what_agrees_with_the_corpus_is_counted_beside_what_guessing_gives():
    told = conversation(*one_turn(0), *one_turn(1, start_ms=1000), *one_turn(2)[:4])
    turns, label = told.turns, told.turns[0].label
    played = [Played(-50.0, 550.0, label), Played(950.0, 1650.0, "no such")]
    assert count_agreement(turns, played, 7) == (
        "1 of 2 labelled turns agree; guessing among 7 emotions gives 0.3"
    )
    assert count_agreement(turns, [Played(0.0, 600.0, None)], 7) == ""


def test_both_tables_count_what_agrees(capsys):
    view, out = live(80)
    plain = PlainLines()
    for each in (view, plain):
        show_all(each, [STARTED, *one_turn()])
        each.summarize([Played(0.0, 600.0, "surprise")])
    for shown in (Text.from_ansi(out.getvalue()).plain, capsys.readouterr().out):
        assert "of 1 labelled turns agree; guessing among 7" in shown


def test_without_emotions_in_the_corpus_there_is_no_column_for_them():
    header, rows = tabulate(conversation(*one_turn()).turns, [Played(0, 600, None)])
    assert len(header) == len(rows[0]) == 7


def test_events_of_a_turn_that_never_began_are_left_out():
    assert conversation(*one_turn()[1:]).turns == []
