"""Voiceprint -> speaker: one name for one voice, of the past alone, bounded."""

import numpy as np
import pytest
from director_cases import Client, Script
from hypothesis import given
from hypothesis import strategies as st
from recording import (
    RATE_HZ,
    agree,
    clip,
    join,
    of_type,
    ragged,
    record,
    results,
    silence,
    whole,
)

from stream_erc import events
from stream_erc.engine import HearRequest, Lane, Origin
from stream_erc.errors import ModelError
from stream_erc.flow import to_samples
from stream_erc.names import AUTO
from stream_erc.speakers import SpeakerConfig
from stream_erc.voiceprint import (
    Spread,
    VoiceEncoder,
    load_spread,
    load_views,
    mel_power,
    mels_of,
)
from stream_erc.voices import Voices

# Computed once by Resemblyzer's weights in torch, in float32, for the first 3 s of jfk.
LARGEST = {
    **{16: 0.1926, 63: 0.1572, 79: 0.1631, 82: 0.2071, 118: 0.1783, 120: 0.1707},
    **{135: 0.2045, 158: 0.1815, 162: 0.1816, 203: 0.2242, 236: 0.1642, 246: 0.1604},
}

LONG, SHORT = to_samples(2000), to_samples(500)
CONFIG = SpeakerConfig()
VOICES = 10 * np.eye(12, dtype=np.float32)
SPREAD = Spread(np.full(12, 8.0, np.float32), np.ones(12, np.float32))


def names(voices, config=CONFIG, voiced=LONG):
    known, told = Voices(), []
    for voice in voices:
        name, known = known.assign(voice, voiced, SPREAD, config)
        told.append(name)
    return told, known


orders = st.lists(st.integers(0, 11), max_size=30)


@given(orders)
def test_voices_that_differ_are_named_as_they_are_first_heard(order):
    told, _ = names([VOICES[one] for one in order], SpeakerConfig(most=12))
    first = list(dict.fromkeys(order))
    assert told == [f"S{first.index(one) + 1}" for one in order]


@given(orders, st.integers(1, 8))
def test_no_more_speakers_are_found_than_the_setting_allows(order, most):
    told, known = names([VOICES[one] for one in order], SpeakerConfig(most=most))
    assert len(set(told)) == len(known.totals) == len(known.counts) <= most
    assert sum(known.counts) == len(order)


@given(orders, orders)
def test_what_comes_later_changes_no_name(order, later):
    alone, _ = names([VOICES[one] for one in order])
    followed, _ = names([VOICES[one] for one in order + later])
    assert followed[: len(order)] == alone


def test_a_turn_too_short_to_tell_brings_nobody_new():
    _, known = names([VOICES[0], VOICES[1]])
    near = VOICES[2] + VOICES[0] / 2
    assert known.assign(near, SHORT, SPREAD, CONFIG)[0] == "S1"
    assert known.assign(near, LONG, SPREAD, CONFIG)[0] == "S3"


def test_where_there_is_no_voiceprint_whoever_spoke_goes_on():
    assert Voices().assign(None, LONG, SPREAD, CONFIG) == ("S1", Voices())
    _, known = names([VOICES[0], VOICES[1]])
    assert known.assign(None, LONG, SPREAD, CONFIG) == ("S2", known)


def test_the_evidence_is_what_the_two_normal_distributions_say():
    """One dimension, by hand: variance 4 between speakers, 1 within."""
    spread = Spread(np.array([4.0]), np.array([1.0]))
    heard = Voices((np.array([2.0]),), (1,))

    def density(value, mean, variance):
        off = (value - mean) ** 2 / variance
        return np.exp(-off / 2) / np.sqrt(2 * np.pi * variance)

    # N(0, 4) seen once as 2 with variance 1: mean 1.6, variance 0.8.
    wanted = np.log(density(1.0, 1.6, 1.8) / density(1.0, 0.0, 5.0))
    assert heard.weigh(np.array([1.0]), spread) == pytest.approx([wanted])


# --- the network ----------------------------------------------------------------


@pytest.fixture(scope="module")
def encoder():
    return VoiceEncoder()


def speech(name):
    return clip(name).astype(np.float32) / np.float32(32_768)


def ask(models, samples, **wishes):
    origin = Origin("s", 0, 0, Lane.FINAL)
    request = HearRequest(origin, samples, len(samples), None, **wishes)
    return models.hear([request])[0].voiceprint


def test_the_same_voice_is_more_alike_than_another(models):
    ann, again, ben = (
        ask(models, speech(f"speech/{name}.flac"), wants_voiceprint=True)
        for name in ("LJ001-0004", "LJ001-0006", "jfk")
    )
    known = Voices((ann,), (1,))
    same, other = (float(known.weigh(v, load_spread())[0]) for v in (again, ben))
    assert same > CONFIG.min_evidence > other


def test_voiceprints_are_made_for_those_who_want_them(models):
    samples = speech("speech/jfk.flac")[: to_samples(2000)]
    assert ask(models, samples) is None
    assert ask(models, samples, wants_voiceprint=True).shape == (
        len(load_spread().between),
    )


def test_ge2e_says_what_it_said_in_torch(encoder):
    said = encoder.say(speech("speech/jfk.flac")[: to_samples(3000)])
    assert said[[*LARGEST]] == pytest.approx([*LARGEST.values()], abs=0.05)
    assert np.linalg.norm(said) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize("n_samples", [0, 1, 399, 16_000, 320_000])
def test_any_audio_has_a_finite_voiceprint(encoder, n_samples):
    for samples in (np.zeros(n_samples), np.ones(n_samples)):
        assert np.isfinite(encoder.embed(samples.astype(np.float32))).all()


def test_a_long_turn_costs_what_a_short_one_does():
    assert mels_of(np.ones(320_000, np.float32)).shape == (160, 40)


def test_views_that_are_not_the_shipped_ones_are_refused(tmp_path, monkeypatch):
    (tmp_path / "voices.npz").write_bytes(b"others")
    monkeypatch.setattr("stream_erc.voiceprint.VOICES", tmp_path / "voices.npz")
    with pytest.raises(ModelError, match="voices.npz: expected SHA-256"):
        load_views.__wrapped__()


def test_a_tone_is_in_the_band_of_its_frequency():
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    assert mel_power(tone).mean(0).argmax() == 13  # its peak is at 1031 Hz


# --- in a session ---------------------------------------------------------------


def test_the_end_of_a_turn_tells_who_spoke():
    script = Script(AUTO).start().hear(9).speak().pause().end_turn().end()
    client = Client()
    client.hear(*script.placed)
    assert client.of(events.TurnStarted)[0].speaker is None
    assert client.of(events.TurnEnded) == []
    client.answer_all()
    assert client.of(events.TurnEnded)[0].speaker == "S1"
    assert client.types()[-4:-1] == ["turn.ended", "transcript.final", "emotion.final"]
    assert client.conversation.context[0][0] == "S1"


def test_a_name_given_by_the_client_is_told_at_once():
    script = Script("Ann").start().speak().end_turn()
    client = Client().hear(*script.placed)
    assert client.of(events.TurnEnded)[0].speaker == "Ann"


# --- in a server ------------------------------------------------------------------

PAUSE = silence(0.8)


def three_turns():
    """A woman, a man, the woman; of each what is enough to tell."""
    clips = [
        clip(f"speech/{name}.flac") for name in ("LJ001-0004", "jfk", "LJ001-0006")
    ]
    return [join(one[: 3 * RATE_HZ], PAUSE) for one in clips]


async def test_a_real_session_tells_voices_apart_however_it_is_cut(serve, models):
    wishes = {"speaker": AUTO, "partials": False}
    async with serve(models, drain_s=0.2) as (_, url):
        heard = [
            await record(url, three_turns(), cutting=cutting, **wishes)
            for cutting in (whole, ragged)
        ]
    for one in heard:
        assert {m["speaker"] for m in of_type(one, "turn.started")} == {None}
        assert speakers_of(one) == ["S1", "S2", "S1"]
    assert agree(results(heard[0]), results(heard[1]))


def speakers_of(heard):
    return [message["speaker"] for message in of_type(heard, "turn.ended")]
