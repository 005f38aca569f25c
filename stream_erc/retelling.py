"""Event -> ConversationTurn: a session's finals, retold to the other participants."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from . import events


class Retelling:
    """Joins the events of each turn once its last final is told.

    Args:
        session_id: Whose turns they are.
        tell: Told of each turn, on the clock of its own session.
    """

    def __init__(
        self, session_id: str, tell: Callable[[events.ConversationTurn], None]
    ) -> None:
        self._session_id = session_id
        self._tell = tell
        self._ended: dict[int, events.TurnEnded] = {}  # by turn, without its finals
        self._said: dict[int, events.TranscriptFinal] = {}  # likewise

    def push(self, event: events.Event) -> None:
        """Take in what the session's own client is told, in its order."""
        match event:
            case events.TurnEnded():
                self._ended[event.turn] = event
            case events.TranscriptFinal():
                self._said[event.turn] = event
            case events.EmotionFinal():
                ended, said = self._ended.pop(event.turn), self._said.pop(event.turn)
                self._tell(self._join(ended, said, event))

    def _join(
        self,
        ended: events.TurnEnded,
        said: events.TranscriptFinal,
        judged: events.EmotionFinal,
    ) -> events.ConversationTurn:
        return events.ConversationTurn(
            time_ms=judged.time_ms,
            session_id=self._session_id,
            speaker=ended.speaker,
            start_ms=ended.start_ms,
            end_ms=ended.end_ms,
            text=said.text,
            rejected=said.rejected,
            label=judged.label,
            probabilities=judged.probabilities,
            sentiment=judged.sentiment,
            modalities=judged.modalities,
            context_turns=judged.context_turns,
            context_seq=judged.context_seq,
        )


def on_clock(turn: events.ConversationTurn, time_ms: int) -> events.ConversationTurn:
    """Give a turn on the audio clock of who hears of it, which shows `time_ms` now."""
    ahead_ms = time_ms - turn.time_ms
    return msgspec.structs.replace(
        turn,
        time_ms=time_ms,
        start_ms=turn.start_ms + ahead_ms,
        end_ms=turn.end_ms + ahead_ms,
    )
