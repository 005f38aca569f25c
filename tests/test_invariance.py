"""Finals depend on what was said until then, and on nothing else."""

import asyncio

import numpy as np
import pytest
from recording import (
    RATE_HZ,
    Until,
    agree,
    as_float32,
    as_pcm16,
    clip,
    frames_of_20_ms,
    join,
    of_type,
    ragged,
    record,
    results,
    silence,
    talk,
)
from talking import ANGRY, CUTTER, SAD, SURPASSED, conversation, marker, speaker

from stream_erc.flow import to_samples


@pytest.fixture(scope="module")
def alone(server_url):
    """The conversation without partials, with the server to itself."""
    return asyncio.run(record(server_url, conversation(), partials=False))


# --- nothing depends on how the audio comes ------------------------------------


@pytest.mark.parametrize("cutting", [frames_of_20_ms, ragged], ids=lambda f: f.__name__)
async def test_how_the_audio_is_cut_changes_no_result(server_url, alone, cutting):
    heard = await record(server_url, conversation(), cutting=cutting, partials=False)
    assert agree(results(heard), results(alone))


async def test_samples_as_floats_give_the_results_of_samples_as_integers(
    server_url, alone
):
    heard = await record(
        server_url,
        conversation(),
        encode=as_float32,
        audio={"encoding": "pcm_f32le", "sample_rate": RATE_HZ, "channels": 1},
        partials=False,
    )
    assert agree(results(heard), results(alone))


async def test_the_same_audio_in_both_channels_gives_the_results_of_one(
    server_url, alone
):
    heard = await record(
        server_url,
        conversation(),
        encode=lambda samples: as_pcm16(np.repeat(samples, 2)),
        audio={"encoding": "pcm_s16le", "sample_rate": RATE_HZ, "channels": 2},
        partials=False,
    )
    assert agree(results(heard), results(alone))


async def test_partials_change_no_result(server_url, alone):
    waits = (Until("transcript.partial"), Until("emotion.partial"))
    heard = await record(server_url, conversation(*waits))
    assert not of_type(alone, "transcript.partial", "emotion.partial")
    assert agree(results(heard), results(alone))


async def test_four_sessions_at_once_give_what_each_gives_alone(server_url, alone):
    other = [speaker("Ann"), clip(SAD), silence(0.8), clip(SURPASSED), silence(0.8)]
    other_alone = await record(server_url, other, partials=False)
    at_once = await asyncio.gather(
        record(server_url, conversation()),
        record(server_url, other, cutting=frames_of_20_ms),
        record(server_url, conversation(), cutting=frames_of_20_ms),
        record(server_url, other, partials=False),
    )
    for heard, expected in zip(at_once, [alone, other_alone] * 2, strict=True):
        assert agree(results(heard), results(expected))


@pytest.mark.slow
async def test_the_pace_of_life_changes_no_result(server_url, alone):
    async with talk(server_url) as wire:
        for item in conversation():
            if isinstance(item, dict):
                await wire.say(item)
                continue
            for frame in frames_of_20_ms(as_pcm16(item)):
                await wire.say(frame)
                await asyncio.sleep(0.02)
        await wire.say({"type": "session.end"})
        assert agree(results(await wire.hear_all()), results(alone))


# --- a final rests on its own samples and the past -----------------------------


@pytest.mark.parametrize(
    "future",
    [silence(1.0), clip(ANGRY)[: RATE_HZ * 2]],
    ids=["silence", "another voice"],
)
async def test_another_future_changes_no_final(server_url, future):
    past = [clip(SAD), silence(0.1), marker("here")]
    reference = await record(server_url, [*past, clip(CUTTER)], partials=False)
    [decided] = [
        ended["decided_ms"]
        for ended in of_type(reference, "turn.ended")
        if ended["reason"] == "silence" and ended["turn"] == 0
    ]
    [mark] = of_type(reference, "marker")
    assert decided <= mark["time_ms"]  # the future begins after the end is known
    heard = await record(server_url, [*past, future], partials=False)
    assert results(heard)[0] == results(reference)[0]


async def test_a_final_can_be_computed_again_from_its_samples_alone(server_url, models):
    from stream_erc.engine import HearRequest, Lane, Origin, UnderstandRequest
    from stream_erc.flow import TurnFeatures

    audio = join(clip(ANGRY), silence(0.8))
    heard = await record(server_url, [audio], speaker="Ann", partials=False)
    [ended] = of_type(heard, "turn.ended")
    start, end = to_samples(ended["start_ms"]), to_samples(ended["end_ms"])
    samples = (audio[start:end] / 32_768).astype(np.float32)
    origin = Origin("again", 0, 0, Lane.FINAL)
    [again] = models.hear([HearRequest(origin, samples, len(samples), None)])
    features = TurnFeatures("Ann", again.transcript.text, again.voice)
    context = models.empty_context()
    [judged] = models.understand([UnderstandRequest(origin, features, context, 0)])
    [transcript] = of_type(heard, "transcript.final")
    [emotion] = of_type(heard, "emotion.final")
    assert transcript["text"] == again.transcript.text
    assert list(emotion["probabilities"].values()) == pytest.approx(
        judged.emotion.emotions, abs=0.001
    )
