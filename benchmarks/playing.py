"""Dialogue -> server -> the turns that came back, and when every sample went out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from benchmarks.dialogues import Dialogue, to_ms
from benchmarks.matching import Turn, gather
from clients.connection import Arrival, connect
from clients.player import CHUNK_SAMPLES, in_parallel
from clients.schedule import Pace, SendTimes
from clients.sources import FORMAT, RATE_HZ
from stream_erc import events
from stream_erc.events import Modality

Speakers = Literal["set", "never"]
Endpoint = Literal["server", "oracle"]


class Channel(Protocol):
    """An open session: a `Connection`, or something lighter."""

    started: events.SessionStarted
    send_times: SendTimes

    def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over what the server sends, until `session.ended`."""
        ...

    async def send_audio(self, audio: bytes) -> None:
        """Send samples."""
        ...

    async def set_speaker(self, speaker: str) -> None:
        """Say whose the audio after this is."""
        ...

    async def flush_turn(self) -> None:
        """End the running turn now."""
        ...

    async def mark(self, id: str | int) -> None:
        """Ask for a `Marker` once the audio before this is done with."""
        ...

    async def end(self) -> None:
        """Say that this was all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How a dialogue is played.

    Attributes:
        speed: How many times faster than life; None: as fast as it is taken.
        speakers: `set`: `speaker.set` goes out between two clips as soon as the turns
            of the one before have their emotions, and never later than the next voice.
            `never`: one name for all.
        endpoint: Who finds the end of a turn: the server, or an oracle that says
            `turn.flush` with the end of each voice.
        partials: Whether provisional results are wanted.
        modalities: What the emotion may rest on.
    """

    speed: float | None = 1.0
    speakers: Speakers = "set"
    endpoint: Endpoint = "server"
    partials: bool = True
    modalities: Sequence[Modality] = ("audio", "text")


@dataclass(frozen=True, slots=True)
class Performance:
    """What became of a dialogue.

    Attributes:
        dialogue: As played.
        turns: As they came back.
        send_times: When each sample went out.
        late_ms: For each chunk, how long after it was due it went out.
        n_untold: Clips whose speaker could not be told in time.
        started: What the server said of itself.
        warnings: Codes of what the server complained about.
        n_degraded: How often it said that partials became slower or stopped.
    """

    dialogue: Dialogue
    turns: list[Turn]
    send_times: SendTimes
    late_ms: list[float]
    n_untold: int
    started: events.SessionStarted
    warnings: list[str]
    n_degraded: int = 0


@dataclass(slots=True)
class Ear:
    """Collects what the server says; knows how far its finals reach.

    Attributes:
        arrivals: Everything, in order.
        finished_ms: End of the last turn that has its emotion.
    """

    arrivals: list[Arrival] = field(default_factory=list)
    finished_ms: int = 0
    _open: dict[int, int] = field(default_factory=dict)  # turn -> its end, 0 if running
    _marks: set[str | int] = field(default_factory=set)
    _marked: asyncio.Event = field(default_factory=asyncio.Event)

    async def listen(self, connection: Channel) -> None:
        """Take in everything until the session has ended."""
        async for arrival in connection.arrivals():
            self.arrivals.append(arrival)
            self._take(arrival.event)

    def _take(self, event: events.ServerEvent | None) -> None:
        match event:
            case events.TurnStarted(turn=turn):
                self._open[turn] = 0
            case events.TurnEnded(turn=turn, end_ms=end_ms):
                self._open[turn] = end_ms
            case events.EmotionFinal(turn=turn):
                self.finished_ms = max(self.finished_ms, self._open.pop(turn, 0))
            case events.Marker(id=mark):
                self._marks.add(mark)
                self._marked.set()

    def has_finished(self, since_ms: float) -> bool:
        """Tell whether a turn that ended after `since_ms` is done, and none runs."""
        return not self._open and self.finished_ms > since_ms

    async def wait_for(self, mark: int) -> None:
        """Wait until the server has echoed a marker."""
        while mark not in self._marks:
            self._marked.clear()
            await self._marked.wait()


class Stage:
    """Plays one dialogue into one connection, each chunk when it is due."""

    def __init__(
        self, connection: Channel, ear: Ear, dialogue: Dialogue, manner: Manner
    ):
        self.late_ms: list[float] = []
        self.n_untold = 0
        self._connection = connection
        self._ear = ear
        self._dialogue = dialogue
        self._manner = manner
        self._n_marks = 0
        self._upcoming = 0  # number of the clip that has not begun to speak
        self._speaker = dialogue.clips[0].voice.speaker

    async def play(self) -> None:
        """Send all audio, then end the session."""
        samples = self._dialogue.samples.astype("<i2")
        pace = Pace(RATE_HZ, self._manner.speed)
        flushes = {chunk_end(clip.voice_end) for clip in self._dialogue.clips}
        start_s = time.monotonic()
        for begin in range(0, len(samples), CHUNK_SAMPLES):
            end = min(begin + CHUNK_SAMPLES, len(samples))
            if self._manner.speakers == "set":
                await self._tell_speaker(begin, end)
            if begin == 0:
                start_s = time.monotonic()  # as the pace has it
            await pace.until(end)
            if self._manner.speed is not None:
                late_s = time.monotonic() - start_s - self._due_s(end)
                self.late_ms.append(late_s * 1000)
            await self._connection.send_audio(samples[begin:end].tobytes())
            if self._manner.endpoint == "oracle" and end in flushes:
                await self._connection.flush_turn()
        await self._connection.end()

    def _due_s(self, n_samples: int) -> float:
        return n_samples / RATE_HZ / (self._manner.speed or 1.0)

    async def _tell_speaker(self, begin: int, end: int) -> None:
        """Name the next speaker, if the time for that is now.

        Args:
            begin: First sample of the chunk that goes out next.
            end: One past its last.
        """
        clips = self._dialogue.clips
        if self._upcoming == len(clips):
            return
        clip = clips[self._upcoming]
        if self._upcoming and clip.voice.speaker != self._speaker:
            before = clips[self._upcoming - 1]
            if begin >= before.end and await self._is_over(before.voice_start):
                self._speaker = clip.voice.speaker
                await self._connection.set_speaker(self._speaker)
        if end > clip.voice_start:
            self._upcoming += 1
            self.n_untold += clip.voice.speaker != self._speaker

    async def _is_over(self, voice_start: int) -> bool:
        """Tell whether the client knows that the clip before is judged.

        Faster than life the answer would depend on the pace, so there the client waits
        until the server has done with all that was sent.
        """
        if self._manner.speed != 1.0:
            self._n_marks += 1
            await self._connection.mark(self._n_marks)
            await self._ear.wait_for(self._n_marks)
        return self._ear.has_finished(to_ms(voice_start))


def chunk_end(n_samples: int) -> int:
    """Tell how much has gone out with the chunk that holds the last of some samples."""
    return -(-n_samples // CHUNK_SAMPLES) * CHUNK_SAMPLES


async def perform(url: str, dialogue: Dialogue, manner: Manner) -> Performance:
    """Play one dialogue in a session and a conversation of its own.

    Raises:
        ClientError: If the session cannot be opened, or breaks off.
    """
    first = dialogue.clips[0].voice.speaker if manner.speakers == "set" else "speaker"
    async with connect(
        url,
        audio=FORMAT,
        speaker=first,
        partials=manner.partials,
        modalities=manner.modalities,
    ) as connection:
        return await attend(connection, dialogue, manner)


async def attend(
    connection: Channel, dialogue: Dialogue, manner: Manner
) -> Performance:
    """Play one dialogue into an open session and collect what comes back.

    Raises:
        ConnectionLost: If the session breaks off.
    """
    ear = Ear()
    stage = Stage(connection, ear, dialogue, manner)
    await in_parallel(ear.listen(connection), stage.play())
    heard = [arrival.event for arrival in ear.arrivals]
    return Performance(
        dialogue=dialogue,
        turns=gather(ear.arrivals),
        send_times=connection.send_times,
        late_ms=stage.late_ms,
        n_untold=stage.n_untold,
        started=connection.started,
        warnings=[
            event.code
            for event in heard
            if isinstance(event, events.Warn | events.Failure)
        ],
        n_degraded=sum(
            isinstance(event, events.Status) and event.degraded for event in heard
        ),
    )
