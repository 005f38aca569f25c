"""CMU-MOSI as published becomes corpus files."""

import published_layouts as layouts
import pytest
from reader_cases import edit, messages, read

from offline.corpora.findings import Findings
from offline.corpora.mosi import SPLIT_OF_VIDEO


@pytest.fixture
def findings():
    return Findings(strict=False)


def test_mosi_knows_93_videos():
    counts = [list(SPLIT_OF_VIDEO.values()).count(s) for s in ("train", "validation")]
    assert (len(SPLIT_OF_VIDEO), *counts) == (93, 52, 10)


def test_mosi_is_negative_below_zero_and_positive_from_there(tmp_path, findings):
    splits = read("mosi", tmp_path, findings)
    assert [(u.turn, u.sentiment, u.text) for u in splits["test"]] == [
        (1, "positive", "SEGMENT 1 OF IT"),
        (2, "positive", "SEGMENT 2 OF IT"),
        (3, "negative", "SEGMENT 3 OF IT"),
    ]
    assert {split: us[0].dialogue for split, us in splits.items()} == {
        split: f"mosi_{video}" for video, split in layouts.MOSI_VIDEOS.items()
    }
    assert not findings.problems


def mosi_labels(folder):
    return folder / "Raw" / "Labels" / "OpinionLevelSentiment.csv"


def test_mosi_takes_a_table_with_a_header_too(tmp_path, findings):
    layouts.write_mosi(tmp_path)
    mosi_labels(tmp_path).unlink()
    layouts.write_text(
        tmp_path / "label.csv",
        "video_id,clip_id,text,label,mode\nc7UH_rxdZv4,2,OTHER,-1.5,test\n",
    )
    splits = read("mosi", tmp_path, findings)
    assert [(u.turn, u.sentiment, u.text) for u in splits["test"]] == [
        (2, "negative", "SEGMENT 2 OF IT")
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("2iD-tVS8NPw,1,", "2iD-tVS8NPX,1,", "expected one of the 93 videos"),
        ("2iD-tVS8NPw,1,", "2iD-tVS8NPw,one,", "expected a video, a segment and a "),
        ("1,2.4", "1,24", "expected a video, a segment and a score of -3 to 3"),
        ("1,2.4", "1,nan", "expected a video, a segment and a score of -3 to 3"),
        ("1,2.4", "1", "expected a video, a segment and a score of -3 to 3"),
        ("2iD-tVS8NPw,1,", "2iD-tVS8NPw,7,", "expected a transcript of 7 in "),
        ("2iD-tVS8NPw,1,", "2iD-tVS8NPw,2,", "expected turn 2 of 'mosi_2iD-tVS8NPw'"),
    ],
)
def test_a_faulty_opinion_is_named_with_its_line(old, new, message, tmp_path, findings):
    layouts.write_mosi(tmp_path)
    edit(mosi_labels(tmp_path), old, new)
    read("mosi", tmp_path, findings)
    line = 2 if "turn 2" in message else 1  # the second of a turn is at fault
    assert messages(findings)[0].startswith(
        f"{mosi_labels(tmp_path)}:{line}: {message}"
    )


def test_a_garbled_segment_of_a_transcript_is_named(tmp_path, findings):
    layouts.write_mosi(tmp_path)
    file = tmp_path / "Raw" / "Transcript" / "Segmented" / "2iD-tVS8NPw.annotprocessed"
    edit(file, "2_DELIM_", "2: ")
    texts = [u.text for u in read("mosi", tmp_path, findings)["train"]]
    assert texts == ["SEGMENT 1 OF IT", None, "SEGMENT 3 OF IT"]
    assert f"{file}:2: expected a number, _DELIM_ and words, got " in "".join(
        messages(findings)
    )
