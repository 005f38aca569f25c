"""Ten times the load of each limit: one client, or many, that ask for too much.

Each goes on for some seconds and then tells how often it asked for too much, and how
often it met the limit as `docs/security.md` has it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from benchmarks.sockets import drain, open_started
from benchmarks.verdict import CHUNK_BYTES
from clients.errors import ConnectionFailed
from clients.sources import RATE_HZ
from stream_erc import events
from stream_erc.limits import LimitsConfig

TIMES = 10
LIMITS = LimitsConfig(
    max_sessions=8,
    max_delay_s=60.0,  # nobody is refused for another's sake
    max_sessions_per_owner=4,
    max_text_kib=64,
    message_burst=100,
    pace_burst_s=10.0,
    reader_timeout_s=4.0,
    max_idle_conversations=8,
)
"""The defaults, but where ten times as much would take minutes."""

FULL, TOO_BIG = 1013, 1009
TOO_MANY_REQUESTS = b"429"
WINDOW_S = 5.0  # in which a session whose socket is gone keeps its place
BREATH_S = 2.0  # between two tries that leave one behind; see `max_sessions_per_owner`


@dataclass(frozen=True, slots=True)
class Abuser:
    """Who asks for too much.

    Attributes:
        urls: Of the server, one a token.
        audio: What its sessions say, as PCM.
        until_s: Wall time at which it stops.
    """

    urls: tuple[str, ...]
    audio: bytes
    until_s: float

    @property
    def is_on(self) -> bool:
        """Whether it goes on."""
        return time.monotonic() < self.until_s


@dataclass(frozen=True, slots=True)
class Met:
    """How often somebody asked for too much, and how often it met the limit."""

    n_asked: int
    n_held: int


Abuse = Callable[[Abuser], Awaitable[Met]]


# --- sessions and sockets -------------------------------------------------------


async def ask_for_sessions(abuser: Abuser) -> Met:
    """Ask with all tokens; those let in speak at the pace of life."""
    n_urls = len(abuser.urls)
    n_let_in = LIMITS.max_sessions if n_urls > 1 else LIMITS.max_sessions_per_owner
    n_asked = TIMES * n_let_in
    tries = (join(abuser, abuser.urls[n % n_urls]) for n in range(n_asked))
    let_in = sum(await asyncio.gather(*tries))
    return Met(n_asked, n_asked - max(0, let_in - n_let_in))


async def join(abuser: Abuser, url: str) -> bool:
    """Speak where this session is let in; tell whether it was."""
    try:
        socket = await open_started(url)
    except ConnectionFailed as error:
        assert error.close_code == FULL, error
        return False
    chunks = cycle(cut(abuser.audio, CHUNK_BYTES))
    listening = asyncio.create_task(drain(socket), name="drain")
    while abuser.is_on:
        await socket.send(next(chunks))
        await asyncio.sleep(CHUNK_BYTES / 2 / RATE_HZ)
    await socket.send(events.encode(events.SessionEnd()))
    await listening
    return True


async def ask_for_sockets(abuser: Abuser) -> Met:
    """Ask for ten times as many sockets a second as one token may open."""
    began_s = time.monotonic()
    answers: list[asyncio.Task[bool]] = []
    while abuser.is_on:
        answers.append(asyncio.create_task(ask_once(abuser.urls[0]), name="ask"))
        due_s = began_s + len(answers) / (TIMES * LIMITS.connections_per_s)
        await asyncio.sleep(due_s - time.monotonic())
    n_let_in = sum(await asyncio.gather(*answers))
    lasted_s = time.monotonic() - began_s
    bound = LIMITS.connection_burst + LIMITS.connections_per_s * lasted_s + 1
    return Met(len(answers), len(answers) - max(0, n_let_in - int(bound)))


async def ask_once(url: str) -> bool:
    """Ask for an upgrade and leave; tell whether it was granted."""
    parts = urlsplit(url)
    request = (
        f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
        f"Sec-WebSocket-Protocol: {events.SUBPROTOCOL}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(request.encode())
        line = await reader.readline()
    finally:
        writer.close()
    return TOO_MANY_REQUESTS not in line


# --- messages and audio ---------------------------------------------------------


async def send_large_frames(abuser: Abuser) -> Met:
    """Send messages of ten times the size."""
    frame = bytes(TIMES * LIMITS.max_frame_kib * 1024)
    n_asked = n_held = 0
    while abuser.is_on:
        socket = await open_started(abuser.urls[0])
        with suppress(ConnectionClosed):
            await socket.send(frame)
        await drain(socket)
        n_asked, n_held = n_asked + 1, n_held + (socket.close_code == TOO_BIG)
        await asyncio.sleep(BREATH_S)
    return Met(n_asked, n_held)


async def send_large_texts(abuser: Abuser) -> Met:
    """Send texts of ten times the size, in one session that goes on."""
    text = json.dumps(
        {"type": "ping", "id": "x" * (TIMES * LIMITS.max_text_kib * 1024)}
    )
    n_asked = n_held = 0
    socket = await open_started(abuser.urls[0])
    while abuser.is_on:
        await socket.send(text)
        told = json.loads(await socket.recv())
        while told["type"] not in {"error", "pong"}:  # `held_back` warns
            told = json.loads(await socket.recv())
        n_asked, n_held = n_asked + 1, n_held + (told.get("code") == "text_too_long")
    await socket.close()
    return Met(n_asked, n_held)


async def send_many_texts(abuser: Abuser) -> Met:
    """Send ten times as many messages a second as are taken."""
    socket = await open_started(abuser.urls[0])
    began_s, n_sent = time.monotonic(), 0

    async def send() -> None:
        nonlocal n_sent
        ping = events.encode(events.Ping(id=1))
        while abuser.is_on:
            await socket.send(ping)
            n_sent += 1
            due_s = began_s + n_sent / (TIMES * LIMITS.messages_per_s)
            await asyncio.sleep(due_s - time.monotonic())

    sending = asyncio.create_task(send(), name="send")
    n_answered = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(abuser.until_s - time.monotonic()):
            async for text in socket:
                n_answered += json.loads(text)["type"] == "pong"
    lasted_s = time.monotonic() - began_s
    sending.cancel()
    await socket.close()
    bound = LIMITS.message_burst + LIMITS.messages_per_s * lasted_s + 1
    return Met(n_sent, n_sent - max(0, n_answered - int(bound)))


async def pour_audio(abuser: Abuser) -> Met:
    """Send speech as fast as it is taken: more than ten times the pace that may be."""
    socket = await open_started(abuser.urls[0])
    began_s = time.monotonic()
    pieces = cut(abuser.audio, LIMITS.max_frame_kib * 1024)

    async def send() -> None:
        while True:
            for piece in pieces:
                await socket.send(piece)

    sending = asyncio.create_task(send(), name="send")
    heard_s, is_told = 0.0, False
    with suppress(TimeoutError):
        async with asyncio.timeout(abuser.until_s - time.monotonic()):
            async for text in socket:
                message = json.loads(text)
                heard_s = message["time_ms"] / 1000
                is_told = is_told or message.get("code") == "held_back"
    lasted_s = time.monotonic() - began_s
    sending.cancel()
    socket.transport.abort()
    bound_s = LIMITS.pace_burst_s + LIMITS.max_pace * lasted_s
    return Met(1, int(is_told and heard_s <= bound_s))


# --- what is kept ---------------------------------------------------------------


async def read_nothing(abuser: Abuser) -> Met:
    """Cause ten times the answers that are kept for a client, and read none."""
    identifier = "x" * (LIMITS.max_text_kib * 512)
    ping = events.encode(events.Ping(id=identifier))
    n_pings = TIMES * LIMITS.max_kept_kib * 1024 // len(identifier)
    n_asked = n_held = 0
    while abuser.is_on:
        socket = await open_started(abuser.urls[0])
        sending = asyncio.create_task(send_all(socket, ping, n_pings), name="send")
        await asyncio.sleep(2 * LIMITS.reader_timeout_s)
        await drain(socket)
        await sending
        n_asked, n_held = n_asked + 1, n_held + (socket.close_code == FULL)
    return Met(n_asked, n_held)


async def send_all(socket: ClientConnection, text: str, n_times: int) -> None:
    """Send it so many times, or until the server closes."""
    with suppress(ConnectionClosed):
        for _ in range(n_times):
            await socket.send(text)


async def leave_conversations(abuser: Abuser) -> Met:
    """Leave ten times as many conversations behind as are kept."""
    n_asked = TIMES * LIMITS.max_idle_conversations
    for number in range(n_asked):
        socket = await open_started(abuser.urls[0], f"room {number}")
        await socket.send(events.encode(events.SessionEnd()))
        await drain(socket)
    return Met(n_asked, n_asked)


ABUSES: dict[str, Abuse] = {
    "max_sessions_per_owner": ask_for_sessions,
    "max_sessions": ask_for_sessions,
    "connections_per_s": ask_for_sockets,
    "max_frame_kib": send_large_frames,
    "max_text_kib": send_large_texts,
    "messages_per_s": send_many_texts,
    "max_pace": pour_audio,
    "reader_timeout_s": read_nothing,
    "max_idle_conversations": leave_conversations,
}
"""By the setting of `[limits]` that each is about."""


def cut(data: bytes, n_bytes: int) -> list[bytes]:
    """Cut into pieces; the last may be shorter."""
    return [data[at : at + n_bytes] for at in range(0, len(data), n_bytes)]
