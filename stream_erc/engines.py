"""The models of this process: behind threads for a server, inline for all else."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from .cluster import EngineConfig
from .context import Context
from .engine import HearRequest, Models, Request, Result
from .flow import Emotion
from .lanes import Desk
from .machine import return_heap
from .rescue import Answer, checked, hear_voice, judge_nothing

MAX_BATCH = 8
"""Turns understood in one call of the network."""

LOOKS = 10
"""How often within `engine.hang_s` somebody looks whether a call takes so long."""

RETURN_S = 5.0
"""How long what the models freed may stay with the process. To give it back takes some
10 ms of a core, and again to ask for it anew."""


def hearing_desk(hear: Answer, n_threads: int, config: EngineConfig) -> Desk:
    """Put a desk in front of a recognizer that hears so many turns at once."""
    return Desk(
        "hear",
        checked(hear),
        hear_voice,
        n_threads=n_threads,
        max_batch=1,
        max_stuck=config.max_stuck,
    )


def understanding_desk(
    understand: Answer, prior: Emotion, config: EngineConfig
) -> Desk:
    """Put a desk in front of an emotion model; `prior` is its judgement of nothing."""
    return Desk(
        "understand",
        checked(understand),
        partial(judge_nothing, prior=prior),
        n_threads=1,
        max_batch=MAX_BATCH,
        max_stuck=config.max_stuck,
    )


class LocalEngine:
    """The models of this process behind two desks: hearing and understanding.

    Args:
        models: Loaded.
        hear_threads: How many turns are heard at once.
        config: When a model is taken for stuck.
        on_restart: Told the name of a desk whenever a stuck thread is replaced.
    """

    def __init__(
        self,
        models: Models,
        hear_threads: int,
        config: EngineConfig,
        on_restart: Callable[[str], None],
    ) -> None:
        self._models = models
        self._hang_s = config.hang_s
        self._on_restart = on_restart
        self._hearing = hearing_desk(models.hear, hear_threads, config)
        self._understanding = understanding_desk(
            models.understand, models.prior, config
        )
        self._desks = (self._hearing, self._understanding)
        self._closing = threading.Event()
        self._watchdog = threading.Thread(
            target=self._watch, name="watchdog", daemon=True
        )
        self._watchdog.start()

    @property
    def trouble(self) -> str | None:
        """That a model hangs in so many threads that it is left alone; None: none."""
        return "stuck" if any(desk.is_stuck for desk in self._desks) else None

    @property
    def delay_s(self) -> float:
        """How long the final that waits longest has waited for a model."""
        return max(desk.delay_s for desk in self._desks)

    def submit(self, request: Request) -> Future[Result]:
        """Queue a request; see `Engine`."""
        if isinstance(request, HearRequest):
            return self._hearing.put(request)
        return self._understanding.put(request)

    def cancel(self, session: str) -> None:
        """Drop what a session that is gone still waits for."""
        for desk in self._desks:
            desk.cancel(session)

    def waiting(self) -> dict[str, int]:
        """How many requests wait at each desk."""
        return {desk.name: desk.waiting() for desk in self._desks}

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._models.empty_context()

    def close(self) -> None:
        """Finish what waits and end the threads."""
        for desk in self._desks:
            desk.close()
        self._closing.set()
        self._watchdog.join()

    def _watch(self) -> None:
        returned_s = time.monotonic()
        while not self._closing.wait(min(self._hang_s / LOOKS, RETURN_S)):
            for desk in self._desks:
                for _ in range(desk.relieve(self._hang_s)):
                    self._on_restart(desk.name)
            if time.monotonic() - returned_s >= RETURN_S:
                return_heap()
                returned_s = time.monotonic()


class InlineEngine:
    """Answers at once, in the caller's thread: for files, tests and benchmarks."""

    def __init__(self, models: Models) -> None:
        self._models = models

    def submit(self, request: Request) -> Future[Result]:
        """Answer a request; the future is done."""
        future: Future[Result] = Future()
        if isinstance(request, HearRequest):
            future.set_result(self._models.hear([request])[0])
        else:
            future.set_result(self._models.understand([request])[0])
        return future

    def cancel(self, session: str) -> None:
        """Nothing ever waits."""

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self._models.empty_context()
