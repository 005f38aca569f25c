"""One network, three ways to run it, the same answers."""

import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from small_networks import (  # noqa: E402
    PATTERNS,
    SHAPE,
    copy_state,
    random_turns,
    small_model,
    step_by_step,
    turn_at,
    whole,
)

from offline.exporting.graphs import write_dialogue_graph  # noqa: E402
from stream_erc.context import N_MEMORIES  # noqa: E402
from stream_erc.model_folder import DIALOGUE_INPUTS, DIALOGUE_OUTPUTS  # noqa: E402

N_TURNS = 3 * SHAPE.window  # well beyond the window
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model():
    return small_model()


@pytest.fixture(scope="module")
def network(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("export") / "dialogue.onnx"
    write_dialogue_graph(model, file)
    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


def steps_by_onnx(network, turns):
    """Probabilities (B, T, 10), one turn after another."""
    n_dialogues = len(turns.text)
    width, window = SHAPE.width, SHAPE.window
    state = [
        np.zeros((n_dialogues, 2, width), np.float32),
        np.zeros((n_dialogues, N_MEMORIES, window, width), np.float32),
        np.zeros((n_dialogues, 2, window), np.float32),
    ]
    found = []
    for index in range(turns.text.shape[1]):
        turn = turn_at(turns, index)
        values = [getattr(turn, name).numpy() for name in DIALOGUE_INPUTS[:5]]
        inputs = dict(zip(DIALOGUE_INPUTS, values + state, strict=True))
        emotions, sentiments, *state = network.run(list(DIALOGUE_OUTPUTS), inputs)
        found.append(np.concatenate([emotions, sentiments], -1))
    return torch.from_numpy(np.stack(found, 1))


def mixed_patterns():
    """A dialogue for each order of patterns: every pattern follows every other."""
    rows = torch.tensor(PATTERNS)
    order = torch.stack(
        [
            torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
            for seed in range(16)
        ]
    )
    return rows[order.repeat(1, 2)[:, :N_TURNS]]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_whole_and_stepwise_agree_for_every_pattern(model, network, pattern):
    present = torch.tensor(pattern).expand(2, N_TURNS, 3)
    turns = random_turns(2, N_TURNS, present=present)
    expected = whole(model, turns)
    assert torch.allclose(step_by_step(model, turns)[0], expected, atol=TOLERANCE)
    assert torch.allclose(steps_by_onnx(network, turns), expected, atol=TOLERANCE)


def test_whole_and_stepwise_agree_where_patterns_mix(model, network):
    present = mixed_patterns()
    turns = random_turns(len(present), N_TURNS, present=present)
    expected = whole(model, turns)
    assert torch.allclose(step_by_step(model, turns)[0], expected, atol=TOLERANCE)
    assert torch.allclose(steps_by_onnx(network, turns), expected, atol=TOLERANCE)


def test_a_batch_gives_what_each_dialogue_gives_alone(network):
    turns = random_turns(5, N_TURNS)
    together = steps_by_onnx(network, turns)
    for row in range(5):
        alone = random_turns(5, N_TURNS)
        alone = type(alone)(
            *(getattr(alone, name)[row : row + 1] for name in type(alone).__slots__)
        )
        assert torch.allclose(
            steps_by_onnx(network, alone)[0], together[row], atol=1e-5
        )


def test_a_step_leaves_its_state_as_it_was(model):
    turns = random_turns(2, 6)
    _, state = step_by_step(model, turns)
    before = copy_state(state)
    model.step(turn_at(turns, 5), state)
    for name in ("states", "memory", "heard"):
        assert torch.equal(getattr(state, name), getattr(before, name))
