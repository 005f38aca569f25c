"""Real clips through the whole recognizer: the server and the driver without one."""

import asyncio
import json

import numpy as np
import pytest
from conftest import AUDIO
from recording import (
    MONO_16K,
    RATE_HZ,
    agree,
    as_pcm16,
    clip,
    frames_of_20_ms,
    join,
    of_type,
    plain_words,
    record,
    results,
    silence,
    talk,
    whole,
    word_errors,
)
from talking import END

from stream_erc import events
from stream_erc.config import Settings
from stream_erc.conversation import Conversation
from stream_erc.engines import InlineEngine
from stream_erc.flow import EMOTIONS, SENTIMENTS
from stream_erc.pipeline import Pipeline, open_session

MOST_WORD_ERRORS = 0.15
"""Share of the words; loose, for a recognizer that hears nothing has 1."""


def lines(name):
    text = (AUDIO / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def acted():
    """Clips of four actors, each trimmed to the voice and 100 ms on both sides."""
    chosen = {(c["actor"], c["emotion"]): c for c in lines("ravdess/clips.jsonl")}
    for said in list(chosen.values())[::4]:
        begin = round((said["voice_start_s"] - 0.1) * RATE_HZ)
        end = round((said["voice_end_s"] + 0.1) * RATE_HZ)
        yield said["text"], clip("ravdess/" + said["file"])[max(0, begin) : end]


def read_aloud():
    for said in lines("speech/clips.jsonl"):
        yield said["text"], clip("speech/" + said["file"])


def in_a_row(clips, pause_s):
    """Join clips; give the audio and where each begins and ends, in milliseconds."""
    script, spans, n_samples = [], [], 0
    for samples in clips:
        script += [silence(pause_s), samples]
        begin = n_samples + len(script[-2])
        n_samples = begin + len(samples)
        spans.append((begin * 1000 // RATE_HZ, n_samples * 1000 // RATE_HZ))
    return join(*script, silence(pause_s)), spans


@pytest.fixture(scope="module")
def dialogue():
    """What was said, the audio, and where each clip lies."""
    said = list(acted())
    audio, spans = in_a_row([samples for _, samples in said], pause_s=1.0)
    return [text for text, _ in said], audio, spans


@pytest.fixture(scope="module")
def heard(server_url, dialogue):
    """The acted dialogue through the server."""
    _, audio, _ = dialogue
    return asyncio.run(record(server_url, [audio], partials=False))


# --- both drivers --------------------------------------------------------------


def drive(models, vad, script, **wishes):
    """Hold a session without a server; give its messages as JSON objects."""
    start = events.SessionStart(audio=events.AudioFormat(**MONO_16K), **wishes)
    listener, director = open_session(
        start,
        session="by hand",
        settings=Settings(),
        probability=vad.stream(),
        conversation=Conversation(models.empty_context()),
    )
    pipeline = Pipeline(listener, director, InlineEngine(models))
    sent = []
    for item in script:
        if isinstance(item, np.ndarray):
            for frame in frames_of_20_ms(as_pcm16(item)):
                sent += pipeline.push(frame)
        else:
            sent += pipeline.tell(item)
    sent += pipeline.tell(events.SessionEnd())
    return [json.loads(events.encode(event)) for event in sent]


def test_the_driver_without_a_server_gives_what_the_server_gives(
    models, vad, dialogue, heard
):
    _, audio, _ = dialogue
    by_hand = drive(models, vad, [audio], partials=False)
    assert agree(results(by_hand), results(heard))
    # Only the order of what is heard and what is judged may differ.
    kinds = [sorted(m["type"] for m in told) for told in (by_hand, heard[1:])]
    assert kinds[0] == kinds[1]


async def test_both_drivers_agree_on_speakers_lines_and_flushes(
    models, vad, server_url
):
    spoken = clip("speech/LJ001-0002.flac")
    script = [
        events.ContextAdd(speaker="agent", text="What do you think?"),
        spoken[:RATE_HZ],
        events.TurnFlush(),
        spoken[RATE_HZ:],
        events.SpeakerSet(speaker="Bob"),
        events.MarkerSet(id="here"),
        spoken,
    ]
    by_hand = drive(models, vad, script, speaker="Ann", partials=False)
    on_the_wire = [
        item if isinstance(item, np.ndarray) else json.loads(events.encode(item))
        for item in script
    ]
    heard = await record(server_url, on_the_wire, speaker="Ann", partials=False)
    assert len(results(heard)) >= 3
    assert agree(results(by_hand), results(heard))


def test_without_a_server_the_partials_come_too(models, vad):
    sent = drive(models, vad, [clip("speech/LJ001-0002.flac"), silence(0.8)])
    assert len(of_type(sent, "transcript.partial")) >= 2
    assert of_type(sent, "emotion.partial")
    assert [message["seq"] for message in sent] == list(range(len(sent)))


# --- what comes out ------------------------------------------------------------


def test_every_clip_of_a_dialogue_is_one_turn(dialogue, heard):
    _, _, spans = dialogue
    ended = of_type(heard, "turn.ended")
    assert len(ended) == len(spans)
    for turn, (begin_ms, end_ms) in zip(ended, spans, strict=True):
        assert abs(turn["end_ms"] - end_ms) < 700
        assert begin_ms - 700 < turn["start_ms"] < begin_ms + 500


def test_the_words_of_a_dialogue_are_roughly_right(dialogue, heard):
    texts, _, _ = dialogue
    finals = of_type(heard, "transcript.final")
    n_wrong = sum(
        word_errors(text, final["text"])
        for text, final in zip(texts, finals, strict=True)
    )
    assert n_wrong <= MOST_WORD_ERRORS * sum(len(text.split()) for text in texts)


def test_the_words_have_their_times_in_order(heard):
    for final in of_type(heard, "transcript.final"):
        assert " ".join(w["word"] for w in final["words"]) == final["text"]
        starts = [word["start_ms"] for word in final["words"]]
        assert starts == sorted(starts)
        assert all(0 <= word["probability"] <= 1 for word in final["words"])


def test_every_turn_of_a_dialogue_has_an_emotion_and_a_sentiment(heard):
    finals = of_type(heard, "emotion.final")
    assert [final["turn"] for final in finals] == list(range(len(finals)))
    for final in finals:
        assert tuple(final["probabilities"]) == EMOTIONS
        assert tuple(final["sentiment"]) == SENTIMENTS
        for shares in (final["probabilities"], final["sentiment"]):
            assert sum(shares.values()) == pytest.approx(1, abs=0.001)
            assert all(0 <= share <= 1 for share in shares.values())
        assert final["modalities"] == ["audio", "text"]
        assert all(value >= 0 for value in final["latency"].values())


async def test_sentences_read_aloud_are_roughly_right(server_url):
    said = [(text, samples) for text, samples in read_aloud() if len(text) < 80]
    audio, _ = in_a_row([samples for _, samples in said], pause_s=1.0)
    heard = await record(server_url, [audio], partials=False)
    told = " ".join(final["text"] for final in of_type(heard, "transcript.final"))
    text = " ".join(text for text, _ in said)
    assert word_errors(text, told) <= MOST_WORD_ERRORS * len(text.split())


async def test_a_partial_says_what_has_been_said_so_far(server_url):
    spoken = clip("speech/LJ001-0004.flac")
    async with talk(server_url) as wire:
        await wire.say(as_pcm16(spoken[: RATE_HZ * 5 // 2]))
        partial = await wire.hear_until("transcript.partial")
        while len(plain_words(partial["text"])) < 4:
            partial = await wire.hear_until("transcript.partial")
        await wire.say(as_pcm16(join(spoken[RATE_HZ * 5 // 2 :], silence(0.8))), END)
        heard = await wire.hear_all()
    # Of four words the last may still be half spoken.
    assert plain_words(partial["text"])[:3] == ["produced", "the", "block"]
    assert "printed" not in partial["text"]
    assert "printed" in of_type(heard, "transcript.final")[-1]["text"]


# --- formats -------------------------------------------------------------------


def as_mulaw(samples):
    """G.711: what a telephone sends."""
    clipped = np.minimum(np.abs(samples.astype(np.int32)), 32_635) + 132
    exponent = np.floor(np.log2(clipped)).astype(np.int32) - 7
    mantissa = (clipped >> (exponent + 3)) & 15
    sign = np.where(samples < 0, 0x80, 0)
    return (~(sign | exponent << 4 | mantissa) & 0xFF).astype(np.uint8).tobytes()


def resampled(samples, rate_hz):
    import soxr

    return soxr.resample(samples, RATE_HZ, rate_hz)


FORMATS = {
    "a telephone": (8000, 1, "mulaw", as_mulaw),
    "8 kHz": (8000, 1, "pcm_s16le", as_pcm16),
    "a browser": (
        48_000,
        1,
        "pcm_f32le",
        lambda samples: (samples / 32_768).astype("<f4").tobytes(),
    ),
    "a compact disc": (
        44_100,
        2,
        "pcm_s16le",
        lambda samples: as_pcm16(np.repeat(samples, 2)),
    ),
    "one of two channels": (
        16_000,
        2,
        "pcm_s16le",
        lambda samples: as_pcm16(np.stack([samples, 0 * samples], axis=1)),
    ),
    "an odd rate": (11_025, 1, "pcm_s16le", as_pcm16),
}


@pytest.mark.parametrize("name", FORMATS)
async def test_a_sentence_is_understood_in_the_format_of(server_url, name):
    rate_hz, channels, encoding, encode = FORMATS[name]
    text, spoken = "has never been surpassed.", clip("speech/LJ001-0008.flac")
    data = encode(resampled(join(silence(0.5), spoken, silence(0.8)), rate_hz))
    audio = {"encoding": encoding, "sample_rate": rate_hz, "channels": channels}
    async with talk(server_url, audio=audio, partials=False) as wire:
        await wire.say(*whole(data), END)
        heard = await wire.hear_all()
    [ended] = of_type(heard, "turn.ended")
    [final] = of_type(heard, "transcript.final")
    assert word_errors(text, final["text"]) == 0
    assert abs(ended["end_ms"] - 500 - len(spoken) * 1000 / RATE_HZ) < 300
    seconds = heard[-1]["audio_ms"] / 1000
    assert seconds == pytest.approx(1.3 + len(spoken) / RATE_HZ, abs=0.01)


# --- every clip ----------------------------------------------------------------


@pytest.mark.slow
async def test_all_clips_of_the_tests_are_one_turn_each_with_the_right_words(
    server_url,
):
    said = [
        (line["text"], clip("ravdess/" + line["file"]))
        for line in lines("ravdess/clips.jsonl")
    ]
    audio, _ = in_a_row([samples for _, samples in said], pause_s=0.3)
    heard = await record(server_url, [audio], partials=False)
    finals = of_type(heard, "transcript.final")
    told = " ".join(final["text"] for final in finals)
    text = " ".join(text for text, _ in said)
    assert len(finals) == pytest.approx(len(said), abs=2)
    assert word_errors(text, told) <= MOST_WORD_ERRORS * len(text.split())
