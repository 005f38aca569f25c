"""`python -m offline evaluate --model RUN`: a run is scored without an export."""

import json
import tempfile

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from small_corpora import write_words  # noqa: E402
from small_encoder import write_encoder  # noqa: E402

from offline.__main__ import main  # noqa: E402
from offline.commands import evaluate as command  # noqa: E402
from offline.exporting.folder import export_folder  # noqa: E402
from offline.exporting.weights import FLOAT32  # noqa: E402
from offline.training.recipe import (  # noqa: E402
    CorpusRecipe,
    DialogueRecipe,
    Recipe,
    TextRecipe,
)
from offline.training.run import Origin, RunFolder  # noqa: E402
from offline.training.text_model import load_text_model  # noqa: E402
from offline.training.trained import (  # noqa: E402
    load_trained,
    make_model,
    write_scales,
)
from stream_erc.context import VoiceScale  # noqa: E402

TRAINED_FILES = ("text.pt", "dialogue.pt", "scales.npz")


def scale(size):
    return VoiceScale(np.ones(size, np.float32), np.ones(size, np.float32))


def write_run(folder, encoder, *, is_causal=True):
    """A run folder as training leaves it; the corpora are gone, as is all else."""
    recipe = Recipe(
        corpora={"talk": CorpusRecipe()},
        text=TextRecipe(encoder=str(encoder)),
        dialogue=DialogueRecipe(hidden=8, width=8, window=3, causal=is_causal),
    )
    torch.manual_seed(0)
    run = RunFolder(folder)
    run.remember(Origin(recipe, folder / "no corpora", [folder / "no labels"]))
    text = load_text_model(str(encoder))
    model = make_model(recipe, text.size, 10, 8)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.5)
    run.save("text.pt", text)
    run.save("dialogue.pt", model)
    write_scales(run, (scale(10), scale(8)))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the encoder and the corpus "talk"."""
    place = tmp_path_factory.mktemp("place")
    write_encoder(place / "encoder")
    write_words(place / "talk")
    return place


@pytest.fixture
def run(place, tmp_path):
    write_run(tmp_path / "my run", place / "encoder")
    return tmp_path / "my run"


def evaluate(place, model, *options):
    corpus = str(place / "talk" / "test.jsonl")
    return main(["evaluate", "--corpus", corpus, "--model", str(model), *options])


def report_of(place, model, file):
    assert evaluate(place, model, "--report", str(file)) == 0
    return json.loads(file.read_text())


def test_a_run_scores_as_its_exact_export_does(place, run, tmp_path):
    folder = RunFolder(run)
    trained = load_trained(folder.recall().recipe, folder)
    export_folder(trained, tmp_path / "exported", {}, FLOAT32)
    given = report_of(place, run, tmp_path / "given.json")
    expected = report_of(place, tmp_path / "exported", tmp_path / "expected.json")
    same = ("n", "weighted_f1", "per_class", "confusion", "ece", "target")
    assert {name: given[name] for name in same} == {
        name: expected[name] for name in same
    }
    assert given["model"]["checksum"] == expected["model"]["checksum"]


def test_the_report_names_the_run_and_nothing_is_left(
    place, run, tmp_path, monkeypatch
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))
    before = sorted(run.iterdir())
    report = report_of(place, run, tmp_path / "report.json")
    assert report["model"]["folder"] == "my run"
    assert str(tmp_path) not in (tmp_path / "report.json").read_text()
    assert list(elsewhere.iterdir()) == []
    assert sorted(run.iterdir()) == before


@pytest.mark.parametrize("missing", TRAINED_FILES)
def test_a_run_that_is_not_finished_says_what_it_lacks(place, run, missing, capsys):
    (run / missing).unlink()
    assert evaluate(place, run) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{run}: expected a finished run, got one without {missing}"


def test_a_run_just_begun_lacks_all(place, tmp_path, capsys):
    write_run(tmp_path, place / "encoder")
    for name in TRAINED_FILES:
        (tmp_path / name).unlink()
    assert evaluate(place, tmp_path) == 2
    assert "without text.pt, dialogue.pt, scales.npz" in capsys.readouterr().err


def test_a_run_that_looks_ahead_cannot_be_played(place, tmp_path, capsys):
    write_run(tmp_path, place / "encoder", is_causal=False)
    assert evaluate(place, tmp_path) == 2
    assert "expected a causal model" in capsys.readouterr().err


def test_the_shipped_model_s_card_is_not_written_unless_it_is_named(place, capsys):
    assert main(["evaluate", "--corpus", str(place / "test.jsonl"), "--card", "x"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == "--card: expected --model, whose card to write, got none"


def test_a_run_has_no_card(place, run, capsys):
    assert evaluate(place, run, "--card", "talk") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--card: expected a model folder, got the run folder")


def test_without_torch_a_run_is_refused_in_one_line(place, run, capsys, monkeypatch):
    monkeypatch.setattr(command, "find_spec", lambda name: None)
    assert evaluate(place, run) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("--model: expected torch for a run folder (pip install")


def test_what_is_neither_run_nor_model_is_refused(place, tmp_path, capsys):
    assert evaluate(place, tmp_path) == 2
    assert "expected a model's manifest, got none" in capsys.readouterr().err
