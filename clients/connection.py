"""Audio -> typed events: one session on a stream-erc server.

    audio = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
    async with connect("ws://127.0.0.1:8765/v1/stream", audio=audio) as connection:
        await connection.send_audio(pcm)
        await connection.end()
        async for event in connection:
            if isinstance(event, EmotionFinal):
                print(event.turn, event.label)

Where its socket breaks, the session goes on upon another one by itself; where the
server shuts down, at another server, if one answers at the same address.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from websockets.asyncio.client import ClientConnection

from clients.arrival import Arrival
from clients.errors import ConnectionFailed, ConnectionLost
from clients.link import Link
from clients.opening import OPEN_TIMEOUT_S, open_socket, route
from clients.schedule import SendTimes
from clients.tape import MAX_BYTES, Tape
from stream_erc import events
from stream_erc.events import AudioFormat, Modality, ServerEvent, SessionStarted

__all__ = ["Arrival", "Connection", "connect"]

LEAVE_TIMEOUT_S = 1.0  # the window sees to a server that needs longer
SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1}


class Connection:
    """An open session; made by `connect`.

    Iterating gives every event the server sent, `session.started` first, until
    `session.ended`; `arrivals()` gives the same with the JSON and the wall time. Both
    read from one queue, so use one of them, in one task.

    Where another server has taken the session, turns are counted on and times go on; a
    second `session.started` comes, and a `warning` of this client's own: `moved`, or
    `moved_anew` where that server does not know what was said before.

    Attributes:
        started: What the server said when it opened the session.
        send_times: When each sample was sent.
    """

    started: SessionStarted
    send_times: SendTimes

    def __init__(
        self,
        socket: ClientConnection,
        dial: Callable[[bool], Awaitable[ClientConnection]],
        start: events.SessionStart,
        max_kept_bytes: int = MAX_BYTES,
    ):
        """Begin to read from `socket`; `dial` opens another one where it breaks.

        `dial` is told whether the session is there already.
        """
        audio = start.audio
        sample_bytes = SAMPLE_BYTES.get(audio.encoding, 1) * audio.channels
        tape = Tape(sample_bytes, audio.sample_rate, max_kept_bytes)
        self.send_times = SendTimes(sample_bytes * audio.sample_rate)
        self._link = Link(socket, dial, tape, start)

    @property
    def n_resumes(self) -> int:
        """How often the socket broke and was replaced."""
        return self._link.n_resumes

    @property
    def n_moves(self) -> int:
        """How often the server shut down and another one took the session."""
        return self._link.n_moves

    async def send_audio(self, audio: bytes | memoryview) -> None:
        """Send raw audio as declared, cut anywhere; waits while the server is behind.

        Raises:
            ConnectionLost: If the session is over.
        """
        whole = memoryview(audio).cast("B")
        n_bytes = self.started.limits.max_frame_bytes
        for begin in range(0, len(whole), n_bytes):
            frame = whole[begin : begin + n_bytes]
            self.send_times.record(len(frame), time.monotonic())
            await self._link.send(bytes(frame))

    async def set_speaker(self, speaker: str) -> None:
        """Say that the audio after this is another speaker's; ends the running turn."""
        await self._tell(events.SpeakerSet(speaker=speaker))

    async def add_context(self, speaker: str, text: str) -> None:
        """Add a turn that was not heard: a voice agent's reply, a line of a chat."""
        await self._tell(events.ContextAdd(speaker=speaker, text=text))

    async def flush_turn(self) -> None:
        """End the running turn now."""
        await self._tell(events.TurnFlush())

    async def mark(self, id: str | int) -> None:
        """Ask for a `Marker` once the audio before this is done with."""
        await self._tell(events.MarkerSet(id=id))

    async def ping(self, id: str | int) -> None:
        """Ask for a `Pong` at once."""
        await self._tell(events.Ping(id=id))

    async def end(self) -> None:
        """Say that this was all; the finals and `session.ended` are still to come."""
        await self._tell(events.SessionEnd())

    async def leave(self) -> None:
        """End the session and do without what is still to come.

        Merely closed, the server would keep its place for the resume window.
        """
        with suppress(ConnectionLost, TimeoutError):
            async with asyncio.timeout(LEAVE_TIMEOUT_S):
                await self.end()
                async for _ in self.arrivals():
                    pass

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        """Iterate over the events whose type this version knows."""
        return self._events()

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over everything the server sends, until `session.ended`.

        Raises:
            ConnectionLost: If the session breaks off before that for good, or what
                comes is not the protocol.
        """
        async for arrival in self._link.arrivals():
            yield arrival

    async def _events(self) -> AsyncIterator[ServerEvent]:
        async for arrival in self.arrivals():
            if arrival.event is not None:
                yield arrival.event

    async def _open(self) -> None:
        """Ask for the session and wait until the server has opened it.

        Raises:
            ConnectionFailed: If it has not.
        """
        await self._link.start()
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                self.started = await self._link.opened
        except TimeoutError as error:
            raise ConnectionFailed(
                "timeout", f"no session.started within {OPEN_TIMEOUT_S:.0f} s"
            ) from error
        except ConnectionLost as error:
            raise ConnectionFailed(error.code, str(error), error.close_code) from error

    async def _tell(self, message: events.ClientMessage) -> None:
        await self._link.tell(message)


@asynccontextmanager
async def connect(
    url: str,
    *,
    audio: AudioFormat,
    speaker: str = "speaker",
    conversation_id: str | None = None,
    language: str | None = None,
    partials: bool = True,
    observe: bool = False,
    modalities: Sequence[Modality] = ("audio", "text"),
    token: str | None = None,
    ca: Path | None = None,
    max_kept_bytes: int = MAX_BYTES,
) -> AsyncIterator[Connection]:
    """Open a session; leaving the block without `end()` abandons it.

    Where its socket breaks, or its server shuts down, it goes on at `url` by itself.

    Args:
        url: ws[s]://HOST:PORT/v1/stream; what `route` adds is for load balancers.
        audio: What the bytes given to `send_audio` hold.
        speaker: Who speaks first.
        conversation_id: Sessions with the same one share one context.
        language: Of the speech; None: the server's default.
        partials: Whether words and emotions come while a turn is still running.
        observe: Whether the other participants' turns come as `ConversationTurn`.
        modalities: What the emotion may rest on.
        token: For a server that wants one.
        ca: PEM file of who vouches for the server; None: whom the system trusts.
        max_kept_bytes: Of what was sent, to send it again where a socket breaks.

    Raises:
        ConnectionFailed: If there is no server, or it refuses the session.
    """
    start = events.SessionStart(
        audio=audio,
        speaker=speaker,
        conversation_id=conversation_id,
        language=language,
        partials=partials,
        observe=observe,
        modalities=tuple(modalities),
    )
    dial = partial(open_socket, route(url, conversation_id), token, ca)
    connection = Connection(await dial(False), dial, start, max_kept_bytes)
    try:
        await connection._open()
        yield connection
    finally:
        await connection._link.close()
