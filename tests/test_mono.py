"""Audio of any form becomes 16 kHz mono, however it is cut."""

import random

import numpy as np
import pytest

from clients.mono import MonoStream


def tone(rate_hz, seconds=0.5, n_channels=1):
    """440 Hz; every channel louder than the one before."""
    times_s = np.arange(round(rate_hz * seconds)) / rate_hz
    channels = [
        np.sin(2 * np.pi * 440 * times_s) * 4000 * (number + 1)
        for number in range(n_channels)
    ]
    return np.stack(channels, axis=1).astype("<i2").tobytes()


def convert(pcm, rate_hz, n_channels, cuts=()):
    stream = MonoStream()
    edges = [0, *cuts, len(pcm)]
    pieces = [pcm[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    parts = [stream.convert(piece, rate_hz, n_channels) for piece in pieces]
    return b"".join([*parts, stream.flush()])


@pytest.mark.parametrize("n_channels", [1, 2, 6])
@pytest.mark.parametrize("rate_hz", [8000, 16_000, 24_000, 44_100, 48_000])
def test_a_tone_stays_the_tone_that_it_was(rate_hz, n_channels):
    pcm = convert(tone(rate_hz, 0.5, n_channels), rate_hz, n_channels)
    heard = np.frombuffer(pcm, "<i2").astype(float)
    expected = np.frombuffer(tone(16_000), "<i2") * (n_channels + 1) / 2
    assert abs(len(heard) - len(expected)) <= 1
    inner = slice(800, 7000)  # a filter rings at the edges
    assert np.abs(heard[inner] - expected[inner]).max() < 0.02 * expected.max()


def test_the_servers_own_form_passes_as_it_is():
    pcm = tone(16_000)
    assert MonoStream().convert(pcm, 16_000, 1) == pcm
    assert MonoStream().flush() == b""


@pytest.mark.parametrize("seed", range(3))
def test_how_the_audio_is_cut_changes_nothing(seed):
    pcm = tone(44_100, 0.1, 2)
    edges = sorted(random.Random(seed).choices(range(4411), k=9))
    cut = convert(pcm, 44_100, 2, [4 * edge for edge in [0, 1, *edges]])
    assert cut == convert(pcm, 44_100, 2)


def test_another_form_goes_on_where_the_last_one_ended():
    stream = MonoStream()
    forms = [(48_000, 2), (16_000, 1), (8000, 1), (48_000, 1)]
    parts = [stream.convert(tone(hz, 0.5, n), hz, n) for hz, n in forms]
    n_samples = len(b"".join([*parts, stream.flush()])) // 2
    assert abs(n_samples - 4 * 8000) <= 4


def test_half_a_sample_is_refused():
    with pytest.raises(ValueError):
        MonoStream().convert(b"\0\0\0\0\0\0", 16_000, 2)
