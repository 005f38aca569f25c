"""Manifest and reports -> MODEL_CARD.md and LICENSE of a model folder."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from textwrap import wrap
from typing import Any

from stream_erc.errors import ConfigError
from stream_erc.model_folder import MANIFEST_FILE

from .terms import lines_of

TEMPLATES = Path(__file__).parents[1] / "recipes"
CARD_FILE = "MODEL_CARD.md"
LICENSE_FILE = "LICENSE"

VOICES = {
    "encoder": "mean and deviation of Whisper tiny.en's encoder states over the turn",
    "functionals": "336 functionals (IS09 without pitch and voicing)",
}
"""What a voice is to the model, by what it learned from."""


def write_papers(folder: Path) -> None:
    """Write licence and card from their templates and the manifest."""
    manifest = read_manifest(folder)
    terms = lines_of(manifest["about"]["learned_from"], manifest["learned"])
    wrapped = [wrap(f"- {line}", 88, subsequent_indent="  ") for line in terms]
    lines = [line for lines in wrapped for line in lines]
    fill("model_licence.txt", folder / LICENSE_FILE, {"terms": "\n".join(lines)})
    fill("model_card.md", folder / CARD_FILE, card_entries(manifest))


def add_figures(folder: Path, name: str, report: dict[str, Any]) -> None:
    """Put an evaluation into the folder's manifest and card.

    Of the card the table of figures alone is written anew: somebody may have gone on
    with the rest.

    Raises:
        ConfigError: If the card does not have that table any more.
    """
    check_card(folder)
    manifest, card = read_manifest(folder), folder / CARD_FILE
    figures = manifest["about"]["figures"]
    before = figures_table(figures)
    kept = ("n", "weighted_f1", "macro_f1", "uar", "accuracy", "ece")
    figures[name] = {key: report[key] for key in kept}
    told = card.read_text(encoding="utf-8").replace(before, figures_table(figures))
    card.write_text(told, encoding="utf-8")
    text = json.dumps(manifest, indent=1, ensure_ascii=False)
    (folder / MANIFEST_FILE).write_text(text + "\n", encoding="utf-8")


def check_card(folder: Path) -> None:
    """Refuse a folder whose card has no place for figures.

    Raises:
        ConfigError: If it has no card, or one with other figures than the manifest's.
    """
    file = folder / CARD_FILE
    table = figures_table(read_manifest(folder)["about"].get("figures", {}))
    whole = f"{table}\n\n"  # and no further row
    if not file.is_file() or whole not in file.read_text(encoding="utf-8") + "\n":
        raise ConfigError(
            f"--card: expected {file} with the figures that stand in {MANIFEST_FILE}, "
            "got none"
        )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Give the manifest of a folder whose files are known to be whole."""
    text = (folder / MANIFEST_FILE).read_text(encoding="utf-8")
    manifest: dict[str, Any] = json.loads(text)
    return manifest


def fill(template: str, file: Path, entries: dict[str, str]) -> None:
    """Write a template with its blanks `{{name}}` filled."""
    text = (TEMPLATES / template).read_text(encoding="utf-8")
    for name, entry in entries.items():
        text = text.replace(f"{{{{{name}}}}}", entry)
    file.write_text(text, encoding="utf-8")


def card_entries(manifest: dict[str, Any]) -> dict[str, str]:
    """Give what the card's template leaves open."""
    about = manifest["about"]
    learned_from = about["learned_from"]
    has_labels = bool(learned_from["labels"])
    return {
        "encoder": ", ".join(learned_from["encoders"]),
        "voice": voice_of(manifest["learned"]),
        "corpora": corpora_table(learned_from["corpora"]),
        "labels": labels_of(learned_from),
        "options": "--text-encoder ENCODER" + " --labels LABELS" * has_labels,
        "figures": figures_table(about["figures"]),
        "forms": forms_table(about["forms"]),
        "run": json.dumps({"seed": about["seed"], "recipe": about["recipe"]}, indent=1),
    }


def voice_of(learned: Sequence[str]) -> str:
    """Say what of a voice the model knows."""
    known = [text for name, text in VOICES.items() if name in learned]
    if not known:
        return "none. It learned from words alone, and a voice changes nothing"
    return (
        " and\n  ".join(known)
        + ",\n  normalised to how the speaker has sounded in this conversation so far"
    )


def labels_of(learned_from: dict[str, Any]) -> str:
    """Say whether labels by a language model took part, and how acted clips did."""
    sums = ", ".join(f"`{checksum[:12]}`" for checksum in learned_from["labels"])
    told = (
        f"Also labels by a language model (SHA-256 of the files begins with {sums})."
        if sums
        else "No labels by a language model."
    )
    if any(part["role"] == "acted" for part in learned_from["corpora"].values()):
        told += (
            "\nActed clips are played as made-up dialogues of two actors, with words "
            "of the other\ncorpora."
        )
    return told


def corpora_table(corpora: dict[str, Any]) -> str:
    """Give what was learned from as a Markdown table."""
    lines = ["| corpus | part in it | share of its training split |", "|---|---|---|"]
    lines += [
        f"| {name} | {part['role']} | {part['share']:.0%} |"
        for name, part in corpora.items()
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
