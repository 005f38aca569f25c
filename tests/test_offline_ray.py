"""The workshop on a real Ray: the bytes of the local run, whoever is killed."""

import asyncio
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import AUDIO
from label_endpoint import label_endpoint, write_corpus
from small_corpora import write_clips, write_labels

from benchmarks.cluster_environment import find_python
from benchmarks.cluster_parts import keep_nodes, list_below
from offline.__main__ import main
from stream_erc.errors import ConfigError

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
RAY = ["--engine", "ray", "--workers", "2"]
TIMEOUT_S = 300.0
BROKEN = ["03-01-05.flac", "a.wav"]  # one amid the clips, one behind them
RECIPE = """
[corpora.clips]
role = "acted"

[text]
pretrain = {epochs = 1}
tune = {epochs = 1}

[voice]
copies = 1
"""


@pytest.fixture(scope="module")
def python():
    try:
        return find_python()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def address(python):
    """Of a cluster with room for two workers."""
    with asyncio.Runner() as runner:
        keeping = keep_nodes(python, 2)
        nodes = runner.run(keeping.__aenter__())
        yield nodes.address
        runner.run(keeping.__aexit__(None, None, None))


@pytest.fixture
def ray(address):
    """The options that name it."""
    return [*RAY, "--address", address]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """Clips, and two files that cannot be read."""
    folder = tmp_path_factory.mktemp("recordings")
    for file in (AUDIO / "ravdess").glob("*.flac"):
        shutil.copy(file, folder)
    for name in BROKEN:
        (folder / name).write_text("this is no recording " * 50)
    return folder


@pytest.fixture(scope="module")
def expected(recordings):
    """The corpus file of one process."""
    out = recordings / "local.jsonl"
    assert main(["transcribe", str(recordings), "--out", str(out)]) == 0
    return out.read_bytes()


def begin(python, *arguments, folder=ROOT):
    """Start the workshop with an interpreter that has Ray."""
    return subprocess.Popen(
        [python, "-m", "offline", *map(str, arguments)],
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
    )


def end(process):
    """Wait until it ends; give its code and what it said."""
    _, said = process.communicate(timeout=TIMEOUT_S)
    return process.returncode, said


def wait_for_lines(file, n_lines, process):
    """Wait until a journal has so many; the process must still run."""
    while not file.exists() or file.read_bytes().count(b"\n") < n_lines:
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.02)


def workers_below(process):
    return [pid for pid, title in list_below(process.pid) if "MapWorker" in title]


def test_a_killed_worker_changes_no_byte(python, recordings, expected):
    out = recordings / "killed.jsonl"
    process = begin(python, "transcribe", recordings, "--out", out, *RAY)
    wait_for_lines(recordings / "killed.jsonl.done", 4, process)
    first, _ = workers_below(process)
    os.kill(first, signal.SIGKILL)
    code, said = end(process)
    assert (code, out.read_bytes()) == (0, expected), said
    complaints = [line for line in said.splitlines() if ": expected audio" in line]
    assert [Path(line.partition(": ")[0]).name for line in complaints] == BROKEN


def test_a_killed_run_goes_on_where_it_was(python, ray, recordings, expected):
    out = recordings / "resumed.jsonl"
    arguments = ["transcribe", recordings, "--out", out, *ray]
    process = begin(python, *arguments)
    wait_for_lines(recordings / "resumed.jsonl.done", 6, process)
    process.kill()
    end(process)
    there = out.read_bytes()
    assert expected.startswith(there[: there.rfind(b"\n") + 1])
    assert len(there) < len(expected)
    code, said = end(begin(python, *arguments))
    assert (code, out.read_bytes()) == (0, expected), said


def test_labels_are_those_of_one_process(python, ray, tmp_path):
    corpus = write_corpus(tmp_path)
    with label_endpoint() as endpoint:
        options = ["--endpoint", endpoint.url, "--model", "tiny", "--per-request", "2"]
        for name, engine in (("local", []), ("ray", [*ray, "--concurrency", "1"])):
            out = tmp_path / name
            arguments = ["label", corpus, "--out", out, *options, *engine]
            assert end(begin(python, *arguments))[0] == 0
        asked = sorted(endpoint.asked)
    assert (tmp_path / "ray").read_bytes() == (tmp_path / "local").read_bytes()
    assert asked == sorted(2 * sorted(set(asked)))  # once by each


def test_an_endpoint_that_fails_ends_the_workers_too(python, ray, tmp_path):
    corpus = write_corpus(tmp_path)
    options = ["--endpoint", "http://127.0.0.1:9/v1", "--model", "tiny"]
    options += ["--out", tmp_path / "out", "--retries", "0", *ray]
    code, said = end(begin(python, "label", corpus, *options))
    assert code == 3
    assert "the same command goes on" in said


def test_voices_are_those_of_one_process(python, ray, tmp_path):
    pytest.importorskip("torch")
    from small_encoder import write_encoder

    write_clips(tmp_path / "corpora" / "clips")
    write_labels(tmp_path / "labels.jsonl")
    write_encoder(tmp_path / "encoder")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    for name, engine in (("local", []), ("ray", ray)):
        arguments = ["--run", tmp_path / name, "--recipe", tmp_path / "recipe.toml"]
        arguments += ["--corpora", tmp_path / "corpora", "--stage", "voices"]
        arguments += ["--labels", tmp_path / "labels.jsonl"]
        arguments += ["--text-encoder", tmp_path / "encoder", *engine]
        code, said = end(begin(python, "train", *arguments))
        assert code == 0, said
    local, shared = (
        {
            file.relative_to(tmp_path / name): file.read_bytes()
            for file in (tmp_path / name / "voices").rglob("*.npz")
        }
        for name in ("local", "ray")
    )
    assert len(local) == 3
    assert shared == local


def test_failures_of_workers_are_told(python, address, tmp_path):
    done = subprocess.run(
        [python, "-m", "ray_work", address],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if "(raylet)" not in line]
    results, unmade, deadly, before = lines
    wanted = [str(10 * number) for number in range(12)]
    wanted[3] = "expected no 3, got 3"
    assert results == str(wanted)
    assert f"seven at {tmp_path.name}" in done.stderr
    assert unmade == "ConfigError: expected a model, got none"
    assert deadly.startswith("ClusterError: cluster: expected workers that live")
    assert "after 1 of 3" in deadly
    assert before == "[10]"


def test_too_many_workers_are_one_line(python, ray, recordings):
    out = recordings / "none.jsonl"
    many = [*ray, "--workers", "3"]
    code, said = end(begin(python, "transcribe", recordings, "--out", out, *many))
    assert (code, len(said.splitlines())) == (2, 1)
    assert said.startswith("--workers: expected room for 3 with 1 cores")
    assert not out.exists()


def test_nobody_at_the_address_is_one_line(python, recordings):
    out = recordings / "none.jsonl"
    address = ["--engine", "ray", "--address", "127.0.0.1:9"]
    code, said = end(begin(python, "transcribe", recordings, "--out", out, *address))
    assert (code, len(said.splitlines())) == (2, 1)
    assert said.startswith("cluster.address: expected a Ray cluster at '127.0.0.1:9'")
    assert not out.exists()
