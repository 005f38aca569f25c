"""`python -m offline`: the whole path on made-up corpora, and what is refused."""

import json
import logging

import numpy as np
import pytest

from offline.__main__ import main
from offline.recipe import DEFAULT_RECIPE, Recipe, read_recipe
from stream_erc.errors import ConfigError

RECIPE = """
seed = 3
threads = 1

[text]
goemotions = 10
tune_epochs = 1
replay = 10
batch = 16

[voice]
copies = 1

[dialogue]
steps = {voice = 2, context = 2, fusion = 2}
hidden = 16
width = 16
window = 3
meld_batch = 1
iemocap_batch = 1
acted_batch = 1
"""


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.WARNING)


def test_a_missing_data_folder_is_one_line_and_exit_2(tmp_path, capsys):
    missing = tmp_path / "none"
    arguments = ["train", "--data", str(missing), "--run", str(tmp_path / "run")]
    assert main(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines == [f"--data: expected a folder {missing / 'meld'}, got none"]


def test_evaluating_without_data_is_exit_2(tmp_path, capsys):
    arguments = ["evaluate", "--data", str(tmp_path), "--model", str(tmp_path)]
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("command", ["train", "export", "evaluate"])
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert "--model" in capsys.readouterr().out or command == "train"


def test_the_default_recipe_is_the_defaults_of_the_code():
    assert read_recipe(DEFAULT_RECIPE) == Recipe()


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seeed = 1", "got .*seeed"),
        ("[text]\nbatches = 1", r"\[text\]: expected keys .*batches"),
        ('seed = "one"', "seed: expected int, got 'one'"),
        ("text = 1", r"expected a table \[text\], got 1"),
        ("seed = ", "expected a recipe"),
    ],
)
def test_a_wrong_recipe_is_refused(tmp_path, text, complaint):
    file = tmp_path / "recipe.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=complaint):
        read_recipe(file)


def test_a_whole_number_is_taken_for_a_fraction(tmp_path):
    file = tmp_path / "recipe.toml"
    file.write_text("[dialogue]\ndropout = 0")
    assert read_recipe(file).dialogue.dropout == 0.0


@pytest.mark.slow  # a Whisper over two dozen clips, three times
def test_the_whole_path_trains_exports_serves_and_evaluates(tmp_path, capsys):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("onnx")
    from small_corpora import write_all
    from small_encoder import write_encoder

    from stream_erc.flow import TurnFeatures
    from stream_erc.fusion import EmotionModel

    data, run, model = tmp_path / "data", tmp_path / "run", tmp_path / "model"
    write_all(data)
    write_encoder(tmp_path / "encoder")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    trained = ["--run", str(run), "--recipe", str(tmp_path / "recipe.toml")]
    trained += ["--encoder", str(tmp_path / "encoder")]
    assert main(["train", "--data", str(data), *trained]) == 0
    assert main(["export", "--model", str(model), *trained]) == 0

    served = EmotionModel(model)
    turn = TurnFeatures("a", "I am so happy!", None)
    ((emotion, _),) = served.step([turn], [served.empty_context()])
    assert np.isclose(emotion.emotions.sum(), 1.0)

    evaluate = ["evaluate", "--data", str(data), "--model", str(model), "--card"]
    assert main([*evaluate, "--report", str(tmp_path / "report.json")]) == 0
    report = json.loads((tmp_path / "report.json").read_text())
    about = EmotionModel(model).manifest["about"]
    assert about["evaluation"] == report
    assert about["seed"] == 3
    assert str(tmp_path) not in json.dumps(about)
    card = (model / "MODEL_CARD.md").read_text()
    assert f"{report['figures']['meld_test_text']['weighted_f1']:.3f}" in card
    assert "{{" not in card
    assert "non-commercial research" in (model / "LICENSE").read_text()
