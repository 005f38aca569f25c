"""What live sessions ask of the models, when, and how long each answer takes.

The mixture of `benchmarks.load` goes through the recognizer without sockets; every
request is answered at once and timed. So a demand holds measured times alone: those of
one thread on an idle machine, what a second thread slows them down, and what a session
costs beside the models.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from benchmarks.crowd import RAMP_S, gather_crowd
from benchmarks.dialogues import read_actors, to_ms
from benchmarks.matching import Turn, gather, match
from benchmarks.mixture import Part, cast, read_material
from benchmarks.options import find_clips, serving_as_asked
from benchmarks.report import describe_machine
from benchmarks.serving import serving
from benchmarks.watching import watching
from benchmarks.wire import open_wire
from clients.arrival import Arrival
from clients.sources import FORMAT, RATE_HZ
from stream_erc import events
from stream_erc.config import Settings
from stream_erc.context import Context
from stream_erc.conversation import Conversation
from stream_erc.engine import HearRequest, Lane, Models, Request, Result
from stream_erc.machine import usable_cores
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.vad import SileroVad

CHUNK = RATE_HZ // 50  # 20 ms, as a live client sends
SILENT_SESSIONS = 8
SILENT_S = 10.0
BEAT_S = 3.0  # how long threads are timed side by side


class Ask(msgspec.Struct, frozen=True):
    """Audio to be heard, and then judged.

    Attributes:
        at_ms: When, on the session's audio clock.
        hear_ms: What hearing takes one thread alone.
        judge_ms: What judging takes after that; 0 where it is not asked for.
        is_final: False for a partial.
    """

    at_ms: float
    hear_ms: float
    judge_ms: float
    is_final: bool


class Spoken(msgspec.Struct, frozen=True):
    """A turn.

    Attributes:
        asks: In order; the last final is the one that counts.
        resumed_ms: When the finals before that were thrown away.
        voice_end_ms: When the corpus says that the voice ends; None: it does not.
        decided_ms: The endpoint.
    """

    asks: tuple[Ask, ...]
    resumed_ms: tuple[float, ...]
    voice_end_ms: float | None
    decided_ms: float


class Demand(msgspec.Struct, frozen=True):
    """All that the simulation is told of the product.

    Attributes:
        sessions: Turns of each.
        duration_ms: Of each session's audio.
        speedups: Work done by 1, 2, … busy threads, in that of one alone.
        path_ms: From an endpoint to the client where the final is computed already.
        idle_cores: What a silent session costs the server, in cores.
        client_cores: What it costs a client on the same machine.
        hear_threads: Of the server measured.
        machine: Where all this was measured.
    """

    sessions: tuple[tuple[Spoken, ...], ...]
    duration_ms: float
    speedups: tuple[float, ...]
    path_ms: float
    idle_cores: float
    client_cores: float
    hear_threads: int
    machine: dict[str, Any]


@dataclass(slots=True)
class TimedEngine:
    """Answers at once, and notes what took how long.

    Attributes:
        models: That answer.
        clock_ms: The session's audio clock, set from outside.
        asked: What was asked about a turn, by attempt and lane.
        heard: The audio of the finals.
    """

    models: Models
    clock_ms: float = 0.0
    asked: dict[tuple[int, int, Lane], Ask] = field(default_factory=dict)
    heard: list[HearRequest] = field(default_factory=list)

    def submit(self, request: Request) -> Future[Result]:
        """Answer a request; the future is done."""
        future: Future[Result] = Future()
        origin = request.origin
        key = origin.turn, origin.revision, origin.lane
        begin_s = time.perf_counter()
        if isinstance(request, HearRequest):
            future.set_result(self.models.hear([request])[0])
            took_ms = (time.perf_counter() - begin_s) * 1000
            is_final = origin.lane is Lane.FINAL
            self.asked[key] = Ask(self.clock_ms, took_ms, 0.0, is_final)
            if is_final:
                self.heard.append(request)
        else:
            future.set_result(self.models.understand([request])[0])
            took_ms = (time.perf_counter() - begin_s) * 1000
            self.asked[key] = replace(self.asked[key], judge_ms=took_ms)
        return future

    def cancel(self, session: str) -> None:
        """Nothing ever waits."""

    def empty_context(self) -> Context:
        """Give the memory of a conversation in which nothing was said."""
        return self.models.empty_context()


async def measure_demand(options: argparse.Namespace) -> Demand:
    """Play the mixture through the recognizer and time every answer."""
    material = read_material(find_clips(options), read_actors(options.actors))
    silence = await measure_silence([f"--{setting}" for setting in options.serve])
    async with serving_as_asked(options) as server:
        alone_there = await gather_crowd(server, material, 1, options)
    path_ms = alone_there.timings().spreads()["endpoint -> emotion.final"].p50
    assert path_ms is not None
    settings = Settings()
    models, vad = Models(settings), SileroVad()
    # As long as in a run of `benchmarks.load`, whose first sessions have a ramp more.
    durations_s = [RAMP_S + options.seconds] * options.sessions
    parts = cast(material, durations_s, options.seed, options.fill)
    sessions, finals = [], []
    for part in parts:
        spoken, heard = follow(part, models, settings, vad)
        sessions.append(spoken)
        finals += heard
        print(f"{part.dialogue.name}: {len(spoken)} turns, {len(heard)} finals heard")
    n_cores = math.ceil(usable_cores())
    return Demand(
        sessions=tuple(sessions),
        duration_ms=(RAMP_S + options.seconds) * 1000,
        speedups=measure_speedups(models.hear, finals, n_cores),
        path_ms=path_ms,
        idle_cores=silence[0],
        client_cores=silence[1],
        hear_threads=settings.asr.n_workers,
        machine=describe_machine(),
    )


def follow(
    part: Part, models: Models, settings: Settings, vad: SileroVad
) -> tuple[tuple[Spoken, ...], list[HearRequest]]:
    """Play one part; give its turns, and the finals' audio."""
    engine = TimedEngine(models)
    listener, director = open_session(
        events.SessionStart(audio=FORMAT),
        session=part.dialogue.name,
        settings=settings,
        probability=vad.stream(),
        conversation=Conversation(models.empty_context()),
    )
    pipeline = Pipeline(listener, director, engine)
    arrivals: list[Arrival] = []
    resumed: dict[int, list[float]] = {}
    samples = part.dialogue.samples
    for start in range(0, len(samples), CHUNK):
        chunk = samples[start : start + CHUNK]
        engine.clock_ms = to_ms(start + len(chunk))
        for event in pipeline.push(chunk.tobytes()):
            assert isinstance(event, events.ServerEvent)
            arrivals.append(Arrival("", event, engine.clock_ms / 1000))
            if isinstance(event, events.TurnResumed):
                resumed.setdefault(event.turn, []).append(engine.clock_ms)
    ended = [turn for turn in gather(arrivals) if turn.decided_ms is not None]
    ends = find_ends(part, ended)
    spoken = []
    for turn in ended:
        assert turn.decided_ms is not None
        asks = tuple(
            ask for (number, _, _), ask in engine.asked.items() if number == turn.turn
        )
        waited = tuple(resumed.get(turn.turn, ()))
        spoken.append(Spoken(asks, waited, ends.get(turn.turn), turn.decided_ms))
    return tuple(spoken), engine.heard


def find_ends(part: Part, turns: Sequence[Turn]) -> dict[int, float]:
    """Give where the voice of a turn ends, in ms, where the corpus knows it."""
    return {
        matched.turns[-1].turn: to_ms(matched.clip.voice_end)
        for matched in match(part.dialogue.clips, turns)
        if matched.turns and matched.clip.voice.end_s is not None
    }


def measure_speedups(
    hear: Callable[[Sequence[HearRequest]], object],
    requests: Sequence[HearRequest],
    most: int,
) -> tuple[float, ...]:
    """Tell how much more so many threads get done than one alone.

    Args:
        hear: Answers requests.
        requests: To be answered over and over.
        most: Threads.
    """
    done = [
        count_answers(hear, requests, n_threads) for n_threads in range(1, most + 1)
    ]
    return tuple(count / done[0] for count in done)


def count_answers(
    hear: Callable[[Sequence[HearRequest]], object],
    requests: Sequence[HearRequest],
    n_threads: int,
) -> float:
    """Count the requests that so many threads answer in `BEAT_S`, weighed by length."""
    until_s = time.perf_counter() + BEAT_S
    done = [0.0] * n_threads

    def work(place: int) -> None:
        number = place
        while time.perf_counter() < until_s:
            request = requests[number % len(requests)]
            hear([request])
            done[place] += len(request.samples)
            number += n_threads

    threads = [threading.Thread(target=work, args=(n,)) for n in range(n_threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done)


async def measure_silence(serve: Sequence[str]) -> tuple[float, float]:
    """Give the cores that a silent session costs the server, and its client."""
    silence = np.random.default_rng(0).integers(-1, 2, CHUNK).astype(np.int16).tobytes()

    async def keep_silent(url: str, number: int) -> None:
        async with open_wire(url) as wire:
            begin_s = time.monotonic() + number * 0.02 / SILENT_SESSIONS
            for chunk in range(round(SILENT_S * 50)):
                await asyncio.sleep(begin_s + chunk * 0.02 - time.monotonic())
                await wire.send_audio(silence)

    async with serving(serve) as server, watching(server) as watch:
        async with asyncio.TaskGroup() as group:
            for number in range(SILENT_SESSIONS):
                group.create_task(keep_silent(server.url, number))
    assert watch.server_cores is not None and watch.client_cores is not None
    return watch.server_cores / SILENT_SESSIONS, watch.client_cores / SILENT_SESSIONS


def read_demand(file: Path) -> Demand:
    """Read what `benchmarks.simulate --measure` wrote."""
    return msgspec.json.decode(file.read_bytes(), type=Demand)
