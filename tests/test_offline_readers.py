"""Published layouts become corpus files, or what is wrong with them is named."""

import json

import msgspec
import published_layouts as layouts
import pytest

from offline.__main__ import main
from offline.corpora.findings import Findings
from offline.corpora.form import read_corpus
from offline.corpora.layouts import COLLECTED, LAYOUTS
from offline.corpora.mosi import SPLIT_OF_VIDEO
from stream_erc.errors import ConfigError

WRITERS = {
    "iemocap": layouts.write_iemocap,
    "meld": layouts.write_meld,
    "mosi": layouts.write_mosi,
    "ravdess": layouts.write_ravdess,
    "crema-d": layouts.write_crema_d,
}


@pytest.fixture
def findings():
    return Findings(strict=False)


def read(layout, folder, findings):
    """Write a made-up copy where there is none, and read it."""
    if not any(folder.iterdir()):
        WRITERS[layout](folder)
    return LAYOUTS[layout](folder, findings)


def edit(file, old, new):
    """Put something wrong into a text file."""
    text = file.read_bytes().decode()
    assert old in text
    file.write_bytes(text.replace(old, new, 1).encode())


def messages(findings):
    return [str(problem) for problem in findings.problems]


# --- every layout ---------------------------------------------------------------


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


# --- IEMOCAP --------------------------------------------------------------------


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


# --- MELD -----------------------------------------------------------------------


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


# --- CMU-MOSI -------------------------------------------------------------------


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


# --- RAVDESS and CREMA-D --------------------------------------------------------


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


# --- collected ------------------------------------------------------------------


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


# --- the command ----------------------------------------------------------------


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
