"""Turns -> emotions: the causal hierarchical network, for training and for export.

Stage I turns the voice's numbers into a vector (the text's encoder is a file of its
own). Stage II follows each modality through the dialogue: a forward GRU of all turns,
one of each speaker's, then attention to the past. Stage III lets each modality look at
the other one's past. After Dutta and Ganapathy (2025), "MERITS-L", with nothing that
looks ahead; the speakers after Majumder et al. (2019), "DialogueRNN".

`forward` takes whole dialogues, `step` one turn and a state; same weights, same window.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .context import N_MEMORIES
from .flow import EMOTIONS, SENTIMENTS
from .layers import (
    TEXT,
    VOICE,
    ContextStage,
    FusionStage,
    Shape,
    VoiceStage,
    find_newest,
)

N_VIEWED = 4  # of a turn's `N_MEMORIES`, that attention looks at


@dataclass(frozen=True, slots=True)
class Turns:
    """What the network is told about turns.

    In `forward` every shape begins (B, T); in `step` it begins (B,).

    Attributes:
        text: Shape (..., text_size); any value where absent.
        encoder: Normalised, shape (..., encoder_size); likewise.
        functionals: Normalised, shape (..., functionals_size); likewise.
        present: Shape (..., 3): 1 where text, encoder, functionals are there, else 0.
        same_speaker: In `forward` shape (B, T, T), in `step` (B, window), oldest first:
            1 where the other turn has the same speaker as this one.
    """

    text: Tensor
    encoder: Tensor
    functionals: Tensor
    present: Tensor
    same_speaker: Tensor


@dataclass(frozen=True, slots=True)
class State:
    """What is remembered of a dialogue; zeros at its start.

    Attributes:
        states: The dialogue's GRU states of text and voice, shape (B, 2, width).
        memory: Of the last `window` turns, oldest first, shape
            (B, N_MEMORIES, window, width): of text and voice each the GRUs' view,
            then the contexts, then the speaker's state.
        heard: Whether they had text, and a voice, shape (B, 2, window).
    """

    states: Tensor
    memory: Tensor
    heard: Tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """Class scores of every stage, each (..., 7) emotions and 3 sentiments joined.

    Attributes:
        voice: Stage I.
        text_context: Stage II.
        voice_context: Stage II.
        fused: Stage III: the answer.
    """

    voice: Tensor
    text_context: Tensor
    voice_context: Tensor
    fused: Tensor


@dataclass(frozen=True, slots=True)
class Sight:
    """What N turns are judged from, M = remembered turns + N.

    Attributes:
        voice: Stage I, shape (B, N, width).
        entered: Inputs of Stage II, text and voice, each (B, N, width).
        views: States of both GRUs after each turn, added up, likewise.
        past: Views and contexts of earlier turns, as in `State.memory`.
        reach: For text and voice the distance in turns from each turn to each of the
            M, shape (B, 2, N, M); -1 where it must not be looked at.
        same: Whether the speaker is the same, shape (B, N, M).
        present: Whether there is text, and a voice, shape (B, N, 2).
    """

    voice: Tensor
    entered: list[Tensor]
    views: list[Tensor]
    past: Tensor
    reach: Tensor
    same: Tensor
    present: Tensor


class DialogueModel(nn.Module):
    """Stages I (voice), II and III.

    `temperatures` (by pattern: nothing, text, voice, both) make the probabilities
    honest; `prior` is the answer for a turn of which nothing is known.
    """

    temperatures: Tensor
    prior: Tensor

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.voice = VoiceStage(shape)
        self.text_context = ContextStage(shape, shape.text_size)
        self.voice_context = ContextStage(shape, shape.width)
        self.fusion = FusionStage(shape)
        self.register_buffer("temperatures", torch.ones(4))
        self.register_buffer("prior", torch.zeros(len(EMOTIONS) + len(SENTIMENTS)))

    def empty_state(self, n_batch: int) -> State:
        """Give the state before the first turn."""
        width, window = self.shape.width, self.shape.window
        return State(
            states=torch.zeros(n_batch, 2, width),
            memory=torch.zeros(n_batch, N_MEMORIES, window, width),
            heard=torch.zeros(n_batch, 2, window),
        )

    def forward(self, turns: Turns) -> Scores:
        """Score every turn of whole dialogues.

        Turn n rests on turns 0 to n alone, unless `Shape.causal` is off.
        """
        present = presence(turns.present)
        voice, entered = self._enter(turns, present)
        views = [
            stage.unroll(vectors, present[..., row : row + 1])
            + stage.unroll_speakers(
                vectors, present[..., row : row + 1], turns.same_speaker
            )
            for row, (stage, vectors) in enumerate(
                zip(self._context_stages, entered, strict=True)
            )
        ]
        order = torch.arange(present.shape[1], device=present.device)
        distance = order[:, None] - order[None, :]
        if not self.shape.causal:
            distance = distance.abs()
        is_near = (distance >= 0) & (distance <= self.shape.window)
        was_heard = present.transpose(1, 2).unsqueeze(2) > 0
        reach = torch.where(is_near & was_heard, distance, -1)
        nothing = turns.text.new_zeros(len(voice), N_VIEWED, 0, self.shape.width)
        scores, _ = self._judge(
            Sight(voice, entered, views, nothing, reach, turns.same_speaker, present)
        )
        return scores

    def step(self, turn: Turns, state: State) -> tuple[Scores, State]:
        """Score one turn of each dialogue; `state` is not changed."""
        turns = Turns(
            text=turn.text.unsqueeze(1),
            encoder=turn.encoder.unsqueeze(1),
            functionals=turn.functionals.unsqueeze(1),
            present=turn.present.unsqueeze(1),
            same_speaker=nn.functional.pad(
                turn.same_speaker, (0, 1), value=1.0
            ).unsqueeze(1),
        )
        present = presence(turns.present)
        voice, entered = self._enter(turns, present)
        states, own = self._advance(entered, present, state, turn.same_speaker)
        heard = torch.cat([state.heard, present.transpose(1, 2)], -1)
        distance = torch.arange(self.shape.window, -1, -1).expand_as(heard)
        reach = torch.where(heard > 0, distance, -1).unsqueeze(2)
        scores, newest = self._judge(
            Sight(
                voice,
                entered,
                [
                    all_turns + speaker
                    for all_turns, speaker in zip(states, own, strict=True)
                ],
                state.memory[:, :N_VIEWED],
                reach,
                turns.same_speaker,
                present,
            )
        )
        return Scores(
            scores.voice[:, 0],
            scores.text_context[:, 0],
            scores.voice_context[:, 0],
            scores.fused[:, 0],
        ), State(
            states=torch.cat(states, 1),
            memory=torch.cat(
                [state.memory, torch.cat([newest, torch.stack(own, 1)], 1)], 2
            )[:, :, 1:],
            heard=heard[..., 1:],
        )

    @property
    def _context_stages(self) -> tuple[ContextStage, ContextStage]:
        return self.text_context, self.voice_context

    def _enter(self, turns: Turns, present: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Give Stage I's voice (B, N, width) and the two inputs of Stage II."""
        voice = self.voice(turns.encoder, turns.functionals, turns.present)
        text = self.text_context.enter(turns.text, present[..., :1])
        return voice, [text, self.voice_context.enter(voice, present[..., 1:])]

    def _advance(
        self, entered: list[Tensor], present: Tensor, state: State, same: Tensor
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Take one turn; give states of dialogue and speaker, each (B, 1, width)."""
        states, own = [], []
        for row, stage in enumerate(self._context_stages):
            vectors, is_there = entered[row][:, 0], present[:, 0, row : row + 1]
            before = state.states[:, row]
            states.append(stage.forward_gru.advance(vectors, before, is_there))
            before = find_newest(state.memory[:, N_VIEWED + row], same)
            own.append(stage.speaker_gru.advance(vectors, before, is_there))
        return [s.unsqueeze(1) for s in states], [s.unsqueeze(1) for s in own]

    def _judge(self, sight: Sight) -> tuple[Scores, Tensor]:
        """Score N turns; also give their views and contexts, (B, 4, N, width)."""
        contexts, memories = [], []
        for row, stage in enumerate(self._context_stages):
            view = sight.views[row]
            views = torch.cat([sight.past[:, row], view], 1)
            context = stage.look_back(
                sight.entered[row], view, views, sight.reach[:, row], sight.same
            )
            contexts.append(context)
            memories.append(torch.cat([sight.past[:, 2 + row], context], 1))
        judgements = [
            stage.head(context)
            for stage, context in zip(self._context_stages, contexts, strict=True)
        ]
        fused = self.fusion(
            contexts, judgements, memories, sight.reach, sight.same, sight.present
        )
        scores = Scores(
            voice=self.voice.head(sight.voice),
            text_context=judgements[TEXT],
            voice_context=judgements[VOICE],
            fused=fused,
        )
        return scores, torch.stack([*sight.views, *contexts], 1)

    def probabilities(self, fused: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
        """Give calibrated emotions (..., 7) and sentiments (..., 3).

        Args:
            fused: Stage III's scores, shape (..., 10).
            present: As in `Turns`.
        """
        known = presence(present)
        pattern = (known[..., TEXT] + 2.0 * known[..., VOICE]).long()
        scores = fused / self.temperatures[pattern].unsqueeze(-1)
        scores = torch.where(pattern.unsqueeze(-1) == 0, self.prior, scores)
        n_emotions = len(EMOTIONS)
        return scores[..., :n_emotions].softmax(-1), scores[..., n_emotions:].softmax(
            -1
        )


def presence(present: Tensor) -> Tensor:
    """Whether there is text, and any of the voice's families, shape (..., 2)."""
    return torch.cat([present[..., :1], present[..., 1:].amax(-1, keepdim=True)], -1)
