"""Dialogues -> the tensors of a batch, with parts of them hidden at random."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from stream_erc.model import Turns

from .dialogues import ENCODER, FUNCTIONALS, TEXT, Dialogue
from .recipe import DialogueRecipe
from .scoring import N_CLASSES, NO_TARGET


def collate(
    dialogues: Sequence[Dialogue], *, device: torch.device, speakers: bool = True
) -> Turns:
    """Stack dialogues, the short ones padded with absent turns at their end.

    Args:
        dialogues: At least one.
        device: Where the tensors go.
        speakers: Whether it is told whose turns are whose; else all are one's.
    """
    longest = max(len(dialogue) for dialogue in dialogues)

    def stack(name: str) -> Tensor:
        arrays = [getattr(dialogue, name) for dialogue in dialogues]
        padded = np.zeros((len(arrays), longest, *arrays[0].shape[1:]), arrays[0].dtype)
        for row, array in enumerate(arrays):
            padded[row, : len(array)] = array
        return torch.from_numpy(padded).to(device)

    who = stack("speakers")
    same = (who[:, :, None] == who[:, None, :]).float()
    return Turns(
        text=stack("text"),
        encoder=stack("encoder"),
        functionals=stack("functionals"),
        present=stack("present"),
        same_speaker=same if speakers else torch.ones_like(same),
    )


def collate_targets(
    dialogues: Sequence[Dialogue], name: str, device: torch.device
) -> Tensor:
    """Give `emotions` or `sentiments`, shape (B, T), `NO_TARGET` where padded."""
    longest = max(len(dialogue) for dialogue in dialogues)
    targets = torch.full((len(dialogues), longest), NO_TARGET, dtype=torch.int64)
    for row, dialogue in enumerate(dialogues):
        targets[row, : len(dialogue)] = torch.from_numpy(getattr(dialogue, name))
    return targets.to(device)


def collate_taught(dialogues: Sequence[Dialogue], device: torch.device) -> Tensor:
    """Give what teachers say, shape (B, T, 10), zeros where none does or padded."""
    longest = max(len(dialogue) for dialogue in dialogues)
    taught = torch.zeros((len(dialogues), longest, N_CLASSES))
    for row, dialogue in enumerate(dialogues):
        taught[row, : len(dialogue)] = torch.from_numpy(dialogue.taught)
    return taught.to(device)


def hide(
    dialogue: Dialogue, recipe: DialogueRecipe, draw: np.random.Generator
) -> Dialogue:
    """Drop modalities, families and names at random: each works without the others."""
    present = dialogue.present.copy()
    if present[:, TEXT].any() and present[:, ENCODER:].any():
        chance = draw.random()
        if chance < recipe.drop_text:
            present[:, TEXT] = 0.0
        elif chance < recipe.drop_text + recipe.drop_voice and not dialogue.is_acted:
            present[:, ENCODER:] = 0.0
        else:
            gone = draw.random(len(dialogue)) < recipe.drop_turn
            is_text = dialogue.is_acted or draw.random() < 0.5
            present[gone, TEXT if is_text else slice(ENCODER, None)] = 0.0
    if present[:, ENCODER].any() and present[:, FUNCTIONALS].any():
        chance = draw.random()
        if chance < recipe.drop_encoder:
            present[:, ENCODER] = 0.0
        elif chance < recipe.drop_encoder + recipe.drop_functionals:
            present[:, FUNCTIONALS] = 0.0
    speakers = dialogue.speakers
    if draw.random() < recipe.drop_speakers:
        speakers = np.zeros_like(speakers)
    return replace(dialogue, present=present, speakers=speakers)
