"""Recipes: what ships reads, what is wrong is named."""

from dataclasses import fields, is_dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offline.training.ranges import N_HEADS, SHARES, SMALLEST
from offline.training.recipe import (
    DEFAULT_RECIPE,
    RECIPES,
    CorpusRecipe,
    Course,
    DialogueRecipe,
    Recipe,
    TextRecipe,
    VoiceRecipe,
    build,
    read_recipe,
)
from stream_erc.errors import ConfigError


@pytest.fixture
def read(tmp_path):
    """Reads a recipe of this text, with these changes."""

    def read_text(text, *changes):
        file = tmp_path / "recipe.toml"
        file.write_text(text, encoding="utf-8")
        return read_recipe(file, changes)

    return read_text


@pytest.mark.parametrize("file", sorted(RECIPES.glob("*.toml")), ids=lambda f: f.stem)
def test_every_recipe_that_ships_reads(file):
    recipe = read_recipe(file)
    assert recipe.corpora
    assert recipe.of_role("dialogues")


def test_there_are_recipes_and_a_default():
    assert DEFAULT_RECIPE in set(RECIPES.glob("*.toml"))


def test_an_empty_recipe_is_the_defaults_of_the_code(read):
    assert read("") == Recipe()


def test_a_recipe_sets_what_it_names(read):
    recipe = read(
        """
        seed = 3
        [corpora.mine]
        labels = ["joy", "anger"]
        [text]
        tune = {epochs = 4}
        [dialogue]
        dropout = 0
        acted = {turns = 4}
        """
    )
    assert recipe.seed == 3
    assert recipe.corpora == {"mine": CorpusRecipe(labels=["joy", "anger"])}
    assert recipe.text.tune.epochs == 4
    assert recipe.dialogue.dropout == 0.0
    assert isinstance(recipe.dialogue.dropout, float)
    assert recipe.dialogue.acted.turns == 4


def test_a_course_keeps_what_is_not_named(read):
    """A stage's own defaults, not those of any course."""
    tune = read("[text]\ntune = {epochs = 4}").text.tune
    assert tune == Course(epochs=4, learning_rate=TextRecipe().tune.learning_rate)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("seeed = 1", r"expected keys of .*got \['seeed'\]"),
        ("[text]\nbatches = 1", r"\[text\]: expected keys .*batches"),
        ("[text.tune]\nepoch = 1", r"\[text\] \[tune\]: expected keys .*epoch"),
        ("[corpora.x]\nrol = 1", r"\[corpora\] \[x\]: expected keys .*rol"),
        ('seed = "one"', "seed: expected int, got 'one'"),
        ("seed = 1.0", "seed: expected int, got 1.0"),
        ("seed = true", "seed: expected int, got True"),
        ("[dialogue]\njoint = 1", "joint: expected bool, got 1"),
        ("[dialogue]\ndropout = true", "dropout: expected float, got True"),
        ("[corpora.x]\nlabels = 'joy'", "labels: expected list, got 'joy'"),
        ("text = 1", r"expected a table \[text\] with augment.KEY, .*, got 1"),
        ("corpora = 1", r"expected a table \[corpora\] with NAME.KEY, got 1"),
        ("corpora.x = 1", r"expected a table \[x\] with auxiliary, .*, got 1"),
        ("[text]\ntune = 1", r"expected a table \[tune\] with average, .*, got 1"),
        ("seed = ", "expected a recipe"),
        ("[corpora.x]\nrole = 'films'", r"\[corpora.x\]: role: expected .*'films'"),
        ("[corpora.x]\nlabels = ['bliss']", r"labels: expected .*\['bliss'\]"),
        ("[corpora.x]\nlabels = ['joy', 'positive']", r"\[corpora.x\]: labels: expect"),
        ("[corpora.x]\nshare = 0.0", "share: expected above 0 and at most 1, got 0.0"),
        ("[corpora.x]\nshare = 1.5", "share: expected above 0 and at most 1, got 1.5"),
        ("[dialogue]\nloss = 'hinge'", "loss: expected cross-entropy or focal"),
        ("[text]\nprecision = 'int8'", "precision: expected float32 or bfloat16"),
        ("seed = -1", "seed: expected at least 0, got -1"),
        ("threads = 0", "threads: expected at least 1, got 0"),
        ("[text]\nbatch = 0", r"\[text\]: batch: expected at least 1, got 0"),
        ("[text]\nreplay = -1", r"\[text\]: replay: expected at least 0, got -1"),
        ("[corpora.x]\nbatch = 0", r"\[corpora.x\]: batch: expected at least 1"),
        ("[corpora.x]\nspan = 0", r"\[corpora.x\]: span: expected at least 1, got 0"),
        ("[dialogue]\nwindow = 0", "window: expected at least 1, got 0"),
        ("[dialogue]\nwidth = 0", "width: expected at least 1, got 0"),
        ("[dialogue]\nwidth = 130", "width: expected a multiple of 4, got 130"),
        ("[dialogue]\ndropout = 1.1", "dropout: expected 0 to 1, got 1.1"),
        ("[dialogue]\ndrop_text = nan", "drop_text: expected 0 to 1, got nan"),
        (
            "[dialogue]\nvoice = {validate_steps = 0}",
            r"\[dialogue\] \[voice\]: validate_steps: expected at least 1, got 0",
        ),
        ("[text]\ntune = {epochs = -2}", r"\[tune\]: epochs: expected at least 0"),
        ("[voice]\naugment = {room = -0.1}", r"\[augment\]: room: expected 0 to 1"),
        ("[dialogue.acted]\nturns = 0", r"\[acted\]: turns: expected at least 1"),
    ],
)
def test_a_wrong_recipe_is_refused(read, text, complaint):
    with pytest.raises(ConfigError, match=complaint) as refused:
        read(text)
    assert "recipe.toml" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_what_cannot_be_read_is_refused(tmp_path, content):
    file = tmp_path / "recipe.toml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match="expected a recipe, got"):
        read_recipe(file)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("seed=7", lambda r: r.seed == 7),
        (" seed = 7 ", lambda r: r.seed == 7),
        ("text.encoder=some/name", lambda r: r.text.encoder == "some/name"),
        ('text.encoder="a=b c"', lambda r: r.text.encoder == "a=b c"),
        ("text.encoder=a=b", lambda r: r.text.encoder == "a=b"),
        ("text.tune.epochs=9", lambda r: r.text.tune.epochs == 9),
        ("text.tune={epochs = 9}", lambda r: r.text.tune.epochs == 9),
        ("dialogue.causal=false", lambda r: not r.dialogue.causal),
        ("dialogue.loss=focal", lambda r: r.dialogue.loss == "focal"),
        ("dialogue.class_weights=1", lambda r: r.dialogue.class_weights == 1.0),
        ('corpora.x.labels=["joy"]', lambda r: r.corpora["x"].labels == ["joy"]),
        ("corpora.new.role=acted", lambda r: r.corpora["new"].role == "acted"),
        ("corpora.new={}", lambda r: r.corpora["new"] == CorpusRecipe()),
    ],
)
def test_a_recipe_is_changed_on_the_command_line(read, change, found):
    assert found(read("seed = 1\n[corpora.x]\nbatch = 3", change))


def test_the_last_change_counts(read):
    assert read("", "seed=1", "seed=2").seed == 2


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("seed", "--set: expected KEY=VALUE, got 'seed'"),
        ("=3", "--set: expected KEY=VALUE, got '=3'"),
        ("text.=3", "--set: expected KEY=VALUE"),
        ("seed.x=3", "--set: expected seed=VALUE, got a key 'x' in it"),
        ("dialogue.voice.steps.x=3", "expected dialogue.voice.steps=VALUE"),
        ("seed=many", "seed: expected int, got 'many'"),
        ("seed=", "seed: expected int, got ''"),
        ("text..batch=3", "--set: expected in text one of augment.KEY, batch, .*''"),
        ("nothing.of.it=3", "expected one of corpora.NAME.KEY, .*, seed, .*'nothing'"),
        ("causal=false", "expected one of .*dialogue.KEY, .*, got 'causal'"),
        (
            "text.tune.epoch=3",
            "expected in text.tune one of average, epochs, .*'epoch'",
        ),
        ("corpora.new.rol=acted", "expected in corpora.new one of .*role.*, got 'rol'"),
        ("dialogue=3", r"a table \[dialogue\] with acted.KEY, causal, .*, got 3"),
        ("corpora=3", r"a table \[corpora\] with NAME.KEY, got 3"),
        ("dialogue.loss=hinge", "loss: expected"),
    ],
)
def test_a_wrong_change_is_refused(read, change, complaint):
    with pytest.raises(ConfigError, match=complaint):
        read("seed = 1", change)


def test_what_lies_at_the_edge_of_a_range_is_taken(read):
    recipe = read(
        """
        [corpora.x]
        batch = 1
        span = 1
        [text]
        batch = 1
        [dialogue]
        width = 4
        dropout = 1.0
        drop_text = 0.0
        fusion = {validate_steps = 1, steps = 0}
        """
    )
    assert recipe.dialogue.fusion.steps == 0


def test_every_range_is_of_a_setting_that_exists():
    known = {key for settings in settings_within(Recipe()) for key in settings}
    assert {*SMALLEST, *SHARES} <= known
    assert {name for name in known if name.startswith("drop")} <= SHARES


def settings_within(settings):
    """The keys of a table of a recipe, and of all tables in it."""
    yield {spec.name for spec in fields(settings)}
    if isinstance(settings, Recipe):
        yield from settings_within(CorpusRecipe())
    for spec in fields(settings):
        if is_dataclass(value := getattr(settings, spec.name)):
            yield from settings_within(value)


def test_the_width_is_shared_out_among_the_networks_heads():
    layers = pytest.importorskip("stream_erc.layers", exc_type=ImportError)
    (heads,) = (spec for spec in fields(layers.Shape) if spec.name == "n_heads")
    assert heads.default == N_HEADS


@given(
    st.sampled_from([Recipe, TextRecipe, VoiceRecipe, DialogueRecipe, CorpusRecipe]),
    st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=12),
)
def test_no_other_key_gets_through(kind, name):
    if name not in {spec.name for spec in fields(kind)}:
        with pytest.raises(ConfigError, match=name):
            build(kind(), {name: 1}, "here")
