"""Frame -> JudgedFrame, VoiceEdge."""

from functools import cache

import numpy as np
import pytest
from conftest import AUDIO
from faster_whisper.audio import decode_audio
from hypothesis import given, settings
from hypothesis import strategies as st

from stream_erc.config import VadConfig
from stream_erc.errors import ModelError
from stream_erc.flow import FRAME_SAMPLES, Frame, JudgedFrame, VoiceEdge
from stream_erc.rounds import TOGETHER
from stream_erc.vad import SILERO, SileroVad, VoiceGate, guess_voice

CLIP = AUDIO / "ravdess" / "03-01-05-01-02-02-24.flac"

# Computed once by the package `silero-vad` 6.2.3 from PyPI (its TorchScript model, in
# float32 on a CPU), for the frames of CLIP from number 28 on: the onset of the voice.
FIRST_FRAME = 28
PACKAGE = [
    *(0.0066207, 0.0062437, 0.0065182, 0.056043, 0.48314, 0.61667, 0.85715, 0.74835),
    *(0.7533, 0.6348, 0.6281, 0.48216, 0.52585, 0.93173, 0.98413, 0.98846, 0.99176),
    *(0.99227, 0.99032, 0.9918, 0.9965, 0.98547, 0.94557, 0.9495, 0.99808, 0.99949),
    *(0.99976, 0.99988, 0.99969, 0.99984, 0.99949, 0.99909, 0.99912, 0.9999),
]
ON, HELD, OFF = 0.9, 0.4, 0.1  # above both thresholds, between them, below both
VAD = VadConfig(min_speech_ms=96, min_pause_ms=96)  # three frames each


def frames_of(samples):
    whole = len(samples) - len(samples) % FRAME_SAMPLES
    return [
        Frame(at, samples[at : at + FRAME_SAMPLES])
        for at in range(0, whole, FRAME_SAMPLES)
    ]


@cache
def clip_frames():
    return [frame.samples for frame in frames_of(decode_audio(str(CLIP)))]


def zip_streams(vad, heard):
    """A new stream for each list of frames."""
    return [(vad.stream(), frames) for frames in heard]


def judge(probabilities, config=VAD):
    """What a gate gives for frames with these probabilities, and the gate."""
    script = iter(probabilities)
    gate = VoiceGate(config)
    frames = frames_of(np.zeros(len(probabilities) * FRAME_SAMPLES, np.float32))
    return [item for frame in frames for item in gate.push(frame, next(script))], gate


def edges(probabilities, config=VAD):
    """The edges, as (number of the frame, whether it is a start)."""
    items, _ = judge(probabilities, config)
    return [
        (item.at // FRAME_SAMPLES, item.is_start)
        for item in items
        if isinstance(item, VoiceEdge)
    ]


def voiced(probabilities):
    items, _ = judge(probabilities)
    return [item.is_voiced for item in items if isinstance(item, JudgedFrame)]


# --- the network --------------------------------------------------------------


def test_probabilities_are_those_of_the_package(vad):
    stream = vad.stream()
    got = [stream(frame.samples) for frame in frames_of(decode_audio(str(CLIP)))]
    np.testing.assert_allclose(got[FIRST_FRAME:][: len(PACKAGE)], PACKAGE, atol=2e-5)


def test_probabilities_are_those_of_the_package_where_it_is_installed(vad):
    package = pytest.importorskip("silero_vad", reason="it pulls torch")
    import torch

    model, stream = package.load_silero_vad(onnx=True), vad.stream()
    for frame in frames_of(decode_audio(str(CLIP))):
        wanted = model(torch.from_numpy(frame.samples.copy()), 16_000).item()
        assert stream(frame.samples) == pytest.approx(wanted, abs=1e-5)


def test_two_streams_remember_nothing_of_each_other(vad):
    frames = frames_of(decode_audio(str(CLIP)))[25:45]
    alone = vad.stream()
    wanted = [alone(frame.samples) for frame in frames]
    one, other = vad.stream(), vad.stream()
    noise = np.random.default_rng(0).uniform(-1, 1, FRAME_SAMPLES).astype(np.float32)
    got = []
    for frame in frames:
        got.append(one(frame.samples))
        other(noise)
    assert got == wanted


def test_streams_judged_together_are_judged_to_the_bit_as_alone(vad):
    frames = clip_frames()
    heard = [frames[start : start + 12] for start in range(0, 5 * TOGETHER, 5)]
    wanted = [[one(frame) for frame in mine] for one, mine in zip_streams(vad, heard)]
    for n_streams in range(1, TOGETHER + 1):
        assert vad.detect(zip_streams(vad, heard[:n_streams])) == wanted[:n_streams]


@settings(max_examples=10)
@given(st.lists(st.lists(st.integers(0, 4), max_size=TOGETHER), max_size=8))
def test_how_frames_come_together_changes_no_probability(vad, rounds):
    """`rounds` has how many frames each stream brings to each round."""
    frames = clip_frames()
    streams, told = (
        [vad.stream() for _ in range(TOGETHER)],
        [[] for _ in range(TOGETHER)],
    )
    for n_frames in rounds:
        heard = [
            (streams[n], frames[25 + len(told[n]) :][:count])
            for n, count in enumerate(n_frames)
        ]
        for n, probabilities in enumerate(vad.detect(heard)):
            told[n] += probabilities
    alone = vad.stream()
    wanted = [alone(frame) for frame in frames[25:][: max(map(len, told))]]
    assert all(mine == wanted[: len(mine)] for mine in told)


def test_where_the_network_fails_no_stream_moves(vad):
    frames = clip_frames()[28:40]
    streams = [vad.stream(), vad.stream()]
    too_long = np.zeros(FRAME_SAMPLES + 1, np.float32)
    with pytest.raises(ValueError, match="broadcast"):
        vad.detect([(streams[0], frames), (streams[1], [*frames, too_long])])
    assert vad.detect([(one, frames) for one in streams]) == [
        *vad.detect([(vad.stream(), frames)]) * 2
    ]


def test_a_short_frame_is_filled_with_silence(vad):
    frame = frames_of(decode_audio(str(CLIP)))[40].samples
    filled = np.concatenate([frame[:200], np.zeros(312, np.float32)])
    assert vad.stream()(frame[:200]) == vad.stream()(filled)


def test_a_frame_is_not_altered_by_being_judged(vad):
    frame = frames_of(decode_audio(str(CLIP)))[40].samples
    before = frame.copy()
    vad.stream()(frame)
    np.testing.assert_array_equal(frame, before)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"expected none\.onnx"):
        SileroVad(tmp_path / "none.onnx")


def test_a_damaged_file_is_refused(tmp_path):
    damaged = bytearray(SILERO.read_bytes())
    damaged[1000] ^= 1
    (tmp_path / "damaged.onnx").write_bytes(damaged)
    with pytest.raises(ModelError, match=r"SHA-256 .* of damaged\.onnx"):
        SileroVad(tmp_path / "damaged.onnx")


# --- the gate -----------------------------------------------------------------


def test_a_voice_starts_at_its_first_frame_and_stops_behind_its_last():
    assert edges([OFF, ON, ON, ON, ON, OFF, OFF, OFF, OFF]) == [(1, True), (5, False)]


def test_a_voice_needs_its_least_length():
    assert edges([OFF, ON, ON, OFF, ON, ON, OFF]) == []
    assert edges([OFF, ON, ON, ON]) == [(1, True)]


def test_a_start_is_told_with_the_frame_that_proves_it():
    items, _ = judge([OFF, ON, ON, ON, ON])
    kinds = [type(item).__name__ for item in items]
    assert kinds == [*["JudgedFrame"] * 4, "VoiceEdge", "JudgedFrame"]


def test_a_stop_is_told_with_the_frame_that_proves_it():
    items, _ = judge([ON, ON, ON, OFF, OFF, OFF, OFF])
    kinds = [type(item).__name__ for item in items]
    assert kinds[-3:] == ["JudgedFrame", "VoiceEdge", "JudgedFrame"]


def test_between_the_thresholds_a_voice_is_held_but_does_not_start():
    assert edges([HELD] * 10) == []
    assert edges([ON, HELD, HELD, HELD, HELD, HELD, OFF, OFF, OFF]) == [
        (0, True),
        (6, False),
    ]


def test_the_thresholds_themselves_count_as_voice():
    assert voiced([VAD.onset, VAD.offset, VAD.offset]) == [True] * 3
    assert voiced([VAD.onset - 1e-6]) == [False]
    assert voiced([VAD.onset, VAD.offset - 1e-6]) == [True, False]


def test_a_short_pause_does_not_stop_the_voice():
    assert edges([ON, ON, ON, OFF, OFF, ON, OFF, OFF, OFF]) == [(0, True), (6, False)]


def test_after_a_pause_the_higher_threshold_holds_again():
    assert voiced([ON, ON, ON, OFF, HELD, ON]) == [True] * 3 + [False, False, True]


def test_a_blip_after_the_voice_does_not_start_another():
    assert edges([ON, ON, ON, OFF, OFF, OFF, ON, ON, OFF, OFF]) == [
        (0, True),
        (3, False),
    ]


def test_start_and_stop_within_one_chunk_are_both_told_in_order():
    assert edges([ON] * 3 + [OFF] * 3 + [ON] * 3 + [OFF] * 3) == [
        (0, True),
        (3, False),
        (6, True),
        (9, False),
    ]


def test_a_cut_stops_the_voice_behind_its_last_voiced_sample():
    _, gate = judge([ON, ON, ON, ON, OFF])
    assert gate.cut() == [VoiceEdge(4 * FRAME_SAMPLES, is_start=False)]
    assert gate.cut() == []


def test_a_cut_without_voice_tells_nothing():
    _, gate = judge([OFF, ON, ON])
    assert gate.cut() == []


def test_after_a_cut_a_voice_must_prove_itself_again():
    gate = VoiceGate(VAD)
    frames = frames_of(np.zeros(8 * FRAME_SAMPLES, np.float32))
    for frame in frames[:4]:
        gate.push(frame, ON)
    gate.cut()
    told = [gate.push(frame, ON)[1:] for frame in frames[4:]]
    assert told == [[], [], [VoiceEdge(4 * FRAME_SAMPLES, is_start=True)], []]


@given(st.lists(st.sampled_from([ON, HELD, OFF])), st.booleans())
def test_edges_alternate_and_go_forward_in_time(probabilities, is_cut):
    items, gate = judge(probabilities)
    told = [item for item in items if isinstance(item, VoiceEdge)]
    told += gate.cut() if is_cut else []
    assert [edge.is_start for edge in told] == [n % 2 == 0 for n in range(len(told))]
    places = [edge.at for edge in told]
    assert places == sorted(set(places))


@given(st.lists(st.sampled_from([ON, HELD, OFF])), st.integers(1, 5), st.integers(1, 5))
def test_no_voice_and_no_pause_is_shorter_than_its_setting(
    probabilities, n_speech, n_pause
):
    config = VadConfig(min_speech_ms=32 * n_speech, min_pause_ms=32 * n_pause)
    places = [at for at, _ in edges(probabilities, config)]
    lengths = [after - at for at, after in zip(places, places[1:], strict=False)]
    assert all(length >= n_speech for length in lengths[::2])
    assert all(length >= n_pause for length in lengths[1::2])


@given(st.lists(st.sampled_from([ON, HELD, OFF])))
def test_every_frame_comes_out_once_in_order_before_its_edges(probabilities):
    items, _ = judge(probabilities)
    starts = [item.frame.start for item in items if isinstance(item, JudgedFrame)]
    assert starts == [FRAME_SAMPLES * n for n in range(len(probabilities))]
    assert not items or isinstance(items[0], JudgedFrame)


def test_a_stream_that_would_be_deaf_from_here_on_does_not_move(vad):
    frames = clip_frames()[28:40]
    streams = [vad.stream(), vad.stream()]
    state, last = streams[1].memory
    streams[1].memory = np.full_like(state, np.nan), last
    with pytest.raises(FloatingPointError, match="vad: expected finite numbers"):
        vad.detect([(stream, frames) for stream in streams])
    assert not streams[0].memory[0].any()


def test_no_stream_moves_where_a_probability_is_no_number(vad, monkeypatch):
    """As of a network whose states are whole."""
    stream, frames = vad.stream(), clip_frames()[28:30]
    states = np.ones((2, 1, 128), np.float32)
    answers = [np.full((1, 1), np.nan, np.float32), states]

    class Network:
        def run(self, names, inputs):
            return answers

    monkeypatch.setattr(vad, "_session", Network())
    with pytest.raises(FloatingPointError, match="vad: expected finite numbers"):
        vad.detect([(stream, frames)])
    assert not stream.memory[0].any()


@pytest.mark.parametrize(
    ("level", "expected"), [(0.0, 0.0), (0.003, 0.0), (0.004, 1.0)]
)
def test_without_the_network_what_is_loud_is_taken_for_a_voice(level, expected):
    assert guess_voice(np.full(FRAME_SAMPLES, level, np.float32)) == expected
