"""What peers say is counted in their favour, and never twice."""

import numpy as np
import pytest
from benchmark_cases import a_clip

from benchmarks import peers
from benchmarks.dialogues import Dialogue
from benchmarks.mixture import Part
from benchmarks.peer_environment import InstallFailed, PeerEnvironment, install, prepare
from benchmarks.peer_playing import (
    SIMPLEST,
    WHISPER_LIVE,
    Heard,
    last_words_s,
    segment_answers_s,
    to_float32,
    to_int16,
)
from benchmarks.peers import Row, compare, cost_of, wait_of
from benchmarks.report import spread
from benchmarks.watching import Watch
from clients.schedule import SendTimes
from clients.sources import RATE_HZ
from stream_erc.errors import ConfigError

KIDS = a_clip(1000, 3000, "Kids are talking by the door.")
DOGS = a_clip(4000, 6000, "Dogs are sitting by the door.")


def seen(at_s, *segments):
    """A message of WhisperLive: (start, end, text) of each segment."""
    return at_s, {
        "segments": [
            {"start": f"{start:.3f}", "end": f"{end:.3f}", "text": text}
            for start, end, text in segments
        ]
    }


# --- when WhisperLive has answered ----------------------------------------------


def test_a_sentence_is_answered_when_its_last_word_is_first_seen():
    messages = [
        seen(2.5, (0.9, 2.4, " Kids are talking")),
        seen(3.5, (0.9, 3.1, " Kids are talking by the door.")),
        seen(4.5, (0.9, 3.1, " Kids are talking by the door.")),
    ]
    assert last_words_s([KIDS], messages) == [3.5]


def test_the_door_of_the_sentence_before_is_not_that_of_this_one():
    first = (0.9, 3.1, " Kids are talking by the door.")
    messages = [
        seen(3.5, first),
        seen(5.0, (0.9, 4.9, " Kids are talking by the door. Dogs are")),
        seen(
            6.5, (0.9, 6.0, " Kids are talking by the door. Dogs sitting by the door.")
        ),
    ]
    assert last_words_s([KIDS, DOGS], messages) == [3.5, 6.5]
    overrun = [seen(5.0, (0.9, 4.2, first[2]), (4.2, 5.0, " Dogs are sitting"))]
    assert last_words_s([KIDS, DOGS], overrun) == [5.0, None]


def test_words_in_another_place_of_the_stream_answer_nothing():
    messages = [seen(9.0, (7.0, 9.0, " by the door"))]
    assert last_words_s([KIDS, DOGS], messages) == [None, None]


def test_messages_without_segments_are_no_answers():
    assert last_words_s([KIDS], [(1.0, {"message": "SERVER_READY"})]) == [None]


# --- when the simplest pipeline has answered ------------------------------------


def test_a_clip_in_two_segments_is_answered_with_the_last():
    messages = [
        (2.5, {"start": 1.0, "end": 1.8}),
        (4.0, {"start": 2.2, "end": 3.1}),
        (8.0, {"start": 4.1, "end": 6.1}),
    ]
    assert segment_answers_s([KIDS, DOGS], messages) == [4.0, 8.0]
    assert segment_answers_s([KIDS, DOGS], messages[:1]) == [2.5, None]


# --- figures --------------------------------------------------------------------


def heard(*messages, cpu_s=None):
    send_times = SendTimes(2 * RATE_HZ)
    for number in range(100):
        send_times.record(3200, 100.0 + (number + 1) * 0.1)
    part = Part(Dialogue("", None, (KIDS, DOGS)), "never", None)
    return Heard(part, send_times, list(messages), cpu_s)


def test_a_peer_waits_from_the_sending_of_the_last_voiced_sample():
    one = heard((104.0, {"start": 1.0, "end": 3.1}))
    [kids_ms, dogs_ms] = wait_of(SIMPLEST, one)
    assert kids_ms == pytest.approx(1000.0)
    assert dogs_ms is None


def test_a_peer_costs_what_it_used_until_all_audio_was_sent():
    both = [heard(cpu_s=13.0), heard(cpu_s=14.0)]
    assert cost_of(both, 10.0) == pytest.approx(4.0 / (8.0 / 60))
    assert cost_of([heard()], 10.0) is None


def a_row(name, wait_ms, cost_s):
    waits = spread([] if wait_ms is None else [wait_ms])
    return Row(name, waits, 0, cost_s, None, Watch())


def test_ratios_are_ours_against_theirs():
    ours, without = a_row("", 600.0, 20.0), a_row("", 550.0, 10.0)
    ratios = compare([ours, without, a_row("x", 1200.0, 40.0), a_row("y", None, None)])
    assert ratios["x"] == {"p50": 0.5, "p95": 0.5, "cpu": 0.5, "cpu_partials_off": 0.25}
    assert set(ratios["y"].values()) == {None}


def test_each_peer_gets_samples_in_its_own_form():
    samples = np.array([-32768, 0, 16384], np.int16)
    assert to_int16(samples) == b"\x00\x80\x00\x00\x00\x40"
    assert np.frombuffer(to_float32(samples), "<f4").tolist() == [-1.0, 0.0, 0.5]
    assert WHISPER_LIVE.encode is to_float32 and SIMPLEST.encode is to_int16


# --- their environment ----------------------------------------------------------


def test_what_pip_says_last_is_the_reason(tmp_path):
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho first >&2; echo no such package >&2; exit 1\n")
    python.chmod(0o755)
    with pytest.raises(InstallFailed, match="^no such package$"):
        install(PeerEnvironment(tmp_path, None), ["nothing"])


def test_peers_that_cannot_be_installed_are_an_error_of_ours(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise InstallFailed("no network")

    monkeypatch.setattr("benchmarks.peer_environment.make_venv", lambda folder: None)
    monkeypatch.setattr("benchmarks.peer_environment.install", fail)
    with pytest.raises(ConfigError, match="the peers cannot be installed: no network"):
        prepare(tmp_path / "peers")


def test_without_whisper_live_the_reason_is_kept(tmp_path, monkeypatch):
    def install_some(environment, packages, *options):
        if any("uvicorn" in package for package in packages):
            raise InstallFailed("no wheel")

    monkeypatch.setattr("benchmarks.peer_environment.make_venv", lambda folder: None)
    monkeypatch.setattr("benchmarks.peer_environment.install", install_some)
    environment = prepare(tmp_path / "peers")
    assert environment.whisper_live_missing == "no wheel"


def test_less_than_one_session_is_refused(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["peers", "--sessions=0"])
    with pytest.raises(SystemExit):
        peers.read_options()
    assert "expected 1 or more" in capsys.readouterr().err
