"""What sessions have to hear, taken in together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_listener import RATE_HZ, SPEECH, listener, loudness, plain

from stream_erc.events import MarkerSet, SessionEnd, SpeakerSet, TurnFlush
from stream_erc.flow import FRAME_SAMPLES, AudioAltered, StreamEnded
from stream_erc.intake import Intake, JointIntake


class Loud:
    """Stands in for Silero; like it, it knows how often it was asked."""

    n_calls = 0

    def detect(self, heard):
        self.n_calls += 1
        return [[stream(frame) for frame in frames] for stream, frames in heard]

    def stream(self):
        return lambda samples: loudness(samples)


class Frail(Loud):
    """Fails for a frame that is too loud, and so for all that come with it."""

    def __init__(self, fault):
        self.fault = fault

    def detect(self, heard):
        found = super().detect(heard)
        peaks = [np.abs(frame).max() for _, frames in heard for frame in frames]
        if max(peaks, default=0) <= 0.9:
            return found
        if self.fault == "exception":
            raise RuntimeError
        return [[np.nan] * len(one) for one in found]


SHOUT = np.full(30 * FRAME_SAMPLES, 32_000, "<i2").tobytes()
QUIET = bytes(30 * FRAME_SAMPLES * 2)


def outcomes(vad, *pairs):
    joint = JointIntake(vad, [Intake(one, item) for one, item in pairs])
    return joint.finish((joint.ask(), None))


def warnings(placed):
    return [r.code for _, r in placed if isinstance(r, AudioAltered)]


items = st.one_of(
    st.integers(0, 20_000),  # bytes of audio
    st.just(MarkerSet(id=1)),
    st.just(TurnFlush()),
)


@settings(max_examples=25)
@given(st.lists(st.lists(items, min_size=3, max_size=3), max_size=8))
def test_each_gives_together_what_it_gives_alone(rounds):
    together, alone, vad = (
        [listener() for _ in range(3)],
        [listener() for _ in range(3)],
        Loud(),
    )
    sent = [0, 0, 0]
    for row in [*rounds, [SessionEnd()] * 3]:
        pairs = []
        for n, item in enumerate(row):
            if isinstance(item, int):
                start, sent[n] = sent[n], sent[n] + item
                item = (SPEECH * 4)[start : sent[n]]
            pairs.append((together[n], item))
        for (_, item), one, (placed, error) in zip(
            pairs, alone, outcomes(vad, *pairs), strict=True
        ):
            assert error is None
            wanted = Intake(one, item)
            frames = wanted.receive()
            scripted = [loudness(frame.samples) for frame in frames]
            assert plain(placed) == plain(wanted.carry_out(frames, scripted))


def test_the_network_is_called_once_for_all():
    vad = Loud()
    outcomes(vad, *[(listener(), SPEECH)] * 5)
    assert vad.n_calls == 1


@pytest.mark.parametrize("fault", ["exception", "nan"])
def test_where_the_network_fails_at_one_his_loudness_is_left(fault, caplog):
    good, bad = listener(), listener()
    (fine, none), (spoilt, error) = outcomes(Frail(fault), (good, SPEECH), (bad, SHOUT))
    assert none is error is None
    assert warnings(spoilt[:1]) == ["not_detected"]
    assert plain(spoilt[1:]) == plain(listener().push(SHOUT))
    assert plain(fine) == plain(listener().push(SPEECH))
    assert caplog.messages == ["detect failed"]


def test_a_failure_is_told_when_it_begins(caplog):
    one, vad = listener(), Frail("exception")
    told = []
    for item in (SHOUT, SHOUT, MarkerSet(id=1), QUIET, SHOUT):
        [(placed, _)] = outcomes(vad, (one, item))
        told.append(warnings(placed))
    assert told == [["not_detected"], [], [], [], ["not_detected"]]
    assert caplog.messages == ["detect failed"] * 2


def test_what_fails_together_and_not_alone_is_logged(caplog):
    class Unsociable(Loud):
        def detect(self, heard):
            if len(heard) > 1:
                raise RuntimeError
            return super().detect(heard)

    one, other = listener(), listener()
    for placed, error in outcomes(Unsociable(), (one, SPEECH), (other, SPEECH)):
        assert plain(placed) == plain(listener().push(SPEECH)) and error is None
    assert caplog.messages == ["frames are judged one by one"]


def test_a_call_that_hung_leaves_all_their_loudness_and_a_new_memory():
    vad, one, other = Loud(), listener(), listener()
    before = one.probability
    joint = JointIntake(vad, [Intake(one, SPEECH), Intake(other, TurnFlush())])
    [(placed, none), (nothing, still_none)] = joint.finish((None, TimeoutError()))
    assert warnings(placed) == ["not_detected"] and none is None
    assert (nothing, still_none) == ([], None)
    assert plain(placed[1:]) == plain(listener().push(SPEECH))
    assert one.probability is not before  # to which the late call may still write
    assert vad.n_calls == 0


def test_what_was_held_back_is_judged_with_all_else():
    class Together(Loud):
        def detect(self, heard):
            return [[1.0] * len(frames) for _, frames in heard]

    one = listener()
    one.probability = None  # nobody may ask it alone
    for item in (SPEECH[:1000], TurnFlush(), SpeakerSet(speaker="Bob"), SessionEnd()):
        [(placed, error)] = outcomes(Together(), (one, item))
        assert error is None and not warnings(placed)


@pytest.mark.parametrize("place", ["receive", "hear"])
def test_a_listener_that_fails_spoils_no_other(monkeypatch, place):
    good, bad = listener(), listener()

    def fail(*_):
        raise MemoryError

    monkeypatch.setattr(bad, place, fail)
    (_, error), (placed, none) = outcomes(Loud(), (bad, SPEECH), (good, SPEECH))
    assert isinstance(error, MemoryError) and none is None
    assert plain(placed) == plain(listener().push(SPEECH))


def test_the_real_network_serves_a_listener(vad):
    one = listener()
    one.probability = vad.stream()
    [(placed, error)] = outcomes(vad, (one, bytes(64_000)))
    assert (placed, error) == ([], None)
    [([(at, ended)], _)] = outcomes(vad, (one, SessionEnd()))
    assert (at, ended) == (2 * RATE_HZ, StreamEnded(0, 2 * RATE_HZ))
