"""Two processes that `accelerate launch` starts learn one model, on processors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from pupils import Pupil, draw_of  # noqa: E402  (needs torch)
from small_corpora import write_clips, write_labels, write_words  # noqa: E402
from small_encoder import write_encoder  # noqa: E402

from offline.__main__ import main  # noqa: E402

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
TIMEOUT_S = 300.0
RECIPE = """
seed = 3

[corpora.talk]
batch = 2

[corpora.clips]
role = "acted"
batch = 2

[text]
pretrain = {epochs = 1, learning_rate = 1e-3}
tune = {epochs = 2, learning_rate = 1e-3}
batch = 16

[voice]
copies = 1

[dialogue]
voice = {steps = 6, learning_rate = 1e-2}
context = {steps = 6, learning_rate = 1e-2}
fusion = {steps = 6, learning_rate = 1e-2}
hidden = 8
width = 8
window = 3
"""


def launch(*arguments, is_cpu="true"):
    """Start a module in two processes, with the command of the documentation."""
    return subprocess.run(
        [
            sys.executable,
            *("-m", "accelerate.commands.launch"),
            *("--multi_gpu", "--num_processes", "2", "--main_process_port", "0"),
            *map(str, ["-m", *arguments]),
        ],
        cwd=ROOT,
        env={
            **os.environ,
            "ACCELERATE_USE_CPU": is_cpu,
            "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{ROOT}",
        },
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def test_two_processes_learn_what_one_learns_from_both_batches(tmp_path):
    done = launch("pupils", tmp_path)
    assert done.returncode == 0, done.stderr
    first, second = (
        torch.load(tmp_path / f"{process}.pt", weights_only=True) for process in (0, 1)
    )
    assert first["best"] == second["best"]
    alone = Pupil()

    def both(step, _):
        losses = [alone.batch_loss(draw_of(step, process)) for process in (0, 1)]
        return sum(losses) / 2

    assert alone.learn(tmp_path / "alone", both) == pytest.approx(first["best"])
    for name, weight in alone.model.state_dict().items():
        assert torch.equal(first["weights"][name], second["weights"][name])
        assert torch.allclose(first["weights"][name], weight, atol=1e-6)


@pytest.fixture
def train(tmp_path):
    """Gives the arguments of `train` into a run folder."""
    for folder, write in (("talk", write_words), ("clips", write_clips)):
        write(tmp_path / "corpora" / folder)
    write_labels(tmp_path / "labels.jsonl")
    write_encoder(tmp_path / "encoder")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    places = {
        "--recipe": "recipe.toml",
        "--corpora": "corpora",
        "--labels": "labels.jsonl",
        "--text-encoder": "encoder",
    }
    named = [word for key, name in places.items() for word in (key, tmp_path / name)]
    return lambda run: ["train", "--run", tmp_path / run, *named]


def test_a_whole_run_of_two_processes_leaves_one_model(train, tmp_path):
    done = launch("offline", *train("two"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained;") == 1
    assert main([str(word) for word in train("one")]) == 0
    one, two = (
        {file.relative_to(tmp_path / run) for file in (tmp_path / run).rglob("*.*")}
        for run in ("one", "two")
    )
    assert {file for file in two if "logs" not in file.parts} == {
        file for file in one if "logs" not in file.parts
    }
    for kind in ("text", "dialogue"):  # the second process's batches count
        alone, shared = (
            torch.load(tmp_path / run / f"{kind}.pt", weights_only=True)
            for run in ("one", "two")
        )
        assert not all(torch.equal(alone[name], shared[name]) for name in alone)
    figures = [
        json.loads((tmp_path / run / "figures.json").read_text())
        for run in ("one", "two")
    ]
    assert figures[0].keys() == figures[1].keys()
    folders = ["--run", str(tmp_path / "two"), "--model", str(tmp_path / "model")]
    assert main(["export", *folders]) == 0


def test_processes_without_gpus_do_not_train_each_on_its_own(train, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    done = launch("offline", *train("run"), is_cpu="false")
    assert done.returncode != 0
    assert "expected a GPU for each of 2 processes, got none" in done.stderr
    assert not (tmp_path / "run" / "text.pt").exists()
