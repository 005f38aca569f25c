"""Accepts clients: WebSocket sessions, and pages over HTTP."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from websockets.asyncio.server import Server as Listening
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from . import events, pages
from .admission import Admission, open_wire_log
from .config import Settings
from .conversation import Conversations
from .engine import Models
from .errors import BadMessage, Broken, NotAllowed, Overloaded, SessionError
from .flow import EMOTIONS
from .lanes import LocalEngine
from .metrics import Metrics
from .pipeline import open_session
from .reading import parse_client
from .session import Outlet, Session, Vanished, failure, warn_of
from .vad import SileroVad

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
"""A client that has not sent `session.start` by then is sent away."""

PING_TIMEOUT_S = 120.0

LAG_INTERVAL_S = 0.05

LISTENING_THREADS = 2
"""For the decoding and voice detection of all sessions."""


class Server:
    """Everything that sessions share.

    Args:
        settings: All of them.
        admission: Who comes in.
        models: Loaded; the server never loads any later.
        vad: Loaded.
    """

    def __init__(
        self, settings: Settings, admission: Admission, models: Models, vad: SileroVad
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._languages = models.whisper.languages
        self._vad = vad
        self._engine = LocalEngine(models, settings.asr.workers)
        self._conversations = Conversations(
            models.empty_context, settings.server.resume_window_s
        )
        self._metrics = Metrics()
        self._metrics.conversations.set_function(lambda: len(self._conversations))
        self._threads = ThreadPoolExecutor(LISTENING_THREADS, "listen")
        self._sessions: dict[Session, asyncio.Task[None] | None] = {}
        self._is_draining = False

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then finish what was heard.

        Raises:
            OSError: If the address cannot be bound.
        """
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        config = self._settings.server
        async with (
            serve(
                self._accept,
                config.host,
                config.port,
                ssl=self._admission.tls,
                logger=open_wire_log(),
                process_request=self._answer,
                select_subprotocol=choose_subprotocol,
                compression=None,  # PCM hardly shrinks; it costs 50 KiB a client
                max_size=events.MAX_FRAME_BYTES,
                max_queue=8,
                # The pong of a client that is held back waits behind its audio.
                ping_timeout=PING_TIMEOUT_S,
            ) as listening,
            asyncio.TaskGroup() as group,
        ):
            lag = group.create_task(self._measure_lag(), name="lag")
            if config.tokens:
                loop.add_signal_handler(
                    signal.SIGHUP, self._admit_anew, listening, group
                )
            host, port = listening.sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            scheme = "wss" if self._admission.tls else "ws"
            print(f"listening on {scheme}://{name}:{port}{events.PATH}", flush=True)
            await stop.wait()
            await self._drain(listening)
            lag.cancel()
        self._engine.close()
        self._threads.shutdown()

    def _answer(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        obstacle = None if self._has_room() else "full"
        if self._is_draining:
            obstacle = "shutting down"
        return pages.answer(
            connection, request, self._admission, self._metrics, obstacle
        )

    def _has_room(self) -> bool:
        return len(self._sessions) < self._settings.server.max_sessions

    # --- sessions -------------------------------------------------------------

    async def _accept(self, socket: ServerConnection) -> None:
        config = self._settings.server
        outlet = Outlet(socket, config.reader_timeout_s, self._metrics)
        try:
            start, unknown = await self._greet(socket)
            assert socket.request is not None
            owner = self._admission.admit(socket.request)  # revoked by now?
            await self._host(socket, outlet, start, unknown, owner)
        except* (ConnectionClosed, Vanished):
            log.info("a client is gone")
        except* SessionError as group:
            await refuse(socket, outlet, first_of(group))
        except* Exception:  # a bug ends its own session and no other
            log.exception("a session failed")
            await refuse(socket, outlet, Broken("internal", "a bug here; it is logged"))

    async def _greet(
        self, socket: ServerConnection
    ) -> tuple[events.SessionStart, list[str]]:
        """Wait for the first message, and check what only the server knows.

        Returns:
            The message, and the names of fields that it should not have.
        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                first = await socket.recv()
        except TimeoutError:
            raise BadMessage(
                "no_start", f"expected session.start within {START_TIMEOUT_S:g} s"
            ) from None
        start, unknown = parse_first(first)
        if start.language and start.language not in self._languages:
            raise BadMessage(
                "unknown_language",
                f"session.start: language: expected one of "
                f"{', '.join(self._languages)}, got {start.language!r}",
            )
        if self._is_draining:
            raise Overloaded("shutting_down", "the server shuts down; try another")
        if not self._has_room():
            raise Overloaded(
                "server_full",
                f"expected at most {self._settings.server.max_sessions} sessions; "
                f"try again later",
            )
        return start, unknown

    async def _host(
        self,
        socket: ServerConnection,
        outlet: Outlet,
        start: events.SessionStart,
        unknown: list[str],
        owner: str,
    ) -> None:
        session_id = secrets.token_hex(8)
        with self._conversations.join(owner, start.conversation_id) as conversation:
            listener, director = open_session(
                start,
                session=session_id,
                settings=self._settings,
                probability=self._vad.stream(),
                conversation=conversation,
            )
            session = Session(
                session_id,
                socket,
                outlet,
                listener,
                director,
                engine=self._engine,
                threads=self._threads,
                config=self._settings.server,
                metrics=self._metrics,
            )
            self._sessions[session] = asyncio.current_task()
            self._metrics.sessions.inc()
            try:
                await session.run([self._welcome(session_id), *warn_of(unknown, 0)])
            finally:
                del self._sessions[session]
                self._metrics.sessions.dec()
        await hang_up(socket, 1001 if self._is_draining else 1000)

    def _welcome(self, session_id: str) -> events.SessionStarted:
        turns = self._settings.turns
        return events.SessionStarted(
            session_id=session_id,
            resume_token=None,
            protocol=1,
            labels=EMOTIONS,
            limits=events.Limits(
                max_frame_bytes=events.MAX_FRAME_BYTES,
                max_turn_ms=turns.max_turn_ms,
                end_silence_ms=turns.end_silence_ms,
                pre_roll_ms=turns.pre_roll_ms,
                resume_window_s=self._settings.server.resume_window_s,
            ),
        )

    # --- operation ------------------------------------------------------------

    def _admit_anew(self, listening: Listening, group: asyncio.TaskGroup) -> None:
        """Read the tokens again, and close the sockets of those that are gone."""
        self._admission.reload()
        for socket in listening.connections:
            assert socket.request is not None
            try:
                self._admission.admit(socket.request)
            except NotAllowed as error:
                group.create_task(socket.close(error.close_code, error.code))

    async def _drain(self, listening: Listening) -> None:
        """Let no one in, let every session finish, within the time allowed."""
        self._is_draining = True
        tasks = [task for task in self._sessions.values() if task is not None]
        for session in list(self._sessions):
            session.end()
        if tasks:
            log.info("finishing %d sessions", len(tasks))
            await asyncio.wait(tasks, timeout=self._settings.server.drain_s)
        for session in self._sessions:  # their time is over
            self._engine.cancel(session.session_id)
        listening.close(close_connections=True)

    async def _measure_lag(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_INTERVAL_S
            await asyncio.sleep(LAG_INTERVAL_S)
            self._metrics.loop_lag.observe(max(0.0, loop.time() - due_s))


def choose_subprotocol(
    _: ServerConnection, offered: Sequence[Subprotocol]
) -> Subprotocol | None:
    """Take ours where the client offers it; a client that names none is welcome.

    Raises:
        NegotiationError: If it offers others alone.
    """
    ours = Subprotocol(events.SUBPROTOCOL)
    if offered and ours not in offered:
        raise NegotiationError(f"expected {ours}, got {', '.join(offered)}")
    return ours if offered else None


def parse_first(message: str | bytes) -> tuple[events.SessionStart, list[str]]:
    """Read the first message: `session.start`, and nothing else.

    Raises:
        BadMessage: Not recoverable; says what came instead.
    """
    if isinstance(message, bytes):
        raise BadMessage("not_started", "expected session.start, got audio")
    try:
        start, unknown = parse_client(message)
    except BadMessage as error:
        raise BadMessage(error.code, str(error)) from error
    if isinstance(start, events.SessionResume):
        raise BadMessage("resume_off", "expected session.start: resuming is off")
    if not isinstance(start, events.SessionStart):
        raise BadMessage(
            "not_started", f"expected session.start, got {start.__struct_config__.tag}"
        )
    return start, unknown


def first_of(group: BaseExceptionGroup[SessionError]) -> SessionError:
    """Give the first error of a group of groups."""
    error: SessionError | BaseExceptionGroup[SessionError] = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


async def refuse(socket: ServerConnection, outlet: Outlet, error: SessionError) -> None:
    """Tell why, and close; a client that does not read is closed untold."""
    with suppress(ConnectionClosed, Overloaded):
        await outlet.send(failure(error, outlet.time_ms))
    await hang_up(socket, error.close_code, error.code)


async def hang_up(socket: ServerConnection, code: int, reason: str = "") -> None:
    """Close, though the client may go on sending.

    Unread messages would stop the reading of the socket, and the client's answer to
    the closing behind them would never be seen.
    """

    async def throw_away() -> None:
        with suppress(ConnectionClosed):
            while True:
                await socket.recv()

    throwing = asyncio.create_task(throw_away(), name="throw away")
    try:
        await socket.close(code, reason)
    finally:
        throwing.cancel()
