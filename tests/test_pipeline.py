"""bytes -> Event without sockets and threads: the real models on real speech."""

import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio

from stream_erc import events
from stream_erc.config import Settings
from stream_erc.conversation import Conversation
from stream_erc.engine import HearRequest
from stream_erc.engines import InlineEngine
from stream_erc.flow import SAMPLE_RATE_HZ
from stream_erc.pipeline import Pipeline, instruct, open_session

CLIPS = (
    "speech/LJ001-0008.flac",
    "ravdess/03-01-05-01-02-02-24.flac",
    "speech/LJ001-0002.flac",
)
PAUSE = np.zeros(SAMPLE_RATE_HZ, np.float32)
FORMAT = events.AudioFormat(encoding="pcm_f32le", sample_rate=16_000, channels=1)
END = events.SessionEnd()


def clip(name):
    return decode_audio(str(AUDIO / name))


def stream(*names):
    """The clips after each other, each with a second of silence behind it."""
    return np.concatenate([part for name in names for part in (clip(name), PAUSE)])


@pytest.fixture(scope="module")
def engine(models):
    return InlineEngine(models)


@pytest.fixture
def open_one(engine, vad):
    """Open sessions; without partials, which cost most of the time."""

    def open_pipeline(conversation=None, answers=engine, **wishes):
        start = events.SessionStart(audio=FORMAT, **{"partials": False} | wishes)
        listener, director = open_session(
            start,
            session=str(id(start)),
            settings=Settings(),
            probability=vad.stream(),
            conversation=conversation or Conversation(engine.empty_context()),
            clock=lambda: 0.0,
        )
        return Pipeline(listener, director, answers)

    return open_pipeline


@pytest.fixture(scope="module")
def known():
    """Results by their audio: what the recognizer says of it never changes."""
    return {}


@pytest.fixture(autouse=True)
def hear_once(models, known, monkeypatch):
    """Spare the recognizer what it has heard; the same samples, the same answer."""
    hear = models.whisper.hear

    def hear_or_remember(samples, **wishes):
        key = (samples.tobytes(), *sorted(wishes.items()))
        if key not in known:
            known[key] = hear(samples, **wishes)
        return known[key]

    monkeypatch.setattr(models.whisper, "hear", hear_or_remember)


def push_all(pipeline, samples, chunk_bytes=4000):
    data = samples.tobytes()
    return [
        event
        for at in range(0, len(data), chunk_bytes)
        for event in pipeline.push(data[at : at + chunk_bytes])
    ]


def of(sent, *kinds):
    return [event for event in sent if isinstance(event, kinds)]


def finals(sent):
    """All that must not depend on anything but the audio and the context."""
    return [
        (
            event.turn,
            getattr(event, "text", None),
            getattr(event, "probabilities", None),
        )
        for event in of(sent, events.TranscriptFinal, events.EmotionFinal)
    ]


def bounds(sent):
    return [
        (event.turn, event.start_ms, event.end_ms, event.decided_ms, event.reason)
        for event in of(sent, events.TurnEnded)
    ]


def test_every_clip_is_a_turn_with_its_words_and_an_emotion(open_one):
    pipeline = open_one()
    sent = push_all(pipeline, stream(*CLIPS)) + pipeline.tell(END)
    texts = [final.text for final in of(sent, events.TranscriptFinal)]
    assert len(texts) == 3
    assert "surpassed" in texts[0]
    assert "door" in texts[1]
    assert "modern" in texts[2]
    assert [final.context_turns for final in of(sent, events.EmotionFinal)] == [0, 1, 2]
    assert [event.seq for event in sent] == list(range(len(sent)))
    assert isinstance(sent[-1], events.SessionEnded)


def test_a_final_comes_with_the_chunk_that_decides_its_turn(open_one):
    pipeline = open_one()
    samples = stream(CLIPS[0])
    for at in range(0, len(samples), 512):
        sent = pipeline.push(samples[at : at + 512].tobytes())
        if of(sent, events.TurnEnded):
            (ended,), (final,) = (
                of(sent, events.TurnEnded),
                of(sent, events.EmotionFinal),
            )
            assert ended.decided_ms == final.time_ms == (at + 512) // 16
            return
    pytest.fail("no turn ended")


@pytest.mark.parametrize("chunk_bytes", [1022, 64_000, 10_000_000])
def test_how_the_audio_is_cut_changes_no_result(open_one, chunk_bytes):
    samples = stream(*CLIPS[:2])
    usual, other = open_one(), open_one()
    wanted = push_all(usual, samples) + usual.tell(END)
    sent = push_all(other, samples, chunk_bytes) + other.tell(END)
    assert bounds(sent) == bounds(wanted)
    assert finals(sent) == finals(wanted)


def test_partials_change_no_result(open_one):
    samples = stream(CLIPS[0])
    silent, talkative = open_one(), open_one(partials=True)
    wanted = push_all(silent, samples) + silent.tell(END)
    sent = push_all(talkative, samples) + talkative.tell(END)
    assert of(sent, events.TranscriptPartial)
    assert of(sent, events.EmotionPartial)
    assert not of(wanted, events.TranscriptPartial, events.EmotionPartial)
    assert finals(sent) == finals(wanted)


@pytest.mark.parametrize("future", ["silence", "noise", "voice", "end"])
def test_what_comes_later_changes_no_final(open_one, future):
    first = stream(CLIPS[0])
    rng = np.random.default_rng(0)
    later = {
        "silence": PAUSE,
        "noise": rng.uniform(-1, 1, 16_000).astype(np.float32),
        "voice": stream(CLIPS[2]),
        "end": PAUSE[:0],
    }[future]
    usual, other = open_one(), open_one()
    wanted = finals(push_all(usual, stream(*CLIPS[:2])))[:2]
    sent = push_all(other, np.concatenate([first, later])) + other.tell(END)
    assert len(wanted) == 2
    assert finals(sent)[:2] == wanted


def test_two_sessions_at_once_give_what_each_gives_alone(open_one):
    one, two = stream(*CLIPS[:2]), stream(CLIPS[2], CLIPS[0])
    alone = []
    for samples in (one, two):
        pipeline = open_one()
        alone.append(finals(push_all(pipeline, samples) + pipeline.tell(END)))
    pipelines, together = (open_one(), open_one()), ([], [])
    for at in range(0, max(len(one), len(two)), 3000):
        for pipeline, samples, sent in zip(
            pipelines, (one, two), together, strict=True
        ):
            sent += pipeline.push(samples[at : at + 3000].tobytes())
    for pipeline, sent in zip(pipelines, together, strict=True):
        sent += pipeline.tell(END)
    assert [finals(sent) for sent in together] == alone


def test_two_sessions_of_a_conversation_share_its_order(open_one, engine):
    conversation = Conversation(engine.empty_context())
    ann = open_one(conversation, speaker="Ann")
    bob = open_one(conversation, speaker="Bob")
    sent = push_all(ann, stream(CLIPS[0])) + push_all(bob, stream(CLIPS[2]))
    sent += push_all(ann, stream(CLIPS[1]))
    places = [final.context_seq for final in of(sent, events.EmotionFinal)]
    assert places == [0, 1, 2]
    assert conversation.context.speakers[-3:] == ("Ann", "Bob", "Ann")


def test_a_line_that_was_not_heard_changes_the_emotion_after_it(open_one):
    spoken, told = open_one(), open_one()
    told.tell(events.ContextAdd(speaker="bot", text="I hate you, go away!"))
    (alone,) = of(push_all(spoken, stream(CLIPS[0])), events.EmotionFinal)
    (after,) = of(push_all(told, stream(CLIPS[0])), events.EmotionFinal)
    assert (alone.context_turns, after.context_turns) == (0, 1)
    assert alone.probabilities != after.probabilities


class Ear(InlineEngine):
    """Remembers the audio that was asked about last, by turn."""

    def __init__(self, models):
        super().__init__(models)
        self.asked = {}

    def submit(self, request):
        if isinstance(request, HearRequest):
            self.asked[request.origin.turn] = request.samples
        return super().submit(request)


def test_a_final_rests_on_the_samples_of_its_turn_alone(open_one, models):
    samples, ear = stream(*CLIPS[:2]), Ear(models)
    turns = of(push_all(open_one(answers=ear), samples), events.TurnEnded)
    assert len(turns) == 2
    for ended in turns:
        start = find(samples, ear.asked[ended.turn])
        end = start + len(ear.asked[ended.turn])
        assert (start // 16, end // 16) == (ended.start_ms, ended.end_ms)


def find(samples, part):
    """Where a part of a stream begins."""
    (places,) = np.nonzero(samples[: len(samples) - len(part) + 1] == part[0])
    return next(
        at for at in places if np.array_equal(samples[at : at + len(part)], part)
    )


def test_a_message_without_a_place_in_the_stream_is_a_bug(engine, vad):
    with pytest.raises(AssertionError, match="no place"):
        instruct(None, events.Ping(id=1))
