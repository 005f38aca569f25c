"""What a model owes to whom: everything that was learned from, and nothing else."""

import pytest

from offline.training.credits import Credits, Part, credit, join
from offline.training.recipe import CorpusRecipe, Recipe, TextRecipe

SUMS = ["a" * 64]
CORPORA = {
    "talk": CorpusRecipe(share=0.5),
    "helper": CorpusRecipe(auxiliary=True),
    "stranger": CorpusRecipe(unseen=True),
    "clips": CorpusRecipe(role="acted"),
    "single": CorpusRecipe(role="texts"),
    "strange": CorpusRecipe(role="texts", unseen=True),
}


def recipe(corpora=CORPORA, **text):
    return Recipe(corpora=corpora, text=TextRecipe(encoder="/there/encoder", **text))


def names(stage, recipe):
    return set(credit(recipe, stage, SUMS).corpora)


def test_each_stage_names_the_corpora_that_it_learns_from():
    assert names("stage0", recipe()) == set()
    assert names("text", recipe()) == {"talk", "single"}
    assert names("voices", recipe()) == set()
    assert names("dialogue", recipe()) == {"talk", "helper", "clips"}


def test_texts_that_are_never_replayed_teach_nothing():
    assert names("text", recipe(replay=0)) == {"talk"}


@pytest.mark.parametrize(
    ("stage", "given", "is_used"),
    [
        ("stage0", recipe(), True),
        ("stage0", recipe(n_labels=0), False),
        ("text", recipe(), True),
        ("text", recipe(replay=0), False),
        ("text", recipe(n_labels=0), False),
        ("vectors", recipe(n_labels=0), True),  # acted clips are given their words
        ("vectors", recipe({"talk": CORPORA["talk"]}), False),
        ("dialogue", recipe(), False),
    ],
)
def test_labels_are_named_where_they_are_used(stage, given, is_used):
    assert credit(given, stage, SUMS).labels == (tuple(SUMS) if is_used else ())
    assert credit(given, stage, []).labels == ()


def test_an_encoder_is_named_without_its_place():
    assert credit(recipe(), "stage0", []).encoders == ("encoder",)


def test_together_everything_is_named_once_with_its_largest_part():
    some = Credits(("e",), {"a": Part("dialogues", 0.2)}, ("x",))
    other = Credits(("e",), {"a": Part("dialogues", 1.0), "b": Part("acted", 1.0)})
    joined = join([some, other, some])
    assert joined.encoders == ("e",) and joined.labels == ("x",)
    assert joined.corpora == {"a": Part("dialogues", 1.0), "b": Part("acted", 1.0)}
