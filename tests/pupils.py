"""`accelerate launch -m pupils FOLDER`: a lesson that processes learn together."""

import sys
from pathlib import Path

import numpy as np
import torch

from offline.training.loop import Lesson, Loop
from offline.training.processes import join_processes

SEED = 5
N_STEPS = 12


class Pupil:
    """A network of two parts, the second of which not every batch reaches."""

    def __init__(self):
        torch.manual_seed(SEED)
        self.model = torch.nn.ModuleDict(
            {"always": torch.nn.Linear(4, 3), "sometimes": torch.nn.Linear(4, 3)}
        )

    def batch_loss(self, draw):
        """Give the loss of a batch that is drawn."""
        inputs = torch.from_numpy(draw.standard_normal((6, 4)).astype("float32"))
        wanted = torch.from_numpy(draw.integers(0, 3, 6))
        scores = self.model["always"](inputs)
        if draw.random() < 0.5:
            scores = scores + self.model["sometimes"](inputs)
        return torch.nn.functional.cross_entropy(scores, wanted)

    def validate(self):
        scores = self.model["always"](torch.linspace(-1.0, 1.0, 12).reshape(3, 4))
        return {"share": scores.softmax(-1)[:, 0].mean().item()}

    def learn(self, folder, loss):
        """Take the lesson; give its best score."""
        lesson = Lesson(
            name="lesson",
            model=self.model,
            learning=[self.model],
            loss=loss,
            validate=self.validate,
            steps=N_STEPS,
            validate_steps=2,
            learning_rate=0.05,
            weight_decay=0.01,
            patience=4,
        )
        return Loop(lesson, Path(folder), SEED).run()


def draw_of(step, process):
    """The draw of a process for a step, as the loop gives it."""
    return np.random.default_rng([SEED, step, process])


def main(folder):
    processes = join_processes()
    torch.set_num_threads(1)
    pupil = Pupil()
    best = pupil.learn(folder, lambda step, draw: pupil.batch_loss(draw))
    state = {"best": best, "weights": pupil.model.state_dict()}
    torch.save(state, Path(folder) / f"{processes.process_index}.pt")


if __name__ == "__main__":
    main(*sys.argv[1:])
