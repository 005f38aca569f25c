"""Published layouts become corpus files, or what is wrong with them is named."""

import json

import msgspec
import published_layouts as layouts
import pytest
from reader_cases import WRITERS, edit, read

from offline.__main__ import main
from offline.corpora.findings import Findings
from offline.corpora.form import read_corpus
from offline.corpora.layouts import LAYOUTS
from stream_erc.errors import ConfigError


@pytest.fixture
def findings():
    return Findings(strict=False)


# --- every layout -------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_sound_copy_becomes_three_sound_corpus_files(layout, tmp_path):
    WRITERS[layout](tmp_path / "in")
    out = tmp_path / "out"
    assert (
        main(["read", layout, str(tmp_path / "in"), "--out", str(out), "--strict"]) == 0
    )
    for split in ("train", "validation", "test"):
        corpus = read_corpus(out / f"{split}.jsonl", strict=True)
        assert all(
            (corpus.root / utterance.audio).is_file() for utterance in corpus.utterances
        )


@pytest.mark.parametrize("layout", [*LAYOUTS, "collected"])
def test_a_folder_with_something_else_is_refused(layout, tmp_path, capsys):
    (tmp_path / "in").mkdir()
    out = tmp_path / "out"
    assert main(["read", layout, str(tmp_path / "in"), "--out", str(out)]) == 2
    assert f"{tmp_path / 'in'}: expected " in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_missing_folder_is_refused(layout, tmp_path, findings):
    with pytest.raises(ConfigError, match=r"nowhere.*: expected "):
        LAYOUTS[layout](tmp_path / "nowhere", findings)


# --- the command --------------------------------------------------------------


def test_strict_stops_at_the_first_problem_and_writes_nothing(tmp_path, capsys):
    layouts.write_meld(tmp_path / "in")
    file = tmp_path / "in" / "MELD.Raw" / "test_sent_emo.csv"
    edit(file, "surprise", "awe")
    arguments = ["read", "meld", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--strict"]) == 2
    assert f"{file}:3: emotion: expected one of " in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_strict_problems_are_counted_and_the_rest_is_written(tmp_path, caplog):
    layouts.write_meld(tmp_path / "in")
    file = tmp_path / "in" / "MELD.Raw" / "test_sent_emo.csv"
    edit(file, "surprise", "awe")
    arguments = ["read", "meld", str(tmp_path / "in"), "--out", str(tmp_path / "out")]
    assert main(arguments) == 0
    assert f"{file}: 1 problems in all" in caplog.text
    written = read_corpus(tmp_path / "out" / "test.jsonl").utterances
    assert [u.emotion for u in written] == ["neutral", None]


def test_a_dialogue_in_two_splits_is_named(tmp_path, capsys):
    layouts.write_collected_mosi(tmp_path / "in" / "mosi")
    edit(tmp_path / "in" / "mosi" / "utterances.jsonl", "mosi_dev", "mosi_train")
    arguments = ["read", "collected", str(tmp_path / "in")]
    assert main([*arguments, "--out", str(tmp_path / "out"), "--strict"]) == 2
    assert "expected dialogue 'mosi_train' in one split" in capsys.readouterr().err


def test_a_split_of_an_earlier_reading_does_not_stay(tmp_path):
    layouts.write_iemocap(tmp_path / "all")
    layouts.write_iemocap(tmp_path / "some", sessions=(1, 2))
    out = tmp_path / "out"
    for folder in ("all", "some"):
        assert main(["read", "iemocap", str(tmp_path / folder), "--out", str(out)]) == 0
    assert {file.name for file in out.iterdir()} == {"train.jsonl", "validation.jsonl"}


def test_the_corpus_itself_is_never_written_over(tmp_path, capsys):
    layouts.write_collected(tmp_path)
    before = (tmp_path / "meld" / "train.jsonl").read_bytes()
    assert main(["read", "collected", str(tmp_path), "--out", str(tmp_path)]) == 2
    assert "--out: expected another folder" in capsys.readouterr().err
    assert (tmp_path / "meld" / "train.jsonl").read_bytes() == before


def test_what_was_written_reads_as_what_was_read(tmp_path, findings):
    read_splits = read("iemocap", tmp_path, findings)
    out = tmp_path / "out"
    assert main(["read", "iemocap", str(tmp_path), "--out", str(out)]) == 0
    written = [
        json.loads(line) for line in (out / "test.jsonl").read_text().splitlines()
    ]
    as_read = [
        msgspec.to_builtins(msgspec.structs.replace(u, audio=None))
        for u in read_splits["test"]
    ]
    assert [{k: v for k, v in line.items() if k != "audio"} for line in written] == [
        {k: v for k, v in line.items() if k != "audio"} for line in as_read
    ]
