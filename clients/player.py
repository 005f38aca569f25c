"""Lines of a dialogue -> audio on a connection, each sample when it is due."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from clients.connection import Connection
from clients.conversation import Played
from clients.errors import UnplayableFile
from clients.schedule import CHUNK_S, Pace
from clients.sources import RATE_HZ, Line, Pcm16, find_flaws, load

CHUNK_SAMPLES = round(CHUNK_S * RATE_HZ)


@dataclass(slots=True)
class Player:
    """Plays the lines of one dialogue into one connection.

    Attributes:
        connection: Where the audio goes.
        pace: When it goes.
        gap_s: Silence after each line.
        leave_out: Told of each line that cannot be played.
        warn: Told what is wrong with a file that is played.
        note: Told of each line that goes out as text.
        stopping: Set where nothing more is to be played.
        played: What was played where.
    """

    connection: Connection
    pace: Pace
    gap_s: float
    leave_out: Callable[[UnplayableFile], None]
    warn: Callable[[str], None]
    note: Callable[[str], None]
    stopping: asyncio.Event
    played: list[Played] = field(default_factory=list)
    _n_samples: int = 0
    _told: set[Path] = field(default_factory=set)  # of what is wrong with these
    _noise: np.random.Generator = field(
        default_factory=lambda: np.random.default_rng(0)
    )

    async def play(self, lines: Sequence[Line], speaker: str) -> None:
        """Play every line, or those before it is stopped, then end the session.

        Args:
            lines: Of one dialogue.
            speaker: To whom the session's first audio belongs.
        """
        upcoming = iter([*lines[1:], None])
        loading = asyncio.create_task(self._load(lines[0]))
        for line, following in zip(lines, upcoming, strict=True):
            samples = await loading
            if self.stopping.is_set():
                break
            if following is not None:  # decoded while this one plays
                loading = asyncio.create_task(self._load(following))
            if line.audio is None:
                await self.connection.add_context(line.speaker, line.text or "")
                self.note(f"{line.speaker} (as text): {line.text}")
            elif samples is not None:
                if line.speaker != speaker:
                    speaker = line.speaker
                    await self.connection.set_speaker(speaker)
                await self._play_line(line, samples)
        if self.stopping.is_set():
            self.note("stopped; Ctrl-C again does not wait for the last results")
        await self.connection.end()

    async def _load(self, line: Line) -> Pcm16 | None:
        """Decode a line; None where there is nothing to decode, or no way to."""
        if line.audio is None:
            return None
        try:
            samples = await asyncio.to_thread(load, line)
            flaws = await asyncio.to_thread(find_flaws, line.audio)
        except UnplayableFile as error:
            self.leave_out(error)
            return None
        if line.audio not in self._told:
            self._told.add(line.audio)
            for flaw in flaws:
                self.warn(f"{line.audio}: {flaw}")
        return samples

    async def _play_line(self, line: Line, samples: Pcm16) -> None:
        begin_ms = self._n_samples * 1000 / RATE_HZ
        await self._send(samples)
        end_ms = self._n_samples * 1000 / RATE_HZ
        self.played.append(Played(begin_ms, end_ms, line.emotion))
        # Noise of one bit, as the quietest converter gives it. Zeros change sign never,
        # which no microphone does, and features count such changes.
        n_samples = round(self.gap_s * RATE_HZ)
        await self._send(self._noise.integers(-1, 2, n_samples).astype(np.int16))

    async def _send(self, samples: Pcm16) -> None:
        for begin in range(0, len(samples), CHUNK_SAMPLES):
            if self.stopping.is_set():
                return
            chunk = samples[begin : begin + CHUNK_SAMPLES]
            self._n_samples += len(chunk)
            await self.pace.until(self._n_samples)
            await self.connection.send_audio(chunk.astype("<i2").tobytes())


async def in_parallel(*work: Awaitable[None]) -> None:
    """Do all of it at once; the first error stops the rest and is raised alone."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
