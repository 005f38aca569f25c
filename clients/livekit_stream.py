"""One session on the server -> the speech events of LiveKit Agents.

`clients.livekit` is what an agent imports.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from livekit import rtc
from livekit.agents import (
    APIConnectionError,
    APIConnectOptions,
    APIError,
    APIStatusError,
    APITimeoutError,
    LanguageCode,
    stt,
)
from livekit.agents.types import TimedString

from clients.connection import Connection
from clients.conversation import OpenTurns, TurnSoFar
from clients.errors import ConnectionFailed, ConnectionLost
from clients.mono import MonoStream
from clients.player import in_parallel
from stream_erc import events
from stream_erc.events import ServerEvent

Action = Callable[[Connection], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class EmotionEvent:
    """What a turn of the caller conveys.

    Attributes:
        turn: Its number in its session.
        speaker_id: The speaker, as given to `STT`.
        transcript: The words so far.
        label: The most likely emotion.
        probabilities: Of every emotion; their sum is 1.
        sentiment: Of negative, neutral and positive; likewise.
        is_final: True once the turn is over; then this is never taken back.
    """

    turn: int
    speaker_id: str | None
    transcript: str
    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    is_final: bool


class SpeechStream(stt.RecognizeStream):  # type: ignore[misc]
    """One session on the server; its turns are the server's.

    `flush` ends the running turn. Where a session breaks off for good, the framework
    opens another one.
    """

    def __init__(
        self,
        *,
        stt: stt.STT,
        conn_options: APIConnectOptions,
        language: str | None,
        dial: Callable[[], Any],
    ) -> None:
        """Begin to connect; made by `STT.stream`."""
        super().__init__(stt=stt, conn_options=conn_options)
        self._language = LanguageCode(language or "")
        self._dial = dial
        self._words: dict[int, events.TranscriptFinal] = {}  # they wait for emotions
        self._newest_turn = -1
        self._reported_ms = 0  # audio told of as usage

    @property
    def n_waiting(self) -> int:
        """Frames that have not been sent yet."""
        return int(self._input_ch.qsize())

    def do(self, action: Action) -> None:
        """Have something done between the frames before and those to come."""
        if not self._input_ch.closed:
            self._input_ch.send_nowait(action)

    async def _run(self) -> None:
        """Hold one session.

        Raises:
            APIError: If it cannot be opened, or breaks off.
        """
        self._words.clear()
        self._newest_turn, self._reported_ms = -1, 0
        try:
            async with self._dial() as connection:
                try:
                    await in_parallel(self._send(connection), self._receive(connection))
                except asyncio.CancelledError:
                    await connection.leave()
                    raise
        except (ConnectionFailed, ConnectionLost) as error:
            raise as_api_error(error) from error

    async def _send(self, connection: Connection) -> None:
        mono = MonoStream()
        is_first = True
        async for item in self._input_ch:
            if isinstance(item, rtc.AudioFrame):
                if is_first:
                    self.start_time, is_first = time.time(), False
                pcm = mono.convert(
                    bytes(item.data), item.sample_rate, item.num_channels
                )
                await connection.send_audio(pcm)
            elif isinstance(item, self._FlushSentinel):
                await connection.send_audio(mono.flush())
                await connection.flush_turn()
            else:
                await item(connection)
        await connection.end()

    async def _receive(self, connection: Connection) -> None:
        turns = OpenTurns()
        session_id = connection.started.session_id
        async for event in connection:
            turn = turns.take(event)
            if turn is not None:
                for told in self._speech_events(event, turn):
                    told.request_id = session_id
                    self._event_ch.send_nowait(told)

    def _speech_events(
        self, event: ServerEvent, turn: TurnSoFar
    ) -> list[stt.SpeechEvent]:
        """Give what the framework is to be told of an event."""
        match event:
            case events.TurnStarted():
                self._newest_turn = event.turn
                began_s = self.start_time + event.voice_start_ms / 1000
                return [speech_event("START_OF_SPEECH", speech_start_time=began_s)]
            case events.TranscriptPartial():
                said = self._speech_data(turn)
                return [speech_event("INTERIM_TRANSCRIPT", alternatives=[said])]
            case events.EmotionPartial():
                self._emit_emotion(turn)
            case events.TranscriptFinal():
                self._words[event.turn] = event
            case events.EmotionFinal():
                return self._finish(turn, event.time_ms)
        return []

    def _finish(self, turn: TurnSoFar, time_ms: int) -> list[stt.SpeechEvent]:
        """Tell the feelings, then the words, then that nobody speaks."""
        words = self._words.pop(turn.turn).words
        ended = {"speech_end_time": self.start_time + (turn.end_ms or 0) / 1000}
        usage = stt.RecognitionUsage(
            audio_duration=(time_ms - self._reported_ms) / 1000
        )
        self._reported_ms = time_ms
        told = [speech_event("RECOGNITION_USAGE", recognition_usage=usage)]
        if not turn.is_rejected:
            self._emit_emotion(turn)
            said = self._speech_data(turn, words)
            told.append(speech_event("FINAL_TRANSCRIPT", alternatives=[said], **ended))
        if turn.turn == self._newest_turn:  # else the next one is being spoken
            told.append(speech_event("END_OF_SPEECH", **ended))
        return told

    def _speech_data(
        self, turn: TurnSoFar, words: tuple[events.WordTiming, ...] = ()
    ) -> stt.SpeechData:
        offset_s = self.start_time_offset
        feelings = {
            "label": turn.label,
            "probabilities": dict(turn.probabilities),
            "sentiment": dict(turn.sentiment),
        }
        return stt.SpeechData(
            language=self._language,
            text=turn.text,
            start_time=turn.start_ms / 1000 + offset_s,
            end_time=turn.end_ms / 1000 + offset_s if turn.end_ms is not None else 0.0,
            confidence=(
                sum(each.probability for each in words) / len(words) if words else 0.0
            ),
            speaker_id=turn.speaker,
            words=[
                TimedString(
                    each.word,
                    start_time=each.start_ms / 1000 + offset_s,
                    end_time=each.end_ms / 1000 + offset_s,
                    start_time_offset=offset_s,
                )
                for each in words
            ],
            metadata={"emotion": feelings} if turn.label else None,
        )

    def _emit_emotion(self, turn: TurnSoFar) -> None:
        self._stt.emit(
            "emotion",
            EmotionEvent(
                turn=turn.turn,
                speaker_id=turn.speaker,
                transcript=turn.text,
                label=turn.label or "",
                probabilities=dict(turn.probabilities),
                sentiment=dict(turn.sentiment),
                is_final=turn.is_final,
            ),
        )


def speech_event(kind: str, **fields: Any) -> stt.SpeechEvent:
    """Make an event of the framework."""
    return stt.SpeechEvent(type=stt.SpeechEventType[kind], **fields)


def as_api_error(error: ConnectionFailed | ConnectionLost) -> APIError:
    """Give the framework's error for one of ours; `retryable` says what to do."""
    if isinstance(error, ConnectionLost):
        return APIConnectionError(str(error))
    if error.http_status is not None:
        return APIStatusError(
            str(error), status_code=error.http_status, retryable=error.is_temporary
        )
    if error.code == "timeout":
        return APITimeoutError(str(error))
    return APIConnectionError(str(error), retryable=error.is_temporary)
