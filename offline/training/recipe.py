"""A TOML file -> Recipe: every number of a training run that somebody may turn."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from stream_erc.errors import ConfigError, reason
from stream_erc.flow import EMOTIONS, SENTIMENTS

from .acted import ActedRecipe
from .ranges import check_ranges
from .text_augment import TextAugment
from .voice_augment import VoiceAugment

RECIPES = Path(__file__).parents[1] / "recipes"
DEFAULT_RECIPE = RECIPES / "default.toml"

DIALOGUES, ACTED, TEXTS = "dialogues", "acted", "texts"
PRECISIONS = ("float32", "bfloat16")


@dataclass(frozen=True, slots=True, kw_only=True)
class CorpusRecipe:
    """How one corpus takes part."""

    role: str = DIALOGUES
    """`dialogues`, `acted` (clips without dialogues: some are made up) or `texts`
    (single ones, which Stage I sees beside the dialogues)."""
    batch: int = 8  # dialogues in a step of Stages II and III
    span: int = 48  # turns of one dialogue in a step
    share: float = 1.0  # of the training dialogues, drawn by the seed
    labels: list[str] = field(default_factory=list)
    """Classes that count in validation; all seven emotions if left out. Sentiments make
    the sentiment the target."""
    labelled_only: bool = False  # leave out turns without a label, also as context
    unseen: bool = False  # nothing is learned from it, nothing chosen on it
    auxiliary: bool = False  # teaches Stages II and III alone, decides nothing
    n_texts: int = 0  # of the role `texts`: how many are drawn; all if 0

    @property
    def decides(self) -> bool:
        """Whether anything is chosen on its validation split."""
        return not (self.unseen or self.auxiliary)


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """How long a stage learns, and how fast."""

    steps: int = 0  # for what is drawn without end
    epochs: int = 0  # for what is gone through
    learning_rate: float = 1e-3
    validate_steps: int = 50  # with epochs: at the end of each
    patience: int = 0  # validations without a gain before it stops; 0: to the end
    average: float = 0.0  # decay of the weights' running mean, which is kept; 0: none


@dataclass(frozen=True, slots=True, kw_only=True)
class TextRecipe:
    """Stages 0 and I of the words."""

    encoder: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Hub name or folder of the pre-trained encoder."""
    n_labels: int = -1  # of the language model's labels; all if negative
    frozen_layers: int = 0  # lowest ones that keep what pre-training knows
    pretrain: Course = Course(learning_rate=1e-4, epochs=1)
    tune: Course = Course(learning_rate=5e-5, epochs=3)
    replay: int = 3_000  # other texts in an epoch of Stage I: Stage 0's, and `texts`
    batch: int = 32
    precision: str = "float32"
    """What it is multiplied in while it learns; `bfloat16` is for a GPU, or a processor
    that has it (AVX-512 BF16, AMX). Weights and vectors are float32 in any case."""
    weight_decay: float = 0.01
    sentiment_weight: float = 0.3  # of the sentiment's loss beside the emotion's
    augment: TextAugment = field(default_factory=TextAugment)


@dataclass(frozen=True, slots=True, kw_only=True)
class VoiceRecipe:
    """Features of recordings."""

    encoder: str = ""
    """Hub name or folder of a speech encoder; if empty, the recognizer's own, which is
    all that the server can use."""
    copies: int = 2  # varied ones of each training turn
    augment: VoiceAugment = field(default_factory=VoiceAugment)


@dataclass(frozen=True, slots=True, kw_only=True)
class DialogueRecipe:
    """Stages I (voice), II and III.

    A step learns from one batch of each corpus; they weigh the same.
    """

    joint: bool = False  # all stages at once instead of one after another
    causal: bool = True  # False: a teacher that sees whole dialogues; cannot be served
    speakers: bool = True  # whether it is told whose turns are whose
    loss: str = "cross-entropy"  # or "focal" (Lin et al., 2017; exponent 2)
    class_weights: float = 0.0  # exponent on the inverse class share; 0: none
    voice: Course = Course(steps=400, learning_rate=5e-4, average=0.98)
    context: Course = Course(steps=600, learning_rate=5e-4, average=0.98)
    fusion: Course = Course(steps=150, learning_rate=3e-4, average=0.98)
    together: Course = Course(steps=800, learning_rate=5e-4, average=0.98)
    weight_decay: float = 0.02
    hidden: int = 256
    width: int = 128
    window: int = 16
    dropout: float = 0.5
    sentiment_weight: float = 0.3
    teacher_weight: float = 0.5  # of what teachers say, beside the labels
    drop_text: float = 0.35  # dialogues without words
    drop_voice: float = 0.2  # dialogues without a voice
    drop_turn: float = 0.1  # turns that lack one of the two, in the others
    drop_encoder: float = 0.15  # dialogues whose voice is functionals alone
    drop_functionals: float = 0.15  # dialogues whose voice is the encoder's alone
    drop_speakers: float = 0.15  # dialogues in which all go by one name
    acted: ActedRecipe = field(default_factory=ActedRecipe)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One training run."""

    seed: int = 0
    threads: int = 1
    corpora: dict[str, CorpusRecipe] = field(default_factory=dict)
    text: TextRecipe = field(default_factory=TextRecipe)
    voice: VoiceRecipe = field(default_factory=VoiceRecipe)
    dialogue: DialogueRecipe = field(default_factory=DialogueRecipe)

    def of_role(self, role: str) -> dict[str, CorpusRecipe]:
        """Give the corpora that take part in one way."""
        return {n: corpus for n, corpus in self.corpora.items() if corpus.role == role}


def encoder_name(encoder: str) -> str:
    """Give an encoder as others may read it: a folder without its place."""
    return Path(encoder).name if Path(encoder).is_absolute() else encoder


def read_recipe(file: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read and check a recipe.

    Args:
        file: TOML.
        changes: Made before the check, each `KEY=VALUE` with dots in the key and a TOML
            value; a text may do without quotes.

    Raises:
        ConfigError: If the file cannot be read or has a key that no recipe has.
    """
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: expected a recipe, got: {reason(error)}") from error
    for each in changes:
        change(table, each)
    recipe: Recipe = build(Recipe(), table, str(file))
    check(recipe, str(file))
    return recipe


def change(table: dict[str, Any], assignment: str) -> None:
    """Set one key of a recipe's table, in place.

    Raises:
        ConfigError: If it is not `KEY=VALUE`, or no recipe has that key.
    """
    path, is_given, text = assignment.partition("=")
    *names, last = path.strip().split(".")
    if not is_given or not last:
        raise ConfigError(f"--set: expected KEY=VALUE, got {assignment!r}")
    check_key([*names, last])
    for name in names:
        table = table.setdefault(name, {})
        if not isinstance(table, dict):
            raise ConfigError(f"--set: expected {name} to be a table in {assignment!r}")
    try:
        table[last] = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        table[last] = text.strip()


def check_key(names: Sequence[str]) -> None:
    """Refuse a key that no recipe has.

    Args:
        names: From the outermost table to the key.

    Raises:
        ConfigError: Names the keys that there are where the first wrong one stands.
    """
    level: Any = Recipe()
    for depth, name in enumerate(names):
        if isinstance(level, dict):  # a corpus may have any name
            level = CorpusRecipe()
            continue
        table = ".".join(names[:depth])
        if not is_dataclass(level):
            raise ConfigError(
                f"--set: expected {table}=VALUE, got a key {name!r} in it"
            )
        if name not in {spec.name for spec in fields(level)}:
            inside = f" in {table}" if table else ""
            raise ConfigError(
                f"--set: expected{inside} one of {list_keys(level)}, got {name!r}"
            )
        level = getattr(level, name)


def list_keys(table: Any) -> str:
    """Name the keys of a recipe's table, and which of them are tables themselves."""
    shown = []
    for spec in fields(table):
        value = getattr(table, spec.name)
        inner = ".NAME.KEY" if isinstance(value, dict) else ".KEY"
        shown.append(
            spec.name + inner * (is_dataclass(value) or isinstance(value, dict))
        )
    return ", ".join(sorted(shown))


def build(defaults: Any, table: dict[str, Any], where: str) -> Any:
    """Set what a TOML table names, in nested settings what nested tables name."""
    known = {spec.name for spec in fields(defaults)}
    unknown = sorted(set(table) - known)
    if unknown:
        raise ConfigError(f"{where}: expected keys of {sorted(known)}, got {unknown}")
    values = {
        name: _convert(value, getattr(defaults, name), name, where)
        for name, value in table.items()
    }
    return replace(defaults, **values)


def _convert(value: Any, default: Any, name: str, where: str) -> Any:
    if is_dataclass(default) or name == "corpora":
        if not isinstance(value, dict):
            keys = "NAME.KEY" if name == "corpora" else list_keys(default)
            raise ConfigError(
                f"{where}: expected a table [{name}] with {keys}, got {value!r}"
            )
        if name != "corpora":
            return build(default, value, f"{where} [{name}]")
        return {
            corpus: _convert(table, CorpusRecipe(), corpus, f"{where} [corpora]")
            for corpus, table in value.items()
        }
    if isinstance(default, float) and type(value) is int:
        return float(value)
    if type(value) is not type(default):
        raise ConfigError(
            f"{where}: {name}: expected {type(default).__name__}, got {value!r}"
        )
    return value


def check(recipe: Recipe, where: str) -> None:
    """Refuse what the types alone allow.

    Raises:
        ConfigError: Naming the key, what was expected and what came.
    """
    for name, corpus in recipe.corpora.items():
        if corpus.role not in (DIALOGUES, ACTED, TEXTS):
            raise ConfigError(
                f"{where} [corpora.{name}]: role: expected {DIALOGUES}, {ACTED} or "
                f"{TEXTS}, got {corpus.role!r}"
            )
        if not any(
            set(corpus.labels) <= set(known) for known in (EMOTIONS, SENTIMENTS)
        ):
            raise ConfigError(
                f"{where} [corpora.{name}]: labels: expected of {EMOTIONS}, or of "
                f"{SENTIMENTS}, got {corpus.labels}"
            )
        if not 0.0 < corpus.share <= 1.0:
            raise ConfigError(
                f"{where} [corpora.{name}]: share: expected above 0 and at most 1, got "
                f"{corpus.share}"
            )
    if recipe.dialogue.loss not in ("cross-entropy", "focal"):
        raise ConfigError(
            f"{where} [dialogue]: loss: expected cross-entropy or focal, got "
            f"{recipe.dialogue.loss!r}"
        )
    if recipe.text.precision not in PRECISIONS:
        raise ConfigError(
            f"{where} [text]: precision: expected {' or '.join(PRECISIONS)}, got "
            f"{recipe.text.precision!r}"
        )
    check_ranges(recipe, where)
