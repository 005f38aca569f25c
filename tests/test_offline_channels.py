"""Speakers with a channel each: a turn is heard from its own, not from the mix."""

import numpy as np
import pytest
import soundfile

from offline.corpora.form import Corpus, Utterance
from offline.engines import OneByOne
from offline.evaluation import hearing
from offline.evaluation.faults import Faults
from offline.training.voice_augment import VoiceAugment
from offline.training.voices import WHOLE, find_parts, hear_parts, read_voices

LOUDNESS = {0: 0.1, 1: 0.4, None: 0.25}  # of the channels, and of both mixed


@pytest.fixture
def call(tmp_path):
    """A file with the same noise on both channels, louder on the second."""
    noise = np.random.default_rng(0).uniform(-1.0, 1.0, 16_000)
    file = tmp_path / "call.wav"
    soundfile.write(file, np.outer(noise, (LOUDNESS[0], LOUDNESS[1])), 16_000)
    return file


def turns_on(*channels):
    return [
        Utterance(dialogue="x", turn=turn, speaker="a", audio="call.wav", channel=one)
        for turn, one in enumerate(channels)
    ]


def loudness_of(samples):
    return np.abs(samples).max()


@pytest.mark.parametrize("channel", [0, 1])
def test_a_channel_is_decoded_alone(call, channel):
    written, _ = soundfile.read(call, dtype="float32")
    assert np.array_equal(hearing.decode(call, channel), written[:, channel])


def test_without_a_channel_all_are_mixed(call):
    written, _ = soundfile.read(call, dtype="float32")
    assert np.allclose(hearing.decode(call), written.mean(1), atol=1e-4)


def test_the_only_channel_is_the_mix_of_all(tmp_path):
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 24_000)
    soundfile.write(tmp_path / "one.wav", noise, 24_000)  # and is resampled alike
    alone, mixed = (hearing.decode(tmp_path / "one.wav", one) for one in (0, None))
    assert np.array_equal(alone, mixed)


def test_evaluation_cuts_turns_from_their_channels_each_decoded_once(call, monkeypatch):
    decoded = []
    decode = hearing.decode

    def note(file, channel):
        decoded.append(channel)
        return decode(file, channel)

    monkeypatch.setattr(hearing, "decode", note)
    channels = [1, 0, None, 1, 0]
    clips = [
        hearing.Clip(place, turn, call, needs_words=False)
        for place, turn in enumerate(turns_on(*channels))
    ]
    cuts = dict(hearing.cut_clips(clips, Faults(is_strict=True)))
    assert [loudness_of(cuts[clip]) for clip in clips] == pytest.approx(
        [LOUDNESS[channel] for channel in channels], abs=0.01
    )
    assert len(decoded) == 3


def test_training_hears_turns_on_their_channels(call, tmp_path):
    channels = [1, 0, None, 1, 0]
    corpus = Corpus(tmp_path / "train.jsonl", turns_on(*channels), [])

    def encode(samples):
        """Stands in for a speech encoder."""
        return np.array([loudness_of(samples)], np.float32)

    parts = find_parts(corpus, tmp_path / "v", 0)
    assert hear_parts(parts, lambda: encode, VoiceAugment(), OneByOne()) == []
    voices = read_voices(tmp_path / "v")
    heard = [voices.encoder[rows[0], 0] for rows in voices.rows(WHOLE).values()]
    wanted = [LOUDNESS[channel] for channel in channels]
    assert heard == pytest.approx(wanted, abs=0.01)


def test_a_channel_that_is_not_there_is_refused(call):
    with pytest.raises(
        hearing.Unheard, match="expected a channel 2, counted from 0, got 2 channels"
    ):
        hearing.decode(call, 2)


@pytest.mark.parametrize("channel", [None, 0])
def test_a_missing_file_has_no_channel_either(tmp_path, channel):
    with pytest.raises(hearing.Unheard, match=r"none\.wav: expected"):
        hearing.decode(tmp_path / "none.wav", channel)
