"""The text model: examples dealt fairly, training that can be cut off, its vectors."""

import json
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from small_corpora import SAYINGS, sayings, write_labels, write_words  # noqa: E402
from small_encoder import write_encoder  # noqa: E402

from offline.corpora.form import read_corpus  # noqa: E402
from offline.corpora.labels import Label, read_labels  # noqa: E402
from offline.training import loop, text_stages  # noqa: E402
from offline.training.recipe import (  # noqa: E402
    PRECISIONS,
    CorpusRecipe,
    Course,
    Recipe,
    TextRecipe,
)
from offline.training.run import RunFolder  # noqa: E402
from offline.training.scoring import NO_TARGET, make_target  # noqa: E402
from offline.training.text_augment import TextAugment  # noqa: E402
from offline.training.text_model import (  # noqa: E402
    MAX_TOKENS,
    embed_texts,
    load_text_model,
    load_tokenizer,
)
from offline.training.text_stages import (  # noqa: E402
    Example,
    Pages,
    is_labelled,
    make_example,
    score_texts,
    text_loss,
)
from offline.training.text_training import TextTraining  # noqa: E402
from stream_erc.errors import ConfigError  # noqa: E402
from stream_erc.flow import EMOTIONS  # noqa: E402

torch.set_num_threads(1)  # more wait for each other longer than they work

TEXTS = [text for text, _ in sayings()] + ["the " * 200, ""]
PLAIN = TextAugment(bare=0.0, misheard_texts=0.0, prefix=0.0)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    write_encoder(folder)
    return str(folder)


@pytest.fixture(scope="module")
def corpora(tmp_path_factory):
    """A corpus of dialogues and one of single texts."""
    folder = tmp_path_factory.mktemp("corpora")
    for name in ("talk", "single"):
        write_words(folder / name, n_dialogues=1)
    splits = ("train", "validation", "test")
    return {
        name: {split: read_corpus(folder / name / f"{split}.jsonl") for split in splits}
        for name in ("talk", "single")
    }


@pytest.fixture(scope="module")
def labels(tmp_path_factory):
    file = tmp_path_factory.mktemp("labels") / "labels.jsonl"
    write_labels(file)
    return read_labels(file, strict=True).labels


def make_recipe(encoder, **changes):
    values = {
        "encoder": encoder,
        "batch": 8,
        "replay": 10,
        "pretrain": Course(epochs=1, learning_rate=1e-3),
        "tune": Course(epochs=2, learning_rate=1e-3),
    }
    return Recipe(
        corpora={"talk": CorpusRecipe(), "single": CorpusRecipe(role="texts")},
        text=TextRecipe(**{**values, **changes}),
    )


# --- dealing ------------------------------------------------------------------


def numbered(name, count):
    """Examples that can be told apart, of various lengths."""
    return [
        Example(f"{name}{n} " + "x" * (n * 7 % 30), n % 7, n % 3) for n in range(count)
    ]


@given(
    n_always=st.integers(0, 40),
    n_sometimes=st.integers(0, 40),
    replay=st.integers(0, 50),
    batch=st.integers(1, 9),
    seed=st.integers(0, 5),
)
def test_each_example_is_dealt_once_an_epoch(
    n_always, n_sometimes, replay, batch, seed
):
    always, sometimes = numbered("a", n_always), numbered("s", n_sometimes)
    pages = Pages(always, sometimes, replay, batch, seed)
    for epoch in range(2):
        steps = range(epoch * pages.n_steps, (epoch + 1) * pages.n_steps)
        batches = [pages.batch(step) for step in steps]
        dealt = Counter(example.text for each in batches for example in each)
        assert all(1 <= len(each) <= batch for each in batches)
        assert set(dealt.values()) <= {1}
        assert {example.text for example in always} <= set(dealt)
        assert len(dealt) - n_always == min(replay, n_sometimes)


@given(step=st.integers(0, 30), others=st.lists(st.integers(0, 30), max_size=5))
def test_a_step_has_the_same_examples_whatever_came_before(step, others):
    always, sometimes = numbered("a", 23), numbered("s", 9)
    first, second = (Pages(always, sometimes, 4, 5, 0) for _ in range(2))
    for other in others:
        first.batch(other)
    assert first.batch(step) == second.batch(step)


def test_each_epoch_and_each_seed_has_an_order_of_its_own():
    def order(seed, epoch):
        pages = Pages(numbered("a", 40), [], 0, 5, seed)
        steps = range(epoch * pages.n_steps, (epoch + 1) * pages.n_steps)
        return [example.text for step in steps for example in pages.batch(step)]

    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)


def test_the_replay_is_drawn_anew_each_epoch():
    pages = Pages([], numbered("s", 40), 5, 5, 0)
    assert {e.text for e in pages.batch(0)} != {e.text for e in pages.batch(1)}


# --- examples and the loss ----------------------------------------------------


def test_most_emotions_imply_a_sentiment():
    assert make_example("x", "joy", None) == Example("x", EMOTIONS.index("joy"), 2)
    assert make_example("x", "surprise", None).sentiment == NO_TARGET
    assert make_example("x", "joy", "negative").sentiment == 0
    assert make_example("x", None, "neutral") == Example("x", NO_TARGET, 1)
    assert not is_labelled(make_example("x", None, None))


@pytest.fixture(scope="module")
def model(encoder):
    torch.manual_seed(0)
    return load_text_model(encoder).eval()


def loss_of(model, encoder, examples, **changes):
    recipe = make_recipe(encoder, augment=PLAIN, **changes).text
    draw = np.random.default_rng(0)
    return text_loss(model, load_tokenizer(encoder), examples, recipe, draw).item()


def test_a_text_without_a_label_teaches_nothing(model, encoder):
    known, open_ = (
        Example("I miss her.", 3, 0),
        Example("So what?", NO_TARGET, NO_TARGET),
    )
    alone = loss_of(model, encoder, [known])
    assert loss_of(model, encoder, [known, open_]) == pytest.approx(alone, 1e-5)
    assert loss_of(model, encoder, [open_]) == 0.0


def test_the_sentiment_has_its_weight(model, encoder):
    emotion, sentiment = Example("Go!", 3, NO_TARGET), Example("Go!", NO_TARGET, 0)
    both = loss_of(model, encoder, [Example("Go!", 3, 0)], sentiment_weight=0.5)
    apart = loss_of(model, encoder, [emotion])
    apart += 0.5 * loss_of(model, encoder, [sentiment], sentiment_weight=1.0)
    assert both == pytest.approx(apart, 1e-5)


def test_a_lower_precision_changes_the_loss_by_little(encoder, model):
    examples = [make_example(text, "joy", None) for text in TEXTS[:8]]
    whole = loss_of(model, encoder, examples)
    short = loss_of(model, encoder, examples, precision="bfloat16")
    assert short != whole
    assert short == pytest.approx(whole, 0.02)


# --- the model ----------------------------------------------------------------


def test_vectors_come_in_the_order_of_the_texts(encoder, model):
    tokenizer = load_tokenizer(encoder)
    many = embed_texts(model, tokenizer, TEXTS, batch=4)
    for row, text in enumerate(TEXTS):
        alone = embed_texts(model, tokenizer, [text])
        assert np.allclose(many[row], alone[0], atol=1e-5)


def test_no_texts_have_no_vectors(encoder, model):
    assert embed_texts(model, load_tokenizer(encoder), []).shape == (0, 64)


def test_a_long_text_loses_its_end(encoder):
    assert len(load_tokenizer(encoder).encode("the " * 500).ids) == MAX_TOKENS


def test_a_folder_without_encoder_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"expected .*model folder, got"):
        load_text_model(str(tmp_path))


@pytest.mark.parametrize(
    ("frozen_layers", "learning"), [(0, {0, 1}), (1, {1}), (2, set())]
)
def test_the_lowest_layers_may_be_frozen_and_embeddings_always_are(
    encoder, corpora, tmp_path, frozen_layers, learning
):
    recipe = make_recipe(encoder, frozen_layers=frozen_layers)
    before = load_text_model(encoder).encoder.state_dict()
    after = run_text(recipe, corpora, [], tmp_path)
    changed = {
        int(name.split(".")[2])
        for name, weights in before.items()
        if not torch.equal(weights, after[f"encoder.{name}"])
    }
    assert changed == learning


# --- the stages ---------------------------------------------------------------


def run_text(recipe, corpora, labels, folder):
    """Both stages; gives the weights that they leave."""
    training = TextTraining(recipe, corpora, labels, RunFolder(folder))
    training.pretrain()
    training.tune()
    return torch.load(folder / "text.pt", weights_only=True)


def texts_of(training):
    """What Stage 0 learns from, and Stage I replays."""
    again = training._pretraining_labels() + training._other_texts()
    return [example.text for example in again]


def test_a_run_that_was_cut_off_ends_bit_for_bit_where_a_whole_one_does(
    encoder, corpora, labels, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "SAVE_STEPS", 2)
    recipe = make_recipe(encoder)
    expected = run_text(recipe, corpora, labels, tmp_path / "whole")
    right = text_stages.text_loss
    for n_steps in (3, 10):  # in Stage 0, in Stage I
        steps = iter(range(n_steps))

        def stop(*arguments, steps=steps):
            if next(steps, None) is None:
                raise KeyboardInterrupt
            return right(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(text_stages, "text_loss", stop)
            with pytest.raises(KeyboardInterrupt):
                run_text(recipe, corpora, labels, tmp_path / "cut")
    found = run_text(recipe, corpora, labels, tmp_path / "cut")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_training_learns_what_the_words_say(
    encoder, corpora, labels, tmp_path, precision
):
    course = Course(epochs=10, learning_rate=3e-3)
    recipe = make_recipe(
        encoder, tune=course, pretrain=course, augment=PLAIN, precision=precision
    )
    run_text(recipe, corpora, labels, tmp_path)
    training = TextTraining(recipe, corpora, labels, RunFolder(tmp_path))
    examples = training._examples("talk", "test")
    target = make_target([])
    given = score_texts(training.load(), training.tokenizer(), examples, target)
    assert target.weighted_f1(*given) > 0.8


@pytest.mark.parametrize(("n_labels", "expected"), [(-1, 39), (0, 0), (7, 7), (99, 39)])
def test_so_many_labels_are_used(
    encoder, corpora, labels, tmp_path, n_labels, expected
):
    recipe = replace(
        make_recipe(encoder, n_labels=n_labels), corpora={"talk": CorpusRecipe()}
    )
    training = TextTraining(recipe, corpora, labels, RunFolder(tmp_path))
    texts = texts_of(training)
    assert len(texts) == expected  # of 42, every twentieth validates
    assert texts == texts_of(training)


@pytest.mark.parametrize(("n_texts", "expected"), [(0, 21), (5, 5), (99, 21)])
def test_so_many_single_texts_are_used(encoder, corpora, tmp_path, n_texts, expected):
    recipe = replace(
        make_recipe(encoder),
        corpora={"single": CorpusRecipe(role="texts", n_texts=n_texts)},
    )
    training = TextTraining(recipe, corpora, [], RunFolder(tmp_path))
    assert len(texts_of(training)) == expected


@pytest.mark.parametrize("which", ["auxiliary", "unseen"])
def test_the_words_learn_from_what_decides_alone(encoder, corpora, tmp_path, which):
    recipe = make_recipe(encoder, pretrain=Course(), tune=Course(epochs=1))
    aside = CorpusRecipe(**{which: True})
    two = replace(recipe, corpora={"talk": CorpusRecipe(), "aside": aside})
    one = replace(recipe, corpora={"talk": CorpusRecipe()})
    corpora = {"talk": corpora["talk"], "aside": corpora["talk"]}
    weights = run_text(two, corpora, [], tmp_path / "two")
    expected = run_text(one, corpora, [], tmp_path / "one")
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    figures = json.loads((tmp_path / "two" / "figures.json").read_text())["text"]
    assert figures["validation"].keys() == {"talk"}
    assert figures["test"].keys() == {"talk", "aside"}


def test_labels_that_validate_are_not_learned_from(encoder, tmp_path):
    labels = [Label(str(n), f"text {n}", "neutral", "neutral") for n in range(60)]
    recipe = replace(make_recipe(encoder), corpora={})
    training = TextTraining(recipe, {}, labels, RunFolder(tmp_path))
    assert set(texts_of(training)).isdisjoint({"text 0", "text 20", "text 40"})


def test_without_labels_stage_0_is_the_encoder_as_it_was(encoder, corpora, tmp_path):
    recipe = replace(make_recipe(encoder), corpora={"talk": CorpusRecipe()})
    TextTraining(recipe, corpora, [], RunFolder(tmp_path)).pretrain()
    weights = torch.load(tmp_path / "stage0.pt", weights_only=True)
    before = load_text_model(encoder).encoder.state_dict()
    assert all(torch.equal(weights[f"encoder.{name}"], before[name]) for name in before)


def test_vectors_are_of_every_text_and_of_training_texts_varied(
    encoder, corpora, labels, tmp_path
):
    recipe = make_recipe(encoder)
    acted = CorpusRecipe(role="acted")
    recipe = replace(recipe, corpora={**recipe.corpora, "clips": acted})
    run = RunFolder(tmp_path)
    training = TextTraining(recipe, {**corpora, "clips": {}}, labels, run)
    run.save("text.pt", load_text_model(encoder))
    training.embed()
    with np.load(tmp_path / "vectors.npz") as arrays:
        sizes = {name: len(arrays[name]) for name in arrays}
        vectors = arrays["talk/train"]
    talk = {"train", "train/varied", "validation", "test"}
    assert {name for name in sizes if "words" not in name} == {
        f"talk/{x}" for x in talk
    }
    assert {sizes[f"talk/{x}"] for x in talk} == {21}
    assert sum("words" in name for name in sizes) == 3 * len(EMOTIONS)
    texts = [u.text for u in corpora["talk"]["train"].utterances]
    expected = embed_texts(training.load(), training.tokenizer(), texts)
    assert np.allclose(vectors, expected, atol=1e-5)


def test_words_for_acted_voices_convey_their_emotion_and_are_few(
    encoder, corpora, tmp_path
):
    labels = [Label("1", "I " + "really " * 20 + "hate it", "negative", "anger")]
    training = TextTraining(make_recipe(encoder), corpora, labels, RunFolder(tmp_path))
    chosen = training._choose_words("train", random.Random(0))
    assert {emotion: set(texts) for emotion, texts in chosen.items()} == {
        emotion: {text for text in texts if len(text.split()) > 1}
        for emotion, texts in SAYINGS.items()
    }
