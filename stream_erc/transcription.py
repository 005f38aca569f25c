"""A recording -> the events of a session for each of its speakers, without sockets.

The listeners run ahead of the directors: a turn's words are asked for once it has
ended, and told in its place among the turns of all speakers. So several turns are heard
at once, and nothing depends on which of them is done first.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace

import numpy as np

from . import events
from .completeness import judge_completeness
from .config import Settings
from .conversation import Conversation
from .director import Action, Director, Forget
from .engine import Engine, HearRequest, HearResult, Lane, Origin, Request, Result
from .flow import (
    SAMPLE_RATE_HZ,
    Completeness,
    TurnAudio,
    TurnEnded,
    TurnPaused,
    to_ms,
)
from .listener import Listener, Placed
from .media import Pcm16
from .names import AUTO
from .pipeline import open_session
from .vad import VoiceDetector
from .wording import welcome

BLOCK_SAMPLES = SAMPLE_RATE_HZ
"""Heard at once; bounds what waits between listener and director."""

MAX_AHEAD = 8
"""Turns whose words are asked for before the first of them is told."""

FORMAT = events.AudioFormat(
    encoding="pcm_s16le", sample_rate=SAMPLE_RATE_HZ, channels=1
)


class Stopped(Exception):
    """Nobody wants the rest of a recording any more."""


@dataclass(frozen=True, slots=True)
class Transcription:
    """What a recording holds.

    Attributes:
        told: Every event, and the number of the speaker, from 0, to whom it belongs:
            each speaker's in the order of a session, emotions in that of the
            conversation.
        n_speakers: Each had a channel.
        duration_ms: Of the recording.
    """

    told: list[tuple[int, events.Event]]
    n_speakers: int
    duration_ms: int


class Track:
    """One speaker's audio, heard ahead of what is told of it.

    Args:
        session: Its name among those of the engine.
        listener: Of this speaker.
        director: Of this speaker.
        engine: Shared by all.
        is_adaptive: Whether the words before a pause decide when a turn ends.
    """

    def __init__(
        self,
        session: str,
        listener: Listener,
        director: Director,
        engine: Engine,
        *,
        is_adaptive: bool,
    ) -> None:
        self._session = session
        self._listener = listener
        self._director = director
        self._engine = engine
        self._is_adaptive = is_adaptive
        self._n_asked = 0
        # By turn: so many samples of it are heard, or will be.
        self._hearing: dict[int, tuple[int, Future[Result]]] = {}

    @property
    def n_samples(self) -> int:
        """How much has been heard."""
        return self._listener.heard

    def listen(self, data: bytes) -> list[Placed]:
        """Hear audio; give what is to be told."""
        return self._follow(self._listener.push(data))

    def end(self) -> list[Placed]:
        """Hear the end of the audio; give what is to be told."""
        return self._follow(self._listener.end())

    def tell(self, placed: Placed) -> Iterator[events.Event]:
        """Give all that follows from a record; waits for the models."""
        actions: deque[Action] = deque(self._director.on_record(*placed))
        while actions:
            action = actions.popleft()
            if isinstance(action, events.Event):
                yield action
            elif not isinstance(action, Forget):
                actions.extend(self._director.on_result(self._answer(action)))

    def _answer(self, request: Request) -> Result:
        if isinstance(request, HearRequest):
            _, future = self._hearing.pop(request.origin.turn)
            return replace(future.result(), origin=request.origin)
        return self._engine.submit(request).result()

    def _follow(self, placed: list[Placed]) -> list[Placed]:
        told = self._ask(placed)
        while self._listener.is_waiting:  # for the words, as they decide the end
            told += self._ask(self._listener.judge(self._judge_pause()))
        return told

    def _ask(self, placed: list[Placed]) -> list[Placed]:
        """Ask for the words of turns; give what the director must know."""
        for _, record in placed:
            if isinstance(record, TurnEnded):
                self._ask_for(record.audio)
            elif isinstance(record, TurnPaused) and self._is_adaptive:
                self._ask_for(record.audio)  # else nobody needs them before the end
        return [one for one in placed if not isinstance(one[1], TurnPaused)]

    def _ask_for(self, audio: TurnAudio) -> None:
        n_samples, future = self._hearing.get(audio.turn, (-1, None))
        if n_samples == len(audio.samples):
            return
        if future is not None:  # the speaker went on
            future.cancel()
        self._n_asked += 1
        origin = Origin(self._session, audio.turn, self._n_asked, Lane.FINAL)
        request = HearRequest(
            origin,
            audio.samples,
            audio.voiced_samples,
            None,
            wants_voiceprint=audio.speaker == AUTO,
        )
        self._hearing[audio.turn] = len(audio.samples), self._engine.submit(request)

    def _judge_pause(self) -> Completeness:
        _, future = self._hearing[max(self._hearing)]
        heard = future.result()
        assert isinstance(heard, HearResult)
        if heard.is_rescued:
            return Completeness.UNKNOWN
        return judge_completeness(heard.transcript)


def listen(
    tracks: Sequence[Track], blocks: Iterable[Pcm16]
) -> Iterator[list[tuple[int, Placed]]]:
    """Hear a block after another, at last the end; give what is to be told of each.

    Turns come in the order in which they were decided, as in a live conversation; of
    those that were decided at once, that of the first speaker is first.
    """
    for block in join_blocks(blocks):
        yield in_order(
            [t.listen(c.tobytes()) for t, c in zip(tracks, block, strict=True)]
        )
    yield in_order([track.end() for track in tracks])


def join_blocks(blocks: Iterable[Pcm16]) -> Iterator[Pcm16]:
    """Join blocks until each is long enough to be worth the trip."""
    short: list[Pcm16] = []
    for block in blocks:
        short.append(block)
        if sum(one.shape[1] for one in short) >= BLOCK_SAMPLES:
            yield np.concatenate(short, axis=1)
            short = []
    if short:
        yield np.concatenate(short, axis=1)


def in_order(heard: Sequence[list[Placed]]) -> list[tuple[int, Placed]]:
    """Merge what the speakers' records are by their places."""
    merged = [(number, one) for number, own in enumerate(heard) for one in own]
    return sorted(merged, key=lambda each: each[1][0])  # keeps the order of equals


def ends_turn(placed: tuple[int, Placed]) -> bool:
    """Tell whether there is a turn to be heard."""
    _, (_, record) = placed
    return isinstance(record, TurnEnded)


def tell(
    tracks: Sequence[Track], placed: tuple[int, Placed]
) -> Iterator[tuple[int, events.Event]]:
    """Give all events that follow from a record, and the number of the speaker."""
    number, one = placed
    for event in tracks[number].tell(one):
        yield number, event


class Transcriber:
    """The models, and how to hear with them; used by many threads.

    Args:
        settings: Of a server.
        vad: Loaded.
        engine: In front of the other models.

    Attributes:
        stopping: Once it is set, every recording is left where it is.
    """

    def __init__(self, settings: Settings, vad: VoiceDetector, engine: Engine) -> None:
        self.stopping = threading.Event()
        self._settings = settings
        self._vad = vad
        self._engine = engine

    @property
    def n_at_once(self) -> int:
        """How many recordings keep the models busy."""
        return self._settings.asr.n_workers

    def transcribe(
        self,
        name: str,
        speakers: Sequence[str],
        blocks: Iterable[Pcm16],
        on_heard: Callable[[float], None],
    ) -> Transcription:
        """Hear a recording to its end.

        Args:
            name: Unlike that of any other that is being heard.
            speakers: One for each channel.
            blocks: Its audio.
            on_heard: Told how many seconds more of it have been heard.

        Raises:
            RecordingError: If it cannot be read.
            Stopped: If nobody wants the rest.
        """
        sessions = [f"{name}#{number}" for number in range(len(speakers))]
        conversation = Conversation(self._engine.empty_context())
        tracks = [
            self._open(session, speaker, conversation)
            for session, speaker in zip(sessions, speakers, strict=True)
        ]
        told: list[tuple[int, events.Event]] = [
            (number, welcome(self._settings, session))
            for number, session in enumerate(sessions)
        ]
        try:
            told += self._follow(tracks, blocks, on_heard)
        finally:
            for session in sessions:
                self._engine.cancel(session)
        return Transcription(told, len(tracks), to_ms(tracks[0].n_samples))

    def _follow(
        self,
        tracks: Sequence[Track],
        blocks: Iterable[Pcm16],
        on_heard: Callable[[float], None],
    ) -> Iterator[tuple[int, events.Event]]:
        waiting: deque[tuple[int, Placed]] = deque()
        n_turns = 0  # that wait
        n_samples = 0  # heard
        for placed in listen(tracks, blocks):
            if self.stopping.is_set():
                raise Stopped
            waiting.extend(placed)
            n_turns += sum(map(ends_turn, placed))
            while n_turns > MAX_AHEAD:
                n_turns -= ends_turn(waiting[0])
                yield from tell(tracks, waiting.popleft())
            on_heard((tracks[0].n_samples - n_samples) / SAMPLE_RATE_HZ)
            n_samples = tracks[0].n_samples
        while waiting:
            yield from tell(tracks, waiting.popleft())

    def _open(self, session: str, speaker: str, conversation: Conversation) -> Track:
        listener, director = open_session(
            events.SessionStart(audio=FORMAT, speaker=speaker, partials=False),
            session=session,
            settings=self._settings,
            probability=self._vad.stream(),
            conversation=conversation,
        )
        turns = self._settings.turns
        return Track(
            session,
            listener,
            director,
            self._engine,
            is_adaptive=bool(
                turns.end_silence_complete_ms or turns.end_silence_unfinished_ms
            ),
        )
