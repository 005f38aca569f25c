"""Vectors -> vectors: what the three stages of the network are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from .flow import EMOTIONS, SENTIMENTS

TEXT, VOICE = 0, 1  # the two modalities, wherever they are numbered
VOICE_WEIGHT = 0.75  # of its judgement at first; best on IEMOCAP's validation
MASKED = -1e9  # score of what must not be looked at; softmax makes it exactly 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """Sizes of the network."""

    text_size: int = 384  # of the text encoder's vector
    encoder_size: int = 768  # of the recognizer's pooled states
    encoder_layers: int = 1  # that these are of; above 1, learned weights mix them
    functionals_size: int = 336
    hidden: int = 256  # of Stage I for the voice
    width: int = 128  # of every vector after Stage I
    window: int = 16  # earlier turns within reach; more gained nothing on IEMOCAP
    n_heads: int = 4
    dropout: float = 0.3
    causal: bool = True  # False: sees whole dialogues, to compare with; has no `step`


def make_head(width: int) -> nn.Linear:
    """Give a layer that scores emotions and sentiments."""
    return nn.Linear(width, len(EMOTIONS) + len(SENTIMENTS))


class VoiceStage(nn.Module):
    """Stage I of the voice: two families of numbers, either may be missing."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()

        def branch(size: int) -> nn.Sequential:
            return nn.Sequential(
                nn.Linear(size, shape.hidden),
                nn.GELU(),
                nn.Dropout(shape.dropout),
                nn.Linear(shape.hidden, shape.width),
            )

        self.layer_weights = nn.Parameter(torch.zeros(shape.encoder_layers))
        self.encoder = branch(shape.encoder_size // shape.encoder_layers)
        self.functionals = branch(shape.functionals_size)
        self.norm = nn.LayerNorm(shape.width)
        self.head = make_head(shape.width)

    def forward(self, encoder: Tensor, functionals: Tensor, present: Tensor) -> Tensor:
        """Give one vector per turn: the mean over the families that are there."""
        has_encoder, has_functionals = present[..., 1:2], present[..., 2:3]
        total = self.encoder(self._mix(encoder) * has_encoder) * has_encoder
        total = total + self.functionals(functionals * has_functionals) * (
            has_functionals
        )
        n_families = (has_encoder + has_functionals).clamp(min=1.0)
        vectors: Tensor = self.norm(total / n_families)
        return vectors

    def _mix(self, encoder: Tensor) -> Tensor:
        """Bring the layers' numbers (..., layers * n) to (..., n)."""
        n_layers = len(self.layer_weights)
        if n_layers == 1:
            return encoder
        layers = encoder.reshape(*encoder.shape[:-1], n_layers, -1)
        mixed: Tensor = (layers * self.layer_weights.softmax(0).unsqueeze(-1)).sum(-2)
        return mixed


class PastAttention(nn.Module):
    """Attention to this turn and the `window` before it, and to a learned nothing.

    Half of the heads look at turns of the same speaker, the others at those of other
    people; a head that finds nobody looks at the nothing. Beside content, a score
    depends on the distance in turns.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.n_heads = shape.n_heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.out = nn.Linear(shape.width, shape.width)
        self.nothing = nn.Parameter(torch.zeros(1, 1, shape.width))
        self.distance_bias = nn.Parameter(torch.zeros(shape.window + 1, shape.n_heads))
        self.dropout = nn.Dropout(shape.dropout)

    def forward(
        self, queries: Tensor, memory: Tensor, reach: Tensor, same: Tensor
    ) -> Tensor:
        """Look back.

        Args:
            queries: Shape (B, N, width).
            memory: Shape (B, M, width).
            reach: Of one modality, shape (B, N, M); as in `model.Sight`.
            same: As in `model.Sight`.

        Returns:
            Shape (B, N, width).
        """
        n_batch = queries.shape[0]
        memory = torch.cat([self.nothing.expand(n_batch, -1, -1), memory], 1)
        keys, values = self._heads(self.key(memory)), self._heads(self.value(memory))
        query = self._heads(self.query(queries))
        scores = query @ keys.transpose(-1, -2) / query.shape[-1] ** 0.5
        bias = self.distance_bias[reach.clamp(min=0)].permute(0, 3, 1, 2)
        bias = torch.where(self._is_hidden(reach, same), MASKED, bias)
        bias = torch.cat([torch.zeros_like(bias[..., :1]), bias], -1)
        weights = self.dropout((scores + bias).softmax(-1))
        seen = (weights @ values).transpose(1, 2).flatten(2)
        out: Tensor = self.out(seen)
        return out

    def _is_hidden(self, reach: Tensor, same: Tensor) -> Tensor:
        """Tell what each head must not look at, shape (B, n_heads, N, M)."""
        heads = torch.arange(self.n_heads, device=same.device).reshape(-1, 1, 1)
        looks_at_own = heads < self.n_heads // 2
        is_own = (same > 0).unsqueeze(1)
        return (is_own != looks_at_own) | (reach < 0).unsqueeze(1)

    def _heads(self, vectors: Tensor) -> Tensor:
        """Shape (B, N, width) -> (B, n_heads, N, width / n_heads)."""
        size = vectors.shape[-1] // self.n_heads
        return vectors.reshape(*vectors.shape[:-1], self.n_heads, size).transpose(1, 2)


class Gru(nn.Module):
    """A gated recurrent unit (Cho et al., 2014) that stands still for absent turns."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.input = nn.Linear(width, 3 * width)
        self.state = nn.Linear(width, 3 * width)

    def advance(self, entered: Tensor, state: Tensor, present: Tensor) -> Tensor:
        """Take one turn.

        Args:
            entered: Shape (B, width).
            state: Shape (B, width).
            present: Shape (B, 1).
        """
        reset_in, update_in, new_in = self.input(entered).chunk(3, -1)
        reset_state, update_state, new_state = self.state(state).chunk(3, -1)
        update = torch.sigmoid(update_in + update_state)
        new = torch.tanh(new_in + torch.sigmoid(reset_in + reset_state) * new_state)
        return torch.where(present > 0, (1.0 - update) * new + update * state, state)

    def unroll(self, entered: Tensor, present: Tensor) -> Tensor:
        """Take whole dialogues; give the state after each turn, (B, T, width).

        The present turns are brought together and go through torch's own loop, which
        is many times faster than one here and has the same equations.
        """
        order = present.argsort(dim=1, descending=True, stable=True)
        together = entered.gather(1, order.expand_as(entered))
        start = entered.new_zeros(1, len(entered), entered.shape[-1])
        weights = [self.input.weight, self.state.weight]
        biases = [self.input.bias, self.state.bias]
        learns = torch.is_grad_enabled()  # without it, a GPU cannot go back
        states, _ = torch.gru(
            together, start, [*weights, *biases], True, 1, 0.0, learns, False, True
        )
        states = torch.cat([start.transpose(0, 1), states], 1)
        n_present = present.cumsum(1).long()
        return states.gather(1, n_present.expand_as(entered))

    def unroll_speakers(
        self, entered: Tensor, present: Tensor, same: Tensor, window: int
    ) -> Tensor:
        """Take whole dialogues, each speaker's turns by themselves.

        Args:
            entered: Shape (B, T, width).
            present: Shape (B, T, 1).
            same: Shape (B, T, T); as in `model.Turns`.
            window: Turns of others after which a speaker is a stranger again.

        Returns:
            The speaker's state after each turn, shape (B, T, width).
        """
        states = [torch.zeros_like(entered[:, 0])]  # a stranger's, never looked at
        for turn in range(entered.shape[1]):
            first = max(0, turn - window)
            marks = nn.functional.pad(same[:, turn, first:turn], (1, 0))
            earlier = torch.stack([states[0], *states[first + 1 :]], 1)
            state = find_newest(earlier, marks)
            states.append(self.advance(entered[:, turn], state, present[:, turn]))
        return torch.stack(states[1:], 1)


def find_newest(states: Tensor, marks: Tensor) -> Tensor:
    """Give the newest of the marked states, zeros where none is.

    Args:
        states: Oldest first, shape (B, n, width).
        marks: 1 or 0, shape (B, n).

    Returns:
        Shape (B, width).
    """
    places = marks * torch.arange(1, marks.shape[1] + 1, device=marks.device)
    is_newest = (places == places.amax(1, keepdim=True)) & (places > 0)
    return (states * is_newest.unsqueeze(-1)).sum(1)


class ContextStage(nn.Module):
    """Stage II of one modality: follows the dialogue, and each of its speakers.

    What a speaker felt before is kept apart from what was said around it, as in
    DialogueRNN (Majumder et al., 2019): 2.5 points of IEMOCAP's validation.
    """

    def __init__(self, shape: Shape, size: int) -> None:
        super().__init__()
        self.dropout = nn.Dropout(shape.dropout)
        self.project = nn.Linear(size, shape.width)
        self.missing = nn.Parameter(torch.zeros(shape.width))
        self.window = shape.window
        self.forward_gru = Gru(shape.width)
        self.speaker_gru = Gru(shape.width)
        self.backward_gru = None if shape.causal else Gru(shape.width)
        self.backward_speaker_gru = None if shape.causal else Gru(shape.width)
        self.attention = PastAttention(shape)
        self.norm = nn.LayerNorm(shape.width)
        self.head = make_head(shape.width)

    def enter(self, vectors: Tensor, present: Tensor) -> Tensor:
        """Bring Stage I's vectors (..., size) to (..., width), the absent ones too."""
        entered = self.project(self.dropout(vectors * present))
        return torch.where(present > 0, entered, self.missing)

    def unroll(self, entered: Tensor, present: Tensor) -> Tensor:
        """Run the GRU over whole dialogues (B, T, width), also back if not causal."""
        states = self.forward_gru.unroll(entered, present)
        if self.backward_gru is not None:
            back = self.backward_gru.unroll(entered.flip(1), present.flip(1))
            states = states + back.flip(1)
        return states

    def unroll_speakers(self, entered: Tensor, present: Tensor, same: Tensor) -> Tensor:
        """Run the speakers' GRU likewise; `same` has the shape (B, T, T)."""
        told = (entered, present, same)
        states = self.speaker_gru.unroll_speakers(*told, self.window)
        if self.backward_speaker_gru is not None:
            told = (entered.flip(1), present.flip(1), same.flip(1, 2))
            back = self.backward_speaker_gru.unroll_speakers(*told, self.window)
            states = states + back.flip(1)
        return states

    def look_back(
        self,
        entered: Tensor,
        view: Tensor,
        memory: Tensor,
        reach: Tensor,
        same: Tensor,
    ) -> Tensor:
        """Join this turn, the GRUs' view and attention to their earlier views."""
        seen = self.attention(entered + view, memory, reach, same)
        context: Tensor = self.norm(self.dropout(entered + view + seen))
        return context


class FusionStage(nn.Module):
    """Stage III: the two modalities' own judgements, added up and corrected.

    For the correction each modality looks at the other's past, as in the paper. Without
    the sum that it corrects, this stage learns from Stage II's overfit vectors and ends
    below it: on IEMOCAP's validation 71 instead of 77.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.text_to_voice = PastAttention(shape)
        self.voice_to_text = PastAttention(shape)
        self.text_norm = nn.LayerNorm(shape.width)
        self.voice_norm = nn.LayerNorm(shape.width)
        self.dropout = nn.Dropout(shape.dropout)
        self.hidden = nn.Linear(2 * shape.width + 2, shape.width)
        self.head = make_head(shape.width)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.weights = nn.Parameter(torch.tensor([1.0, VOICE_WEIGHT]))

    def forward(
        self,
        contexts: Sequence[Tensor],
        judgements: Sequence[Tensor],
        memories: Sequence[Tensor],
        reach: Tensor,
        same: Tensor,
        present: Tensor,
    ) -> Tensor:
        """Score the classes, shape (B, N, 10).

        Args:
            contexts: Of text and voice, each (B, N, width).
            judgements: Stage II's scores of the same, each (B, N, 10).
            memories: Likewise, each (B, M, width).
            reach: As in `model.Sight`.
            same: As in `model.Sight`.
            present: As in `model.Sight`.
        """
        text, voice = contexts
        from_voice = self.text_to_voice(text, memories[VOICE], reach[:, VOICE], same)
        from_text = self.voice_to_text(voice, memories[TEXT], reach[:, TEXT], same)
        joined = torch.cat(
            [self.text_norm(text + from_voice), self.voice_norm(voice + from_text)], -1
        )
        joined = torch.cat([self.dropout(joined), present], -1)
        hidden = nn.functional.gelu(self.hidden(joined))
        total: Tensor = self.head(self.dropout(hidden))
        for row, judgement in enumerate(judgements):
            weight = self.weights[row] * present[..., row : row + 1]
            total = total + weight * log_probabilities(judgement)
        return total


def log_probabilities(scores: Tensor) -> Tensor:
    """Make scores (..., 10) comparable: emotions and sentiments each by log-softmax."""
    n_emotions = len(EMOTIONS)
    return torch.cat(
        [
            scores[..., :n_emotions].log_softmax(-1),
            scores[..., n_emotions:].log_softmax(-1),
        ],
        -1,
    )
