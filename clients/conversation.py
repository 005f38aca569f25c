"""Events -> turns as they stand: what a view shows, and the table at the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from clients.schedule import SendTimes
from stream_erc import events
from stream_erc.events import ServerEvent

TABLE_HEADER = (
    "turn",
    "speaker",
    "time",
    "words",
    "emotion",
    "probability",
    "ms after the endpoint",
)
LABELLED = "labelled"  # what the corpus says: a column only where it does


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnSoFar:
    """What is known of a turn.

    Attributes:
        turn: Its number.
        speaker: Who speaks; None while that is being found.
        start_ms: Its first sample on the audio clock, pre-roll included.
        end_ms: Behind its last; None while it runs.
        decided_ms: When its end was decided; None while it runs.
        text: The words so far.
        stable_chars: So many characters of `text` stay.
        is_rejected: True where the final says that this was not speech.
        label: The emotion so far; None before the first one.
        probabilities: Of every emotion; empty before the first one.
        sentiment: Of each sentiment; empty before the first one.
        is_final: True once the emotion is final; nothing changes after that.
        after_endpoint_ms: Wall time from sending sample `decided_ms` to the final
            emotion; None before that.
    """

    turn: int
    speaker: str | None
    start_ms: int
    end_ms: int | None = None
    decided_ms: int | None = None
    text: str = ""
    stable_chars: int = 0
    is_rejected: bool = False
    label: str | None = None
    probabilities: Mapping[str, float] = field(default_factory=dict)
    sentiment: Mapping[str, float] = field(default_factory=dict)
    is_final: bool = False
    after_endpoint_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Played:
    """What a client played where, to be set beside what the server heard.

    Attributes:
        start_ms: First sample on the audio clock.
        end_ms: Behind the last.
        emotion: What the corpus says of it; None where it does not say.
    """

    start_ms: float
    end_ms: float
    emotion: str | None


class Conversation:
    """The turns of one session, and what there is to see beside them, event by event.

    Attributes:
        labels: Of the emotions; empty before the session has started.
        emotions: Speaker and label of every final turn in order, but those that were no
            speech; also of other participants, where the session observes them.
        time_ms: The audio clock.
        is_voice: Whether somebody is speaking.
        is_recorded: Whether the server keeps the audio.
        lag_ms: From sending the audio that caused the last event to its arrival;
            None before the first one.
        behind_ms: How far the server says that it is behind.
        is_degraded: Whether it leaves partials out for that.
    """

    def __init__(self) -> None:
        """Begin before the first event."""
        self.labels: tuple[str, ...] = ()
        self.emotions: list[tuple[str, str]] = []
        self.time_ms = 0
        self.is_voice = False
        self.is_recorded = False
        self.lag_ms: float | None = None
        self.behind_ms = 0
        self.is_degraded = False
        self._turns: dict[int, TurnSoFar] = {}

    @property
    def turns(self) -> list[TurnSoFar]:
        """Every turn of the session so far, in order."""
        return [self._turns[number] for number in sorted(self._turns)]

    def take(
        self, event: ServerEvent, received_s: float, send_times: SendTimes
    ) -> TurnSoFar | None:
        """Take in an event.

        Args:
            event: From the server.
            received_s: Wall time at which it came.
            send_times: When the audio went out.

        Returns:
            The turn that it is about, as it now stands; None if it is about none.
        """
        self.time_ms = max(self.time_ms, event.time_ms)
        if event.time_ms and send_times.sent_ms:
            self.lag_ms = (received_s - send_times.sent_at(event.time_ms)) * 1000
        turn = self._take_turn(event, received_s, send_times)
        if turn is None:
            self._take_state(event)
        elif isinstance(event, events.EmotionFinal | events.ConversationTurn):
            if not turn.is_rejected:
                self.emotions.append((turn.speaker or "?", turn.label or ""))
        return turn

    def _take_turn(
        self, event: ServerEvent, received_s: float, send_times: SendTimes
    ) -> TurnSoFar | None:
        if isinstance(event, events.ConversationTurn):
            return of_another(event)
        if isinstance(event, events.TurnStarted):
            turn = TurnSoFar(
                turn=event.turn, speaker=event.speaker, start_ms=event.start_ms
            )
        elif isinstance(event, events.TurnEvent) and event.turn in self._turns:
            turn = advance(self._turns[event.turn], event)
            if turn.is_final and turn.decided_ms is not None and send_times.sent_ms:
                waited_s = received_s - send_times.sent_at(turn.decided_ms)
                turn = replace(turn, after_endpoint_ms=waited_s * 1000)
        else:
            return None
        self._turns[turn.turn] = turn
        return turn

    def _take_state(self, event: ServerEvent) -> None:
        match event:
            case events.SessionStarted():
                self.labels = event.labels
                self.is_recorded = event.recorded
            case events.SpeechStarted():
                self.is_voice = True
            case events.SpeechStopped() | events.SessionEnded():
                self.is_voice = False
            case events.Status():
                self.behind_ms = event.lag_ms
                self.is_degraded = event.degraded


def of_another(event: events.ConversationTurn) -> TurnSoFar:
    """Give a turn of another participant; it has no number here."""
    return TurnSoFar(
        turn=-1,
        speaker=event.speaker,
        start_ms=event.start_ms,
        end_ms=event.end_ms,
        text=event.text,
        stable_chars=len(event.text),
        is_rejected=event.rejected,
        label=event.label,
        probabilities=event.probabilities,
        sentiment=event.sentiment,
        is_final=True,
    )


class OpenTurns:
    """The turns that have no final emotion yet; the others are forgotten."""

    def __init__(self) -> None:
        """Begin before the first event."""
        self._turns: dict[int, TurnSoFar] = {}

    def take(self, event: ServerEvent) -> TurnSoFar | None:
        """Take in an event.

        Returns:
            The turn that it is about, as it now stands; None if it is about none.
        """
        if isinstance(event, events.TurnStarted):
            turn = TurnSoFar(
                turn=event.turn, speaker=event.speaker, start_ms=event.start_ms
            )
        elif isinstance(event, events.TurnEvent) and event.turn in self._turns:
            turn = advance(self._turns[event.turn], event)
        else:
            return None
        self._turns[turn.turn] = turn
        if turn.is_final:
            del self._turns[turn.turn]
        return turn


def advance(turn: TurnSoFar, event: events.TurnEvent) -> TurnSoFar:
    """Tell how a turn stands after an event about it."""
    match event:
        case events.TranscriptPartial():
            return replace(turn, text=event.text, stable_chars=event.stable_chars)
        case events.TranscriptFinal():
            return replace(
                turn,
                text=event.text,
                stable_chars=len(event.text),
                is_rejected=event.rejected,
            )
        case events.EmotionPartial() | events.EmotionFinal():
            return replace(
                turn,
                label=event.label,
                probabilities=event.probabilities,
                sentiment=event.sentiment,
                is_final=isinstance(event, events.EmotionFinal),
            )
        case events.TurnEnded():
            return replace(
                turn,
                speaker=event.speaker,
                start_ms=event.start_ms,
                end_ms=event.end_ms,
                decided_ms=event.decided_ms,
            )
        case _:
            return turn


def tabulate(
    turns: Sequence[TurnSoFar], played: Sequence[Played]
) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Make the table of a conversation's finished turns.

    Returns:
        The header, and one row per turn; a column of the corpus's emotions is there
        only if it has any.
    """
    rows: list[tuple[str, ...]] = []
    for turn in turns:
        if not turn.is_final:
            continue
        row: tuple[str, ...] = (
            str(turn.turn),
            turn.speaker or "",
            clock(turn.start_ms),
            words_of(turn),
            *emotion_of(turn),
            "" if turn.after_endpoint_ms is None else f"{turn.after_endpoint_ms:.0f}",
        )
        rows.append((*row, emotion_played(turn, played) or ""))
    if any(each.emotion for each in played):
        return (*TABLE_HEADER, LABELLED), rows
    return TABLE_HEADER, [row[:-1] for row in rows]


def count_agreement(
    turns: Sequence[TurnSoFar], played: Sequence[Played], n_labels: int
) -> str:
    """Say how many turns are called what the corpus calls them; "" where it is silent.

    Args:
        turns: Those without a final do not count.
        played: What the corpus says.
        n_labels: Among how many emotions the server chooses.
    """
    finals = [turn for turn in turns if turn.is_final]
    pairs = [(emotion_of(turn)[0], emotion_played(turn, played)) for turn in finals]
    n_labelled = sum(wanted is not None for _, wanted in pairs)
    if not (n_labelled and n_labels):
        return ""
    n_same = sum(label == wanted for label, wanted in pairs)
    return (
        f"{n_same} of {n_labelled} labelled turns agree; guessing among {n_labels} "
        f"emotions gives {n_labelled / n_labels:.1f}"
    )


def emotion_played(turn: TurnSoFar, played: Sequence[Played]) -> str | None:
    """Give the corpus's emotion of what was playing for most of a turn."""

    def shared_ms(each: Played) -> float:
        end_ms = turn.start_ms if turn.end_ms is None else turn.end_ms
        return min(end_ms, each.end_ms) - max(turn.start_ms, each.start_ms)

    longest = max(played, key=shared_ms, default=None)
    return longest.emotion if longest and shared_ms(longest) > 0 else None


def words_of(turn: TurnSoFar) -> str:
    """Give the words of a turn, or say why there are none."""
    return "(not speech)" if turn.is_rejected else turn.text


def emotion_of(turn: TurnSoFar) -> tuple[str, str]:
    """Give the emotion of a finished turn and its probability; "-" if it was no speech.

    The server tells one for that, too, but it says nothing.
    """
    if turn.is_rejected:
        return "-", "-"
    label = turn.label or ""
    return label, f"{turn.probabilities.get(label, 0.0):.2f}"


def clock(ms: int) -> str:
    """Write a time on the audio clock as m:ss.t."""
    tenths = round(ms / 100)
    return f"{tenths // 600}:{tenths // 10 % 60:02d}.{tenths % 10}"
