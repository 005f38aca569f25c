"""Training of the dialogue network, and its figures."""

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from offline.dataset import NO_TARGET, Sizes, blank  # noqa: E402
from offline.fusion_training import (  # noqa: E402
    STAGES,
    collate,
    collate_targets,
    fit_temperature,
    four_way,
    hide,
    loss_of,
    predict,
)
from offline.recipe import DialogueRecipe  # noqa: E402
from offline.run import log_share, make_model  # noqa: E402
from stream_erc.flow import EMOTIONS  # noqa: E402

SIZES = Sizes(text=6, encoder=5, functionals=4)
RECIPE = DialogueRecipe(hidden=8, width=8, window=3)


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


def test_padding_changes_no_answer():
    model = make_model(RECIPE, SIZES).eval()
    short, long = dialogue(3), dialogue(8, 1)
    with torch.no_grad():
        alone = model(collate([short])).fused[0]
        padded = model(collate([short, long])).fused[0, :3]
    assert torch.allclose(alone, padded, atol=1e-6)
    assert collate_targets([short, long], "emotions")[0, 3:].tolist() == [NO_TARGET] * 5


def test_acted_words_are_never_judged_without_the_voice():
    draw = np.random.default_rng(0)
    for _ in range(200):
        present = hide(dialogue(6, is_acted=True), RECIPE, draw).present
        assert present[:, 1:].any(1).all()


def test_a_modality_is_never_hidden_where_it_is_the_only_one():
    said = dialogue(6)
    said.present[:, 1:] = 0.0
    draw = np.random.default_rng(0)
    for _ in range(100):
        assert np.array_equal(hide(said, RECIPE, draw).present, said.present)


def test_every_pattern_of_a_dialogue_is_seen_in_training():
    draw = np.random.default_rng(0)
    seen = {
        tuple(hide(dialogue(6), RECIPE, draw).present[0].astype(int))
        for _ in range(2_000)
    }
    for pattern in [(1, 1, 1), (1, 0, 0), (0, 1, 1), (0, 1, 0), (0, 0, 1), (1, 0, 1)]:
        assert pattern in seen


@pytest.mark.parametrize(("name", "parts", "scores"), STAGES)
def test_a_stage_teaches_its_own_parts(name, parts, scores):
    model = make_model(RECIPE, SIZES).eval()
    batch = [dialogue(6), dialogue(4, 1)]
    turns = collate(batch)
    torch.autograd.backward(loss_of(model(turns), batch, turns, scores))
    for part in parts:
        gradients = [p.grad for p in getattr(model, part).parameters()]
        taught = sum(g is not None and bool(g.abs().sum() > 0) for g in gradients)
        assert taught > len(gradients) / 2, name


def test_acted_words_teach_the_text_stage_nothing():
    model = make_model(RECIPE, SIZES).eval()
    batch = [dialogue(6, is_acted=True)]
    turns = collate(batch)
    loss = loss_of(model(turns), batch, turns, ("text_context",))
    assert loss.item() == 0.0


def test_turns_without_a_target_are_not_scored():
    model = make_model(RECIPE, SIZES).eval()
    said = dialogue(6)
    said.emotions[:] = [0, NO_TARGET, 2, 3, NO_TARGET, 5]
    found, wanted = predict(model, [said])
    assert wanted.tolist() == [0, 2, 3, 5]
    assert found.shape == (4, 10)


def test_four_way_chooses_among_four():
    scores = torch.zeros(3, 10)
    scores[:, EMOTIONS.index("disgust")] = 9.0
    scores[:, EMOTIONS.index("anger")] = 1.0
    wanted = torch.tensor([EMOTIONS.index(n) for n in ("anger", "fear", "joy")])
    kept, given = four_way(scores, wanted)
    assert kept.tolist() == [EMOTIONS.index("anger"), EMOTIONS.index("joy")]
    assert given.tolist() == [EMOTIONS.index("anger")] * 2


def test_the_temperature_undoes_too_much_confidence():
    torch.manual_seed(0)
    honest = torch.randn(4_000, 7)
    wanted = torch.distributions.Categorical(logits=honest).sample()
    found = fit_temperature(honest * 2.0, wanted, torch.ones(4_000))
    assert found == pytest.approx(2.0, rel=0.1)


def test_the_prior_is_the_share_of_each_class():
    share = log_share([np.array([0, 0, 1, NO_TARGET])], 2).exp()
    assert share.tolist() == pytest.approx([2 / 3, 1 / 3])
