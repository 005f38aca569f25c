"""IEMOCAP as published becomes corpus files."""

import published_layouts as layouts
import pytest
from reader_cases import edit, messages, read

from offline.corpora.findings import Findings


@pytest.fixture
def findings():
    return Findings(strict=False)


def test_iemocap_is_in_order_of_time_and_other_feelings_are_context(tmp_path, findings):
    first = read("iemocap", tmp_path, findings)["train"][:6]
    assert [(u.turn, u.speaker, u.emotion) for u in first] == [
        (0, "2F", "neutral"),
        (1, "2M", None),
        (2, "2F", "joy"),
        (3, "2M", None),
        (4, "2F", "joy"),
        (5, "2M", "anger"),
    ]
    assert first[0].text == "Excuse me."
    assert first[0].start_s is None  # the sentence has a file of its own
    assert not findings.problems


def test_iemocap_is_split_by_session(tmp_path, findings):
    splits = read("iemocap", tmp_path, findings)
    assert {split: {u.session for u in us} for split, us in splits.items()} == {
        "train": {"2", "3", "4"},
        "validation": {"1"},
        "test": {"5"},
    }


def test_iemocap_without_a_session_lacks_that_split(tmp_path, findings):
    layouts.write_iemocap(tmp_path, sessions=(1, 2))
    assert set(read("iemocap", tmp_path, findings)) == {"train", "validation"}


def iemocap_file(folder, kind, session=1):
    root = folder / "IEMOCAP_full_release" / f"Session{session}" / "dialog"
    return root / kind / f"Ses{session:02}F_impro01.txt"


def test_files_of_a_mac_beside_the_evaluations_are_passed_over(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    file = iemocap_file(tmp_path, "EmoEvaluation")
    file.with_name(f"._{file.name}").write_bytes(b"\x00\x05\x16\x07[1 - 2]")
    read("iemocap", tmp_path, findings)
    assert not findings.problems


def test_a_turn_without_words_is_named_with_its_line_and_kept(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    edit(iemocap_file(tmp_path, "transcriptions"), "_M002 [", "_M009 [")
    last = read("iemocap", tmp_path, findings)["validation"][-1]
    assert (last.emotion, last.text) == ("anger", None)
    file = iemocap_file(tmp_path, "EmoEvaluation")
    assert messages(findings)[0].startswith(
        f"{file}:3: expected a transcript of Ses01F_impro01_M002 in "
    )


def test_a_missing_transcript_is_named(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    file = iemocap_file(tmp_path, "transcriptions")
    file.unlink()
    assert len(read("iemocap", tmp_path, findings)["validation"]) == 6
    assert f"{file}: expected a transcript, got no file" in messages(findings)


def test_an_unknown_emotion_is_named_and_open(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    file = iemocap_file(tmp_path, "EmoEvaluation")
    edit(file, "\tang\t", "\tmeh\t")
    last = read("iemocap", tmp_path, findings)["validation"][-1]
    assert last.emotion is None
    assert messages(findings)[0].startswith(f"{file}:3: emotion: expected one of ")
    assert "'meh'" in messages(findings)[0]


def test_a_garbled_evaluation_is_named_and_left_out(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    file = iemocap_file(tmp_path, "EmoEvaluation")
    edit(file, "[21.3000 - ", "[soon - ")
    assert len(read("iemocap", tmp_path, findings)["validation"]) == 5
    assert messages(findings)[0].startswith(f"{file}:3: expected [start - end], turn")


def test_a_missing_recording_is_counted(tmp_path, findings):
    layouts.write_iemocap(tmp_path)
    next(tmp_path.rglob("Ses01F_impro01_F000.wav")).unlink()
    assert read("iemocap", tmp_path, findings)["validation"][0].audio is None
    assert findings.counts == {"utterances of iemocap without a recording": 1}
