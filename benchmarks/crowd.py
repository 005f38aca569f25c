"""Parts of many sessions -> one server at once -> what became of each of them."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.dialogues import to_ms
from benchmarks.mixture import Material, Part, cast
from benchmarks.playing import Manner, Performance, attend
from benchmarks.serving import RunningServer
from benchmarks.timing import Timings
from benchmarks.watching import Watch, watching
from benchmarks.wire import Wire, open_wire
from clients.errors import ConnectionFailed, ConnectionLost

RAMP_S = 6.0  # in which the sessions start, one after another
FULL = 1013  # the close code of a server that has no room


@dataclass(slots=True)
class Crowd:
    """What became of sessions that ran at once.

    Attributes:
        performances: Of those that came to their end.
        wires: Of all that were admitted.
        n_refused: Told to try again later.
        troubles: What else went wrong, one line a session.
        window_s: Wall times between which all sessions were there.
        watch: Who used the processors in that time, and how late the event loops were.
        rss_mb: Resident memory of the server at the end of it.
        cpu_s: Processor time of the server for all that was said, to the last final.
        spoken_until_s: Wall time at which the last audio was sent.
        ended_s: Wall time at which the last session had ended.
    """

    performances: list[Performance] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)
    n_refused: int = 0
    troubles: list[str] = field(default_factory=list)
    window_s: tuple[float, float] = (0.0, 0.0)
    watch: Watch = field(default_factory=Watch)
    rss_mb: float | None = None
    cpu_s: float | None = None
    spoken_until_s: float = 0.0
    ended_s: float = 0.0

    @property
    def n_lost(self) -> int:
        """Turns without their final, and sessions that broke off."""
        return len(self.troubles) + sum(
            turn.final_s is None for one in self.performances for turn in one.turns
        )

    def timings(self) -> Timings:
        """Give how long those waited who spoke while all were there."""
        timings = Timings(window_s=self.window_s)
        for performance in self.performances:
            timings.add(performance)
        return timings

    def backlog_ms(self) -> list[float]:
        """Give how much audio waited at each arrival."""
        return [ms for wire in self.wires for ms in wire.backlog_ms]

    def late_ms(self) -> list[float]:
        """Give how late this program sent each chunk."""
        return [ms for one in self.performances for ms in one.late_ms]

    def speech_minutes(self) -> float:
        """Tell how much voice those sent who came to their end."""
        n_samples = sum(
            clip.voice_end - clip.voice_start
            for one in self.performances
            for clip in one.dialogue.clips
        )
        return to_ms(n_samples) / 60_000


def starts_s(n_sessions: int) -> list[float]:
    """Give when each session starts, so that all are there after `RAMP_S`."""
    return [RAMP_S * number / n_sessions for number in range(n_sessions)]


async def gather_crowd(
    server: RunningServer,
    material: Material,
    n_sessions: int,
    options: argparse.Namespace,
) -> Crowd:
    """Cast so many parts and play them, as the command line asks.

    Args:
        server: To measure.
        material: What the parts are made of.
        n_sessions: How many.
        options: `seconds`, `seed`, `fill` and `partials` count.
    """
    durations_s = [RAMP_S - at_s + options.seconds for at_s in starts_s(n_sessions)]
    parts = cast(material, durations_s, options.seed, options.fill)
    has_partials = options.partials == "on"
    return await play_crowd(server, parts, options.seconds, partials=has_partials)


async def play_crowd(
    server: RunningServer, parts: Sequence[Part], seconds: float, *, partials: bool
) -> Crowd:
    """Play all parts, each from its own start on.

    Args:
        server: Measured from the end of the ramp on.
        parts: Each at least as long as the ramp that is left and `seconds`.
        seconds: How long to measure.
        partials: Whether provisional results are wanted.
    """
    crowd = Crowd()
    begin_s, cpu_before_s = time.monotonic(), server.cpu_s()
    async with asyncio.TaskGroup() as group:
        for part, start_s in zip(parts, starts_s(len(parts)), strict=True):
            group.create_task(join(crowd, server.url, part, start_s, partials))
        await asyncio.sleep(begin_s + RAMP_S - time.monotonic())
        async with watching(server) as crowd.watch:
            window_begin_s = time.monotonic()
            await asyncio.sleep(begin_s + RAMP_S + seconds - time.monotonic())
        crowd.window_s = window_begin_s, time.monotonic()
        crowd.rss_mb = server.resident_mb()
    crowd.ended_s, cpu_after_s = time.monotonic(), server.cpu_s()
    if cpu_before_s is not None and cpu_after_s is not None:
        crowd.cpu_s = cpu_after_s - cpu_before_s
    return crowd


async def join(
    crowd: Crowd, url: str, part: Part, start_s: float, partials: bool
) -> None:
    """Play one part after a while, and note what became of it."""
    await asyncio.sleep(start_s)
    name = part.dialogue.name
    try:
        async with open_wire(
            url,
            speaker=part.dialogue.clips[0].voice.speaker,
            conversation_id=part.conversation_id,
            partials=partials,
        ) as wire:
            crowd.wires.append(wire)
            manner = Manner(speakers=part.speakers, partials=partials)
            performance = await attend(wire, part.dialogue, manner)
    except ConnectionFailed as error:
        if error.close_code == FULL:
            crowd.n_refused += 1
        else:
            crowd.troubles.append(f"{name}: {error}")
        return
    except ConnectionLost as error:
        crowd.troubles.append(f"{name}: {error}")
        return
    crowd.performances.append(performance)
    spoken_s = performance.send_times.sent_at(performance.send_times.sent_ms)
    crowd.spoken_until_s = max(crowd.spoken_until_s, spoken_s)
