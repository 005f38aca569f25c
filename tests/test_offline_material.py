"""Corpora, vectors and voices become what the dialogue stages learn from."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from offline.corpora.form import Corpus, Utterance  # noqa: E402
from offline.training.acted import ActedDialogues  # noqa: E402
from offline.training.dialogues import ENCODER, FUNCTIONALS, TEXT  # noqa: E402
from offline.training.material import (  # noqa: E402
    N_HELD_OUT_ACTED,
    Gathering,
    choose,
    find_folder,
    only,
    require_validation,
    vector_key,
    word_key,
)
from offline.training.recipe import CorpusRecipe, Recipe  # noqa: E402
from offline.training.voices import PREFIX, VARIED, WHOLE, Voices  # noqa: E402
from stream_erc.errors import ConfigError  # noqa: E402
from stream_erc.flow import EMOTIONS  # noqa: E402

SPLITS = ("train", "validation", "test")


def talk(split, n_dialogues=3):
    """Dialogues of four turns, the last without a label."""
    lines = [
        Utterance(
            dialogue=f"{split}{number}",
            turn=turn,
            speaker="ab"[turn % 2],
            text=f"{split} {number} {turn}",
            emotion=("joy", "anger", "fear", None)[turn],
        )
        for number in range(n_dialogues)
        for turn in range(4)
    ]
    return Corpus(None, lines, [])


def clips(split, actors="xy"):
    lines = [
        Utterance(dialogue=f"{split}{actor}{n}", turn=0, speaker=actor, emotion=emotion)
        for actor in actors
        for n, emotion in enumerate(("joy", "anger"))
    ]
    return Corpus(None, lines, [])


def voices_of(corpus, kinds=(WHOLE, VARIED, PREFIX), sizes=(4, 5), start=0.0):
    """Rows of these kinds for each line; the encoder's first number tells which."""
    n_lines = len(corpus.utterances)
    n = n_lines * len(kinds)
    encoder = np.zeros((n, sizes[0]), np.float32)
    encoder[:, :1] = start + np.arange(n)[:, None]
    return Voices(
        utterance=np.repeat(np.arange(n_lines), len(kinds)),
        kind=np.tile(kinds, n_lines),
        encoder=encoder,
        functionals=np.random.default_rng(0).normal(size=(n, sizes[1])),
    )


CORPORA = {
    "talk": {split: talk(split) for split in SPLITS},
    "acted": {split: clips(split) for split in SPLITS},
    "single": {split: talk(split) for split in SPLITS},
}
RECIPES = {
    "talk": CorpusRecipe(),
    "acted": CorpusRecipe(role="acted"),
    "single": CorpusRecipe(role="texts"),
}


def vectors(size=3):
    """Of every line its number, of varied ones the negative number."""
    found = {}
    for split, corpus in CORPORA["talk"].items():
        rows = np.arange(len(corpus.utterances), dtype=np.float32)[:, None]
        found[vector_key("talk", split)] = np.repeat(rows, size, 1)
    key = vector_key("talk", "train", is_varied=True)
    found[key] = -found[vector_key("talk", "train")]
    for split in SPLITS:
        for number, emotion in enumerate(EMOTIONS):
            words = np.full((2, size), 100.0 + number, np.float32)
            found[word_key(split, emotion)] = words
    return found


def gathering(names=("talk", "acted"), voices=None, seed=0, **changes):
    recipe = Recipe(seed=seed, corpora={name: RECIPES[name] for name in names})
    corpora = {name: {**CORPORA[name], **changes.get(name, {})} for name in names}
    if voices is None:
        voices = {
            (name, split): voices_of(corpus)
            for name in names
            for split, corpus in corpora[name].items()
        }
    return Gathering(recipe, corpora, vectors(), voices)


# --- choosing lines -----------------------------------------------------------


@given(
    share=st.floats(0.01, 1.0), seed=st.integers(0, 9), n_dialogues=st.integers(1, 20)
)
def test_a_share_is_of_whole_training_dialogues(share, seed, n_dialogues):
    corpus = talk("train", n_dialogues)
    recipe = CorpusRecipe(share=share)
    numbers = choose(corpus, recipe, "train", seed)
    names = {corpus.utterances[number].dialogue for number in numbers}
    assert len(numbers) == 4 * len(names)
    assert numbers == sorted(numbers)
    assert len(names) == max(1, round(share * n_dialogues))
    assert numbers == choose(corpus, recipe, "train", seed)
    assert len(choose(corpus, recipe, "test", seed)) == 4 * n_dialogues


def test_another_seed_draws_another_share():
    corpus, recipe = talk("train", 20), CorpusRecipe(share=0.5)
    assert choose(corpus, recipe, "train", 0) != choose(corpus, recipe, "train", 1)


@pytest.mark.parametrize(
    ("labels", "kept"), [([], [0, 1, 2]), (["joy", "fear"], [0, 2]), (["positive"], [])]
)
def test_lines_without_a_label_may_be_left_out(labels, kept):
    recipe = CorpusRecipe(labelled_only=True, labels=labels)
    assert choose(talk("test", 1), recipe, "test", 0) == kept


def test_neutral_words_are_not_taken_for_a_neutral_emotion():
    line = Utterance(
        dialogue="d", turn=0, speaker="a", emotion="disgust", sentiment="neutral"
    )
    corpus = Corpus(None, [line], [])
    recipe = CorpusRecipe(labelled_only=True, labels=["neutral", "joy", "anger"])
    assert choose(corpus, recipe, "test", 0) == []


def test_the_lines_of_a_corpus_that_are_wanted():
    corpus = talk("test")
    assert [u.text for u in only(corpus, [5, 2]).utterances] == ["test 1 1", "test 0 2"]


def test_a_corpus_that_is_not_there_is_missed(tmp_path):
    with pytest.raises(ConfigError, match="expected .*talk/train.jsonl, got none"):
        find_folder(tmp_path, "talk")


# --- gathering ----------------------------------------------------------------


def test_dialogues_are_learned_from_as_they_are_and_varied():
    dialogues = gathering().gather().sources["talk"].dialogues
    assert len(dialogues) == 6
    assert [d.text[1, 0] for d in dialogues] == [1, 5, 9, -1, -5, -9]


def test_texts_alone_are_no_dialogues():
    material = gathering(("talk", "single")).gather()
    assert set(material.sources) == {"talk"}
    assert set(material.validation) == set(material.test) == {"talk"}


def test_everybodys_statistics_are_of_the_training_voices_alone():
    voices = {
        ("talk", split): voices_of(CORPORA["talk"][split], start=1000.0 * number)
        for number, split in enumerate(SPLITS)
    }
    material = gathering(("talk",), voices).gather()
    expected = voices["talk", "train"].encoder.mean(0)
    assert np.allclose(material.scales[0].mean, expected)


def test_without_voices_the_sizes_are_those_that_are_served():
    material = gathering(("talk",), {}).gather()
    assert (material.sizes.text, material.sizes.encoder) == (3, 768)
    assert material.sizes.functionals == 336
    assert not material.sources["talk"].has_voice
    assert not material.scales[0].mean.any()


def test_voices_of_several_sizes_are_refused():
    voices = {
        ("talk", "train"): voices_of(CORPORA["talk"]["train"]),
        ("acted", "train"): voices_of(CORPORA["acted"]["train"], sizes=(4, 6)),
    }
    with pytest.raises(ConfigError, match=r"functionals of one size .*\[5, 6\]"):
        gathering(voices=voices)


def test_a_family_that_one_corpus_lacks_is_absent_there_alone():
    voices = {
        ("talk", "train"): voices_of(CORPORA["talk"]["train"], (WHOLE,), sizes=(0, 5)),
        **{
            ("acted", split): voices_of(CORPORA["acted"][split], sizes=(4, 5))
            for split in SPLITS
        },
    }
    dialogue = gathering(voices=voices).gather().sources["talk"].dialogues[0]
    assert not dialogue.present[:, ENCODER].any()
    assert dialogue.present[:, FUNCTIONALS].all()


def test_held_out_dialogues_hear_whole_turns_alone():
    """The encoder's first number, before normalisation, is the row."""
    material = gathering(("talk",)).gather()
    scale = material.scales[0]
    (first, *_) = material.validation["talk"].dialogues
    # Of each speaker's first turn, the own statistics are everybody's.
    rows = first.encoder[:2, 0] * scale.deviation[0] + scale.mean[0]
    assert np.allclose(rows, [0.0, 3.0], atol=1e-4)


def test_varied_dialogues_hear_varied_and_partial_turns():
    material = gathering(("talk",)).gather()
    scale, heard = material.scales[0], set()
    for dialogue in material.sources["talk"].dialogues[3:]:
        rows = dialogue.encoder[:2, 0] * scale.deviation[0] + scale.mean[0]
        heard |= {round(float(row)) % 3 for row in rows}
    assert heard <= {VARIED, PREFIX} and VARIED in heard


def test_acted_clips_are_drawn_for_training_and_fixed_for_scoring():
    material = gathering().gather()
    assert isinstance(material.sources["acted"].dialogues, ActedDialogues)
    held = material.validation["acted"]
    assert held.is_acted and len(held.dialogues) == N_HELD_OUT_ACTED
    for dialogue in held.dialogues:
        assert (dialogue.text == 100.0 + EMOTIONS.index("neutral")).all()
        assert dialogue.present[:, TEXT].all() and (dialogue.emotions >= 0).all()


@pytest.mark.parametrize("split", ["validation", "test"])
def test_what_is_scored_is_the_same_each_time(split):
    first, second = (gathering().held_out(split) for _ in range(2))
    for name, held in first.items():
        for one, other in zip(held.dialogues, second[name].dialogues, strict=True):
            assert np.array_equal(one.encoder, other.encoder)
            assert np.array_equal(one.text, other.text)


def test_what_is_learned_from_is_the_same_each_time():
    first, second = (gathering().gather().sources["talk"].dialogues for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert np.array_equal(one.encoder, other.encoder)


@pytest.mark.parametrize(
    ("which", "sources"), [("auxiliary", {"talk", "aside"}), ("unseen", {"talk"})]
)
def test_what_does_not_decide_is_scored_on_test_alone(which, sources):
    recipe = Recipe(
        corpora={"talk": CorpusRecipe(), "aside": CorpusRecipe(**{which: True})}
    )
    corpora = {"talk": CORPORA["talk"], "aside": CORPORA["talk"]}
    both = vectors() | {
        key.replace("talk", "aside"): value for key, value in vectors().items()
    }
    material = Gathering(recipe, corpora, both, {}).gather()
    assert material.sources.keys() == sources
    assert material.validation.keys() == {"talk"}
    assert material.test.keys() == {"talk", "aside"}


@pytest.mark.parametrize("which", [{}, {"auxiliary": True}, {"role": "texts"}])
def test_without_a_split_to_choose_on_training_does_not_begin(which):
    corpora = {"talk": {"train": talk("train")}, "aside": CORPORA["talk"]}
    names = {"talk": CorpusRecipe(), "aside": CorpusRecipe(**which)}
    if which:
        with pytest.raises(
            ConfigError, match=r"validation\.jsonl of .* talk, got none"
        ):
            require_validation(Recipe(corpora=names), corpora)
    else:
        require_validation(Recipe(corpora=names), corpora)


def test_a_split_that_a_corpus_lacks_is_not_scored():
    corpora = {"talk": {"train": talk("train")}}
    work = Gathering(Recipe(corpora={"talk": CorpusRecipe()}), corpora, vectors(), {})
    material = work.gather()
    assert material.validation == material.test == {}


@pytest.mark.parametrize(
    "voices",
    [
        {},
        {
            ("acted", s): voices_of(CORPORA["acted"][s], (WHOLE,), (0, 5))
            for s in SPLITS
        },
    ],
    ids=["none", "published"],
)
def test_acted_clips_without_recordings_are_refused(voices):
    with pytest.raises(ConfigError, match=r"\[corpora.acted\]: expected recordings"):
        gathering(("acted",), voices).gather().sources["acted"].draw(
            Recipe().dialogue, np.random.default_rng(0)
        )


@pytest.mark.parametrize("split", SPLITS)
def test_one_actor_is_not_enough(split):
    with pytest.raises(ConfigError, match=r"\[corpora.acted\]: expected two speakers"):
        gathering(acted={split: clips(split, "x")}).gather()


def test_a_recipe_without_dialogues_is_refused():
    corpora = {"single": CORPORA["single"]}
    recipe = Recipe(corpora={"single": RECIPES["single"]})
    with pytest.raises(ConfigError, match="expected .*dialogues"):
        Gathering(recipe, corpora, {}, {})
