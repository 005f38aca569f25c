"""JudgedFrame, VoiceEdge -> Turn…: when turns start, pause, go on and end."""

import numpy as np
import pytest
from turn_stream import FAINT, Stream

from stream_erc.config import TurnConfig, VadConfig
from stream_erc.flow import (
    FRAME_SAMPLES,
    TurnEnded,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    VoiceEdge,
    to_samples,
)


def ended(stream):
    (record,) = stream.of(TurnEnded)
    return record


def frames(n_frames):
    return n_frames * FRAME_SAMPLES


# --- one turn -----------------------------------------------------------------


def test_silence_starts_no_turn():
    assert Stream().silence(200).cut("end").records == []


def test_a_turn_starts_with_its_voice_and_ends_after_the_end_silence():
    stream = Stream().silence(40).voice(20).silence(30)
    record = ended(stream)
    assert (record.audio.turn, record.audio.speaker) == (0, "Ann")
    assert record.audio.voice_start == frames(40)
    assert record.reason == "silence"
    assert record.decided == frames(40 + 20 + 17)  # 544 ms


@pytest.mark.parametrize("end_silence_ms", [192, 320, 1000])
def test_the_end_silence_decides_when_a_turn_ends(end_silence_ms):
    config = TurnConfig(end_silence_ms=end_silence_ms)
    record = ended(Stream(config).voice(20).silence(60))
    silence = record.decided - frames(20)
    assert 0 <= silence - to_samples(end_silence_ms) < FRAME_SAMPLES


def test_a_shorter_silence_ends_no_turn():
    stream = Stream().voice(20).silence(16).voice(20).silence(16)
    assert stream.of(TurnEnded) == []


def test_a_turn_begins_with_the_pre_roll():
    record = ended(Stream().silence(40).voice(20).silence(30))
    assert record.audio.start == frames(40) - to_samples(300)


def test_the_pre_roll_is_no_longer_than_what_was_heard():
    assert ended(Stream().silence(3).voice(20).silence(30)).audio.start == 0


def test_the_pre_roll_does_not_reach_into_the_turn_before():
    config = TurnConfig(end_silence_ms=192, pre_roll_ms=1000)
    first, second = Stream(config).voice(9).silence(7).voice(9).silence(7).of(TurnEnded)
    assert second.audio.start == first.audio.end


@pytest.mark.parametrize("post_roll_ms", [0, 33, 150])
def test_a_turn_ends_with_the_post_roll(post_roll_ms):
    config = TurnConfig(post_roll_ms=post_roll_ms, eager_silence_ms=160)
    record = ended(Stream(config).voice(20).silence(30))
    assert record.audio.end == frames(20) + to_samples(post_roll_ms)


def test_how_much_of_a_turn_was_voiced_is_counted():
    stream = Stream().silence(5).voice(8).silence(4).voice(3).silence(30)
    assert ended(stream).audio.voiced_samples == frames(11)


# --- where a turn starts ------------------------------------------------------


def test_a_breath_before_the_voice_belongs_to_the_turn():
    stream = Stream().silence(40).silence(6, FAINT).silence(4).voice(20)
    (started,) = stream.of(TurnStarted)
    assert started.voice_start == frames(40)
    assert stream.edges == [VoiceEdge(frames(50), is_start=True)]


def test_a_noise_long_before_the_voice_does_not_belong_to_it():
    (started,) = (
        Stream().silence(40).silence(6, FAINT).silence(12).voice(9).of(TurnStarted)
    )
    assert started.voice_start == frames(58)


def test_a_breath_is_looked_for_no_farther_back_than_the_setting():
    config = TurnConfig(onset_search_ms=320)
    (started,) = Stream(config).silence(40).silence(30, FAINT).voice(9).of(TurnStarted)
    assert frames(60) <= started.voice_start <= frames(70)


def test_steady_noise_is_no_breath():
    (started,) = Stream().silence(90, FAINT).voice(9).of(TurnStarted)
    assert started.voice_start == frames(90)


def test_a_breath_before_a_cut_stays_before_it():
    stream = Stream().silence(40).silence(6, FAINT).cut("speaker", "Bob").voice(9)
    (started,) = stream.of(TurnStarted)
    assert (started.start, started.voice_start) == (frames(46), frames(46))


# --- pauses -------------------------------------------------------------------


def test_a_pause_is_told_at_the_eager_silence_with_the_turns_final_audio():
    stream = Stream().voice(20).silence(5)
    (paused,) = stream.of(TurnPaused)
    stream.silence(20)
    record = ended(stream)
    assert stream.kinds()[-2:] == ["TurnPaused", "TurnEnded"]
    assert (paused.audio.start, paused.audio.end) == (0, record.audio.end)
    np.testing.assert_array_equal(paused.audio.samples, record.audio.samples)
    assert paused.audio.voiced_samples == record.audio.voiced_samples


def test_before_the_eager_silence_no_pause_is_told():
    assert Stream().voice(20).silence(3).of(TurnPaused) == []


def test_a_speaker_who_goes_on_resumes_the_turn():
    stream = Stream().voice(20).silence(8).voice(20).silence(30)
    kinds = [kind for kind in stream.kinds() if kind != "TurnHeard"]
    assert kinds == [
        "TurnStarted",
        "TurnPaused",
        "TurnResumed",
        "TurnPaused",
        "TurnEnded",
    ]
    assert ended(stream).audio.end == frames(48) + to_samples(96)


def test_a_pause_too_short_to_be_told_is_not_resumed():
    stream = Stream().voice(20).silence(3).voice(20)
    assert stream.of(TurnPaused) == stream.of(TurnResumed) == []


def test_a_click_in_the_pause_does_not_resume_the_turn():
    stream = Stream().voice(20).silence(8).voice(1).silence(30)
    assert stream.of(TurnResumed) == []
    assert ended(stream).decided == frames(20 + 17)


def test_a_click_in_the_pause_is_no_voice_of_the_turn():
    stream = Stream().voice(20).silence(8).voice(1).silence(30)
    assert ended(stream).audio.voiced_samples == frames(20)


def test_a_voice_at_the_very_end_of_the_silence_is_waited_for():
    stream = Stream().voice(20).silence(16).voice(9)
    assert stream.of(TurnEnded) == []
    assert len(stream.of(TurnResumed)) == 1


# --- cuts ---------------------------------------------------------------------


@pytest.mark.parametrize("reason", ["flush", "speaker", "end"])
def test_a_cut_ends_a_voice_where_it_is(reason):
    stream = Stream().voice(20).hear(1, True, length=100).cut(reason)
    record = ended(stream)
    assert record.reason == reason
    assert record.audio.end == record.decided == frames(20) + 100


def test_a_cut_in_a_pause_ends_the_turn_behind_its_voice():
    record = ended(Stream().voice(20).silence(10).cut("flush"))
    assert record.audio.end == frames(20) + to_samples(96)
    assert record.decided == frames(30)


def test_a_cut_within_the_post_roll_shortens_it():
    record = ended(Stream().voice(20).silence(2).cut("flush"))
    assert record.audio.end == frames(22)


def test_a_cut_between_turns_ends_none():
    stream = Stream().voice(20).silence(30).cut("flush").cut("end")
    assert len(stream.of(TurnEnded)) == 1


def test_the_turn_after_a_cut_starts_behind_it():
    stream = Stream().voice(20).cut("flush").voice(20).silence(30)
    first, second = stream.of(TurnEnded)
    assert (first.audio.end, second.audio.start) == (frames(20), frames(20))


def test_a_speaker_has_the_turns_that_start_after_the_change():
    stream = Stream().voice(9).cut("speaker", "Bob").voice(9).cut("end")
    assert [record.audio.speaker for record in stream.of(TurnEnded)] == ["Ann", "Bob"]
    assert [record.speaker for record in stream.of(TurnStarted)] == ["Ann", "Bob"]


# --- turns that become too long -----------------------------------------------

SHORT = TurnConfig(max_turn_ms=3200, search_ms=1600)  # 100 frames, 50 frames


def test_a_turn_too_long_is_cut_where_it_was_quietest():
    stream = Stream(SHORT).voice(69).voice(3, FAINT).voice(40)
    record = ended(stream)
    assert record.reason == "max_length"
    assert record.audio.end == frames(71)  # behind the middle one of the faint frames
    assert record.decided == frames(100)


def test_what_was_quiet_too_long_ago_is_no_place_to_cut():
    stream = Stream(SHORT).voice(30).voice(3, FAINT).voice(80)
    assert ended(stream).audio.end > frames(50)


def test_the_rest_of_a_turn_too_long_is_the_next_turn():
    stream = Stream(SHORT).voice(69).voice(3, FAINT).voice(40).silence(30)
    first, second = stream.of(TurnEnded)
    assert second.audio.start == second.audio.voice_start == first.audio.end
    assert second.audio.end == frames(112) + to_samples(96)
    assert stream.kinds().count("TurnStarted") == 2


@pytest.mark.parametrize("n_voiced", range(90, 104))
@pytest.mark.parametrize("min_pause_ms", [32, 96, 500])
def test_a_cut_next_to_a_pause_leaves_no_turn_without_voice(min_pause_ms, n_voiced):
    config = TurnConfig(max_turn_ms=3200, search_ms=1600, post_roll_ms=0)
    vad = VadConfig(min_speech_ms=64, min_pause_ms=min_pause_ms)
    stream = Stream(config, vad).voice(n_voiced).silence(40)
    for record in stream.of(TurnEnded):
        assert record.audio.voiced_samples > 0
        assert record.audio.end <= frames(n_voiced)
    assert stream.of(TurnEnded)[-1].audio.end == frames(n_voiced)


def test_a_pause_at_the_greatest_length_ends_the_turn_without_a_rest():
    stream = Stream(SHORT).voice(90).silence(30)
    record = ended(stream)
    assert (record.reason, record.decided) == ("max_length", frames(100))
    assert record.audio.end == frames(90) + to_samples(96)


def test_a_voice_that_begins_before_the_cut_starts_its_turn_behind_it():
    vad = VadConfig(min_speech_ms=96, min_pause_ms=32)
    stream = Stream(SHORT, vad).voice(98).silence(1).voice(20)
    record = ended(stream)
    assert (record.reason, record.audio.end) == ("max_length", frames(100))
    second = stream.of(TurnStarted)[1]
    assert second.start == second.voice_start == frames(100)


# --- provisional results ------------------------------------------------------


def test_a_turn_is_told_of_in_the_shorter_interval():
    stream = Stream(TurnConfig(first_partial_ms=320, wordless_interval_ms=640))
    stream.silence(20).voice(60)
    ends = [record.audio.end - frames(20) for record in stream.of(TurnHeard)]
    assert ends == [frames(10), frames(30), frames(50)]
    assert [record.revision for record in stream.of(TurnHeard)] == [0, 1, 2]


def test_a_pause_brings_no_partials():
    stream = Stream().voice(20)
    n_before = len(stream.of(TurnHeard))
    assert len(stream.silence(16).of(TurnHeard)) == n_before


def test_the_partials_of_the_next_turn_are_counted_anew():
    stream = Stream().voice(30).silence(30).voice(30)
    first, second = (
        [
            record.revision
            for record in stream.of(TurnHeard)
            if record.audio.turn == turn
        ]
        for turn in (0, 1)
    )
    assert first == second == [0, 1, 2, 3, 4, 5, 6]
