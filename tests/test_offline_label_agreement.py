"""Labels beside human ones: the figures, and what is read to take them."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.__main__ import main
from offline.labelling.agreement import cohen_kappa

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1)


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(file)


def arrays(pairs):
    return np.array(pairs, np.intp).T


def test_kappa_is_that_of_the_textbook():
    """50 proposals, two readers: 0.4 (Wikipedia, "Cohen's kappa", first example)."""
    pairs = [(1, 1)] * 20 + [(1, 0)] * 5 + [(0, 1)] * 10 + [(0, 0)] * 15
    assert cohen_kappa(*arrays(pairs)) == pytest.approx(0.4)


@given(LABELS)
def test_kappa_is_symmetric_and_at_most_1(pairs):
    first, second = arrays(pairs)
    kappa = cohen_kappa(first, second)
    assert kappa == pytest.approx(cohen_kappa(second, first))
    assert kappa <= 1.0 + 1e-9
    assert cohen_kappa(first, first) == pytest.approx(1.0)


def test_a_corpus_and_its_labels_are_matched_by_id(tmp_path, capsys):
    said = ["joy", "joy", "anger", "neutral"]
    human = [
        {"dialogue": "d", "turn": turn, "speaker": "Ann", "text": "x", "emotion": one}
        for turn, one in enumerate(said)
    ]
    labels = [
        {"id": f"d/{turn}", "text": "x", "sentiment": "positive", "emotion": one}
        for turn, one in [(3, "neutral"), (1, "joy"), (0, "sadness"), (8, "fear")]
    ]
    files = [write(tmp_path / "c.jsonl", human), write(tmp_path / "l.jsonl", labels)]
    assert main(["label", "--agreement", *files]) == 0
    shown = capsys.readouterr().out
    # Of three pairs (joy, sadness), (joy, joy), (neutral, neutral) two are equal.
    # By chance: joy 2/3 * 1/3 + neutral 1/3 * 1/3 = 1/3; so (2/3 - 1/3) / (2/3).
    assert "emotion: 3 pairs, kappa 0.500" in shown
    assert "accuracy 0.667" in shown
    assert "joy       F1 0.667  (2 by humans)" in shown
    assert "sentiment" not in shown  # the corpus has none


def test_one_file_may_have_both(tmp_path, capsys):
    rows = [
        {
            "llm_sentiment": one,
            "human_sentiment": "negative",
            "llm_emotion": None,
            "human_emotion": "joy",
        }
        for one in ("negative", "positive")
    ]
    assert main(["label", "--agreement", write(tmp_path / "p.jsonl", rows)]) == 0
    shown = capsys.readouterr().out
    assert "sentiment: 2 pairs, kappa 0.000" in shown
    assert "emotion" not in shown


def test_files_with_nothing_in_common_are_exit_2(tmp_path, capsys):
    human = write(
        tmp_path / "c.jsonl",
        [{"dialogue": "d", "turn": 0, "speaker": "A", "text": "x"}],
    )
    row = {"id": "e/0", "text": "x", "sentiment": "neutral", "emotion": "joy"}
    labels = write(tmp_path / "l.jsonl", [row])
    assert main(["label", "--agreement", human, labels]) == 2
    assert "expected ids DIALOGUE/TURN" in capsys.readouterr().err
    assert main(["label", "--agreement", labels]) == 2
    assert main(["label", "--agreement", labels, labels, labels]) == 2


def test_labels_of_different_kinds_are_exit_2(tmp_path, capsys):
    row = {"llm_sentiment": "neutral", "llm_emotion": None}
    row |= {"human_sentiment": None, "human_emotion": "joy"}
    assert main(["label", "--agreement", write(tmp_path / "p.jsonl", [row])]) == 2
    assert "expected texts that both labelled" in capsys.readouterr().err
