"""Corpus files become utterances of one label set, or the line at fault is named."""

import pytest
from small_corpora import write_all, write_lines

from offline.corpora import (
    EMOTION_NAMES,
    TEST,
    TRAIN,
    VALIDATION,
    check_folder,
    group_dialogues,
    of_split,
    read_goemotions,
    read_iemocap,
    read_meld,
    read_pseudo_labels,
    read_ravdess,
)
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    write_all(folder)
    return folder


def test_every_name_is_mapped_to_one_of_the_seven():
    assert set(EMOTION_NAMES.values()) == set(EMOTIONS)


def test_calm_counts_as_neutral(data):
    clips = {u.dialogue: u for u in read_ravdess(data / "ravdess")}
    assert clips["actor01/1.flac"].emotion == "neutral"


def test_ravdess_is_split_by_actor(data):
    splits = {u.speaker: u.split for u in read_ravdess(data / "ravdess")}
    assert splits == {
        "actor01": TRAIN,
        "actor02": TRAIN,
        "actor17": VALIDATION,
        "actor18": VALIDATION,
        "actor21": TEST,
        "actor22": TEST,
    }


def test_iemocap_is_split_by_session(data):
    splits = {u.session: u.split for u in read_iemocap(data / "iemocap")}
    assert splits == {"1": VALIDATION, "2": TRAIN, "3": TRAIN, "4": TRAIN, "5": TEST}


def test_happiness_and_excitement_are_joy_and_frustration_is_context(data):
    dialogue = group_dialogues(read_iemocap(data / "iemocap"))[0]
    assert [u.emotion for u in dialogue[:6]] == [
        "neutral",
        "joy",
        "joy",
        "sadness",
        "anger",
        None,
    ]


def test_a_comment_with_two_emotions_keeps_both(data):
    last = of_split(read_goemotions(data / "goemotions"), TRAIN)[-1]
    assert last.emotions == ("anger", "sadness")
    assert last.emotion is None


def test_dialogues_stay_in_order(data):
    meld = of_split(read_meld(data / "meld"), TEST)
    dialogues = group_dialogues(meld)
    assert [len(dialogue) for dialogue in dialogues] == [21, 21]
    assert [u for dialogue in dialogues for u in dialogue] == meld


def test_every_twentieth_label_validates(data):
    splits = [u.split for u in read_pseudo_labels(data / "pseudo_labels")]
    assert [i for i, split in enumerate(splits) if split == VALIDATION] == [0, 20, 40]


def test_a_missing_folder_is_named(data, tmp_path):
    check_folder(data)
    with pytest.raises(ConfigError, match=str(tmp_path / "meld")):
        check_folder(tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"train\.jsonl: expected a corpus file"):
        read_meld(tmp_path)


def test_a_line_that_is_not_json_is_named(tmp_path):
    (tmp_path / "labels.jsonl").write_text('{"id": "a"\n')
    with pytest.raises(ConfigError, match=r"labels\.jsonl:1: expected a JSON object"):
        read_pseudo_labels(tmp_path)


def test_a_line_that_is_no_object_is_named(tmp_path):
    (tmp_path / "labels.jsonl").write_text("[1]\n")
    with pytest.raises(ConfigError, match=r"labels\.jsonl:1: expected a JSON object"):
        read_pseudo_labels(tmp_path)


GOOD = {"id": "a", "text": "x", "emotion": "joy", "sentiment": "positive"}


def test_a_missing_field_is_named_with_its_line(tmp_path):
    bad = {name: GOOD[name] for name in ("id", "emotion", "sentiment")}
    write_lines(tmp_path / "labels.jsonl", [GOOD, bad])
    with pytest.raises(
        ConfigError, match=r"labels\.jsonl:2: expected the field 'text'"
    ):
        read_pseudo_labels(tmp_path)


def test_a_wrong_sentiment_is_named_with_its_line(tmp_path):
    write_lines(tmp_path / "labels.jsonl", [GOOD, GOOD, {**GOOD, "sentiment": "so"}])
    with pytest.raises(ConfigError, match=r"labels\.jsonl:3: sentiment: .*'so'"):
        read_pseudo_labels(tmp_path)
