"""Turns -> Emotion: conversations played through the code that serves them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from offline.progress import Progress
from stream_erc.context import Context, SpeakerVoice
from stream_erc.flow import Emotion, TurnFeatures
from stream_erc.fusion import EmotionModel

N_SIDE_BY_SIDE = 32
"""Conversations in one call of the network: more gain nothing and take memory."""

N_REMEMBERED = 32_768
"""Texts whose vectors are kept, 1.5 KB each: those of most test sets."""


class RememberingModel(EmotionModel):
    """The served model, which embeds a text once however often it is judged."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        super().__init__(folder, threads=threads)
        self._remembered = lru_cache(N_REMEMBERED)(super().embed)

    def embed(self, text: str) -> NDArray[np.float32]:
        """Give the vector of one text, shape (text size,); it must not be changed."""
        return self._remembered(text)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn to play.

    Attributes:
        place: Number of its utterance.
        features: What the model is told.
        parts: What it is told while the turn is spoken; changes nothing afterwards.
        is_first: Whether a dialogue begins with it.
    """

    place: int
    features: TurnFeatures
    parts: tuple[TurnFeatures, ...] = ()
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the model says of a turn, and said of its parts."""

    emotion: Emotion
    parts: tuple[Emotion, ...]


@dataclass(slots=True)
class Lane:
    """One conversation on its way.

    Attributes:
        turns: All of them.
        contexts: Of the running dialogue, the one with the most turns first.
        voices: How the speakers have sounded so far.
    """

    turns: Sequence[Turn]
    contexts: list[Context] = field(default_factory=list)
    voices: tuple[SpeakerVoice, ...] = ()


def play(
    model: EmotionModel,
    conversations: Sequence[Sequence[Turn]],
    context_turns: int | None = None,
) -> dict[int, Verdict]:
    """Play conversations turn after turn.

    Voices are remembered throughout a conversation, what was said only within a
    dialogue.

    Args:
        model: What judges.
        conversations: Turns of dialogues among the same people.
        context_turns: Earlier turns of the dialogue that may be used; None for all.

    Returns:
        By the turns' places.
    """
    verdicts: dict[int, Verdict] = {}
    total = sum(map(len, conversations))
    with Progress("judging", total, "turns") as progress:
        for start in range(0, len(conversations), N_SIDE_BY_SIDE):
            group = conversations[start : start + N_SIDE_BY_SIDE]
            lanes = [Lane(turns) for turns in group if turns]
            for step in range(max((len(lane.turns) for lane in lanes), default=0)):
                active = [lane for lane in lanes if step < len(lane.turns)]
                verdicts |= play_turns(model, active, step, context_turns)
                progress.advance(len(active))
    return verdicts


def play_turns(
    model: EmotionModel, lanes: Sequence[Lane], step: int, context_turns: int | None
) -> dict[int, Verdict]:
    """Play one turn of each lane, in one call of the network.

    Where few turns may be used, a context is begun with every turn, and dropped when it
    has been used with that many behind it: no turn is played anew from the start.
    """
    asked: list[tuple[TurnFeatures, Context]] = []
    for lane in lanes:
        turn = lane.turns[step]
        if turn.is_first:
            lane.contexts = []
        if context_turns is not None or not lane.contexts:
            fresh = replace(model.empty_context(), voices=lane.voices)
            lane.contexts.append(fresh)
        asked += [(turn.features, context) for context in lane.contexts]
        asked += [(part, lane.contexts[0]) for part in turn.parts]
    answers = iter(
        model.step([features for features, _ in asked], [where for _, where in asked])
    )
    verdicts = {}
    for lane in lanes:
        turn = lane.turns[step]
        whole = [next(answers) for _ in lane.contexts]
        parts = tuple(next(answers)[0] for _ in turn.parts)
        verdicts[turn.place] = Verdict(whole[0][0], parts)
        lane.contexts = [after for _, after in whole]
        lane.voices = lane.contexts[0].voices
        if context_turns is not None and len(lane.contexts) > context_turns:
            del lane.contexts[0]
    return verdicts
