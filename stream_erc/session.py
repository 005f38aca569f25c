"""One client: the tasks between its messages, the listening thread and the engine.

A session knows no socket and outlives those that it is talked to on: where one is
lost, what came is worked on, what follows is kept, and another may take its place.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import msgspec

from . import events
from .archive import KEPT, Chapter
from .backlog import Backlog
from .config import Settings
from .director import Action, Director, Forget
from .engine import Engine
from .errands import Errands
from .errors import BadMessage, Broken, Overloaded, SessionError, first_of
from .flow import SAMPLE_RATE_HZ
from .inbox import Inbox
from .intake import Intake
from .listener import Listener, Placed
from .logs import SessionLog
from .metrics import Metrics
from .pace import Pace
from .presence import Moves, Presence, Vanished
from .reading import parse_client, refuse, require_short
from .retelling import Retelling, on_clock
from .rounds import Rounds
from .wording import failure, warn_of

MAX_UNFINISHED = 8
"""Ended turns without finals before a client that replays fast is held back."""


class Session:
    """Runs one client from `session.started` to `session.ended`.

    Args:
        session_id: Its identifier.
        sample_bytes: Of one sample of all channels, as declared.
        sample_rate_hz: As declared.
        listener: Called in `rounds`, one call at a time.
        director: Called in the event loop alone.
        retelling: Tells the other participants of turns.
        observes: Whether the client wants to be told of theirs.
        engine: Shared by all sessions.
        rounds: Where the listener runs.
        settings: Its limits, and how long it waits for a lost client.
        metrics: Shared by all sessions.
        log: Of this session.
        chapter: Where it is kept; None: nowhere.
        farewell: Awaited before the client is let go, once every turn has its finals.

    Attributes:
        session_id: Its identifier.
        moves: Tells of whatever somebody may wait for.
        backlog: What the client is told.
        presence: On which socket it is told.
        close_code: With what the socket is closed once the session is over.
        close_reason: Likewise.
    """

    def __init__(
        self,
        session_id: str,
        sample_bytes: int,
        sample_rate_hz: int,
        listener: Listener,
        director: Director,
        *,
        retelling: Retelling,
        observes: bool,
        engine: Engine,
        rounds: Rounds[Intake, list[Placed]],
        settings: Settings,
        metrics: Metrics,
        log: SessionLog,
        chapter: Chapter | None = None,
        farewell: Callable[[], Awaitable[None]],
    ) -> None:
        self.session_id = session_id
        self.moves = Moves()
        limits = settings.limits
        self.backlog = Backlog(limits.max_kept_kib * 1024, limits.max_unread_events)
        self.presence = Presence(
            settings.server.resume_window_s, self.backlog, self.moves
        )
        self.close_code = 1000
        self.close_reason = ""
        self._listener = listener
        self._director = director
        self._engine = engine
        self._rounds = rounds
        self._metrics = metrics
        self._log = log
        self._chapter = chapter
        self._farewell = farewell
        self._inbox = Inbox(
            sample_bytes, sample_rate_hz, limits.max_unheard_kib * 1024, self.moves
        )
        self._pace = Pace(limits, sample_bytes * sample_rate_hz, self._hold_back)
        self._max_text_bytes = limits.max_text_kib * 1024
        self._warned: set[str] = set()  # limits that the client was told of
        self._retelling = retelling
        self._observes = observes
        self._errands = Errands(engine, director, self._perform, metrics)
        self._is_over = False

    @property
    def time_ms(self) -> int:
        """The audio clock."""
        return self._director.time_ms

    @property
    def is_over(self) -> bool:
        """Whether the backlog holds the last message."""
        return self._is_over

    async def run(self, opening: Sequence[events.Event]) -> None:
        """Serve the client until it has everything, stays away or breaks a rule.

        Args:
            opening: Sent first.
        """
        for event in opening:
            self._send(event)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._listen(), name="listen")
                group.create_task(self._watch(), name="watch")
                group.create_task(self._expire(), name="expire")
                group.create_task(self.presence.wait_for_delivery(), name="deliver")
        except* Vanished as group_of_one:
            reason = str(group_of_one.exceptions[0])
            self._metrics.lost.labels(reason).inc()
            self._log.info("session is lost", reason=reason)
        except* SessionError as errors:  # told on the socket that it is about
            error = first_of(errors)
            self.close_code, self.close_reason = error.close_code, error.code
        except* Exception:  # a bug ends its own session and no other
            self._log.failure("session failed")
            self._fail(Broken("internal", "a bug here; it is logged"))
        finally:
            self._engine.cancel(self.session_id)
            self._is_over = True
            self.moves.tell()

    def end(self, close_code: int) -> None:
        """Take nothing more, finish what was heard, close with this code."""
        self.close_code = close_code
        self._inbox.put(events.SessionEnd())

    def tell_cut(self) -> None:
        """Tell that the server has no time to finish, unless all is said."""
        if not self._is_over:
            late = Overloaded(
                "shutting_down", "the server shuts down; what was said last is lost"
            )
            self._send(failure(late, self.time_ms))

    def break_off(self, error: SessionError) -> None:
        """End the session with an error, unless all is said."""
        if not self._errands.broken.done():
            self._errands.broken.set_exception(error)

    # --- sockets --------------------------------------------------------------

    def resume(self, last_seq: int) -> events.SessionResumed:
        """Go on where the lost socket left off, on both ways.

        Raises:
            NotAllowed: If messages after `last_seq` are no longer kept.
        """
        self.backlog.rewind(last_seq)
        self._metrics.resumes.inc()
        self._inbox.drop_half()  # the client sends that sample again
        self._pace.note()
        return events.SessionResumed(
            samples_received=self._inbox.n_samples,
            client_messages_received=self._inbox.n_messages,
        )

    # --- in -------------------------------------------------------------------

    async def hear(self, audio: bytes) -> None:
        """Take audio, cut anywhere; waits while there is no room."""
        with self._pace.hearing():
            await self._pace.wait_for_audio(len(audio))
            if not self._inbox.has_room:
                self._metrics.count_limit("max_unheard_kib")
            await self._inbox.wait_for_room()
            self._inbox.put_audio(audio)

    async def take(self, text: str) -> None:
        """Take a text message; waits while there is no room."""
        with self._pace.hearing():
            await self._pace.wait_for_message()
            await self._take(text)

    async def _take(self, text: str) -> None:
        while self.backlog.is_full and not self._inbox.is_closed:
            await self.moves.wait()
        if self._inbox.is_closed:
            return
        try:
            require_short(text, self._max_text_bytes)
            message, unknown = parse_client(text)
        except BadMessage as error:
            self._inbox.count_message()
            self._send(failure(error, self.time_ms))
            return
        if not isinstance(message, events.Ping):
            await self._inbox.wait_for_room()
        if self._inbox.is_closed:
            return
        # Nothing below waits: a message is taken and counted, or neither.
        self._inbox.count_message()
        for event in warn_of(unknown, self.time_ms):
            self._send(event)
        match message:
            case events.Ping(id=identifier):
                self._send(events.Pong(time_ms=self.time_ms, id=identifier))
            case events.SessionStart() | events.SessionResume():
                second = refuse("already_started", "expected one session.start")
                self._send(failure(second, self.time_ms))
            case _:
                self._inbox.put(message)

    async def _listen(self) -> None:
        while not self._listener.is_over:
            intake = await self._next_intake()
            await self._wait_for_room()
            heard_before = self._listener.heard
            placed = await self._rounds.run(intake, at_once=not intake.is_audio)
            n_heard = self._listener.heard - heard_before
            self._metrics.audio_seconds.inc(n_heard / SAMPLE_RATE_HZ)
            for position, record in placed:
                self._perform(self._director.on_record(position, record))
            self._director.on_heard(self._listener.heard)
        while self._director.n_unfinished:
            await self.moves.wait()
        await self._farewell()
        self._is_over = True
        if not self._errands.broken.done():  # a bug may have come first
            self._errands.broken.set_result(None)
        self.moves.tell()

    async def _next_intake(self) -> Intake:
        """Give what to hear next: what a pause waits for, or what came."""
        if self._listener.is_waiting:
            while (completeness := self._director.completeness) is None:
                await self.moves.wait()
            return Intake(self._listener, completeness)
        item = await self._inbox.next(self._listener.missing_samples)
        return Intake(self._listener, item)

    async def _wait_for_room(self) -> None:
        """Hold the audio back while finals or the client's reading lag behind."""
        while self._director.n_unfinished > MAX_UNFINISHED or self.backlog.is_full:
            await self.moves.wait()

    # --- engine ---------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            if isinstance(action, events.SessionEnded):
                n_messages = self._inbox.n_messages
                counted = {"client_messages_received": n_messages}
                self._send(msgspec.structs.replace(action, **counted))
            elif isinstance(action, events.Event):
                self._send(action)
            elif isinstance(action, Forget):
                self._errands.forget(action.origin)
            else:
                self._errands.submit(action)
        self.moves.tell()

    # --- the other participants -------------------------------------------------

    def go_on(self) -> None:
        """Commit what waits, if it is ready: nobody is before it any more."""
        self._errands.go_on()

    def hear_of(self, turn: events.ConversationTurn) -> None:
        """Tell the client of another participant's turn, unless it lags behind."""
        has_ended = self._listener.is_over and not self._director.n_unfinished
        if not self._observes or has_ended or self._is_over:
            return
        if self.backlog.is_full:
            limit = "max_unread_events"
            self._metrics.count_limit(limit)
            message = "expected a client that reads its events; others' are left out"
            self._warn_once(limit, "turns_left_out", message)
        else:
            self._send(on_clock(turn, self.time_ms))

    async def _expire(self) -> None:
        """Finish a session that is too long, or whose client has gone silent."""
        while (left_s := self._pace.left_s) > 0:
            await asyncio.wait((self._errands.broken,), timeout=left_s)
            if self._errands.broken.done():
                return
        if not self._inbox.is_closed:
            error = self._pace.find_excess()
            self._fail(error)
            self.end(error.close_code)

    async def _watch(self) -> None:
        """End the session where not even a rescue succeeds: that is a bug."""
        await self._errands.broken

    # --- out ------------------------------------------------------------------

    def _send(self, event: events.Event) -> None:
        if self.backlog.add(event):
            self._metrics.count_limit("max_unread_events")
        if self._chapter and isinstance(event, KEPT):
            self.backlog.hold(event)
            self._chapter.write(event, partial(self._release, event))
        else:
            self._retelling.push(event)
        self._metrics.count(event)
        self._log.note(event)
        self.moves.tell()

    def _release(self, event: events.Event) -> None:
        self.backlog.release(event)
        self._retelling.push(event)
        self.moves.tell()

    def _hold_back(self, limit: str, expected: str) -> None:
        """Count what comes too fast; tell the client once."""
        self._metrics.count_limit(limit)
        self._warn_once(limit, "held_back", f"{expected}; held back from here on")

    def _warn_once(self, limit: str, code: str, message: str) -> None:
        if limit not in self._warned:
            self._warned.add(limit)
            self._send(events.Warn(time_ms=self.time_ms, code=code, message=message))

    def _fail(self, error: SessionError) -> None:
        self._send(failure(error, self.time_ms))
        self.close_code, self.close_reason = error.close_code, error.code
