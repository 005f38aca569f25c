"""Dialogue -> Dialogue: every clip breaks off between two words, and goes on.

The corpora here have whole sentences alone. To know how often a turn would be ended
within one, each clip is cut at the end of a word, drawn among all but its last, and a
pause is laid there. The recognizer says where its words end; the cut is at the
quietest 20 ms nearby. Nobody lengthens a word before such a pause, or drops the voice
as people do: the sound of hesitating is missing, its words are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from benchmarks.dialogues import Clip, Dialogue, Filling, fill
from clients.sources import RATE_HZ, Pcm16
from stream_erc.asr import Whisper

BREAK_S = (0.3, 0.7)  # drawn evenly
NEARBY_S = 0.08  # of where the recognizer says that a word ends
QUIET_SAMPLES = RATE_HZ // 50


def hesitate(
    dialogue: Dialogue, whisper: Whisper, rng: np.random.Generator, filling: Filling
) -> Dialogue:
    """Lay a pause into each clip that has two words or more."""
    parts: list[Pcm16] = []
    clips: list[Clip] = []
    done = laid = 0
    for clip in dialogue.clips:
        ends = word_ends(dialogue.samples, clip, whisper)
        start = clip.start + laid
        if ends:
            at = find_quiet(dialogue.samples, int(rng.choice(ends)))
            pause = fill(round(rng.uniform(*BREAK_S) * RATE_HZ), rng, filling)
            parts += [dialogue.samples[done:at], pause]
            done, laid = at, laid + len(pause)
        clips.append(
            replace(
                clip,
                start=start,
                voice_start=clip.voice_start + start - clip.start,
                voice_end=clip.voice_end + laid,
                end=clip.end + laid,
            )
        )
    parts.append(dialogue.samples[done:])
    return Dialogue(f"{dialogue.name}, broken", np.concatenate(parts), tuple(clips))


def word_ends(samples: Pcm16, clip: Clip, whisper: Whisper) -> Sequence[int]:
    """Give where the words of a clip end, but for its last; samples on the stream."""
    spoken = (samples[clip.start : clip.end] / 32_768).astype(np.float32)
    words = whisper.hear(spoken, with_words=True).words
    return [
        clip.start + word.end
        for word in words[:-1]
        if clip.voice_start < clip.start + word.end < clip.voice_end
    ]


def find_quiet(samples: Pcm16, near: int) -> int:
    """Find the middle of the quietest 20 ms around a sample."""
    reach = round(NEARBY_S * RATE_HZ)
    begin = max(0, near - reach)
    energy = np.square(samples[begin : near + reach].astype(np.float64))
    smooth = np.convolve(energy, np.ones(QUIET_SAMPLES), mode="valid")
    return begin + int(np.argmin(smooth)) + QUIET_SAMPLES // 2
