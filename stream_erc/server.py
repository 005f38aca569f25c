"""Accepts clients: WebSocket sessions, and pages over HTTP."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from asyncio import FIRST_COMPLETED
from collections.abc import Awaitable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from urllib.parse import parse_qs

from websockets.asyncio.server import Server as Listening
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, NegotiationError
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from . import events, pages
from .admission import Admission, network_of, open_wire_log, tell_address
from .allowance import Allowances
from .config import Settings
from .engine import Models
from .errors import BadMessage, Broken, NotAllowed, SessionError, first_of
from .line import Line, refuse
from .metrics import Metrics
from .reading import parse_client, require_short
from .remote import Pool
from .sessions import Sessions
from .vad import VoiceDetector

log = logging.getLogger(__name__)

START_TIMEOUT_S = 10.0
"""A client that has not sent `session.start` by then is sent away."""

PING_TIMEOUT_S = 120.0

CLOSE_TIMEOUT_S = 10.0
"""Then sockets are cut whose clients do not answer the closing; RFC 6455, 7.1.1."""

MODELS_TIMEOUT_S = 5.0
"""A model that works longer on what it has begun is left alone, and dies."""

HURRY_S = 0.5
"""What is left to each step of the shutdown after a second signal."""

LAG_INTERVAL_S = 0.05


class Server:
    """Everything that sessions share.

    Args:
        settings: All of them.
        admission: Who comes in.
        models: Loaded, or a pool of them; the server never loads any later.
        vad: Loaded.
    """

    def __init__(
        self,
        settings: Settings,
        admission: Admission,
        models: Models | Pool,
        vad: VoiceDetector,
    ) -> None:
        self._settings = settings
        self._admission = admission
        self._metrics = Metrics()
        self._sessions = Sessions(settings, models, vad, self._metrics)
        limits = settings.limits
        self._arrivals = Allowances(
            limits.connections_per_s, limits.connection_burst, time.monotonic
        )
        self._sockets: set[ServerConnection] = set()
        self._hurry = asyncio.Event()

    @property
    def metrics(self) -> Metrics:
        """What is shown at `/metrics`."""
        return self._metrics

    async def run(self) -> bool:
        """Serve until SIGTERM or SIGINT, then finish what was heard.

        A second signal cuts that short.

        Returns:
            Whether all threads have ended; False where a model still works.

        Raises:
            ConfigError: If the address cannot be bound.
        """
        try:
            await self._serve()
        finally:  # whatever happens, no thread is left behind
            ended = self._sessions.close()
        return await self._finish(ended, MODELS_TIMEOUT_S)

    async def _serve(self) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._take_signal, stop)
        async with AsyncExitStack() as stack:
            try:
                listening = await stack.enter_async_context(self._listen())
            except OSError as error:
                raise tell_address(self._settings.server, error) from error
            group = await stack.enter_async_context(asyncio.TaskGroup())
            lag = group.create_task(self._measure_lag(), name="lag")
            loop.add_signal_handler(signal.SIGHUP, self._admit_anew, listening, group)
            host, port = listening.sockets[0].getsockname()[:2]
            name = f"[{host}]" if ":" in host else host
            tls = "s" * bool(self._admission.tls)
            print(f"listening on ws{tls}://{name}:{port}{events.PATH}", flush=True)
            print(f"for a browser: http{tls}://{name}:{port}/", flush=True)
            await stop.wait()
            await self._say_goodbye(listening)
            lag.cancel()

    def _listen(self) -> AbstractAsyncContextManager[Listening]:
        """Give what opens the socket."""
        config, limits = self._settings.server, self._settings.limits
        return serve(
            self._accept,
            config.host,
            config.port,
            ssl=self._admission.tls,
            logger=open_wire_log(),
            process_request=self._answer,
            select_subprotocol=choose_subprotocol,
            compression=None,  # PCM hardly shrinks; it costs 50 KiB a client
            max_size=limits.max_frame_kib * 1024,
            max_queue=8,
            # The pong of a client that is held back waits behind its audio.
            ping_timeout=PING_TIMEOUT_S,
        )

    def _answer(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        obstacle = None if self._sessions.has_room else "full"
        if self._sessions.is_busy:
            obstacle = "busy"
        obstacle = self._sessions.trouble or obstacle
        if self._sessions.is_draining:
            obstacle = "shutting down"
        refusal = pages.answer(
            connection, request, self._admission, self._metrics, obstacle
        )
        return refusal or self._slow_down(connection, request)

    def _slow_down(
        self, connection: ServerConnection, request: Request
    ) -> Response | None:
        """Turn away who opens too many sockets, by its token or else its address."""
        address = connection.remote_address[0]
        who = self._admission.admit(request) or f"[{network_of(address)}]"
        wait_s = self._arrivals.take(who)
        if not wait_s:
            return None
        self._metrics.count_limit("connections_per_s")
        return pages.ask_to_wait(connection, self._settings.limits, wait_s)

    # --- sessions -------------------------------------------------------------

    async def _accept(self, socket: ServerConnection) -> None:
        line: Line | None = None
        self._sockets.add(socket)
        try:
            first, unknown = await self._greet(socket)
            assert socket.request is not None
            if isinstance(first, events.SessionStart):
                require_routed(socket.request, first)
                guest = self._admission.admit(socket.request)
                await self._sessions.fetch(first, guest)
            owner = self._admission.admit(socket.request)  # revoked by now?
            # From here to `host` nothing waits, so no session is ever without a socket
            # before its first one.
            if isinstance(first, events.SessionResume):
                session, last_seq = self._sessions.find(first, owner), first.last_seq
            else:
                session, last_seq = self._sessions.open(first, unknown, owner), None
            timeout_s = self._settings.limits.reader_timeout_s
            line = Line(socket, session, timeout_s, last_seq)
            await session.presence.host(line.talk)
        except* ConnectionClosed as group:
            self._count_oversize(first_of(group))
            log.info("a socket is gone")
        except* SessionError as group:
            await self._refuse(socket, line, first_of(group))
        except* Exception:  # a bug ends its own socket and no other
            log.exception("a socket failed")
            error = Broken("internal", "a bug here; it is logged")
            await self._refuse(socket, line, error)
        finally:
            self._sockets.discard(socket)

    async def _greet(
        self, socket: ServerConnection
    ) -> tuple[events.SessionStart | events.SessionResume, list[str]]:
        """Wait for the first message.

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
        return parse_first(first, self._settings.limits.max_text_kib * 1024)

    async def _refuse(
        self, socket: ServerConnection, line: Line | None, error: SessionError
    ) -> None:
        self._metrics.count_error(error.code)
        if line is None:
            self._metrics.refused.labels(error.code).inc()
            await refuse(socket, error)
        else:
            await line.refuse(error)

    def _count_oversize(self, closed: ConnectionClosed) -> None:
        """Count a frame for which the library closed the socket by itself."""
        if closed.sent is not None and closed.sent.code == CloseCode.MESSAGE_TOO_BIG:
            self._metrics.count_limit("max_frame_kib")

    # --- operation ------------------------------------------------------------

    def _take_signal(self, stop: asyncio.Event) -> None:
        """Stop at the first signal, at once at the second."""
        if stop.is_set():
            log.warning("stopping at once")
            self._hurry.set()
        stop.set()

    async def _say_goodbye(self, listening: Listening) -> None:
        """Finish the sessions, then close the sockets."""
        if not await self._finish(
            self._sessions.drain(), self._settings.server.drain_s
        ):
            await self._sessions.cut_off()
        listening.close(close_connections=True)
        if not await self._finish(listening.wait_closed(), CLOSE_TIMEOUT_S):
            for socket in self._sockets:
                socket.transport.abort()

    async def _finish(self, work: Awaitable[None], timeout_s: float) -> bool:
        """Wait for the end of something, shortly where there is a hurry.

        Returns:
            Whether it came; otherwise the work is cancelled.
        """
        working = asyncio.ensure_future(work)
        hurry = asyncio.create_task(self._hurry.wait(), name="hurry")
        try:
            both = (working, hurry)
            await asyncio.wait(both, timeout=timeout_s, return_when=FIRST_COMPLETED)
            if self._hurry.is_set():
                await asyncio.wait((working,), timeout=min(timeout_s, HURRY_S))
            if is_over := working.done():
                working.result()
            return is_over
        finally:
            hurry.cancel()
            working.cancel()

    def _admit_anew(self, listening: Listening, group: asyncio.TaskGroup) -> None:
        """Read tokens and certificate again; close the sockets of tokens now gone."""
        self._admission.reload()
        for socket in listening.connections:
            assert socket.request is not None
            try:
                self._admission.admit(socket.request)
            except NotAllowed as error:
                group.create_task(socket.close(error.close_code, error.code))

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


def require_routed(request: Request, start: events.SessionStart) -> None:
    """Refuse a session that a load balancer sends elsewhere than its conversation.

    Raises:
        BadMessage: Not recoverable.
    """
    query = parse_qs(request.path.partition("?")[2])
    routes = query.get(events.ROUTE, [start.conversation_id])
    if start.conversation_id and routes != [start.conversation_id]:
        raise BadMessage(
            "bad_field",
            "session.start: conversation_id: expected the one of the URL's query "
            f"({events.ROUTE}=…), got another",
        )


def parse_first(
    message: str | bytes, max_text_bytes: int
) -> tuple[events.SessionStart | events.SessionResume, list[str]]:
    """Read the first message: `session.start` or `session.resume`, and nothing else.

    Raises:
        BadMessage: Not recoverable; says what came instead.
    """
    if isinstance(message, bytes):
        raise BadMessage("not_started", "expected session.start, got audio")
    try:
        require_short(message, max_text_bytes)
        first, unknown = parse_client(message)
    except BadMessage as error:
        raise BadMessage(error.code, str(error)) from error
    if not isinstance(first, events.SessionStart | events.SessionResume):
        raise BadMessage(
            "not_started", f"expected session.start, got {first.__struct_config__.tag}"
        )
    return first, unknown
