"""Request -> Result where a model has failed: what is left of a turn.

Nothing is made up: of a turn that could not be transcribed its voice is left, of one
that could not be judged what the model says of a turn of which nothing is known.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np

from .engine import HearRequest, HearResult, UnderstandRequest, UnderstandResult
from .flow import Emotion, Transcript, VoiceFeatures
from .functionals import functionals

Answer = Callable[[Sequence[Any]], Sequence[Any]]
"""Gives the results of a batch of requests, in order."""


def hear_voice(request: HearRequest) -> HearResult:
    """Measure the voice without the recognizer: no words, functionals alone."""
    measured = functionals(request.samples)
    return HearResult(
        origin=request.origin,
        transcript=Transcript("", (), is_rejected=False),
        voice=VoiceFeatures(None, measured if is_finite(measured) else None),
        queue_s=0.0,
        compute_s=0.0,
        is_rescued=True,
    )


def judge_nothing(request: UnderstandRequest, prior: Emotion) -> UnderstandResult:
    """Give the prior; the conversation does not remember the turn.

    Args:
        request: That could not be answered.
        prior: What the model says of a turn of which nothing is known.
    """
    return UnderstandResult(
        origin=request.origin,
        emotion=prior,
        context=request.context,
        version=request.version,
        queue_s=0.0,
        compute_s=0.0,
        is_rescued=True,
    )


def checked(answer: Answer) -> Answer:
    """Give an answer that fails where one of its numbers is infinite or none.

    NaN in a context would spoil every later turn of its conversation.
    """

    def answer_finitely(requests: Sequence[Any]) -> Sequence[Any]:
        results = answer(requests)
        if not is_finite(tuple(results)):
            raise FloatingPointError("a model: expected finite numbers, got others")
        return results

    return answer_finitely


def is_finite(value: object) -> bool:
    """Tell whether all numbers of a record are finite, however deep they lie."""
    if isinstance(value, np.ndarray):
        return bool(np.isfinite(value).all())
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, tuple):
        return all(is_finite(one) for one in value)
    if is_dataclass(value):
        return all(is_finite(getattr(value, one.name)) for one in fields(value))
    return True
