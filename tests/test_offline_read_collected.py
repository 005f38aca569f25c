"""Collected corpora become corpus files."""

import published_layouts as layouts
import pytest
from reader_cases import edit, messages

from offline.__main__ import main
from offline.corpora.findings import Findings
from offline.corpora.form import read_corpus
from offline.corpora.layouts import COLLECTED
from stream_erc.errors import ConfigError


@pytest.fixture
def findings():
    return Findings(strict=False)


def collected(folder, name, findings):
    """Write all corpora and read one."""
    layouts.write_collected(folder)
    return COLLECTED[name](folder / name, findings)


def test_collected_corpora_become_a_folder_each(tmp_path, capsys):
    layouts.write_collected(tmp_path / "in")
    out = tmp_path / "out"
    arguments = ["read", "collected", str(tmp_path / "in"), "--out", str(out)]
    assert main([*arguments, "--strict"]) == 0
    assert {
        str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()
    } == {
        f"{name}/{split}.jsonl"
        for name in COLLECTED
        for split in ("train", "validation", "test")
    }
    shown = capsys.readouterr().out
    assert (
        f"{out / 'mosi'}: test: 1 dialogues, 2 utterances: negative 1, positive 1"
        in (shown.splitlines())
    )


def test_one_collected_corpus_is_enough(tmp_path):
    layouts.write_collected_mosi(tmp_path / "in" / "mosi")
    out = tmp_path / "out"
    assert main(["read", "collected", str(tmp_path / "in"), "--out", str(out)]) == 0
    assert [path.name for path in out.iterdir()] == ["mosi"]


def test_a_collected_scene_that_shares_a_long_line_with_meld_is_left_out(
    tmp_path, findings
):
    splits = collected(tmp_path, "emorynlp", findings)
    assert {split: {u.dialogue for u in us} for split, us in splits.items()} == {
        "train": {"emory_train_kept", "emory_train_calm"},
        "validation": {"emory_dev_kept", "emory_dev_calm"},
        "test": {"emory_test_kept", "emory_test_calm"},
    }
    assert [u.emotion for u in splits["train"]] == ["anger", "anger", None]
    assert sum(findings.counts.values()) == 3


def test_a_line_of_melds_training_hides_no_scene(tmp_path, findings):
    layouts.write_collected(tmp_path)
    file = tmp_path / "emorynlp" / "train.jsonl"
    edit(file, "Quite so.", "This is the long line of train.")
    splits = COLLECTED["emorynlp"](file.parent, findings)
    assert "emory_train_calm" in {u.dialogue for u in splits["train"]}


def test_emorynlp_without_meld_is_refused(tmp_path, findings):
    layouts.write_collected(tmp_path)
    (tmp_path / "meld" / "test.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"test\.jsonl: expected a text file"):
        COLLECTED["emorynlp"](tmp_path / "emorynlp", findings)


def test_a_comment_with_two_emotions_is_left_out(tmp_path, findings):
    splits = collected(tmp_path, "goemotions", findings)
    assert [(u.dialogue, u.turn, u.emotion) for u in splits["validation"]] == [
        ("go_dev_0", 0, "joy"),
        ("go_dev_2", 0, "fear"),
    ]
    assert findings.counts["comments with several emotions, left out"] == 3


def test_collected_iemocap_keeps_rows_and_times(tmp_path, findings):
    splits = collected(tmp_path, "iemocap", findings)
    first, second, third = splits["test"]
    assert first.features.row == 8
    assert (first.start_s, first.end_s, first.session) == (6.5, 7.0, "5")
    assert (second.features, second.emotion) == (None, None)
    assert third.features.row == 9
    assert findings.counts["utterances of iemocap without features"] == 5


def test_features_are_found_from_the_corpus_file(tmp_path):
    layouts.write_collected(tmp_path / "in")
    out = tmp_path / "deep" / "out"
    assert main(["read", "collected", str(tmp_path / "in"), "--out", str(out)]) == 0
    corpus = read_corpus(out / "mosi" / "train.jsonl")
    row = corpus.utterances[0].features
    assert (
        corpus.root / row.file
    ).resolve() == tmp_path / "in" / "mosi" / "audio73.npz"
    assert (row.key, row.row) == ("features", 3)


def test_a_path_is_relative_wherever_the_command_runs(tmp_path, monkeypatch):
    layouts.write_collected(tmp_path / "in")
    monkeypatch.chdir(tmp_path)
    assert main(["read", "collected", "in", "--out", "out"]) == 0
    corpus = read_corpus(tmp_path / "out" / "ravdess" / "train.jsonl")
    assert [u.audio for u in corpus.utterances] == [
        "../../in/ravdess/actor01/03-01-02-01-01-01-01.flac"
    ]


def test_a_path_holds_behind_a_link(tmp_path):
    layouts.write_collected_ravdess(tmp_path / "in" / "ravdess")
    (tmp_path / "far" / "away").mkdir(parents=True)
    out = tmp_path / "out"
    out.symlink_to(tmp_path / "far" / "away")
    assert main(["read", "collected", str(tmp_path / "in"), "--out", str(out)]) == 0
    corpus = read_corpus(out / "ravdess" / "train.jsonl")
    assert (corpus.root / corpus.utterances[0].audio).is_file()


def test_a_collected_clip_that_is_not_there_is_named(tmp_path, findings):
    layouts.write_collected(tmp_path)
    file = tmp_path / "ravdess" / "clips.jsonl"
    edit(file, "actor17/", "actor18/")
    assert "validation" not in COLLECTED["ravdess"](file.parent, findings)
    assert messages(findings)[0].startswith(
        f"{file}:2: expected a clip of actor 1 to 24"
    )


@pytest.mark.parametrize(
    ("name", "file", "old", "new"),
    [
        ("meld", "train.jsonl", '"speaker"', '"who"'),
        ("emorynlp", "train.jsonl", '"turn": 0', '"turn": "first"'),
        ("goemotions", "train.jsonl", '["joy"]', '"joy"'),
        ("iemocap", "utterances.jsonl", '"session": 1', '"session": 6'),
        ("mosi", "utterances.jsonl", '"split": "train"', '"split": "all"'),
        ("ravdess", "clips.jsonl", '{"file"', '"file"'),
    ],
)
def test_a_faulty_line_is_named_and_left_out(name, file, old, new, tmp_path, findings):
    layouts.write_collected(tmp_path)
    sound = Findings(strict=True)
    n_sound = sum(map(len, COLLECTED[name](tmp_path / name, sound).values()))
    edit(tmp_path / name / file, old, new)
    splits = COLLECTED[name](tmp_path / name, findings)
    assert sum(map(len, splits.values())) == n_sound - 1
    assert messages(findings)[0].startswith(f"{tmp_path / name / file}:1: expected ")
