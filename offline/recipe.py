"""A TOML file -> Recipe: every number of a training run that somebody may turn."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stream_erc.errors import ConfigError

from .text_augment import TextAugment

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "default.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """Stages 0 and I of the words."""

    encoder: str = ""  # folder of the pre-trained encoder and its tokenizer.json
    pretrain_epochs: int = 2  # over the language model's labels, GoEmotions once
    goemotions: int = 24_000  # comments drawn from GoEmotions
    tune_epochs: int = 3  # over MELD and IEMOCAP
    replay: int = 6_000  # pre-training texts in each of those, against forgetting
    batch: int = 32
    learning_rate: float = 1e-4
    tune_learning_rate: float = 5e-5
    weight_decay: float = 0.01
    sentiment_weight: float = 0.3  # of the sentiment's loss beside the emotion's
    augment: TextAugment = field(default_factory=TextAugment)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run."""

    seed: int = 0
    threads: int = 1
    text: TextRecipe = field(default_factory=TextRecipe)


def read_recipe(file: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        ConfigError: If the file cannot be read or has a key that no recipe has.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{file}: expected a recipe, got: {error}") from error
    recipe: Recipe = build(Recipe, table, str(file))
    return recipe


def build(kind: Any, table: dict[str, Any], where: str) -> Any:
    """Make a settings class of a TOML table, its nested classes of nested tables."""
    defaults = kind()
    known = {spec.name for spec in fields(kind)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigError(f"{where}: expected keys of {sorted(known)}, got {unknown}")
    values = {}
    for name, value in table.items():
        default = getattr(defaults, name)
        if hasattr(default, "__dataclass_fields__"):
            if not isinstance(value, dict):
                raise ConfigError(f"{where}: expected a table [{name}], got {value!r}")
            value = build(type(default), value, f"{where} [{name}]")
        elif isinstance(default, float) and isinstance(value, int):
            value = float(value)
        elif type(value) is not type(default):
            raise ConfigError(
                f"{where}: {name}: expected {type(default).__name__}, got {value!r}"
            )
        values[name] = value
    return kind(**values)
