"""Settings -> nothing, or an error: numbers that a stage could not be trained with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from stream_erc.errors import ConfigError

N_HEADS = 4  # of the network's attention, among which its width is shared out

SMALLEST = {
    **dict.fromkeys(("threads", "batch", "span", "validate_steps"), 1),
    **dict.fromkeys(("hidden", "width", "window", "turns"), 1),
    **dict.fromkeys(("seed", "steps", "epochs", "patience"), 0),
    **dict.fromkeys(("frozen_layers", "replay", "n_texts", "copies"), 0),
}
"""Counts, and the least that each may be; they are called the same in every table."""

SHARES = frozenset(
    {"average", "dropout", "drop_text", "drop_voice", "drop_turn"}
    | {"teacher_weight", "drop_encoder", "drop_functionals", "drop_speakers"}
    | {"one_name", "steady", "steady_dialogues", "neutral_words", "agreeing_words"}
    | {"part", "bare", "misheard", "misheard_texts", "prefix"}
    | {"speed", "noise", "room", "narrow_band"}
)
"""Probabilities, and what else lies between 0 and 1."""


def check_ranges(settings: Any, where: str) -> None:
    """Refuse numbers out of range, in nested settings too.

    Args:
        settings: A dataclass.
        where: Names it in an error.

    Raises:
        ConfigError: Naming the key, what was expected and what came.
    """
    for spec in fields(settings):
        name, value = spec.name, getattr(settings, spec.name)
        if is_dataclass(value):
            check_ranges(value, f"{where} [{name}]")
        elif isinstance(value, Mapping):
            for key, each in value.items():
                check_ranges(each, f"{where} [{name}.{key}]")
        elif expected := misses(name, value):
            raise ConfigError(f"{where}: {name}: expected {expected}, got {value}")


def misses(name: str, value: Any) -> str:
    """Say what was expected of a number that is out of range; else nothing."""
    if name in SMALLEST and value < SMALLEST[name]:
        return f"at least {SMALLEST[name]}"
    if name in SHARES and not 0.0 <= value <= 1.0:
        return "0 to 1"
    if name == "width" and value % N_HEADS:
        return f"a multiple of {N_HEADS}"
    return ""
