"""MELD as published becomes corpus files."""

import published_layouts as layouts
import pytest
from reader_cases import edit, messages, read

from offline.__main__ import main
from offline.corpora.findings import Findings
from stream_erc.errors import ConfigError


@pytest.fixture
def findings():
    return Findings(strict=False)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_meld_has_its_apostrophes_put_right(encoding, tmp_path, findings):
    layouts.write_meld(tmp_path, encoding=encoding)
    splits = read("meld", tmp_path, findings)
    assert [u.text for u in splits["train"]] == ["I'm fine, thanks.", "No way!"]
    assert {split: us[0].dialogue for split, us in splits.items()} == {
        "train": "meld_train_0",
        "validation": "meld_dev_0",
        "test": "meld_test_0",
    }
    assert (splits["test"][1].emotion, splits["test"][1].sentiment) == (
        "surprise",
        "positive",
    )


def test_turns_of_meld_out_of_order_are_sorted(tmp_path, findings):
    rows = [
        layouts.meld_row("Turn 1.", "Ann", "neutral", "neutral", 4, 1),
        layouts.meld_row("Another dialogue.", "Ann", "neutral", "neutral", 2, 0),
        layouts.meld_row("Turn 0.", "Ann", "neutral", "neutral", 4, 0),
    ]
    layouts.write_meld(tmp_path, rows=rows)
    assert [
        (u.dialogue, u.turn) for u in read("meld", tmp_path, findings)["train"]
    ] == [
        ("meld_train_4", 0),
        ("meld_train_4", 1),
        ("meld_train_2", 0),
    ]


def test_meld_takes_a_sound_or_a_video(tmp_path, findings):
    splits = read("meld", tmp_path, findings)
    place = tmp_path / "MELD.Raw" / "output_repeated_splits_test"
    assert [u.audio for u in splits["test"]] == [
        str(place / "dia0_utt0.wav"),
        str(place / "dia0_utt1.mp4"),
    ]


def test_meld_without_clips_keeps_its_words_and_counts_them(tmp_path, findings):
    layouts.write_meld(tmp_path, clips=False)
    splits = read("meld", tmp_path, findings)
    assert {u.audio for u in splits["train"]} == {None}
    assert findings.counts["utterances of meld (train) without a clip"] == 2
    assert not findings.problems


def test_a_missing_column_is_named_with_what_came(tmp_path, findings):
    layouts.write_meld(tmp_path)
    file = tmp_path / "MELD.Raw" / "dev_sent_emo.csv"
    edit(file, "Dialogue_ID", "Dialog")
    with pytest.raises(
        ConfigError, match=rf"{file}:1: expected the columns Dialogue_ID, got Sr No\."
    ):
        read("meld", tmp_path, findings)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            layouts.meld_row("Hm.", "Ann", "bored", "neutral", 0, 2),
            "emotion: expected one of ",
        ),
        (
            layouts.meld_row("Hm.", "Ann", "joy", "good", 0, 2),
            "sentiment: expected one of ",
        ),
        (
            layouts.meld_row("Hm.", "Ann", "joy", "positive", "x", 2),
            "expected two numbers as IDs, got 'x' and '2'",
        ),
        (
            layouts.meld_row("Hm.", "Ann", "joy", "positive", 0, 1),
            "expected turn 1 of 'meld_train_0' once",
        ),
        ("1,Hm.,Ann\n", "expected 11 cells, got 3"),
    ],
)
def test_a_faulty_row_is_named_with_its_line(row, message, tmp_path, findings):
    good = [
        layouts.meld_row("Two\nlines.", "Ann", "neutral", "neutral", 0, 0),
        layouts.meld_row("No way!", "Bob", "surprise", "positive", 0, 1),
    ]
    layouts.write_meld(tmp_path, rows=[*good, row])
    splits = read("meld", tmp_path, findings)
    assert [u.turn for u in splits["train"]][:2] == [0, 1]
    file = tmp_path / "MELD.Raw" / "train_sent_emo.csv"
    assert messages(findings)[0].startswith(f"{file}:5: {message}")
    assert len(findings.problems) == 3  # one a split


def test_a_table_without_a_row_is_an_empty_split(tmp_path, capsys):
    layouts.write_meld(tmp_path / "in")
    table = tmp_path / "in" / "MELD.Raw" / "dev_sent_emo.csv"
    table.write_text(layouts.MELD_HEADER)
    arguments = ["read", "meld", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    assert "expected utterances of validation, got none" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
