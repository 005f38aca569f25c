"""The load is what it says, and the search finds what there is to find."""

import argparse
import json
import sys

import numpy as np
import pytest
from benchmark_cases import a_clip, a_turn

from benchmarks import load, mixture
from benchmarks.crowd import RAMP_S, Crowd, starts_s
from benchmarks.dialogues import COMMITTED, Dialogue
from benchmarks.overload import Flood, set_flood_targets
from benchmarks.playing import Performance
from benchmarks.report import spread
from benchmarks.steps import Step, memory_per_session, summarise
from benchmarks.watching import Watch
from benchmarks.wire import Wire
from clients.arrival import Arrival
from clients.schedule import SendTimes
from clients.sources import RATE_HZ
from stream_erc import events

# --- the search -----------------------------------------------------------------


async def search(true, first=1, most=512):
    """Search for `true`; give what was found and what was asked."""
    asked = []

    async def holds(number):
        asked.append(number)
        return number <= true

    return await load.find_largest(holds, first, most), asked


@pytest.mark.parametrize("first", [1, 4, 100])
@pytest.mark.parametrize("true", [1, 2, 3, 5, 7, 16, 23, 31, 64, 300])
async def test_what_is_found_holds_and_is_at_most_an_eighth_too_small(true, first):
    found, asked = await search(true, first)
    assert found <= true < found + max(1, found // 8) + 1
    assert len(asked) == len(set(asked))


async def test_the_number_doubles_while_it_holds_then_the_gap_is_halved():
    assert await search(13) == (13, [1, 2, 4, 8, 16, 12, 14, 13])


async def test_nothing_is_found_where_not_even_one_holds():
    assert await search(0, first=4) == (None, [4, 2, 1])


async def test_no_more_are_tried_than_was_said():
    assert await search(100, most=20) == (20, [1, 2, 4, 8, 16, 20])


# --- the mixture ----------------------------------------------------------------


@pytest.fixture(scope="module")
def material():
    return mixture.read_material(COMMITTED, [21, 22, 23, 24])


@pytest.fixture(scope="module")
def parts(material):
    return mixture.cast(material, [60.0] * 12, 0, "noise")


def test_voice_takes_40_to_60_percent_of_the_time(parts):
    for part in parts:
        voiced = sum(c.voice_end - c.voice_start for c in part.dialogue.clips)
        assert 0.33 < voiced / len(part.dialogue.samples) < 0.67


def test_every_session_says_something_else_for_as_long_as_asked(parts):
    audio = {part.dialogue.samples[: 20 * RATE_HZ].tobytes() for part in parts}
    assert len(audio) == len(parts)
    for part in parts:
        assert len(part.dialogue.samples) / RATE_HZ >= 55.0


def test_some_sessions_have_two_speakers_and_some_share_a_conversation(parts):
    assert [part.speakers for part in parts[:4]] == ["never", "set", "never", "never"]
    names = [part.conversation_id for part in parts[:8]]
    assert names == [None, None, *["conversation 0"] * 2] + [
        None,
        None,
        *["conversation 1"] * 2,
    ]
    told = {clip.voice.speaker for clip in parts[1].dialogue.clips}
    assert len(told) == 2


def test_a_session_plays_the_same_however_many_others_there_are(material, parts):
    [alone] = mixture.cast(material, [60.0], 0, "noise")
    np.testing.assert_array_equal(alone.dialogue.samples, parts[0].dialogue.samples)


def test_all_sessions_have_started_when_the_ramp_is_over():
    assert starts_s(1) == [0.0]
    starts = starts_s(64)
    assert starts == sorted(starts)
    assert len(starts) == 64 and starts[-1] < RAMP_S


# --- what became of it ----------------------------------------------------------


def send_times():
    """Sixty seconds of audio, sent 100 s after its place on the audio clock."""
    times = SendTimes(2 * RATE_HZ)
    for number in range(3000):
        times.record(640, 100.0 + (number + 1) * 0.02)
    return times


def a_performance(*voices_ms, wait_s=0.7):
    """One turn for each (start, end) of a voice; 500 ms of silence end it."""
    clips = [a_clip(start, end) for start, end in voices_ms]
    turns = [
        a_turn(
            number,
            start,
            end,
            decided_ms=end + 500,
            ended_s=100 + end / 1000 + 0.5,
            final_s=100 + end / 1000 + wait_s,
        )
        for number, (start, end) in enumerate(voices_ms)
    ]
    dialogue = Dialogue("", np.zeros(0, np.int16), tuple(clips))
    return Performance(dialogue, turns, send_times(), [], 0, None, [])


def a_crowd(*performances, **fields):
    fields = {"window_s": (105.0, 150.0), "watch": Watch(45.0, 1.0, 0.1, 0.0, 5.0)}
    crowd = Crowd(list(performances), **fields)
    crowd.cpu_s, crowd.rss_mb = 6.0, 400.0
    return crowd


def test_waits_count_only_while_all_sessions_are_there():
    performance = a_performance((3000, 4000), (10_000, 12_000), (49_000, 51_000))
    step = summarise(1, a_crowd(performance), 350.0)
    assert step.wait_ms.n == 1
    assert step.wait_ms.p50 == pytest.approx(700)


def test_the_cost_is_that_of_all_that_was_said():
    performance = a_performance((3000, 4000), (10_000, 12_000), (49_000, 51_000))
    step = summarise(1, a_crowd(performance), 350.0)
    assert step.figures["speech_minutes"] == pytest.approx(5 / 60)
    assert step.figures["cpu_s_per_minute_of_speech"] == pytest.approx(72.0)


def test_a_final_that_never_came_is_lost_even_outside_the_window():
    performance = a_performance((3000, 4000), (10_000, 12_000))
    performance.turns[0].final_s = None
    crowd = a_crowd(performance)
    assert crowd.n_lost == 1
    crowd.troubles.append("session 1: the connection closed")
    assert crowd.n_lost == 2


def a_step(n_sessions=4, wait_ms=900.0, backlog_ms=100.0, lost=0, refused=0, rss=400.0):
    return Step(
        n_sessions,
        {"voice end -> emotion.final": spread([wait_ms])},
        {"audio waiting": spread([backlog_ms])},
        {"finals_lost": lost, "sessions_refused": refused, "rss_mb": rss},
    )


@pytest.mark.parametrize(
    ("step", "holds"),
    [
        (a_step(), True),
        (a_step(wait_ms=1000.0), True),
        (a_step(wait_ms=1001.0), False),
        (a_step(backlog_ms=1001.0), False),
        (a_step(lost=1), False),
        (a_step(refused=1), False),
    ],
)
def test_a_number_holds_if_nothing_is_late_lost_refused_or_piled_up(step, holds):
    assert step.holds is holds


def test_memory_of_a_session_is_what_more_of_them_add():
    few, many = a_step(2, rss=380.0), a_step(12, rss=400.0)
    assert memory_per_session([few, many], many) == pytest.approx(2.0)
    assert memory_per_session([few], few) is None


def test_a_server_that_never_serves_a_newcomer_again_has_not_recovered():
    flooded = Flood(10, a_crowd(), {}, 1.0, None)
    met = {target.name: target.is_met for target in set_flood_targets(flooded)}
    assert met["a newcomer in time after, s"] is False
    assert met["neither admitted nor refused"] is False


# --- the client -----------------------------------------------------------------


class ScriptedSocket:
    """Stands in for a socket: says what it was told to, and takes what is written."""

    def __init__(self, *messages):
        self._messages = list(messages)
        self.written = b""
        self.transport = self

    def write(self, content):
        self.written += content

    async def recv(self):
        return events.encode(self._messages.pop(0))


async def test_audio_that_waits_is_what_was_sent_less_what_was_worked_on():
    started = events.SpeechStarted(time_ms=30, seq=0, at_ms=10)
    ended = events.SessionEnded(time_ms=100, seq=1, turns=0, audio_ms=100)
    wire = Wire(ScriptedSocket(started, ended))
    for _ in range(5):
        await wire.send_audio(bytes(640))
    arrivals = [arrival async for arrival in wire.arrivals()]
    assert all(isinstance(arrival, Arrival) for arrival in arrivals)
    assert wire.backlog_ms == [70.0, 0.0]


async def test_a_chunk_of_audio_is_one_masked_binary_frame():
    socket = ScriptedSocket()
    wire = Wire(socket)
    await wire.send_audio(b"\x01\x02" * 320)
    header, mask, body = socket.written[:4], socket.written[4:8], socket.written[8:]
    assert header == b"\x82\xfe" + (640).to_bytes(2, "big")  # RFC 6455, section 5.2
    assert bytes(b ^ mask[i % 4] for i, b in enumerate(body)) == b"\x01\x02" * 320


@pytest.mark.parametrize("argument", ["--sessions=0", "--first=0", "--most=-1"])
def test_less_than_one_session_is_refused(monkeypatch, capsys, argument):
    monkeypatch.setattr(sys, "argv", ["load", argument])
    with pytest.raises(SystemExit):
        load.read_options()
    assert "expected 1 or more" in capsys.readouterr().err


@pytest.mark.slow
async def test_two_sessions_on_a_real_server_get_all_their_finals(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["load", "--sessions=2", "--seconds=8"])
    options = load.read_options()
    assert isinstance(options, argparse.Namespace)
    assert await load.measure(options) == 0
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    [step] = document["figures"]["steps"]
    assert step["finals_lost"] == 0 and step["troubles"] == []
    assert step["finals_delivered"] >= 2
    assert step["cpu_s_per_minute_of_speech"] > 0
