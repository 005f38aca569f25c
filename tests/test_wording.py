"""Record, Result -> Event: internal records in the words of the protocol."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from stream_erc import events, wording
from stream_erc.engine import HearResult, Lane, Origin, UnderstandResult
from stream_erc.flow import (
    EMOTIONS,
    SENTIMENTS,
    AudioAltered,
    Emotion,
    MarkerReached,
    StreamEnded,
    Transcript,
    TurnAudio,
    TurnEnded,
    TurnResumed,
    TurnStarted,
    VoiceEdge,
    VoiceFeatures,
    Word,
)

MS = 16  # samples
ORIGIN = Origin("s", 4, 2, Lane.FINAL)
AUDIO = TurnAudio(
    turn=4,
    speaker="Ann",
    start=1000 * MS,
    voice_start=1300 * MS,
    samples=np.zeros(2000 * MS, np.float32),
    voiced_samples=900 * MS,
)
ENDED = TurnEnded(AUDIO, decided=3500 * MS, reason="flush")


def hear_result(text="So.", words=(), is_rejected=False):
    transcript = Transcript(text, words, is_rejected)
    voice = VoiceFeatures(None, None)
    return HearResult(ORIGIN, transcript, voice, queue_s=0.01, compute_s=0.2)


def understand_result(emotions=(0, 0, 0, 0, 1, 0, 0), sentiments=(0, 0, 1)):
    emotion = Emotion(
        np.float32(emotions), np.float32(sentiments), ("audio", "text"), 3
    )
    return UnderstandResult(ORIGIN, emotion, None, 7, queue_s=0.002, compute_s=0.03)


@pytest.mark.parametrize(
    ("record", "event"),
    [
        (VoiceEdge(500 * MS, is_start=True), events.SpeechStarted(at_ms=500)),
        (VoiceEdge(500 * MS, is_start=False), events.SpeechStopped(at_ms=500)),
        (
            TurnStarted(4, "Ann", 1000 * MS, 1300 * MS),
            events.TurnStarted(
                turn=4, speaker="Ann", start_ms=1000, voice_start_ms=1300
            ),
        ),
        (TurnResumed(4), events.TurnResumed(turn=4)),
        (
            TurnStarted(4, "auto", 1000 * MS, 1300 * MS),
            events.TurnStarted(
                turn=4, speaker=None, start_ms=1000, voice_start_ms=1300
            ),
        ),
        (AudioAltered("code", "text"), events.Warn(code="code", message="text")),
        (MarkerReached("m"), events.Marker(id="m")),
        (StreamEnded(5, 9000 * MS), events.SessionEnded(turns=5, audio_ms=9000)),
    ],
    ids=lambda one: type(one).__name__,
)
def test_what_was_heard_is_told_in_milliseconds(record, event):
    told = wording.announce(record, 700)
    assert told == structs.replace(event, time_ms=700)


def test_the_end_of_a_turn_is_told_with_who_spoke():
    assert wording.turn_ended(ENDED, "S2", 700) == events.TurnEnded(
        time_ms=700,
        turn=4,
        speaker="S2",
        start_ms=1000,
        end_ms=3000,
        decided_ms=3500,
        reason="flush",
    )


def test_words_have_their_times_on_the_streams_clock():
    heard = hear_result(words=(Word("So.", 300 * MS, 800 * MS, 0.98765),))
    told = wording.transcript_final(ENDED, heard, 3600)
    assert told.words == (
        events.WordTiming(word="So.", start_ms=1300, end_ms=1800, probability=0.988),
    )
    assert (told.turn, told.text, told.rejected) == (4, "So.", False)
    assert told.time_ms == 3600


def test_a_rejected_transcript_is_told_as_such():
    told = wording.transcript_final(ENDED, hear_result("", is_rejected=True), 0)
    assert (told.text, told.words, told.rejected) == ("", (), True)


def test_a_final_emotion_tells_its_place_and_its_latency():
    told = wording.emotion_final(hear_result(), understand_result(), 11, 0.0256, 3600)
    assert (told.turn, told.label, told.modalities) == (4, "joy", ("audio", "text"))
    assert (told.context_turns, told.context_seq, told.time_ms) == (3, 11, 3600)
    assert told.latency == events.Latency(
        endpoint_ms=25.6,
        compute_ms=230.0,
        queue_ms=12.0,
        hear_ms=200.0,
        understand_ms=30.0,
    )


def test_a_partial_emotion_tells_its_revision():
    told = wording.emotion_partial(understand_result(), 2000)
    assert (told.turn, told.revision, told.time_ms) == (4, 2, 2000)
    assert told.label == "joy"


chances = st.floats(0.001, 1)


@given(
    st.lists(chances, min_size=7, max_size=7), st.lists(chances, min_size=3, max_size=3)
)
def test_probabilities_are_those_of_the_classes_and_sum_to_one(emotions, sentiments):
    result = understand_result(
        np.divide(emotions, sum(emotions)), np.divide(sentiments, sum(sentiments))
    )
    told = wording.emotion_partial(result, 0)
    assert tuple(told.probabilities) == EMOTIONS
    assert tuple(told.sentiment) == SENTIMENTS
    assert sum(told.probabilities.values()) == pytest.approx(1, abs=0.001)
    assert sum(told.sentiment.values()) == pytest.approx(1, abs=0.001)
    assert told.probabilities[told.label] == max(told.probabilities.values())
