"""Samples -> Functionals: the IS09 emotion features, without pitch and voicing.

A turn becomes 14 contours, one value for each window of 25 ms, a window every 10 ms:
loudness, twelve mel cepstral coefficients and the rate of zero crossings. Each contour
and its slope are summed up by 12 numbers: 14 * 2 * 12 = 336.

The definitions are those of the INTERSPEECH 2009 Emotion Challenge (Schuller, Steidl,
Batliner, 2009), in the details of openSMILE 3 as in its book and its configuration
`is09-13/IS09_emotion.conf`. F0 and the probability of voicing, the set's other two
contours, are left out.

Two rules that no reader would guess, measured on openSMILE's output:

- A sample of value zero counts as a crossing unless its neighbours share a sign, so
  digital silence has nearly the highest rate there is.
- The last two windows of a turn shape the smoothing and the slopes, but the 12 numbers
  are taken from the windows before them.

Loudness is measured behind pre-emphasis and taper. Positions (`maxPos`, `minPos`) and
slopes (`linregc1`) are in windows, not relative to the length of the turn: the longer
the turn, the larger the positions and the smaller the slopes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

_SAMPLE_RATE_HZ: Final = 16_000
_WINDOW_SAMPLES: Final = 400  # 25 ms; `frameSize` of the configuration
_STEP_SAMPLES: Final = 160  # 10 ms; `frameStep`
_FFT_SAMPLES: Final = 512  # the next power of two
_PRE_EMPHASIS: Final = 0.97  # `k`
_N_MELS: Final = 26  # `nBands`
_TOP_HZ: Final = 8_000.0  # `hifreq`
_N_CEPSTRA: Final = 12  # `lastMfcc`; the first is 1, the zeroth is left out
_LIFTER: Final = 22.0  # `cepLifter`
_N_DROPPED_WINDOWS: Final = 2  # at the end of a turn; see the docstring above

# The scale of HTK, whose cepstra `htkcompatible` asks for: spectra of 16-bit integers,
# no band below 1. A band that quiet has a logarithm of 0.
_PCM16_SCALE: Final = 32_768.0
_QUIETEST_BAND: Final = 1.0
_SMILE_FULL_SCALE: Final = 32_767.0  # openSMILE's 1.0, in 16-bit integers

_BLOCK_WINDOWS: Final = 128  # spectra computed at a time: they then fit the cache

_CONTOURS: Final = (
    "pcm_RMSenergy_sma{}",
    *(f"pcm_fftMag_mfcc_sma{{}}[{number}]" for number in range(1, _N_CEPSTRA + 1)),
    "pcm_zcr_sma{}",
)
_LEFT_OUT: Final = ("voiceProb_sma{}", "F0_sma{}")
_STATISTICS: Final = (
    "max",
    "min",
    "range",
    "maxPos",
    "minPos",
    "amean",
    "linregc1",
    "linregc2",
    "linregerrQ",
    "stddev",
    "skewness",
    "kurtosis",
)


def _names(contours: tuple[str, ...]) -> tuple[str, ...]:
    """Name every number: contours first, then their slopes, 12 statistics of each."""
    return tuple(
        f"{contour.format(suffix)}_{statistic}"
        for suffix in ("", "_de")
        for contour in contours
        for statistic in _STATISTICS
    )


FUNCTIONAL_NAMES: Final = _names(_CONTOURS)
FUNCTIONALS_SIZE: Final = len(FUNCTIONAL_NAMES)
KEPT_IS09_COLUMNS: Final[NDArray[np.intp]] = np.flatnonzero(
    np.isin(_names(_CONTOURS + _LEFT_OUT), FUNCTIONAL_NAMES)
)
"""Where these 336 numbers stand among openSMILE's 384."""


def _mel_weights() -> NDArray[np.float64]:
    """Weights of the triangular mel bands, as in HTK.

    Returns:
        Shape (n_bins, n_mels): what each bin of the spectrum gives to each band.
    """
    bins_hz = np.arange(_FFT_SAMPLES // 2 + 1) * (_SAMPLE_RATE_HZ / _FFT_SAMPLES)
    bins_mel = 1127.0 * np.log1p(bins_hz / 700.0)
    corners = np.linspace(0.0, 1127.0 * np.log1p(_TOP_HZ / 700.0), _N_MELS + 2)
    low, centre, high = corners[:-2], corners[1:-1], corners[2:]
    rising = (bins_mel[:, None] - low) / (centre - low)
    falling = (high - bins_mel[:, None]) / (high - centre)
    return np.asarray(np.maximum(np.minimum(rising, falling), 0.0))


def _cepstrum_weights() -> NDArray[np.float64]:
    """Cosine transform and liftering of HTK in one matrix.

    Returns:
        Shape (n_mels, 12), for coefficients 1 to 12.
    """
    number = np.arange(1, _N_CEPSTRA + 1)
    band = np.arange(_N_MELS)[:, None] + 0.5
    cosine = np.sqrt(2.0 / _N_MELS) * np.cos(np.pi * number * band / _N_MELS)
    lifter = 1.0 + _LIFTER / 2.0 * np.sin(np.pi * number / _LIFTER)
    return np.asarray(cosine * lifter)


_TAPER: Final = np.hamming(_WINDOW_SAMPLES)
_MEL_WEIGHTS: Final = _mel_weights()
_CEPSTRUM_WEIGHTS: Final = _cepstrum_weights()


def functionals(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum up how a turn sounds in 336 numbers.

    A turn shorter than one window (25 ms) is padded with zeros to one. Below five
    windows (65 ms) some numbers differ from openSMILE's, whose edges need more room.

    Made for 16-bit audio. Rounding turns quiet samples into zeros, and zeros count as
    crossings: train and serve on samples that were rounded alike.

    Args:
        samples: Shape (n_samples,), one mono turn of any length at 16 kHz, in [-1, 1].

    Returns:
        Shape (336,), in the order of `FUNCTIONAL_NAMES`, always finite.
    """
    missing = max(0, _WINDOW_SAMPLES - len(samples))
    pcm = np.pad(samples.astype(np.float64) * _PCM16_SCALE, (0, missing))
    contours = np.column_stack([_loudness_and_cepstra(pcm), _crossing_rates(pcm)])
    # Single precision from here, as in openSMILE: it decides which of two equal peaks
    # is the higher, and keeps a contour that stands still exactly constant.
    smooth = _smooth(contours.astype(np.float32))
    n_used = max(1, len(contours) - _N_DROPPED_WINDOWS)
    return _statistics(np.hstack([smooth[:n_used], _slopes(smooth)[:n_used]]))


def _windows(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Overlapping windows, as a view; a partial last one is left out.

    Args:
        values: Shape (n_samples,), at least one window.

    Returns:
        Shape (n_windows, 400).
    """
    everywhere = np.lib.stride_tricks.sliding_window_view(values, _WINDOW_SAMPLES)
    return everywhere[::_STEP_SAMPLES]


def _loudness_and_cepstra(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Loudness and mel cepstral coefficients 1 to 12 of every window.

    Args:
        pcm: Shape (n_samples,), in units of 16-bit integers.

    Returns:
        Shape (n_windows, 13). Loudness is a root mean square, 1.0 at full scale.
    """
    windows = _windows(pcm)
    contours = np.empty((len(windows), 1 + _N_CEPSTRA))
    for start in range(0, len(windows), _BLOCK_WINDOWS):
        block = windows[start : start + _BLOCK_WINDOWS]
        # Each window by itself: its first sample has no predecessor but itself.
        emphasized = block.copy()
        emphasized[:, 1:] -= _PRE_EMPHASIS * block[:, :-1]
        emphasized[:, 0] *= 1.0 - _PRE_EMPHASIS
        emphasized *= _TAPER
        power = np.einsum("ij,ij->i", emphasized, emphasized) / _WINDOW_SAMPLES
        magnitudes = np.abs(np.fft.rfft(emphasized, _FFT_SAMPLES))
        bands = np.log(np.maximum(magnitudes @ _MEL_WEIGHTS, _QUIETEST_BAND))
        contours[start : start + len(block), 0] = np.sqrt(power) / _SMILE_FULL_SCALE
        contours[start : start + len(block), 1:] = bands @ _CEPSTRUM_WEIGHTS
    return contours


def _crossing_rates(pcm: NDArray[np.float64]) -> NDArray[np.float64]:
    """Zero crossings per sample in every window.

    A zero between samples of opposite sign, or beside another zero, is a crossing.

    Args:
        pcm: Shape (n_samples,), in any unit.

    Returns:
        Shape (n_windows,), in [0, 1).
    """
    signs = np.sign(pcm)
    before, here, after = signs[:-2], signs[1:-1], signs[2:]
    crosses = (before * here < 0) | ((here == 0) & (before * after <= 0))
    # Counts up to each sample; the first and last sample of a window never cross.
    counts = np.concatenate([[0], np.cumsum(crosses)])
    n_inner = _WINDOW_SAMPLES - 2
    per_window = (counts[n_inner:] - counts[:-n_inner])[::_STEP_SAMPLES]
    return np.asarray(per_window / _WINDOW_SAMPLES, dtype=np.float64)


def _smooth(contours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over three windows, the edges repeated.

    Args:
        contours: Shape (n_windows, n_contours).

    Returns:
        Shape (n_windows + 1, n_contours): openSMILE runs one window over the end,
        and that one has a part in the last slopes.
    """
    padded = np.pad(contours, ((1, 2), (0, 0)), mode="edge")
    total = padded[:-2] + padded[1:-1] + padded[2:]
    return np.asarray(total / 3.0, dtype=np.float32)


def _slopes(contours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Slope per window: a regression line over five windows, the edges repeated.

    Args:
        contours: Shape (n_windows, n_contours).

    Returns:
        The same shape.
    """
    padded = np.pad(contours, ((2, 2), (0, 0)), mode="edge")
    near = padded[3:-1] - padded[1:-3]
    far = padded[4:] - padded[:-4]
    return np.asarray((near + 2.0 * far) / 10.0, dtype=np.float32)


def _statistics(contours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Sum up each contour by the 12 `_STATISTICS`.

    `linregc1` and `linregc2` are slope per window and start of the regression line,
    `linregerrQ` is the mean squared distance from it, `kurtosis` is 3 for a normal
    distribution. Skewness and kurtosis of a constant contour are 0.

    Args:
        contours: Shape (n_windows, n_contours), at least one window.

    Returns:
        Shape (n_contours * 12,), contour by contour.
    """
    time = (np.arange(len(contours)) - (len(contours) - 1) / 2.0)[:, None]
    highest, lowest = contours.max(0), contours.min(0)
    mean = contours.mean(0, dtype=np.float64)
    from_mean = contours - mean
    squares = from_mean**2
    variance = squares.mean(0)
    deviation = np.sqrt(variance)
    slope = (time * from_mean).sum(0) / max(float((time**2).sum()), 1.0)
    from_line = from_mean - slope * time
    varies = np.where(deviation > 0.0, deviation, np.inf)
    table = [
        highest,
        lowest,
        highest - lowest,
        contours.argmax(0),
        contours.argmin(0),
        mean,
        slope,
        mean + slope * time[0],
        (from_line**2).mean(0),
        deviation,
        (squares * from_mean).mean(0) / varies**3,
        (squares**2).mean(0) / varies**4,
    ]
    return np.stack(table, axis=1).astype(np.float32).ravel()
