"""Voices on disk: computed once, in parts; published ones are read as they are."""

import gc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_corpora import write_published, write_recording

from offline.corpora.form import Corpus, FeatureRow, Utterance, read_corpus
from offline.engines import OneByOne
from offline.training import voices as voices_module
from offline.training.voice_augment import VoiceAugment
from offline.training.voices import (
    PREFIX,
    PREFIXES_S,
    VARIED,
    WHOLE,
    Voices,
    find_parts,
    has_recordings,
    hear_parts,
    read_published,
    read_voices,
)
from stream_erc.errors import ConfigError
from stream_erc.functionals import FUNCTIONALS_SIZE, KEPT_IS09_COLUMNS, functionals


class Encoder:
    """Stands in for a speech encoder: length and loudness.

    Args:
        stop_at: Number of the call that does not come to its end.
    """

    def __init__(self, stop_at=None):
        self.n_calls = 0
        self._stop_at = stop_at

    def __call__(self, samples):
        self.n_calls += 1
        if self.n_calls == self._stop_at:
            raise KeyboardInterrupt
        return np.array([len(samples), np.abs(samples).max()], np.float32)


@pytest.fixture(autouse=True, scope="module")
def little_to_clean_up():
    """Every decoding looks for garbage, also among all that other tests loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(autouse=True)
def parts_of_two(monkeypatch):
    monkeypatch.setattr(voices_module, "PART_UTTERANCES", 2)


@pytest.fixture
def corpus(tmp_path):
    """Five lines: two in one recording, one without, two of their own."""
    write_recording(tmp_path / "a.wav", 3.0, seed=1)
    write_recording(tmp_path / "b.wav", 1.0, seed=2)
    write_recording(tmp_path / "c.wav", 2.5, seed=3)

    def line(turn, audio, start_s=None, end_s=None):
        return Utterance(
            dialogue="d",
            turn=turn,
            speaker="a",
            audio=audio,
            start_s=start_s,
            end_s=end_s,
        )

    lines = [
        line(0, "a.wav", 0.5, 1.0),
        line(1, "a.wav", 1.5, 2.8),
        line(2, None),
        line(3, "b.wav"),
        line(4, "c.wav"),
    ]
    return Corpus(tmp_path / "train.jsonl", lines, [])


def hear(corpus, folder, encode=None, copies=1, strict=False):
    parts = find_parts(corpus, folder, copies)
    encode = encode or Encoder()
    return hear_parts(parts, lambda: encode, VoiceAugment(), OneByOne(), strict=strict)


def equal(some, other):
    return all(
        np.array_equal(getattr(some, name), getattr(other, name))
        for name in Voices.__slots__
    )


def test_each_recording_is_heard_whole_varied_and_in_part(corpus, tmp_path):
    assert hear(corpus, tmp_path / "v", copies=2) == []
    voices = read_voices(tmp_path / "v")
    assert set(voices.utterance) == {0, 1, 3, 4}
    for number in (0, 1, 3, 4):
        kinds = voices.kind[voices.utterance == number].tolist()
        assert kinds == [WHOLE, PREFIX, VARIED, PREFIX, VARIED, PREFIX]
    assert voices.functionals.shape == (24, FUNCTIONALS_SIZE)
    whole = {n: voices.encoder[rows[0], 0] for n, rows in voices.rows(WHOLE).items()}
    # With 0.25 s before and 0.1 s behind, as the server cuts it.
    assert whole == {0: 0.85 * 16_000, 1: 1.65 * 16_000, 3: 16_000, 4: 2.5 * 16_000}


def test_strict_stops_at_a_recording_that_cannot_be_read_each_time(corpus, tmp_path):
    (tmp_path / "b.wav").write_bytes(b"no sound")
    for _ in range(2):  # what it stopped at is not taken for heard
        with pytest.raises(ConfigError, match=r"train\.jsonl:4: .*b\.wav"):
            hear(corpus, tmp_path / "v", strict=True)
    assert len(hear(corpus, tmp_path / "v")) == 1


def test_a_prefix_is_as_long_as_partial_emotions_hear(corpus, tmp_path):
    hear(corpus, tmp_path / "v", copies=9)
    voices = read_voices(tmp_path / "v")
    lengths = {voices.encoder[row, 0] / 16_000 for row in voices.rows(PREFIX)[4]}
    assert lengths <= set(PREFIXES_S) and len(lengths) > 1


def test_the_numbers_are_those_of_the_samples(corpus, tmp_path):
    from offline.evaluation.hearing import decode

    hear(corpus, tmp_path / "v")
    voices = read_voices(tmp_path / "v")
    (row,) = voices.rows(WHOLE)[3]
    expected = functionals(decode(tmp_path / "b.wav"))
    assert np.array_equal(voices.functionals[row], expected)


@pytest.mark.parametrize("stop_at", [1, 12])
def test_what_was_cut_off_goes_on_and_ends_the_same(corpus, tmp_path, stop_at):
    whole = Encoder()
    hear(corpus, tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        hear(corpus, tmp_path / "cut", Encoder(stop_at))
    rest = Encoder()
    hear(corpus, tmp_path / "cut", rest)
    assert equal(read_voices(tmp_path / "cut"), read_voices(tmp_path / "whole"))
    assert rest.n_calls <= whole.n_calls
    if stop_at > 8:  # the first part was written by then
        assert rest.n_calls < whole.n_calls


def test_half_a_part_is_not_read(corpus, tmp_path):
    hear(corpus, tmp_path / "v")
    before = read_voices(tmp_path / "v")
    (tmp_path / "v" / "000000.part.npz").write_bytes(b"half of it")
    assert equal(read_voices(tmp_path / "v"), before)


def test_a_part_is_not_made_twice(corpus, tmp_path):
    hear(corpus, tmp_path / "v")
    again = Encoder()
    hear(corpus, tmp_path / "v", again)
    assert again.n_calls == 0


def test_a_recording_that_cannot_be_read_is_a_problem_and_no_more(corpus, tmp_path):
    (tmp_path / "a.wav").unlink()
    (tmp_path / "b.wav").write_bytes(b"no sound")
    corpus.utterances[4] = Utterance(
        dialogue="d", turn=4, speaker="a", audio="c.wav", start_s=7.0, end_s=9.0
    )
    problems = hear(corpus, tmp_path / "v")
    assert [problem.line for problem in problems] == [1, 2, 4, 5]
    assert "a.wav" in str(problems[0]) and "start_s=7.0" in str(problems[3])
    assert read_voices(tmp_path / "v") is None


def test_without_recordings_there_are_no_voices(tmp_path):
    assert read_voices(tmp_path) is None
    assert not has_recordings([Utterance(dialogue="d", turn=0, speaker="a")])


# --- choosing rows ------------------------------------------------------------


@given(
    owners=st.lists(st.integers(0, 5), max_size=12),
    numbers=st.lists(st.integers(0, 5), unique=True, max_size=6),
)
def test_the_rows_of_some_utterances_are_numbered_anew(owners, numbers):
    values = np.arange(len(owners), dtype=np.float32)[:, None]
    kinds = np.arange(len(owners)) % 3
    voices = Voices(np.array(owners, np.intp), kinds, values, values * 2.0)
    some = voices.only(numbers)
    kept = [n for n, owner in enumerate(owners) if owner in numbers]
    assert some.encoder[:, 0].tolist() == kept
    assert some.functionals[:, 0].tolist() == [2.0 * n for n in kept]
    assert some.kind.tolist() == [n % 3 for n in kept]
    assert [numbers[place] for place in some.utterance] == [owners[n] for n in kept]


# --- published numbers --------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "key", "expected"), [(384, "is09", 336), (74, "covarep", 74), (1, "x", 1)]
)
def test_published_numbers_are_read(tmp_path, width, key, expected):
    write_published(tmp_path, width, key)
    corpus = read_corpus(tmp_path / "train.jsonl", strict=True)
    voices = read_published(corpus)
    assert voices.functionals.shape[1] == expected
    assert voices.encoder.shape == (len(voices.utterance), 0)
    with np.load(tmp_path / "train.npz") as arrays:
        values = arrays[key]
    if width == 384:
        values = values[:, KEPT_IS09_COLUMNS]
    for number, numbers in zip(voices.utterance, voices.functionals, strict=True):
        row = corpus.utterances[number].features.row
        assert np.array_equal(numbers, values[row])
    assert set(voices.kind) == {WHOLE}


def corpus_with(tmp_path, *rows):
    lines = [
        Utterance(dialogue="d", turn=turn, speaker="a", features=FeatureRow(*row))
        for turn, row in enumerate(rows)
    ]
    return Corpus(tmp_path / "train.jsonl", lines, [])


@pytest.mark.parametrize(
    "row",
    [("none.npz", "x", 0), ("f.npz", "none", 0), ("text.npz", "x", 0)],
    ids=["no file", "no key", "no archive"],
)
def test_published_numbers_that_are_not_there_are_refused(tmp_path, row):
    np.savez(tmp_path / "f.npz", x=np.zeros((2, 3)))
    (tmp_path / "text.npz").write_bytes(b"hello")
    with pytest.raises(ConfigError, match=r"npz: expected an array"):
        read_published(corpus_with(tmp_path, row))


@pytest.mark.parametrize("row", [("f.npz", "x", 2), ("f.npz", "flat", 0)])
def test_a_row_that_is_not_there_is_refused(tmp_path, row):
    np.savez(tmp_path / "f.npz", x=np.zeros((2, 3)), flat=np.zeros(3))
    with pytest.raises(ConfigError, match="npz: expected"):
        read_published(corpus_with(tmp_path, row))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_half_an_archive_is_refused(tmp_path):
    # numpy leaves such a file open, hence the warning that is let pass.
    np.savez(tmp_path / "f.npz", x=np.zeros((200, 30)))
    whole = (tmp_path / "f.npz").read_bytes()
    (tmp_path / "f.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ConfigError, match="npz: expected"):
        read_published(corpus_with(tmp_path, ("f.npz", "x", 0)))


def test_numbers_of_several_widths_are_refused(tmp_path):
    np.savez(tmp_path / "f.npz", x=np.zeros((2, 3)), y=np.zeros((2, 4)))
    with pytest.raises(ConfigError, match="train.jsonl: expected"):
        read_published(corpus_with(tmp_path, ("f.npz", "x", 0), ("f.npz", "y", 0)))


def test_a_corpus_without_published_numbers_has_none(corpus):
    assert read_published(corpus) is None
