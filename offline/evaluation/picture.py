"""A report -> a picture: confusion, calibration, and how emotions come clear."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from stream_erc.errors import ConfigError, reason

ENDINGS = (".png", ".svg", ".pdf")
PANEL_INCHES = 5.0
DARK = 0.5  # share of a row from which its number is written in white


def check_picture(file: Path) -> None:
    """Refuse what cannot be drawn, before anything slow begins.

    Raises:
        ConfigError: If the ending says no known format, or matplotlib is missing.
    """
    if file.suffix.lower() not in ENDINGS:
        raise ConfigError(
            f"--picture: expected a file ending in .png, .svg or .pdf, got {file.name}"
        )
    if find_spec("matplotlib") is None:
        raise ConfigError(
            "--picture: expected matplotlib (pip install 'stream-erc[plot]'), got none"
        )


def draw_picture(report: dict[str, Any], file: Path) -> None:
    """Draw a report.

    Args:
        report: As `evaluate_corpus` gives it.
        file: Its ending says the format.

    Raises:
        ConfigError: As `check_picture`, or if the file cannot be written.
    """
    check_picture(file)
    # Figures made without pyplot need no display and no backend chosen.
    from matplotlib.figure import Figure

    panels = [draw_confusion, draw_reliability]
    if report["curve"]:
        panels.append(draw_curve)
    figure = Figure(
        figsize=(PANEL_INCHES * len(panels), PANEL_INCHES), layout="constrained"
    )
    figure.suptitle(
        f"{report['corpus']}: {report['target']}, {report['modalities']}, "
        f"n = {report['n']}, weighted F1 {report['weighted_f1']:.3f}"
    )
    for axes, draw in zip(figure.subplots(1, len(panels)), panels, strict=True):
        draw(axes, report)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)
    except OSError as error:
        raise ConfigError(
            f"--picture: expected a file to write, got {file}: {reason(error)}"
        ) from error


def draw_confusion(axes: Any, report: dict[str, Any]) -> None:
    """Draw counts, coloured by their share of what was wanted."""
    counts = np.array(report["confusion"])
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0.0, vmax=1.0)
    for (wanted, given), count in np.ndenumerate(counts):
        colour = "white" if shares[wanted, given] > DARK else "black"
        axes.text(given, wanted, str(count), ha="center", va="center", color=colour)
    places = np.arange(len(report["labels"]))
    axes.set_xticks(places, report["labels"], rotation=45, ha="right")
    axes.set_yticks(places, report["labels"])
    axes.set(xlabel="given", ylabel="wanted", title="Confusion (turns)")


def draw_reliability(axes: Any, report: dict[str, Any]) -> None:
    """Draw how often the winner is right, by what it claims."""
    bins = [each for each in report["reliability"] if each["n"]]
    axes.bar(
        [each["from"] for each in bins],
        [each["accuracy"] for each in bins],
        [each["to"] - each["from"] for each in bins],
        align="edge",
        color="#9ecae1",
        edgecolor="white",
        label="share that is right",
    )
    axes.plot(
        [each["confidence"] for each in bins],
        [each["accuracy"] for each in bins],
        "o",
        color="#08519c",
        label="at the mean confidence",
    )
    for each in bins:
        middle = (each["from"] + each["to"]) / 2.0
        axes.annotate(str(each["n"]), (middle, 0.01), ha="center", fontsize=8)
    axes.plot([0.0, 1.0], [0.0, 1.0], "--", color="grey", label="perfect")
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0), xlabel="confidence", ylabel="accuracy")
    axes.set_title(
        f"Calibration: ECE {report['ece']:.3f} "
        f"(by chance {report['ece_if_calibrated']:.3f})"
    )
    axes.legend(loc="upper left", frameon=False)


def draw_curve(axes: Any, report: dict[str, Any]) -> None:
    """Draw the scores against how much of a turn was heard."""
    shares = [100.0 * point["share"] for point in report["curve"]]
    for name, label in (("accuracy", "accuracy"), ("weighted_f1", "weighted F1")):
        values = [point[name] for point in report["curve"]]
        axes.plot(shares, values, "o-", label=label)
    axes.set(xlim=(0.0, 105.0), ylim=(0.0, 1.0), ylabel="score")
    axes.set_xticks(shares)
    axes.set(xlabel="share of the turn heard (%)", title="While a turn is spoken")
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", frameon=False)
