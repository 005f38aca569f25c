"""What finished runs make of their training turns -> what others learn beside labels.

Distillation (Hinton et al., 2015): probabilities tell more of a turn than its label.
A teacher may be larger, may have learned from one corpus alone, or may see the whole
dialogue where its pupil is causal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from offline.corpora.form import TRAIN, Utterance
from offline.exporting.folder import sha256
from stream_erc.errors import ConfigError
from stream_erc.model import DialogueModel

from .batches import collate
from .credits import Credits
from .dialogue_stages import device_of
from .dialogues import Dialogue, Floats
from .material import Splits
from .recipe import DIALOGUES, Recipe
from .run import RunFolder
from .scoring import N_CLASSES, N_EMOTIONS

SAID_FILE = "said.npz"
BATCH = 16  # dialogues

Said = dict[tuple[str, int], Floats]
"""Probabilities of the classes, shape (10,), by dialogue and turn."""


@dataclass(frozen=True, slots=True)
class Teacher:
    """A finished run.

    Attributes:
        said: What it makes of its training turns, by corpus.
        sha256: Of that.
        credits: What it learned from itself.
    """

    said: dict[str, Said]
    sha256: str
    credits: Credits


@torch.no_grad()
def say(
    model: DialogueModel, dialogues: Sequence[Dialogue], *, speakers: bool
) -> Floats:
    """Give what a model makes of dialogues, one after another.

    Args:
        model: With all stages trained.
        dialogues: Of n turns together.
        speakers: Whether it is told whose turns are whose.

    Returns:
        Shape (n, 10); zeros for turns with neither words nor voice.
    """
    rows = [np.zeros((0, N_CLASSES), np.float32)]
    for start in range(0, len(dialogues), BATCH):
        batch = dialogues[start : start + BATCH]
        turns = collate(batch, device=device_of(model), speakers=speakers)
        scores = model(turns).fused
        parts = (scores[..., :N_EMOTIONS], scores[..., N_EMOTIONS:])
        shares = torch.cat([torch.softmax(part, -1) for part in parts], -1)
        for dialogue, share in zip(batch, shares.cpu().numpy(), strict=True):
            is_there = dialogue.present.any(-1, keepdims=True)
            rows.append(share[: len(dialogue)] * is_there)
    return np.concatenate(rows)


def write_said(
    run: RunFolder, said: Mapping[str, tuple[Sequence[Utterance], Floats]]
) -> None:
    """Keep what a run makes of its training turns, at once or not at all.

    Args:
        run: The finished one.
        said: By corpus its utterances and what `say` gives of them.
    """
    if not run.is_ours:
        return
    arrays = {}
    for name, (utterances, shares) in said.items():
        arrays[f"{name}/dialogues"] = np.array([u.dialogue for u in utterances])
        arrays[f"{name}/turns"] = np.array([u.turn for u in utterances])
        arrays[f"{name}/probabilities"] = shares
    fresh = run.file(f"{SAID_FILE}.part")
    with fresh.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]
    fresh.replace(run.file(SAID_FILE))


def find_teachers(folders: Sequence[Path], recipe: Recipe) -> list[Teacher]:
    """Read what the runs in some folders have to say.

    Raises:
        ConfigError: If one is not finished, or says nothing of the recipe's corpora.
    """
    named = recipe.of_role(DIALOGUES).items()
    wanted = [name for name, corpus in named if not corpus.unseen]
    teachers = []
    for folder in folders:
        file = folder / SAID_FILE
        if not file.is_file():
            raise ConfigError(
                f"--teacher: expected a finished run with {SAID_FILE}, got {folder}"
            )
        said = read_said(file)
        if not set(said) & set(wanted):
            raise ConfigError(
                f"--teacher: expected a run of {' or '.join(wanted)}, got {folder}, a "
                f"run of {', '.join(said) or 'none'}"
            )
        teachers.append(Teacher(said, sha256(file), RunFolder(folder).all_credits()))
    return teachers


def read_said(file: Path) -> dict[str, Said]:
    """Read what `write_said` wrote."""
    with np.load(file, allow_pickle=False) as arrays:
        names = [key.removesuffix("/turns") for key in arrays if key.endswith("/turns")]
        return {
            name: {
                (str(dialogue), int(turn)): row
                for dialogue, turn, row in zip(
                    arrays[f"{name}/dialogues"],
                    arrays[f"{name}/turns"],
                    arrays[f"{name}/probabilities"],
                    strict=True,
                )
            }
            for name in names
        }


def ask_teachers(
    teachers: Sequence[Teacher], corpora: Mapping[str, Splits]
) -> dict[str, Floats]:
    """Give what teachers say in the mean.

    Args:
        teachers: Each knows some of the turns.
        corpora: By name and split.

    Returns:
        By corpus that anyone knows, of its training utterances, shape (n, 10); zeros
        for those that nobody knows.
    """
    taught = {}
    for name, splits in corpora.items():
        knowing = [teacher.said[name] for teacher in teachers if name in teacher.said]
        if knowing:
            keys = [(u.dialogue, u.turn) for u in splits[TRAIN].utterances]
            nothing = np.zeros(N_CLASSES, np.float32)
            rows = [[said.get(key, nothing) for key in keys] for said in knowing]
            taught[name] = mean_of_known(np.array(rows, np.float32))
    return taught


def mean_of_known(rows: Floats) -> Floats:
    """Give the mean over the first axis of what is not zero, shape (n, 10)."""
    n_known = (rows.sum(-1, keepdims=True) > 0).sum(0)
    mean: Floats = rows.sum(0) / np.maximum(n_known, 1)
    return mean.astype(np.float32)
