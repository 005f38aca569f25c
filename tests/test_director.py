"""Record, Result -> Event, Request: the order that the protocol promises.

The engine is a stand-in that answers from the request alone, so that every answer
tells what it rests on; when it answers, in which order, and whether a partial is
dropped, is drawn.
"""

import random
import zlib
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc import events
from stream_erc.conversation import Conversation
from stream_erc.director import Director, Forget
from stream_erc.engine import (
    HearRequest,
    HearResult,
    Lane,
    UnderstandRequest,
    UnderstandResult,
)
from stream_erc.flow import (
    EMOTIONS,
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
from stream_erc.terms import SessionTerms

FRAME = 512
EMOTION_PARTIAL_MS = 320


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
            "emotion_partial_ms": EMOTION_PARTIAL_MS,
        }
        self.conversation = conversation or Conversation(())
        self.director = Director(
            SessionTerms(**wishes | terms), self.conversation, lambda: 0.0
        )
        self.sent = []
        self.waiting = []

    def take(self, actions):
        for action in actions:
            if isinstance(action, events.Event):
                self.sent.append(action)
            elif isinstance(action, Forget):
                assert action.origin.lane is Lane.FINAL
            else:
                self.waiting.append(action)
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


# --- one turn -----------------------------------------------------------------


def test_a_turn_is_told_from_its_start_to_its_emotion():
    script = Script().start().hear(20).pause().end_turn().end()
    client = Client().hear(*script.placed[:3]).answer_all().hear(*script.placed[3:])
    client.answer_all()
    assert client.types() == [
        "speech.started",
        "turn.started",
        "transcript.partial",
        "emotion.partial",
        "turn.ended",
        "transcript.final",
        "emotion.final",
        "session.ended",
    ]


def test_what_was_computed_in_the_pause_is_sent_at_the_end_at_once():
    script = Script().start().speak().pause().end_turn()
    client = Client().hear(*script.placed[:-1]).answer_all()
    assert not client.of(events.TranscriptFinal, events.EmotionFinal)
    client.hear(script.placed[-1])
    assert client.types()[-3:] == ["turn.ended", "transcript.final", "emotion.final"]
    assert client.waiting == []


def test_what_was_computed_in_a_pause_that_was_none_is_never_sent():
    script = Script().start().speak(3).pause().resume().speak(8).end_turn()
    client = Client().hear(*script.placed[:3]).answer_all()
    client.hear(*script.placed[3:]).answer_all()
    assert [final.text for final in client.of(events.TranscriptFinal)] == [
        words_of(11 * FRAME, 0)
    ]
    assert len(client.conversation.context) == 1


def test_a_forgotten_answer_that_comes_late_changes_nothing():
    script = Script().start().speak(3).pause().resume().speak(8).end_turn()
    client = Client().hear(*script.placed)
    late, wanted = client.waiting
    client.waiting = [wanted, late]
    client.answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text == words_of(11 * FRAME, 0)


def test_a_turn_that_ends_elsewhere_than_its_pause_is_heard_anew():
    script = Script().start().speak(3).pause().speak(2).end_turn("flush")
    client = Client().hear(*script.placed).answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text == words_of(5 * FRAME, 0)


def test_a_forgotten_request_is_named_so_that_it_can_be_cancelled():
    client = Client()
    script = Script().start().speak(3).pause().resume()
    client.hear(*script.placed[:-1])
    actions = client.director.on_record(*script.placed[-1])
    assert Forget(client.waiting[0].origin) in actions


def test_a_later_turn_waits_for_the_emotion_of_the_one_before():
    script = Script().start().speak().end_turn().start().speak(2).end_turn()
    client = Client().hear(*script.placed)
    client.answer(1)  # the second turn is heard first
    assert not client.of(events.TranscriptFinal)
    client.answer_all()
    assert [final.turn for final in client.of(events.EmotionFinal)] == [0, 1]


def test_a_rejected_transcript_leaves_the_emotion_to_the_voice():
    script = Script().start().speak(10).end_turn()
    client = Client().hear(*script.placed).answer()
    (final,) = client.of(events.TranscriptFinal)
    assert (final.text, final.rejected) == ("", True)
    (request,) = client.waiting
    assert request.features.text is None
    assert request.features.voice is not None


@pytest.mark.parametrize("kept", ["audio", "text"])
def test_a_session_may_bar_the_model_from_the_voice_or_the_words(kept):
    script = Script().add_context().start().speak().end_turn()
    client = Client(modalities=(kept,)).hear(*script.placed)
    asked = [r for r in client.waiting if isinstance(r, UnderstandRequest)]
    assert (asked[0].features.text is None) == (kept == "audio")
    client.answer_all()
    (final,) = client.of(events.TranscriptFinal)
    assert final.text  # the client has the words either way
    script.start().speak().pause()
    client.hear(*script.placed[-2:]).answer()
    (asked,) = client.waiting
    assert (asked.features.text is None) == (kept == "audio")
    assert (asked.features.voice is None) == (kept == "text")


# --- marks and context --------------------------------------------------------


def test_a_marker_waits_for_the_finals_of_the_turns_before_it():
    script = Script().start().speak().end_turn().mark().start().mark()
    client = Client().hear(*script.placed)
    assert not client.of(events.Marker)
    client.answer_all()
    assert client.types()[-3:] == ["emotion.final", "marker", "marker"]


def test_a_marker_does_not_wait_for_the_running_turn():
    script = Script().start().hear(20).pause().mark()
    assert [
        marker.id for marker in Client().hear(*script.placed).of(events.Marker)
    ] == [1]


def test_context_takes_its_place_before_the_turn_that_ends_after_it():
    script = Script().start().speak(3).pause().add_context("Hi.").end_turn()
    client = Client().hear(*script.placed).answer_all()
    assert [speaker for speaker, _ in client.conversation.context] == ["bot", "Ann"]
    (final,) = client.of(events.EmotionFinal)
    assert (final.context_turns, final.context_seq) == (1, 1)


def test_context_that_comes_while_a_turn_is_computed_makes_it_be_computed_again():
    script = Script().start().speak(3).pause()
    client = Client().hear(*script.placed).answer_all()
    script.add_context("Hi.").end_turn()
    client.hear(*script.placed[-2:]).answer_all()
    (final,) = client.of(events.EmotionFinal)
    assert final.context_turns == 1


def test_context_is_told_by_no_event():
    client = Client().hear(*Script().add_context().placed).answer_all()
    assert client.sent == []
    assert client.conversation.version == 1


# --- partials -----------------------------------------------------------------


def partials_of(client):
    return client.of(events.TranscriptPartial, events.EmotionPartial)


def test_a_session_without_partials_asks_for_none():
    script = Script().start().hear().hear().pause().end_turn()
    client = Client(has_partials=False).hear(*script.placed).answer_all()
    assert partials_of(client) == []
    assert len(client.of(events.EmotionFinal)) == 1


def test_a_partial_that_comes_after_the_turns_end_is_not_shown():
    script = Script().start().hear(20).end_turn().start()
    client = Client().hear(*script.placed).answer_all()
    assert partials_of(client) == []


def test_a_partial_overtaken_by_a_newer_one_is_not_shown():
    script = Script().start().hear(3).hear(2)
    client = Client().hear(*script.placed)
    client.answer(1).answer(0)
    assert [partial.revision for partial in client.of(events.TranscriptPartial)] == [1]


def test_an_emotion_overtaken_by_a_newer_one_is_not_shown():
    script = Script().start().hear(20).hear(2)
    client = Client().hear(*script.placed).answer().answer()
    assert [type(request) for request in client.waiting] == [UnderstandRequest] * 2
    client.answer(1).answer(0)
    assert [partial.revision for partial in client.of(events.EmotionPartial)] == [1]


def test_an_emotion_needs_more_voice_than_words_do():
    script = Script().start().hear(5).hear(20)
    client = Client().hear(*script.placed).answer_all()
    assert [p.revision for p in client.of(events.TranscriptPartial)] == [0, 1]
    assert [p.revision for p in client.of(events.EmotionPartial)] == [1]


def test_partials_rest_on_the_context_and_never_enter_it():
    script = Script().add_context().start().hear(20)
    client = Client().hear(*script.placed).answer_all()
    assert len(client.of(events.EmotionPartial)) == 1
    assert client.conversation.version == 1


def test_partials_that_keep_being_dropped_are_told_once_and_so_is_the_recovery():
    script = Script().start()
    for _ in range(5):
        script.hear(1)
    client = Client().hear(*script.placed)
    for _ in range(4):
        client.drop(0)
    assert [status.degraded for status in client.of(events.Status)] == [True]
    client.answer_all()
    assert [status.degraded for status in client.of(events.Status)] == [True, False]


def test_one_dropped_partial_is_no_trouble():
    script = Script().start().hear(1).hear(1)
    client = Client().hear(*script.placed).drop(0).answer_all()
    assert client.of(events.Status) == []


# --- any script, any order of answers -----------------------------------------


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
        if not moves:
            return clients
        number, move = rng.choice(moves)
        client = clients[number]
        if move == "hear":
            client.hear(left[number].pop(0))
            continue
        place = rng.randrange(len(client.waiting))
        if is_partial(client.waiting[place]) and rng.random() < drop_share:
            client.drop(place)
        else:
            client.answer(place)


def run_one(rng, n_turns):
    script = write(rng, n_turns)
    (client,) = run(rng, [Client()], [script])
    return script, client


draws = st.integers(0, 2**32).map(random.Random)
sizes = st.integers(0, 4)


def any_run(test):
    """Run a test on any script of one session, answered in any order."""
    return given(st.builds(run_one, draws, sizes))(test)


def of_turn(client, turn):
    return [event for event in client.sent if getattr(event, "turn", None) == turn]


@any_run
def test_every_script_comes_to_its_end(case):
    script, client = case
    assert client.types()[-1] == "session.ended"
    assert client.types().count("session.ended") == 1
    assert client.director.n_unfinished == 0
    assert client.sent[-1].turns == script.n_turns


@any_run
def test_the_events_of_a_turn_are_in_order(case):
    script, client = case
    for turn in range(script.n_turns):
        types = [event.__struct_config__.tag for event in of_turn(client, turn)]
        assert types[0] == "turn.started"
        assert types[-3:] == ["turn.ended", "transcript.final", "emotion.final"]
        assert set(types[1:-3]) <= {
            "transcript.partial",
            "emotion.partial",
            "turn.resumed",
        }
        assert not client.of(events.TurnStarted)[script.n_turns :]


@any_run
def test_finals_come_in_the_order_of_turns(case):
    script, client = case
    for kind in (events.TurnEnded, events.TranscriptFinal, events.EmotionFinal):
        assert [event.turn for event in client.of(kind)] == list(range(script.n_turns))


@any_run
def test_revisions_go_up_and_the_stable_words_stay(case):
    _, client = case
    for kind in (events.TranscriptPartial, events.EmotionPartial):
        told = [(event.turn, event.revision) for event in client.of(kind)]
        assert told == sorted(set(told))
    shown = {}
    for partial in client.of(events.TranscriptPartial):
        stable = shown.get(partial.turn, "")
        assert partial.text.startswith(stable)
        assert partial.stable_chars >= len(stable)
        shown[partial.turn] = partial.text[: partial.stable_chars]


@any_run
def test_final_words_are_those_of_the_turns_whole_audio(case):
    script, client = case
    wanted = [
        words_of(len(record.audio.samples), record.audio.turn)
        for _, record in script.placed
        if isinstance(record, TurnEnded)
    ]
    assert [final.text for final in client.of(events.TranscriptFinal)] == wanted


@any_run
def test_every_pause_that_was_none_is_told_and_no_other(case):
    script, client = case
    wanted = [r.turn for _, r in script.placed if isinstance(r, TurnResumed)]
    assert [event.turn for event in client.of(events.TurnResumed)] == wanted


@any_run
def test_marks_stand_behind_the_finals_before_them_and_before_the_later_ones(case):
    script, client = case
    wanted = [
        ("marker", record.id)
        if isinstance(record, MarkerReached)
        else ("emotion.final", record.audio.turn)
        for _, record in script.placed
        if isinstance(record, MarkerReached | TurnEnded)
    ]
    told = [
        ("marker", event.id)
        if isinstance(event, events.Marker)
        else ("emotion.final", event.turn)
        for event in client.of(events.Marker, events.EmotionFinal)
    ]
    assert told == wanted


def context_of(script):
    """What one session alone commits: what was said and added, in order."""
    return tuple(
        (record.speaker, record.text)
        if isinstance(record, ContextAdded)
        else (
            record.audio.speaker,
            words_of(len(record.audio.samples), record.audio.turn) or None,
        )
        for _, record in script.placed
        if isinstance(record, ContextAdded | TurnEnded)
    )


def rests_on(final, client):
    """Whether a final's numbers are those of its turn in the context before it."""
    context = client.conversation.context
    emotions, _ = feeling(
        Said(*context[final.context_seq]), context[: final.context_seq]
    )
    told = [final.probabilities[label] for label in EMOTIONS]
    return np.allclose(told, emotions, atol=1e-4)


class Said:
    """Stands in for a turn's features: what `feeling` looks at."""

    def __init__(self, speaker, text):
        self.speaker, self.text = speaker, text


@any_run
def test_the_context_is_what_was_said_and_added_in_order(case):
    script, client = case
    assert client.conversation.context == context_of(script)


@any_run
def test_every_final_rests_on_all_that_was_committed_before_it(case):
    _, client = case
    for final in client.of(events.EmotionFinal):
        assert final.context_turns == final.context_seq
        assert rests_on(final, client)


def finals_of(client):
    """All that must not depend on load: the finals without their clocks."""
    return [
        (type(event), event.turn, getattr(event, "probabilities", event.text))
        if not isinstance(event, events.EmotionFinal)
        else (type(event), event.turn, event.probabilities)
        for event in client.of(events.TranscriptFinal, events.EmotionFinal)
    ]


@given(draws, sizes, st.sampled_from([0.0, 0.5, 1.0]))
def test_dropping_partials_and_the_order_of_answers_change_no_final(
    rng, n_turns, drop_share
):
    script = write(rng, n_turns)
    patient = Client()
    for placed in script.placed:
        patient.hear(placed).answer_all()
    (client,) = run(rng, [Client()], [script], drop_share)
    assert finals_of(client) == finals_of(patient)


# --- two sessions, one conversation -------------------------------------------


def run_two(rng, n_turns, n_others):
    conversation = Conversation(())
    clients = [Client(conversation, "s1"), Client(conversation, "s2")]
    scripts = [write(rng, n_turns, "Ann"), write(rng, n_others, "Bob")]
    return scripts, run(rng, clients, scripts)


any_two = given(st.builds(run_two, draws, sizes, sizes))


@any_two
def test_both_sessions_of_a_conversation_come_to_their_end(case):
    for script, client in zip(*case, strict=True):
        assert client.types()[-1] == "session.ended"
        assert [final.turn for final in client.of(events.EmotionFinal)] == list(
            range(script.n_turns)
        )


@any_two
def test_two_sessions_commit_everything_once_in_one_order(case):
    scripts, clients = case
    context = clients[0].conversation.context
    assert Counter(context) == Counter(context_of(scripts[0]) + context_of(scripts[1]))
    places = [f.context_seq for one in clients for f in one.of(events.EmotionFinal)]
    assert len(places) == len(set(places))
    assert clients[0].conversation.version == len(context)
    for client in clients:
        own = [final.context_seq for final in client.of(events.EmotionFinal)]
        assert own == sorted(own)


@any_two
def test_every_final_of_a_conversation_rests_on_the_version_before_it(case):
    _, clients = case
    for client in clients:
        for final in client.of(events.EmotionFinal):
            assert final.context_turns == final.context_seq
            assert rests_on(final, client)


@given(draws)
def test_sessions_of_different_conversations_share_nothing(rng):
    scripts = [write(rng, 3), write(rng, 3)]
    together = run(rng, [Client(), Client()], scripts)
    for script, client in zip(scripts, together, strict=True):
        assert client.conversation.context == context_of(script)
