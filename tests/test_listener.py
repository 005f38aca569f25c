"""bytes, instructions -> Record: the listening stages together."""

from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_erc.config import Settings
from stream_erc.flow import (
    AudioAltered,
    ContextAdded,
    MarkerReached,
    StreamEnded,
    TurnEnded,
    TurnStarted,
    VoiceEdge,
)
from stream_erc.listener import Listener

RATE_HZ = 16_000
BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1}


def loudness(samples):
    """Stands in for Silero: P(speech) grows with the peak of the frame."""
    return min(1.0, 2 * float(np.abs(samples).max()))


def listener(encoding="pcm_s16le", rate_hz=RATE_HZ, channels=1):
    return Listener(
        encoding,
        rate_hz,
        channels,
        speaker="Ann",
        settings=Settings(),
        probability=loudness,
    )


def pcm(*parts, rate_hz=RATE_HZ):
    """16-bit noise, given as (seconds, level) after each other."""
    rng = np.random.default_rng(0)
    levels = np.concatenate([np.full(int(s * rate_hz), level) for s, level in parts])
    samples = levels * rng.uniform(-1, 1, len(levels))
    return np.round(samples * 32_767).astype("<i2").tobytes()


SPEECH = pcm((0.5, 0.001), (1.0, 0.8), (1.0, 0.001))


def of(placed, kind):
    return [record for _, record in placed if isinstance(record, kind)]


def plain(placed):
    """Records as values that can be compared; arrays as their bytes."""

    def spell(value):
        if isinstance(value, dict):
            return {name: spell(part) for name, part in value.items()}
        return value.tobytes() if isinstance(value, np.ndarray) else value

    return [(at, type(record), spell(asdict(record))) for at, record in placed]


# --- instructions -------------------------------------------------------------


def test_edges_come_before_the_turns_that_follow_from_them():
    placed = listener().push(SPEECH)
    kinds = [type(record).__name__ for _, record in placed]
    assert kinds[:2] == ["VoiceEdge", "TurnStarted"]
    assert kinds.index("TurnEnded") > len(kinds) - 1 - kinds[::-1].index("VoiceEdge")


def test_a_record_is_placed_where_it_was_decided():
    for at, record in listener().push(SPEECH):
        if isinstance(record, TurnEnded):
            assert at == record.decided
        if isinstance(record, VoiceEdge):
            assert at >= record.at


def test_a_flush_ends_the_turn_with_the_last_sample_received():
    one = listener()
    one.push(pcm((1.0, 0.8)) + pcm((0.0101, 0.8)))
    (ended,) = of(one.flush_turn(), TurnEnded)
    assert ended.audio.end == ended.decided == 16_161
    assert one.heard == 16_161


def test_a_new_speaker_has_only_the_audio_after_the_change():
    one = listener()
    placed = one.push(pcm((1.0, 0.8))) + one.set_speaker("Bob")
    placed += one.push(pcm((1.0, 0.8))) + one.end()
    first, second = of(placed, TurnEnded)
    assert (first.audio.speaker, second.audio.speaker) == ("Ann", "Bob")
    assert first.audio.end == second.audio.start == RATE_HZ
    assert first.reason == "speaker"


def test_markers_and_context_end_no_turn():
    one = listener()
    placed = one.push(pcm((1.0, 0.8))) + one.mark("m") + one.add_context("bot", "Hi")
    placed += one.push(pcm((1.0, 0.8))) + one.end()
    assert len(of(placed, TurnEnded)) == len(of(placed, TurnStarted)) == 1
    assert of(placed, MarkerReached) == [MarkerReached("m")]
    assert of(placed, ContextAdded) == [ContextAdded("bot", "Hi")]


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
def test_a_marker_is_placed_at_the_sample_it_was_sent_after(rate_hz):
    one = listener(rate_hz=rate_hz)
    one.push(pcm((1.234, 0.001), rate_hz=rate_hz))
    ((at, _),) = one.mark(7)
    assert at == pytest.approx(1.234 * RATE_HZ, abs=1)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 48_000])
def test_the_end_counts_every_sample_and_every_turn(rate_hz):
    one = listener(rate_hz=rate_hz)
    placed = one.push(pcm((0.8, 0.8), (0.8, 0.001), (0.8, 0.8), rate_hz=rate_hz))
    placed += one.end()
    assert of(placed, StreamEnded) == [StreamEnded(2, 38_400)]
    assert one.heard == 38_400
    assert isinstance(placed[-1][1], StreamEnded)


def test_the_end_of_nothing_is_an_end():
    assert listener().end() == [(0, StreamEnded(0, 0))]


def test_half_a_sample_at_the_end_is_told_of_before_the_end():
    one = listener()
    one.push(pcm((0.1, 0.001)) + b"\x01")
    placed = one.end()
    (altered,) = of(placed, AudioAltered)
    assert altered.code == "half_sample"
    assert "1 bytes" in altered.message
    assert isinstance(placed[-1][1], StreamEnded)


def test_whole_samples_at_the_end_are_nothing_to_tell_of():
    one = listener()
    one.push(pcm((0.1, 0.001)))
    assert of(one.end(), AudioAltered) == []


def test_altered_audio_is_told_of_once():
    one = listener("pcm_f32le")
    loud = np.float32([2.0]).tobytes()
    placed = one.push(loud) + one.push(loud)
    assert [record.code for record in of(placed, AudioAltered)] == [
        "audio_out_of_range"
    ]


# --- cuts ---------------------------------------------------------------------

instructions = st.sampled_from(["flush", "speaker", "mark", "context"])
sections = st.lists(
    st.tuples(st.sampled_from([0.0005, 0.8]), st.integers(0, 24_000), instructions),
    min_size=1,
    max_size=8,
)


def carry_out(one, instruction):
    match instruction:
        case "flush":
            return one.flush_turn()
        case "speaker":
            return one.set_speaker("Bob")
        case "mark":
            return one.mark("m")
        case "context":
            return one.add_context("bot", "Hi")


def listen(one, script, chunk_bytes):
    """Play a script, its audio in pieces of so many bytes."""
    rng = np.random.default_rng(0)
    placed = []
    for level, n_bytes, instruction in script:
        noise = level * rng.uniform(-1, 1, n_bytes)
        data = np.round(noise * 32_767).astype("<i2").tobytes()[:n_bytes]
        step = chunk_bytes or max(1, len(data))
        for at in range(0, len(data), step):
            placed += one.push(data[at : at + step])
        placed += carry_out(one, instruction)
    return plain(placed + one.end())


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
@settings(max_examples=30)
@given(sections, st.integers(50, 9000))
def test_how_the_network_cuts_the_stream_changes_no_record(
    rate_hz, script, chunk_bytes
):
    whole = listen(listener(rate_hz=rate_hz), script, None)
    assert listen(listener(rate_hz=rate_hz), script, chunk_bytes) == whole


@settings(max_examples=30)
@given(sections)
def test_markers_and_context_change_nothing_of_the_turns(script):
    kept = listen(listener(), script, None)
    # The same audio; the sections that ended with a marker now join the next.
    silent = listener()
    silent.mark = silent.add_context = lambda *anything: []
    left = listen(silent, script, None)
    assert left == [
        record for record in kept if record[1] not in {MarkerReached, ContextAdded}
    ]


@settings(max_examples=30)
@given(sections)
def test_the_audio_clock_of_the_turns_never_goes_back(script):
    placed = listen(listener(rate_hz=44_100), script, 1000)
    turns = [at for at, kind, _ in placed if kind not in {MarkerReached, ContextAdded}]
    assert turns == sorted(turns)
