"""Times on the audio clock: markers, and why and where a turn ends."""

import numpy as np
import pytest
import soxr
from recording import (
    RATE_HZ,
    Until,
    clip,
    join,
    of_type,
    pieces,
    record,
    silence,
    talk,
    whole,
)
from talking import CUTTER, FLUSH, MODERN, kinds, marker, speaker

# --- markers -------------------------------------------------------------------


async def test_a_marker_within_a_turn_ends_it_not_and_waits_not_for_its_end(server_url):
    spoken = clip(MODERN)
    script = [spoken[:RATE_HZ], marker(1), Until("marker"), spoken[RATE_HZ:]]
    heard = await record(server_url, [*script, silence(0.8)], partials=False)
    assert kinds(heard).index("marker") < kinds(heard).index("turn.ended")
    assert [m["reason"] for m in of_type(heard, "turn.ended")] == ["silence"]


async def test_a_marker_tells_the_time_of_its_sample_while_it_waits_for_finals(
    server_url,
):
    before = join(clip(MODERN), silence(0.8))
    heard = await record(server_url, [before, marker(1), silence(2.0)], partials=False)
    [mark] = of_type(heard, "marker")
    assert abs(mark["time_ms"] - len(before) * 1000 / RATE_HZ) <= 32


async def test_a_marker_tells_the_time_of_its_sample_after_minutes(server_url):
    places = [61.0, 0.0101, 59.99, 60.5]  # seconds since the mark before
    script = []
    for number, seconds in enumerate(places):
        script += [silence(seconds), marker(number)]
    heard = await record(server_url, script)
    marks = of_type(heard, "marker")
    assert [mark["id"] for mark in marks] == [0, 1, 2, 3]
    n_samples = 0
    for mark, seconds in zip(marks, places, strict=True):
        n_samples += len(silence(seconds))
        assert abs(mark["time_ms"] - n_samples * 1000 / RATE_HZ) <= 32


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000])
async def test_a_marker_keeps_time_at_any_rate(server_url, rate_hz):
    audio = {"encoding": "mulaw", "sample_rate": rate_hz, "channels": 1}
    quiet = b"\xff" * rate_hz * 60
    async with talk(server_url, audio=audio) as wire:
        await wire.say(*whole(quiet), {"type": "marker", "id": "a minute"})
        await wire.say(*pieces(quiet[: rate_hz + 1], 997), {"type": "session.end"})
        heard = await wire.hear_all()
    [mark] = of_type(heard, "marker")
    assert abs(mark["time_ms"] - 60_000) <= 32
    assert abs(heard[-1]["audio_ms"] - 61_000) <= 1


async def test_markers_and_pings_come_back_with_the_identifiers_they_had(server_url):
    identifiers = [0, -1, 2**53, "", "ä€😀", "x" * 1000, '"\\\n']
    script = [{"type": "marker", "id": identifier} for identifier in identifiers]
    script += [{"type": "ping", "id": identifier} for identifier in identifiers]
    heard = await record(server_url, script)
    assert [m["id"] for m in of_type(heard, "marker")] == identifiers
    assert [m["id"] for m in of_type(heard, "pong")] == identifiers


# --- why a turn ends -----------------------------------------------------------


async def test_flush_ends_the_running_turn_at_its_sample(server_url):
    script = [clip(MODERN)[:RATE_HZ], FLUSH, marker("here"), silence(1.0)]
    heard = await record(server_url, script, partials=False)
    [ended] = of_type(heard, "turn.ended")
    assert (ended["reason"], ended["end_ms"], ended["decided_ms"]) == (
        "flush",
        1000,
        1000,
    )
    assert kinds(heard).index("emotion.final") < kinds(heard).index("marker")


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000])
async def test_a_cut_is_at_its_sample_at_any_rate_however_many_there_were(
    server_url, rate_hz
):
    spoken = soxr.resample(clip("speech/jfk.flac")[: RATE_HZ * 2], RATE_HZ, rate_hz)
    audio = {"encoding": "pcm_s16le", "sample_rate": rate_hz, "channels": 1}
    n_silent = rate_hz // 10 + 7
    script = [spoken[:n_silent], FLUSH] * 50 + [spoken, FLUSH]
    heard = await record(server_url, script, audio=audio, partials=False)
    n_samples = 50 * n_silent + len(spoken)
    assert of_type(heard, "turn.ended")[-1]["decided_ms"] == pytest.approx(
        n_samples * 1000 / rate_hz, abs=1
    )


async def test_flush_without_a_turn_does_nothing(server_url):
    heard = await record(server_url, [FLUSH, silence(0.5), FLUSH])
    assert kinds(heard) == ["session.started", "session.ended"]


async def test_another_speaker_ends_the_turn_and_has_the_next_one(server_url):
    script = [clip(MODERN), speaker("Bob"), clip(CUTTER), silence(0.8)]
    heard = await record(server_url, script, speaker="Ann", partials=False)
    ended = of_type(heard, "turn.ended")
    assert [(m["speaker"], m["reason"]) for m in ended] == [
        ("Ann", "speaker"),
        ("Bob", "silence"),
    ]
    assert [m["speaker"] for m in of_type(heard, "turn.started")] == ["Ann", "Bob"]


async def test_a_turn_that_is_too_long_is_cut_and_goes_on_as_the_next(server_url):
    breathless = np.tile(clip(MODERN)[RATE_HZ // 4 : RATE_HZ * 3 // 2], 17)
    heard = await record(server_url, [breathless], partials=False)
    one, after = of_type(heard, "turn.ended")
    assert (one["reason"], after["reason"]) == ("max_length", "end")
    assert one["end_ms"] == after["start_ms"]
    limit_ms = heard[0]["limits"]["max_turn_ms"]
    assert limit_ms - 3000 <= one["end_ms"] - one["start_ms"] <= limit_ms + 32
