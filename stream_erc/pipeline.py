"""The whole recognizer of one session without sockets, threads and asyncio.

The same listener and director as a live session, driven in the caller's thread: for
files, tests and benchmarks. A test shows that both drivers give the same finals.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable

from . import events
from .config import Settings
from .conversation import Conversation
from .director import Action, Director, Forget
from .engine import Engine
from .listener import Listener, Placed, Tap
from .terms import SessionTerms
from .vad import SpeechProbability
from .voiceprint import load_spread


def open_session(
    start: events.SessionStart,
    *,
    session: str,
    settings: Settings,
    probability: SpeechProbability,
    conversation: Conversation,
    clock: Callable[[], float] = time.monotonic,
    tap: Tap | None = None,
) -> tuple[Listener, Director]:
    """Make the two halves of a session: what listens, and what keeps the order.

    Args:
        start: The client's wishes.
        session: Its identifier.
        settings: Of the server.
        probability: The voice detector of this stream.
        conversation: New, or shared with other sessions.
        clock: Gives monotonic seconds.
        tap: Gets the audio, too.
    """
    listener = Listener(
        start.audio.encoding,
        start.audio.sample_rate,
        start.audio.channels,
        speaker=start.speaker,
        settings=settings,
        probability=probability,
        tap=tap,
    )
    terms = SessionTerms(
        session=session,
        language=start.language,
        has_partials=start.partials,
        modalities=start.modalities,
        partial_interval_ms=settings.turns.partial_interval_ms,
        emotion_partial_ms=settings.turns.emotion_partial_ms,
        speakers=settings.speakers,
        spread=load_spread(),
    )
    return listener, Director(terms, conversation, clock)


def instruct(listener: Listener, message: events.ClientMessage) -> list[Placed]:
    """Carry out a message that takes its place among the audio."""
    match message:
        case events.SpeakerSet(speaker=speaker):
            return listener.set_speaker(speaker)
        case events.ContextAdd(speaker=speaker, text=text):
            return listener.add_context(speaker, text)
        case events.TurnFlush():
            return listener.flush_turn()
        case events.MarkerSet(id=identifier):
            return listener.mark(identifier)
        case events.SessionEnd():
            return listener.end()
        case _:
            raise AssertionError(f"{message} has no place among the audio")


class Pipeline:
    """One session, driven by hand.

    Args:
        listener: What listens.
        director: What keeps the order.
        engine: Answers the director's requests; each is waited for.
    """

    def __init__(self, listener: Listener, director: Director, engine: Engine) -> None:
        self._listener = listener
        self._director = director
        self._engine = engine
        self._n_sent = 0

    def push(self, data: bytes) -> list[events.Event]:
        """Hear audio; return all that follows from it."""
        return self._follow(self._listener.push(data))

    def tell(self, message: events.ClientMessage) -> list[events.Event]:
        """Carry out a message; return all that follows from it."""
        return self._follow(instruct(self._listener, message))

    def _follow(self, placed: Iterable[Placed]) -> list[events.Event]:
        sent = self._carry_out(placed)
        while self._listener.is_waiting:
            completeness = self._director.completeness
            assert completeness is not None  # every request is waited for
            sent += self._carry_out(self._listener.judge(completeness))
        return sent

    def _carry_out(self, placed: Iterable[Placed]) -> list[events.Event]:
        sent: list[events.Event] = []
        for position, record in placed:
            actions: deque[Action] = deque(self._director.on_record(position, record))
            while actions:
                action = actions.popleft()
                if isinstance(action, events.Event):
                    sent.append(events.numbered(action, self._n_sent))
                    self._n_sent += 1
                elif not isinstance(action, Forget):
                    result = self._engine.submit(action).result()
                    actions.extend(self._director.on_result(result))
        return sent
