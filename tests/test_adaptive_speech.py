"""Real words decide when real turns end, the same however the audio comes."""

import json

import numpy as np
import pytest
from recording import clip, join, of_type, results, silence
from talking import SURPASSED, quietest

from stream_erc import events
from stream_erc.config import Settings, TurnConfig
from stream_erc.conversation import Conversation
from stream_erc.engines import InlineEngine
from stream_erc.pipeline import Pipeline, open_session

PLAIN = TurnConfig()
ADAPTIVE = TurnConfig(end_silence_complete_ms=352, end_silence_unfinished_ms=1200)
FORMAT = events.AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)


@pytest.fixture(scope="module")
def listen(models, vad):
    def listen(audio, turns, chunk_bytes=640):
        listener, director = open_session(
            events.SessionStart(audio=FORMAT, partials=False),
            session="by hand",
            settings=Settings(turns=turns),
            probability=vad.stream(),
            conversation=Conversation(models.empty_context()),
            clock=lambda: 0.0,
        )
        pipeline = Pipeline(listener, director, InlineEngine(models))
        data, sent = audio.astype("<i2").tobytes(), []
        for at in range(0, len(data), chunk_bytes):
            sent += pipeline.push(data[at : at + chunk_bytes])
        sent += pipeline.tell(events.SessionEnd())
        return [json.loads(events.encode(event)) for event in sent]

    return listen


@pytest.fixture(scope="module")
def whole():
    """A sentence with its end, and silence."""
    return join(silence(0.5), clip(SURPASSED), silence(1.5))


def test_a_complete_sentence_ends_sooner_and_is_the_same_turn(listen, whole):
    [usual] = of_type(listen(whole, PLAIN), "turn.ended")
    sent = listen(whole, ADAPTIVE)
    [ended] = of_type(sent, "turn.ended")
    assert usual["decided_ms"] - ended["decided_ms"] == 544 - 352
    clock = {"decided_ms", "time_ms", "seq"}
    assert all(ended[name] == usual[name] for name in ended.keys() - clock)
    finals = ("transcript.final", "emotion.final")
    for final, other in zip(
        of_type(sent, *finals),
        of_type(listen(whole, PLAIN), *finals),
        strict=True,
    ):
        for name in ("text", "words", "probabilities"):
            assert final.get(name) == other.get(name)


def test_a_sentence_that_breaks_off_is_waited_for(listen):
    spoken = clip("speech/jfk.flac")
    at = quietest(spoken[: 16_000 * 2])
    audio = join(silence(0.5), spoken[:at], silence(0.8), spoken[at : 16_000 * 4])
    audio = join(audio, silence(1.5))
    assert len(of_type(listen(audio, PLAIN), "turn.ended")) > len(
        of_type(listen(audio, ADAPTIVE), "turn.ended")
    )


def test_how_the_audio_is_cut_changes_no_result(listen, whole):
    audio = np.concatenate([whole, clip("speech/LJ001-0002.flac"), silence(1.5)])
    usual = results(listen(audio, ADAPTIVE))
    assert len(usual) >= 2
    for chunk_bytes in (1022, 10_000_000):
        assert results(listen(audio, ADAPTIVE, chunk_bytes)) == usual
