"""`python -m offline evaluate`: what it prints, writes, and refuses."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from offline.__main__ import main
from offline.corpora.form import Utterance, write_corpus
from offline.evaluation import picture
from stream_erc.config import DEFAULT_MODEL
from stream_erc.model_folder import DIALOGUE_FILE, MANIFEST_FILE

SAYINGS = (("I am so happy!", "joy"), ("Get out of here!", "anger"), ("Well.", None))


@pytest.fixture
def corpus(tmp_path):
    file = tmp_path / "made_up.jsonl"
    write_corpus(
        file,
        [
            Utterance(dialogue=name, turn=turn, speaker="a", text=text, emotion=emotion)
            for name in "xy"
            for turn, (text, emotion) in enumerate(SAYINGS)
        ],
    )
    return file


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped model that a test may damage."""
    return shutil.copytree(DEFAULT_MODEL, tmp_path / "model")


def evaluate(*arguments):
    return main(["evaluate", *map(str, arguments)])


def refusal(capsys, *arguments):
    """The one line that an evaluation which cannot be done leaves."""
    assert evaluate(*arguments) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_a_table_is_printed_and_a_report_written(corpus, tmp_path, capsys):
    file = tmp_path / "new" / "report.json"
    options = ["--curve", "--asr-errors", "20,50", "--limit", "2", "--seed", "3"]
    assert evaluate("--corpus", corpus, *options, "--report", file) == 0
    printed = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert f"{report['weighted_f1']:.3f}" in printed
    assert "4 turns scored of 6 in 2 dialogues" in printed
    assert "not in this corpus: neutral, surprise, fear, sadness, disgust\n" in printed
    assert len(report["per_class"]) == 7 and "\nfear " not in printed
    assert "25% heard" in printed and printed.count("WER ") == 2
    assert report["seed"] == 3 and len(report["curve"]) == 4
    assert str(tmp_path) not in file.read_text() + printed


def test_labels_and_context_reach_the_evaluation(corpus, tmp_path):
    file = tmp_path / "report.json"
    options = ["--labels", "happy, anger", "--context", "1", "--modalities", "text"]
    assert evaluate("--corpus", corpus, *options, "--report", file) == 0
    report = json.loads(file.read_text())
    assert report["labels"] == ["joy", "anger"]
    assert report["context_turns"] == 1
    assert report["modalities"] == "text"


@pytest.mark.parametrize("options", [[], ["--curve"]])
def test_a_picture_is_drawn(corpus, tmp_path, options):
    pytest.importorskip("matplotlib")
    file = tmp_path / "picture.png"
    assert evaluate("--corpus", corpus, *options, "--picture", file) == 0
    assert file.read_bytes().startswith(b"\x89PNG")


def test_no_picture_without_matplotlib(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(picture, "find_spec", lambda name: None)
    line = refusal(capsys, "--corpus", corpus, "--picture", tmp_path / "picture.png")
    assert line.startswith("--picture: expected matplotlib (pip install")


def test_a_picture_of_no_known_kind_is_refused(corpus, tmp_path, capsys):
    line = refusal(capsys, "--corpus", corpus, "--picture", tmp_path / "picture.doc")
    assert line.startswith("--picture: expected a file ending in .png, .svg or .pdf")


def test_a_report_that_cannot_be_written_is_one_line(corpus, capsys):
    line = refusal(capsys, "--corpus", corpus, "--report", corpus / "report.json")
    assert line.startswith("--report: expected a file to write, got")


@pytest.mark.parametrize("option", ["--report", "--picture"])
def test_the_corpus_is_not_written_over(corpus, option, capsys):
    before = corpus.read_bytes()
    line = refusal(capsys, "--corpus", corpus, option, corpus)
    assert line.startswith(f"{option}: expected another file than the corpus, got")
    assert corpus.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--labels", "joy,glee"], "--labels: expected two or more of neutral, "),
        (["--labels", ""], "--labels: expected two or more of neutral, "),
        (["--labels", "negative,positive"], "corpus: expected lines with sentiment"),
        (["--noise", "loud"], "--noise: expected numbers with commas between"),
        (["--noise", "5"], "--noise: expected a corpus with recordings"),
        (["--asr-errors", "0"], "--asr-errors: expected above 0"),
        (["--context", "-1"], "--context: expected 0 or more"),
        (["--modalities", "audio"], "corpus: expected labelled turns with something"),
    ],
)
def test_options_that_do_not_fit_are_one_line(corpus, capsys, options, complaint):
    assert refusal(capsys, "--corpus", corpus, *options).startswith(complaint)


def test_a_missing_corpus_is_one_line(tmp_path, capsys):
    line = refusal(capsys, "--corpus", tmp_path / "none.jsonl")
    assert "none.jsonl: expected a corpus file" in line


def test_a_missing_model_is_one_line(corpus, tmp_path, capsys):
    line = refusal(capsys, "--corpus", corpus, "--model", tmp_path / "none")
    assert "manifest.json: expected a model's manifest, got none" in line


def test_a_model_with_another_checksum_is_refused(corpus, folder, capsys):
    with (folder / DIALOGUE_FILE).open("ab") as file:
        file.write(b"!")
    line = refusal(capsys, "--corpus", corpus, "--model", folder)
    assert "dialogue.onnx: expected SHA-256" in line


def test_a_damaged_manifest_is_refused(corpus, folder, capsys):
    (folder / MANIFEST_FILE).write_text("{")
    line = refusal(capsys, "--corpus", corpus, "--model", folder)
    assert "expected a model's manifest" in line


def test_what_the_manifest_says_of_figures_makes_no_other_model(
    corpus, folder, tmp_path
):
    checksums = []
    for about in ("before", "after"):
        file = tmp_path / f"{about}.json"
        manifest = json.loads((folder / MANIFEST_FILE).read_text())
        (folder / MANIFEST_FILE).write_text(json.dumps(manifest | {"about": about}))
        assert evaluate("--corpus", corpus, "--model", folder, "--report", file) == 0
        checksums.append(json.loads(file.read_text())["model"]["checksum"])
    assert checksums[0] == checksums[1]


def test_a_bad_line_is_counted_or_ends_it(corpus, tmp_path, capsys):
    with corpus.open("a") as file:
        file.write("no JSON\n")
    report = tmp_path / "report.json"
    assert evaluate("--corpus", corpus, "--report", report) == 0
    assert json.loads(report.read_text())["faults"]["corpus_lines"] == 1
    assert "faults: corpus_lines 1" in capsys.readouterr().out
    line = refusal(capsys, "--corpus", corpus, "--strict")
    assert "made_up.jsonl:7: expected an utterance" in line


def test_evaluating_needs_nothing_of_the_training():
    command = "import offline.commands.evaluate, sys; print(*sys.modules)"
    shown = subprocess.run(
        [sys.executable, "-c", command],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(shown.stdout.split())
    assert loaded.isdisjoint({"torch", "transformers", "pandas", "matplotlib", "onnx"})
