"""One bare session: what a crowd of clients on one small machine can afford.

`clients.connection` keeps what it sent, waits while the server is behind and comes back
where a socket breaks. A hundred of them would measure themselves. Here a chunk of audio
is one write to the transport that never waits, so that the schedule holds whatever the
server does; what the server does not take yet waits in the transport and counts as
backlog. A session that breaks off is lost.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from clients.arrival import Arrival, explain_close, parse
from clients.errors import ConnectionFailed, ConnectionLost
from clients.opening import OPEN_TIMEOUT_S, open_socket
from clients.schedule import SendTimes
from clients.sources import FORMAT, RATE_HZ
from stream_erc import events

SAMPLE_BYTES = 2


class Wire:
    """An open session; made by `open_wire`.

    Attributes:
        started: What the server said when it opened the session.
        send_times: When each sample was handed to the transport.
        backlog_ms: Of each arrival: how much more audio had been sent by then than the
            server had worked on when it caused the message.
    """

    started: events.SessionStarted
    send_times: SendTimes
    backlog_ms: list[float]

    def __init__(self, socket: ClientConnection):
        """Take over a socket; `open` asks for the session."""
        self.send_times = SendTimes(SAMPLE_BYTES * RATE_HZ)
        self.backlog_ms = []
        self._socket = socket

    async def open(self, start: events.SessionStart) -> None:
        """Ask for the session and wait for the answer.

        Raises:
            ConnectionFailed: If the server refuses it, or is too slow.
        """
        self._write(Opcode.TEXT, events.encode(start).encode())
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                event = parse(str(await self._socket.recv()))
        except TimeoutError as error:
            raise ConnectionFailed(
                "timeout", f"no session.started within {OPEN_TIMEOUT_S:.0f} s"
            ) from error
        except ConnectionClosed:
            event = None
        if not isinstance(event, events.SessionStarted):
            await self._socket.wait_closed()
            failure = event if isinstance(event, events.Failure) else None
            lost = self._explain(failure)
            raise ConnectionFailed(lost.code, str(lost), lost.close_code)
        self.started = event

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over what the server sends, until `session.ended`.

        Raises:
            ConnectionLost: If the session breaks off before.
        """
        failure: events.Failure | None = None
        try:
            while True:
                text = str(await self._socket.recv())
                at_s = time.monotonic()
                event = parse(text)
                assert not isinstance(event, events.SessionResumed)
                if event is not None:
                    self.backlog_ms.append(self.send_times.sent_ms - event.time_ms)
                yield Arrival(text, event, at_s)
                if isinstance(event, events.SessionEnded):
                    return
                if isinstance(event, events.Failure):
                    failure = event
        except ConnectionClosed:
            raise self._explain(failure) from None

    async def send_audio(self, audio: bytes) -> None:
        """Send samples; never waits."""
        self.send_times.record(len(audio), time.monotonic())
        self._write(Opcode.BINARY, audio)

    async def set_speaker(self, speaker: str) -> None:
        """Say whose the audio after this is."""
        self._tell(events.SpeakerSet(speaker=speaker))

    async def flush_turn(self) -> None:
        """End the running turn now."""
        self._tell(events.TurnFlush())

    async def mark(self, id: str | int) -> None:
        """Ask for a `Marker` once the audio before this is done with."""
        self._tell(events.MarkerSet(id=id))

    async def end(self) -> None:
        """Say that this was all."""
        self._tell(events.SessionEnd())

    def _tell(self, message: events.ClientMessage) -> None:
        self._write(Opcode.TEXT, events.encode(message).encode())

    def _write(self, opcode: Opcode, content: bytes) -> None:
        """Write past the library, whose `send` waits while the server is behind."""
        self._socket.transport.write(Frame(opcode, content).serialize(mask=True))

    def _explain(self, failure: events.Failure | None) -> ConnectionLost:
        return explain_close(
            failure, self._socket.close_code, self._socket.close_reason
        )


@asynccontextmanager
async def open_wire(
    url: str,
    *,
    speaker: str = "speaker",
    conversation_id: str | None = None,
    partials: bool = True,
) -> AsyncIterator[Wire]:
    """Open a session; leaving the block abandons it.

    Raises:
        ConnectionFailed: If there is no server, or it refuses the session.
    """
    socket = await open_socket(url)
    try:
        wire = Wire(socket)
        await wire.open(
            events.SessionStart(
                audio=FORMAT,
                speaker=speaker,
                conversation_id=conversation_id,
                partials=partials,
            )
        )
        yield wire
    finally:
        await socket.close()
