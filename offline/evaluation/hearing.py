"""Recordings -> Sound: what the server would hear of a turn, whole or in part."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av.error
import numpy as np
from faster_whisper.audio import decode_audio

from offline.corpora.form import Utterance
from offline.progress import Progress
from offline.transcription.decoding import decode_channels
from stream_erc import gates
from stream_erc.asr import CONTEXTS_S, Whisper
from stream_erc.config import GateConfig
from stream_erc.errors import ConfigError, StreamErcError, reason
from stream_erc.flow import SAMPLE_RATE_HZ, Samples, VoiceFeatures
from stream_erc.functionals import functionals

from .faults import AUDIO_FILES, AUDIO_TURNS, LONG_TURNS, Faults

BEFORE_VOICE_S = 0.25  # what the server keeps before the voice
AFTER_VOICE_S = 0.10  # and behind it
SLACK_S = 0.5  # that a turn may end behind its recording: times are rounded, files cut

FULL_SCALE = 32_768.0
QUIETEST_TONE_HZ = 20.0  # pink noise has endless power towards 0


class Unheard(StreamErcError):
    """A recording cannot be read, or has nothing where a turn should be."""


@dataclass(frozen=True, slots=True)
class Hearing:
    """How a turn is heard.

    Attributes:
        share: The first part of the turn's samples, above 0, at most 1.
        snr_db: How far the noise is below the turn's mean power; None for no noise.
    """

    share: float = 1.0
    snr_db: float | None = None


PLAIN = Hearing()


@dataclass(frozen=True, slots=True)
class Sound:
    """What was heard.

    Attributes:
        text: The words; None where there are none to trust.
        voice: How it sounds.
    """

    text: str | None
    voice: VoiceFeatures


@dataclass(frozen=True, slots=True)
class Clip:
    """A turn to hear.

    Attributes:
        place: Number of its utterance.
        utterance: It has `audio`.
        file: The recording.
        needs_words: Whether the recognizer must give the words.
    """

    place: int
    utterance: Utterance
    file: Path
    needs_words: bool


def decode(file: Path, channel: int | None = None) -> Samples:
    """Read a recording.

    Args:
        file: To be read.
        channel: One of its channels, from 0; None for all of them mixed.

    Raises:
        Unheard: If it is missing, damaged or empty, or has no such channel.
    """
    if channel is not None:
        return decode_channel(file, channel)
    try:
        samples = np.asarray(decode_audio(str(file)), np.float32)
    except (av.error.FFmpegError, OSError, IndexError, ValueError) as error:
        raise Unheard(f"{file}: expected a recording, got: {reason(error)}") from error
    if len(samples) == 0:
        raise Unheard(f"{file}: expected a recording, got one without samples")
    return samples


def decode_channel(file: Path, channel: int) -> Samples:
    """Read one channel of a recording, counted from 0.

    Raises:
        Unheard: As `decode`.
    """
    try:
        channels = decode_channels(file, is_split=True)
    except ConfigError as error:
        raise Unheard(str(error)) from error
    if channel >= len(channels):
        raise Unheard(
            f"{file}: expected a channel {channel}, counted from 0, got "
            f"{len(channels)} channels"
        )
    return np.asarray(channels[channel] / FULL_SCALE, np.float32)


def cut_clip(
    samples: Samples,
    start_s: float | None,
    end_s: float | None,
    shift_s: tuple[float, float] = (0.0, 0.0),
) -> Samples:
    """Give a turn as the server would cut it: with a little before and behind.

    Args:
        samples: The recording.
        start_s: Where the voice starts; None for the recording's beginning.
        end_s: Where it ends; None for the recording's end.
        shift_s: Moves the two edges.

    Raises:
        Unheard: If the recording has nothing there, or ends well before the turn does.
    """
    start, end = 0, len(samples)
    if start_s is not None:
        start = int(max(0.0, start_s - BEFORE_VOICE_S + shift_s[0]) * SAMPLE_RATE_HZ)
    if end_s is not None:
        end = int(max(0.0, end_s + AFTER_VOICE_S + shift_s[1]) * SAMPLE_RATE_HZ)
    is_empty = start >= min(end, len(samples))
    is_backwards = start_s is not None and end_s is not None and start_s >= end_s
    duration_s = len(samples) / SAMPLE_RATE_HZ
    is_beyond = end_s is not None and end_s > duration_s + SLACK_S
    if is_empty or is_backwards or is_beyond:
        raise Unheard(
            f"expected a voice within the recording's "
            f"{duration_s:.2f} s, got start_s={start_s} and end_s={end_s}"
        )
    return samples[start:end]


def add_noise(samples: Samples, snr_db: float, draw: np.random.Generator) -> Samples:
    """Add pink noise, so much below the mean power; rounded to 16 bits as is served.

    Pink, for it is as loud in each octave, as rooms and streets roughly are.
    """
    spectrum = np.fft.rfft(draw.standard_normal(len(samples)))
    tones_hz = np.fft.rfftfreq(len(samples), 1.0 / SAMPLE_RATE_HZ)
    spectrum /= np.sqrt(np.maximum(tones_hz, QUIETEST_TONE_HZ))
    noise = np.fft.irfft(spectrum, len(samples))
    power = float(np.square(samples).mean()) * 10.0 ** (-snr_db / 10.0)
    noise *= np.sqrt(power / max(float(np.square(noise).mean()), 1e-20))
    pcm = np.rint((samples + noise) * FULL_SCALE)
    return np.asarray(
        np.clip(pcm, -FULL_SCALE, FULL_SCALE - 1.0) / FULL_SCALE, np.float32
    )


def hear(
    samples: Samples, hearing: Hearing, whisper: Whisper, needs_words: bool
) -> Sound:
    """Give what the server would make of a turn, or of its first part.

    Args:
        samples: The whole turn, noise included.
        hearing: Of which the share counts here.
        whisper: The recognizer.
        needs_words: Whether it must transcribe, too.
    """
    part = samples[: max(1, round(len(samples) * hearing.share))]
    if not needs_words:
        return Sound(None, VoiceFeatures(whisper.voice(part), functionals(part)))
    heard = whisper.hear(part)
    # Where the corpus says that a turn is, all of it is voice.
    transcript = gates.judge(
        heard, len(part), GateConfig(), is_whole=hearing.share == 1.0
    )
    voice = VoiceFeatures(heard.voice, functionals(part))
    return Sound(transcript.text or None, voice)


def cut_clips(clips: Iterable[Clip], faults: Faults) -> Iterator[tuple[Clip, Samples]]:
    """Give every clip that can be heard; each channel is decoded once."""
    ordered = sorted(clips, key=lambda clip: (*source_of(clip), clip.place))
    for (file, _), users in itertools.groupby(ordered, key=source_of):
        turns = list(users)
        try:
            recording = decode(file, turns[0].utterance.channel)
        except Unheard as error:
            faults.add(AUDIO_FILES, str(error))
            faults.counts[AUDIO_TURNS] += len(turns)
            continue
        for clip in turns:
            said = clip.utterance
            where = f"{file}: dialogue {said.dialogue!r}, turn {said.turn}"
            try:
                samples = cut_clip(recording, said.start_s, said.end_s)
            except Unheard as error:
                faults.add(AUDIO_TURNS, f"{where}: {error}")
                continue
            if len(samples) > CONTEXTS_S[-1] * SAMPLE_RATE_HZ:
                got = f"{len(samples) / SAMPLE_RATE_HZ:.1f} s"
                expected = f"expected at most {CONTEXTS_S[-1]} s"
                faults.add(LONG_TURNS, f"{where}: {expected}, got {got}; cut there")
                samples = samples[: CONTEXTS_S[-1] * SAMPLE_RATE_HZ]
            yield clip, samples


def source_of(clip: Clip) -> tuple[Path, int]:
    """Give what a clip is cut from: a file, and its channel or -1 for all mixed."""
    channel = clip.utterance.channel
    return clip.file, -1 if channel is None else channel


def hear_clips(
    clips: Sequence[Clip],
    hearings: Sequence[Hearing],
    whisper: Whisper,
    faults: Faults,
    seed: int,
) -> dict[tuple[int, Hearing], Sound]:
    """Hear every clip in every way.

    Args:
        clips: In any order.
        hearings: The ways.
        whisper: The recognizer.
        faults: Takes what cannot be heard; such clips are left out.
        seed: Of the noise, which is the same for each loudness.

    Returns:
        By the utterance's place and the way.
    """
    sounds = {}
    with Progress("hearing", len(clips), "turns") as progress:
        for clip, samples in cut_clips(clips, faults):
            for hearing in hearings:
                heard = samples
                if hearing.snr_db is not None:
                    draw = np.random.default_rng([seed, clip.place])
                    heard = add_noise(samples, hearing.snr_db, draw)
                sound = hear(heard, hearing, whisper, clip.needs_words)
                sounds[clip.place, hearing] = sound
            progress.advance()
    return sounds
