"""bytes -> Frame: every encoding, every rate, however the network cuts it."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_erc.audio import SAMPLE_BYTES, Decoder, Framer, decode
from stream_erc.flow import FRAME_SAMPLES, SAMPLE_RATE_HZ

RATES_HZ = [8000, 11025, 16000, 22050, 44100, 48000]


def encode(samples, encoding):
    """Write floats in a wire encoding; mu-law by the nearest of its 256 values."""
    if encoding == "pcm_s16le":
        return np.round(samples * 32_767).astype("<i2").tobytes()
    if encoding == "pcm_f32le":
        return samples.astype("<f4").tobytes()
    levels = decode("mulaw", bytes(range(256)))
    order = np.argsort(levels, kind="stable")
    middles = (levels[order][1:] + levels[order][:-1]) / 2
    return order[np.searchsorted(middles, samples)].astype(np.uint8).tobytes()


def noise(n_samples, seed=0):
    return np.random.default_rng(seed).uniform(-0.9, 0.9, n_samples)


def tone(hz, rate_hz, seconds=1.0, level=0.5):
    times_s = np.arange(int(seconds * rate_hz)) / rate_hz
    return level * np.sin(2 * np.pi * hz * times_s)


def heard(decoder, *pieces):
    """All samples that the pieces and a last settling give."""
    return np.concatenate([*(decoder.push(p)[0] for p in pieces), decoder.settle()])


def resampled(samples, rate_hz):
    return heard(Decoder("pcm_f32le", rate_hz, 1), encode(samples, "pcm_f32le"))


def codes(decoder, *blocks):
    """What the decoder tells about blocks of float samples."""
    return [
        altered.code
        for block in blocks
        for altered in decoder.push(np.array(block, "<f4").tobytes())[1]
    ]


# --- decoding -----------------------------------------------------------------


def test_pcm16_spans_minus_one_to_just_below_one():
    data = np.array([-32_768, -1, 0, 1, 16_384, 32_767], "<i2").tobytes()
    wanted = [-1.0, -1 / 32_768, 0.0, 1 / 32_768, 0.5, 32_767 / 32_768]
    np.testing.assert_array_equal(decode("pcm_s16le", data), np.float32(wanted))


def test_pcm16_is_little_endian():
    assert decode("pcm_s16le", b"\x00\x40") == [0.5]


def test_float_samples_are_taken_as_they_are():
    wanted = np.float32([-1, -0.1, 0, 1e-30, 0.25, 1])
    np.testing.assert_array_equal(decode("pcm_f32le", wanted.tobytes()), wanted)


def test_mulaw_is_table_2a_of_g711():
    # Where each of the eight segments begins, and its step, in 14-bit values.
    begins = [0, 33, 99, 231, 495, 1023, 2079, 4191]
    wanted = [
        begin + step * place
        for begin, step in zip(begins, [2 << n for n in range(8)], strict=True)
        for place in range(16)
    ]
    positive = decode("mulaw", bytes(range(0xFF, 0x7F, -1)))
    negative = decode("mulaw", bytes(range(0x7F, -1, -1)))
    np.testing.assert_array_equal(positive * 8192, wanted)
    np.testing.assert_array_equal(negative * 8192, np.negative(wanted))


@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_two_channels_become_their_mean(encoding):
    left, right = noise(480, seed=1), noise(480, seed=2)
    data = encode(np.stack([left, right], axis=1).ravel(), encoding)
    both = heard(Decoder(encoding, SAMPLE_RATE_HZ, 2), data)
    apart = [decode(encoding, encode(channel, encoding)) for channel in (left, right)]
    np.testing.assert_allclose(both, np.mean(apart, axis=0), atol=1e-6)


# --- cuts ---------------------------------------------------------------------


def frames_of(data, cuts, encoding, rate_hz, channels):
    """Frames of `data`, cut at `cuts`; with the settled rest as the last one."""
    decoder, framer = Decoder(encoding, rate_hz, channels), Framer()
    bounds = [0, *sorted(cuts), len(data)]
    frames = []
    for start, end in zip(bounds, bounds[1:], strict=False):
        frames += framer.push(decoder.push(data[start:end])[0])
    frames += framer.push(decoder.settle()) + framer.cut()
    return [(frame.start, frame.samples.tobytes()) for frame in frames]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
@settings(max_examples=20)
@given(st.data())
def test_how_the_network_cuts_the_stream_changes_no_frame(
    encoding, rate_hz, channels, data
):
    stream = encode(noise(rate_hz // 8 * channels), encoding) + b"\x01"
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=12))
    form = (encoding, rate_hz, channels)
    assert frames_of(stream, cuts, *form) == frames_of(stream, [], *form)


def test_one_byte_at_a_time_changes_no_frame():
    stream = encode(noise(4410), "pcm_s16le")
    form = ("pcm_s16le", 44_100, 1)
    cuts = range(1, len(stream))
    assert frames_of(stream, cuts, *form) == frames_of(stream, [], *form)


def test_frames_are_whole_and_leave_no_gap():
    framer = Framer()
    samples = np.float32(noise(3 * FRAME_SAMPLES + 100))
    frames = framer.push(samples[:700]) + framer.push(samples[700:])
    assert [len(frame.samples) for frame in frames] == [FRAME_SAMPLES] * 3
    (rest,) = framer.cut()
    assert (rest.start, rest.end) == (3 * FRAME_SAMPLES, len(samples))
    (after,) = framer.push(np.zeros(FRAME_SAMPLES, np.float32))
    assert after.start == len(samples)
    joined = np.concatenate([frame.samples for frame in [*frames, rest]])
    np.testing.assert_array_equal(joined, samples)


def test_a_cut_on_a_frames_edge_gives_no_empty_frame():
    framer = Framer()
    framer.push(np.zeros(FRAME_SAMPLES, np.float32))
    assert framer.cut() == []


def test_half_a_sample_waits_for_its_other_half():
    decoder = Decoder("pcm_s16le", SAMPLE_RATE_HZ, 2)
    data = encode(noise(4), "pcm_s16le")
    first, _ = decoder.push(data[:7])
    assert (len(first), decoder.rest_bytes, decoder.position) == (1, 3, 1)
    second, _ = decoder.push(data[7:])
    assert (len(second), decoder.rest_bytes, decoder.position) == (1, 0, 2)


def test_half_a_sample_survives_a_settling():
    data = encode(tone(440, 8000), "pcm_s16le")
    decoder = Decoder("pcm_s16le", 8000, 1)
    decoder.push(data[:4001])
    decoder.settle()
    decoder.push(data[4001:])
    decoder.settle()
    assert (decoder.position, decoder.rest_bytes) == (16_000, 0)


# --- resampling ---------------------------------------------------------------


@pytest.mark.parametrize("rate_hz", RATES_HZ)
@pytest.mark.parametrize("hz", [100, 1000, 3000])
def test_resampling_keeps_a_tones_frequency_level_and_place(rate_hz, hz):
    got = resampled(tone(hz, rate_hz), rate_hz)
    wanted = tone(hz, SAMPLE_RATE_HZ)
    inner = slice(800, -800)  # a tone that begins at once has every frequency
    np.testing.assert_allclose(got[inner], wanted[inner], atol=2e-3)


@pytest.mark.parametrize("rate_hz", [22_050, 44_100, 48_000])
def test_resampling_removes_what_would_alias(rate_hz):
    got = resampled(tone(9000, rate_hz, level=0.9), rate_hz)
    assert np.abs(got[800:-800]).max() < 1e-3  # slicing would give a loud 7 kHz


def test_resampled_audio_never_leaves_the_range():
    square = np.sign(tone(440, 44_100, level=1.0))
    assert np.abs(resampled(square, 44_100)).max() <= 1


@given(st.sampled_from(RATES_HZ), st.lists(st.integers(0, 2000), max_size=20))
def test_after_any_settling_exactly_what_was_received_has_come_out(rate_hz, lengths):
    decoder = Decoder("mulaw", rate_hz, 1)
    received = emitted = 0
    for length in lengths:
        received += length
        emitted += len(decoder.push(bytes(length))[0])
        assert emitted <= decoder.position
        emitted += len(decoder.settle())
        exact = Fraction(received * SAMPLE_RATE_HZ, rate_hz)
        assert abs(decoder.position - exact) <= Fraction(1, 2)
        assert emitted == decoder.position


def find_clicks(decoder, clicks, n_blocks, settle_every=None):
    """Where clicks come out that are the first sample of some of the blocks."""
    block = 2205
    found, emitted = [], 0
    for number in range(n_blocks):
        samples = np.zeros(block, np.float32)
        samples[0] = 0.9 * (number in clicks)
        out = decoder.push(samples.tobytes())[0]
        if settle_every and number % settle_every == settle_every - 1:
            out = np.concatenate([out, decoder.settle()])
        found += [emitted + at for at in np.flatnonzero(out > 0.2)]
        emitted += len(out)
    return found


@pytest.mark.parametrize("settle_every", [None, 1, 7])
def test_a_click_stays_in_its_place_for_minutes_of_settlings(settle_every):
    clicks = [3, 1000, 2398]  # the last after two minutes
    decoder = Decoder("pcm_f32le", 44_100, 1)
    found = find_clicks(decoder, clicks, 2400, settle_every)
    np.testing.assert_allclose(found, [click * 800 for click in clicks], atol=1)


@pytest.mark.slow
@pytest.mark.parametrize("settle_every", [None, 50])
def test_a_click_stays_in_its_place_for_hours(settle_every):
    clicks = [20 * 60 * minute for minute in range(0, 180, 30)]
    decoder = Decoder("pcm_f32le", 44_100, 1)
    found = find_clicks(decoder, clicks, 20 * 60 * 180, settle_every)
    np.testing.assert_allclose(found, [click * 800 for click in clicks], atol=1)


# --- mending ------------------------------------------------------------------


def test_what_is_no_number_becomes_silence_and_is_told_once():
    decoder = Decoder("pcm_f32le", SAMPLE_RATE_HZ, 1)
    samples = np.float32([0.5, np.nan, np.inf, -np.inf, -0.5])
    mended, altered = decoder.push(samples.tobytes())
    np.testing.assert_array_equal(mended, np.float32([0.5, 0, 0, 0, -0.5]))
    assert [one.code for one in altered] == ["audio_not_finite"]
    assert codes(decoder, [np.nan], [np.inf]) == []


def test_what_is_too_loud_is_clipped_and_told_once():
    decoder = Decoder("pcm_f32le", SAMPLE_RATE_HZ, 1)
    mended, altered = decoder.push(np.float32([1.5, 0.5, -7.25]).tobytes())
    np.testing.assert_array_equal(mended, np.float32([1, 0.5, -1]))
    assert [one.code for one in altered] == ["audio_out_of_range"]
    assert "7.25" in altered[0].message
    assert codes(decoder, [2.0]) == []


def test_each_kind_of_alteration_is_told():
    decoder = Decoder("pcm_f32le", 48_000, 1)
    assert codes(decoder, [0.1], [2.0], [np.nan], [np.nan, 3e38]) == [
        "audio_out_of_range",
        "audio_not_finite",
    ]


@pytest.mark.parametrize("encoding", SAMPLE_BYTES)
def test_samples_within_range_are_told_nothing_of(encoding):
    decoder = Decoder(encoding, SAMPLE_RATE_HZ, 1)
    data = encode(np.array([-1.0, 0.0, 1.0]), encoding)
    assert decoder.push(data)[1] == []


@given(st.binary(max_size=4000), st.sampled_from(RATES_HZ), st.integers(1, 2))
def test_any_bytes_become_finite_samples_within_range(data, rate_hz, channels):
    samples = heard(Decoder("pcm_f32le", rate_hz, channels), data)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max(initial=0) <= 1
