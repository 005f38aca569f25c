"""The same turns heard in two ways: what the benchmark holds against each other."""

import numpy as np
import pytest
from talking import ANGRY, SAD, clip

from benchmarks.streaming_cost import OfflineWhisper
from stream_erc.asr import Whisper
from stream_erc.config import Settings

pytestmark = pytest.mark.slow

READ = "speech/jfk.flac"


@pytest.fixture(scope="module")
def heard():
    """What each of both makes of a clip."""
    streamed, offline = Whisper(Settings().asr), OfflineWhisper(Settings())

    def hear(pcm):
        samples = (pcm / 32_768).astype(np.float32)
        return streamed.hear(samples), offline.hear(samples)

    return hear


@pytest.mark.parametrize("name", [ANGRY, SAD, READ])
def test_both_ways_hear_the_same_voice(name, heard):
    one, other = (result.voice for result in heard(clip(name)))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.95
    assert not np.array_equal(one, other)


def test_both_ways_hear_what_was_read(heard):
    streamed, offline = heard(clip(READ))
    assert "what your country can do for you" in streamed.text
    assert "what your country can do for you" in offline.text


def test_of_silence_no_words(heard):
    assert heard(np.zeros(16_000, np.int16))[1].text == ""
