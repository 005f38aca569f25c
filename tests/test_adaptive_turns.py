"""What the words before a pause change of the turns of any stream, and what not."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from turn_stream import Stream, configs, play, steps, vads

from offline.transcription.cutting import cut_channel
from stream_erc.config import Settings, TurnConfig
from stream_erc.flow import (
    FRAME_SAMPLES,
    Completeness,
    StreamEnded,
    TurnEnded,
    TurnPaused,
    TurnResumed,
    to_samples,
)
from stream_erc.listener import Listener

ADAPTIVE = TurnConfig(end_silence_complete_ms=320, end_silence_unfinished_ms=800)
SILENCE_MS = {
    Completeness.COMPLETE: 320,
    Completeness.UNKNOWN: 544,
    Completeness.UNFINISHED: 800,
}


class Answered(Stream):
    """A stream whose pauses are judged as soon as they wait for it."""

    def __init__(self, turns=ADAPTIVE, vad=None, answer=Completeness.UNKNOWN):
        super().__init__(turns, *([vad] if vad else []))
        self.answer = answer
        self.waits = []  # samples heard when it waited
        push = self._turns.push

        def push_and_judge(item):
            records = push(item)
            if self._turns.is_waiting:
                self.waits.append(item.frame.end)
                records += self._turns.judge(self.answer)
            return records

        self._turns.push = push_and_judge


def frames(n_frames):
    return n_frames * FRAME_SAMPLES


def plain(records):
    """Records as values that can be compared."""
    return [
        (type(record), getattr(record, "decided", None), spell(record))
        for record in records
    ]


def spell(record):
    audio = getattr(record, "audio", None)
    if audio is None:
        return record
    return replace(audio, samples=None), audio.samples.tobytes()


def adapt(config, complete_ms, unfinished_ms):
    """The same settings, adaptive, as far as they allow it."""
    least, most = config.eager_silence_ms, config.end_silence_ms
    return replace(
        config,
        end_silence_complete_ms=min(max(complete_ms, least), most),
        end_silence_unfinished_ms=max(unfinished_ms, most),
    )


# --- one turn -----------------------------------------------------------------


@pytest.mark.parametrize("answer", Completeness)
def test_the_words_decide_how_much_silence_ends_a_turn(answer):
    stream = Answered(answer=answer).voice(20).silence(60)
    (ended,) = stream.of(TurnEnded)
    silence = ended.decided - frames(20)
    assert 0 <= silence - to_samples(SILENCE_MS[answer]) < FRAME_SAMPLES
    assert ended.reason == "silence"


def test_they_are_asked_for_once_a_pause_and_not_before_they_matter():
    stream = Answered().voice(20).silence(9).voice(20).silence(60)
    assert stream.waits == [frames(49 + 10)]
    stream = Answered().voice(20).silence(11).voice(20).silence(60)
    assert stream.waits == [frames(30), frames(61)]
    assert len(stream.of(TurnResumed)) == 1


def test_a_pause_is_told_before_its_words_are_asked_for():
    config = TurnConfig(eager_silence_ms=320, end_silence_complete_ms=320)
    stream = Stream(config).voice(20).silence(10)
    assert stream.kinds()[-1] == "TurnPaused"
    assert stream._turns.is_waiting


def test_where_only_unfinished_words_matter_nobody_waits_before_the_usual_end():
    config = TurnConfig(end_silence_unfinished_ms=800)
    stream = Answered(config, answer=Completeness.UNFINISHED).voice(20).silence(60)
    assert stream.waits == [frames(20 + 17)]
    (ended,) = stream.of(TurnEnded)
    assert ended.decided == frames(20 + 25)


def test_a_turn_too_long_does_not_wait_for_unfinished_words():
    config = replace(ADAPTIVE, max_turn_ms=3200, search_ms=1600)
    stream = Answered(config, answer=Completeness.UNFINISHED).voice(88).silence(60)
    (ended,) = stream.of(TurnEnded)
    assert (ended.reason, ended.decided) == ("max_length", frames(100))


# --- any stream ---------------------------------------------------------------


def play_answered(script, config, vad, answer):
    """As `turn_stream.play`, with pauses that are judged."""
    stream = Answered(config, vad, answer)
    for kind, amount, choice in script:
        if kind == "voice":
            stream.voice(amount, choice)
        elif kind == "silence":
            stream.silence(amount, choice)
        else:
            stream.hear(int(amount > 0), choice, length=amount).cut(kind)
    return stream.cut("end")


silences = st.sampled_from([150, 200, 320, 544, 800, 2000])


@given(steps, configs, vads, silences, silences)
def test_where_nothing_is_known_of_the_words_all_is_as_without_them(
    script, config, vad, complete_ms, unfinished_ms
):
    adaptive = adapt(config, complete_ms, unfinished_ms)
    stream = play_answered(script, adaptive, vad, Completeness.UNKNOWN)
    assert plain(stream.records) == plain(play(script, config, vad).records)


@given(steps, configs, vads, silences, silences, st.sampled_from(Completeness))
def test_a_turns_audio_is_that_of_its_last_pause_however_long_was_waited(
    script, config, vad, complete_ms, unfinished_ms, answer
):
    adaptive = adapt(config, complete_ms, unfinished_ms)
    stream = play_answered(script, adaptive, vad, answer)
    told = stream.of((TurnPaused, TurnResumed, TurnEnded))
    for first, second in zip(told, told[1:], strict=False):
        if isinstance(first, TurnPaused) and isinstance(second, TurnEnded):
            assert spell(first) == spell(second)
    for ended in stream.of(TurnEnded):
        span = stream.samples[ended.audio.start : ended.audio.end]
        np.testing.assert_array_equal(ended.audio.samples, span)


@given(steps, configs, vads, silences)
def test_until_the_first_end_complete_words_only_bring_it_forward(
    script, config, vad, complete_ms
):
    adaptive = adapt(config, complete_ms, 0)
    early = play_answered(script, adaptive, vad, Completeness.COMPLETE).of(TurnEnded)
    usual = play(script, config, vad).of(TurnEnded)
    assert bool(early) == bool(usual)
    if early:
        assert early[0].decided <= usual[0].decided
        assert early[0].audio.start == usual[0].audio.start


# --- the listener -------------------------------------------------------------


def loudness(samples):
    """Stands in for Silero."""
    return min(1.0, 2 * float(np.abs(samples).max(initial=0)))


def listen(script, when):
    """Give all records of a script whose pauses are judged late or at once.

    Args:
        script: Audio as arrays, and instructions as functions of a listener.
        when: True at each item before which a waiting listener is told.
    """
    listener = Listener(
        "pcm_f32le",
        16_000,
        1,
        speaker="Ann",
        settings=Settings(turns=ADAPTIVE),
        probability=loudness,
    )
    answers = iter([Completeness.COMPLETE, Completeness.UNFINISHED] * 100)
    placed = []
    for item, is_told in zip([*script, Listener.end], [*when, True], strict=True):
        if isinstance(item, np.ndarray):
            placed += listener.push(item.tobytes())
        else:
            placed += item(listener)
        while is_told and listener.is_waiting:
            placed += listener.judge(next(answers))
    assert listener.is_over
    return [(at, one) for at, record in placed for one in plain([record])]


def sound(seconds, level):
    rng = np.random.default_rng(round(1000 * seconds))
    return (level * rng.uniform(-1, 1, round(16_000 * seconds))).astype(np.float32)


items = st.one_of(
    st.builds(sound, st.sampled_from([0.1, 0.5, 0.9]), st.just(0.8)),
    st.builds(sound, st.sampled_from([0.1, 0.3, 0.45, 0.9]), st.just(0.001)),
    st.sampled_from(
        [
            Listener.flush_turn,
            lambda one: one.set_speaker("Bob"),
            lambda one: one.mark("here"),
            lambda one: one.add_context("bot", "Hello."),
        ]
    ),
)


@given(st.lists(st.tuples(items, st.booleans()), max_size=20))
def test_when_the_words_become_known_changes_nothing(drawn):
    script = [item for item, _ in drawn]
    late = listen(script, [is_told for _, is_told in drawn])
    assert late == listen(script, [True] * len(script))
    assert late[-1][1][0] is StreamEnded


def test_offline_transcription_cuts_by_the_usual_silence_alone():
    parts = [sound(1.0, 0.8), sound(0.45, 0.001)] * 2 + [sound(0.9, 0.001)]
    samples = np.round(np.concatenate(parts) * 32_767).astype(np.int16)
    usual, adaptive = (
        list(cut_channel(samples, 0, Settings(turns=turns), loudness))
        for turns in (TurnConfig(), ADAPTIVE)
    )
    assert len(usual) == 1
    assert adaptive == usual
