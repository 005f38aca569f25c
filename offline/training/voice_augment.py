"""Samples -> the same voice on another microphone, in another room, at another pace."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream_erc.flow import SAMPLE_RATE_HZ, Samples

FULL_SCALE = 32_768.0


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceAugment:
    """What varies in the copies of a clip, drawn anew for each."""

    gain_db: float = 12.0  # at most so much quieter; louder by half as much
    speed: float = 0.07  # share by which the pace, and with it the pitch, varies
    noise: float = 0.6  # probability of noise behind the voice
    quietest_noise_db: float = 35.0  # below the voice
    loudest_noise_db: float = 12.0  # below the voice
    room: float = 0.3  # probability of reverberation
    narrow_band: float = 0.2  # probability that high tones are cut
    edge_s: float = 0.1  # the cut before and after the voice moves by at most this


def augment_voice(
    samples: Samples, settings: VoiceAugment, draw: np.random.Generator
) -> Samples:
    """Give a varied copy, rounded to 16 bits as everything that is served."""
    pace = 1.0 + draw.uniform(-settings.speed, settings.speed)
    varied = change_pace(samples, pace)
    if draw.random() < settings.room:
        varied = add_room(varied, draw)
    if draw.random() < settings.narrow_band:
        varied = cut_high_tones(varied, draw.uniform(3_000.0, 6_000.0))
    if draw.random() < settings.noise:
        below_db = draw.uniform(settings.loudest_noise_db, settings.quietest_noise_db)
        varied = add_noise(varied, below_db, draw)
    gain_db = draw.uniform(-settings.gain_db, settings.gain_db / 2.0)
    return to_16_bits(varied * np.float32(10.0 ** (gain_db / 20.0)))


def change_pace(samples: Samples, pace: float) -> Samples:
    """Play faster (above 1) or slower; by linear interpolation."""
    n_samples = max(1, int(len(samples) / pace))
    times = np.arange(n_samples) * pace
    return np.asarray(np.interp(times, np.arange(len(samples)), samples), np.float32)


def add_room(samples: Samples, draw: np.random.Generator) -> Samples:
    """Reverberate: an echo of noise below the voice, 60 dB down in 0.1-0.5 s."""
    decay_s = draw.uniform(0.1, 0.5)
    times = np.arange(int(decay_s * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    echo = draw.standard_normal(len(times)) * 10.0 ** (-3.0 * times / decay_s)
    echo *= draw.uniform(0.2, 0.7) / np.sqrt((echo**2).sum())
    echo[0] = 1.0
    size = 1 << (len(samples) + len(echo) - 1).bit_length()
    heard = np.fft.irfft(np.fft.rfft(samples, size) * np.fft.rfft(echo, size), size)
    return np.asarray(heard[: len(samples)], np.float32)


def cut_high_tones(samples: Samples, top_hz: float) -> Samples:
    """Take away what lies above a frequency, with a soft edge of 500 Hz."""
    spectrum = np.fft.rfft(samples)
    tones_hz = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE_HZ)
    spectrum *= np.clip((top_hz + 500.0 - tones_hz) / 500.0, 0.0, 1.0)
    return np.asarray(np.fft.irfft(spectrum, len(samples)), np.float32)


def add_noise(samples: Samples, below_db: float, draw: np.random.Generator) -> Samples:
    """Add noise between white and brown, so much below the voice's mean power."""
    spectrum = np.fft.rfft(draw.standard_normal(len(samples)))
    spectrum /= np.maximum(np.arange(len(spectrum)), 1.0) ** draw.uniform(0.0, 1.0)
    noise = np.fft.irfft(spectrum, len(samples))
    power = float((samples**2).mean()) * 10.0 ** (-below_db / 10.0)
    noise *= np.sqrt(power / max(float((noise**2).mean()), 1e-20))
    return np.asarray(samples + noise, np.float32)


def to_16_bits(samples: Samples) -> Samples:
    """Round and clip as a 16-bit recording is."""
    pcm = np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1.0)
    return np.asarray(pcm / FULL_SCALE, np.float32)
