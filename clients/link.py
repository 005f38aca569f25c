"""A session's sockets, one after another, as if they were one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from clients.arrival import Arrival, Numbered, explain_close, parse
from clients.errors import ConnectionFailed, ConnectionLost
from clients.moving import Itinerary, require_opened, tell_move
from clients.returning import ask_back, delays
from clients.tape import Tape
from stream_erc import events
from stream_erc.events import SessionEnded, SessionStarted

MOVE_S = 30.0
"""So long another server is looked for where one shuts down."""

GOING_AWAY = 1001
"""Close code of a server that shuts down."""

FINAL_CODES = (1002, 1008, 1009, 1013)
"""Close codes with which the server says that it will not have us back."""


class Link:
    """Sends in order, reads in order, and comes back by itself where a socket breaks.

    Where the server shuts down, it goes on at another one.

    Args:
        socket: The first one, open.
        dial: Opens another one, told whether the session is there already.
        tape: Keeps what was sent.
        start: What the session is asked for.

    Attributes:
        opened: The server's answer to `session.start`.
        n_resumes: How often a socket was replaced.
    """

    def __init__(
        self,
        socket: ClientConnection,
        dial: Callable[[bool], Awaitable[ClientConnection]],
        tape: Tape,
        start: events.SessionStart,
    ) -> None:
        self.n_resumes = 0
        self.opened: asyncio.Future[SessionStarted] = (
            asyncio.get_running_loop().create_future()
        )
        self._socket = socket  # the newest
        self._dial = dial
        self._tape = tape
        self._itinerary = Itinerary(start)
        self._started: SessionStarted | None = None  # by the server that has it now
        self._ended: SessionEnded | None = None  # by one that shut down
        self._said_end = False
        self._last_seq = -1
        self._can_send = asyncio.Event()
        self._can_send.set()
        self._turnstile = asyncio.Lock()  # one message after another
        self._repeating: asyncio.Task[None] | None = None
        # Unbounded: events are small and few, and a caller that sends all its audio
        # before it reads would otherwise wait for the server, and the server for it.
        self._arrivals: asyncio.Queue[Arrival | None] = asyncio.Queue()
        self._reader = asyncio.create_task(self._read(), name="read events")
        self._reader.add_done_callback(self._finish_reading)

    @property
    def n_moves(self) -> int:
        """How often another server took the session."""
        return self._itinerary.n_moves

    async def start(self) -> None:
        """Ask for the session; `opened` tells what came of it."""
        with suppress(ConnectionClosed):
            await self._socket.send(events.encode(self._itinerary.start))

    async def tell(self, message: events.ClientMessage) -> None:
        """Send a message as `send` does."""
        await self.send(events.encode(message), message)

    async def send(
        self, message: bytes | str, told: events.ClientMessage | None = None
    ) -> None:
        """Send, or keep for the next socket; waits where there is no room.

        Args:
            message: Audio, or JSON.
            told: What the JSON says.

        Raises:
            ConnectionLost: If the session is over.
        """
        while self._tape.is_full:
            self._raise_if_over()
            await self._can_send.wait()
        async with self._turnstile:
            self._raise_if_over()
            self._tape.add(message)
            if isinstance(told, events.SpeakerSet):
                self._itinerary.note_speaker(self._tape.n_texts, told.speaker)
            self._said_end |= isinstance(told, events.SessionEnd)
            if not self._can_send.is_set():
                return
            try:
                await self._socket.send(message)
            except ConnectionClosed:
                if self._is_resumable or self._socket.close_code == GOING_AWAY:
                    return
                await asyncio.wait([self._reader])  # it knows what the server said last
                self._raise_if_over()

    async def arrivals(self) -> AsyncIterator[Arrival]:
        """Iterate over everything the server sends, until `session.ended`.

        Raises:
            ConnectionLost: If the session breaks off before.
        """
        while (arrival := await self._arrivals.get()) is not None:
            yield arrival
        self._arrivals.put_nowait(None)  # whoever asks again gets the same answer
        self._raise_loss()

    async def close(self) -> None:
        """Leave; nothing more is sent or read."""
        self.opened.cancel()
        try:
            await self._socket.close()  # the reader clears the way for the answer
        finally:
            self._reader.cancel()
            if self._repeating is not None:
                self._repeating.cancel()

    # --- reading --------------------------------------------------------------

    async def _read(self) -> None:
        """Queue what comes until the session ends.

        Raises:
            ConnectionLost: Unless it ended as it should.
        """
        while (drop := await self._listen()) is not None:
            self._can_send.clear()
            self._tape.hold()
            if self._repeating is not None:
                self._repeating.cancel()
            await self._come_back(drop)

    async def _listen(self) -> ConnectionLost | None:
        """Queue what comes until the socket closes.

        Returns:
            None once the session has ended, else why there must be another socket.

        Raises:
            ConnectionLost: If there cannot be one.
        """
        failure: events.Failure | None = None
        ended: Arrival | None = None
        with suppress(ConnectionClosed):
            while True:
                text = await self._socket.recv()
                if isinstance(text, bytes):
                    continue  # no server of this version sends any
                arrival = self._take(text)
                if arrival is None:
                    continue
                event = arrival.event
                if isinstance(event, SessionEnded):
                    ended = arrival  # was that all? the close code tells
                    continue
                self._arrivals.put_nowait(arrival)
                if isinstance(event, events.Failure):
                    # Before the session is open even a recoverable one is a refusal:
                    # the one message that could be wrong is `session.start`.
                    if not event.recoverable or not self.opened.done():
                        failure = event
                    if event.recoverable and not self.opened.done():
                        break
        close_code = self._socket.close_code
        loss = explain_close(failure, close_code, self._socket.close_reason)
        if ended is not None:
            assert isinstance(ended.event, SessionEnded)
            all_ms = self._tape.duration_ms
            is_whole = self._said_end and self._itinerary.is_whole(ended.event, all_ms)
            if close_code == GOING_AWAY and not is_whole:
                self._ended = ended.event
                return loss
            self._arrivals.put_nowait(ended)
            if close_code in (1000, GOING_AWAY, 1006):  # no answer is no loss
                return None
        is_final = failure is not None or ended or close_code in FINAL_CODES
        if is_final or not self._is_resumable:
            raise loss
        return loss

    def _take(self, text: str) -> Arrival | None:
        """Note what a message tells; None for one that was there before."""
        received_s = time.monotonic()
        event = parse(text)
        assert not isinstance(event, events.SessionResumed)
        seq = (event or msgspec.json.decode(text, type=Numbered)).seq
        if 0 <= seq <= self._last_seq:
            return None
        self._last_seq = max(self._last_seq, seq)
        if event is not None:
            self._tape.confirm(event.time_ms)
        if isinstance(event, SessionStarted):
            self._started = event
            if not self.opened.done():
                self.opened.set_result(event)
        if self.n_moves:
            text = self._itinerary.offset.shift(text)
            event = parse(text)
            assert not isinstance(event, events.SessionResumed)
        return Arrival(text, event, received_s)

    # --- coming back ----------------------------------------------------------

    @property
    def _is_resumable(self) -> bool:
        return self._started is not None and self._started.resume_token is not None

    async def _come_back(self, drop: ConnectionLost) -> None:
        """Go on with the session on a new socket, or at another server.

        Raises:
            ConnectionLost: If the server does not let us, or not within its window.
        """
        assert self._started is not None
        attempt, window_s = self._resume, self._started.limits.resume_window_s
        if self._ended is not None:
            attempt, window_s = self._move, MOVE_S
        try:
            async with asyncio.timeout(window_s):
                for delay_s in delays():
                    await asyncio.sleep(delay_s)
                    try:
                        await attempt()
                    except (ConnectionFailed, ConnectionClosed):
                        continue
                    return
        except TimeoutError:
            raise ConnectionLost(
                "gave_up", f"{drop}; no way back within {window_s:g} s", drop.close_code
            ) from drop

    async def _resume(self) -> None:
        """Try once.

        Raises:
            ConnectionFailed: If there is no server.
            ConnectionClosed: If the new socket breaks, too.
            ConnectionLost: If the session cannot go on.
        """
        started = self._started
        assert started is not None
        socket = await self._dial(True)
        try:
            answer = await ask_back(socket, started, self._last_seq)
            had = answer.samples_received, answer.client_messages_received
            self._tape.after(*had)  # or this is the end
        except BaseException:
            socket.transport.abort()
            raise
        self.n_resumes += 1
        self._talk_on(socket, *had)

    async def _move(self) -> None:
        """Try once to go on at another server, with what this one has not heard.

        Raises:
            ConnectionFailed: If there is none, or it has no room.
            ConnectionClosed: If the new socket breaks, too.
            ConnectionLost: If the session cannot go on.
        """
        ended, itinerary = self._ended, self._itinerary
        assert ended is not None
        n_samples = self._tape.samples_at(ended.audio_ms - itinerary.offset.time_ms)
        n_texts = ended.client_messages_received
        socket = await self._dial(False)
        try:
            await socket.send(events.encode(itinerary.start_after(n_texts)))
            text = await socket.recv()
            started = require_opened(parse(text) if isinstance(text, str) else None)
            rest = self._tape.cut(n_samples, n_texts)  # or this is the end
        except BaseException:
            socket.transport.abort()
            raise
        self._tape, self._ended, self._last_seq = rest, None, -1
        itinerary.move(ended)
        moved = tell_move(itinerary.offset, started)
        for told in (str(text), events.encode(moved)):
            if arrival := self._take(told):
                self._arrivals.put_nowait(arrival)
        self._talk_on(socket, 0, 1)

    def _talk_on(self, socket: ClientConnection, n_samples: int, n_texts: int) -> None:
        """Go on upon a socket, with what the server there lacks."""
        self._socket = socket
        repeating = self._repeat(socket, n_samples, n_texts)
        self._repeating = asyncio.create_task(repeating, name="repeat")

    async def _repeat(
        self, socket: ClientConnection, n_samples: int, n_texts: int
    ) -> None:
        """Send what the server lacks, then let others send again."""
        async with self._turnstile:
            with suppress(ConnectionClosed):  # the reader sees to it
                for message in self._tape.after(n_samples, n_texts):
                    await socket.send(message)
                self._tape.release()
                self._can_send.set()

    # --- the end --------------------------------------------------------------

    def _raise_if_over(self) -> None:
        if self._reader.done():
            self._raise_loss()
            raise ConnectionLost(
                "ended", "the session has ended; nothing more can be sent", 1000
            )

    def _raise_loss(self) -> None:
        """Raise what ended the reading, unless that was `session.ended` or `close`."""
        if not self._reader.cancelled():
            self._reader.result()

    def _finish_reading(self, reader: asyncio.Task[None]) -> None:
        """Let those who wait know that nothing more will come."""
        self._arrivals.put_nowait(None)
        self._can_send.set()
        if not reader.cancelled():
            error = reader.exception()
            if error is not None and not self.opened.done():
                self.opened.set_exception(error)
