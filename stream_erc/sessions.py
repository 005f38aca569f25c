"""All sessions of a server, and what they share."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from . import events
from .admission import EVERYBODY
from .archive import Archive
from .aside import run_aside
from .audio import SAMPLE_BYTES
from .config import Settings
from .conversation import Conversations
from .engine import Models
from .engines import LocalEngine
from .errors import BadMessage, NotAllowed, Overloaded, SessionError
from .fingerprint import fingerprint_memory
from .handover import Handover
from .intake import Intake, JointIntake
from .listener import Placed
from .logs import SessionLog, fields
from .metrics import DESKS, DETECT, Metrics
from .pipeline import open_session
from .remote import Pool, RemoteEngine
from .retelling import Retelling
from .rounds import Rounds
from .session import Session
from .vad import VoiceDetector
from .wording import warn_of, welcome

log = logging.getLogger(__name__)

LISTENING_THREADS = 2
"""For the decoding and voice detection of all sessions."""

TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Kept:
    """A session, who may come back to it, and its task."""

    session: Session
    owner: str
    resume_token: str
    task: asyncio.Task[None]


class Sessions:
    """Opens sessions, finds them again, ends them.

    Args:
        settings: All of them.
        models: Loaded, or a pool of them; no session ever loads any.
        vad: Loaded.
        metrics: Told how many there are.

    Raises:
        JournalError: If what is to be kept cannot be.
        ConfigError: If the folder of `server.handover` cannot be used.
    """

    def __init__(
        self,
        settings: Settings,
        models: Models | Pool,
        vad: VoiceDetector,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._languages = models.languages
        self._vad = vad
        self._engine = open_engine(settings, models, metrics)
        self._rounds: Rounds[Intake, list[Placed]] = Rounds(
            partial(JointIntake, vad),
            LISTENING_THREADS,
            DETECT,
            settings.engine,
            metrics.count_restart,
        )
        self._conversations = Conversations(
            models.empty_context,
            settings.server.resume_window_s,
            settings.limits.max_idle_conversations,
            partial(metrics.count_limit, "max_idle_conversations"),
            open_handover(settings),
        )
        self._archive = Archive(settings.journal, metrics)
        self._metrics = metrics
        self._kept: dict[str, Kept] = {}
        self._is_draining = False
        metrics.sessions.set_function(lambda: len(self._kept))
        metrics.waiting.set_function(self._count_waiting)
        for desk in DESKS:
            requests = metrics.requests.labels(desk)
            requests.set_function(partial(self._count_requests, desk))
        metrics.conversations.set_function(lambda: len(self._conversations))

    @property
    def has_room(self) -> bool:
        """Whether one more may be opened."""
        return len(self._kept) < self._settings.limits.max_sessions

    @property
    def is_busy(self) -> bool:
        """Whether the models are behind, so that one more would make all late."""
        return self._engine.delay_s > self._settings.limits.max_delay_s

    @property
    def trouble(self) -> str | None:
        """Why turns may be told without the models; None: nothing is known."""
        return self._engine.trouble or ("stuck" if self._rounds.is_stuck else None)

    @property
    def is_draining(self) -> bool:
        """Whether the server shuts down."""
        return self._is_draining

    async def fetch(self, start: events.SessionStart, owner: str) -> None:
        """Take up what another server has left of a conversation, before `open`.

        Raises:
            BadMessage: As `open`; nothing is taken then.
            Overloaded: Likewise.
        """
        self._require_possible(start, owner)
        is_taken = await self._conversations.fetch(owner, start.conversation_id)
        try:
            self._require_possible(start, owner)  # the disk took its time
        except SessionError:
            if is_taken:
                await self._conversations.give_back(owner, start.conversation_id)
            raise

    def open(
        self, start: events.SessionStart, unknown: Sequence[str], owner: str
    ) -> Session:
        """Open a session; its first socket must be hosted at once.

        Args:
            start: The client's wishes.
            unknown: Names of fields that it should not have.
            owner: Who comes.

        Raises:
            BadMessage: If a wish cannot be met.
            Overloaded: If there is no room, or will be no time.
        """
        self._require_possible(start, owner)
        session_id = secrets.token_hex(8)
        session_log = SessionLog(session_id, self._settings.log.content)
        with ExitStack() as stack:
            conversation = stack.enter_context(
                self._conversations.join(owner, start.conversation_id)
            )
            listener, director = open_session(
                start,
                session=session_id,
                settings=self._settings,
                probability=self._vad.stream(),
                conversation=conversation,
                tap=stack.enter_context(self._archive.record(session_id)),
            )
            session = Session(
                session_id,
                SAMPLE_BYTES[start.audio.encoding] * start.audio.channels,
                start.audio.sample_rate,
                listener,
                director,
                retelling=Retelling(session_id, conversation.tell),
                observes=start.observe,
                engine=self._engine,
                rounds=self._rounds,
                settings=self._settings,
                metrics=self._metrics,
                log=session_log,
                chapter=self._archive.open_chapter(session_id, owner, start),
                farewell=partial(self._leave, owner, start.conversation_id),
            )
            stack.enter_context(conversation.seat(session_id, session))
            self._keep(session, owner, conversation.version, unknown, stack.pop_all())
        self._metrics.opened.inc()
        session_log.info("session is open", owner=owner)
        return session

    def find(self, resume: events.SessionResume, owner: str) -> Session:
        """Give the session that a client comes back to.

        Raises:
            BadMessage: If nobody may come back here.
            NotAllowed: If this one may not; it does not tell why.
        """
        if not self._settings.server.resume_window_s:
            raise BadMessage("resume_off", "expected session.start: resuming is off")
        kept = self._kept.get(resume.session_id)
        expected = kept.resume_token if kept else secrets.token_urlsafe(TOKEN_BYTES)
        given = resume.resume_token.encode(errors="replace")
        is_right = secrets.compare_digest(expected.encode(), given)
        if (
            kept is None
            or not is_right
            or kept.owner != owner
            or kept.session.presence.is_lost
        ):
            raise NotAllowed(
                "resume_refused",
                "session.resume: expected a session that is still kept, and its token",
            )
        return kept.session

    async def drain(self) -> None:
        """Let no one in, and let every session finish; the caller bounds the time."""
        self._is_draining = True
        if tasks := [kept.task for kept in self._kept.values()]:
            log.info("finishing sessions", extra=fields(sessions=len(tasks)))
            for kept in self._kept.values():
                kept.session.end(1001)
        await self._conversations.leave_all()  # those of before, and of the slow
        if tasks:
            await asyncio.wait(tasks)
        await self._conversations.sweep()

    async def cut_off(self) -> None:
        """End the sessions that are left; what they still wait for is dropped."""
        if tasks := [kept.task for kept in self._kept.values()]:
            log.warning("cutting sessions off", extra=fields(sessions=len(tasks)))
            for kept in self._kept.values():
                kept.session.tell_cut()
                kept.task.cancel()
            await asyncio.wait(tasks)

    def close(self) -> asyncio.Future[None]:
        """Stop the threads; no session may be left.

        Returns:
            Done once they have ended: a model in the middle of something cannot be
            stopped, so whoever waits needs a bound.
        """

        def end() -> None:
            self._archive.close()
            self._engine.close()
            self._rounds.shutdown()

        return run_aside(end, "end")

    def _keep(
        self,
        session: Session,
        owner: str,
        n_remembered: int,
        unknown: Sequence[str],
        membership: ExitStack,
    ) -> None:
        token = secrets.token_urlsafe(TOKEN_BYTES)
        welcome = self._welcome(session.session_id, token, n_remembered)
        running = self._run(session, [welcome, *warn_of(unknown, 0)], membership)
        task = asyncio.create_task(running, name=f"session {session.session_id}")
        self._kept[session.session_id] = Kept(session, owner, token, task)

    async def _run(
        self, session: Session, opening: Sequence[events.Event], membership: ExitStack
    ) -> None:
        with membership:
            try:
                await session.run(opening)
            finally:
                del self._kept[session.session_id]

    async def _leave(self, owner: str, conversation_id: str | None) -> None:
        """Leave the conversation to another server, where this one shuts down."""
        if self._is_draining:
            await self._conversations.leave(owner, conversation_id)

    def _require_possible(self, start: events.SessionStart, owner: str) -> None:
        if start.language and start.language not in self._languages:
            raise BadMessage(
                "unknown_language",
                f"session.start: language: expected one of "
                f"{', '.join(self._languages)}, got {start.language!r}",
            )
        if self._is_draining:
            raise Overloaded("shutting_down", "the server shuts down; try another")
        self._require_room(owner)

    def _require_room(self, owner: str) -> None:
        limits = self._settings.limits
        n_own = sum(kept.owner == owner for kept in self._kept.values())
        if not self.has_room:
            code, expected = "server_full", f"at most {limits.max_sessions} sessions"
        elif owner != EVERYBODY and n_own >= limits.max_sessions_per_owner:
            n_most = limits.max_sessions_per_owner
            code, expected = "owner_full", f"at most {n_most} sessions of one token"
        elif self.is_busy:
            longest = f"{limits.max_delay_s:g} s"
            code, expected = "server_busy", f"models that answer within {longest}"
        else:
            return
        raise Overloaded(code, f"expected {expected}; try again later")

    def _welcome(
        self, session_id: str, resume_token: str, n_remembered: int
    ) -> events.SessionStarted:
        is_resumable = self._settings.server.resume_window_s > 0
        return welcome(
            self._settings,
            session_id,
            resume_token if is_resumable else None,
            is_recorded=bool(self._settings.journal.record),
            n_remembered=n_remembered,
        )

    def _count_waiting(self) -> int:
        return sum(kept.session.presence.is_waiting for kept in self._kept.values())

    def _count_requests(self, desk: str) -> int:
        return self._engine.waiting()[desk]


def open_handover(settings: Settings) -> Handover | None:
    """Open the folder in which servers leave conversations; None where there is none.

    Raises:
        ConfigError: If it cannot be used.
    """
    config = settings.server
    if not config.handover:
        return None
    made_with = fingerprint_memory(settings)
    return Handover(Path(config.handover), made_with, config.resume_window_s)


def open_engine(
    settings: Settings, models: Models | Pool, metrics: Metrics
) -> LocalEngine | RemoteEngine:
    """Put desks in front of the models, or of the pool."""
    if isinstance(models, Pool):
        return RemoteEngine(models, settings.cluster, metrics.count_retry)
    return LocalEngine(
        models, settings.asr.n_workers, settings.engine, metrics.count_restart
    )
