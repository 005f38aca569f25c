"""Models that fail at one turn of one session, in each way there is."""

import threading
from dataclasses import replace

import numpy as np

from stream_erc.engine import HearRequest, Lane
from stream_erc.flow import VoiceFeatures

FAULTS = ("exception", "hang", "nan")


class Faulty:
    """Stands in for models whose fault shows in the first session that comes to it.

    Args:
        models: That do everything else.
        method: "hear" or "understand".
        fault: One of `FAULTS`.
        turn: At which it shows.
        lane: At which of its requests.
    """

    def __init__(self, models, method, fault, *, turn=1, lane=Lane.FINAL):
        self._models = models
        self._method = method
        self._fault = fault
        self._where = (turn, lane)
        self._victim = None
        self._may_go_on = threading.Event()

    def __getattr__(self, name):
        return getattr(self._models, name)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._may_go_on.set()

    def hear(self, requests):
        return self._answer("hear", requests)

    def understand(self, requests):
        return self._answer("understand", requests)

    def _answer(self, method, requests):
        results = getattr(self._models, method)(requests)
        if method == self._method:
            pairs = zip(requests, results, strict=True)
            return [self._spoil(request, result) for request, result in pairs]
        return results

    def _spoil(self, request, result):
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


def spoilt(context):
    """Give a context that would spoil every later turn."""
    if isinstance(context, tuple):  # of scripted models
        return (*context, float("nan"))
    return replace(context, memory=np.full_like(context.memory, np.nan))
