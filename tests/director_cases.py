"""A session's director, what it is told, and an engine that answers it.

The engine is a stand-in that answers from the request alone, so that every answer
tells what it rests on.
"""

import zlib
from contextlib import ExitStack

import numpy as np

from stream_erc import events
from stream_erc.conversation import Conversation
from stream_erc.director import Director, Forget
from stream_erc.engine import (
    HearRequest,
    HearResult,
    Lane,
    UnderstandResult,
)
from stream_erc.flow import (
    ContextAdded,
    Emotion,
    MarkerReached,
    StreamEnded,
    Transcript,
    TurnAudio,
    TurnEnded,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    VoiceEdge,
    VoiceFeatures,
)
from stream_erc.speakers import SpeakerConfig
from stream_erc.terms import SessionTerms
from stream_erc.voiceprint import Spread

FRAME = 512
PARTIAL_INTERVAL_MS = 32  # each record of what was heard
EMOTION_PARTIAL_MS = 320
SPEAKERS = SpeakerConfig(short_ms=64)
SPREAD = Spread(np.ones(2, np.float32), np.ones(2, np.float32))


# --- the engine's stand-in ----------------------------------------------------


def words_of(audio_length, turn):
    """What is heard of a turn: its number, and a word for every frame of it.

    Every third length ends differently, as hypotheses do; some are no speech at all.
    """
    n_words = audio_length // FRAME
    if n_words % 11 == 10:
        return ""
    words = [f"turn{turn}", *(f"w{n}" for n in range(n_words))]
    return " ".join(words + ["um"] * (n_words % 3 == 0))


def feeling(features, context):
    """Probabilities that tell the turn and everything it rests on apart."""
    seed = zlib.crc32(repr((features.speaker, features.text, context)).encode())
    drawn = np.random.default_rng(seed).uniform(0.1, 1, 10)
    return drawn[:7] / drawn[:7].sum(), drawn[7:] / drawn[7:].sum()


def answer(request):
    """Stands in for the models; a context is the tuple of what was committed."""
    if isinstance(request, HearRequest):
        text = words_of(len(request.samples), request.origin.turn)
        if not request.has_words:
            text = ""
        return HearResult(
            request.origin,
            Transcript(text, (), is_rejected=not text),
            VoiceFeatures(np.ones(4, np.float32), None),
            queue_s=0.0,
            compute_s=0.0,
        )
    features = request.features
    emotions, sentiments = feeling(features, request.context)
    return UnderstandResult(
        request.origin,
        Emotion(emotions, sentiments, ("audio",), len(request.context)),
        (*request.context, (features.speaker, features.text)),
        request.version,
        queue_s=0.0,
        compute_s=0.0,
    )


# --- one session --------------------------------------------------------------


class Client:
    """A director, what it has sent, and what it still waits for."""

    def __init__(self, conversation=None, session="s", **terms):
        wishes = {
            "session": session,
            "language": None,
            "has_partials": True,
            "modalities": ("audio", "text"),
            "partial_interval_ms": PARTIAL_INTERVAL_MS,
            "emotion_partial_ms": EMOTION_PARTIAL_MS,
            "speakers": SPEAKERS,
            "spread": SPREAD,
        }
        wishes |= terms
        self.conversation = conversation or Conversation(())
        self.director = Director(SessionTerms(**wishes), self.conversation, lambda: 0.0)
        self.seat = ExitStack()
        self.seat.enter_context(self.conversation.seat(wishes["session"], self))
        self.is_called = False  # nobody's turn is before its own any more
        self.sent = []
        self.waiting = []
        self.n_heard = 0  # how often all of a turn was asked about

    def take(self, actions):
        for action in actions:
            if isinstance(action, events.Event):
                self.sent.append(action)
            elif isinstance(action, Forget):
                assert action.origin.lane is Lane.FINAL
            else:
                self.waiting.append(action)
                self.n_heard += isinstance(action, HearRequest) and not is_partial(
                    action
                )
        return self

    def hear(self, *placed):
        for position, record in placed:
            self.take(self.director.on_record(position, record))
        return self

    def answer(self, place=0):
        return self.take(self.director.on_result(answer(self.waiting.pop(place))))

    def answer_all(self):
        while self.waiting:
            self.answer()
        return self

    def go_on(self):
        """The conversation calls; the loop answers later."""
        self.is_called = True

    def answer_call(self):
        self.is_called = False
        return self.take(self.director.go_on())

    def leave(self):
        self.seat.close()
        self.waiting.clear()
        self.is_called = False

    def drop(self, place):
        request = self.waiting.pop(place)
        return self.take(self.director.on_dropped(request.origin))

    def of(self, *kinds):
        return [event for event in self.sent if isinstance(event, kinds)]

    def types(self):
        return [event.__struct_config__.tag for event in self.sent]


def audio(turn, start, end, speaker="Ann"):
    samples = np.zeros(end - start, np.float32)
    return TurnAudio(turn, speaker, start, start, samples, len(samples))


class Script:
    """Records of one session as the listening stages give them."""

    def __init__(self, speaker="Ann"):
        self.speaker = speaker
        self.placed = []
        self.now = 0
        self.n_turns = 0
        self.n_marks = 0
        self._start = 0
        self._revision = 0

    def _tell(self, record):
        self.placed.append((self.now, record))
        return self

    def _audio(self):
        return audio(self.n_turns, self._start, self.now, self.speaker)

    def start(self):
        self._start, self._revision = self.now, 0
        self._tell(VoiceEdge(self.now, is_start=True))
        return self._tell(
            TurnStarted(self.n_turns, self.speaker, self._start, self._start)
        )

    def hear(self, n_frames=5):
        self.now += n_frames * FRAME
        self._revision += 1
        return self._tell(TurnHeard(self._audio(), self._revision - 1))

    def speak(self, n_frames=5):
        self.now += n_frames * FRAME
        return self

    def pause(self):
        return self._tell(TurnPaused(self._audio()))

    def resume(self):
        return self._tell(TurnResumed(self.n_turns))

    def end_turn(self, reason="silence"):
        self._tell(TurnEnded(self._audio(), self.now, reason))
        self.n_turns += 1
        return self

    def mark(self):
        self.n_marks += 1
        return self._tell(MarkerReached(self.n_marks))

    def add_context(self, text="Hello."):
        return self._tell(ContextAdded("bot", text))

    def end(self):
        return self._tell(StreamEnded(self.n_turns, self.now))


# --- scripts and orders that are drawn ----------------------------------------


def write_turn(script, rng):
    def maybe_interrupt():
        for _ in range(rng.choice([0, 0, 0, 1, 2])):
            rng.choice([script.mark, script.add_context])()

    script.speak(rng.randint(0, 3)).start()
    for _ in range(rng.randint(0, 2)):  # pauses that are none
        for _ in range(rng.randint(0, 3)):
            script.hear(rng.randint(1, 9))
        maybe_interrupt()
        script.speak(rng.randint(0, 9)).pause()
        maybe_interrupt()
        script.resume()
    for _ in range(rng.randint(0, 3)):
        script.hear(rng.randint(1, 9))
    script.speak(rng.randint(1, 9))
    if rng.random() < 0.7:
        script.pause()
        maybe_interrupt()
    script.end_turn(rng.choice(["silence", "flush", "speaker", "max_length"]))
    maybe_interrupt()


def write(rng, n_turns, speaker="Ann"):
    script = Script(speaker)
    for _ in range(n_turns):
        write_turn(script, rng)
    return script.end()


def is_partial(request):
    return request.origin.lane is Lane.PARTIAL


def run(rng, clients, scripts, drop_share=0.2):
    """Feed and answer in a drawn order, until nothing is left to do."""
    left = [list(script.placed) for script in scripts]
    while True:
        moves = [(n, "hear") for n, placed in enumerate(left) if placed]
        moves += [(n, "answer") for n, one in enumerate(clients) if one.waiting]
        moves += [(n, "go on") for n, one in enumerate(clients) if one.is_called]
        if not moves:
            return clients
        number, move = rng.choice(moves)
        client = clients[number]
        if move == "hear":
            client.hear(left[number].pop(0))
            continue
        if move == "go on":
            client.answer_call()
            continue
        place = rng.randrange(len(client.waiting))
        if is_partial(client.waiting[place]) and rng.random() < drop_share:
            client.drop(place)
        else:
            client.answer(place)
