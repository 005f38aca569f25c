"""Models that fail once, at one session, in each way there is."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stream_erc.context import Context
from stream_erc.engine import (
    HearRequest,
    HearResult,
    Lane,
    UnderstandRequest,
    UnderstandResult,
)
from stream_erc.flow import Samples, VoiceFeatures
from stream_erc.vad import Heard, SpeechProbability, VoiceDetector

FAULTS = ("exception", "hang", "nan")


class Faulty:
    """Stands in for models whose fault shows in the first session that comes to it.

    What hangs goes on at the end of a `with`.

    Args:
        models: That do everything else.
        method: "hear" or "understand".
        fault: One of `FAULTS`.
        turn: At which it shows.
        lane: At which of its requests.
    """

    def __init__(
        self,
        models: Any,
        method: str,
        fault: str,
        *,
        turn: int = 1,
        lane: Lane = Lane.FINAL,
    ) -> None:
        """Spoil what `models` answer."""
        self._models = models
        self._method = method
        self._fault = fault
        self._where = (turn, lane)
        self._victim: str | None = None
        self._may_go_on = threading.Event()

    def __getattr__(self, name: str) -> Any:
        """Give what the models have besides."""
        return getattr(self._models, name)

    def __enter__(self) -> Faulty:
        """Let what hangs hang."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go on."""
        self._may_go_on.set()

    def hear(self, requests: Sequence[HearRequest]) -> Sequence[HearResult]:
        """Answer as the models do, or not at all."""
        return self._answer("hear", requests)

    def understand(
        self, requests: Sequence[UnderstandRequest]
    ) -> Sequence[UnderstandResult]:
        """Answer as the models do, or not at all."""
        return self._answer("understand", requests)

    def _answer(self, method: str, requests: Sequence[Any]) -> Sequence[Any]:
        results: Sequence[Any] = getattr(self._models, method)(requests)
        if method == self._method:
            pairs = zip(requests, results, strict=True)
            return [self._spoil(request, result) for request, result in pairs]
        return results

    def _spoil(self, request: HearRequest | UnderstandRequest, result: Any) -> Any:
        origin = request.origin
        if (origin.turn, origin.lane) != self._where:
            return result
        self._victim = self._victim or origin.session
        if origin.session != self._victim:
            return result
        if self._fault == "exception":
            raise ZeroDivisionError("a bug")
        if self._fault == "hang":
            self._may_go_on.wait()
            return result
        if isinstance(request, HearRequest):
            nothing = np.full_like(result.voice.encoder, np.nan)
            return replace(result, voice=VoiceFeatures(nothing, None))
        # Not in what is told, but in what would be remembered.
        return replace(result, context=spoilt(result.context))


def spoilt(context: Any) -> Any:
    """Give a context that would spoil every later turn."""
    if isinstance(context, Context):
        return replace(context, memory=np.full_like(context.memory, np.nan))
    return (*context, float("nan"))  # of scripted models


class FaultyDetector:
    """Stands in for a voice detector whose fault shows at some frames of one stream.

    What hangs goes on at the end of a `with`.

    Args:
        vad: That does everything else.
        fault: One of `FAULTS`.
        at: How many frames of all streams come to it before.
    """

    def __init__(self, vad: VoiceDetector, fault: str, at: int) -> None:
        """Spoil what `vad` answers."""
        self._vad = vad
        self._fault = fault
        self._n_before = at
        self._victim: Sequence[Samples] | None = None
        self._lock = threading.Lock()
        self._may_go_on = threading.Event()

    @property
    def has_shown(self) -> bool:
        """Whether the fault has come."""
        return self._victim is not None

    def __enter__(self) -> FaultyDetector:
        """Let what hangs hang."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let it go on."""
        self._may_go_on.set()

    def stream(self) -> SpeechProbability:
        """Give a detector for one stream, with a memory of its own."""
        return self._vad.stream()

    def detect(self, heard: Heard) -> list[list[float]]:
        """Answer as the detector does, or not at all."""
        if self._is_spoilt(heard):
            if self._fault == "exception":
                raise ZeroDivisionError("a bug")
            if self._fault == "nan":
                return [[math.nan] * len(frames) for _, frames in heard]
            self._may_go_on.wait()
        return self._vad.detect(heard)

    def _is_spoilt(self, heard: Heard) -> bool:
        with self._lock:
            if self._victim is None:
                coming = [frames for _, frames in heard if frames]
                if coming and self._n_before <= 0:
                    self._victim = coming[0]
                self._n_before -= sum(map(len, coming))
            return any(frames is self._victim for _, frames in heard)
