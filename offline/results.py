"""Run folders and reports -> docs/results: `python -m offline.results RUNS DOCS`.

RUNS holds EXPERIMENT/VARIANT/seed-N, each a run folder. Each experiment becomes
DOCS/results/EXPERIMENT.json, and the table between its two marks in DOCS/results.md is
written anew; runs that stand in that file from other machines stay, unless RUNS has one
of the same seed that got as far. So are the tables of the reports that `evaluate
--report` left in DOCS/results/served, and of the forms that `export` tried for
RUNS/../models/NAME. The words around the tables are nobody's but the author's.
"""

from __future__ import annotations

import json
import re
import statistics
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

STAGES = {"text": "I text", "voice": "I voice", "context": "II", "fusion": "III"}
SERVED = "served"
SHIPPED = "default"
MODELS = "models"
MARKS = re.compile(r"(<!-- (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)

Runs = dict[str, dict[str, Any]]
"""By seed: `date`, `machine`, `seconds` of each stage, and `test`, figures by name."""


def read_runs(folder: Path) -> Runs:
    """Give the runs of a variant by their seeds.

    Args:
        folder: Of `seed-N` folders; those without a figure yet are passed over.
    """
    runs: Runs = {}
    for file in sorted(folder.glob("seed-*/figures.json")):
        stages = json.loads(file.read_text(encoding="utf-8"))
        test = {
            f"{title}: {name}": round(value, 4)
            for stage, title in STAGES.items()
            for name, value in stages.get(stage, {}).get("test", {}).items()
        }
        if test:
            seed = file.parent.name.removeprefix("seed-")
            runs[seed] = {**stages.get("made", {}), "test": test}
    return runs


def join_runs(known: Runs, found: Runs) -> Runs:
    """Put found runs in the places of known ones, if they got as far."""
    further = {
        seed: run
        for seed, run in found.items()
        if seed not in known or len(run["test"]) >= len(known[seed]["test"])
    }
    joined = {**known, **further}
    return {seed: joined[seed] for seed in sorted(joined, key=by_number)}


def summarise(values: Sequence[float]) -> dict[str, Any]:
    """Give mean and sample deviation of a figure, and of how many seeds they are."""
    deviation = statistics.stdev(values) if len(values) > 1 else None
    return {
        "mean": round(statistics.mean(values), 4),
        "deviation": None if deviation is None else round(deviation, 4),
        "seeds": len(values),
    }


def figures_of(runs: Runs) -> dict[str, Any]:
    """Summarise every figure that a run has."""
    names = dict.fromkeys(name for run in runs.values() for name in run["test"])
    return {
        name: summarise([r["test"][name] for r in runs.values() if name in r["test"]])
        for name in names
    }


def read_experiment(folder: Path, file: Path) -> dict[str, Any]:
    """Give an experiment's variants, each with its runs and figures.

    Args:
        folder: Its run folders.
        file: What was written of it before; it may be missing.
    """
    known: dict[str, Any] = {}
    if file.is_file():
        known = json.loads(file.read_text(encoding="utf-8"))["variants"]
    found = [each.name for each in folder.iterdir() if each.is_dir()]
    variants = {}
    for name in sorted({*known, *found}, key=by_number):
        before = known[name]["runs"] if name in known else {}
        runs = join_runs(before, read_runs(folder / name))
        if runs:
            variants[name] = {"figures": figures_of(runs), "runs": runs}
    return {"experiment": folder.name, "variants": variants}


def by_number(name: str) -> list[str | int]:
    """Give what a name is sorted by: its digits as numbers."""
    return [int(p) if p.isdigit() else p for p in re.split(r"(\d+)", name)]


def table_of(experiment: Mapping[str, Any]) -> Iterator[str]:
    """Give an experiment as the lines of a Markdown table, in percent."""
    variants = experiment["variants"]
    stages = list(STAGES.values())
    names = sorted(
        dict.fromkeys(n for v in variants.values() for n in v["figures"]),
        key=lambda name: stages.index(name.partition(":")[0]),
    )
    yield "| variant | seeds | " + " | ".join(names) + " |"
    yield "|---|---|" + "---|" * len(names)
    for name, variant in variants.items():
        seeds = len(variant["runs"])
        cells = [cell_of(variant["figures"].get(each), seeds) for each in names]
        yield f"| {name} | {seeds} | " + " | ".join(cells) + " |"


def cell_of(figure: Mapping[str, Any] | None, n_seeds: int) -> str:
    """Give a mean, and the deviation where there is one, in percent.

    Where not all seeds have got so far, it says how many did.
    """
    if figure is None:
        return "–"
    cell = f"{figure['mean'] * 100:.1f}"
    if figure["deviation"] is not None:
        cell += f" ± {figure['deviation'] * 100:.1f}"
    return cell if figure["seeds"] == n_seeds else f"{cell} (of {figure['seeds']})"


def read_reports(folder: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Give the reports of a folder, each with its name."""
    for file in sorted(folder.rglob("*.json")):
        report = json.loads(file.read_text(encoding="utf-8"))
        yield file.relative_to(folder).with_suffix(""), report


def table_of_reports(folder: Path) -> Iterator[str]:
    """Give the reports of a folder as the lines of a Markdown table."""
    yield "| report | input | n | weighted F1 | macro F1 | UAR | ECE | calibrated: |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, report in read_reports(folder):
        shown = [report[name] for name in ("weighted_f1", "macro_f1", "uar")]
        errors = [report["ece"], report["ece_if_calibrated"]]
        yield (
            f"| {name} | {report['modalities']} | {report['n']} | "
            + " | ".join(f"{value * 100:.1f}" for value in shown)
            + " | "
            + " | ".join(f"{value:.3f}" for value in errors)
            + " |"
        )


def table_of_conditions(folder: Path) -> Iterator[str]:
    """Give what reports say of turns cut short, misheard or noisy, likewise."""
    yield "| report | condition | weighted F1 | UAR | ECE |"
    yield "|---|---|---|---|---|"
    for name, report in read_reports(folder):
        for condition, figures in conditions_of(report):
            yield (
                f"| {name} | {condition} | {figures['weighted_f1'] * 100:.1f} | "
                f"{figures['uar'] * 100:.1f} | {figures['ece']:.3f} |"
            )


def table_of_classes(folder: Path) -> Iterator[str]:
    """Give how much of each class a folder's reports find, and what hides the rest.

    A cell has the recall and the class that most of the others were taken for. Reports
    that held part of the context back are left out.
    """
    reports = [
        (name, report)
        for name, report in read_reports(folder)
        if report["context_turns"] is None
    ]
    names = list(dict.fromkeys(n for _, report in reports for n in report["labels"]))
    yield "| report | " + " | ".join(names) + " |"
    yield "|---|" + "---|" * len(names)
    for name, report in reports:
        cells = {
            label: class_cell(report["labels"], label, counts)
            for label, counts in zip(report["labels"], report["confusion"], strict=True)
        }
        yield f"| {name} | " + " | ".join(cells.get(each, "–") for each in names) + " |"


def class_cell(labels: Sequence[str], label: str, counts: Sequence[int]) -> str:
    """Give in percent how much of a class is found, and its commonest mistake."""
    if not sum(counts):
        return "–"
    shares = dict(zip(labels, (count / sum(counts) for count in counts), strict=True))
    found = shares.pop(label)
    taken_for = max(shares, key=shares.__getitem__)
    if not shares[taken_for]:
        return f"{found * 100:.0f}"
    return f"{found * 100:.0f}; {taken_for} {shares[taken_for] * 100:.0f}"


def conditions_of(report: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Give by name the figures under each condition that a report has."""
    for each in report.get("curve") or ():
        yield f"the first {each['share'] * 100:.0f} % of the turn", each
    for each in report.get("asr_errors") or ():
        yield f"{each['word_error_rate'] * 100:.1f} % of words wrong", each
    for each in report.get("noise") or ():
        yield f"noise at {each['snr_db']:.0f} dB", each


def table_of_forms(models: Path) -> Iterator[str]:
    """Give what `export` measured of each form of the models' text encoders."""
    yield "| model | weights | MB | weighted F1, validation | ms a text |"
    yield "|---|---|---|---|---|"
    for file in sorted(models.glob("*/manifest.json")):
        for form in json.loads(file.read_text(encoding="utf-8"))["about"]["forms"]:
            yield (
                f"| {file.parent.name} | {form['form']} | {form['megabytes']} | "
                f"{form['weighted_f1'] * 100:.1f} | {form['ms_per_text']} |"
            )


def write_tables(page: Path, tables: Mapping[str, Sequence[str]]) -> None:
    """Put tables between their marks; marks without a table keep what they have."""

    def put(match: re.Match[str]) -> str:
        lines = tables.get(match["name"])
        if lines is None:
            return match[0]
        return f"{match[1]}{chr(10).join(lines)}\n{match[3]}"

    text = page.read_text(encoding="utf-8")
    page.write_text(MARKS.sub(put, text), encoding="utf-8")


def main(arguments: Sequence[str]) -> int:
    """Gather everything."""
    if len(arguments) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    runs, docs = map(Path, arguments)
    tables = {}
    (docs / "results").mkdir(parents=True, exist_ok=True)
    for folder in sorted(each for each in runs.iterdir() if each.is_dir()):
        file = docs / "results" / f"{folder.name}.json"
        experiment = read_experiment(folder, file)
        if experiment["variants"]:
            text = json.dumps(experiment, indent=1)
            file.write_text(text + "\n", encoding="utf-8")
            tables[folder.name] = list(table_of(experiment))
    served = docs / "results" / SERVED
    if served.is_dir():
        tables[SERVED] = list(table_of_reports(served))
        tables["conditions"] = list(table_of_conditions(served))
        tables["classes"] = list(table_of_classes(served / SHIPPED))
    if (runs.parent / MODELS).is_dir():
        tables["forms"] = list(table_of_forms(runs.parent / MODELS))
    write_tables(docs / "results.md", tables)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
