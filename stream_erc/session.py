"""One client: the tasks between its socket, the listening thread and the engine."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosedOK

from . import events
from .config import ServerConfig
from .director import Action, Director, Forget
from .engine import Engine, Lane, Origin, Request, Result
from .errors import BadMessage, Overloaded, SessionError
from .flow import SAMPLE_RATE_HZ
from .listener import Listener, Placed
from .metrics import Metrics
from .pipeline import instruct
from .reading import parse_client, refuse

INBOX_MESSAGES = 16
"""Messages read ahead of the listener; then the socket is not read any more."""

MAX_UNFINISHED = 8
"""Ended turns without finals before a client that replays fast is held back."""

Work = Callable[[], list[Placed]]
"""What the listener does for a message or for some audio, in a thread."""

Item = bytes | events.ClientMessage
"""What is read of the socket and takes its place in the stream."""


class Vanished(Exception):
    """The client closed the socket without `session.end`."""


class Outlet:
    """Where events leave: numbers them, and does not wait for ever.

    Args:
        socket: The client.
        timeout_s: How long one event may wait for a client that does not read.
        metrics: Counts what was sent.
    """

    def __init__(
        self, socket: ServerConnection, timeout_s: float, metrics: Metrics
    ) -> None:
        self._socket = socket
        self._timeout_s = timeout_s
        self._metrics = metrics
        self._n_sent = 0
        self._time_ms = 0

    @property
    def time_ms(self) -> int:
        """The audio clock of the last event."""
        return self._time_ms

    async def send(self, event: events.Event) -> None:
        """Send one event.

        Raises:
            Overloaded: If the client does not read.
            ConnectionClosed: If it is gone.
        """
        text = events.encode(events.numbered(event, self._n_sent))
        self._n_sent += 1
        self._time_ms = event.time_ms
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._socket.send(text)
        except TimeoutError:
            raise Overloaded(
                "slow_reader",
                f"expected events to be read within {self._timeout_s:g} s",
            ) from None
        self._metrics.count(event)


def failure(error: SessionError, time_ms: int) -> events.Failure:
    """Tell the client of an error."""
    return events.Failure(
        time_ms=time_ms,
        code=error.code,
        message=str(error),
        recoverable=error.is_recoverable,
    )


class Session:
    """Runs one client from `session.started` to `session.ended`.

    Args:
        session_id: Its identifier.
        socket: The client.
        outlet: Where events leave for it.
        listener: Called in `threads`, one call at a time.
        director: Called in the event loop alone.
        engine: Shared by all sessions.
        threads: Where the listener runs.
        config: Bounds.
        metrics: Shared by all sessions.
    """

    def __init__(
        self,
        session_id: str,
        socket: ServerConnection,
        outlet: Outlet,
        listener: Listener,
        director: Director,
        *,
        engine: Engine,
        threads: Executor,
        config: ServerConfig,
        metrics: Metrics,
    ) -> None:
        self._session_id = session_id
        self._socket = socket
        self._outlet = outlet
        self._listener = listener
        self._director = director
        self._engine = engine
        self._threads = threads
        self._config = config
        self._metrics = metrics
        self._inbox: asyncio.Queue[Item] = asyncio.Queue(INBOX_MESSAGES)
        self._held: Item | None = None  # read from the inbox, not yet worked on
        self._outbox: asyncio.Queue[events.Event | None] = asyncio.Queue()
        self._pending: dict[Origin, set[Future[Result]]] = defaultdict(set)
        self._moved = asyncio.Event()  # something left the outbox or was finished
        self._broken: asyncio.Future[None] = asyncio.Future()  # fails with a request
        self._ending: asyncio.Future[None] = asyncio.Future()  # done: shut down

    @property
    def session_id(self) -> str:
        """Its identifier."""
        return self._session_id

    @property
    def time_ms(self) -> int:
        """The audio clock."""
        return self._director.time_ms

    async def run(self, opening: Sequence[events.Event]) -> None:
        """Serve the client until it ends the session, vanishes or breaks a rule.

        Args:
            opening: Sent first.

        Raises:
            ExceptionGroup: Of `SessionError`, `Vanished`, `ConnectionClosed`, and of
                whatever a bug raised.
        """
        for event in opening:
            self._send(event)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._read(), name="read")
                group.create_task(self._listen(), name="listen")
                group.create_task(self._write(), name="write")
                group.create_task(self._watch(), name="watch")
        finally:
            self._engine.cancel(self._session_id)

    def end(self) -> None:
        """Stop reading and finish what was heard: the server shuts down."""
        if not self._ending.done():
            self._ending.set_result(None)

    # --- in -------------------------------------------------------------------

    async def _read(self) -> None:
        is_last = False
        while not is_last:
            message = await self._receive()
            if message is None:
                await self._inbox.put(events.SessionEnd())
                is_last = True
            elif isinstance(message, bytes):
                await self._inbox.put(message)
            else:
                is_last = await self._take(message)
        await self._stay()

    async def _stay(self) -> None:
        """Notice a client that vanishes while its last finals are on their way."""
        closing = asyncio.create_task(self._socket.wait_closed(), name="closing")
        try:
            await asyncio.wait(
                (closing, self._broken), return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            closing.cancel()
        if not self._broken.done():
            raise Vanished

    async def _receive(self) -> str | bytes | None:
        """Give the next message; None once the server shuts down."""
        if self._ending.done():  # also where the next message is always there
            return None
        receiving = asyncio.create_task(self._socket.recv(), name="receive")
        try:
            await asyncio.wait(
                (receiving, self._ending), return_when=asyncio.FIRST_COMPLETED
            )
            return receiving.result() if receiving.done() else None
        except ConnectionClosedOK:
            raise Vanished from None
        finally:
            receiving.cancel()

    async def _take(self, text: str) -> bool:
        """Take a text message; tell whether it was the last."""
        await self._wait_for_reading()
        try:
            message, unknown = parse_client(text)
        except BadMessage as error:
            self._send(failure(error, self.time_ms))
            return False
        for event in warn_of(unknown, self.time_ms):
            self._send(event)
        match message:
            case events.Ping(id=identifier):
                self._send(events.Pong(time_ms=self.time_ms, id=identifier))
            case events.SessionStart() | events.SessionResume():
                second = refuse("already_started", "expected one session.start")
                self._send(failure(second, self.time_ms))
            case _:
                await self._inbox.put(message)
        return isinstance(message, events.SessionEnd)

    async def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        is_last = False
        while not is_last:
            work, is_last = await self._next_work()
            await self._wait_for_room()
            heard_before = self._listener.heard
            placed = await loop.run_in_executor(self._threads, work)
            n_heard = self._listener.heard - heard_before
            self._metrics.audio_seconds.inc(n_heard / SAMPLE_RATE_HZ)
            for position, record in placed:
                self._perform(self._director.on_record(position, record))
        while self._director.n_unfinished:
            await self._wait_for_move()
        self._outbox.put_nowait(None)

    async def _next_work(self) -> tuple[Work, bool]:
        """Give what to do next, and whether it is the last; joins waiting audio."""
        item, self._held = self._held or await self._inbox.get(), None
        if not isinstance(item, bytes):
            is_last = isinstance(item, events.SessionEnd)
            return partial(instruct, self._listener, item), is_last
        pieces = [item]
        while self._held is None and not self._inbox.empty():
            item = self._inbox.get_nowait()
            if isinstance(item, bytes):
                pieces.append(item)
            else:
                self._held = item
        return partial(self._listener.push, b"".join(pieces)), False

    async def _wait_for_room(self) -> None:
        """Hold the audio back while finals or the client's reading lag behind."""
        while self._director.n_unfinished > MAX_UNFINISHED:
            await self._wait_for_move()
        await self._wait_for_reading()

    async def _wait_for_reading(self) -> None:
        while self._outbox.qsize() > self._config.max_unread_events:
            await self._wait_for_move()

    async def _wait_for_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    # --- engine ---------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, events.Event):
                self._send(action)
            elif isinstance(action, Forget):
                for future in list(self._pending.get(action.origin, ())):
                    future.cancel()
            else:
                self._submit(action)

    def _submit(self, request: Request) -> None:
        loop = asyncio.get_running_loop()
        future = self._engine.submit(request)
        self._pending[request.origin].add(future)

        def hand_over(done: Future[Result]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._take_result, request.origin, done)

        future.add_done_callback(hand_over)

    def _take_result(self, origin: Origin, future: Future[Result]) -> None:
        futures = self._pending[origin]
        futures.discard(future)
        if not futures:
            del self._pending[origin]
        if self._broken.done():  # the session is over
            return
        if future.cancelled():
            if origin.lane is Lane.PARTIAL:
                self._metrics.partials_dropped.inc()
                self._perform(self._director.on_dropped(origin))
        elif (error := future.exception()) is not None:
            self._broken.set_exception(error)
        else:
            self._perform(self._director.on_result(future.result()))
        self._moved.set()

    async def _watch(self) -> None:
        """End the session where a request fails: that is a bug, or worse."""
        await self._broken

    # --- out ------------------------------------------------------------------

    def _send(self, event: events.Event) -> None:
        self._outbox.put_nowait(event)

    async def _write(self) -> None:
        while event := await self._outbox.get():
            await self._outlet.send(event)
            self._moved.set()
        if not self._broken.done():  # a late partial may have failed meanwhile
            self._broken.set_result(None)


def warn_of(unknown_fields: Sequence[str], time_ms: int) -> list[events.Event]:
    """Tell the client of fields that the contract does not have."""
    return [
        events.Warn(
            time_ms=time_ms,
            code="unknown_field",
            message=f"{field}: expected no such field; ignored",
        )
        for field in unknown_fields
    ]
