"""What sessions have to hear, taken in together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_listener import RATE_HZ, SPEECH, listener, loudness, plain

from stream_erc.events import MarkerSet, SessionEnd, TurnFlush
from stream_erc.flow import StreamEnded
from stream_erc.intake import Intake, hear_together


class Loud:
    """Stands in for Silero; like it, it knows how often it was asked."""

    n_calls = 0

    def detect(self, heard):
        self.n_calls += 1
        return [[stream(frame) for frame in frames] for stream, frames in heard]


class Frail(Loud):
    """Fails for a frame that is too loud, and so for all that come with it."""

    def detect(self, heard):
        peaks = [np.abs(frame).max() for _, frames in heard for frame in frames]
        if max(peaks, default=0) > 0.9:
            raise RuntimeError
        return super().detect(heard)


def outcomes(vad, *pairs):
    return hear_together(vad, [Intake(one, item) for one, item in pairs])


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


def test_where_the_network_fails_only_he_hears_of_it_at_whom_it_does(caplog):
    shout = np.full(RATE_HZ, 32_000, "<i2").tobytes()
    good, bad = listener(), listener()
    (placed, none), (nothing, error) = outcomes(Frail(), (good, SPEECH), (bad, shout))
    assert none is nothing is None
    assert isinstance(error, RuntimeError)
    assert "judged one by one" in caplog.text  # or nobody would know of what is slow
    assert plain(placed) == plain(listener().push(SPEECH))


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
