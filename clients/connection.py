"""Audio -> typed events: one session on a stream-erc server.

audio = AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
async with connect("ws://127.0.0.1:8765/v1/stream", audio=audio) as connection:
    await connection.send_audio(pcm)
    await connection.end()
    async for event in connection:
        if isinstance(event, EmotionFinal):
            print(event.turn, event.label)
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.errors import ConnectionFailed, ConnectionLost
from clients.opening import OPEN_TIMEOUT_S, open_socket, without_query
from clients.schedule import SendTimes
from stream_erc import events
from stream_erc.events import AudioFormat, Modality, ServerEvent, SessionStarted

SAMPLE_BYTES = {"pcm_s16le": 2, "pcm_f32le": 4, "mulaw": 1}


@dataclass(frozen=True, slots=True)
class Arrival:
    """One message of the server.

    Attributes:
        text: The JSON, unchanged.
        event: The same, typed; None where this version does not know the type.
        received_s: `time.monotonic()` when it was taken from the socket.
    """

    text: str
    event: ServerEvent | None
    received_s: float


class Connection:
    """An open session; made by `connect`.

    Iterating gives every event the server sent, `session.started` first, until
    `session.ended`; `arrivals()` gives the same with the JSON and the wall time. Both
    read from one queue, so use one of them, in one task.

    Attributes:
        started: What the server said when it opened the session.
        send_times: When each sample was sent.
    """

    started: SessionStarted
    send_times: SendTimes

    def __init__(self, socket: ClientConnection, audio: AudioFormat):
        """Begin to read from `socket`."""
        self.send_times = SendTimes(
            SAMPLE_BYTES.get(audio.encoding, 1) * audio.channels * audio.sample_rate
        )
        self._socket = socket
        # Unbounded: events are small and few, and a caller that sends all its audio
        # before it reads would otherwise wait for the server, and the server for it.
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._opened: asyncio.Future[SessionStarted] = (
            asyncio.get_running_loop().create_future()
        )
        self._reader = asyncio.create_task(self._read(), name="read events")
        self._reader.add_done_callback(self._finish_reading)

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
            await self._send(bytes(frame))

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

    def __aiter__(self) -> AsyncIterator[ServerEvent]:
        """Iterate over the events whose type this version knows."""
        return self._events()

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over everything the server sends, until `session.ended`.

        Raises:
            ConnectionLost: If the socket closes before that, or what comes is not
                the protocol.
        """
        while (arrival := await self._arrivals.get()) is not None:
            yield arrival
        self._arrivals.put_nowait(None)  # whoever asks again gets the same answer
        self._raise_loss()

    async def _events(self) -> AsyncIterator[ServerEvent]:
        async for arrival in self.arrivals():
            if arrival.event is not None:
                yield arrival.event

    async def _open(self, start: events.SessionStart) -> None:
        """Ask for the session and wait until the server has opened it.

        Raises:
            ConnectionFailed: If it has not.
        """
        with suppress(ConnectionLost):  # `_opened` tells the same
            await self._tell(start)
        try:
            self.started = await self._opened
        except ConnectionLost as error:
            raise ConnectionFailed(error.code, str(error), error.close_code) from error

    async def _close(self) -> None:
        self._opened.cancel()
        try:
            await self._socket.close()  # the reader clears the way for the answer
        finally:
            self._reader.cancel()

    async def _tell(self, message: events.ClientMessage) -> None:
        await self._send(events.encode(message))

    async def _send(self, message: str | bytes) -> None:
        try:
            await self._socket.send(message)
        except ConnectionClosed as error:
            await asyncio.wait([self._reader])  # it knows what the server said last
            self._raise_loss()
            raise ConnectionLost(
                "ended", "the session has ended; nothing more can be sent", 1000
            ) from error

    async def _read(self) -> None:
        """Queue what comes until the socket closes.

        Raises:
            ConnectionLost: Unless the session ended as it should.
        """
        failure: events.Failure | None = None
        ended = False
        while True:
            try:
                text = await self._socket.recv()
            except ConnectionClosed:
                break
            received_s = time.monotonic()
            if isinstance(text, bytes):
                continue  # no server of this version sends any
            event = parse(text)
            if isinstance(event, SessionStarted) and not self._opened.done():
                self._opened.set_result(event)
            elif isinstance(event, events.Failure):
                # Before the session is open even a recoverable one is a refusal: the
                # one message that could be wrong is `session.start`.
                if not event.recoverable or not self._opened.done():
                    failure = event
                if event.recoverable and not self._opened.done():
                    break
            ended = ended or isinstance(event, events.SessionEnded)
            self._arrivals.put_nowait(Arrival(text, event, received_s))
        close_code = self._socket.close_code
        if not (ended and close_code == 1000):
            raise explain_close(failure, close_code, self._socket.close_reason)

    def _raise_loss(self) -> None:
        """Raise what ended the reading, unless that was `session.ended` or `_close`."""
        if not self._reader.cancelled():
            self._reader.result()

    def _finish_reading(self, reader: asyncio.Task[None]) -> None:
        """Let those who wait know that nothing more will come."""
        self._arrivals.put_nowait(None)
        if not reader.cancelled():
            error = reader.exception()
            if error is not None and not self._opened.done():
                self._opened.set_exception(error)


@asynccontextmanager
async def connect(
    url: str,
    *,
    audio: AudioFormat,
    speaker: str = "speaker",
    conversation_id: str | None = None,
    language: str | None = None,
    partials: bool = True,
    modalities: Sequence[Modality] = ("audio", "text"),
    token: str | None = None,
    ca: Path | None = None,
) -> AsyncIterator[Connection]:
    """Open a session; leaving the block without `end()` abandons it.

    Args:
        url: ws[s]://HOST:PORT/v1/stream.
        audio: What the bytes given to `send_audio` hold.
        speaker: Who speaks first.
        conversation_id: Sessions with the same one share one context.
        language: Of the speech; None: the server's default.
        partials: Whether words and emotions come while a turn is still running.
        modalities: What the emotion may rest on.
        token: For a server that wants one.
        ca: PEM file of whoever vouches for the server; None: whom the system trusts.

    Raises:
        ConnectionFailed: If there is no server, or it refuses the session.
    """
    start = events.SessionStart(
        audio=audio,
        speaker=speaker,
        conversation_id=conversation_id,
        language=language,
        partials=partials,
        modalities=tuple(modalities),
    )
    connection = Connection(await open_socket(url, token, ca), audio)
    try:
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                await connection._open(start)
        except TimeoutError as error:
            raise ConnectionFailed(
                "timeout",
                f"{without_query(url)}: no session.started "
                f"within {OPEN_TIMEOUT_S:.0f} s",
            ) from error
        yield connection
    finally:
        await connection._close()


def parse(text: str) -> ServerEvent | None:
    """Read a message; None for a type that this version does not know.

    Raises:
        ConnectionLost: If it is not of the protocol.
    """
    try:
        return events.parse_server(text)
    except msgspec.MsgspecError as error:
        raise ConnectionLost(
            "not_stream_erc",
            f"the server sent what is not {events.SUBPROTOCOL}: {error}",
        ) from error


def explain_close(
    failure: events.Failure | None, close_code: int | None, reason: str | None
) -> ConnectionLost:
    """Make the error for a session that did not end as it should."""
    if failure is not None:
        return ConnectionLost(failure.code, failure.message, close_code)
    if close_code == 1001:
        return ConnectionLost("closed", "the server shut down", close_code)
    told = f": {reason}" if reason else ""
    return ConnectionLost(
        "closed",
        f"the connection closed before session.ended (code {close_code}{told})",
        close_code,
    )
