"""Pipecat: the caller's audio -> frames with what each turn conveys.

pipeline = Pipeline([transport.input(), EmotionProcessor(), stt, ...])

Every frame passes as it is. Audio goes to a stream-erc server beside the pipeline; what
comes back goes downstream: `InterimEmotionFrame` while a turn is spoken, `EmotionFrame`
once it is over. What the assistant has said (`LLMContextAssistantTurnFrame`, which the
context aggregator sends) enters the conversation as a turn that was not heard. A server
that is not there is told once, by an `ErrorFrame`; the pipeline goes on.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from loguru import logger
from pipecat.frames.frames import (
    CancelFrame,
    DataFrame,
    EndFrame,
    Frame,
    InputAudioRawFrame,
    InterimTranscriptionFrame,
    LLMContextAssistantTurnFrame,
    StartFrame,
    TranscriptionFrame,
    UserStoppedSpeakingFrame,
)
from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
from pipecat.utils.errors import ErrorCategory
from pipecat.utils.time import time_now_iso8601

from clients.connection import Connection, connect
from clients.conversation import OpenTurns, TurnSoFar
from clients.errors import ConnectionFailed, ConnectionLost
from clients.mono import MonoStream
from clients.opening import DEFAULT_URL
from clients.player import in_parallel
from clients.sources import FORMAT
from stream_erc import events
from stream_erc.events import ServerEvent

__all__ = ["EmotionFrame", "EmotionProcessor", "InterimEmotionFrame"]

MAX_WAITING = 1500  # pieces that wait for the server: 30 s in frames of 20 ms
END_TIMEOUT_S = 10.0  # the last finals must come within it
CANCEL_TIMEOUT_S = 2.0
RETRY_S = (0.5, 3.0)  # at random: clients that lost a server do not come back at once
QUIET_CODES = ("idle", "session_too_long")  # the next audio opens another session

Action = Callable[[Connection], Awaitable[None]]


@dataclass
class InterimEmotionFrame(DataFrame):  # type: ignore[misc]
    """What the caller's turn conveys so far.

    Parameters:
        turn: Number of the turn in its session.
        user_id: The speaker, as given to the processor.
        text: The words so far.
        label: The most likely emotion.
        probabilities: Of every emotion; their sum is 1.
        sentiment: Of negative, neutral and positive; likewise.
    """

    turn: int
    user_id: str
    text: str
    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]


@dataclass
class EmotionFrame(InterimEmotionFrame):
    """What the caller's turn conveyed; never taken back.

    It keeps its place among transcriptions, as a data frame, but no interruption drops
    it: the caller's next words do not undo what the last ones conveyed.
    """

    interruptible: bool = field(default=False, init=False)


class Outbox:
    """What is to be sent, in order; putting never waits.

    Attributes:
        n_lost: Pieces that fell out at the old end, since nobody took them in time.
    """

    def __init__(self, max_waiting: int = MAX_WAITING) -> None:
        """Begin empty."""
        self.n_lost = 0
        self._waiting: deque[Action] = deque(maxlen=max_waiting)
        self._filled = asyncio.Event()

    def put(self, action: Action) -> None:
        """Add a piece at the new end."""
        self.n_lost += len(self._waiting) == self._waiting.maxlen
        self._waiting.append(action)
        self._filled.set()

    async def take(self) -> Action:
        """Wait for the oldest piece and take it out."""
        await self._filled.wait()
        action = self._waiting.popleft()
        if not self._waiting:
            self._filled.clear()
        return action


class EmotionProcessor(FrameProcessor):  # type: ignore[misc]
    """Hears one caller; stands right behind the transport's input.

    Its turns are the server's; `UserStoppedSpeakingFrame` ends them, too, so that they
    never outlast the pipeline's.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        speaker: str = "caller",
        agent: str = "agent",
        conversation_id: str | None = None,
        language: str | None = None,
        token: str | None = None,
        ca: Path | None = None,
        transcripts: bool = False,
        **options: Any,
    ) -> None:
        """Make a processor; it connects when there is something to be heard.

        Args:
            url: ws[s]://HOST:PORT/v1/stream.
            speaker: Name of the caller in the conversation.
            agent: Name of the assistant there.
            conversation_id: Sessions with the same one share one context.
            language: Of the speech; None: the server's default.
            token: For a server that wants one.
            ca: PEM file of whoever vouches for the server; None: whom the system
                trusts.
            transcripts: Push the words, too, as a speech-to-text service does; for
                pipelines that have no other.
            options: Of `FrameProcessor`.
        """
        super().__init__(**options)
        self._connect = partial(
            connect,
            url,
            audio=FORMAT,
            speaker=speaker,
            conversation_id=conversation_id,
            language=language,
            token=token,
            ca=ca,
        )
        self._agent = agent
        self._transcripts = transcripts
        self._mono = MonoStream()
        self._outbox = Outbox()
        self._heard = asyncio.Event()  # there is audio for a session
        self._ending = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._told: str | None = None  # code of the error that was pushed last

    def add_context(self, text: str, speaker: str) -> None:
        """Add a turn that was not heard, such as a line of a chat."""
        if text := text.strip():
            self._outbox.put(lambda to: to.add_context(speaker, text))

    async def process_frame(self, frame: Frame, direction: FrameDirection) -> None:
        """Take what concerns us from a frame, and pass it on."""
        await super().process_frame(frame, direction)
        match frame:
            case StartFrame():
                self._listening = self.create_task(self._listen(), name="listen")
            case InputAudioRawFrame():
                self._hear(frame)
            case UserStoppedSpeakingFrame():
                self._outbox.put(Connection.flush_turn)
            case LLMContextAssistantTurnFrame():
                self.add_context(frame.text, self._agent)
            case EndFrame():
                await self._finish()
            case CancelFrame():
                await self._stop()
        await self.push_frame(frame, direction)

    async def cleanup(self) -> None:
        """Leave nothing behind."""
        await self._stop()
        await super().cleanup()

    # --- from the pipeline ----------------------------------------------------

    def _hear(self, frame: InputAudioRawFrame) -> None:
        if self._ending.is_set():
            return
        pcm = self._mono.convert(frame.audio, frame.sample_rate, frame.num_channels)
        if pcm:
            self._outbox.put(lambda to: to.send_audio(pcm))
            self._heard.set()

    async def _finish(self) -> None:
        """Wait for the last finals, but not for a server that is gone."""
        if self._listening is not None and self._heard.is_set():
            rest = self._mono.flush()
            self._outbox.put(lambda to: to.send_audio(rest))
            self._outbox.put(Connection.end)
            self._ending.set()
            await asyncio.wait([self._listening], timeout=END_TIMEOUT_S)
        await self._stop()

    async def _stop(self) -> None:
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await self.cancel_task(listening, timeout=CANCEL_TIMEOUT_S)

    # --- to and from the server -----------------------------------------------

    async def _listen(self) -> None:
        """Hold sessions, one after another where one breaks off, until the end."""
        while not self._ending.is_set():
            await self._heard.wait()
            try:
                await self._hold_session()
            except (ConnectionFailed, ConnectionLost) as error:
                await self._report(error)
                if isinstance(error, ConnectionFailed) and not error.is_temporary:
                    return
                if error.code in QUIET_CODES:
                    self._heard.clear()
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(random.uniform(*RETRY_S)):
                            await self._ending.wait()

    async def _hold_session(self) -> None:
        """Send and receive until the session has ended.

        Raises:
            ConnectionFailed: If it cannot be opened.
            ConnectionLost: If it breaks off.
        """
        async with self._connect() as connection:
            self._told = None
            try:
                await in_parallel(self._send(connection), self._receive(connection))
            except asyncio.CancelledError:
                await connection.leave()
                raise

    async def _send(self, connection: Connection) -> None:
        n_lost = self._outbox.n_lost
        while True:
            action = await self._outbox.take()
            await action(connection)
            if self._outbox.n_lost > n_lost:
                n_lost = self._outbox.n_lost
                logger.warning(f"{self}: the server is behind, {n_lost} frames lost")
            if action is Connection.end:
                return

    async def _receive(self, connection: Connection) -> None:
        turns = OpenTurns()
        async for event in connection:
            if isinstance(event, events.Warn | events.Failure):
                logger.warning(f"{self}: {event.code}: {event.message}")
            turn = turns.take(event)
            if turn is not None and not turn.is_rejected:
                for frame in self._frames(event, turn):
                    await self.push_frame(frame)

    def _frames(self, event: ServerEvent, turn: TurnSoFar) -> Iterator[Frame]:
        """Give the frames that an event makes.

        The words of a turn wait for its emotion, so that whoever answers them has it.
        """
        match event:
            case events.EmotionPartial():
                yield InterimEmotionFrame(**self._conveyed(turn))
            case events.TranscriptPartial() if self._transcripts:
                yield InterimTranscriptionFrame(
                    turn.text, turn.speaker or "", time_now_iso8601()
                )
            case events.EmotionFinal():
                yield EmotionFrame(**self._conveyed(turn))
                if self._transcripts and turn.text:
                    yield TranscriptionFrame(
                        turn.text,
                        turn.speaker or "",
                        time_now_iso8601(),
                        finalized=True,
                    )

    @staticmethod
    def _conveyed(turn: TurnSoFar) -> dict[str, Any]:
        """Give the fields of both emotion frames."""
        return {
            "turn": turn.turn,
            "user_id": turn.speaker or "",
            "text": turn.text,
            "label": turn.label,
            "probabilities": dict(turn.probabilities),
            "sentiment": dict(turn.sentiment),
        }

    async def _report(self, error: ConnectionFailed | ConnectionLost) -> None:
        """Tell the pipeline once of what keeps going wrong."""
        if error.code in (self._told, *QUIET_CODES):
            return
        self._told = error.code
        category = ErrorCategory.CONNECTIVITY
        if isinstance(error, ConnectionFailed) and not error.is_temporary:
            refused = error.http_status in (401, 403)
            category = (
                ErrorCategory.AUTHENTICATION
                if refused
                else ErrorCategory.INVALID_REQUEST
            )
        await self.push_error(f"stream-erc: {error}", error, category=category)
