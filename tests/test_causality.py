"""No answer knows what is said later."""

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from small_networks import random_turns, small_model, step_by_step, whole  # noqa: E402

N_TURNS = 12


@pytest.mark.parametrize("changed", range(1, N_TURNS))
@pytest.mark.parametrize("name", ["text", "encoder", "functionals", "present"])
def test_a_later_turn_changes_no_earlier_answer(changed, name):
    model, turns = small_model(), random_turns(2, N_TURNS)
    values = getattr(turns, name).clone()
    values[:, changed:] = 1.0 - values[:, changed:]
    other = replace(turns, **{name: values})
    assert torch.equal(
        whole(model, turns)[:, :changed], whole(model, other)[:, :changed]
    )


@pytest.mark.parametrize("changed", [1, 5, N_TURNS - 1])
def test_who_speaks_later_changes_no_earlier_answer(changed):
    model, turns = small_model(), random_turns(2, N_TURNS)
    same = turns.same_speaker.clone()
    same[:, :, changed:] = 1.0 - same[:, :, changed:]
    same[:, changed:] = 1.0 - same[:, changed:]
    other = replace(turns, same_speaker=same)
    assert torch.equal(
        whole(model, turns)[:, :changed], whole(model, other)[:, :changed]
    )


@pytest.mark.parametrize("name", ["text", "encoder", "functionals"])
def test_a_network_that_is_not_causal_does_look_ahead(name):
    """Or the comparison with one would be with ourselves."""
    model = small_model(causal=False)
    turns = random_turns(2, 8, present=torch.ones(2, 8, 3))
    values = getattr(turns, name).clone()
    values[:, 7] += 1.0
    other = replace(turns, **{name: values})
    # Both beyond the reach of attention and within it.
    for turn in (0, 6):
        assert not torch.allclose(
            whole(model, turns)[:, turn], whole(model, other)[:, turn]
        )


def test_to_look_ahead_is_to_look_back_on_the_dialogue_told_backwards():
    model = small_model(causal=False)
    for stage in (model.text_context, model.voice_context):
        stage.backward_gru.load_state_dict(stage.forward_gru.state_dict())
        speaker = stage.speaker_gru.state_dict()
        stage.backward_speaker_gru.load_state_dict(speaker)
    turns = random_turns(2, 9)
    names = ("text", "encoder", "functionals", "present")
    backwards = {name: getattr(turns, name).flip(1) for name in names}
    same = turns.same_speaker.flip(1, 2)
    found = whole(model, replace(turns, **backwards, same_speaker=same))
    assert torch.allclose(found.flip(1), whole(model, turns), atol=1e-5)


@pytest.mark.parametrize("name", ["text", "encoder", "functionals"])
def test_an_earlier_turn_does_change_the_answer(name):
    model = small_model()
    turns = random_turns(2, 4, present=torch.ones(2, 4, 3))
    values = getattr(turns, name).clone()
    values[:, 1] += 1.0
    other = replace(turns, **{name: values})
    assert not torch.allclose(whole(model, turns)[:, 3], whole(model, other)[:, 3])


def test_who_spoke_before_does_change_the_answer():
    model = small_model()
    turns = random_turns(2, 4, present=torch.ones(2, 4, 3))
    other = replace(turns, same_speaker=1.0 - turns.same_speaker)
    assert not torch.allclose(whole(model, turns)[:, 3], whole(model, other)[:, 3])


def test_the_state_does_not_grow():
    model = small_model()
    short = step_by_step(model, random_turns(1, 2))[1]
    long = step_by_step(model, random_turns(1, 40))[1]
    for name in ("states", "memory", "heard"):
        assert getattr(short, name).shape == getattr(long, name).shape
