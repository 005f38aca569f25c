"""A TOML file -> Recipe: every number of a training run that somebody may turn."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from stream_erc.errors import ConfigError

from .dataset import ActedRecipe
from .text_augment import TextAugment
from .voice_augment import VoiceAugment

DEFAULT_RECIPE = Path(__file__).parent / "recipes" / "default.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """Stages 0 and I of the words."""

    encoder: str = ""  # folder of the pre-trained encoder and its tokenizer.json
    pretrain_epochs: int = 1  # over the language model's labels and GoEmotions
    goemotions: int = 12_000  # comments drawn from GoEmotions
    tune_epochs: int = 2  # over MELD and IEMOCAP
    replay: int = 3_000  # pre-training texts in each of those, against forgetting
    batch: int = 32
    learning_rate: float = 1e-4
    tune_learning_rate: float = 5e-5
    weight_decay: float = 0.01
    sentiment_weight: float = 0.3  # of the sentiment's loss beside the emotion's
    augment: TextAugment = field(default_factory=TextAugment)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRecipe:
    """Features of the clips."""

    copies: int = 2  # varied ones of each training clip
    augment: VoiceAugment = field(default_factory=VoiceAugment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueRecipe:
    """Stages I (voice), II and III.

    A step learns from one batch of each corpus; the three weigh the same.
    """

    joint: bool = False  # all stages at once instead of one after another
    steps: dict[str, int] = field(
        default_factory=lambda: {
            "voice": 800,
            "context": 800,
            "fusion": 600,
            "joint": 1600,
        }
    )
    validate_steps: int = 100
    meld_batch: int = 12  # dialogues
    iemocap_batch: int = 6
    acted_batch: int = 8
    span: int = 48  # turns of an IEMOCAP dialogue in one step
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    hidden: int = 256
    width: int = 128
    window: int = 16
    dropout: float = 0.3
    drop_text: float = 0.35  # dialogues without words
    drop_voice: float = 0.2  # dialogues without a voice
    drop_turn: float = 0.1  # turns that lack one of the two, in the others
    drop_encoder: float = 0.15  # dialogues whose voice is functionals alone
    drop_functionals: float = 0.15  # dialogues whose voice is the encoder's alone
    acted: ActedRecipe = field(default_factory=ActedRecipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run."""

    seed: int = 0
    threads: int = 1
    text: TextRecipe = field(default_factory=TextRecipe)
    voice: VoiceRecipe = field(default_factory=VoiceRecipe)
    dialogue: DialogueRecipe = field(default_factory=DialogueRecipe)


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
