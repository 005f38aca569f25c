"""Run folders and reports -> JSON and tables of docs/results.md."""

import json

import pytest

from offline.results import cell_of, main, read_experiment, summarise, table_of

PAGE = """# Results

Words stay.

<!-- labels -->
| old |
<!-- end -->

<!-- served -->
<!-- end -->

<!-- conditions -->
<!-- end -->

<!-- classes -->
<!-- end -->

<!-- forms -->
<!-- end -->

<!-- other -->
kept
<!-- end -->
"""


def write_run(folder, *scores, machine="2 cores"):
    """A run folder whose first so many stages are done."""
    folder.mkdir(parents=True, exist_ok=True)
    figures = {
        stage: {"validation": {"meld": 0.9}, "test": {"meld": score}}
        for stage, score in zip(("text", "context", "fusion"), scores, strict=False)
    }
    figures["made"] = {"date": "2026-01-02", "machine": machine, "seconds": {"text": 3}}
    (folder / "figures.json").write_text(json.dumps(figures))


@pytest.fixture
def runs(tmp_path):
    for seed, score in enumerate((0.6, 0.64)):
        write_run(tmp_path / "runs" / "labels" / "labels-0" / f"seed-{seed}", score)
    write_run(tmp_path / "runs" / "labels" / "labels-all" / "seed-0", 0.7)
    (tmp_path / "runs" / "labels" / "labels-all" / "seed-1").mkdir()  # not done yet
    return tmp_path / "runs"


def test_the_test_figures_of_all_seeds_come_together(runs, tmp_path):
    variants = read_experiment(runs / "labels", tmp_path / "labels.json")["variants"]
    assert list(variants) == ["labels-0", "labels-all"]
    assert list(variants["labels-0"]["runs"]) == ["0", "1"]
    assert list(variants["labels-all"]["runs"]) == ["0"]
    figure = variants["labels-0"]["figures"]["I text: meld"]
    assert figure == {"mean": 0.62, "deviation": 0.0283, "seeds": 2}
    assert variants["labels-0"]["runs"]["1"] == {
        "date": "2026-01-02",
        "machine": "2 cores",
        "seconds": {"text": 3},
        "test": {"I text: meld": 0.64},
    }


def test_variants_are_in_the_order_of_their_numbers(tmp_path):
    for name in ("labels-15000", "labels-all", "labels-5000", "labels-0"):
        write_run(tmp_path / name / "seed-0", 0.5)
    variants = read_experiment(tmp_path, tmp_path / "none.json")["variants"]
    assert list(variants) == ["labels-0", "labels-5000", "labels-15000", "labels-all"]


def test_columns_are_in_the_order_of_the_stages(tmp_path):
    write_run(tmp_path / "all" / "seed-0", 0.1, 0.2, 0.3)
    later = {"fusion": {"test": {"meld": 0.4}}}  # its words are another run's
    (tmp_path / "again" / "seed-0").mkdir(parents=True)
    (tmp_path / "again" / "seed-0" / "figures.json").write_text(json.dumps(later))
    header, _, first, second = table_of(read_experiment(tmp_path, tmp_path / "none"))
    assert header == "| variant | seeds | I text: meld | II: meld | III: meld |"
    assert first == "| again | 1 | – | – | 40.0 |"
    assert second == "| all | 1 | 10.0 | 20.0 | 30.0 |"


def gather_again(tmp_path, before, after):
    """Machine of each run and figures, once runs of another machine are gathered."""
    file = tmp_path / "labels.json"
    for machine, runs in (("first", before), ("second", after)):
        folder = tmp_path / machine
        for (variant, seed), scores in runs.items():
            path = folder / variant / f"seed-{seed}"
            write_run(path, *scores, machine=machine)
        experiment = read_experiment(folder, file)
        file.write_text(json.dumps(experiment))
    return {
        (variant, seed): (run["machine"], list(run["test"].values()))
        for variant, about in experiment["variants"].items()
        for seed, run in about["runs"].items()
    }


def test_runs_of_another_machine_stay(tmp_path):
    assert gather_again(
        tmp_path,
        {("labels-0", 0): [0.6], ("labels-0", 2): [0.5], ("labels-all", 0): [0.7]},
        {("labels-0", 1): [0.4], ("labels-5", 0): [0.3]},
    ) == {
        ("labels-0", "0"): ("first", [0.6]),
        ("labels-0", "1"): ("second", [0.4]),
        ("labels-0", "2"): ("first", [0.5]),
        ("labels-5", "0"): ("second", [0.3]),
        ("labels-all", "0"): ("first", [0.7]),
    }


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ([0.6], [0.5], ("second", [0.5])),
        ([0.6], [0.5, 0.4], ("second", [0.5, 0.4])),
        ([0.6, 0.7], [0.5], ("first", [0.6, 0.7])),
    ],
)
def test_of_two_runs_of_a_seed_the_later_stands_if_it_got_as_far(
    tmp_path, before, after, expected
):
    runs = gather_again(tmp_path, {("a", 0): before}, {("a", 0): after})
    assert runs == {("a", "0"): expected}


def test_one_seed_has_no_deviation():
    assert summarise([0.5])["deviation"] is None
    assert cell_of(summarise([0.5]), 1) == "50.0"
    assert cell_of(summarise([0.6, 0.64]), 2) == "62.0 ± 2.8"
    assert cell_of(None, 1) == "–"


def test_a_figure_says_of_how_many_seeds_it_is_if_not_of_all():
    assert cell_of(summarise([0.5]), 2) == "50.0 (of 1)"
    assert cell_of(summarise([0.6, 0.64]), 3) == "62.0 ± 2.8 (of 2)"


def test_tables_are_put_between_their_marks_and_words_stay(runs, tmp_path):
    docs = tmp_path / "docs"
    report = {"modalities": "text", "n": 7, "weighted_f1": 0.5, "macro_f1": 0.25}
    report |= {"uar": 0.125, "ece": 0.0321, "ece_if_calibrated": 0.021}
    poor = {"weighted_f1": 0.25, "uar": 0.2, "ece": 0.1}
    report |= {"curve": [{"share": 0.25, **poor}], "noise": None}
    report["asr_errors"] = [{"word_error_rate": 0.147, **poor}]
    report |= {"context_turns": None, "labels": ["joy", "fear", "anger"]}
    report["confusion"] = [[3, 1, 0], [0, 0, 0], [0, 0, 2]]
    served = docs / "results" / "served" / "default"
    served.mkdir(parents=True)
    (served / "meld-text.json").write_text(json.dumps(report))
    short = json.dumps({**report, "context_turns": 4})
    (served / "meld-text-context-4.json").write_text(short)
    (docs / "results.md").write_text(PAGE)
    assert main([str(runs), str(docs)]) == 0
    page = (docs / "results.md").read_text()
    assert "| labels-0 | 2 | 62.0 ± 2.8 |" in page
    assert "| default/meld-text | text | 7 | 50.0 | 25.0 | 12.5 | 0.032 |" in page
    first = "| default/meld-text | the first 25 % of the turn | 25.0 | 20.0 | 0.100 |"
    assert first in page
    assert "| 14.7 % of words wrong | 25.0 |" in page
    assert "| meld-text | 75; fear 25 | – | 100 |\n<!-- end -->" in page
    assert "old" not in page
    assert "Words stay." in page
    assert "<!-- other -->\nkept\n<!-- end -->" in page
    written = json.loads((docs / "results" / "labels.json").read_text())
    assert written["experiment"] == "labels"
    before = page
    assert main([str(runs), str(docs)]) == 0
    assert (docs / "results.md").read_text() == before


def test_it_wants_two_folders(capsys):
    assert main(["only one"]) == 2
    assert "RUNS" in capsys.readouterr().err


def test_the_forms_that_export_tried_stand_in_their_table(runs, tmp_path):
    model = runs.parent / "models" / "free"
    model.mkdir(parents=True)
    form = {"form": "int8", "megabytes": 23.0, "weighted_f1": 0.68, "ms_per_text": 8.2}
    (model / "manifest.json").write_text(json.dumps({"about": {"forms": [form]}}))
    docs = tmp_path / "docs"
    docs.mkdir()
    (docs / "results.md").write_text(PAGE)
    assert main([str(runs), str(docs)]) == 0
    assert "| free | int8 | 23.0 | 68.0 | 8.2 |" in (docs / "results.md").read_text()
