"""Dialogues are reproducible, and what they say of themselves is true."""

import numpy as np
import pytest

from benchmarks import dialogues
from benchmarks.dialogues import COMMITTED, Voice, to_ms
from clients.sources import RATE_HZ, decode
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS


@pytest.fixture(scope="module")
def pairs():
    return dialogues.read_pairs(COMMITTED, [21, 22, 23, 24])


@pytest.fixture(scope="module")
def acted(pairs):
    return dialogues.make_dialogues(pairs, 0, "noise")


def test_a_seed_gives_the_same_dialogues_again_and_another_gives_others(pairs, acted):
    again = dialogues.make_dialogues(pairs, 0, "noise")
    other = dialogues.make_dialogues(pairs, 1, "noise")
    assert [d.clips for d in again] == [d.clips for d in acted]
    for one, same in zip(again, acted, strict=True):
        np.testing.assert_array_equal(one.samples, same.samples)
    assert [d.clips for d in other] != [d.clips for d in acted]


def test_every_clip_is_laid_once(pairs, acted):
    laid = [clip.voice.file for dialogue in acted for clip in dialogue.clips]
    assert sorted(laid) == sorted(v.file for pair in pairs for vs in pair for v in vs)


def test_the_voice_is_where_the_truth_says(acted):
    for clip, samples in ((c, d.samples) for d in acted for c in d.clips):
        recording = decode(clip.voice.file)
        begin, end = (
            round(s * RATE_HZ) for s in (clip.voice.start_s, clip.voice.end_s)
        )
        np.testing.assert_array_equal(
            samples[clip.voice_start : clip.voice_end], recording[begin:end]
        )


def test_a_clip_keeps_at_most_100_ms_on_each_side_of_its_voice(acted):
    for clip in (clip for dialogue in acted for clip in dialogue.clips):
        assert clip.voice_start - clip.start == 1600
        assert clip.end - clip.voice_end == 1600


def test_pauses_from_voice_to_voice_are_drawn_between_800_and_1400_ms(acted):
    pauses_ms = [
        to_ms(following.voice_start - clip.voice_end)
        for dialogue in acted
        for clip, following in zip(dialogue.clips, dialogue.clips[1:], strict=False)
    ]
    assert 800 <= min(pauses_ms) < 900
    assert 1300 < max(pauses_ms) <= 1400


@pytest.mark.parametrize(("filling", "peak"), [("noise", 1), ("zeros", 0)])
def test_pauses_hold_what_was_asked_for(pairs, filling, peak):
    dialogue = dialogues.make_dialogues(pairs, 0, filling)[0]
    between = np.ones(len(dialogue.samples), bool)
    for clip in dialogue.clips:
        between[clip.start : clip.end] = False
    assert np.abs(dialogue.samples[between]).max() == peak


def test_a_dialogue_ends_in_a_pause_long_enough_to_end_the_turn(acted):
    for dialogue in acted:
        assert len(dialogue.samples) - dialogue.clips[-1].end == 1.5 * RATE_HZ


def test_two_speakers_take_turns():
    pair = [[Voice(COMMITTED, name, "", None) for _ in range(5)] for name in ("a", "b")]
    order = dialogues.alternate(pair, np.random.default_rng(0))
    assert "".join(voice.speaker for voice in order) == "ab" * 5


def test_calm_counts_as_neutral(pairs):
    voices = [voice for pair in pairs for voices in pair for voice in voices]
    calm = [voice for voice in voices if voice.file.name.startswith("03-01-02")]
    assert {voice.emotion for voice in voices} == set(EMOTIONS)
    assert all(voice.emotion == "neutral" for voice in calm)


def test_sessions_have_different_dialogues_that_last_as_long_as_asked(pairs):
    made = dialogues.make_sessions(pairs, 3, 90.0, 0, "noise")
    assert len({dialogue.clips[0].voice.file for dialogue in made}) == 3
    for dialogue in made:
        assert 85.0 < len(dialogue.samples) / RATE_HZ < 105.0


def test_read_speech_is_voice_from_end_to_end():
    voices = dialogues.read_readings(COMMITTED)
    dialogue = dialogues.lay_out(
        "reading", voices, np.random.default_rng(0), "noise", dialogues.rest_alike
    )
    for clip, following in zip(dialogue.clips, dialogue.clips[1:], strict=False):
        assert clip.voice_end - clip.voice_start == len(decode(clip.voice.file))
        assert following.voice_start - clip.voice_end == 1.5 * RATE_HZ


@pytest.mark.parametrize("option", ["21", "21-23", "x", "", "24-21"])
def test_an_odd_number_of_actors_is_refused(option):
    with pytest.raises(ConfigError, match="--actors: expected an even number"):
        dialogues.read_actors(option)


def test_an_actor_without_clips_is_named():
    with pytest.raises(ConfigError, match="clips of actor 1, got none"):
        dialogues.read_pairs(COMMITTED, [1, 21])
