"""Threads and workers, by trying them out."""

import sys
import time
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc import tune
from stream_erc.__main__ import main
from stream_erc.config import AsrConfig
from stream_erc.tune import Trial, choose, list_candidates, try_all


@given(st.floats(0.1, 300))
def test_candidates_fill_the_cores_and_keep_one_worker_for_finals(cores):
    candidates = list_candidates(cores)
    assert len(candidates) == len(set(candidates))
    for threads, workers in candidates:
        assert workers >= 2
        assert 1 <= threads <= max(1, cores)
        assert threads * workers <= 3 * max(1, cores)
    assert (1, max(2, int(cores))) in candidates  # what the server does untold


def test_each_candidate_is_loaded_and_heard_with_every_length():
    opened, heard = [], set()

    def open_hear(asr):
        opened.append((asr.threads, asr.workers))
        return lambda turn: heard.add((asr.threads, asr.workers, len(turn) // 16_000))

    trials = list(try_all(AsrConfig(), 2.0, 0.01, open_hear))
    assert opened == [(one.threads, one.workers) for one in trials]
    assert opened == list_candidates(2.0)
    assert heard == {(*one, s) for one in opened for s in tune.LENGTHS_S}
    assert all(one.turns_per_s > 0 and one.alone_ms >= 0 for one in trials)


trials = st.builds(
    Trial,
    threads=st.integers(1, 8),
    workers=st.integers(2, 8),
    turns_per_s=st.floats(0.1, 100),
    alone_ms=st.floats(1, 1000),
)


@given(st.lists(trials, min_size=1))
def test_nothing_that_hears_much_more_and_nothing_as_good_and_sooner_is_left(found):
    chosen = choose(found)
    most = max(one.turns_per_s for one in found)
    assert chosen.turns_per_s >= (1 - tune.ALIKE) * most
    assert not any(
        one.turns_per_s >= (1 - tune.ALIKE) * most and one.alone_ms < chosen.alone_ms
        for one in found
    )


@pytest.fixture
def scripted(monkeypatch):
    """Two cores; the recognizer sleeps, less with two threads, and only one at once."""
    monkeypatch.setattr("stream_erc.__main__.usable_cores", lambda: 2.0)
    monkeypatch.setattr(
        tune,
        "open_whisper",
        lambda asr: lambda turn: time.sleep(0.001 if asr.threads == 1 else 0.01),
    )


def run(*arguments):
    return main(["tune", "--seconds", "0.1", *arguments])


def test_the_best_is_printed_and_written(scripted, tmp_path, capsys):
    file = tmp_path / "settings.toml"
    assert run("--config", str(file)) == 0
    asr = tomllib.loads(file.read_text())["asr"]
    printed = capsys.readouterr().out
    assert asr["threads"] == 1
    assert f"threads = 1\nworkers = {asr['workers']}" in printed
    assert printed.count("\n*") == 1


def test_without_a_file_nothing_is_written(scripted, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run() == 0
    assert list(tmp_path.iterdir()) == []
    assert "[asr]" in capsys.readouterr().out


def test_what_is_chosen_already_is_kept_unless_told(scripted, tmp_path, capsys):
    file = tmp_path / "settings.toml"
    file.write_text("[asr]\nthreads = 2 # mine\n")
    assert run("--config", str(file)) == 2
    told = capsys.readouterr()
    assert "expected no asr.threads, or --overwrite" in told.err
    assert told.out == ""  # before anything is measured
    assert file.read_text() == "[asr]\nthreads = 2 # mine\n"
    assert run("--config", str(file), "--overwrite") == 0
    assert "threads = 1 # mine\n" in file.read_text()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[asr]\ndevice = "cuda"\n', 'expected asr.device "cpu"'),
        ("[asr]\nthread = 1\n", "expected one of whisper"),
        ("[asr\n", "expected a TOML file"),
    ],
)
def test_settings_that_do_not_fit_are_told_first(
    scripted, tmp_path, capsys, text, expected
):
    file = tmp_path / "settings.toml"
    file.write_text(text)
    assert run("--config", str(file)) == 2
    told = capsys.readouterr()
    assert (told.out, expected in told.err) == ("", True)


@pytest.mark.slow
def test_a_real_recognizer_is_tuned(tmp_path):
    import subprocess

    file = tmp_path / "settings.toml"
    command = ["-m", "stream_erc", "tune", "--seconds", "8", "--config", str(file)]
    subprocess.run([sys.executable, *command], check=True, timeout=120)
    asr = tomllib.loads(file.read_text())["asr"]
    assert asr["threads"] >= 1 and asr["workers"] >= 2
