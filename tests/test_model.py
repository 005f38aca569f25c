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

from stream_erc.layers import Gru, PastAttention, find_newest  # noqa: E402
from stream_erc.model import N_VIEWED, DialogueModel  # noqa: E402


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


def test_the_gru_is_the_one_that_is_known():
    """`torch.nn.GRU` with the same weights, where every turn is present."""
    torch.manual_seed(0)
    ours, theirs = Gru(6), torch.nn.GRU(6, 6, batch_first=True)
    with torch.no_grad():
        theirs.weight_ih_l0.copy_(ours.input.weight)
        theirs.bias_ih_l0.copy_(ours.input.bias)
        theirs.weight_hh_l0.copy_(ours.state.weight)
        theirs.bias_hh_l0.copy_(ours.state.bias)
        entered = torch.randn(3, 7, 6)
        states = ours.unroll(entered, torch.ones(3, 7, 1))
        assert torch.allclose(states, theirs(entered)[0], atol=1e-6)


def test_each_speaker_is_followed_as_if_alone():
    torch.manual_seed(0)
    gru, entered = Gru(6), torch.randn(1, 9, 6)
    speakers = torch.tensor([0, 1, 1, 0, 2, 0, 1, 0, 0])
    same = (speakers[:, None] == speakers[None, :]).float().unsqueeze(0)
    there = torch.ones(1, 9, 1)
    with torch.no_grad():
        states = gru.unroll_speakers(entered, there, same, window=9)
        for speaker in range(3):
            own = speakers == speaker
            alone = gru.unroll(entered[:, own], there[:, own])
            assert torch.allclose(states[:, own], alone, atol=1e-6)


def test_a_speaker_silent_for_longer_than_the_window_is_a_stranger():
    torch.manual_seed(0)
    gru, entered = Gru(6), torch.randn(1, 6, 6)
    speakers = torch.tensor([0, 1, 1, 1, 0, 0])
    same = (speakers[:, None] == speakers[None, :]).float().unsqueeze(0)
    with torch.no_grad():
        states = gru.unroll_speakers(entered, torch.ones(1, 6, 1), same, window=3)
        anew = gru.unroll(entered[:, 4:], torch.ones(1, 2, 1))
    assert torch.allclose(states[:, 4:], anew, atol=1e-6)


def test_the_newest_of_the_marked_states_is_found():
    states = torch.arange(1.0, 13.0).reshape(2, 3, 2)
    marks = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert find_newest(states, marks).tolist() == [[3.0, 4.0], [0.0, 0.0]]


def test_half_of_the_heads_looks_at_others_alone():
    torch.manual_seed(0)
    attention = PastAttention(SHAPE).eval()
    with torch.no_grad():
        attention.out.weight[:] = torch.eye(SHAPE.width)
        memory, half = torch.randn(1, 3, SHAPE.width), SHAPE.width // 2
        reach = torch.tensor([[[2, 1, 0]]])
        same = torch.tensor([[[1.0, 0.0, 1.0]]])
        seen = attention(memory[:, -1:], memory, reach, same)
        for changed, is_own in ((0, True), (1, False), (2, True)):
            other = memory.clone()
            other[:, changed] += 1.0
            found = attention(memory[:, -1:], other, reach, same)
            assert torch.equal(found[..., :half], seen[..., :half]) != is_own
            assert torch.equal(found[..., half:], seen[..., half:]) == is_own


def test_layers_of_an_encoder_are_mixed_by_what_was_learned():
    model = small_model(encoder_layers=2)
    turns = random_turns(2, 5, present=torch.ones(2, 5, 3))
    first, second = turns.encoder.chunk(2, -1)
    with torch.no_grad():
        model.voice.layer_weights[:] = torch.tensor([50.0, -50.0])
    other = replace(turns, encoder=torch.cat([first, second + 9.0], -1))
    assert torch.allclose(whole(model, turns), whole(model, other))
    other = replace(turns, encoder=torch.cat([first + 9.0, second], -1))
    assert not torch.allclose(whole(model, turns), whole(model, other))


@pytest.mark.parametrize("encoder_layers", [2, 5])
def test_step_is_forward_for_encoders_of_several_layers(encoder_layers):
    model = small_model(encoder_layers=encoder_layers)
    with torch.no_grad():
        model.voice.layer_weights.normal_()
    turns = random_turns(2, 3 * SHAPE.window)
    stepwise, _ = step_by_step(model, turns)
    assert torch.allclose(stepwise, whole(model, turns), atol=1e-5)


def test_the_memory_holds_the_last_turns_oldest_first():
    model, turns = small_model(), random_turns(1, SHAPE.window + 3)
    _, state = step_by_step(model, turns)
    expected = turns.present[0, -SHAPE.window :]
    assert torch.equal(state.heard[0, 0], expected[:, 0])
    assert torch.equal(state.heard[0, 1], expected[:, 1:].amax(-1))
    view = state.states[0] + state.memory[0, N_VIEWED:, -1]
    assert torch.equal(state.memory[0, :2, -1], view)


def test_a_higher_temperature_is_less_sure():
    model = small_model()
    scores = torch.randn(4, 10)
    present = torch.ones(4, 3)
    cool = model.probabilities(scores, present)[0].amax(-1)
    model.temperatures[3] = 5.0
    warm = model.probabilities(scores, present)[0].amax(-1)
    assert bool((warm < cool).all())


def test_an_untrained_fusion_adds_up_what_the_modalities_say():
    torch.manual_seed(0)
    model = DialogueModel(SHAPE).eval()
    turns = random_turns(3, 6, present=torch.ones(3, 6, 3))
    with torch.no_grad():
        scores = model(turns)
        expected = scores.text_context[..., :7].log_softmax(-1)
        expected = expected + 0.75 * scores.voice_context[..., :7].log_softmax(-1)
    assert torch.allclose(scores.fused[..., :7], expected, atol=1e-5)
