"""Voiceprint -> speaker: who of those heard so far has this voice, or somebody new.

Voiceprints are taken for draws from two normal distributions, one of speakers and one
of the turns of a speaker, as in Ioffe (2006), "Probabilistic Linear Discriminant
Analysis": then it follows how much more likely it is that somebody known speaks than
somebody new, and that a voice heard often counts more than one heard once.

A value, as all that a conversation remembers: bounded, immutable, of the past alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .flow import Vector, to_samples
from .speakers import SpeakerConfig
from .voiceprint import Spread


@dataclass(frozen=True, slots=True)
class Voices:
    """Who has been heard in a conversation, by voice.

    Attributes:
        totals: Sum of the voiceprints of each speaker, in the order of their names.
        counts: How many turns each sum is of.
        last: Index of who spoke last.
    """

    totals: tuple[Vector, ...] = ()
    counts: tuple[int, ...] = ()
    last: int = 0

    def assign(
        self,
        voiceprint: Vector | None,
        voiced_samples: int,
        spread: Spread,
        config: SpeakerConfig,
    ) -> tuple[str, Voices]:
        """Name who speaks.

        Args:
            voiceprint: Of the turn, shape (n,); None where there is none to trust:
                whoever spoke last goes on.
            voiced_samples: Of the turn.
            spread: Of voiceprints.
            config: When somebody is new.

        Returns:
            The name, and what is known with this turn.
        """
        if voiceprint is None:
            return name_of(self.last), self
        if not self.totals:
            return self._note(0, voiceprint)
        evidence = self.weigh(voiceprint, spread)
        nearest = int(np.argmax(evidence))
        may_be_new = (
            voiced_samples >= to_samples(config.short_ms)
            and len(self.totals) < config.most
        )
        if may_be_new and evidence[nearest] < config.min_evidence:
            return self._note(len(self.totals), voiceprint)
        return self._note(nearest, voiceprint)

    def weigh(self, voiceprint: Vector, spread: Spread) -> Vector:
        """Give for each known voice how much speaks for it and against a new one.

        Args:
            voiceprint: Shape (n,).
            spread: Of voiceprints.

        Returns:
            Log-likelihood ratios, tempered; shape (n_speakers,).
        """
        between = spread.between[: len(voiceprint)]
        counts = np.array(self.counts)[:, None]
        unsure = between / (counts * between + 1)  # where within a speaker it is 1
        means = unsure * np.stack(self.totals)
        as_known = np.square(voiceprint - means) / (unsure + 1) + np.log1p(unsure)
        as_new = np.square(voiceprint) / (between + 1) + np.log1p(between)
        evidence: Vector = (as_new - as_known) @ spread.temper[: len(voiceprint)] / 2
        return evidence

    def _note(self, index: int, voiceprint: Vector) -> tuple[str, Voices]:
        totals, counts = [*self.totals], [*self.counts]
        if index == len(totals):
            totals.append(np.zeros_like(voiceprint))
            counts.append(0)
        totals[index] = totals[index] + voiceprint
        counts[index] += 1
        return name_of(index), Voices(tuple(totals), tuple(counts), index)


def name_of(index: int) -> str:
    """Give the name of a speaker who has none: S1, S2, … as they are first heard."""
    return f"S{index + 1}"
