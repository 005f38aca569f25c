"""Request -> Result: the seam between sessions and models."""

import pickle
from concurrent.futures import Future
from dataclasses import fields, is_dataclass, replace

import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio

from stream_erc import events
from stream_erc.config import AsrConfig, EmotionConfig, Settings
from stream_erc.conversation import Conversation
from stream_erc.engine import (
    HearRequest,
    Lane,
    Models,
    Origin,
    UnderstandRequest,
)
from stream_erc.engines import InlineEngine
from stream_erc.errors import ModelError
from stream_erc.flow import EMOTIONS, TurnFeatures, VoiceFeatures
from stream_erc.pipeline import Pipeline, open_session

FINAL = Origin("a", 0, 0, Lane.FINAL)
PARTIAL = Origin("a", 0, 1, Lane.PARTIAL, deadline_s=12.5)


@pytest.fixture(scope="module")
def samples():
    return decode_audio(str(AUDIO / "speech" / "LJ001-0008.flac"))


@pytest.fixture(scope="module")
def heard(models, samples):
    (result,) = models.hear([HearRequest(FINAL, samples, len(samples), None)])
    return result


def understand_request(models, speaker, text, voice, context=None):
    features = TurnFeatures(speaker, text, voice)
    return UnderstandRequest(FINAL, features, context or models.empty_context(), 3)


def assert_same(one, other):
    """Two records are alike, down to every number of their arrays."""
    assert type(one) is type(other)
    if is_dataclass(one):
        for field in fields(one):
            assert_same(getattr(one, field.name), getattr(other, field.name))
    elif isinstance(one, tuple):
        for part, its_double in zip(one, other, strict=True):
            assert_same(part, its_double)
    elif isinstance(one, np.ndarray):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    else:
        assert one == other


def travelled(record):
    return pickle.loads(pickle.dumps(record))


# --- hearing ------------------------------------------------------------------


def test_an_answer_bears_the_origin_of_its_request(models, samples, heard):
    assert heard.origin == FINAL
    request = HearRequest(PARTIAL, samples[:8000], 8000, None)
    assert models.hear([request])[0].origin == PARTIAL


def test_words_are_aligned_in_finals_alone(models, samples, heard):
    assert heard.transcript.words
    (partial,) = models.hear([HearRequest(PARTIAL, samples, len(samples), None)])
    assert partial.transcript.words == ()
    assert partial.transcript.text == heard.transcript.text


def test_a_voice_alone_is_the_voice_that_is_heard_with_words(models, samples):
    asked = HearRequest(PARTIAL, samples, len(samples), None)
    both, alone = models.hear([asked, replace(asked, has_words=False)])
    assert both.transcript.text and not alone.transcript.text
    np.testing.assert_array_equal(alone.voice.encoder, both.voice.encoder)
    np.testing.assert_array_equal(alone.voice.functionals, both.voice.functionals)


def test_improbable_words_are_rejected_in_finals_alone(models, samples, monkeypatch):
    doubtful = replace(models.whisper.hear(samples), mean_log_probability=-5.0)
    monkeypatch.setattr(models.whisper, "hear", lambda *_, **__: doubtful)
    final, partial = models.hear(
        [
            HearRequest(origin, samples, len(samples), None)
            for origin in (FINAL, PARTIAL)
        ]
    )
    assert final.transcript.is_rejected
    assert not partial.transcript.is_rejected


def test_what_is_heard_does_not_depend_on_batch_mates(models, samples, heard):
    noise = np.random.default_rng(0).normal(0, 0.1, 20_000).astype(np.float32)
    mates = [
        HearRequest(PARTIAL, noise, 0, None),
        HearRequest(FINAL, samples, len(samples), None),
    ]
    assert_same(models.hear(mates)[1], heard)


def test_a_voice_is_measured_in_both_families_even_of_what_is_no_speech(models):
    request = HearRequest(FINAL, np.zeros(16_000, np.float32), 0, None)
    (result,) = models.hear([request])
    assert result.transcript.is_rejected
    assert np.isfinite(result.voice.encoder).all()
    assert np.isfinite(result.voice.functionals).all()


# --- understanding ------------------------------------------------------------


def test_an_emotion_is_a_probability_of_each_class(models, heard):
    request = understand_request(models, "Ann", "I am so happy!", heard.voice)
    (result,) = models.understand([request])
    emotion = result.emotion
    assert emotion.emotions.shape == (len(EMOTIONS),)
    assert emotion.emotions.sum() == pytest.approx(1, abs=1e-5)
    assert emotion.sentiments.sum() == pytest.approx(1, abs=1e-5)
    assert (emotion.emotions >= 0).all()
    assert (emotion.modalities, emotion.context_turns) == (("audio", "text"), 0)
    assert result.version == 3


@pytest.mark.parametrize(
    ("text", "has_voice", "modalities"),
    [
        ("Hi.", True, ("audio", "text")),
        ("Hi.", False, ("text",)),
        (None, True, ("audio",)),
        (None, False, ()),
    ],
)
def test_an_emotion_tells_what_it_rests_on(models, heard, text, has_voice, modalities):
    voice = heard.voice if has_voice else None
    (result,) = models.understand([understand_request(models, "Ann", text, voice)])
    assert result.emotion.modalities == modalities
    assert result.emotion.emotions.sum() == pytest.approx(1, abs=1e-5)


def test_asking_changes_neither_the_context_nor_the_features(models, heard):
    request = understand_request(models, "Ann", "Hi.", heard.voice)
    before = travelled(request)
    models.understand([request])
    assert_same(request, before)


def test_what_is_understood_does_not_depend_on_batch_mates(models, heard):
    spoken = understand_request(models, "Ann", "Oh no, not again!", heard.voice)
    context = models.understand([spoken])[0].context
    requests = [
        understand_request(models, "Bob", "That is wonderful.", None, context),
        understand_request(models, "Ann", None, heard.voice, context),
        understand_request(models, "Ann", "No. " * 60, heard.voice),
        understand_request(models, "bot", "How are you?", VoiceFeatures(None, None)),
    ]
    alone = [models.understand([request])[0] for request in requests]
    for one, other in zip(models.understand(requests), alone, strict=True):
        np.testing.assert_allclose(
            one.emotion.emotions, other.emotion.emotions, atol=1e-5
        )
        np.testing.assert_allclose(one.context.states, other.context.states, atol=1e-5)
        np.testing.assert_allclose(one.context.memory, other.context.memory, atol=1e-5)
        assert one.context.speakers == other.context.speakers
        assert one.emotion.modalities == other.emotion.modalities


def test_the_answer_to_nothing_is_nothing(models):
    assert models.hear([]) == []
    assert models.understand([]) == []


# --- travelling ---------------------------------------------------------------


class Courier:
    """An engine on another machine: all that goes in or out is pickled."""

    def __init__(self, models):
        self._engine = InlineEngine(models)
        self.kinds = set()

    def submit(self, request):
        result = self._engine.submit(travelled(request)).result()
        self.kinds |= {type(request), type(result)}
        future = Future()
        future.set_result(travelled(result))
        return future

    def empty_context(self):
        return travelled(self._engine.empty_context())


def run(engine, vad, samples):
    """All events of one clip, said twice with a pause between, without wall times."""
    pause = np.zeros(16_000, np.float32)
    listener, director = open_session(
        events.SessionStart(
            audio=events.AudioFormat(
                encoding="pcm_f32le", sample_rate=16_000, channels=1
            ),
            partials=False,  # they are requests and results like the finals
        ),
        session="s",
        settings=Settings(),
        probability=vad.stream(),
        conversation=Conversation(engine.empty_context()),
        clock=lambda: 0.0,
    )
    pipeline = Pipeline(listener, director, engine)
    sent = pipeline.tell(events.ContextAdd(speaker="bot", text="Hello."))
    sent += pipeline.push(np.concatenate([samples, pause, samples, pause]).tobytes())
    return [events.encode(event) for event in sent + pipeline.tell(events.SessionEnd())]


def test_a_session_is_the_same_when_everything_travels(models, vad, samples):
    courier = Courier(models)
    sent = run(courier, vad, samples)
    assert len(courier.kinds) == 4  # both kinds of requests and of results
    assert sum('"emotion.final"' in text for text in sent) == 2
    assert sent == run(InlineEngine(models), vad, samples)


def test_every_record_comes_out_of_its_pickle_as_it_went_in(models, samples, heard):
    request = understand_request(models, "Ann", "Hi.", heard.voice)
    (understood,) = models.understand([request])
    for record in (
        HearRequest(PARTIAL, samples, len(samples), "en"),
        heard,
        request,
        understood,
    ):
        assert_same(travelled(record), record)


# --- at the start -------------------------------------------------------------


def test_a_missing_model_folder_is_named(tmp_path):
    settings = Settings(emotion=EmotionConfig(model=str(tmp_path / "none")))
    with pytest.raises(ModelError, match="none"):
        Models(settings)


def test_a_missing_recognizer_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"asr\.whisper"):
        Models(Settings(asr=AsrConfig(whisper=str(tmp_path))))
