"""How a corpus is evaluated: checked once, before anything slow begins."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from stream_erc.option import require

from .hearing import PLAIN, Hearing

Modalities = Literal["text", "audio", "both"]

SHARES = (0.25, 0.5, 0.75, 1.0)
"""Of a turn, in the curve."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationConfig:
    """What is scored, and under which conditions.

    Attributes:
        audio_root: What the corpus's `audio` is relative to; None: the corpus's folder.
        modalities: What the model is told.
        context_turns: Earlier turns of the dialogue that may be used; None for all.
        labels: The classes that count; empty for all.
        limit_dialogues: Only the first so many; None for all.
        has_curve: Whether to score the first parts of the turns.
        word_errors_percent: Score with so many errors per 100 words, one after another.
        noise_snrs_db: Score with noise so far below the voice, one after another.
        is_strict: Whether the first fault ends it.
        seed: Of everything drawn.
    """

    audio_root: Path | None = None
    modalities: Modalities = "both"
    context_turns: int | None = None
    labels: tuple[str, ...] = ()
    limit_dialogues: int | None = None
    has_curve: bool = False
    word_errors_percent: tuple[float, ...] = ()
    noise_snrs_db: tuple[float, ...] = ()
    is_strict: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(
            self.modalities in get_args(Modalities),
            f"--modalities: expected one of {', '.join(get_args(Modalities))}",
            self.modalities,
        )
        if self.context_turns is not None:
            is_fine = self.context_turns >= 0
            require(is_fine, "--context: expected 0 or more", self.context_turns)
        if self.limit_dialogues is not None:
            is_fine = self.limit_dialogues >= 1
            require(is_fine, "--limit: expected at least 1", self.limit_dialogues)
        for percent in self.word_errors_percent:
            is_fine = 0.0 < percent <= 100.0
            require(is_fine, "--asr-errors: expected above 0, at most 100", percent)
        for snr_db in self.noise_snrs_db:
            is_fine = -60.0 <= snr_db <= 60.0
            require(is_fine, "--noise: expected -60 to 60 dB", snr_db)
        require(self.seed >= 0, "--seed: expected 0 or more", self.seed)
        if self.word_errors_percent and self.modalities == "audio":
            require(False, "--asr-errors: expected words", "--modalities audio")

    @property
    def noises(self) -> tuple[Hearing, ...]:
        """The ways of hearing with noise."""
        return tuple(Hearing(snr_db=snr_db) for snr_db in self.noise_snrs_db)

    @property
    def hearings(self) -> tuple[Hearing, ...]:
        """All ways in which the turns are heard."""
        shares = SHARES if self.has_curve else ()
        parts = (Hearing(share) for share in shares)
        return tuple(dict.fromkeys((PLAIN, *parts, *self.noises)))
