"""Audio that is kept: to the bit, readable at any time, never in the way."""

import os
import stat
import threading
import time
import wave

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from journal_cases import TIMEOUT_S, until, value

from stream_erc import recorder as recorder_module
from stream_erc.errors import JournalError
from stream_erc.metrics import Metrics
from stream_erc.recorder import BLOCK_SAMPLES, Recorder

SESSION = "0123456789abcdef"


def noise(n_samples):
    dice = np.random.default_rng(n_samples)
    return dice.integers(-32_768, 32_768, n_samples).astype(np.int16)


def decoded(samples):
    return samples.astype(np.float32) / np.float32(32_768)


def read(path):
    with wave.open(str(path)) as file:
        assert file.getparams()[:3] == (1, 2, 16_000)
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "audio"


@settings(max_examples=20)
@given(st.lists(st.integers(0, 3 * BLOCK_SAMPLES), max_size=6))
def test_what_is_kept_is_what_came_however_it_was_cut(tmp_path_factory, sizes):
    folder = tmp_path_factory.mktemp("audio")
    said = noise(sum(sizes))
    recorder = Recorder(folder, 0, Metrics())
    recording = recorder.open(SESSION)
    for piece in np.split(said, np.cumsum(sizes)):
        recording.add(decoded(piece))
    recording.end()
    recorder.close()
    assert (read(folder / f"{SESSION}.wav") == said).all()


def test_the_loudest_float_does_not_wrap_around(folder):
    recorder = Recorder(folder, 0, Metrics())
    recording = recorder.open(SESSION)
    recording.add(np.array([1.0, -1.0], np.float32))
    recording.end()
    recorder.close()
    assert read(folder / f"{SESSION}.wav").tolist() == [32_767, -32_768]


def test_files_are_for_their_owner_alone(folder):
    recorder = Recorder(folder, 0, Metrics())
    recorder.open(SESSION).end()
    recorder.close()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE((folder / f"{SESSION}.wav").stat().st_mode) == 0o600


def test_a_file_can_be_read_after_every_write_to_it(folder, monkeypatch):
    lengths = []
    pwrite = os.pwrite

    def write_and_look(file, data, place):
        n_bytes = pwrite(file, data, place)
        if place:  # the header of before stands
            try:
                lengths.append(len(read(folder / f"{SESSION}.wav")))
            except wave.Error:
                lengths.append(0)
        return n_bytes

    monkeypatch.setattr(recorder_module.os, "pwrite", write_and_look)
    recorder = Recorder(folder, 0, Metrics())
    recording = recorder.open(SESSION)
    recording.add(decoded(noise(3 * BLOCK_SAMPLES)))
    recorder.close()
    assert lengths == [0, BLOCK_SAMPLES, 2 * BLOCK_SAMPLES]


def test_a_block_that_is_lost_leaves_silence_and_moves_nothing(folder, caplog):
    metrics = Metrics()
    said = noise(3 * BLOCK_SAMPLES)
    recorder = Recorder(folder, 0, metrics)
    recording = recorder.open(SESSION)
    first, second, third = np.split(said, 3)
    recording.add(decoded(first))
    until(lambda: is_kept(folder / f"{SESSION}.wav", BLOCK_SAMPLES))
    aside = folder.with_name("aside")
    folder.rename(aside)
    recording.add(decoded(second))
    until(lambda: value(metrics.recording_lost) == 1)
    aside.rename(folder)
    recording.add(decoded(third))
    recorder.close()
    kept = read(folder / f"{SESSION}.wav")
    assert (kept == np.concatenate([first, 0 * second, third])).all()
    assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"]


def test_a_disk_that_does_not_answer_is_not_waited_for(folder, monkeypatch):
    answers = threading.Event()
    monkeypatch.setattr(recorder_module, "MAX_WAITING", 2)
    monkeypatch.setattr(
        recorder_module, "write_block", lambda block: answers.wait(TIMEOUT_S)
    )
    metrics = Metrics()
    recorder = Recorder(folder, 0, metrics)
    recording = recorder.open(SESSION)
    recording.add(decoded(noise(10 * BLOCK_SAMPLES)))
    assert value(metrics.recording_lost) >= 10 - 3
    answers.set()
    recorder.close()


def test_old_recordings_are_removed_and_nothing_else(folder):
    folder.mkdir()
    old, young, other = (
        folder / name for name in (f"{SESSION}.wav", "f" * 16 + ".wav", "mine.wav")
    )
    for file in (old, young, other):
        file.write_bytes(b"")
    for file in (old, other):
        os.utime(file, (0, time.time() - 31 * 86_400))
    Recorder(folder, 30, Metrics()).close()
    assert (old.exists(), young.exists(), other.exists()) == (False, True, True)


@pytest.mark.parametrize("name", ["a file", "missing/audio"])
def test_it_does_not_start_where_it_cannot_write(tmp_path, name):
    (tmp_path / "a file").touch()
    with pytest.raises(JournalError, match=f"{name}: expected a folder to record to"):
        Recorder(tmp_path / name, 0, Metrics())


def is_kept(path, n_samples):
    try:
        return len(read(path)) == n_samples
    except (FileNotFoundError, EOFError, wave.Error):
        return False
