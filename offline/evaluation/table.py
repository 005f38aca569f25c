"""A report -> a few lines to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

HEADLINE = ("weighted_f1", "macro_f1", "uar", "accuracy", "ece")


def table_of(report: dict[str, Any]) -> str:
    """Give the figures that say the most as text."""
    return "\n".join(lines_of(report))


def lines_of(report: dict[str, Any]) -> Iterator[str]:
    """Give the lines of the table."""
    turns = report["context_turns"]
    context = "all earlier turns" if turns is None else f"{turns} earlier turns"
    yield f"{report['corpus']}: {report['target']}, {report['modalities']}, {context}"
    yield f"{report['n']} turns scored of {report['n_turns']} in " + (
        f"{report['n_dialogues']} dialogues"
    )
    yield ""
    yield "  ".join([f"{'':12}", *(f"{name:>11}" for name in HEADLINE)])
    yield row("", report)
    if report["weighted_f1_interval_95"]:
        low, high = report["weighted_f1_interval_95"]
        yield f"weighted F1, 95 % interval over dialogues: {low:.3f} to {high:.3f}"
    yield f"ece of a perfectly calibrated model: {report['ece_if_calibrated']:.3f}"
    if report["ece_before_temperature"] is not None:
        yield f"ece before temperature: {report['ece_before_temperature']:.3f}"
    yield ""
    yield f"{'class':12}{'n':>8}{'precision':>11}{'recall':>8}{'f1':>8}"
    for label, each in report["per_class"].items():
        if each["n"]:
            yield (
                f"{label:12}{each['n']:>8}{each['precision']:>11.3f}"
                f"{each['recall']:>8.3f}{each['f1']:>8.3f}"
            )
    if missing := [name for name, each in report["per_class"].items() if not each["n"]]:
        yield f"not in this corpus: {', '.join(missing)}"
    yield from variants_of(report)
    faults = {kind: count for kind, count in report["faults"].items() if count}
    if faults:
        yield ""
        yield "faults: " + ", ".join(f"{kind} {n}" for kind, n in faults.items())
    yield ""
    yield (
        f"took {report['took_s']} s; a turn {report['hearing_ms_per_turn']} ms to read "
        f"or hear, {report['judging_ms_per_turn']} ms to judge"
    )


def variants_of(report: dict[str, Any]) -> Iterator[str]:
    """Give the lines of the other conditions, if there are any."""
    named = [(f"{p['share']:.0%} heard", p) for p in report["curve"] or ()]
    named += [
        (f"WER {p['word_error_rate']:.1%}", p) for p in report["asr_errors"] or ()
    ]
    named += [(f"SNR {p['snr_db']:g} dB", p) for p in report["noise"] or ()]
    if named:
        yield ""
    for name, point in named:
        yield row(name, point)


def row(name: str, figures: dict[str, Any]) -> str:
    """Give the headline figures of one condition."""
    return "  ".join([f"{name:12}", *(f"{figures[k]:>11.3f}" for k in HEADLINE)])
