"""Small random networks and dialogues, quick enough to try every pattern."""

import itertools
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from stream_erc.layers import Shape  # noqa: E402  (needs torch)
from stream_erc.model import DialogueModel, State, Turns  # noqa: E402

torch.set_num_threads(1)  # more wait for each other longer than they work

SHAPE = Shape(
    text_size=12,
    encoder_size=10,
    functionals_size=8,
    hidden=16,
    width=16,
    window=4,
    n_heads=2,
)

PATTERNS = list(itertools.product((0.0, 1.0), repeat=3))
"""Every choice of text, encoder and functionals."""


def small_model(seed=0, **changes):
    """A network with biases that are not zero, so that each of them matters.

    Args:
        seed: Of its weights.
        changes: Of `SHAPE`.
    """
    torch.manual_seed(seed)
    model = DialogueModel(replace(SHAPE, **changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() < 2 or parameter.shape[0] == SHAPE.window + 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
        # It starts at zero, and would hide all that leads to it.
        model.fusion.head.weight.normal_(std=0.3)
        model.temperatures[:] = torch.tensor([1.0, 0.7, 1.3, 0.9])
        model.prior.normal_()
    return model


def random_turns(n_dialogues, n_turns, seed=0, present=None):
    """Dialogues of up to three speakers; what is absent holds noise all the same."""
    torch.manual_seed(seed)
    speakers = torch.randint(0, 3, (n_dialogues, n_turns))
    if present is None:
        present = torch.randint(0, 2, (n_dialogues, n_turns, 3)).float()
    return Turns(
        text=torch.randn(n_dialogues, n_turns, SHAPE.text_size),
        encoder=torch.randn(n_dialogues, n_turns, SHAPE.encoder_size),
        functionals=torch.randn(n_dialogues, n_turns, SHAPE.functionals_size),
        present=present,
        same_speaker=(speakers[:, :, None] == speakers[:, None, :]).float(),
    )


def turn_at(turns, index):
    """What `step` is given for turn `index`."""
    n_dialogues = len(turns.text)
    same = torch.zeros(n_dialogues, SHAPE.window)
    n_past = min(index, SHAPE.window)
    if n_past:
        same[:, -n_past:] = turns.same_speaker[:, index, index - n_past : index]
    return Turns(
        turns.text[:, index],
        turns.encoder[:, index],
        turns.functionals[:, index],
        turns.present[:, index],
        same,
    )


@torch.no_grad()
def whole(model, turns):
    """Probabilities (B, T, 10) of whole dialogues."""
    scores = model(turns).fused
    return torch.cat(model.probabilities(scores, turns.present), -1)


@torch.no_grad()
def step_by_step(model, turns):
    """The same, one turn after another; also the last state."""
    state = model.empty_state(len(turns.text))
    found = []
    for index in range(turns.text.shape[1]):
        turn = turn_at(turns, index)
        scores, state = model.step(turn, state)
        found.append(torch.cat(model.probabilities(scores.fused, turn.present), -1))
    return torch.stack(found, 1), state


def copy_state(state):
    """A state that shares nothing with the other."""
    return State(state.states.clone(), state.memory.clone(), state.heard.clone())
