"""Parts -> another server -> when it said what about each clip."""

from __future__ import annotations

import asyncio
import json
import socket as sockets
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as connect_socket
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from benchmarks.crowd import starts_s
from benchmarks.dialogues import Clip
from benchmarks.matching import normalise
from benchmarks.mixture import Part
from benchmarks.peer_environment import PeerEnvironment
from benchmarks.report import ROOT
from benchmarks.serving import RunningServer
from clients.demo import describe_death, stop
from clients.errors import ServerFailed
from clients.schedule import Pace, SendTimes
from clients.sources import RATE_HZ, Pcm16

CHUNK_SAMPLES = RATE_HZ // 10  # 100 ms: smaller ones cost WhisperLive more
READY_TIMEOUT_S = 120.0
QUIET_S = 2.0  # one that has answered all and says nothing new for so long is done
PATIENCE_S = 35.0  # one that has not, after its news: WhisperLive gives up after 30
LAST_WORD_S = 60.0  # but no longer than this after the end

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Peer:
    """How one of them is talked to.

    Attributes:
        name: For tables.
        module: Its server, under `benchmarks.peer_programs`.
        hello: Its first message; None where it wants none.
        encode: Samples as it wants them.
        answered_s: When it had answered each clip; None where it never did.
    """

    name: str
    module: str
    hello: Message | None
    encode: Callable[[Pcm16], bytes]
    answered_s: Callable[[Sequence[Clip], Sequence[tuple[float, Message]]], Answers]


Answers = list[float | None]


@dataclass(frozen=True, slots=True)
class Heard:
    """What a peer said in one session.

    Attributes:
        part: What was played.
        send_times: When each sample went out.
        messages: Each with the wall time at which it came.
        cpu_s: Processor time of the server when all audio had been sent. What it still
            did then is left out.
    """

    part: Part
    send_times: SendTimes
    messages: list[tuple[float, Message]]
    cpu_s: float | None


@asynccontextmanager
async def serving_peer(
    peer: Peer, environment: PeerEnvironment
) -> AsyncIterator[RunningServer]:
    """Run a peer's server on a free port until the block ends.

    Raises:
        ServerFailed: If it does not start.
    """
    with sockets.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    program = [environment.python, "-m", f"benchmarks.peer_programs.{peer.module}"]
    with tempfile.TemporaryFile() as log:
        process = await asyncio.create_subprocess_exec(
            *program,
            str(port),
            stdout=log,
            stderr=log,
            env=environment.variables(),
            cwd=ROOT,
        )
        try:
            await wait_for_port(port, process, log)
            yield RunningServer(f"ws://127.0.0.1:{port}", process.pid)
        finally:
            await stop(process)


async def wait_for_port(
    port: int, process: asyncio.subprocess.Process, log: IO[bytes]
) -> None:
    """Wait until somebody listens.

    Raises:
        ServerFailed: If nobody does in time.
    """
    deadline_s = time.monotonic() + READY_TIMEOUT_S
    while time.monotonic() < deadline_s and process.returncode is None:
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(0.2)
    raise ServerFailed(describe_death(process, log))


async def play_all(
    server: RunningServer, peer: Peer, parts: Sequence[Part]
) -> list[Heard]:
    """Play all parts, started as those of our own server are.

    Raises:
        ServerFailed: If a session is not let in.
    """
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(play_later(server, peer, part, start_s))
            for part, start_s in zip(parts, starts_s(len(parts)), strict=True)
        ]
    return [task.result() for task in tasks]


async def play_later(
    server: RunningServer, peer: Peer, part: Part, start_s: float
) -> Heard:
    """Play one part after a while, and take in what comes back."""
    await asyncio.sleep(start_s)
    send_times = SendTimes(RATE_HZ * 2)
    messages: list[tuple[float, Message]] = []
    async with connect_socket(
        server.url, compression=None, ping_interval=None, max_size=None
    ) as socket:
        if peer.hello is not None:
            await greet(socket, peer.hello)
        listening = asyncio.create_task(listen(socket, messages))
        await speak(socket, peer, part.dialogue.samples, send_times)
        cpu_s = server.cpu_s()
        await wait_for_the_last(peer, part.dialogue.clips, messages)
        listening.cancel()
    return Heard(part, send_times, messages, cpu_s)


async def greet(socket: ClientConnection, hello: Message) -> None:
    """Say the first message and wait to be let in.

    Raises:
        ServerFailed: If the server does not.
    """
    await socket.send(json.dumps(hello))
    answer = json.loads(await socket.recv())
    if answer.get("message") != "SERVER_READY":
        raise ServerFailed(f"expected to be let in, got {answer}")


async def speak(
    socket: ClientConnection, peer: Peer, samples: Pcm16, send_times: SendTimes
) -> None:
    """Send all audio at the pace of life; never wait for the server."""
    pace = Pace(RATE_HZ)
    for begin in range(0, len(samples), CHUNK_SAMPLES):
        chunk = samples[begin : begin + CHUNK_SAMPLES]
        await pace.until(begin + len(chunk))
        send_times.record(2 * len(chunk), time.monotonic())
        frame = Frame(Opcode.BINARY, peer.encode(chunk))
        socket.transport.write(frame.serialize(mask=True))


async def listen(
    socket: ClientConnection, messages: list[tuple[float, Message]]
) -> None:
    """Take in everything until the socket closes."""
    with suppress(ConnectionClosed):
        async for text in socket:
            messages.append((time.monotonic(), json.loads(text)))


async def wait_for_the_last(
    peer: Peer, clips: Sequence[Clip], messages: list[tuple[float, Message]]
) -> None:
    """Wait until a peer has answered all, or nothing new has come for too long."""
    end_s = changed_s = time.monotonic()
    last = messages[-1][1] if messages else None
    is_done = None not in peer.answered_s(clips, messages)
    while time.monotonic() < min(
        changed_s + (QUIET_S if is_done else PATIENCE_S), end_s + LAST_WORD_S
    ):
        await asyncio.sleep(0.1)
        if messages and messages[-1][1] != last:
            changed_s, last = time.monotonic(), messages[-1][1]
            is_done = None not in peer.answered_s(clips, messages)


def last_words_s(
    clips: Sequence[Clip], messages: Sequence[tuple[float, Message]]
) -> Answers:
    """Tell when the last word of each clip was first seen among WhisperLive's segments.

    It never says that a sentence is over, so this is the earliest time at which one who
    knew the words could say so. A word counts in the segments that overlap the clip's
    voice; where these hold other clips before it that end alike, it must have come as
    often.
    """
    answers: Answers = [None] * len(clips)
    for at_s, message in messages:
        segments = [
            (float(one["start"]), float(one["end"]), normalise(one["text"]))
            for one in message.get("segments", ())
        ]
        for number, clip in enumerate(clips):
            if answers[number] is None and holds_end(number, clip, clips, segments):
                answers[number] = at_s
    return answers


def holds_end(
    number: int,
    clip: Clip,
    clips: Sequence[Clip],
    segments: Sequence[tuple[float, float, list[str]]],
) -> bool:
    """Tell whether segments hold the last word of a clip."""
    *_, last_word = normalise(clip.voice.text)
    about = [one for one in segments if overlaps(clip, one[0], one[1])]
    n_alike = sum(
        normalise(other.voice.text)[-1] == last_word
        and any(overlaps(other, begin_s, end_s) for begin_s, end_s, _ in about)
        for other in clips[: number + 1]
    )
    n_said = sum(words.count(last_word) for _, _, words in about)
    return n_alike > 0 and n_said >= n_alike


def segment_answers_s(
    clips: Sequence[Clip], messages: Sequence[tuple[float, Message]]
) -> Answers:
    """Tell when the last segment of each clip was answered."""
    answers: Answers = []
    for clip in clips:
        times = [
            at_s
            for at_s, message in messages
            if "start" in message and overlaps(clip, message["start"], message["end"])
        ]
        answers.append(max(times, default=None))
    return answers


def overlaps(clip: Clip, begin_s: float, end_s: float) -> bool:
    """Tell whether a span of the stream holds some of a clip's voice."""
    return begin_s < clip.voice_end / RATE_HZ and end_s > clip.voice_start / RATE_HZ


def to_float32(samples: Pcm16) -> bytes:
    """Write samples as WhisperLive wants them."""
    return (samples.astype(np.float32) / 32_768).astype("<f4").tobytes()


def to_int16(samples: Pcm16) -> bytes:
    """Write samples as little-endian integers."""
    return samples.astype("<i2").tobytes()


WHISPER_LIVE = Peer(
    name="WhisperLive",
    module="whisper_live",
    hello={
        "uid": "benchmark",
        "language": "en",
        "task": "transcribe",
        "model": "tiny.en",
        "use_vad": True,
        "send_last_n_segments": 10,
        "same_output_threshold": 10,
    },
    encode=to_float32,
    answered_s=last_words_s,
)
SIMPLEST = Peer(
    name="simplest pipeline",
    module="simplest",
    hello=None,
    encode=to_int16,
    answered_s=segment_answers_s,
)
