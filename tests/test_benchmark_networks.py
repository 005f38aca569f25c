"""The benchmark of the networks: what it times, and what it refuses."""

import json

import pytest

from benchmarks.networks import CLIPS, N_WARM_UP, read_texts, time_fusion, time_text
from stream_erc.config import DEFAULT_MODEL
from stream_erc.errors import ConfigError
from stream_erc.fusion import EmotionModel


def test_a_short_corpus_is_read_again(tmp_path):
    corpus = tmp_path / "talk.jsonl"
    lines = [{"text": "one"}, {"speaker": "a"}, {"text": "two"}]
    corpus.write_text("\n".join(map(json.dumps, lines)))
    texts = read_texts(corpus, 3)
    assert texts == ["one", "two"] * ((N_WARM_UP + 3) // 2) + ["one"]


@pytest.mark.parametrize("content", ["", "{}\n", "[1]\n", "no JSON\n"])
def test_a_corpus_without_texts_is_refused(tmp_path, content):
    corpus = tmp_path / "talk.jsonl"
    corpus.write_text(content)
    with pytest.raises(ConfigError, match=r"talk\.jsonl: expected"):
        read_texts(corpus, 3)


def test_every_turn_after_the_warm_up_counts():
    model = EmotionModel(DEFAULT_MODEL)
    assert len(time_text(model, read_texts(CLIPS, 5))) == 5
    assert len(time_fusion(model, 5)) == 5
