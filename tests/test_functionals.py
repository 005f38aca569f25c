"""What the 336 numbers promise, and that they are openSMILE's."""

import numpy as np
import pytest

from stream_erc import functionals as module
from stream_erc.functionals import (
    FUNCTIONAL_NAMES,
    FUNCTIONALS_SIZE,
    KEPT_IS09_COLUMNS,
    functionals,
)

RATE_HZ = 16_000

# Computed once by openSMILE (`opensmile` 2.6.0 from PyPI) with its
# `is09-13/IS09_emotion.conf`, on `voice_like()`. Every contour and every statistic
# occurs, of the contour itself and of its slope.
OPENSMILE = {
    "pcm_RMSenergy_sma_max": 0.0369337,
    "pcm_RMSenergy_sma_linregerrQ": 5.98026e-05,
    "pcm_fftMag_mfcc_sma[1]_amean": -8.72729,
    "pcm_fftMag_mfcc_sma[2]_skewness": 0.0441824,
    "pcm_fftMag_mfcc_sma[3]_maxPos": 102,
    "pcm_fftMag_mfcc_sma[4]_linregerrQ": 2.79191,
    "pcm_fftMag_mfcc_sma[5]_min": -12.8967,
    "pcm_fftMag_mfcc_sma[6]_linregc1": -0.0194864,
    "pcm_fftMag_mfcc_sma[7]_kurtosis": 1.63308,
    "pcm_fftMag_mfcc_sma[8]_minPos": 69,
    "pcm_fftMag_mfcc_sma[9]_stddev": 3.19065,
    "pcm_fftMag_mfcc_sma[10]_range": 15.5648,
    "pcm_fftMag_mfcc_sma[11]_linregc2": -2.34878,
    "pcm_fftMag_mfcc_sma[12]_max": -1.26155,
    "pcm_zcr_sma_minPos": 9,
    "pcm_zcr_sma_amean": 0.0642637,
    "pcm_RMSenergy_sma_de_linregc1": -5.35551e-06,
    "pcm_fftMag_mfcc_sma_de[1]_kurtosis": 1.94574,
    "pcm_fftMag_mfcc_sma_de[2]_minPos": 121,
    "pcm_fftMag_mfcc_sma_de[3]_amean": -0.0274129,
    "pcm_fftMag_mfcc_sma_de[3]_stddev": 0.288422,
    "pcm_fftMag_mfcc_sma_de[4]_range": 2.15666,
    "pcm_fftMag_mfcc_sma_de[5]_linregc2": -0.177533,
    "pcm_fftMag_mfcc_sma_de[6]_max": 0.72215,
    "pcm_fftMag_mfcc_sma_de[7]_amean": -0.073499,
    "pcm_fftMag_mfcc_sma_de[8]_skewness": -0.208858,
    "pcm_fftMag_mfcc_sma_de[9]_maxPos": 114,
    "pcm_fftMag_mfcc_sma_de[10]_linregerrQ": 0.242802,
    "pcm_fftMag_mfcc_sma_de[11]_min": -1.24402,
    "pcm_fftMag_mfcc_sma_de[12]_linregc1": 0.00141875,
    "pcm_zcr_sma_de_kurtosis": 3.14233,
}


def voice_like(seconds=1.5):
    """A gliding, pulsing buzz in noise, rounded to 16 bits: the same on every machine.

    `RandomState` because its stream of numbers is frozen.
    """
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * (120 * time_s + 40 * time_s**2)
    buzz = sum(np.sin(number * phase) / number for number in range(1, 20))
    loudness = 0.02 + 0.2 * np.sin(2 * np.pi * 1.7 * time_s) ** 2
    noise = 0.01 * np.random.RandomState(2009).standard_normal(len(time_s))
    return (np.round((loudness * buzz + noise) * 32767) / 32768).astype(np.float32)


def noise(n_samples, scale=0.1):
    values = scale * np.random.RandomState(1).standard_normal(n_samples)
    return values.astype(np.float32)


NASTY = {
    "nothing": np.zeros(0, np.float32),
    "one sample": np.ones(1, np.float32),
    "one sample less than a window": noise(399),
    "one window": noise(400),
    "two windows": noise(560),
    "silence": np.zeros(RATE_HZ, np.float32),
    "a constant": np.full(RATE_HZ, 0.3, np.float32),
    "the negative limit": np.full(RATE_HZ, -1.0, np.float32),
    "full-scale noise": np.clip(noise(RATE_HZ, 1.0), -1.0, 1.0),
    "a clipped tone": np.sign(np.sin(np.arange(RATE_HZ) / 9)).astype(np.float32),
    "a click": np.eye(1, RATE_HZ, 5_000, dtype=np.float32)[0],
    "the smallest numbers": np.full(RATE_HZ, 1e-45, np.float32),
    "a step out of silence": np.repeat(np.float32([0.0, 1e-5]), RATE_HZ // 2),
}


@pytest.mark.parametrize("samples", NASTY.values(), ids=NASTY.keys())
def test_whatever_is_heard_gives_336_finite_numbers(samples):
    numbers = functionals(samples)
    assert numbers.shape == (FUNCTIONALS_SIZE,) == (336,)
    assert numbers.dtype == np.float32
    assert np.isfinite(numbers).all()


def test_a_turn_gives_the_same_numbers_every_time_and_stays_as_it_was():
    turn = voice_like()
    before = turn.copy()
    first = functionals(turn)
    functionals(noise(5_000))
    assert np.array_equal(first, functionals(turn))
    assert np.array_equal(turn, before)


@pytest.mark.parametrize("gain", [0.25, 0.7, 3.0])
def test_gain_changes_the_loudness_columns_and_no_others(gain):
    turn = voice_like()
    expected = functionals(turn).astype(np.float64)
    for column, name in enumerate(FUNCTIONAL_NAMES):
        statistic = name.rsplit("_", 1)[1]
        has_no_unit = statistic in {"maxPos", "minPos", "skewness", "kurtosis"}
        if name.startswith("pcm_RMSenergy") and not has_no_unit:
            expected[column] *= gain**2 if statistic == "linregerrQ" else gain
    louder = functionals(np.float32(gain) * turn)
    np.testing.assert_allclose(louder, expected, rtol=1e-3, atol=1e-4)
    loudness = [name.startswith("pcm_RMSenergy") for name in FUNCTIONAL_NAMES]
    np.testing.assert_allclose(louder[loudness], expected[loudness], rtol=1e-3)


def test_the_polarity_of_the_microphone_changes_nothing():
    turn = voice_like()
    assert np.array_equal(functionals(-turn), functionals(turn))


@pytest.mark.parametrize("n_samples", [0, 1, 100, 399])
def test_a_turn_shorter_than_a_window_is_padded_with_zeros(n_samples):
    short = noise(n_samples)
    padded = np.pad(short, (0, 400 - n_samples))
    assert np.array_equal(functionals(short), functionals(padded))


def test_samples_that_do_not_fill_a_window_do_not_count():
    turn = voice_like()[: 400 + 160 * 50 + 159]
    assert np.array_equal(functionals(turn), functionals(turn[:-159]))


def test_how_the_windows_are_cut_into_blocks_changes_nothing(monkeypatch):
    turn = voice_like()
    expected = functionals(turn)
    monkeypatch.setattr(module, "_BLOCK_WINDOWS", 7)
    np.testing.assert_allclose(functionals(turn), expected, rtol=1e-4, atol=1e-5)


def test_a_burst_ten_windows_later_is_found_ten_windows_later():
    def loudest_window(start):
        turn = noise(RATE_HZ, 0.001)
        turn[start : start + 400] += noise(400)
        return functionals(turn)[FUNCTIONAL_NAMES.index("pcm_RMSenergy_sma_maxPos")]

    assert loudest_window(160 * 40) == loudest_window(160 * 30) + 10 == 40


def test_digital_silence_has_no_loudness_no_cepstra_and_every_crossing():
    silence = dict(zip(FUNCTIONAL_NAMES, functionals(NASTY["silence"]), strict=True))
    is_set = {name for name, value in silence.items() if value != 0.0}
    assert is_set == {f"pcm_zcr_sma_{name}" for name in ("max", "min", "amean")} | {
        "pcm_zcr_sma_linregc2"
    }
    assert silence["pcm_zcr_sma_amean"] == pytest.approx(398 / 400)


def test_a_tone_that_is_the_same_in_every_window_has_no_spread():
    tone = 0.5 * np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ)
    tone = (np.round(tone * 32768) / 32768).astype(np.float32)
    numbers = dict(zip(FUNCTIONAL_NAMES, functionals(tone), strict=True))
    spread = ("range", "stddev", "skewness", "kurtosis")
    for contour in ("pcm_RMSenergy_sma", "pcm_fftMag_mfcc_sma[1]", "pcm_zcr_sma_de"):
        assert [numbers[f"{contour}_{name}"] for name in spread] == [0, 0, 0, 0]


def test_what_is_left_out_of_the_384_is_voicing_and_pitch():
    left_out = np.setdiff1d(np.arange(384), KEPT_IS09_COLUMNS)
    assert left_out.tolist() == [*range(168, 192), *range(360, 384)]
    assert len(FUNCTIONAL_NAMES) == len(set(FUNCTIONAL_NAMES)) == FUNCTIONALS_SIZE


@pytest.mark.parametrize("name", OPENSMILE)
def test_a_number_is_the_one_that_opensmile_gives(name):
    number = functionals(voice_like())[FUNCTIONAL_NAMES.index(name)]
    assert number == pytest.approx(OPENSMILE[name], rel=2e-5)
