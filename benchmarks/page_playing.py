"""Dialogue -> Chromium's microphone -> the page -> when it showed what."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import soxr

from benchmarks.browser import launching, root_of, write_wav
from benchmarks.dialogues import Clip, Dialogue, to_ms
from clients.sources import RATE_HZ, Pcm16

PROBE = Path(__file__).with_name("page_probe.js")
TIMEOUT_S = 60.0
TAIL_S = 2.0  # of silence, until the last turn has ended
TEMPLATE_S = 1.5  # of a clip, by which it is found in what was sent
SEARCH_S = 3.0  # a microphone begins so long before the page listens, at most
NEAR_MS = 5_000.0  # blocks so near tell the pace at which sound is sent


class Frame(msgspec.Struct, rename="camel"):
    """Audio that was sent at once."""

    at_ms: float
    n_samples: int


class ShownTurn(msgspec.Struct, rename="camel"):
    """What a page told of a turn, and when; None: never.

    The first two are on the audio clock, the others on the page's own.
    """

    voice_start_ms: float
    end_ms: float | None = None
    words_told_ms: float | None = None
    emotion_told_ms: float | None = None
    words_ms: float | None = None
    emotion_ms: float | None = None


class Sight(msgspec.Struct, rename="camel"):
    """What the probe saw."""

    frames: list[Frame]
    rate_hz: int
    turns: list[ShownTurn]


@dataclass(frozen=True, slots=True)
class Opening:
    """A clip that opened a turn: its voice's start and what followed, in milliseconds.

    Attributes:
        words: Until its first words were on the screen.
        emotion: Until its first emotion was.
        words_told: Until those words had come over the socket.
        emotion_told: Until that emotion had.
    """

    words: float | None
    emotion: float | None
    words_told: float | None
    emotion_told: float | None


async def play(url: str, dialogue: Dialogue) -> list[Opening]:
    """Let a page hear a dialogue, as it would a person; give what it showed, and when.

    Raises:
        ConfigError: If there is no browser.
    """
    with tempfile.TemporaryDirectory() as folder:
        voice = write_wav(Path(folder) / "voice.wav", dialogue.samples)
        async with launching(voice) as browser:
            page = await browser.new_page()
            page.set_default_timeout(TIMEOUT_S * 1000)
            await page.add_init_script(path=PROBE)
            await page.goto(root_of(url))
            await page.click("#start")
            await page.wait_for_selector("body[data-state=open]")
            length_ms = to_ms(len(dialogue.samples)) + TAIL_S * 1000
            await page.wait_for_function(
                "ms => probe.frames.reduce((n, { nSamples }) => n + nSamples, 0) "
                "* 1000 / probe.rateHz > ms",
                arg=length_ms,
                timeout=length_ms + TIMEOUT_S * 1000,
                polling=200,
            )
            await page.click("#start")
            await page.wait_for_selector("body[data-state=ended]")
            seen: Any = await page.evaluate(
                "({ frames: probe.frames, rateHz: probe.rateHz, turns: probe.turns })"
            )
            sent = base64.b64decode(await page.evaluate("probe.samples()"))
    sight = msgspec.convert(seen, Sight)
    samples = soxr.resample(np.frombuffer(sent, "<i2"), sight.rate_hz, RATE_HZ)
    return [
        opening
        for clip, shift in zip(
            dialogue.clips, find_shifts(samples, dialogue), strict=True
        )
        if (opening := time_opening(clip, shift, dialogue.clips, sight)) is not None
    ]


def find_shifts(sent: Pcm16, dialogue: Dialogue) -> list[int]:
    """Find each clip in what was sent: how many samples later than in the dialogue.

    The page does not listen from the first sample on, so this is below 0.
    """
    shifts, expected = [], 0
    for clip in dialogue.clips:
        template = dialogue.samples[clip.start :][: round(TEMPLATE_S * RATE_HZ)]
        first = max(0, clip.start + expected - round(SEARCH_S * RATE_HZ))
        region = sent[first : first + len(template) + round(2 * SEARCH_S * RATE_HZ)]
        expected = first + find(template, region) - clip.start
        shifts.append(expected)
    return shifts


def find(template: Pcm16, region: Pcm16) -> int:
    """Give where in a region something resembles a template most (correlation)."""
    n_fft = 1 << (len(region) + len(template)).bit_length()
    spectrum = np.fft.rfft(region.astype(float), n_fft)
    spectrum *= np.conj(np.fft.rfft(template.astype(float), n_fft))
    n_places = max(1, len(region) - len(template) + 1)
    return int(np.argmax(np.fft.irfft(spectrum, n_fft)[:n_places]))


def time_opening(
    clip: Clip, shift: int, clips: Sequence[Clip], sight: Sight
) -> Opening | None:
    """Give the waits of the turn that a clip opened; None where it opened none."""
    voice_ms, end_ms = to_ms(clip.voice_start + shift), to_ms(clip.voice_end + shift)
    turn = next(
        (
            turn
            for turn in sight.turns
            if turn.voice_start_ms < end_ms
            and (turn.end_ms is None or turn.end_ms > voice_ms)
        ),
        None,
    )
    if turn is None or any(
        to_ms(other.voice_end + shift) > turn.voice_start_ms
        for other in clips
        if other.voice_start < clip.voice_start
    ):
        return None
    said_ms = said_at(sight, voice_ms)
    waits = (turn.words_ms, turn.emotion_ms, turn.words_told_ms, turn.emotion_told_ms)
    return Opening(*(None if at is None else at - said_ms for at in waits))


def said_at(sight: Sight, ms: float) -> float:
    """Give when a sample of the audio clock was spoken, by the page's clock.

    A block leaves when its last sample is spoken, or later, where the page was busy; so
    the promptest of the blocks around it tells.
    """
    at_ms = np.array([frame.at_ms for frame in sight.frames])
    ends = np.cumsum([frame.n_samples for frame in sight.frames])
    ends_ms = ends * 1000 / sight.rate_hz
    near = np.abs(ends_ms - ms) < NEAR_MS
    return float((at_ms - ends_ms)[near].min() + ms)
