"""Heard -> Transcript: words that were said are kept, made-up ones are not."""

import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio

from stream_erc.config import GateConfig
from stream_erc.engine import HearRequest, Lane, Origin
from stream_erc.flow import SAMPLE_RATE_HZ, Heard, Word
from stream_erc.gates import judge

SURE = Heard(
    text="So my fellow Americans.",
    words=(Word("So", 0, 1600, 0.9),),
    voice=np.zeros(4, np.float32),
    mean_log_probability=-0.2,
    no_speech_probability=0.05,
    compression_ratio=1.0,
)
TWO_SECONDS = 2 * SAMPLE_RATE_HZ
CLIPS = [
    json.loads(line)["file"]
    for line in (AUDIO / "speech" / "clips.jsonl").read_text().splitlines()
]


def is_rejected(voiced_samples=TWO_SECONDS, config=None, **changed):
    heard = replace(SURE, **changed)
    return judge(heard, voiced_samples, config or GateConfig()).is_rejected


# --- the bounds ---------------------------------------------------------------


def test_words_without_doubt_are_kept_as_they_are():
    transcript = judge(SURE, TWO_SECONDS, GateConfig())
    assert (transcript.text, transcript.words) == (SURE.text, SURE.words)
    assert not transcript.is_rejected


def test_of_rejected_words_nothing_is_left():
    transcript = judge(
        replace(SURE, mean_log_probability=-3.0), TWO_SECONDS, GateConfig()
    )
    assert (transcript.text, transcript.words) == ("", ())
    assert transcript.is_rejected


@pytest.mark.parametrize("text", ["", "...", " - ", "♪"])
def test_a_text_without_words_is_rejected(text):
    assert is_rejected(text=text)


@pytest.mark.parametrize("text", ["Да.", "你好", "I'm.", "7"])
def test_words_of_any_script_are_words(text):
    assert not is_rejected(text=text)


BOUNDS = [
    ("mean_log_probability", -0.99, -1.01),
    ("no_speech_probability", 0.59, 0.61),
    ("compression_ratio", 2.39, 2.41),
]


@pytest.mark.parametrize(("name", "within", "beyond"), BOUNDS)
def test_beyond_its_bound_a_measure_rejects(name, within, beyond):
    assert not is_rejected(**{name: within})
    assert is_rejected(**{name: beyond})


@pytest.mark.parametrize(
    ("setting", "value", "heard"),
    [
        ("min_log_probability", -0.1, {}),
        ("max_no_speech_probability", 0.01, {}),
        ("max_compression_ratio", 1.1, {"compression_ratio": 1.2}),
        ("max_words_per_s", 1.5, {}),
    ],
)
def test_every_bound_is_a_setting(setting, value, heard):
    assert not is_rejected(**heard)
    assert is_rejected(config=GateConfig(**{setting: value}), **heard)


def test_more_words_than_fit_into_the_voice_are_rejected():
    text = "one two three four five six seven eight nine"
    assert is_rejected(text=text, voiced_samples=SAMPLE_RATE_HZ)
    assert not is_rejected(text=text, voiced_samples=SAMPLE_RATE_HZ * 9 // 8)


def test_a_word_or_two_fit_into_any_voice():
    assert not is_rejected(text="Oh no", voiced_samples=100)


@pytest.mark.parametrize("text", ["Thank you.", "you", " Thanks for watching! "])
def test_a_stock_phrase_needs_less_doubt_than_other_words(text):
    assert is_rejected(text=text, no_speech_probability=0.31)
    assert not is_rejected(text=text, no_speech_probability=0.29)
    assert not is_rejected(text="Thank you, Ann.", no_speech_probability=0.31)


# --- the real recognizer ------------------------------------------------------


def transcribe(models, samples):
    origin = Origin("test", 0, 0, Lane.FINAL)
    request = HearRequest(origin, samples.astype(np.float32), len(samples), None)
    return models.hear([request])[0].transcript


def unspoken(kind):
    """Two seconds of what is not speech."""
    times_s = np.arange(TWO_SECONDS) / SAMPLE_RATE_HZ
    rng = np.random.default_rng(0)
    match kind:
        case "silence":
            return np.zeros(TWO_SECONDS)
        case "loud noise":
            return 0.5 * rng.uniform(-1, 1, TWO_SECONDS)
        case "faint noise":
            return 0.01 * rng.uniform(-1, 1, TWO_SECONDS)
        case "hum":
            return (
                sum(np.sin(2 * np.pi * 50 * n * times_s) / n for n in range(1, 8)) / 4
            )
        case "tone":
            return 0.5 * np.sin(2 * np.pi * 440 * times_s)
        case "clicks":
            return np.where(np.arange(TWO_SECONDS) % 4000 < 16, 0.9, 0.0)
        case "full scale":
            return np.sign(rng.uniform(-1, 1, TWO_SECONDS))


@pytest.mark.parametrize(
    "kind",
    ["silence", "loud noise", "faint noise", "hum", "tone", "clicks", "full scale"],
)
def test_what_is_not_speech_is_rejected(models, kind):
    transcript = transcribe(models, unspoken(kind))
    assert transcript.is_rejected, transcript.text


@pytest.mark.parametrize("file", CLIPS)
def test_real_speech_is_kept(models, file):
    samples = decode_audio(str(AUDIO / "speech" / file))
    assert not transcribe(models, samples).is_rejected


def test_the_improbable_words_of_an_unfinished_turn_are_shown():
    improbable = replace(SURE, mean_log_probability=-1.5)
    shown = judge(improbable, TWO_SECONDS, GateConfig(), is_whole=False)
    assert shown.text == SURE.text
