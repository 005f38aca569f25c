"""JudgedFrame, VoiceEdge -> Turn…: what holds of the turns of any stream."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from turn_stream import configs, play, steps, vads

from stream_erc.config import TurnConfig
from stream_erc.flow import (
    FRAME_SAMPLES,
    TurnEnded,
    TurnHeard,
    TurnPaused,
    TurnResumed,
    TurnStarted,
    to_samples,
)


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
