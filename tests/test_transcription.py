"""A recording gives what a live session gives, whatever is done first."""

import tracemalloc
from concurrent.futures import Future

import msgspec
import numpy as np
import pytest
from director_cases import answer
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from recording import agree, clip, join, record, results, silence
from scripted_models import Loudness, ScriptedModels, sentence
from talking import ANGRY, CUTTER, hesitating, kinds

from stream_erc import events
from stream_erc.config import Settings, TurnConfig
from stream_erc.conversation import Conversation
from stream_erc.engine import HearRequest
from stream_erc.engines import InlineEngine, LocalEngine
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.transcription import FORMAT, MAX_AHEAD, Stopped, Transcriber

ADAPTIVE = TurnConfig(end_silence_complete_ms=320, end_silence_unfinished_ms=800)


def blocks(*channels, n_samples=1000):
    whole = np.stack(channels)
    for begin in range(0, whole.shape[1], n_samples):
        yield whole[:, begin : begin + n_samples]


def transcribe(*channels, speakers=None, settings=None, engine=None, vad=None, **cut):
    engine = engine or InlineEngine(ScriptedModels())
    transcriber = Transcriber(settings or Settings(), vad or Loudness(), engine)
    names = speakers or ["Ann", "Bob"][: len(channels)]
    return transcriber.transcribe("r", names, blocks(*channels, **cut), lambda _: None)


def as_messages(found, speaker=0):
    """What one speaker's session would have been told, as JSON objects."""
    return [
        msgspec.json.decode(events.encode(event))
        for number, event in found.told
        if number == speaker
    ]


def of(found, *kinds):
    return [(number, event) for number, event in found.told if isinstance(event, kinds)]


def plain(told):
    """Events without how long they took, and without their numbers."""
    return [
        {
            name: value
            for name, value in msgspec.to_builtins(event).items()
            if name not in ("latency", "seq")
        }
        for event in told
    ]


def by_hand(samples, settings):
    """What the plain driver tells, which waits for every answer."""
    engine = InlineEngine(ScriptedModels())
    listener, director = open_session(
        events.SessionStart(audio=FORMAT, speaker="Ann", partials=False),
        session="s",
        settings=settings,
        probability=Loudness().stream(),
        conversation=Conversation(engine.empty_context()),
    )
    pipeline = Pipeline(listener, director, engine)
    return pipeline.push(samples.tobytes()) + pipeline.tell(events.SessionEnd())


def speech(*turns):
    """Sentences of so many seconds, each with so much silence behind it."""
    return join(*(part for a, b in turns for part in (sentence(a), silence(b))))


async def test_a_recording_gives_what_a_session_gives(server_url, models, vad):
    spoken = join(hesitating(), silence(0.8), clip(ANGRY), silence(0.8), clip(CUTTER))
    streamed = await record(server_url, [spoken], speaker="Ann", partials=False)
    engine = LocalEngine(models, 2, Settings().engine, lambda _: None)
    found = transcribe(spoken, engine=engine, vad=vad)
    engine.close()
    told = as_messages(found)
    assert len(results(told)) >= 3
    assert agree(results(told), results(streamed))
    assert sorted(kinds(told)) == sorted(
        kind for kind in kinds(streamed) if kind != "status"
    )


lengths = st.lists(
    st.tuples(st.sampled_from([0.2, 0.5, 1.1]), st.sampled_from([0.2, 0.4, 0.7, 1.2])),
    min_size=1,
    max_size=5,
)


@examples(max_examples=20)
@given(lengths, st.sampled_from([160, 5000, 100_000]), st.booleans())
def test_events_are_those_of_the_plain_driver(turns, n_samples, is_adaptive):
    settings = Settings(turns=ADAPTIVE) if is_adaptive else Settings()
    samples = speech(*turns)
    found = transcribe(samples, settings=settings, n_samples=n_samples)
    told = [event for _, event in found.told[1:]]
    assert plain(told) == plain(by_hand(samples, settings))


@examples(max_examples=20)
@given(lengths, lengths)
def test_two_channels_are_one_conversation_in_the_order_of_their_ends(ann, bob):
    left, right = speech(*ann), speech(*bob)
    n_samples = max(len(left), len(right))
    left, right = (join(one, silence(10))[:n_samples] for one in (left, right))
    found = transcribe(left, right)
    ends = [(end.decided_ms, number) for number, end in of(found, events.TurnEnded)]
    assert ends == sorted(ends)
    finals = of(found, events.EmotionFinal)
    assert [final.context_seq for _, final in finals] == list(range(len(finals)))
    assert [number for number, _ in finals] == [number for _, number in ends]
    alone = [transcribe(left, speakers=["Ann"]), transcribe(right, speakers=["Bob"])]
    for number, own in enumerate(alone):
        for kind in (events.TurnEnded, events.TranscriptFinal):
            assert [e for n, e in of(found, kind) if n == number] == [
                e for _, e in of(own, kind)
            ]


class Late:
    """An engine that answers a turn's words when they are waited for, not before."""

    def __init__(self):
        self.n_open = self.n_most = 0

    def empty_context(self):
        return ()

    def cancel(self, session):
        pass

    def submit(self, request):
        future = Future()
        if not isinstance(request, HearRequest):
            future.set_result(answer(request))
            return future
        self.n_open += 1
        self.n_most = max(self.n_most, self.n_open)

        def result():
            self.n_open -= 1
            return answer(request)

        future.result = result
        return future


def test_words_are_asked_for_ahead_of_what_is_told_and_not_all_at_once():
    engine = Late()
    samples = speech(*[(0.3, 0.7)] * 40)
    found = transcribe(samples, engine=engine)
    assert len(of(found, events.EmotionFinal)) == 40
    assert engine.n_open == 0
    assert MAX_AHEAD < engine.n_most <= MAX_AHEAD + 2  # a block may hold two ends


def test_a_recording_that_nobody_wants_is_left():
    transcriber = Transcriber(Settings(), Loudness(), InlineEngine(ScriptedModels()))
    transcriber.stopping.set()
    with pytest.raises(Stopped):
        transcriber.transcribe("r", ["Ann"], blocks(silence(5)), lambda _: None)


def test_all_that_is_heard_is_counted():
    heard = []
    transcriber = Transcriber(Settings(), Loudness(), InlineEngine(ScriptedModels()))
    found = transcriber.transcribe("r", ["Ann"], blocks(silence(2.5)), heard.append)
    assert sum(heard) == pytest.approx(2.5)
    assert found.duration_ms == 2500
    assert not of(found, events.TurnStarted)


def test_a_recording_of_hours_holds_no_audio():
    spoken = speech((0.5, 4.5))[np.newaxis]
    transcriber = Transcriber(Settings(), Loudness(), InlineEngine(ScriptedModels()))

    def most(n_blocks):
        tracemalloc.start()
        audio = (spoken for _ in range(n_blocks))
        transcriber.transcribe("r", ["Ann"], audio, lambda _: None)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return peak

    # 5 s as floats are 320 kB; what is told of them is less than 8 kB.
    most(12)
    assert most(30) < most(12) + 18 * 8192
