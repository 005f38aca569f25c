"""Figures and recipe -> manifest, MODEL_CARD.md and LICENSE of a model folder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from stream_erc.model_folder import MANIFEST_FILE

from .recipe import Recipe

TEMPLATES = Path(__file__).parent / "recipes"
CARD_FILE = "MODEL_CARD.md"
LICENSE_FILE = "LICENSE"

FIGURES_MARK = "{{figures}}"
RUN_MARK = "{{run}}"


def describe_run(recipe: Recipe) -> dict[str, Any]:
    """Give what the manifest says of how the model came to be."""
    # The encoder's folder is somebody's own; its name is in the card.
    public = replace(recipe, text=replace(recipe.text, encoder=""))
    return {"seed": recipe.seed, "recipe": asdict(public), "evaluation": None}


def write_papers(folder: Path) -> None:
    """Write licence and card, the figures still to come."""
    licence = (TEMPLATES / "model_licence.txt").read_text(encoding="utf-8")
    (folder / LICENSE_FILE).write_text(licence, encoding="utf-8")
    write_card(folder)


def write_figures(folder: Path, result: dict[str, Any]) -> None:
    """Put an evaluation into the folder's manifest and card."""
    file = folder / MANIFEST_FILE
    manifest = json.loads(file.read_text(encoding="utf-8"))
    manifest["about"]["evaluation"] = result
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    write_card(folder)


def write_card(folder: Path) -> None:
    """Write the card from its template and the manifest."""
    manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
    about = manifest["about"]
    card = (TEMPLATES / "model_card.md").read_text(encoding="utf-8")
    figures = "Not evaluated yet."
    if about["evaluation"] is not None:
        figures = figures_table(about["evaluation"])
    run = json.dumps({"seed": about["seed"], "recipe": about["recipe"]}, indent=1)
    card = card.replace(FIGURES_MARK, figures).replace(RUN_MARK, run)
    (folder / CARD_FILE).write_text(card, encoding="utf-8")


def figures_table(result: dict[str, Any]) -> str:
    """Give the figures as a Markdown table."""
    lines = [
        "| test set and input | n | weighted F1 | macro F1 | UAR | calibration error |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {name.replace('_', ' ')} | {f['n']} | {f['weighted_f1']:.3f} | "
        f"{f['macro_f1']:.3f} | {f['uar']:.3f} | {f['calibration_error']:.3f} |"
        for name, f in result["figures"].items()
    ]
    return "\n".join(lines)
