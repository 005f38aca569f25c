"""`python -m offline`: the whole path on made-up corpora, and what is refused."""

import json
import logging
import shutil

import numpy as np
import pytest

from offline.__main__ import COMMANDS, main
from offline.corpora.form import read_corpus

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from small_corpora import (  # noqa: E402
    write_clips,
    write_labels,
    write_published,
    write_words,
)
from small_encoder import write_encoder, write_speech_encoder  # noqa: E402

from offline.training import loop, voices  # noqa: E402
from offline.training.lock import hold  # noqa: E402
from offline.training.run import RunFolder  # noqa: E402
from stream_erc.flow import TurnFeatures  # noqa: E402
from stream_erc.fusion import EmotionModel  # noqa: E402
from stream_erc.model_folder import DIALOGUE_FILE  # noqa: E402

STAGES = ("stage0", "text", "voices", "vectors", "dialogue")
RECIPE = """
seed = 3

[corpora.talk]
batch = 2

[corpora.published]
batch = 2
labels = ["neutral", "sadness", "joy", "anger"]

[corpora.single]
role = "texts"

[text]
pretrain = {epochs = 1, learning_rate = 1e-3}
tune = {epochs = 1, learning_rate = 1e-3}
replay = 10
batch = 16

[voice]
copies = 1

[dialogue]
voice = {steps = 3, learning_rate = 1e-2}
context = {steps = 3, learning_rate = 1e-2}
fusion = {steps = 3, learning_rate = 1e-2}
together = {steps = 3, learning_rate = 1e-2}
hidden = 8
width = 8
window = 3
"""


class Place:
    """Folders that commands work in."""

    def __init__(self, root):
        self.root = root
        self.recipe = root / "recipe.toml"
        self.corpora = root / "corpora"

    def train(self, run, *options):
        """Run `train`; give its exit code."""
        return main(
            [
                "train",
                *("--run", str(self.root / run), "--recipe", str(self.recipe)),
                *("--corpora", str(self.corpora)),
                *("--labels", str(self.root / "labels.jsonl")),
                *("--text-encoder", str(self.root / "encoder")),
                *options,
            ]
        )

    def export(self, run, model, *options):
        """Run `export`; give its exit code."""
        folders = ("--run", str(self.root / run), "--model", str(self.root / model))
        return main(["export", *folders, *options])

    def figures(self, run):
        return json.loads((self.root / run / "figures.json").read_text())

    def weights(self, run, name="dialogue.pt"):
        return torch.load(self.root / run / name, weights_only=True)


def only(name):
    """The recipe with one corpus."""
    corpora, rest = RECIPE.index("[corpora"), RECIPE.index("[text]")
    return f"{RECIPE[:corpora]}[corpora.{name}]\n{RECIPE[rest:]}"


def sets(*changes):
    return [word for change in changes for word in ("--set", change)]


def same_weights(some, other):
    return all(torch.equal(some[name], other[name]) for name in some)


def say(model, *texts):
    """The emotions of a dialogue of one speaker, from words alone."""
    context, found = model.empty_context(), []
    for text in texts:
        ((emotion, context),) = model.step([TurnFeatures("a", text, None)], [context])
        found.append(emotion.emotions)
    return np.array(found)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Corpora with words, with published numbers, of single texts; labels; a recipe."""
    place = Place(tmp_path_factory.mktemp("workshop"))
    write_words(place.corpora / "talk")
    write_published(place.corpora / "published")
    write_words(place.corpora / "single", n_dialogues=1)
    write_labels(place.root / "labels.jsonl")
    write_encoder(place.root / "encoder")
    place.recipe.write_text(RECIPE)
    return place


@pytest.fixture(scope="module")
def trained(place):
    """The place with a trained run "run" and its export "model"."""
    assert place.train("run") == 0
    assert place.export("run", "model") == 0
    return place


# --- the whole path -----------------------------------------------------------


def test_a_trained_model_is_served_and_evaluated(trained, capsys):
    model = EmotionModel(trained.root / "model")
    found = say(model, "I am so happy!", "Get out of here!")
    assert np.allclose(found.sum(-1), 1.0, atol=1e-5)
    report = trained.root / "report.json"
    arguments = ["--model", str(trained.root / "model"), "--report", str(report)]
    corpus = str(trained.corpora / "talk" / "test.jsonl")
    assert main(["evaluate", "--corpus", corpus, *arguments]) == 0
    given = json.loads(report.read_text())
    # What training measured on the test split is what serving reaches.
    expected = trained.figures("run")["fusion"]["test"]["talk text"]
    assert given["n"] == 42
    assert given["weighted_f1"] == pytest.approx(expected, abs=0.03)


def test_the_export_says_where_it_comes_from_and_no_place(trained):
    about = EmotionModel(trained.root / "model").manifest["about"]
    assert about["seed"] == 3
    assert about["recipe"]["text"]["encoder"] == "encoder"
    assert about["recipe"]["corpora"]["talk"]["batch"] == 2
    assert [form["form"] for form in about["forms"]] == ["int8", "float16", "float32"]
    for name in ("manifest.json", "MODEL_CARD.md"):
        text = (trained.root / "model" / name).read_text()
        assert str(trained.root) not in text and "{{" not in text


def test_the_licence_names_what_this_run_learned_from_and_nothing_else(trained):
    licence = (trained.root / "model" / "LICENSE").read_text()
    named = [line for line in licence.splitlines() if line.startswith("- ")]
    assert {line.removeprefix("- ").partition(" (")[0] for line in named} == {
        "encoder",
        "The corpus talk: its own terms.",
        "The corpus published: its own terms.",
        "The corpus single: its own terms.",
        "Labels by a language model",
    }


def test_what_was_taken_over_is_named_with_what_it_was_learned_from(trained, tmp_path):
    recipe = tmp_path / "words.toml"
    recipe.write_text(only("talk"))
    options = ["--recipe", str(recipe), *sets("text.n_labels=0", "text.replay=0")]
    start = ["--start", str(trained.root / "run"), "--first", "text"]
    assert trained.train("heir", *options, *start) == 0
    assert trained.export("heir", "heir model") == 0
    about = EmotionModel(trained.root / "heir model").manifest["about"]
    assert len(about["learned_from"]["labels"]) == 1  # by the Stage 0 of the other
    assert list(about["learned_from"]["corpora"]) == ["talk"]


def test_an_export_replaces_no_model_unless_told_to(trained, capsys):
    before = (trained.root / "model" / "manifest.json").stat()
    assert trained.export("run", "model") == 2
    assert "--overwrite replaces a model folder" in capsys.readouterr().err
    assert (trained.root / "model" / "manifest.json").stat() == before
    assert trained.export("run", "model", "--overwrite") == 0
    EmotionModel(trained.root / "model")


def test_every_stage_says_what_it_reaches(trained):
    figures = trained.figures("run")
    assert set(figures) == {"text", "voice", "context", "fusion", "made"}
    for split in ("validation", "test"):
        assert set(figures["text"][split]) == {"talk", "published"}
        assert set(figures["voice"][split]) == {"published voice"}
        assert set(figures["context"][split]) == {
            "talk text",
            "published text",
            "published voice",
        }
        assert set(figures["fusion"][split]) == {
            "talk text",
            "published voice",
            "published both",
        }
    assert set(figures["made"]["seconds"]) == set(STAGES)


def test_what_is_done_is_not_done_again(trained, caplog):
    caplog.set_level(logging.INFO)
    before = {
        file: file.stat().st_mtime_ns for file in (trained.root / "run").glob("*.pt")
    }
    assert trained.train("run") == 0
    told = [record.getMessage() for record in caplog.records]
    assert [f"{stage}: done before" for stage in STAGES] == [
        line for line in told if "done before" in line
    ]
    assert all(file.stat().st_mtime_ns == when for file, when in before.items())


def test_a_run_leaves_no_checkpoint(trained):
    left = {file.name for file in (trained.root / "run").iterdir()}
    assert not {name for name in left if "checkpoint" in name or "part" in name}


@pytest.mark.parametrize(
    "stop_in",
    [
        "context",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("voice", "fusion")),
    ],
)
def test_a_run_killed_between_and_within_stages_ends_as_it_would_have(
    trained, monkeypatch, stop_in, tmp_path
):
    monkeypatch.setattr(loop, "SAVE_STEPS", 1)
    take = loop.Loop._take

    def stop(self, step):
        if self._lesson.name == stop_in and step == 2:
            raise KeyboardInterrupt
        return take(self, step)

    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    with monkeypatch.context() as patch:
        patch.setattr(loop.Loop, "_take", stop)
        assert trained.train(tmp_path.name, *start) == 130
    assert trained.train(tmp_path.name, *start) == 0
    assert same_weights(trained.weights(tmp_path.name), trained.weights("run"))


UNTOLD = "dialogue.speakers=false"

VARIANTS = [
    ["dialogue.joint=true"],
    [UNTOLD],
    ["dialogue.loss=focal"],
    ["dialogue.class_weights=0.5"],
    ["dialogue.fusion.average=0.0", "dialogue.fusion.patience=1"],
]


@pytest.mark.parametrize("changes", VARIANTS, ids=lambda changes: changes[0])
def test_a_variant_learns_something_else(trained, tmp_path, changes):
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    assert trained.train(tmp_path.name, *start, *sets(*changes)) == 0
    assert not same_weights(trained.weights(tmp_path.name), trained.weights("run"))


def test_variants_are_exported_and_served(trained):
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    changes = {change for variant in VARIANTS for change in variant} - {UNTOLD}
    assert trained.train("variant", *start, *sets(*sorted(changes))) == 0
    assert trained.export("variant", "variant model") == 0
    found = say(EmotionModel(trained.root / "variant model"), "Yes.", "No!")
    assert np.allclose(found.sum(-1), 1.0, atol=1e-5)


def test_a_model_that_was_not_told_who_speaks_is_not_exported(trained, capsys):
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    assert trained.train("untold", *start, *sets(UNTOLD)) == 0
    assert trained.export("untold", "untold model") == 2
    assert "expected dialogue.speakers = true, got false" in capsys.readouterr().err


def test_a_finished_run_teaches_another(trained, tmp_path, capsys):
    options = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    taught = [*options, "--teacher", str(trained.root / "run")]
    assert trained.train(tmp_path.name, *taught) == 0
    assert not same_weights(trained.weights(tmp_path.name), trained.weights("run"))
    run = RunFolder(trained.root / tmp_path.name)
    assert run.recall().teachers == [(trained.root / "run").resolve()]
    assert len(run.credits("dialogue").labels) == 1  # what its teacher owes
    assert trained.train(tmp_path.name, *options) == 2
    assert "expected dialogue trained with teachers" in capsys.readouterr().err


def test_a_model_that_looks_ahead_trains_but_is_not_exported(trained, capsys):
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    assert trained.train("ahead", *start, *sets("dialogue.causal=false")) == 0
    assert trained.figures("ahead")["fusion"]["test"]
    assert trained.export("ahead", "ahead model") == 2
    assert "export: expected a causal model" in capsys.readouterr().err
    assert not (trained.root / "ahead model").exists()


def test_words_alone_make_a_model_that_does_not_listen(trained, tmp_path):
    recipe = tmp_path / "words.toml"
    recipe.write_text(only("talk"))
    assert trained.train("words", "--recipe", str(recipe)) == 0
    assert trained.export("words", "words model") == 0
    manifest = EmotionModel(trained.root / "words model").manifest
    assert manifest["learned"] == ["text"]


def test_a_run_that_stops_after_each_stage_gives_the_same_weights(trained):
    assert trained.train("steps", "--stage", "stage0") == 0
    assert not (trained.root / "steps" / "text.pt").exists()
    assert trained.train("steps", "--stage", "text") == 0
    assert not (trained.root / "steps" / "dialogue.pt").exists()
    assert trained.train("steps") == 0
    for name in ("stage0.pt", "text.pt", "dialogue.pt"):
        assert same_weights(
            trained.weights("steps", name), trained.weights("run", name)
        )


# --- what is refused ----------------------------------------------------------


def test_other_settings_are_refused_by_name_and_harm_nothing(trained, capsys):
    origin = trained.root / "run" / "origin.json"
    before = origin.read_bytes()
    assert trained.train("run", *sets("dialogue.hidden=12")) == 2
    told = capsys.readouterr().err
    assert "expected dialogue trained with dialogue hidden = 12, got 8" in told
    assert origin.read_bytes() == before  # or the export would go by the other recipe


def test_a_folder_that_another_process_trains_into_is_refused(trained, capsys):
    with hold(trained.root / "run"):
        assert trained.train("run") == 2
    assert "got one that another process holds" in capsys.readouterr().err
    assert trained.train("run") == 0


@pytest.fixture
def own(place, tmp_path):
    """A copy of the corpora, and their lines for training."""
    corpora = tmp_path / "corpora"
    shutil.copytree(place.corpora, corpora)
    file = corpora / "talk" / "train.jsonl"
    return corpora, file, file.read_text().splitlines(keepends=True)


def test_a_corpus_that_changed_is_not_gone_on_with(place, own, tmp_path, capsys):
    corpora, file, lines = own
    options = ["--corpora", str(corpora)]
    assert place.train(tmp_path.name, *options, "--stage", "text") == 0
    file.write_text("".join(lines[1:]))
    assert place.train(tmp_path.name, *options) == 2
    assert "expected text trained with files talk/train = " in capsys.readouterr().err
    file.write_text("".join(lines))
    assert place.train(tmp_path.name, *options, "--stage", "text") == 0


def test_numbers_of_other_lines_are_not_taken_over(trained, own, tmp_path, capsys):
    corpora, file, lines = own
    file.write_text("".join(lines[1:]))
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    assert trained.train(tmp_path.name, *start, "--corpora", str(corpora)) == 2
    assert "of talk/train as it is now" in capsys.readouterr().err


def test_corpora_without_a_label_are_refused(place, tmp_path, capsys):
    corpora = tmp_path / "corpora"
    shutil.copytree(place.corpora, corpora)
    for file in corpora.glob("*/train.jsonl"):
        rows = [json.loads(line) for line in file.read_text().splitlines()]
        for row in rows:
            row.pop("emotion", None)
            row.pop("sentiment", None)
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["--corpora", str(corpora)]
    assert place.train(tmp_path.name, *options) == 2
    assert "got none: nothing could be learned" in capsys.readouterr().err
    assert place.train(tmp_path.name, *options, "--stage", "stage0") == 0


def test_a_folder_that_is_no_run_is_not_exported(place, capsys):
    assert place.export("nothing", "model of nothing") == 2
    assert "expected a run folder" in capsys.readouterr().err


def test_a_run_that_is_not_finished_is_not_exported(place, capsys):
    assert place.train("begun", "--stage", "stage0") == 0
    assert place.export("begun", "model of begun") == 2
    told = capsys.readouterr().err
    assert "expected a finished run, got one without text.pt, dialogue.pt" in told


def test_a_network_that_is_served_differently_is_refused(trained, capsys, monkeypatch):
    from offline.exporting import folder

    right = folder.write_dialogue_graph

    def wrong(model, file):
        right(model, file)
        model.temperatures.mul_(1.1)

    monkeypatch.setattr(folder, "write_dialogue_graph", wrong)
    assert trained.export("run", "wrong model") == 2
    assert "expected torch's probabilities" in capsys.readouterr().err
    assert not (trained.root / "wrong model").exists()


def test_what_was_trained_otherwise_is_taken_over_with_a_word(
    trained, tmp_path, caplog
):
    start = ["--start", str(trained.root / "run"), "--stage", "stage0"]
    changes = sets("text.sentiment_weight=1.0", "text.tune.epochs=2", "seed=4")
    assert trained.train(tmp_path.name, *start, *changes) == 0
    (line,) = [r.getMessage() for r in caplog.records if "taken over" in r.getMessage()]
    assert "stage0 taken over, but expected text sentiment_weight = 1.0, got 0" in line


@pytest.mark.parametrize("name", ["./none", "/no/such/folder", "a/b/c"])
def test_an_encoder_that_is_no_folder_is_not_looked_for_on_the_hub(
    trained, tmp_path, capsys, name
):
    assert trained.train(tmp_path.name, "--text-encoder", name) == 2
    assert f"--text-encoder: expected a folder, got no such: {name}" in (
        capsys.readouterr().err
    )


def test_what_another_encoder_says_is_not_taken_over(trained, tmp_path, capsys):
    write_encoder(tmp_path / "another")
    start = ["--start", str(trained.root / "run"), "--first", "dialogue"]
    start += ["--text-encoder", str(tmp_path / "another")]
    assert trained.train(tmp_path.name, *start) == 2
    told = capsys.readouterr().err
    assert "stage0 trained with text encoder = 'another', got 'encoder'" in told


def test_a_start_that_lacks_a_stage_is_refused(place, capsys):
    start = ["--start", str(place.root / "nowhere"), "--first", "voices"]
    assert place.train("lacking", *start) == 2
    assert "stage0.pt: expected what an earlier run left" in capsys.readouterr().err


def test_a_missing_corpus_is_one_line_and_exit_2(place, capsys):
    assert place.train("lost", *sets("corpora.lost={}")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "--corpora: expected" in line and "lost/train.jsonl" in line
    assert not (place.root / "lost").exists()


def test_a_place_that_cannot_be_written_is_one_line_in_words(place, capsys):
    assert place.train("labels.jsonl/run") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"{place.root / 'labels.jsonl' / 'run'}: not a directory"


def test_a_recipe_without_corpora_is_refused(place, tmp_path, capsys):
    empty = tmp_path / "empty.toml"
    empty.write_text("seed = 1")
    assert place.train("empty", "--recipe", str(empty)) == 2
    assert "expected [corpora.NAME]" in capsys.readouterr().err


@pytest.fixture
def flawed(place, tmp_path):
    """The corpora with a line that is none, and an emotion that nobody knows."""
    corpora = tmp_path / "flawed"
    shutil.copytree(place.corpora, corpora)
    file = corpora / "talk" / "train.jsonl"
    lines = file.read_text().splitlines()
    lines[2] = "no line"
    lines[4] = lines[4].replace('"joy"', '"bliss"')
    file.write_text("\n".join(lines) + "\n")
    return corpora


def test_problems_of_a_corpus_are_counted_and_the_rest_is_used(
    place, flawed, tmp_path, caplog
):
    options = ["--corpora", str(flawed), "--stage", "stage0"]
    assert place.train(tmp_path.name, *options) == 0
    told = "\n".join(record.getMessage() for record in caplog.records)
    assert "train.jsonl:3: expected an utterance" in told
    assert "train.jsonl:5: emotion: expected" in told
    assert "train.jsonl: 2 problems in all" in told
    kept = read_corpus(flawed / "talk" / "train.jsonl").utterances
    assert len(kept) == 41


def test_strict_stops_at_the_first_problem(place, flawed, tmp_path, capsys):
    assert place.train(tmp_path.name, "--corpora", str(flawed), "--strict") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "train.jsonl:3: expected an utterance" in line


def test_strict_finds_a_dialogue_in_two_splits(place, tmp_path, capsys):
    corpora = tmp_path / "shared"
    shutil.copytree(place.corpora, corpora)
    talk = corpora / "talk"
    (talk / "test.jsonl").write_bytes((talk / "train.jsonl").read_bytes())
    assert place.train(tmp_path.name, "--corpora", str(corpora), "--strict") == 2
    assert "in one split, got it in train and test" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command, capsys):
    with pytest.raises(SystemExit) as done:
        main([command, "--help"])
    assert done.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) > 5


# --- recordings ---------------------------------------------------------------


def test_another_speech_encoder_trains_but_is_not_exported(place, tmp_path, capsys):
    write_clips(place.corpora / "clips")
    write_speech_encoder(place.root / "speech")
    recipe = tmp_path / "clips.toml"
    recipe.write_text(only("clips"))
    options = ["--recipe", str(recipe)]
    options += sets(f"voice.encoder={place.root / 'speech'}")
    options += sets("corpora.clips.role=acted", "corpora.clips.batch=2")
    assert place.train("speech run", *options) == 0
    heard = voices.read_voices(place.root / "speech run" / "voices" / "clips" / "train")
    assert heard.encoder.shape == (6 * 4, 3 * 16)
    weights = place.weights("speech run")
    assert weights["voice.layer_weights"].shape == (3,)
    assert weights["voice.layer_weights"].any()
    assert place.export("speech run", "speech model") == 2
    assert "recognizer's own voice encoder" in capsys.readouterr().err


@pytest.mark.slow  # a Whisper over some dozen clips
def test_recordings_are_trained_on_exported_served_and_evaluated(place, tmp_path):
    if not (place.corpora / "clips").exists():
        write_clips(place.corpora / "clips")
    recipe = tmp_path / "clips.toml"
    recipe.write_text(f'{RECIPE}\n[corpora.clips]\nrole = "acted"\nbatch = 2\n')
    options = ["--recipe", str(recipe)]
    assert place.train("heard", *options) == 0
    assert place.export("heard", "heard model") == 0
    manifest = EmotionModel(place.root / "heard model").manifest
    assert manifest["learned"] == ["text", "encoder", "functionals"]
    assert (place.root / "heard model" / DIALOGUE_FILE).exists()
    for name in ("clips", "published"):
        report = tmp_path / f"{name}.json"
        arguments = ["--model", str(place.root / "heard model")]
        arguments += ["--corpus", str(place.corpora / name / "test.jsonl")]
        arguments += ["--report", str(report), "--modalities", "audio"]
        assert main(["evaluate", *arguments]) == 0
        assert json.loads(report.read_text())["n"] > 0
