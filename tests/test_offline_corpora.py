"""The form of a corpus: what is written is read, and what is wrong with it is named."""

import json
import logging
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offline.corpora.findings import Findings
from offline.corpora.form import (
    Corpus,
    FeatureRow,
    Problem,
    Utterance,
    find_shared_dialogues,
    group_dialogues,
    read_corpus,
    tell_problems,
    write_corpus,
)
from offline.corpora.labels import Label, read_labels
from offline.corpora.names import (
    EMOTION_NAMES,
    OTHER_NAMES,
    SENTIMENT_OF,
    to_emotion,
    to_sentiment,
)
from offline.corpora.splits import count_split, make_relative
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS

GOOD = {"dialogue": "a", "turn": 0, "speaker": "Ann", "text": "Hi.", "emotion": "joy"}
GOOD_LABEL = {"id": "a", "text": "Hi.", "sentiment": "positive", "emotion": "joy"}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "corpus.jsonl"


def write_lines(file, *records):
    """Write records as JSON, and strings as they are."""
    lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
    file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def said(dialogue, turn, **fields):
    return Utterance(dialogue=dialogue, turn=turn, speaker="Ann", **fields)


# --- a corpus file --------------------------------------------------------------


seconds = st.none() | st.floats(0, 1e4)
utterance_fields = st.fixed_dictionaries(
    {
        "speaker": st.text(),
        "text": st.none() | st.text(),
        "audio": st.none() | st.text(min_size=1),
        "channel": st.none() | st.integers(0, 7),
        "start_s": seconds,
        "end_s": seconds,
        "emotion": st.none() | st.sampled_from(EMOTIONS),
        "sentiment": st.none() | st.sampled_from(SENTIMENTS),
        "features": st.none()
        | st.builds(FeatureRow, st.text(), st.text(), st.integers(0)),
        "session": st.none() | st.text(),
        "confidence": st.none() | st.floats(0, 1),
    }
)


@settings(max_examples=50)
@given(
    st.dictionaries(
        st.text(max_size=8),
        st.lists(utterance_fields, min_size=1, max_size=3),
        min_size=1,
        max_size=3,
    )
)
def test_what_is_written_is_read(tmp_path_factory, dialogues):
    file = tmp_path_factory.getbasetemp() / "property" / "corpus.jsonl"
    utterances = [
        Utterance(dialogue=name, turn=turn, **fields)
        for name, turns in dialogues.items()
        for turn, fields in enumerate(turns)
    ]
    assert write_corpus(file, utterances) == len(utterances)
    assert read_corpus(file, strict=True).utterances == utterances


def test_only_dialogue_turn_and_speaker_are_needed(file):
    write_lines(file, {"dialogue": "a", "turn": 3, "speaker": "Ann"})
    assert read_corpus(file, strict=True).utterances == [said("a", 3)]


def test_empty_lines_count_but_say_nothing(file):
    write_lines(file, GOOD, "", "nonsense")
    corpus = read_corpus(file)
    assert len(corpus.utterances) == 1
    assert [problem.line for problem in corpus.problems] == [3]


def test_names_of_other_corpora_are_understood(file):
    write_lines(
        file, GOOD | {"emotion": "Excited"}, GOOD | {"turn": 1, "emotion": "fru"}
    )
    assert [u.emotion for u in read_corpus(file, strict=True).utterances] == [
        "joy",
        None,
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "expected an utterance, got: "),
        ("[1]", "expected an utterance, got: "),
        ({"dialogue": "a", "turn": 1}, "expected an utterance, got: .*speaker"),
        (GOOD | {"turn": "one"}, r"expected an utterance, got: .*\$\.turn"),
        (GOOD | {"channel": -1}, r"expected an utterance, got: .*channel"),
        (GOOD | {"channel": "left"}, r"expected an utterance, got: .*channel"),
        (GOOD | {"features": {"file": "x"}}, r"expected an utterance, got: .*key"),
        (GOOD | {"turn": 1, "emotion": "meh"}, "emotion: expected .*'meh'"),
        (GOOD | {"turn": 1, "sentiment": "so"}, "sentiment: expected .*'so'"),
        (GOOD, "expected turn 0 of 'a' once"),
    ],
)
def test_a_faulty_line_is_named_and_the_rest_is_used(line, message, file):
    write_lines(file, GOOD, line, GOOD | {"turn": 2})
    corpus = read_corpus(file)
    assert {0, 2} <= {utterance.turn for utterance in corpus.utterances}
    assert [problem.line for problem in corpus.problems] == [2]
    with pytest.raises(ConfigError, match=rf"{file}:2: {message}"):
        read_corpus(file, strict=True)


def test_an_unknown_label_leaves_the_line_in_as_context(file):
    write_lines(file, GOOD | {"emotion": "meh", "sentiment": "positive"})
    utterance = read_corpus(file).utterances[0]
    assert (utterance.emotion, utterance.sentiment) == (None, "positive")


@pytest.mark.parametrize(
    ("key", "told"),
    [
        ("emotoin", "expected emotion, got the key 'emotoin'"),
        ("gender", "expected keys of dialogue, turn, .*, got the key 'gender'"),
    ],
)
def test_an_unknown_key_is_named_and_the_line_is_used(key, told, file):
    write_lines(file, GOOD, GOOD | {"turn": 1, key: "joy"})
    corpus = read_corpus(file)
    assert [utterance.turn for utterance in corpus.utterances] == [0, 1]
    (problem,) = corpus.problems
    assert re.fullmatch(f"{file}:2: {told}", str(problem))
    with pytest.raises(ConfigError, match=told):
        read_corpus(file, strict=True)


def test_every_key_that_is_written_is_known(file):
    whole = said(
        "a",
        0,
        text="Hi.",
        audio="a.wav",
        channel=0,
        start_s=0.0,
        end_s=1.0,
        emotion="joy",
        sentiment="positive",
        features=FeatureRow("a.npz", "features", 0),
        session="1",
        confidence=0.5,
    )
    write_corpus(file, [whole])
    assert set(json.loads(file.read_text())) == set(Utterance.__struct_fields__)
    assert read_corpus(file, strict=True).utterances == [whole]


def test_turns_out_of_order_are_sorted_and_named(file):
    write_lines(file, *(GOOD | {"turn": turn} for turn in (0, 5, 2)))
    corpus = read_corpus(file)
    assert [utterance.turn for utterance in corpus.utterances] == [0, 2, 5]
    assert [str(problem) for problem in corpus.problems] == [
        f"{file}:3: expected a turn of 'a' after 5, got 2"
    ]


def test_a_dialogue_in_pieces_is_put_together_and_named(file):
    write_lines(file, GOOD, GOOD | {"dialogue": "b"}, GOOD | {"turn": 1})
    corpus = read_corpus(file)
    assert [(u.dialogue, u.turn) for u in corpus.utterances] == [
        ("a", 0),
        ("a", 1),
        ("b", 0),
    ]
    assert [problem.line for problem in corpus.problems] == [3]


@pytest.mark.parametrize("content", [b"", b"\n\n", b"{\n", b"\xff\xfe"])
def test_a_file_without_an_utterance_is_refused(content, file):
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{file}: expected "):
        read_corpus(file)


def test_a_missing_file_is_refused(file):
    told = rf"{file}: expected a corpus file, got: no such file"
    with pytest.raises(ConfigError, match=told):
        read_corpus(file)


# --- dialogues, splits and problems ---------------------------------------------


@given(st.lists(st.sampled_from("abc")))
def test_groups_joined_are_the_corpus(names):
    utterances = [said(name, turn) for turn, name in enumerate(names)]
    groups = group_dialogues(utterances)
    assert [utterance for group in groups for utterance in group] == utterances
    assert all(
        len({utterance.dialogue for utterance in group}) == 1 for group in groups
    )
    assert all(
        one[0].dialogue != other[0].dialogue
        for one, other in zip(groups, groups[1:], strict=False)
    )


def test_a_dialogue_of_two_splits_is_named_once(file):
    train = Corpus(file, [said("a", 0), said("b", 0)], [])
    test = Corpus(file, [said("c", 0), said("b", 0), said("b", 1)], [])
    assert find_shared_dialogues({"train": train, "test": test}) == [
        Problem(file, 2, "expected dialogue 'b' in one split, got it in train and test")
    ]


def test_problems_name_the_lines_of_the_file(tmp_path):
    train, test = tmp_path / "train.jsonl", tmp_path / "test.jsonl"
    write_corpus(train, [said("a", 0), said("b", 0)])
    write_corpus(test, [said("c", 0), said("b", 0)])
    test.write_text("\ufeff\nno utterance\n" + test.read_text())
    corpora = {"train": read_corpus(train), "test": read_corpus(test)}
    assert [problem.line for problem in corpora["test"].problems] == [2]
    assert [problem.line for problem in find_shared_dialogues(corpora)] == [4]


def test_a_byte_order_mark_costs_no_utterance(tmp_path):
    file = tmp_path / "corpus.jsonl"
    write_corpus(file, [said("a", 0)])
    file.write_text("\ufeff" + file.read_text())
    assert read_corpus(file, strict=True).utterances == [said("a", 0)]


def test_ten_problems_are_told_and_all_are_counted(file, caplog):
    caplog.set_level(logging.WARNING)
    tell_problems([Problem(file, line, "wrong") for line in range(1, 13)])
    assert f"{file}:10: wrong" in caplog.messages
    assert f"{file}:11: wrong" not in caplog.messages
    assert caplog.messages[-1].startswith(f"{file}: 12 problems in all")


def test_problems_of_many_files_are_counted_together(tmp_path, caplog):
    caplog.set_level(logging.WARNING)
    tell_problems([Problem(tmp_path / str(n), 0, "wrong") for n in range(12)])
    assert caplog.messages[10:] == [
        "12 problems in 12 files; --strict stops at the first"
    ]


def test_a_problem_of_a_whole_file_has_no_line(file):
    assert str(Problem(file, 0, "wrong")) == f"{file}: wrong"


def test_strict_findings_end_at_the_first(file):
    with pytest.raises(ConfigError, match=rf"{file}:7: emotion: expected one of"):
        Findings(strict=True).emotion("meh", file, 7)


def test_a_split_is_counted_by_dialogue_and_label():
    count = count_split(
        "train",
        [
            said("a", 0, emotion="joy", sentiment="positive"),
            said("a", 1),
            said("b", 0, emotion="joy"),
        ],
    )
    assert str(count) == "train: 2 dialogues, 3 utterances: joy 2, positive 1"


@pytest.mark.parametrize(
    ("root", "shown"),
    [("", "sub/clip.wav"), ("sub", "clip.wav"), ("other/deep", "../../sub/clip.wav")],
)
def test_paths_are_told_from_the_folder_of_the_corpus(root, shown, tmp_path):
    clip = str(tmp_path / "sub" / "clip.wav")
    utterance = said("a", 0, audio=clip, features=FeatureRow(clip, "features", 1))
    relative = make_relative(utterance, tmp_path / root)
    assert (relative.audio, relative.features.file) == (shown, shown)


def test_what_has_no_paths_stays_as_it_is(tmp_path):
    assert make_relative(said("a", 0), tmp_path) == said("a", 0)


# --- names ----------------------------------------------------------------------


def test_every_name_is_mapped_to_one_of_the_seven():
    assert set(EMOTION_NAMES.values()) == set(EMOTIONS)
    assert not OTHER_NAMES & set(EMOTION_NAMES)


@pytest.mark.parametrize(
    ("name", "emotion"),
    [
        ("calm", "neutral"),
        ("Mad", "anger"),
        (" exc ", "joy"),
        ("SUR", "surprise"),
        ("frustration", None),
        ("Peaceful", None),
    ],
)
def test_a_name_is_translated_whatever_its_case(name, emotion):
    assert to_emotion(name) == emotion


def test_every_emotion_but_surprise_has_a_sentiment():
    assert set(EMOTIONS) - set(SENTIMENT_OF) == {"surprise"}
    assert {to_sentiment(name) for name in SENTIMENT_OF.values()} == set(SENTIMENTS)


# --- a label file ---------------------------------------------------------------


def test_labels_are_read_in_order(file):
    write_lines(file, GOOD_LABEL, GOOD_LABEL | {"id": "b", "emotion": None, "more": 1})
    assert read_labels(file, strict=True).labels == [
        Label("a", "Hi.", "positive", "joy"),
        Label("b", "Hi.", "positive", None),
    ]


@pytest.mark.parametrize(
    ("line", "n_labels", "message"),
    [
        ("{", 1, "expected a Label, got: "),
        ({"id": "b", "text": "Hi."}, 1, "expected a Label, got: .*sentiment"),
        (GOOD_LABEL, 1, "expected the id 'a' once"),
        (GOOD_LABEL | {"id": "b", "emotion": "meh"}, 2, "emotion: expected .*'meh'"),
        (GOOD_LABEL | {"id": "b", "sentiment": "so"}, 2, "sentiment: expected .*'so'"),
    ],
)
def test_a_faulty_label_is_named_and_the_rest_is_used(line, n_labels, message, file):
    write_lines(file, GOOD_LABEL, line)
    found = read_labels(file)
    assert len(found.labels) == n_labels
    assert [problem.line for problem in found.problems] == [2]
    with pytest.raises(ConfigError, match=rf"{file}:2: {message}"):
        read_labels(file, strict=True)


def test_a_file_without_a_label_is_refused(file):
    write_lines(file, "{")
    with pytest.raises(ConfigError, match=rf"{file}: expected labels, one a line"):
        read_labels(file)
