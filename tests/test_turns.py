"""JudgedFrame, VoiceEdge -> Turn…: when turns start, pause, go on and end."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.config import TurnConfig, VadConfig
from stream_erc.flow import (
    FRAME_SAMPLES,
    Frame,
    TurnEnded,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    VoiceEdge,
    to_samples,
)
from stream_erc.turns import TurnBuilder
from stream_erc.vad import VoiceGate

VAD = VadConfig(min_speech_ms=64, min_pause_ms=64)
LOUD, FAINT, SILENT = 0.3, 0.02, 0.0001  # amplitude: a vowel, a breath, a room


class Stream:
    """The gate and the turns of one session, fed with scripted probabilities.

    Every sample of it is another number, so that a turn's audio tells where it lies.
    """

    def __init__(self, turns=None, vad=VAD):
        self._noise = np.random.default_rng(0)
        self._gate = VoiceGate(self._next_probability, vad)
        self._turns = TurnBuilder(turns or TurnConfig(), "Ann")
        self._is_voiced = False
        self.samples = np.empty(0, np.float32)
        self.records = []
        self.edges = []

    def _next_probability(self, samples):
        return 0.9 if self._is_voiced else 0.1

    @property
    def now(self):
        return len(self.samples)

    def hear(self, n_frames, is_voiced, amplitude=None, length=FRAME_SAMPLES):
        self._is_voiced = is_voiced
        if amplitude is None:
            amplitude = LOUD if is_voiced else SILENT
        for _ in range(n_frames):
            samples = amplitude * self._noise.uniform(-1, 1, length)
            frame = Frame(self.now, samples.astype(np.float32))
            self.samples = np.concatenate([self.samples, frame.samples])
            for item in self._gate.push(frame):
                self.edges += [item] if isinstance(item, VoiceEdge) else []
                self.records += self._turns.push(item)
        return self

    def voice(self, n_frames, amplitude=None):
        return self.hear(n_frames, True, amplitude)

    def silence(self, n_frames, amplitude=None):
        return self.hear(n_frames, False, amplitude)

    def cut(self, reason, speaker=None):
        """As the listener cuts: after whatever part of a frame has come."""
        self.edges += self._gate.cut()
        self.records += self._turns.cut(self.now, reason)
        if speaker:
            self._turns.set_speaker(speaker)
        return self

    def of(self, kind):
        return [record for record in self.records if isinstance(record, kind)]

    def kinds(self):
        return [type(record).__name__ for record in self.records]


def ended(stream):
    (record,) = stream.of(TurnEnded)
    return record


def frames(n_frames):
    return n_frames * FRAME_SAMPLES


# --- one turn -------------------------------------------------------------------


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
    record = ended(Stream(TurnConfig(post_roll_ms=post_roll_ms)).voice(20).silence(30))
    assert record.audio.end == frames(20) + to_samples(post_roll_ms)


def test_how_much_of_a_turn_was_voiced_is_counted():
    stream = Stream().silence(5).voice(8).silence(4).voice(3).silence(30)
    assert ended(stream).audio.voiced_samples == frames(11)


# --- where a turn starts ----------------------------------------------------------


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


# --- pauses -----------------------------------------------------------------------


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
    assert Stream().voice(20).silence(4).of(TurnPaused) == []


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
    stream = Stream().voice(20).silence(4).voice(20)
    assert stream.of(TurnPaused) == stream.of(TurnResumed) == []


def test_a_click_in_the_pause_does_not_resume_the_turn():
    stream = Stream().voice(20).silence(8).voice(1).silence(30)
    assert stream.of(TurnResumed) == []
    assert ended(stream).decided == frames(20 + 17)


def test_a_voice_at_the_very_end_of_the_silence_is_waited_for():
    stream = Stream().voice(20).silence(16).voice(9)
    assert stream.of(TurnEnded) == []
    assert len(stream.of(TurnResumed)) == 1


# --- cuts -------------------------------------------------------------------------


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


# --- turns that become too long ---------------------------------------------------

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


# --- provisional results ----------------------------------------------------------


def test_partials_come_first_after_their_delay_then_at_their_interval():
    stream = Stream(TurnConfig(first_partial_ms=320, partial_interval_ms=480))
    stream.silence(20).voice(60)
    ends = [record.audio.end - frames(20) for record in stream.of(TurnHeard)]
    assert ends == [frames(10), frames(25), frames(40), frames(55)]
    assert [record.revision for record in stream.of(TurnHeard)] == [0, 1, 2, 3]


def test_a_pause_brings_no_partials():
    stream = Stream().voice(20)
    n_before = len(stream.of(TurnHeard))
    assert len(stream.silence(16).of(TurnHeard)) == n_before


def test_the_partials_of_the_next_turn_are_counted_anew():
    stream = Stream().voice(30).silence(30).voice(30)
    heard = stream.of(TurnHeard)
    assert [(r.audio.turn, r.revision) for r in heard] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (1, 1),
    ]


# --- any scenario -----------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("voice"), st.integers(1, 30), st.sampled_from([LOUD, FAINT])),
        st.tuples(
            st.just("silence"), st.integers(1, 25), st.sampled_from([SILENT, FAINT])
        ),
        st.tuples(
            st.sampled_from(["flush", "speaker"]), st.integers(0, 511), st.booleans()
        ),
    ),
    max_size=25,
)
configs = st.builds(
    TurnConfig,
    pre_roll_ms=st.sampled_from([0, 100, 300]),
    post_roll_ms=st.sampled_from([0, 20, 96, 150]),
    eager_silence_ms=st.sampled_from([150, 320]),
    end_silence_ms=st.sampled_from([320, 544]),
    onset_search_ms=st.sampled_from([0, 100, 1000]),
    max_turn_ms=st.sampled_from([2600, 19_000]),
    search_ms=st.sampled_from([50, 1000, 2500]),
)
vads = st.builds(
    VadConfig,
    min_speech_ms=st.sampled_from([32, 96, 300]),
    min_pause_ms=st.sampled_from([32, 96, 300]),
)


def play(script, config, vad):
    """A stream that went through the script and then ended."""
    stream = Stream(config, vad)
    for kind, amount, choice in script:
        if kind == "voice":
            stream.voice(amount, choice)
        elif kind == "silence":
            stream.silence(amount, choice)
        else:
            stream.hear(int(amount > 0), choice, length=amount).cut(kind)
    return stream.cut("end")


def any_scenario(test):
    """Run a test on any stream that has ended."""
    return given(st.builds(play, steps, configs, vads))(test)


@any_scenario
def test_a_turns_audio_is_the_streams_from_its_start_to_its_end(stream):
    for record in stream.of((TurnHeard, TurnPaused, TurnEnded)):
        audio = record.audio
        wanted = stream.samples[audio.start : audio.end]
        np.testing.assert_array_equal(audio.samples, wanted)
        assert 0 <= audio.start <= audio.voice_start <= audio.end


@any_scenario
def test_turns_are_numbered_in_order_and_each_ends_before_the_next_starts(stream):
    bounds = stream.of((TurnStarted, TurnEnded))
    assert [type(record) for record in bounds[::2]] == [TurnStarted] * (
        len(bounds) // 2
    )
    for number, (started, over) in enumerate(
        zip(bounds[::2], bounds[1::2], strict=True)
    ):
        assert started.turn == over.audio.turn == number
        assert (started.start, started.voice_start) == (
            over.audio.start,
            over.audio.voice_start,
        )
        assert over.audio.end <= over.decided


@any_scenario
def test_turns_do_not_overlap_and_none_reaches_over_a_cut(stream):
    over = stream.of(TurnEnded)
    for first, second in pairwise(over):
        assert first.audio.end <= second.audio.start
        if first.reason in {"flush", "speaker"}:
            assert first.decided <= second.audio.start


@any_scenario
def test_every_voice_lies_within_turns(stream):
    covered = np.zeros(stream.now, bool)
    for record in stream.of(TurnEnded):
        covered[record.audio.start : record.audio.end] = True
    for started, stopped in zip(stream.edges[::2], stream.edges[1::2], strict=True):
        assert covered[started.at : stopped.at].all()


@any_scenario
def test_every_turn_has_voice(stream):
    assert all(record.audio.voiced_samples > 0 for record in stream.of(TurnEnded))


@any_scenario
def test_after_a_pause_comes_exactly_one_of_resumed_and_ended(stream):
    told = stream.of((TurnPaused, TurnResumed, TurnEnded))
    for first, second in pairwise(told):
        if isinstance(first, TurnPaused):
            assert not isinstance(second, TurnPaused)
        if isinstance(second, TurnResumed):
            assert isinstance(first, TurnPaused)
            assert first.audio.turn == second.turn
        if isinstance(first, TurnPaused) and isinstance(second, TurnEnded):
            assert first.audio.end == second.audio.end


@any_scenario
def test_revisions_of_a_turn_count_from_zero(stream):
    for over in stream.of(TurnEnded):
        revisions = [
            record.revision
            for record in stream.of(TurnHeard)
            if record.audio.turn == over.audio.turn
        ]
        assert revisions == list(range(len(revisions)))


@given(steps, vads)
def test_no_turn_is_longer_than_the_greatest_length_and_a_gap_in_the_voice(script, vad):
    config = TurnConfig(max_turn_ms=2600, search_ms=1000)
    for record in play(script, config, vad).of(TurnEnded):
        greatest = to_samples(2600 + vad.min_pause_ms) + FRAME_SAMPLES
        assert len(record.audio.samples) <= greatest


@any_scenario
def test_a_turn_that_ends_in_silence_ends_at_most_a_post_roll_behind_voice(stream):
    for record in stream.of(TurnEnded):
        if record.reason == "silence":
            stops = [edge.at for edge in stream.edges if not edge.is_start]
            assert any(0 <= record.audio.end - at <= to_samples(150) for at in stops)
