"""Record, Result -> Event, Request: the order of everything in one session.

Without sockets, clocks and threads: a driver hands in what was heard and what the
engine answered, and carries out what comes back. All order that the protocol
promises is kept here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from . import events
from .completeness import judge_completeness
from .conversation import Conversation
from .engine import (
    HearResult,
    Lane,
    Origin,
    Request,
    Result,
    UnderstandResult,
)
from .flow import (
    Completeness,
    ContextAdded,
    MarkerReached,
    Record,
    StreamEnded,
    TurnAudio,
    TurnEnded,
    TurnFeatures,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    to_ms,
)
from .names import AUTO
from .partials import Partials
from .terms import SessionTerms, understand
from .voices import Voices
from .wording import (
    announce,
    emotion_final,
    not_judged,
    not_transcribed,
    transcript_final,
    turn_ended,
)


@dataclass(frozen=True, slots=True)
class Forget:
    """The results of the requests from there are not wanted any more."""

    origin: Origin


Action = events.Event | Request | Forget


@dataclass(slots=True)
class Commit:
    """A turn on its way into the conversation.

    Attributes:
        origin: Of its requests.
        features: Of the turn; None until it is heard.
        audio: None for a turn that was not heard.
        ended: None while the speaker may still go on.
        decided_s: When its end was decided.
        heard: The recognizer's answer.
        speaker: Who spoke, where that was found by voice; None until then.
        voices: Whose voices are known with this turn; likewise.
        asked_version: Version of the context that the model was last asked with.
        understood: The model's last answer.
        is_transcript_sent: Whether the client has the words.
    """

    origin: Origin
    features: TurnFeatures | None = None
    audio: TurnAudio | None = None
    ended: TurnEnded | None = None
    decided_s: float = 0.0
    heard: HearResult | None = None
    speaker: str | None = None
    voices: Voices | None = None
    asked_version: int | None = None
    understood: UnderstandResult | None = None
    is_transcript_sent: bool = False


class Director:
    """One session's order of events.

    Args:
        terms: What the session was started with.
        conversation: Shared with the other sessions of the conversation.
        clock: Gives monotonic seconds.
    """

    def __init__(
        self,
        terms: SessionTerms,
        conversation: Conversation,
        clock: Callable[[], float],
    ) -> None:
        self._terms = terms
        self._conversation = conversation
        self._clock = clock
        self._partials = Partials(terms, conversation, clock)
        self._position = 0  # samples heard
        self._n_attempts = 0  # tells the requests of one turn apart
        self._queue: deque[Commit | events.Event] = deque()  # events tell of marks
        self._speculation: Commit | None = None  # of the running turn

    @property
    def n_unfinished(self) -> int:
        """How many turns and marks wait for their place in the conversation."""
        return len(self._queue)

    @property
    def time_ms(self) -> int:
        """The audio clock."""
        return to_ms(self._position)

    @property
    def completeness(self) -> Completeness | None:
        """What the words before the pause sound like; None until they are heard."""
        if self._speculation is None:
            return Completeness.UNKNOWN
        heard = self._speculation.heard
        if heard is None:
            return None
        if heard.is_rescued:
            return Completeness.UNKNOWN
        return judge_completeness(heard.transcript)

    def on_heard(self, position: int) -> None:
        """Take in that so many samples have been processed, also where all is quiet."""
        self._position = max(self._position, position)

    def on_record(self, position: int, record: Record) -> Sequence[Action]:
        """Take in what was heard when `position` samples had been processed."""
        self.on_heard(position)
        match record:
            case TurnHeard():
                return self._partials.ask(record)
            case TurnPaused(audio):
                self._speculation = Commit(self._next_origin(audio.turn), audio=audio)
                return [self._terms.hear(self._speculation.origin, audio)]
            case TurnResumed():
                return [*self._forget_speculation(), announce(record, self.time_ms)]
            case TurnEnded():
                return self._end_turn(record)
            case ContextAdded(speaker, text):
                features = self._terms.read(speaker, text)
                self._queue_up(Commit(self._next_origin(-1), features))
                return self._advance()
            case MarkerReached() | StreamEnded():
                self._queue.append(announce(record, to_ms(position)))
                return self._advance()
            case _:
                if isinstance(record, TurnStarted):
                    self._partials.start(record.turn)
                return [announce(record, self.time_ms)]

    def on_result(self, result: Result) -> Sequence[Action]:
        """Take in what the engine answered."""
        if result.origin.lane is Lane.PARTIAL:
            return self._partials.take(result, self.time_ms)
        commit = self._find(result.origin)
        if commit is None:  # thrown away meanwhile
            return []
        if isinstance(result, HearResult):
            assert commit.audio is not None
            commit.heard = result
            if commit.audio.speaker != AUTO:
                commit.features = self._terms.heard(commit.audio.speaker, result)
        elif commit.understood is None or commit.understood.version < result.version:
            commit.understood = result  # an older answer may come after a newer one
        return self._advance()

    def on_dropped(self, origin: Origin) -> Sequence[Action]:
        """Take in that a partial was overtaken before its turn came, or failed."""
        return self._partials.drop(origin, self.time_ms)

    def go_on(self) -> Sequence[Action]:
        """Take in that no other session's turn is to be committed before."""
        return self._advance()

    def _end_turn(self, record: TurnEnded) -> list[Action]:
        self._partials.stop()
        actions: list[Action] = []
        if record.audio.speaker != AUTO:
            actions.append(turn_ended(record, record.audio.speaker, self.time_ms))
        audio, commit = record.audio, self._speculation
        if commit is None or commit.audio is None or commit.audio.end != audio.end:
            actions += self._forget_speculation()
            commit = Commit(self._next_origin(audio.turn), audio=audio)
            actions.append(self._terms.hear(commit.origin, audio))
        self._speculation = None
        commit.ended, commit.decided_s = record, self._clock()
        self._queue_up(commit)
        return actions + self._advance()

    def _queue_up(self, commit: Commit) -> None:
        self._queue.append(commit)
        self._conversation.queue_up(self._terms.session)

    def _advance(self) -> list[Action]:
        """Carry on with the head of the queue as far as it goes."""
        actions: list[Action] = []
        while self._queue:
            head = self._queue[0]
            if isinstance(head, Commit):
                is_next = self._conversation.is_next(self._terms.session)
                actions += self._move(head, may_ask=is_next)
                if not (is_next and self._is_judged(head)):
                    return actions
                actions += self._finish(head)
            else:
                actions.append(head)
            self._queue.popleft()
        if self._speculation is not None:
            actions += self._move(self._speculation, may_ask=True)
        return actions

    def _move(self, commit: Commit, *, may_ask: bool) -> list[Action]:
        """Send the words once they are final; ask for the emotion in this context.

        Args:
            commit: At the head of the queue, or the speculation.
            may_ask: Whether the context may be the one in which it is committed.
        """
        actions: list[Action] = []
        if commit.audio is not None and commit.audio.speaker == AUTO:
            if not may_ask:  # whose turn it is hangs on those before
                return []
            actions += self._find_speaker(commit, commit.audio)
        if commit.ended and commit.heard and not commit.is_transcript_sent:
            commit.is_transcript_sent = True
            if commit.heard.is_rescued:
                actions.append(not_transcribed(commit.ended, self.time_ms))
            actions.append(transcript_final(commit.ended, commit.heard, self.time_ms))
        version = self._conversation.version
        is_known = commit.asked_version == version
        if may_ask and commit.features is not None and not is_known:
            commit.asked_version = version
            actions.append(
                understand(commit.origin, commit.features, self._conversation)
            )
        return actions

    def _find_speaker(self, commit: Commit, audio: TurnAudio) -> list[Action]:
        """Find whose voice it is among those before; tell the end, if it has come."""
        heard = commit.heard
        if heard is None:
            return []
        if commit.asked_version != self._conversation.version:
            commit.speaker, commit.voices = self._conversation.voices.assign(
                None if heard.transcript.is_rejected else heard.voiceprint,
                audio.voiced_samples,
                self._terms.spread,
                self._terms.speakers,
            )
            commit.features = self._terms.heard(commit.speaker, heard)
        if commit.ended is None or commit.is_transcript_sent:
            return []
        assert commit.speaker is not None
        return [turn_ended(commit.ended, commit.speaker, self.time_ms)]

    def _is_judged(self, commit: Commit) -> bool:
        """Tell whether the answer is there and rests on the context as it is now."""
        answer = commit.understood
        return answer is not None and answer.version == self._conversation.version

    def _finish(self, commit: Commit) -> list[Action]:
        """Commit the turn and, if it was heard, tell its emotion."""
        understood, heard = commit.understood, commit.heard
        assert understood is not None
        voices = commit.voices or self._conversation.voices
        context_seq = self._conversation.commit(understood.context, voices)
        actions: list[Action] = []
        if understood.is_rescued:
            actions.append(not_judged(commit.origin, self.time_ms))
        if heard is not None:
            waited_s = self._clock() - commit.decided_s
            actions.append(
                emotion_final(heard, understood, context_seq, waited_s, self.time_ms)
            )
        return actions

    def _find(self, origin: Origin) -> Commit | None:
        for commit in (*self._queue, self._speculation):
            if isinstance(commit, Commit) and commit.origin == origin:
                return commit
        return None

    def _forget_speculation(self) -> list[Action]:
        commit, self._speculation = self._speculation, None
        return [Forget(commit.origin)] if commit else []

    def _next_origin(self, turn: int) -> Origin:
        self._n_attempts += 1
        return Origin(self._terms.session, turn, self._n_attempts, Lane.FINAL)
