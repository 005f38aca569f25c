"""Audio that is not as it should be is heard as far as it can be."""

import numpy as np
import pytest
from recording import (
    RATE_HZ,
    agree,
    as_float32,
    as_pcm16,
    clip,
    frames_of_20_ms,
    join,
    of_type,
    record,
    results,
    silence,
    talk,
)
from talking import END, MODERN

FLOATS = {"encoding": "pcm_f32le", "sample_rate": RATE_HZ, "channels": 1}


# --- frames --------------------------------------------------------------------


async def test_half_a_sample_at_the_end_of_a_frame_is_carried_over(server_url):
    data = as_pcm16(join(clip(MODERN), silence(0.8)))
    async with talk(server_url, partials=False) as wire:
        await wire.say(data[:20_001], data[20_001:], END)
        heard = await wire.hear_all()
    reference = await record(server_url, [clip(MODERN), silence(0.8)], partials=False)
    assert not of_type(heard, "warning")
    assert agree(results(heard), results(reference))


async def test_half_a_sample_at_the_end_of_the_session_is_told(server_url):
    async with talk(server_url) as wire:
        await wire.say(b"\0\0\0", END)
        heard = await wire.hear_all()
    assert [m["type"] for m in heard[1:]] == ["warning", "session.ended"]
    assert heard[1]["code"] == "half_sample"


async def test_a_frame_of_one_mebibyte_is_heard(server_url):
    async with talk(server_url) as wire:
        await wire.say(b"\0" * (1 << 20), b"", END)
        heard = await wire.hear_all()
    assert heard[-1]["audio_ms"] == (1 << 20) // 32
    assert wire.close_code == 1000


@pytest.mark.parametrize("frame", [b"\0" * ((1 << 20) + 1), "x" * ((1 << 20) + 1)])
async def test_a_frame_over_one_mebibyte_closes_with_1009(server_url, frame):
    async with talk(server_url) as wire:
        await wire.say(frame)
        await wire.hear_all()
    assert wire.close_code == 1009


# --- samples -----------------------------------------


def floats(samples):
    return samples.astype("<f4").tobytes()


def stained(value):
    """Real speech as floats with a few impossible values in it, in two places."""
    samples = join(clip(MODERN), silence(0.8)) / 32_768
    samples[4000:4010] = value
    samples[20_000] = value
    return samples


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.nan, "audio_not_finite"),
        (np.inf, "audio_not_finite"),
        (-np.inf, "audio_not_finite"),
        (1.5, "audio_out_of_range"),
        (-3e38, "audio_out_of_range"),
    ],
)
async def test_impossible_floats_are_mended_and_told_once(server_url, value, code):
    heard = await record(
        server_url,
        [stained(value)],
        encode=floats,
        cutting=frames_of_20_ms,
        audio=FLOATS,
        partials=False,
    )
    assert [m["code"] for m in of_type(heard, "warning")] == [code]
    [final] = of_type(heard, "emotion.final")
    assert sum(final["probabilities"].values()) == pytest.approx(1, abs=0.001)


async def test_floats_that_are_nothing_but_nan_are_silence(server_url):
    heard = await record(
        server_url,
        [np.full(RATE_HZ * 3, np.nan)],
        encode=floats,
        audio=FLOATS | {"channels": 2},
    )
    assert [m["type"] for m in heard] == ["session.started", "warning", "session.ended"]


async def test_floats_within_range_are_not_warned_of(server_url):
    heard = await record(
        server_url, [silence(0.1) + 32_767], encode=as_float32, audio=FLOATS
    )
    assert not of_type(heard, "warning")


def noise(seconds, peak):
    dice = np.random.default_rng(0)
    return dice.uniform(-peak, peak, round(seconds * RATE_HZ)).astype(np.int16)


def square(seconds, hz):
    phase = np.arange(round(seconds * RATE_HZ)) * hz / RATE_HZ
    return np.where(phase % 1 < 0.5, 32_767, -32_768).astype(np.int16)


NOT_SPEECH = {
    "full-scale noise": noise(30, 32_767),
    "faint noise": noise(30, 30),
    "hum": square(30, 50) // 8,
    "a full-scale square wave": square(30, 440),
    "a dead channel": np.full(RATE_HZ * 30, 32_767, np.int16),
    "the other rail": np.full(RATE_HZ * 30, -32_768, np.int16),
    "clicks": np.where(np.arange(RATE_HZ * 30) % 5000 == 0, 32_767, 0).astype(np.int16),
}


@pytest.mark.parametrize("name", NOT_SPEECH)
async def test_half_a_minute_of_what_is_not_speech_makes_no_flood_of_turns(
    server_url, name
):
    heard = await record(server_url, [NOT_SPEECH[name]], partials=False)
    assert len(of_type(heard, "turn.started")) <= 2
    assert not [m["text"] for m in of_type(heard, "transcript.final") if m["text"]]


@pytest.mark.parametrize(
    "minutes", [2, pytest.param(60, marks=pytest.mark.slow)], ids="{} minutes".format
)
async def test_long_silence_makes_no_turn_and_the_clock_does_not_drift(
    server_url, minutes
):
    audio = {"encoding": "mulaw", "sample_rate": 8000, "channels": 1}
    async with talk(server_url, audio=audio) as wire:
        for minute in range(1, minutes + 1):
            await wire.say(b"\xff" * 8000 * 60, {"type": "marker", "id": minute})
            mark = await wire.hear_until("marker")
            assert mark["id"] == minute
            assert abs(mark["time_ms"] - minute * 60_000) <= 32
        await wire.say(END)
        heard = await wire.hear_all()
    # A fast machine is ahead of limits.max_pace, and says once that it holds back.
    others = {m["type"] for m in heard} - {"session.started", "marker"}
    assert {m["code"] for m in of_type(heard, "warning")} <= {"held_back"}
    assert others - {"warning"} == {"session.ended"}
    assert heard[-1]["type"] == "session.ended"
    assert heard[-1]["audio_ms"] == minutes * 60_000


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spoken: np.clip(spoken * 20.0, -32_768, 32_767),
        lambda spoken: np.clip(spoken + 8000.0, -32_768, 32_767),
    ],
    ids=["clipped", "with a DC offset"],
)
async def test_spoiled_speech_is_still_one_turn_with_words(server_url, spoil):
    spoken = join(clip(MODERN), silence(0.8)).astype(float)
    heard = await record(server_url, [spoil(spoken).astype(np.int16)], partials=False)
    [final] = of_type(heard, "transcript.final")
    assert "modern" in final["text"]
