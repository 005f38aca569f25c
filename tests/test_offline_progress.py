"""How far long work is: a bar for people at a terminal, lines for everything else."""

import io
import logging

import pytest

from offline import progress
from offline.progress import Progress, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def lines(caplog):
    """What is logged, once the work is done."""
    caplog.set_level(logging.INFO)
    return lambda: [record.getMessage() for record in caplog.records]


def test_everything_is_given_in_order():
    assert list(track("abc", "spelling", "letters")) == ["a", "b", "c"]


def test_without_a_terminal_a_line_says_what_is_done_for_how_many(lines, capsys):
    list(track(range(1000), "counting", "numbers"))
    assert lines() == ["counting: 1000 numbers"]
    assert capsys.readouterr().err == ""


def test_long_work_says_now_and_then_how_far_it_is(lines, monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with Progress("counting", 5, "numbers", done=2) as counting:
        counting.advance(2)
        counting.advance()
    assert lines() == [
        "counting: 5 numbers, 2 done before",
        "counting: 4 of 5 numbers",
        "counting: 5 of 5 numbers",
    ]


def test_a_part_speaks_up_only_when_it_takes_long(lines, monkeypatch):
    with Progress("verse", 2, "words", is_part=True) as verse:
        verse.advance()
        assert lines() == []
        monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
        verse.advance()
    assert lines() == ["verse: 2 of 2 words"]


def test_of_nothing_nothing_is_said(lines):
    assert list(track([], "counting", "numbers")) == []
    assert lines() == []


def test_a_terminal_has_a_bar_and_no_lines(lines, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    list(track(range(3), "counting", "numbers"))
    assert "counting: 100%" in terminal.getvalue() and "3/3" in terminal.getvalue()
    assert lines() == []
