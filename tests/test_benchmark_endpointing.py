"""The benchmark of end silences: what it breaks, what it counts, what it refuses."""

from types import SimpleNamespace

import numpy as np
import pytest
from benchmark_cases import a_clip, a_turn

from benchmarks.dialogues import Dialogue
from benchmarks.endpointing import judge, read_silence
from benchmarks.hesitating import find_quiet, hesitate
from benchmarks.matching import match
from clients.sources import RATE_HZ
from stream_erc.config import TurnConfig
from stream_erc.errors import ConfigError
from stream_erc.flow import Word


class Whisper:
    """Says that a word ends every 300 ms of what it hears."""

    def hear(self, samples, *, with_words):
        ends = range(4800, len(samples), 4800)
        words = tuple(Word("so", end - 4800, end, 1.0) for end in ends)
        return SimpleNamespace(words=words)


@pytest.fixture
def dialogue():
    noise = np.random.default_rng(0).integers(-9000, 9000, 6 * RATE_HZ)
    clips = (a_clip(500, 2000), a_clip(3000, 4500))
    return Dialogue("two", noise.astype(np.int16), clips)


def hear_two(*turns):
    clips = [a_clip(500, 2000), a_clip(3000, 4500)]
    return list(judge(match(clips, turns)))


# --- breaking -------------------------------------------------------------------


def test_a_pause_is_laid_into_each_clip_and_nothing_is_lost(dialogue):
    broken = hesitate(dialogue, Whisper(), np.random.default_rng(1), "zeros")
    pause = np.flatnonzero(np.convolve(broken.samples == 0, np.ones(100)) == 100)
    assert len(pause)
    kept = [s for s in broken.samples.tolist() if s]
    assert kept == [s for s in dialogue.samples.tolist() if s]
    for clip, other in zip(dialogue.clips, broken.clips, strict=True):
        laid = (other.voice_end - other.voice_start) - (
            clip.voice_end - clip.voice_start
        )
        assert 0.3 * RATE_HZ <= laid <= 0.7 * RATE_HZ
        for at in (other.voice_start, other.voice_start + 1000):
            old = at - other.voice_start + clip.voice_start
            assert broken.samples[at] == dialogue.samples[old]
        assert broken.samples[other.voice_end] == dialogue.samples[clip.voice_end]


def test_a_clip_of_one_word_is_not_broken(dialogue):
    deaf = SimpleNamespace(
        hear=lambda samples, with_words: SimpleNamespace(words=(Word("so", 0, 9, 1.0),))
    )
    broken = hesitate(dialogue, deaf, np.random.default_rng(1), "zeros")
    np.testing.assert_array_equal(broken.samples, dialogue.samples)
    assert broken.clips == dialogue.clips


def test_the_cut_is_where_it_is_quiet():
    samples = np.full(RATE_HZ, 9000, np.int16)
    samples[8500:8900] = 0
    assert 8500 < find_quiet(samples, 8000) < 8900


# --- counting -------------------------------------------------------------------


def test_a_turn_for_each_clip_is_no_cut_and_its_wait_is_from_the_voices_end():
    first, second = hear_two(
        a_turn(0, 500, 2096, decided_ms=2400, reason="silence"),
        a_turn(1, 3000, 4596, decided_ms=5000, reason="silence"),
    )
    assert (first.n_turns, first.is_merged, first.wait_ms) == (1, False, 400)
    assert second.wait_ms == 500


def test_two_turns_in_a_clip_are_a_cut_and_the_last_one_counts():
    first, _ = hear_two(
        a_turn(0, 500, 1100, decided_ms=1400, reason="silence"),
        a_turn(1, 1500, 2096, decided_ms=2500, reason="silence"),
    )
    assert (first.n_turns, first.is_torn, first.wait_ms) == (2, False, 500)


def test_words_in_two_turns_are_torn():
    first, _ = hear_two(
        a_turn(0, 500, 1100, "Kids are", decided_ms=1400, reason="silence"),
        a_turn(1, 1500, 2096, "talking.", decided_ms=2500, reason="silence"),
    )
    assert first.is_torn


def test_a_turn_over_two_clips_is_merged_and_nobody_waited_for_it():
    outcomes = hear_two(a_turn(0, 500, 4596, decided_ms=5000, reason="silence"))
    assert [one.is_merged for one in outcomes] == [True, True]
    assert [one.wait_ms for one in outcomes] == [None, None]


def test_a_turn_that_silence_did_not_end_has_no_wait():
    first, second = hear_two(a_turn(0, 500, 2000, decided_ms=2000, reason="end"))
    assert first.wait_ms is None
    assert (second.n_turns, second.wait_ms) == (0, None)


# --- options --------------------------------------------------------------------


def test_a_silence_is_one_number_or_three():
    assert read_silence("544") == TurnConfig()
    assert read_silence("320/600/960") == TurnConfig(
        end_silence_ms=600, end_silence_complete_ms=320, end_silence_unfinished_ms=960
    )


@pytest.mark.parametrize("option", ["x", "1/2", "320/", "", "600/544/0"])
def test_what_is_no_silence_is_refused(option):
    with pytest.raises(ConfigError, match="expected"):
        read_silence(option)
