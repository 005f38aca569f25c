"""Manifest and reports -> MODEL_CARD.md and LICENSE of a model folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from stream_erc.model_folder import MANIFEST_FILE

TEMPLATES = Path(__file__).parents[1] / "recipes"
CARD_FILE = "MODEL_CARD.md"
LICENSE_FILE = "LICENSE"

ENCODER_MARK = "{{encoder}}"
CORPORA_MARK = "{{corpora}}"
FIGURES_MARK = "{{figures}}"
FORMS_MARK = "{{forms}}"
RUN_MARK = "{{run}}"


def write_papers(folder: Path) -> None:
    """Write licence and card."""
    licence = (TEMPLATES / "model_licence.txt").read_text(encoding="utf-8")
    (folder / LICENSE_FILE).write_text(licence, encoding="utf-8")
    write_card(folder)


def add_figures(folder: Path, name: str, report: dict[str, Any]) -> None:
    """Put an evaluation into the folder's manifest and card."""
    file = folder / MANIFEST_FILE
    manifest = json.loads(file.read_text(encoding="utf-8"))
    kept = ("n", "weighted_f1", "macro_f1", "uar", "accuracy", "ece")
    manifest["about"]["figures"][name] = {key: report[key] for key in kept}
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    write_card(folder)


def write_card(folder: Path) -> None:
    """Write the card from its template and the manifest."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    about = manifest["about"]
    card = (TEMPLATES / "model_card.md").read_text(encoding="utf-8")
    run = json.dumps({"seed": about["seed"], "recipe": about["recipe"]}, indent=1)
    for mark, text in (
        (ENCODER_MARK, about["recipe"]["text"]["encoder"]),
        (CORPORA_MARK, corpora_table(about["recipe"]["corpora"])),
        (FIGURES_MARK, figures_table(about["figures"])),
        (FORMS_MARK, forms_table(about["forms"])),
        (RUN_MARK, run),
    ):
        card = card.replace(mark, text)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def corpora_table(corpora: dict[str, Any]) -> str:
    """Give what was learned from as a Markdown table."""
    lines = ["| corpus | part in it | share of its training split |", "|---|---|---|"]
    lines += [
        f"| {name} | {corpus['role']} | {corpus['share']:.0%} |"
        for name, corpus in corpora.items()
        if not corpus["unseen"]
    ]
    return "\n".join(lines)


def figures_table(figures: dict[str, Any]) -> str:
    """Give the figures as a Markdown table."""
    if not figures:
        return "Not evaluated yet."
    lines = [
        "| test set and input | n | weighted F1 | macro F1 | UAR | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name} | {f['n']} | {f['weighted_f1']:.3f} | {f['macro_f1']:.3f} | "
        f"{f['uar']:.3f} | {f['ece']:.3f} |"
        for name, f in figures.items()
    ]
    return "\n".join(lines)


def forms_table(forms: list[dict[str, Any]]) -> str:
    """Give what the forms of the text encoder's weights cost, as a Markdown table."""
    lines = [
        "| weights | MB | weighted F1 on validation | largest change | ms a text |",
        "|---|---|---|---|---|",
    ]
    lines += [
        f"| {f['form']} | {f['megabytes']} | {f['weighted_f1']:.4f} | "
        f"{f['largest_change']:.4f} | {f['ms_per_text']:.1f} |"
        for f in forms
    ]
    return "\n".join(lines)
