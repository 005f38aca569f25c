"""What was learned from -> Credits: the data and the encoder that a model owes.

Also what a model's manifest says of the run that made it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

import msgspec

from .recipe import ACTED, DIALOGUES, TEXTS, CorpusRecipe, Recipe, encoder_name


class Part(msgspec.Struct, frozen=True):
    """How a corpus took part.

    Attributes:
        role: As in the recipe.
        share: Of its training dialogues.
    """

    role: str
    share: float


class Credits(msgspec.Struct, frozen=True):
    """What a stage, or several, learned from.

    Attributes:
        encoders: Pre-trained ones of the words that it started from, by name.
        corpora: By name.
        labels: SHA-256 of each file of a language model's labels.
    """

    encoders: tuple[str, ...] = ()
    corpora: dict[str, Part] = {}
    labels: tuple[str, ...] = ()


def credit(recipe: Recipe, stage: str, label_sums: Sequence[str]) -> Credits:
    """Give what a stage learns from when it is trained by a recipe.

    Args:
        recipe: Of the run.
        stage: Of `STAGES`.
        label_sums: SHA-256 of each label file that the run was given.
    """
    text, labels = recipe.text, tuple(label_sums)
    encoder = encoder_name(text.encoder)
    if stage == "stage0":
        return Credits((encoder,), {}, labels if text.n_labels else ())
    if stage == "text":
        roles = (DIALOGUES, TEXTS) if text.replay else (DIALOGUES,)
        corpora = {
            name: corpus
            for name, corpus in learned(recipe, roles).items()
            if not (corpus.role == DIALOGUES and corpus.auxiliary)
        }
        replayed = labels if text.n_labels and text.replay else ()
        return Credits((encoder,), parts(corpora), replayed)
    if stage == "vectors":  # the words that acted voices are given
        return Credits((), {}, labels if learned(recipe, (ACTED,)) else ())
    if stage == "dialogue":
        return Credits((), parts(learned(recipe, (DIALOGUES, ACTED))))
    return Credits()


def learned(recipe: Recipe, roles: Sequence[str]) -> dict[str, CorpusRecipe]:
    """Give the corpora of some roles that anything is learned from."""
    return {
        name: corpus
        for name, corpus in recipe.corpora.items()
        if corpus.role in roles and not corpus.unseen
    }


def parts(corpora: dict[str, CorpusRecipe]) -> dict[str, Part]:
    """Give what is to be told of corpora."""
    return {name: Part(c.role, c.share) for name, c in corpora.items()}


def join(stages: Iterable[Credits]) -> Credits:
    """Give what all stages together learned from; of a corpus the largest share."""
    encoders: dict[str, None] = {}
    corpora: dict[str, Part] = {}
    labels: dict[str, None] = {}
    for each in stages:
        encoders |= dict.fromkeys(each.encoders)
        labels |= dict.fromkeys(each.labels)
        for name, part in each.corpora.items():
            if name not in corpora or part.share > corpora[name].share:
                corpora[name] = part
    return Credits(tuple(encoders), corpora, tuple(labels))


def public_settings(recipe: Recipe) -> dict[str, Any]:
    """Give the recipe for a manifest: an encoder's folder by its name alone."""
    settings = asdict(recipe)
    for part in ("text", "voice"):
        settings[part]["encoder"] = encoder_name(settings[part]["encoder"])
    return settings


def about_run(recipe: Recipe, learned_from: Credits) -> dict[str, Any]:
    """Give what a manifest says of a run: seed, recipe, and what it learned from."""
    return {
        "seed": recipe.seed,
        "recipe": public_settings(recipe),
        "learned_from": msgspec.to_builtins(learned_from),
    }
