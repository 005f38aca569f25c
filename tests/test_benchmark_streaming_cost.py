"""The same turns heard in two ways: what the benchmark holds against each other."""

import numpy as np
import pytest
from talking import ANGRY, SAD, clip

from benchmarks.streaming_cost import OfflineWhisper
from stream_erc.asr import Whisper
from stream_erc.config import Settings

pytestmark = pytest.mark.slow


def cosine(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


@pytest.mark.parametrize("name", [ANGRY, SAD])
def test_both_ways_hear_the_same_voice_and_words(name):
    samples = clip(name)
    streamed = Whisper(Settings().asr).hear(samples)
    offline = OfflineWhisper(Settings()).hear(samples)
    assert offline.text.casefold().split()[:3] == streamed.text.casefold().split()[:3]
    assert cosine(offline.voice, streamed.voice) > 0.98
    assert not np.array_equal(offline.voice, streamed.voice)


def test_of_silence_no_words():
    assert OfflineWhisper(Settings()).hear(np.zeros(16_000, np.float32)).text == ""
