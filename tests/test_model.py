"""What the network makes of what is missing."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from small_networks import (  # noqa: E402
    SHAPE,
    random_turns,
    small_model,
    step_by_step,
    turn_at,
    whole,
)


@pytest.mark.parametrize(
    ("name", "column"), [("text", 0), ("encoder", 1), ("functionals", 2)]
)
def test_what_is_marked_absent_is_not_looked_at(name, column):
    model = small_model()
    present = torch.ones(2, 9, 3)
    present[..., column] = 0.0
    turns = random_turns(2, 9, present=present)
    other = replace(turns, **{name: getattr(turns, name) + 100.0})
    assert torch.equal(whole(model, turns), whole(model, other))


def test_probabilities_add_up_to_one():
    probabilities = whole(small_model(), random_turns(3, 9))
    assert torch.allclose(probabilities[..., :7].sum(-1), torch.ones(3, 9))
    assert torch.allclose(probabilities[..., 7:].sum(-1), torch.ones(3, 9))


def test_a_turn_of_which_nothing_is_known_gets_the_prior():
    model = small_model()
    present = torch.ones(1, 6, 3)
    present[:, 3] = 0.0
    found = whole(model, random_turns(1, 6, present=present))
    assert torch.allclose(found[0, 3, :7], model.prior[:7].softmax(-1))
    assert torch.allclose(found[0, 3, 7:], model.prior[7:].softmax(-1))


def test_the_gru_stands_still_while_its_modality_is_absent():
    model = small_model()
    present = torch.ones(1, 6, 3)
    present[:, 3:, 0] = 0.0
    turns = random_turns(1, 6, present=present)
    state = model.empty_state(1)
    states = []
    for index in range(6):
        state = model.step(turn_at(turns, index), state)[1]
        states.append(state.states)
    assert torch.equal(states[2][:, 0], states[5][:, 0])
    assert not torch.equal(states[2][:, 1], states[5][:, 1])


def test_the_memory_holds_the_last_turns_oldest_first():
    model, turns = small_model(), random_turns(1, SHAPE.window + 3)
    _, state = step_by_step(model, turns)
    expected = turns.present[0, -SHAPE.window :]
    assert torch.equal(state.heard[0, 0], expected[:, 0])
    assert torch.equal(state.heard[0, 1], expected[:, 1:].amax(-1))
    assert torch.equal(state.memory[0, 0, -1], state.states[0, 0])


def test_a_higher_temperature_is_less_sure():
    model = small_model()
    scores = torch.randn(4, 10)
    present = torch.ones(4, 3)
    cool = model.probabilities(scores, present)[0].amax(-1)
    model.temperatures[3] = 5.0
    warm = model.probabilities(scores, present)[0].amax(-1)
    assert bool((warm < cool).all())
