"""A run folder: each stage once, with one set of settings, or from another run."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from offline.training import run as run_module  # noqa: E402  (needs torch)
from offline.training.credits import public_settings  # noqa: E402
from offline.training.recipe import (  # noqa: E402
    CorpusRecipe,
    Course,
    Recipe,
    TextRecipe,
    VoiceRecipe,
)
from offline.training.run import (  # noqa: E402
    Origin,
    RunFolder,
    difference,
)
from stream_erc.errors import ConfigError  # noqa: E402


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run")


def test_a_stage_is_done_once(folder):
    done = []
    for _ in range(3):
        folder.once("text", {"seed": 0}, lambda: done.append(1))
    again = RunFolder(folder.folder)
    again.once("text", {"seed": 0}, lambda: done.append(1))
    assert done == [1]


def test_stages_do_not_stand_in_for_one_another(folder):
    done = []
    for name in ("text", "voices"):
        folder.once(name, {"seed": 0}, lambda: done.append(1))
    assert done == [1, 1]


def test_a_stage_that_failed_is_not_done(folder):
    done = []

    def fail():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        folder.once("text", {}, fail)
    folder.once("text", {}, lambda: done.append(1))
    assert done == [1]


def test_tuples_and_lists_are_the_same_settings(folder):
    folder.once("text", {"labels": ("a", "b")}, lambda: None)
    folder.once("text", {"labels": ["a", "b"]}, lambda: None)


@pytest.mark.parametrize(
    ("wanted", "complaint"),
    [
        (
            {"seed": 1, "text": {"tune": {"epochs": 3}}},
            "text trained with seed = 1, got 0",
        ),
        ({"seed": 0, "text": {"tune": {"epochs": 4}}}, "text tune epochs = 4, got 3"),
        ({"seed": 0}, "text = None, got"),
        ({"seed": 0, "text": {"tune": {"epochs": 3}}, "more": 1}, "more = 1, got None"),
    ],
)
def test_other_settings_are_refused_and_named(folder, wanted, complaint):
    folder.once("text", {"seed": 0, "text": {"tune": {"epochs": 3}}}, lambda: None)
    with pytest.raises(ConfigError, match=complaint) as refused:
        folder.once("text", wanted, lambda: None)
    assert "use another --run" in str(refused.value)


def test_the_difference_is_the_innermost_one():
    assert difference({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}) == (
        "a c = 2, got 3"
    )


def test_what_a_stage_took_is_noted(folder):
    folder.once("text", {}, lambda: folder.note("text", {"validation": {"x": 0.5}}))
    figures = json.loads(folder.file("figures.json").read_text())
    assert figures["text"] == {"validation": {"x": 0.5}}
    assert "text" in figures["made"]["seconds"]


def test_weights_come_back_as_they_were(folder):
    torch.manual_seed(0)
    model, other = torch.nn.Linear(3, 2), torch.nn.Linear(3, 2)
    folder.save("text.pt", model)
    folder.load("text.pt", other)
    assert torch.equal(model.weight, other.weight)
    assert [file.name for file in folder.folder.iterdir()] == ["text.pt"]


def test_a_full_disk_leaves_the_weights_before(folder, monkeypatch):
    model = torch.nn.Linear(3, 2)
    folder.save("text.pt", model)
    before = folder.file("text.pt").read_bytes()

    def full(state, file):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="No space"):
        folder.save("text.pt", torch.nn.Linear(3, 2))
    assert folder.file("text.pt").read_bytes() == before


def test_weights_of_a_stage_that_was_not_run_are_missed(folder):
    with pytest.raises(ConfigError, match=r"text\.pt: expected weights"):
        folder.load("text.pt", torch.nn.Linear(3, 2))


@pytest.mark.parametrize("n_bytes", [0, 4, 300, 1_000])
def test_weights_cut_off_or_of_another_network_are_named(folder, n_bytes):
    model = torch.nn.Linear(3, 2)
    folder.save("text.pt", model)
    file = folder.file("text.pt")
    with pytest.raises(ConfigError, match=r"text\.pt: expected weights of this"):
        folder.load("text.pt", torch.nn.Linear(4, 2))
    assert n_bytes < file.stat().st_size
    file.write_bytes(file.read_bytes()[:n_bytes])
    with pytest.raises(ConfigError, match=r"text\.pt: expected weights of this"):
        folder.load("text.pt", model)


# --- another run's results ----------------------------------------------------


@pytest.fixture
def other(tmp_path):
    """A run with a file and a folder in it."""
    other = RunFolder(tmp_path / "other")
    other.file("text.pt").write_bytes(b"weights")
    (other.file("voices") / "x").mkdir(parents=True)
    (other.file("voices") / "x" / "000000.npz").write_bytes(b"numbers")
    return other


def test_files_and_folders_are_taken_over(folder, other):
    folder.copy(other, "text.pt")
    folder.copy(other, "voices")
    assert folder.file("text.pt").read_bytes() == b"weights"
    assert (folder.file("voices") / "x" / "000000.npz").read_bytes() == b"numbers"


@pytest.mark.parametrize("name", ["text.pt", "voices"])
def test_taking_over_twice_does_no_harm(folder, other, name):
    folder.copy(other, name)
    folder.copy(other, name)
    assert other.file("text.pt").read_bytes() == b"weights"


def test_a_run_that_starts_from_itself_loses_nothing(other):
    other.copy(other, "voices")
    other.copy(other, "text.pt")
    assert other.file("text.pt").read_bytes() == b"weights"
    assert (other.file("voices") / "x" / "000000.npz").read_bytes() == b"numbers"


def test_what_stood_there_before_is_replaced(folder, other):
    folder.file("text.pt").write_bytes(b"older")
    folder.copy(other, "text.pt")
    assert folder.file("text.pt").read_bytes() == b"weights"


def test_where_links_do_not_work_files_are_copied(folder, other, monkeypatch):
    def refuse(target, source):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    folder.copy(other, "voices")
    assert (folder.file("voices") / "x" / "000000.npz").read_bytes() == b"numbers"


def test_what_is_saved_later_does_not_reach_the_other_run(folder, other):
    folder.copy(other, "text.pt")
    folder.save("text.pt", torch.nn.Linear(3, 2))
    assert other.file("text.pt").read_bytes() == b"weights"


def test_what_the_other_run_does_not_have_is_missed(folder, other):
    with pytest.raises(
        ConfigError, match=r"dialogue\.pt: expected what an earlier run"
    ):
        folder.copy(other, "dialogue.pt")


def stage_settings(**changes):
    """What a stage of the words is done with, as `Training` notes it."""
    text = {"encoder": "/here/encoder", "batch": 32, "tune": {"epochs": 3}}
    return {"seed": 0, "corpora": {"x": {"share": 1.0}}, "text": text | changes}


@pytest.fixture
def told(caplog):
    """The lines that were logged."""
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize(
    "wanted",
    [
        stage_settings(),
        stage_settings() | {"seed": 4},  # variants share the stages of one seed
        stage_settings(tune={"epochs": 3}),
    ],
)
def test_a_stage_as_this_run_would_do_it_is_taken_over_in_silence(other, told, wanted):
    other.once("text", stage_settings(), lambda: None)
    other.compare("text", wanted)
    assert told() == []


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (stage_settings(tune={"epochs": 4}), "text tune epochs = 4, got 3"),
        (stage_settings(batch=8) | {"seed": 4}, "text batch = 8, got 32"),
        (
            stage_settings() | {"corpora": {"x": {"share": 0.2}}},
            "corpora x share = 0.2, got 1.0",
        ),
        (stage_settings(encoder="/there/encoder"), "text encoder = '/there/encoder'"),
    ],
)
def test_a_stage_done_otherwise_is_taken_over_with_a_word(
    other, told, wanted, expected
):
    other.once("text", stage_settings(), lambda: None)
    other.compare("text", wanted)
    (line,) = told()
    assert f"other: text taken over, but expected {expected}" in line


@pytest.mark.parametrize("part", ["text", "voice"])
def test_a_stage_of_another_encoder_is_not_taken_over(other, part):
    other.once("text", {part: {"encoder": "group/small"}}, lambda: None)
    with pytest.raises(ConfigError, match=f"{part} encoder = 'large', got 'small'"):
        other.compare("text", {part: {"encoder": "group/large"}})


def test_a_stage_that_the_other_run_did_not_end_is_named(other, told):
    other.compare("voices", {"voice": {"copies": 2}})
    (line,) = told()
    assert "other: voices taken over, but it was not ended" in line


# --- origin -------------------------------------------------------------------


def test_a_run_remembers_what_it_is_trained_from(folder, tmp_path, monkeypatch):
    recipe = Recipe(
        seed=4,
        corpora={"x": CorpusRecipe(labels=["joy"])},
        text=TextRecipe(tune=Course(epochs=7)),
    )
    monkeypatch.chdir(tmp_path)
    folder.remember(Origin(recipe, Path("corpora"), [Path("labels.jsonl")]))
    found = RunFolder(folder.folder).recall()
    assert found.recipe == recipe
    assert found.corpora == tmp_path / "corpora"
    assert found.labels == [tmp_path / "labels.jsonl"]


def test_a_folder_that_is_no_run_is_refused(folder):
    with pytest.raises(ConfigError, match="expected a run folder"):
        folder.recall()


def test_settings_for_others_to_read_name_no_folder_of_ours(tmp_path):
    encoder = str(tmp_path / "encoder")
    recipe = Recipe(
        text=TextRecipe(encoder=encoder), voice=VoiceRecipe(encoder=encoder)
    )
    public = public_settings(recipe)
    assert str(tmp_path) not in json.dumps(public)
    assert public["text"]["encoder"] == public["voice"]["encoder"] == "encoder"
    hub = replace(recipe, text=TextRecipe(encoder="group/name"))
    assert public_settings(hub)["text"]["encoder"] == "group/name"


def test_the_machine_is_described_without_its_name():
    import platform

    assert platform.node() not in json.dumps(run_module.describe_machine())
