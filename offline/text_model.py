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
from transformers import AutoModel

from stream_erc.errors import ConfigError
from stream_erc.flow import EMOTIONS, SENTIMENTS

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

    def forward(self, ids: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Score the classes: shapes (B, 7) and (B, 3)."""
        vectors = self.dropout(self.vectors(ids, mask))
        return self.emotion_head(vectors), self.sentiment_head(vectors)


def load_text_model(folder: Path) -> TextModel:
    """Build the model on pre-trained weights; the heads are new.

    Raises:
        ConfigError: If the folder holds no encoder.
    """
    if not (folder / "config.json").is_file():
        raise ConfigError(f"text.encoder: expected a model folder, got {folder}")
    # Only this attention is free of branches on shapes, which an export would freeze.
    encoder: Any = AutoModel.from_pretrained(str(folder), attn_implementation="eager")
    # Rare words appear in a handful of lines; what pre-training knows is better.
    encoder.embeddings.requires_grad_(False)
    return TextModel(encoder, int(encoder.config.hidden_size))


def load_tokenizer(folder: Path) -> Tokenizer:
    """Give the tokenizer as it is used everywhere: cut at `MAX_TOKENS`, no padding."""
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
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
    model: TextModel, tokenizer: Tokenizer, texts: Sequence[str], batch: int = 64
) -> NDArray[np.float32]:
    """Give the vectors of many texts, shape (n, size); short ones go together."""
    model.eval()
    tokens = [tokenizer.encode(text).ids for text in texts]
    order = sorted(range(len(texts)), key=lambda index: len(tokens[index]))
    vectors = np.zeros((len(texts), model.size), np.float32)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        ids, mask = pad_tokens([tokens[row] for row in rows])
        vectors[rows] = model.vectors(ids, mask).numpy()
    return vectors
