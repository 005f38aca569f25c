"""The one training loop: steps, validation, early stopping, checkpoints, logs.

Everything random in a step is drawn from the seed and the step's number alone, so a run
that was killed goes on bit for bit as if it had not been. It runs on what `accelerate`
finds or is told: one processor, one GPU, or several processes (`accelerate launch`),
each of which draws a batch of its own; they learn from the mean of their gradients.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import broadcast
from torch import Tensor, nn

from offline.progress import Progress
from stream_erc.errors import ConfigError

log = logging.getLogger(__name__)

WARM_UP = 0.06  # share of the steps before the full learning rate
SAVE_STEPS = 100
SHOW_STEPS = 20
LARGEST_GRADIENT = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Lesson:
    """What a stage learns, and how long and how fast.

    Attributes:
        name: Of the stage; names its checkpoint and its logs.
        model: Holds all that the loss needs.
        learning: Its parts whose weights change; all others are frozen.
        loss: Gives the loss of a step, drawing what it needs from the generator.
        validate: Gives figures by name; their mean chooses the state that is kept.
        steps: How many.
        validate_steps: After how many of them the figures are taken.
        learning_rate: At its highest: up in a line, then down in a line.
        weight_decay: Of AdamW (Loshchilov and Hutter, 2019).
        patience: Validations without a gain before it stops; 0: to the end.
        average: Decay of a running mean of the weights, which is what is validated and
            kept (Polyak and Juditsky, 1992); 0: none.
    """

    name: str
    model: nn.Module
    learning: Sequence[nn.Module]
    loss: Callable[[int, np.random.Generator], Tensor]
    validate: Callable[[], dict[str, float]]
    steps: int
    validate_steps: int
    learning_rate: float
    weight_decay: float
    patience: int = 0
    average: float = 0.0


def course(step: int, n_steps: int) -> float:
    """Share of the learning rate: up in a line, then down to zero in a line."""
    warm = max(1, int(n_steps * WARM_UP))
    return min((step + 1) / warm, max(0.0, (n_steps - step) / max(1, n_steps - warm)))


class Loop:
    """Takes the steps of one lesson and leaves the best state in its model.

    Args:
        lesson: What to learn.
        folder: Where checkpoint and logs go.
        seed: Of everything random.
    """

    def __init__(self, lesson: Lesson, folder: Path, seed: int) -> None:
        self._lesson = lesson
        self._seed = seed
        self._file = folder / f"{lesson.name}.checkpoint"
        self._accelerator = Accelerator(
            log_with="tensorboard", project_dir=str(folder / "logs")
        )
        self._accelerator.init_trackers(lesson.name)
        self._device = self._accelerator.device
        lesson.model.to(self._device)
        lesson.model.requires_grad_(False)
        for module in lesson.learning:
            module.requires_grad_(True)
        self._weights = [p for p in lesson.model.parameters() if p.requires_grad]
        self._optimizer: Any = self._accelerator.prepare(
            torch.optim.AdamW(
                self._weights, weight_decay=lesson.weight_decay, fused=True
            )
        )
        self._about = {
            "seed": seed,
            "steps": lesson.steps,
            "learning_rate": lesson.learning_rate,
            "weight_decay": lesson.weight_decay,
        }
        self._done = 0
        self._best = -math.inf
        self._n_worse = 0  # validations since the best
        self._kept = copies(self._weights)
        self._mean = copies(self._weights)

    def run(self) -> float:
        """Take all steps that are left; give the best mean of the figures."""
        lesson = self._lesson
        if self._file.exists():
            self._resume()
        for step in self._steps():
            loss = self._take(step)
            self._done = step + 1
            if self._done % SHOW_STEPS == 0:
                self._accelerator.log({"loss": loss}, step=self._done)
            if self._done % lesson.validate_steps == 0 or self._done == lesson.steps:
                self._validate(loss)
            if self._done % SAVE_STEPS == 0:
                log.info("%s %d/%d: %.3f", lesson.name, self._done, lesson.steps, loss)
                self._save()
        self._save()  # for the stages after this one may be stopped, too
        put(self._kept, self._weights)
        lesson.model.requires_grad_(False)
        lesson.model.eval()
        for tracker in self._accelerator.trackers:
            tracker.finish()  # `end_training` would part the processes, too
        return self._best

    def _steps(self) -> Iterator[int]:
        """Give the numbers of the steps that are left, until patience ends."""
        lesson = self._lesson
        with Progress(lesson.name, lesson.steps, "steps", done=self._done) as progress:
            while self._done < lesson.steps:
                if lesson.patience and self._n_worse >= lesson.patience:
                    log.info(
                        "%s: no gain in %d validations", lesson.name, self._n_worse
                    )
                    return
                yield self._done
                progress.advance()

    def _take(self, step: int) -> float:
        lesson = self._lesson
        lesson.model.eval()
        for module in lesson.learning:
            module.train()
        for group in self._optimizer.param_groups:
            group["lr"] = lesson.learning_rate * course(step, lesson.steps)
        key = [self._seed, step, self._accelerator.process_index]
        torch.manual_seed(int(np.random.SeedSequence(key).generate_state(1)[0]))
        with named_failures(lesson.name, step):
            loss = lesson.loss(step, np.random.default_rng(key))
            self._optimizer.zero_grad()
            self._accelerator.backward(loss)
        if self._accelerator.num_processes > 1:
            self._share_gradients()
        norm = self._accelerator.clip_grad_norm_(self._weights, LARGEST_GRADIENT)
        if not math.isfinite(loss.item()) or not math.isfinite(float(norm)):
            raise ConfigError(
                f"{lesson.name}: expected a finite loss, got {loss.item()} at step "
                f"{step}; a lower learning_rate than {lesson.learning_rate} may help"
            )
        self._optimizer.step()
        if lesson.average:
            # Faster at first, or the mean would be of the start.
            blend(self._mean, self._weights, min(lesson.average, step / (step + 10.0)))
        return loss.item()

    def _share_gradients(self) -> None:
        """Set each gradient to the mean of those of all processes.

        A weight that this process's batch did not reach has a gradient of zero, where
        another's did: all of them must take part in every mean.
        """
        here = [float(weight.grad is not None) for weight in self._weights]
        mask = torch.tensor(here, device=self._device)
        anywhere = self._accelerator.reduce(mask, "sum").tolist()
        for weight, n_processes in zip(self._weights, anywhere, strict=True):
            if n_processes:
                if weight.grad is None:
                    weight.grad = torch.zeros_like(weight)
                weight.grad = self._accelerator.reduce(weight.grad, "mean")

    def _validate(self, loss: float) -> None:
        lesson = self._lesson
        current = copies(self._weights)
        if lesson.average:
            put(self._mean, self._weights)
        lesson.model.eval()
        with torch.no_grad():
            figures = lesson.validate()
        self._accelerator.log(figures, step=self._done)
        shown = ", ".join(f"{name} {value:.3f}" for name, value in figures.items())
        log.info(
            "%s %d/%d: loss %.3f, %s",
            lesson.name,
            self._done,
            lesson.steps,
            loss,
            shown,
        )
        score = float(np.mean(list(figures.values()))) if figures else self._done
        if self._accelerator.num_processes > 1:
            # One word for all, or a last digit might stop one and not the others.
            score = float(broadcast(torch.tensor([score], device=self._device)))
        self._n_worse += 1
        if score > self._best:
            self._best, self._n_worse = score, 0
            self._kept = copies(self._weights)
        put(current, self._weights)

    def _save(self) -> None:
        if not self._accelerator.is_main_process:
            return
        state = {
            "about": self._about,
            "progress": [self._done, self._best, self._n_worse],
            "weights": copies(self._weights),
            "kept": self._kept,
            "mean": self._mean,
            "optimizer": self._optimizer.state_dict(),
        }
        fresh = self._file.with_suffix(".part")
        torch.save(state, fresh)
        fresh.replace(self._file)

    def _resume(self) -> None:
        state = torch.load(self._file, weights_only=True, map_location=self._device)
        if state["about"] != self._about:
            raise ConfigError(
                f"{self._file}: expected a run of {self._about}, got one of "
                f"{state['about']}; use another --run"
            )
        done, self._best, n_worse = state["progress"]
        self._done, self._n_worse = int(done), int(n_worse)
        put(state["weights"], self._weights)
        self._kept, self._mean = state["kept"], state["mean"]
        self._optimizer.load_state_dict(state["optimizer"])
        log.info("%s: going on after step %d", self._lesson.name, self._done)


def copies(weights: Iterable[Tensor]) -> list[Tensor]:
    """Give the weights as they are now."""
    return [weight.detach().clone() for weight in weights]


@torch.no_grad()
def put(values: Iterable[Tensor], weights: Iterable[Tensor]) -> None:
    """Set weights."""
    for value, weight in zip(values, weights, strict=True):
        weight.copy_(value)


@torch.no_grad()
def blend(means: Iterable[Tensor], weights: Iterable[Tensor], decay: float) -> None:
    """Move running means towards the weights."""
    for mean, weight in zip(means, weights, strict=True):
        mean.lerp_(weight, 1.0 - decay)


@contextmanager
def named_failures(stage: str, step: int) -> Iterator[None]:
    """Turn torch's word for a full memory into one that helps.

    Raises:
        ConfigError: Where memory did not suffice.
    """
    try:
        yield
    except RuntimeError as error:
        # A GPU has an error class for it, the processor's allocator only a text.
        is_full = isinstance(error, torch.OutOfMemoryError)
        if not is_full and "DefaultCPUAllocator" not in str(error):
            raise
        raise ConfigError(
            f"{stage}: expected step {step} to fit into memory, got: {error}; a "
            "smaller batch or span may help"
        ) from error
