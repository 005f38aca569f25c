"""Settings of how speakers are told apart by voice; see `voices.py`."""

from __future__ import annotations

from dataclasses import dataclass

from .option import require, setting


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeakerConfig:
    """How speakers of one microphone are told apart, for `speaker: "auto"` alone."""

    most: int = setting(8, "speakers found at most; then the nearest is taken")
    min_evidence: float = setting(
        -0.35, "for a known voice and against a new one; below it somebody new speaks"
    )
    short_ms: int = setting(1000, "voice below which a turn brings nobody new")

    def __post_init__(self) -> None:
        require(
            1 <= self.most <= 64,
            "speakers.most: expected 1 to 64",
            self.most,
        )
        require(
            -20 <= self.min_evidence <= 20,
            "speakers.min_evidence: expected -20 to 20",
            self.min_evidence,
        )
        require(
            self.short_ms >= 0,
            "speakers.short_ms: expected 0 or more",
            self.short_ms,
        )
