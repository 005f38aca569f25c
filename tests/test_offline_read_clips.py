"""RAVDESS and CREMA-D as published become corpus files."""

import published_layouts as layouts
import pytest
from reader_cases import WRITERS, messages, read

from offline.corpora.findings import Findings


@pytest.fixture
def findings():
    return Findings(strict=False)


def test_ravdess_is_read_from_the_names_of_its_files(tmp_path, findings):
    splits = read("ravdess", tmp_path, findings)
    calm, fear = splits["validation"]
    assert (calm.emotion, calm.text) == ("neutral", "Kids are talking by the door.")
    assert (fear.emotion, fear.text) == ("fear", "Dogs are sitting by the door.")
    assert (fear.session, fear.speaker, fear.turn) == ("actor17", "actor17", 0)
    assert findings.counts == {"songs of ravdess, left out": 1}


def test_ravdess_is_split_by_actor(tmp_path, findings):
    layouts.write_ravdess(tmp_path, actors=(1, 16, 17, 20, 21, 24))
    splits = read("ravdess", tmp_path, findings)
    assert {split: {u.speaker[-2:] for u in us} for split, us in splits.items()} == {
        "train": {"01", "16"},
        "validation": {"17", "20"},
        "test": {"21", "24"},
    }


def test_the_voice_of_a_clip_is_found_behind_the_silence(tmp_path, findings):
    at_once, late = read("ravdess", tmp_path, findings)["train"]
    assert 0.0 < at_once.end_s - at_once.start_s < len(layouts.spoken()) / 16_000
    assert late.start_s == pytest.approx(at_once.start_s + layouts.QUIET_S, abs=0.1)
    assert late.end_s == pytest.approx(at_once.end_s + layouts.QUIET_S, abs=0.1)


def test_crema_d_is_read_from_the_names_of_its_files(tmp_path, findings):
    names = ("ANG", "DIS", "FEA", "HAP", "NEU", "SAD")
    layouts.write_crema_d(tmp_path, actors=(1002,), emotions=names)
    clips = read("crema-d", tmp_path, findings)["train"]
    assert [u.emotion for u in clips] == [
        "anger",
        "disgust",
        "fear",
        "joy",
        "neutral",
        "sadness",
    ]
    assert {(u.text, u.speaker) for u in clips} == {
        ("Don't forget a jacket.", "actor1002")
    }


def test_an_actor_of_crema_d_is_in_one_split(tmp_path, findings):
    layouts.write_crema_d(tmp_path, actors=range(1001, 1007))
    splits = read("crema-d", tmp_path, findings)
    assert {split: [u.speaker[-1] for u in us] for split, us in splits.items()} == {
        "train": ["2", "3", "4"],
        "validation": ["1", "6"],
        "test": ["5"],
    }


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("ravdess", "Actor_01/03-01-09-01-01-01-01.wav"),
        ("ravdess", "Actor_01/03-01-01-01-01-01-25.wav"),
        ("ravdess", "Actor_01/happy.wav"),
        ("crema-d", "AudioWAV/1001_XXX_ANG_XX.wav"),
        ("crema-d", "AudioWAV/happy.wav"),
    ],
)
def test_a_file_of_another_name_is_named_and_left_out(layout, name, tmp_path, findings):
    WRITERS[layout](tmp_path)
    layouts.write_speech(tmp_path / name)
    splits = read(layout, tmp_path, findings)
    assert messages(findings)[0].startswith(f"{tmp_path / name}: expected the name of ")
    assert str(tmp_path / name) not in {u.audio for us in splits.values() for u in us}


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("ravdess", "Actor_01/03-01-01-01-01-01-01.wav"),
        ("crema-d", "AudioWAV/1002_TSI_ANG_XX.wav"),
    ],
)
def test_a_silent_clip_is_named_and_left_out(layout, name, tmp_path, findings):
    WRITERS[layout](tmp_path)
    layouts.write_silence(tmp_path / name)
    splits = read(layout, tmp_path, findings)
    assert messages(findings) == [f"{tmp_path / name}: expected a voice, got silence"]
    assert str(tmp_path / name) not in {u.audio for us in splits.values() for u in us}


def test_a_voice_too_soft_to_be_found_is_taken_whole_and_counted(tmp_path, findings):
    layouts.write_ravdess(tmp_path, actors=(1,))
    layouts.write_speech(tmp_path / "Actor_01" / "03-01-01-01-01-01-01.wav", gain=0.001)
    softest = read("ravdess", tmp_path, findings)["train"][0]
    assert (softest.start_s, softest.end_s) == (None, None)
    assert findings.counts["clips with a voice too soft to be found, taken whole"] == 1
    assert not findings.problems


@pytest.mark.parametrize("content", [b"", b"not a sound at all " * 20])
def test_a_clip_that_is_no_sound_is_named(content, tmp_path, findings):
    layouts.write_ravdess(tmp_path)
    file = tmp_path / "Actor_01" / "03-01-01-01-01-01-01.wav"
    file.write_bytes(content)
    assert len(read("ravdess", tmp_path, findings)["train"]) == 2
    assert messages(findings)[0].startswith(f"{file}: expected audio, got: ")
