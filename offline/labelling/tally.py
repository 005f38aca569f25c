"""What a run counts: texts, questions, tokens."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(slots=True)
class Usage:
    """Tokens as the server reports them; 0 where it does not."""

    tokens_in: int = 0
    tokens_out: int = 0

    def add(self, other: Usage) -> None:
        """Count those of other questions, too."""
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out


@dataclass(slots=True)
class Tally:
    """What came of the questions.

    Attributes:
        n_labelled: Texts.
        n_unparsed: Texts kept aside.
        n_requests: Questions put, retries of the client not counted.
        n_unreadable: Answers that could not be read, in whole or in part.
    """

    n_labelled: int = 0
    n_unparsed: int = 0
    n_requests: int = 0
    n_unreadable: int = 0

    def add(self, other: Tally) -> None:
        """Count what came of other questions, too."""
        for one in fields(self):
            count = getattr(self, one.name) + getattr(other, one.name)
            setattr(self, one.name, count)
