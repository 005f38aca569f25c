"""Record, Result, error -> Event: what happens here in the words of the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np

from . import events
from .config import Settings
from .engine import HearResult, Origin, UnderstandResult
from .errors import SessionError
from .flow import (
    EMOTIONS,
    SENTIMENTS,
    AudioAltered,
    Emotion,
    MarkerReached,
    StreamEnded,
    TurnAudio,
    TurnEnded,
    TurnResumed,
    TurnStarted,
    Vector,
    VoiceEdge,
    Word,
    to_ms,
)
from .names import AUTO

Announced = (
    VoiceEdge | TurnStarted | TurnResumed | AudioAltered | MarkerReached | StreamEnded
)


class Spelled(TypedDict):
    """What provisional and final emotions have in common."""

    label: str
    probabilities: dict[str, float]
    sentiment: dict[str, float]
    modalities: tuple[str, ...]


def welcome(
    settings: Settings,
    session_id: str,
    resume_token: str | None = None,
    *,
    is_recorded: bool = False,
    n_remembered: int = 0,
) -> events.SessionStarted:
    """Tell a client that its session is open, and what it should know of the server.

    Args:
        settings: Of the server.
        session_id: Of the session.
        resume_token: With which it can be resumed; None: it cannot.
        is_recorded: Whether the server keeps its audio.
        n_remembered: How many turns its conversation has had.
    """
    turns, limits = settings.turns, settings.limits
    return events.SessionStarted(
        session_id=session_id,
        resume_token=resume_token,
        protocol=1,
        labels=EMOTIONS,
        recorded=is_recorded,
        conversation_turns=n_remembered,
        limits=events.Limits(
            max_frame_bytes=limits.max_frame_kib * 1024,
            max_text_bytes=limits.max_text_kib * 1024,
            max_session_s=limits.max_session_s,
            idle_timeout_s=limits.idle_timeout_s,
            max_turn_ms=turns.max_turn_ms,
            end_silence_ms=turns.end_silence_ms,
            pre_roll_ms=turns.pre_roll_ms,
            resume_window_s=settings.server.resume_window_s,
        ),
    )


def announce(record: Announced, time_ms: int) -> events.Event:
    """Tell the client of what was heard."""
    match record:
        case VoiceEdge(at, is_start):
            kind = events.SpeechStarted if is_start else events.SpeechStopped
            return kind(time_ms=time_ms, at_ms=to_ms(at))
        case TurnStarted():
            return events.TurnStarted(
                time_ms=time_ms,
                turn=record.turn,
                speaker=None if record.speaker == AUTO else record.speaker,
                start_ms=to_ms(record.start),
                voice_start_ms=to_ms(record.voice_start),
            )
        case TurnResumed():
            return events.TurnResumed(time_ms=time_ms, turn=record.turn)
        case AudioAltered(code, message):
            return events.Warn(time_ms=time_ms, code=code, message=message)
        case MarkerReached(identifier):
            return events.Marker(time_ms=time_ms, id=identifier)
        case StreamEnded(n_turns, n_samples):
            return events.SessionEnded(
                time_ms=time_ms, turns=n_turns, audio_ms=to_ms(n_samples)
            )


def turn_ended(record: TurnEnded, speaker: str, time_ms: int) -> events.TurnEnded:
    """Tell that a turn is over, why, and whose it was."""
    return events.TurnEnded(
        time_ms=time_ms,
        turn=record.audio.turn,
        speaker=speaker,
        start_ms=to_ms(record.audio.start),
        end_ms=to_ms(record.audio.end),
        decided_ms=to_ms(record.decided),
        reason=record.reason,
    )


def transcript_final(
    ended: TurnEnded, heard: HearResult, time_ms: int
) -> events.TranscriptFinal:
    """Tell what was said, with word times on the audio clock."""
    return events.TranscriptFinal(
        time_ms=time_ms,
        turn=ended.audio.turn,
        text=heard.transcript.text,
        words=tuple(word_timing(word, ended.audio) for word in heard.transcript.words),
        rejected=heard.transcript.is_rejected,
    )


def not_transcribed(ended: TurnEnded, time_ms: int) -> events.Warn:
    """Tell that the recognizer has failed at a turn."""
    return events.Warn(
        time_ms=time_ms,
        code="not_transcribed",
        message=f"turn {ended.audio.turn}: expected its words, got a failure here, "
        "which is logged; it is judged by the voice",
    )


def not_judged(origin: Origin, time_ms: int) -> events.Warn:
    """Tell that the emotion model has failed at a turn, or at a line of context."""
    which = f"turn {origin.turn}" if origin.turn >= 0 else "context.add"
    return events.Warn(
        time_ms=time_ms,
        code="not_judged",
        message=f"{which}: expected its emotion, got a failure here, which is logged; "
        "it is not in the context of later turns",
    )


def word_timing(word: Word, turn: TurnAudio) -> events.WordTiming:
    """Move a word from the turn's time to the stream's.

    Whisper gives the silence before the first word to it; it starts with the voice.
    """
    end = turn.start + word.end
    start = max(turn.start + word.start, min(turn.voice_start, end))
    return events.WordTiming(
        word=word.text,
        start_ms=to_ms(start),
        end_ms=to_ms(end),
        probability=round(word.probability, 3),
    )


def emotion_partial(result: UnderstandResult, time_ms: int) -> events.EmotionPartial:
    """Tell what a turn conveys so far."""
    return events.EmotionPartial(
        time_ms=time_ms,
        turn=result.origin.turn,
        revision=result.origin.revision,
        **spell(result.emotion),
    )


def emotion_final(
    heard: HearResult,
    understood: UnderstandResult,
    context_seq: int,
    since_decided_s: float,
    time_ms: int,
) -> events.EmotionFinal:
    """Tell what a turn conveys, and how long that took."""
    return events.EmotionFinal(
        time_ms=time_ms,
        turn=understood.origin.turn,
        **spell(understood.emotion),
        context_turns=understood.emotion.context_turns,
        context_seq=context_seq,
        latency=events.Latency(
            endpoint_ms=round(since_decided_s * 1000, 1),
            compute_ms=round((heard.compute_s + understood.compute_s) * 1000, 1),
            queue_ms=round((heard.queue_s + understood.queue_s) * 1000, 1),
            hear_ms=round(heard.compute_s * 1000, 1),
            understand_ms=round(understood.compute_s * 1000, 1),
        ),
    )


def spell(emotion: Emotion) -> Spelled:
    """Give the fields that provisional and final emotions have in common."""
    return {
        "label": emotion.label,
        "probabilities": name(EMOTIONS, emotion.emotions),
        "sentiment": name(SENTIMENTS, emotion.sentiments),
        "modalities": emotion.modalities,
    }


def name(labels: tuple[str, ...], probabilities: Vector) -> dict[str, float]:
    """Pair labels and probabilities; four digits keep the sum within 0.001."""
    rounded = np.round(probabilities.astype(float), 4).tolist()
    return dict(zip(labels, rounded, strict=True))


def failure(error: SessionError, time_ms: int) -> events.Failure:
    """Tell the client of an error."""
    return events.Failure(
        time_ms=time_ms,
        code=error.code,
        message=str(error),
        recoverable=error.is_recoverable,
    )


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
