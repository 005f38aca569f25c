"""Text -> vector and class scores: a pre-trained encoder with two linear heads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import AutoModel, AutoTokenizer
from transformers.utils.logging import disable_progress_bar

from offline.progress import Progress
from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS

disable_progress_bar()  # loading takes a second, and errors belong on one line

MAX_TOKENS = 128  # Dutta and Ganapathy (2025); longer turns lose their end


class TextModel(nn.Module):
    """Stage I of the words: the mean of the encoder's last layer, then two heads."""

    def __init__(self, encoder: nn.Module, size: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.size = size
        self.dropout = nn.Dropout(dropout)
        self.emotion_head = nn.Linear(size, len(EMOTIONS))
        self.sentiment_head = nn.Linear(size, len(SENTIMENTS))

    def vectors(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Give one vector for each text.

        Args:
            ids: Token numbers, shape (B, T), integers.
            mask: Shape (B, T), 1 for a token and 0 for padding.

        Returns:
            Shape (B, size).
        """
        states = self.encoder(input_ids=ids, attention_mask=mask).last_hidden_state
        weights = mask.unsqueeze(-1).to(states.dtype)
        pooled: Tensor = (states * weights).sum(1) / weights.sum(1)
        return pooled

    def heads(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Score the classes: shapes (B, 7) and (B, 3)."""
        return self.emotion_head(vectors), self.sentiment_head(vectors)

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score the classes of texts: shapes (B, 7) and (B, 3)."""
        return self.heads(self.dropout(self.vectors(ids, mask)))

    def learning(self, frozen_layers: int) -> list[nn.Module]:
        """Give the parts that are trained: never the word embeddings.

        Rare words appear in a handful of lines; what pre-training knows is better.
        """
        layers: Any = self.encoder.encoder
        heads = (self.dropout, self.emotion_head, self.sentiment_head)
        return [*layers.layer[frozen_layers:], *heads]


def load_text_model(name: str) -> TextModel:
    """Build the model on pre-trained weights; the heads are new.

    Args:
        name: Hub name, or folder with config, weights and tokenizer.

    Raises:
        ConfigError: If there is no such encoder, or it is not of BERT's kind.
    """
    try:
        # Only this attention is free of branches on shapes, which an export would
        # freeze.
        encoder: Any = AutoModel.from_pretrained(name, attn_implementation="eager")
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"text encoder: expected a hub name or a model folder, got {name!r}: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if not hasattr(getattr(encoder, "encoder", None), "layer"):
        raise ConfigError(
            "text encoder: expected one of BERT's kind (BERT, RoBERTa, MPNet, ...), "
            f"got {name!r} of type {encoder.config.model_type!r}"
        )
    return TextModel(encoder, int(encoder.config.hidden_size))


def load_tokenizer(name: str) -> Tokenizer:
    """Give the tokenizer as it is used everywhere: cut at `MAX_TOKENS`, no padding."""
    file = Path(name) / "tokenizer.json"
    if file.is_file():
        tokenizer = Tokenizer.from_file(str(file))
    else:
        tokenizer = AutoTokenizer.from_pretrained(name).backend_tokenizer
    tokenizer.no_padding()
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def pad_tokens(token_lists: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Give ids and mask, shape (B, longest)."""
    longest = max(len(tokens) for tokens in token_lists)
    ids = torch.zeros((len(token_lists), longest), dtype=torch.int64)
    mask = torch.zeros_like(ids)
    for row, tokens in enumerate(token_lists):
        ids[row, : len(tokens)] = torch.tensor(tokens)
        mask[row, : len(tokens)] = 1
    return ids, mask


@torch.no_grad()
def embed_texts(
    model: TextModel,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    batch: int = 64,
    progress: Progress | None = None,
) -> NDArray[np.float32]:
    """Give the vectors of many texts, shape (n, size); short ones go together."""
    model.eval()
    device = next(model.parameters()).device
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(list(texts))]
    order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
    vectors = np.zeros((len(texts), model.size), np.float32)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        ids, mask = pad_tokens([tokens[row] for row in rows])
        vectors[rows] = model.vectors(ids.to(device), mask.to(device)).cpu().numpy()
        if progress is not None:
            progress.advance(len(rows))
    return vectors
