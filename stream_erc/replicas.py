"""Call -> Answer: what runs on the machines of a pool, in front of one kind of model.

Plain classes: nothing here knows what carries calls and answers to and fro.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from .config import DEFAULT_MODEL, Settings
from .context import Context
from .engine import Hearing, Request, Result, Understanding
from .engines import hearing_desk, understanding_desk
from .errors import ModelError
from .fingerprint import fingerprint_hearing, fingerprint_understanding
from .flow import Emotion
from .lanes import Desk
from .logs import open_log
from .machine import return_heap
from .version import VERSION


@dataclass(frozen=True, slots=True)
class Call:
    """A request on its way to another machine.

    Attributes:
        request: Its deadline is on the clock of the machine that it came from.
        fingerprint: Of the models that shall answer.
        left_s: Until that deadline; None: there is none.
    """

    request: Request
    fingerprint: str
    left_s: float | None


@dataclass(frozen=True, slots=True)
class Refusal:
    """There is no answer; the reason quotes nothing of the request."""

    reason: str


@dataclass(frozen=True, slots=True)
class Profile:
    """What a gateway must know of a replica's models.

    Attributes:
        version: Of the product.
        fingerprint: Of the models' files, and of the settings that answers depend on.
        voice_size: How many numbers of the recognizer's encoder a voice has.
        languages: That are understood; empty where none is heard.
        prior: See `Understanding`; None where nothing is judged.
        context: Of an empty conversation; likewise.
    """

    version: str
    fingerprint: str
    voice_size: int
    languages: tuple[str, ...] = ()
    prior: Emotion | None = None
    context: Context | None = None


class Replica:
    """One kind of model behind its desk: finals first, what waits in batches.

    Args:
        desk: In front of it.
        profile: Of it.
        hang_s: A call that takes longer is given up.
    """

    def __init__(self, desk: Desk, profile: Profile, hang_s: float) -> None:
        self._desk = desk
        self._profile = profile
        self._hang_s = hang_s

    async def describe(self) -> Profile:
        """Say what answers here."""
        return self._profile

    async def answer(self, call: Call) -> Result | Refusal:
        """Answer a request, unless it is late, overtaken, or meant for other models."""
        if call.fingerprint != self._profile.fingerprint:
            return Refusal("the replica has other models")
        origin = call.request.origin
        if call.left_s is not None:
            origin = replace(origin, deadline_s=time.monotonic() + call.left_s)
        future = self._desk.put(replace(call.request, origin=origin))
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            return Refusal("overtaken, or late")
        except Exception as error:  # it is logged; its words may be a client's
            return Refusal(f"the model failed: {type(error).__name__}")

    def check_health(self) -> None:
        """Give up what hangs, and back what was freed.

        Raises:
            RuntimeError: If so much hangs that another replica must take the place.
        """
        self._desk.relieve(self._hang_s)
        return_heap()
        if self._desk.is_stuck:
            raise RuntimeError(f"{self._desk.name}: the model is stuck")


class HearingReplica(Replica):
    """The recognizer.

    Args:
        settings: Of the gateway, made to travel; see `pack`.
        wanted: Fingerprint that the models must have.

    Raises:
        ModelError: If they are missing, damaged or others.
    """

    def __init__(self, settings: Settings, wanted: str) -> None:
        settings = unpack(settings)
        fingerprint = fingerprint_hearing(settings)
        require_same(wanted, fingerprint, "asr.whisper")
        hearing = Hearing(settings)
        hearing.warm_up()
        profile = Profile(
            VERSION, fingerprint, hearing.whisper.voice_size, hearing.whisper.languages
        )
        engine = settings.engine
        desk = hearing_desk(hearing.hear, settings.asr.n_workers, engine)
        super().__init__(desk, profile, engine.hang_s)


class UnderstandingReplica(Replica):
    """Text encoder and dialogue model; see `HearingReplica`."""

    def __init__(self, settings: Settings, wanted: str) -> None:
        settings = unpack(settings)
        fingerprint = fingerprint_understanding(settings)
        require_same(wanted, fingerprint, "emotion.model")
        understanding = Understanding(settings)
        understanding.warm_up()
        profile = Profile(
            VERSION,
            fingerprint,
            understanding.voice_size,
            prior=understanding.prior,
            context=understanding.empty_context(),
        )
        engine = settings.engine
        desk = understanding_desk(understanding.understand, understanding.prior, engine)
        super().__init__(desk, profile, engine.hang_s)


def pack(settings: Settings) -> Settings:
    """Give settings as they travel: the shipped model is where the product is."""
    if Path(settings.emotion.model) != DEFAULT_MODEL:
        return settings
    return replace(settings, emotion=replace(settings.emotion, model=""))


def unpack(settings: Settings) -> Settings:
    """Give settings that have travelled as they count here; open the log."""
    open_log(settings.log, logging.WARNING)
    cores = max(1.0, settings.cluster.hearing_cpus)
    model = settings.emotion.model or str(DEFAULT_MODEL)
    return replace(
        settings,
        asr=replace(settings.asr, workers=settings.asr.workers_on(cores)),
        emotion=replace(settings.emotion, model=model),
    )


def require_same(wanted: str, got: str, what: str) -> None:
    """Refuse to stand in for another model.

    Raises:
        ModelError: If the fingerprints differ.
    """
    if wanted != got:
        raise ModelError(
            f"{what}: expected on this node the model of the gateway, {wanted[:12]}…, "
            f"got {got[:12]}…: another model, other settings or another version"
        )
