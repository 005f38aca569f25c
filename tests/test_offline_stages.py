"""Training of the dialogue network: what is shown, hidden, taught and scored."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from offline.evaluation.scores import unweighted_recall, weighted_f1  # noqa: E402
from offline.training.batches import collate, collate_targets, hide  # noqa: E402
from offline.training.calibration import (  # noqa: E402
    fit_temperature,
    fit_temperatures,
    log_share,
    measure_prior,
)
from offline.training.dialogue_stages import (  # noqa: E402
    CONTEXT,
    FUSION,
    TOGETHER,
    VOICE,
    DialogueTraining,
    Source,
    class_weights,
    predict,
    score,
)
from offline.training.dialogues import NO_TARGET, Sizes, blank  # noqa: E402
from offline.training.material import HeldOut  # noqa: E402
from offline.training.recipe import (  # noqa: E402
    CorpusRecipe,
    Course,
    DialogueRecipe,
)
from offline.training.scoring import make_target  # noqa: E402
from offline.training.stage_figures import judged_inputs, stage_figures  # noqa: E402
from stream_erc.flow import EMOTIONS, SENTIMENTS  # noqa: E402
from stream_erc.layers import Shape  # noqa: E402
from stream_erc.model import DialogueModel  # noqa: E402

torch.set_num_threads(1)  # more wait for each other longer than they work

SIZES = Sizes(text=6, encoder=5, functionals=4)
RECIPE = DialogueRecipe(hidden=8, width=8, window=3)
CPU = torch.device("cpu")
STAGES = [VOICE, CONTEXT, FUSION, TOGETHER]
FOUR = ["neutral", "sadness", "joy", "anger"]

by_stage = pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)


def make_model(seed=0, **changes):
    torch.manual_seed(seed)
    sizes = {"text_size": 6, "encoder_size": 5, "functionals_size": 4}
    return DialogueModel(Shape(**sizes, hidden=8, width=8, window=3, **changes)).eval()


def dialogue(n_turns, seed=0, *, is_acted=False):
    """A dialogue with everything present."""
    draw = np.random.default_rng(seed)
    empty = blank(n_turns, SIZES)

    def noise(array):
        return draw.standard_normal(array.shape).astype(np.float32)

    return replace(
        empty,
        text=noise(empty.text),
        encoder=noise(empty.encoder),
        functionals=noise(empty.functionals),
        present=np.ones_like(empty.present),
        speakers=draw.integers(0, 2, n_turns),
        emotions=draw.integers(0, 7, n_turns),
        sentiments=draw.integers(0, 3, n_turns),
        is_acted=is_acted,
    )


def without(said, *columns):
    present = said.present.copy()
    present[:, columns] = 0.0
    return replace(said, present=present)


def training(model, tmp_path, dialogues, recipe=RECIPE, validate=lambda stage: {}):
    source = Source(CorpusRecipe(batch=2, span=5), dialogues)
    return DialogueTraining(model, recipe, {"x": source}, validate, tmp_path, 0)


def loss_of(model, tmp_path, stage, batch, recipe=RECIPE):
    turns = collate(batch, device=CPU)
    work = training(model, tmp_path, batch, recipe)
    return work._batch_loss(stage, score(model, stage, turns), batch, turns)


# --- batches ------------------------------------------------------------------


@pytest.mark.parametrize("causal", [True, False])
def test_padding_changes_no_answer(causal):
    model = make_model(causal=causal)
    short, long = dialogue(3), dialogue(8, 1)
    with torch.no_grad():
        alone = model(collate([short], device=CPU)).fused[0]
        padded = model(collate([short, long], device=CPU)).fused[0, :3]
    assert torch.allclose(alone, padded, atol=1e-6)
    targets = collate_targets([short, long], "emotions", CPU)
    assert targets[0, 3:].tolist() == [NO_TARGET] * 5


def test_without_speakers_all_turns_look_alike():
    turns = collate([dialogue(5)], device=CPU, speakers=False)
    assert turns.same_speaker.all()
    assert not collate([dialogue(5)], device=CPU).same_speaker.all()


@given(
    n_turns=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    span=st.integers(1, 10),
    seed=st.integers(0, 99),
)
def test_a_batch_is_of_spans_of_the_dialogues(n_turns, span, seed):
    dialogues = [dialogue(n, number) for number, n in enumerate(n_turns)]
    source = Source(CorpusRecipe(batch=6, span=span), dialogues)
    drawn = source.draw(RECIPE, np.random.default_rng(seed))
    assert len(drawn) == 6
    for part in drawn:
        wholes = {d.text[:, 0].tobytes(): d for d in dialogues}
        whole = next(d for key, d in wholes.items() if part.text[:, 0].tobytes() in key)
        assert len(part) == min(span, len(whole))


def test_a_long_dialogue_is_seen_to_its_last_turn():
    source = Source(CorpusRecipe(batch=50, span=3), [dialogue(6)])
    drawn = source.draw(RECIPE, np.random.default_rng(0))
    firsts = {float(part.text[0, 0]) for part in drawn}
    assert firsts == {float(value) for value in dialogue(6).text[:4, 0]}


# --- what is hidden -----------------------------------------------------------


def test_acted_words_are_never_judged_without_the_voice():
    draw = np.random.default_rng(0)
    for _ in range(200):
        present = hide(dialogue(6, is_acted=True), RECIPE, draw).present
        assert present[:, 1:].any(1).all()


@pytest.mark.parametrize("gone", [(1, 2), (0,)])
def test_a_modality_is_never_hidden_where_it_is_the_only_one(gone):
    said = without(dialogue(6), *gone)
    draw = np.random.default_rng(0)
    for _ in range(100):
        present = hide(said, RECIPE, draw).present
        assert present[:, 0].all() == said.present[:, 0].all()
        assert present[:, 1:].any() == said.present[:, 1:].any()


def test_nothing_is_hidden_if_the_recipe_says_so():
    never = {
        f"drop_{name}": 0.0
        for name in ("text", "voice", "turn", "encoder", "functionals", "speakers")
    }
    draw = np.random.default_rng(0)
    for _ in range(50):
        said = hide(dialogue(6), replace(RECIPE, **never), draw)
        assert said.present.all()
        assert np.array_equal(said.speakers, dialogue(6).speakers)


def test_now_and_then_all_speakers_go_by_one_name():
    recipe = replace(RECIPE, drop_speakers=0.5)
    draw = np.random.default_rng(0)
    named = [len({*hide(dialogue(6), recipe, draw).speakers}) > 1 for _ in range(400)]
    assert 160 < sum(named) < 240


def test_hiding_leaves_the_dialogue_as_it_was():
    said = dialogue(6)
    for seed in range(20):
        hide(said, RECIPE, np.random.default_rng(seed))
    assert said.present.all()


def test_every_pattern_of_a_dialogue_is_seen_in_training():
    draw = np.random.default_rng(0)
    seen = {
        tuple(hide(dialogue(6), RECIPE, draw).present[0].astype(int))
        for _ in range(2_000)
    }
    for pattern in [(1, 1, 1), (1, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 0, 1)]:
        assert pattern in seen


# --- what is taught -----------------------------------------------------------


@by_stage
def test_a_stage_teaches_its_own_parts(stage, tmp_path):
    model = make_model()
    # Its correction starts at nothing, which lets no gradient through yet.
    torch.nn.init.normal_(model.fusion.head.weight)
    loss_of(model, tmp_path, stage, [dialogue(6), dialogue(4, 1)]).backward()
    for part in stage.parts:
        gradients = [p.grad for p in getattr(model, part).parameters()]
        taught = sum(g is not None and bool(g.abs().sum() > 0) for g in gradients)
        assert taught > len(gradients) / 2, part


@by_stage
def test_a_stage_changes_its_own_parts_alone(stage, tmp_path):
    model = make_model()
    before = {name: w.clone() for name, w in model.state_dict().items()}
    course = Course(steps=3, learning_rate=0.1)
    training(model, tmp_path, [dialogue(6), dialogue(7, 1)]).run(stage, course)
    changed = {
        name.partition(".")[0]
        for name, weights in model.state_dict().items()
        if not torch.equal(weights, before[name])
    }
    assert changed == set(stage.parts)


def test_acted_words_teach_the_text_stage_nothing(tmp_path):
    stage = replace(CONTEXT, scores=("text_context",))
    batch = [dialogue(6, is_acted=True)]
    assert loss_of(make_model(), tmp_path, stage, batch).item() == 0.0
    assert loss_of(make_model(), tmp_path, stage, [dialogue(6)]).item() > 0.0


@pytest.mark.parametrize(("field", "column"), [("text_context", 0), ("voice", 1)])
def test_a_turn_that_lacks_it_teaches_a_modality_nothing(field, column, tmp_path):
    columns = (0,) if column == 0 else (1, 2)
    stage = replace(TOGETHER, scores=(field,))
    loss = loss_of(make_model(), tmp_path, stage, [without(dialogue(6), *columns)])
    assert loss.item() == 0.0


def test_words_alone_do_not_train_the_voice(tmp_path):
    model = make_model()
    before = [w.clone() for w in model.parameters()]
    said = without(dialogue(6), 1, 2)
    assert training(model, tmp_path, [said]).run(VOICE, Course(steps=3)) == 0.0
    assert all(map(torch.equal, before, model.parameters()))


def test_a_stage_learns(tmp_path):
    model = make_model()
    batch = [dialogue(6, seed) for seed in range(4)]
    before = loss_of(model, tmp_path, TOGETHER, batch).item()
    course = Course(steps=60, learning_rate=0.02)
    training(model, tmp_path, batch).run(TOGETHER, course)
    assert loss_of(model, tmp_path, TOGETHER, batch).item() < 0.8 * before


def test_stages_killed_and_repeated_end_as_they_would_have(tmp_path, monkeypatch):
    from offline.training import loop

    monkeypatch.setattr(loop, "SAVE_STEPS", 2)
    dialogues = [dialogue(n, n) for n in (3, 6, 9)]

    def run(folder, stop_in=None):
        model, seen = make_model(), []

        def validate(stage):
            seen.append(stage.name)
            if seen.count(stop_in) == 2:
                raise KeyboardInterrupt
            return stage_figures(model, stage, held, RECIPE)

        held = {"x": HeldOut(dialogues, make_target([]), False)}
        work = training(model, folder, dialogues, RECIPE, validate)
        course = Course(steps=7, validate_steps=3, learning_rate=0.05)
        for stage in (VOICE, CONTEXT, FUSION):
            work.run(stage, course)
        return model.state_dict()

    expected = run(tmp_path / "whole")
    for stop_in in ("voice", "context", "fusion"):
        with pytest.raises(KeyboardInterrupt):
            run(tmp_path / "cut", stop_in)
    found = run(tmp_path / "cut")
    assert all(torch.equal(found[name], expected[name]) for name in expected)


# --- the loss -----------------------------------------------------------------


def plain_loss(scores, targets, weights, is_focal):
    """The definition, one turn after another."""
    total, shares = 0.0, 0.0
    for row, target in zip(scores.double(), targets, strict=True):
        if target == NO_TARGET:
            continue
        share = torch.exp(row[target]) / torch.exp(row).sum()
        focus = (1.0 - share) ** 2 if is_focal else 1.0
        total += -weights[target] * focus * torch.log(share)
        shares += weights[target]
    return total / shares


@pytest.mark.parametrize("is_focal", [False, True])
@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_the_loss_is_its_definition(is_focal, exponent, tmp_path):
    loss = "focal" if is_focal else "cross-entropy"
    recipe = replace(RECIPE, loss=loss, class_weights=exponent)
    said = dialogue(30)
    said.emotions[::4] = NO_TARGET
    work = training(make_model(), tmp_path, [said], recipe)
    scores = torch.randn(30, 7, requires_grad=True)
    targets = torch.from_numpy(said.emotions)
    counts = 1 + np.bincount(said.emotions[said.emotions != NO_TARGET], minlength=7)
    weights = (counts / counts.sum()) ** -exponent
    found = work._cross_entropy(scores, targets, work._weights)
    expected = plain_loss(scores, targets, weights, is_focal)
    assert found.item() == pytest.approx(expected.item(), 1e-5)
    (gradient,) = torch.autograd.grad(found, scores)
    assert torch.allclose(gradient, torch.autograd.grad(expected, scores)[0], atol=1e-6)


@pytest.mark.parametrize("loss", ["cross-entropy", "focal"])
def test_the_weight_of_the_loss_is_no_way_out(loss, tmp_path):
    """Teaching must raise the score of the wanted class, whatever the focus is."""
    scores = torch.tensor([[2.0, 0.0, -1.0, 0, 0, 0, 0]], requires_grad=True)
    recipe = replace(RECIPE, loss=loss)
    work = training(make_model(), tmp_path, [dialogue(6)], recipe)
    work._cross_entropy(scores, torch.tensor([0]), None).backward()
    assert scores.grad[0, 0] < 0.0 and (scores.grad[0, 1:] > 0.0).all()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_class_weights_are_one_on_average(exponent):
    said = dialogue(2_000)
    said.emotions[:1_500] = 0
    source = Source(CorpusRecipe(), [said])
    weights = class_weights({"x": source}, exponent)
    assert float(weights[said.emotions].mean()) == pytest.approx(1.0, rel=0.02)
    assert (weights[0] < weights[1]) == (exponent > 0.0)


# --- what is scored -----------------------------------------------------------


def test_turns_without_a_target_are_not_scored():
    said = dialogue(6)
    said.emotions[:] = [0, NO_TARGET, 2, 3, NO_TARGET, 5]
    found, wanted = predict(make_model(), [said])
    assert wanted.tolist() == [0, 2, 3, 5]
    assert found.shape == (4, 10)


@pytest.mark.parametrize(
    ("columns", "n_scored"), [((0,), 5), ((1, 2), 4), ((0, 1, 2), 3)]
)
def test_only_turns_that_have_what_is_asked_for_are_scored(columns, n_scored):
    said = dialogue(6)
    said.present[0, 0] = said.present[1, 1] = 0.0  # 1 keeps its functionals
    said.present[2, 1:] = said.present[3, 1:] = 0.0
    assert len(predict(make_model(), [said], columns=columns)[1]) == n_scored


def test_what_is_not_asked_for_is_hidden():
    said = dialogue(6)
    other = replace(said, encoder=said.encoder + 9.0, functionals=said.functionals * 2)
    model = make_model()
    assert torch.equal(
        predict(model, [said], columns=(0,))[0],
        predict(model, [other], columns=(0,))[0],
    )


def test_many_dialogues_are_scored_in_order():
    dialogues = [dialogue(1 + n % 5, n) for n in range(40)]
    scores, wanted = predict(make_model(), dialogues)
    assert wanted.tolist() == np.concatenate([d.emotions for d in dialogues]).tolist()
    alone = torch.cat([predict(make_model(), [each])[0] for each in dialogues])
    assert torch.allclose(scores, alone, atol=1e-5)


def held_out(dialogues, labels=(), *, is_acted=False):
    return HeldOut(dialogues, make_target(list(labels)), is_acted)


VOICE_ONLY, TEXT_ONLY = without(dialogue(9), 0), without(dialogue(9), 1, 2)


@pytest.mark.parametrize(
    ("stage", "said", "is_acted", "inputs"),
    [
        (VOICE, dialogue(9), False, ["voice"]),
        (CONTEXT, dialogue(9), False, ["voice", "text"]),
        (CONTEXT, dialogue(9), True, ["voice"]),
        (CONTEXT, TEXT_ONLY, False, ["text"]),
        (FUSION, dialogue(9), False, ["voice", "both"]),
        (FUSION, TEXT_ONLY, False, ["text"]),
        (FUSION, VOICE_ONLY, False, ["voice"]),
        (TOGETHER, dialogue(9), True, ["voice", "both"]),
    ],
)
def test_a_stage_is_judged_by_what_it_takes(stage, said, is_acted, inputs):
    found = judged_inputs(stage, held_out([said], is_acted=is_acted), RECIPE)
    assert [which for which, _ in found] == inputs


def test_what_always_has_words_is_not_judged_without():
    recipe = replace(RECIPE, drop_text=0.0)
    found = judged_inputs(FUSION, held_out([dialogue(9)]), recipe)
    assert found == [("both", "fused")]


def test_a_corpus_without_a_voice_has_no_figure_of_one():
    figures = stage_figures(make_model(), VOICE, {"x": held_out([TEXT_ONLY])}, RECIPE)
    assert figures == {}


@pytest.mark.parametrize("is_acted", [False, True])
def test_figures_are_weighted_f1_and_of_acted_clips_recall(is_acted):
    model, said = make_model(), [dialogue(30)]
    figures = stage_figures(
        model, FUSION, {"x": held_out(said, is_acted=is_acted)}, RECIPE
    )
    scores, wanted = predict(model, said)
    given = scores[:, :7].argmax(-1).numpy()
    rule = unweighted_recall if is_acted else weighted_f1
    assert figures["x both"] == pytest.approx(rule(wanted.numpy(), given))
    assert set(figures) == {"x voice", "x both"}


def test_a_target_of_four_chooses_among_four():
    scores = np.zeros((3, 10), np.float32)
    scores[:, EMOTIONS.index("disgust")] = 9.0
    scores[:, EMOTIONS.index("anger")] = 1.0
    wanted = np.array([EMOTIONS.index(n) for n in ("anger", "fear", "joy")])
    kept, given = make_target(FOUR).choose(scores, wanted)
    assert [EMOTIONS[n] for n in kept] == ["anger", "joy"]
    assert [EMOTIONS[n] for n in given] == ["anger", "anger"]


def test_a_target_of_sentiments_reads_the_last_three():
    scores = np.zeros((2, 10), np.float32)
    scores[:, 0] = 9.0
    scores[0, 7 + SENTIMENTS.index("positive")] = 1.0
    scores[:, 7 + SENTIMENTS.index("neutral")] = 5.0
    target = make_target(["positive", "negative"])
    assert target.name == "sentiments"
    wanted = np.array([SENTIMENTS.index(n) for n in ("positive", "neutral")])
    kept, given = target.choose(scores, wanted)
    assert (
        [SENTIMENTS[n] for n in kept] == [SENTIMENTS[n] for n in given] == ["positive"]
    )


def test_a_sentiment_is_scored_where_there_is_no_emotion():
    said = dialogue(9)
    said.emotions[:] = NO_TARGET
    held = held_out([said], ["positive", "negative"])
    assert set(stage_figures(make_model(), FUSION, {"x": held}, RECIPE)) == {
        "x voice",
        "x both",
    }


# --- honest probabilities -----------------------------------------------------


@pytest.mark.parametrize("distortion", [0.5, 1.0, 2.0, 3.0])
def test_the_temperature_undoes_a_known_distortion(distortion):
    torch.manual_seed(0)
    honest = torch.randn(4_000, 7)
    wanted = torch.distributions.Categorical(logits=honest).sample()
    found = fit_temperature([(honest * distortion, wanted)])
    assert found == pytest.approx(distortion, rel=0.1)


def test_each_corpus_has_the_same_say_in_the_temperature():
    torch.manual_seed(0)
    honest = torch.randn(4_000, 7)
    wanted = torch.distributions.Categorical(logits=honest).sample()
    one, two = (honest, wanted), (honest[:500] * 3.0, wanted[:500])
    found = fit_temperature([one, two])
    assert fit_temperature([one]) < found < fit_temperature([two])
    assert found == fit_temperature([one, (two[0].repeat(4, 1), two[1].repeat(4))])


def test_patterns_that_nobody_has_keep_their_temperature():
    held = {"x": held_out([without(dialogue(60), 1, 2)], FOUR)}
    found = fit_temperatures(make_model(), held, RECIPE)
    assert found[0] == found[2] == found[3] == 1.0 and found[1] != 1.0


def test_acted_words_set_no_temperature():
    held = {"x": held_out([dialogue(60, is_acted=True)], is_acted=True)}
    found = fit_temperatures(make_model(), held, RECIPE)
    assert found[1] == 1.0 and found[2] != 1.0 and found[3] != 1.0


@pytest.mark.parametrize("labels", [(), FOUR, ("positive", "negative")])
def test_a_temperature_is_of_the_classes_that_count(labels):
    torch.manual_seed(0)
    held = held_out([dialogue(400)], labels)
    found = fit_temperatures(make_model(), {"x": held}, RECIPE)
    assert bool(((found > 0.3) & (found < 5.1)).all())


def test_the_prior_is_the_share_of_each_class():
    share = log_share([np.array([0, 0, 1, NO_TARGET])], 2).exp()
    assert share.tolist() == pytest.approx([3 / 5, 2 / 5])  # one of each beforehand


def test_the_prior_adds_up_to_one_for_emotions_and_for_sentiments():
    prior = measure_prior({"x": Source(CorpusRecipe(), [dialogue(50)])})
    assert prior[:7].exp().sum().item() == pytest.approx(1.0, abs=1e-5)
    assert prior[7:].exp().sum().item() == pytest.approx(1.0, abs=1e-5)
