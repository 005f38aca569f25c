"""Questions -> what they will cost, before any is put."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .prompts import Prompt

CHARACTERS_PER_TOKEN = 4
"""OpenAI's rule of thumb for English; other languages take up to three times more."""

MESSAGE_TOKENS = 8
"""What roles and marks around the two messages of a request add, roughly."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a run would send.

    Attributes:
        n_requests: If every answer can be read.
        tokens_in: Instruction and texts: characters / 4.
        tokens_out: Answers as short as they may be; what a model thinks beforehand, or
            spaces for beauty, comes on top.
    """

    n_requests: int
    tokens_in: int
    tokens_out: int

    def cost(self, price_in: float, price_out: float) -> float:
        """Give the price of it all, from prices per million tokens."""
        return (self.tokens_in * price_in + self.tokens_out * price_out) / 1e6


def estimate(prompt: Prompt, batches: Sequence[Sequence[str]]) -> Estimate:
    """Estimate the requests that label these texts, a batch a request."""
    questions = [prompt.write_question(texts) for texts in batches]
    n_texts = sum(len(texts) for texts in batches)
    n_characters = sum(len(prompt.instruction) + len(asked) for asked in questions)
    return Estimate(
        n_requests=len(batches),
        tokens_in=count_tokens(n_characters) + MESSAGE_TOKENS * len(batches),
        tokens_out=n_texts * count_tokens(len(prompt.example)),
    )


def count_tokens(n_characters: int) -> int:
    """Estimate how many tokens so many characters are."""
    return -(-n_characters // CHARACTERS_PER_TOKEN)
