"""The training loop: what is cut off goes on bit for bit, the best is kept."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytest.importorskip("accelerate")

from offline.training import loop  # noqa: E402  (needs torch)
from offline.training.loop import Lesson, Loop, course  # noqa: E402
from stream_erc.errors import ConfigError  # noqa: E402

torch.set_num_threads(1)  # more wait for each other longer than they work
N_STEPS = 12


class Pupil:
    """A network with one frozen part, and all that happened to it.

    Args:
        figures: What the validations give, in turn; by the weights if left out.
        stop_at: The step that does not come to its end.
        changes: Of the lesson.
    """

    def __init__(self, figures=None, stop_at=None, **changes):
        torch.manual_seed(5)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, 3)
        )
        self.losses, self.validated, self.figures = [], [], []
        self._script = iter(figures) if figures is not None else None
        self._stop_at = stop_at
        self.lesson = Lesson(
            **{
                "name": "lesson",
                "model": self.model,
                "learning": [self.model[1], self.model[2]],
                "loss": self._loss,
                "validate": self._validate,
                "steps": N_STEPS,
                "validate_steps": 2,
                "learning_rate": 0.05,
                "weight_decay": 0.01,
                **changes,
            }
        )

    def weights(self):
        return [w.detach().clone() for w in self.model.parameters()]

    def _loss(self, step, draw):
        if step == self._stop_at:
            raise KeyboardInterrupt
        inputs = torch.from_numpy(draw.standard_normal((6, 4)).astype("float32"))
        wanted = torch.from_numpy(draw.integers(0, 3, 6))
        loss = torch.nn.functional.cross_entropy(self.model(inputs), wanted)
        self.losses.append(loss.item())
        return loss

    def _validate(self):
        self.validated.append(self.weights())
        if self._script is not None:
            self.figures.append(next(self._script))
        else:
            scores = self.model(torch.linspace(-1.0, 1.0, 12).reshape(3, 4))
            self.figures.append(scores.softmax(-1)[:, 0].mean().item())
        return {"corpus text": self.figures[-1]}

    def learn(self, folder, seed=0):
        return Loop(self.lesson, Path(folder), seed).run()


def same(some, others):
    return all(torch.equal(a, b) for a, b in zip(some, others, strict=True))


@pytest.fixture(autouse=True)
def saved_every_third_step(monkeypatch):
    monkeypatch.setattr(loop, "SAVE_STEPS", 3)


def same_after_kills(tmp_path, stops, changes):
    """Whether a run killed at these steps, one after another, ends as a whole one."""
    expected = Pupil(**changes)
    best = expected.learn(tmp_path / "whole")
    for stop_at in stops:
        with pytest.raises(KeyboardInterrupt):
            Pupil(stop_at=stop_at, **changes).learn(tmp_path / "cut")
    last = Pupil(**changes)
    return (
        last.learn(tmp_path / "cut") == best
        and same(last.weights(), expected.weights())
        and last.figures == expected.figures[-len(last.figures) :]
        and last.losses == expected.losses[-len(last.losses) :]
    )


@pytest.mark.parametrize("stop_at", [0, 1, 3, 5, 6, N_STEPS - 1])
def test_a_run_killed_at_any_step_ends_bit_for_bit_as_a_whole_one(tmp_path, stop_at):
    assert same_after_kills(tmp_path, [stop_at], {})


@pytest.mark.parametrize(
    "changes",
    [{}, {"average": 0.9}, {"patience": 9}, {"average": 0.6, "patience": 9}],
    ids=str,
)
def test_a_run_may_be_killed_again_and_again(tmp_path, changes):
    assert same_after_kills(tmp_path, [2, 4, 4, 8, 10], changes)


def test_what_was_done_is_not_done_again(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        Pupil(stop_at=7).learn(tmp_path)
    second = Pupil()
    second.learn(tmp_path)
    assert len(second.losses) == N_STEPS - 6


def test_patience_survives_a_kill(tmp_path):
    figures = [0.9, *(0.1,) * 9]
    expected = Pupil(figures, patience=3)
    expected.learn(tmp_path / "whole")
    (tmp_path / "cut").mkdir()
    with pytest.raises(KeyboardInterrupt):
        Pupil(figures, stop_at=7, patience=3).learn(tmp_path / "cut")
    last = Pupil(figures[3:], patience=3)
    last.learn(tmp_path / "cut")
    assert len(expected.losses) == 8 and len(last.losses) == 2
    assert same(last.weights(), expected.weights())


@pytest.mark.parametrize(("steps", "seed"), [(N_STEPS + 1, 0), (N_STEPS, 1)])
def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, steps, seed):
    with pytest.raises(KeyboardInterrupt):
        Pupil(stop_at=5).learn(tmp_path)
    with pytest.raises(ConfigError, match=r"lesson\.checkpoint: .*another --run"):
        Pupil(steps=steps).learn(tmp_path, seed)


def test_another_seed_learns_something_else(tmp_path):
    first, second = Pupil(), Pupil()
    first.learn(tmp_path / "a", 0)
    second.learn(tmp_path / "b", 1)
    assert not same(first.weights(), second.weights())


def test_a_stage_that_is_done_is_not_taken_again(tmp_path):
    first, second = Pupil(), Pupil(stop_at=0)
    first.learn(tmp_path)
    second.learn(tmp_path)
    assert same(first.weights(), second.weights())


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        Pupil(stop_at=4).learn(tmp_path)
    before = (tmp_path / "lesson.checkpoint").read_bytes()

    def full(state, file):
        file.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(OSError, match="No space"):
            Pupil().learn(tmp_path)
    assert (tmp_path / "lesson.checkpoint").read_bytes() == before
    expected, last = Pupil(), Pupil()
    expected.learn(tmp_path / "whole")
    last.learn(tmp_path)
    assert same(last.weights(), expected.weights())
    assert not (tmp_path / "lesson.part").exists()


@pytest.mark.parametrize("average", [0.0, 0.9])
def test_the_state_of_the_best_validation_is_kept(tmp_path, average):
    figures = [0.1, 0.4, 0.9, 0.9, 0.2, 0.3]
    pupil = Pupil(figures, average=average)
    assert pupil.learn(tmp_path) == 0.9
    assert same(pupil.weights(), pupil.validated[2])
    assert not same(pupil.weights(), pupil.validated[3])


def test_the_mean_of_all_figures_chooses(tmp_path):
    scores = iter([(0.9, 0.1), (0.6, 0.6), *[(0.0, 1.0)] * 4])
    states = []

    def two():
        states.append(pupil.weights())
        return dict(zip(("a", "b"), next(scores), strict=True))

    pupil = Pupil(validate=two)
    assert pupil.learn(tmp_path) == pytest.approx(0.6)
    assert same(pupil.weights(), states[1])


def test_a_running_mean_does_not_change_what_is_learned(tmp_path):
    plain, mean = Pupil(), Pupil(average=0.9)
    plain.learn(tmp_path / "a")
    mean.learn(tmp_path / "b")
    assert plain.losses == mean.losses
    assert not same(plain.validated[-1], mean.validated[-1])


@pytest.mark.parametrize("patience", [1, 2])
def test_patience_ends_it(tmp_path, patience):
    pupil = Pupil([0.2, 0.3, 0.3, 0.1, 0.1, 0.1], patience=patience)
    pupil.learn(tmp_path)
    assert len(pupil.figures) == 2 + patience
    assert len(pupil.losses) == 2 * (2 + patience)


def test_without_patience_all_steps_are_taken(tmp_path):
    pupil = Pupil([0.9, *(0.1,) * 5])
    pupil.learn(tmp_path)
    assert len(pupil.losses) == N_STEPS


def test_the_last_step_is_validated(tmp_path):
    pupil = Pupil(validate_steps=100)
    pupil.learn(tmp_path)
    assert len(pupil.figures) == 1


def test_only_the_parts_that_learn_change(tmp_path):
    pupil = Pupil()
    before = pupil.weights()
    pupil.learn(tmp_path)
    after = pupil.weights()
    assert same(after[:2], before[:2])
    assert not torch.equal(after[2], before[2]) and not torch.equal(after[3], before[3])
    assert not any(w.requires_grad for w in pupil.model.parameters())
    assert not pupil.model.training


def test_parts_that_are_frozen_drop_nothing(tmp_path):
    modes = []

    def loss(step, draw):
        modes.append([part.training for part in pupil.model])
        return pupil.model(torch.ones(1, 4)).sum()

    pupil = Pupil(loss=loss)
    pupil.lesson = replace(pupil.lesson, learning=[pupil.model[2]])
    pupil.learn(tmp_path)
    assert modes == [[False, False, True]] * N_STEPS


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_no_number_names_stage_step_and_rate(tmp_path, bad):
    pupil = Pupil()
    good = pupil.lesson.loss
    pupil.lesson = replace(
        pupil.lesson,
        loss=lambda step, draw: good(step, draw) * (bad if step == 4 else 1.0),
    )
    with pytest.raises(ConfigError, match=r"^lesson: .*step 4; .*learning_rate.*0\.05"):
        pupil.learn(tmp_path)
    assert all(bool(w.isfinite().all()) for w in pupil.weights())


def test_a_gradient_that_is_no_number_is_refused_too(tmp_path):
    pupil = Pupil(loss=lambda step, draw: (pupil.model[2].weight * 0.0).sum().sqrt())
    with pytest.raises(ConfigError, match="step 0"):
        pupil.learn(tmp_path)


def test_too_little_memory_names_stage_and_step_and_a_remedy(tmp_path):
    pupil = Pupil(loss=lambda step, draw: torch.empty(10**15).sum())
    with pytest.raises(ConfigError, match=r"^lesson: .*step 0 .*smaller batch"):
        pupil.learn(tmp_path)


def test_a_bug_is_not_taken_for_too_little_memory(tmp_path):
    pupil = Pupil(loss=lambda step, draw: torch.ones(2) @ torch.ones(3))
    with pytest.raises(RuntimeError, match="size"):
        pupil.learn(tmp_path)


@given(n_steps=st.integers(1, 3_000))
def test_the_learning_rate_goes_up_and_then_down(n_steps):
    shares = [course(step, n_steps) for step in range(n_steps)]
    top = shares.index(max(shares))
    assert all(0.0 < share <= 1.0 for share in shares)
    assert max(shares) == pytest.approx(1.0)
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert course(n_steps, n_steps) == 0.0


def test_logs_are_for_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "SHOW_STEPS", 1)
    Pupil().learn(tmp_path)
    assert any(each.is_file() for each in (tmp_path / "logs" / "lesson").rglob("*"))
