"""What one turn costs, part by part."""

import pytest

from benchmarks.costs import ALONE, PARTS, draw, print_parts, time_parts
from stream_erc.config import DEFAULT_MODEL
from stream_erc.fusion import EmotionModel


@pytest.fixture(scope="module")
def table(models):
    model = EmotionModel(DEFAULT_MODEL)
    return {1: time_parts(models.whisper, model, 1, repeats=1)}


def test_every_part_of_a_turn_is_timed(table):
    assert set(table[1]) == {*PARTS, ALONE}
    assert sum(table[1].values()) > 0


def test_the_parts_are_printed_with_their_sum(table, capsys):
    print_parts({1: dict.fromkeys((*PARTS, ALONE), 2.0)})
    lines = capsys.readouterr().out.splitlines()
    assert [line[:21].strip() for line in lines[1:]] == [*PARTS, "sum", ALONE]
    assert lines[-2].split() == ["sum", "10.0"]


def test_the_parts_can_be_drawn(table, tmp_path):
    draw(table, tmp_path / "costs.png")
    assert (tmp_path / "costs.png").read_bytes().startswith(b"\x89PNG")
