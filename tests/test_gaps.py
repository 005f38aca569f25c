"""What is heard keeps its time: late sound, gaps, damage, files that are cut off."""

from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from recording import RATE_HZ

from stream_erc.gaps import JITTER_S, MISSING_S, Flaws, fill_gaps
from stream_erc.media import read_blocks

CLICK = 20_000


def noise(seconds):
    dice = np.random.default_rng(7)
    return dice.integers(-9000, 9000, round(seconds * RATE_HZ)).astype(np.int16)


def frame(samples, begin_s, rate_hz=RATE_HZ):
    made = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
    made.sample_rate = rate_hz
    made.time_base = Fraction(1, rate_hz)
    made.pts = None if begin_s is None else round(begin_s * rate_hz)
    return made


def write(file, *pieces, codec="pcm_s16le", rate_hz=RATE_HZ, has_pictures=False):
    """Sound as (begin_s, samples); the pictures begin at 0."""
    with av.open(str(file), "w") as container:
        streams = [container.add_stream(codec, rate=rate_hz, layout="mono")]
        if has_pictures:
            streams.insert(0, container.add_stream("mpeg4", rate=25))
            streams[0].width = streams[0].height = 64
            container.mux(streams[0].encode(av.VideoFrame(64, 64, "yuv420p")))
        step = streams[-1].codec_context.frame_size or 1024
        for begin_s, samples in pieces:
            for at in range(0, len(samples), step):
                part = samples[at : at + step]
                made = frame(part, begin_s + at / rate_hz, rate_hz)
                container.mux(streams[-1].encode(made))
        for stream in streams:
            container.mux(stream.encode(None))
    return file


def read(file):
    """One channel, and what was wrong."""
    flaws = Flaws()
    blocks = list(read_blocks(file, is_split=False, flaws=flaws))
    assert max(block.shape[1] for block in blocks) <= 2 * RATE_HZ
    return np.concatenate(blocks, axis=1)[0], list(flaws.describe())


def test_sound_that_begins_after_the_pictures_keeps_its_time(tmp_path):
    file = write(tmp_path / "a.mkv", (3.0, noise(1)), has_pictures=True)
    heard, [told] = read(file)
    assert np.array_equal(heard, np.concatenate([np.zeros(3 * RATE_HZ), noise(1)]))
    assert told.startswith("no sound for 3.0 s at 0.0 s, ")


def test_a_gap_shifts_nothing(tmp_path):
    file = write(tmp_path / "a.mkv", (0, noise(2)), (4, noise(1)), (6, noise(1)))
    heard, [told] = read(file)
    assert len(heard) == 7 * RATE_HZ
    for begin_s in (4, 6):
        assert np.array_equal(heard[begin_s * RATE_HZ :][:RATE_HZ], noise(1))
    assert told.startswith("no sound for 3.0 s in 2 places, first at 2.0 s, ")


def test_an_hour_without_sound_is_never_one_block(tmp_path):
    file = write(tmp_path / "a.mkv", (0, noise(1)), (3600, noise(1)))
    heard, _ = read(file)  # looks at the blocks
    assert len(heard) == 3601 * RATE_HZ and heard[-RATE_HZ:].any()


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.wav", "pcm_s16le", 16_000),
        ("a.flac", "flac", 44_100),
        ("a.mp3", "mp3", 44_100),
        ("a.m4a", "aac", 48_000),
        ("a.aac", "aac", 48_000),
        ("a.webm", "libopus", 48_000),
        ("a.opus", "libopus", 48_000),
        ("a.ts", "mp2", 44_100),
    ],
)
def test_a_file_that_is_whole_has_no_flaw(tmp_path, name, codec, rate_hz):
    file = write(tmp_path / name, (0, noise(4)), codec=codec, rate_hz=rate_hz)
    heard, told = read(file)
    assert told == []
    assert abs(len(heard) / RATE_HZ - 4 * RATE_HZ / rate_hz) < 0.1


def test_what_damage_takes_becomes_silence(tmp_path):
    file = tmp_path / "a.flac"
    soundfile.write(file, noise(10), RATE_HZ, subtype="PCM_16")
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 50_000] = bytes(50_000)
    file.write_bytes(content)
    heard, told = read(file)
    assert len(heard) == 10 * RATE_HZ
    assert any(line.startswith("no sound for ") for line in told)
    assert (heard == noise(10)).mean() > 0.7  # in its place, behind the damage too


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_file_that_is_cut_off_says_how_much_is_missing(tmp_path, name):
    soundfile.write(tmp_path / name, noise(10), RATE_HZ, subtype="PCM_16")
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    heard, told = read(tmp_path / name)
    assert 4.5 < len(heard) / RATE_HZ < 5.1
    assert told[-1].startswith("expected sound until 10.0 s, as the file says, got it")


def test_a_film_that_is_cut_off_says_so_too(tmp_path):
    file = write(tmp_path / "a.mkv", (0, noise(10)), has_pictures=True)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    _, told = read(file)
    assert told[-1].startswith("expected sound until 10.0 s, as the file says, got it")


def test_sound_may_end_before_the_pictures(tmp_path):
    file = tmp_path / "a.mkv"
    with av.open(str(file), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 64
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        container.mux(sound.encode(frame(noise(1), 0)))
        for n in range(75):
            picture = av.VideoFrame(64, 64, "yuv420p")
            picture.pts = n
            container.mux(pictures.encode(picture))
        for stream in (sound, pictures):
            container.mux(stream.encode(None))
    assert read(file)[1] == []


def test_a_wav_file_out_of_a_pipe_states_no_end(tmp_path):
    file = tmp_path / "a.wav"
    soundfile.write(file, noise(2), RATE_HZ, subtype="PCM_16")
    content = bytearray(file.read_bytes())
    content[40:44] = content[4:8] = b"\xff" * 4
    file.write_bytes(content)
    assert read(file)[1] == []


# --- frames -----------------------------------------------------------------------


def place(*frames):
    flaws = Flaws()
    filled = list(fill_gaps(frames, 0.0, flaws))
    return np.concatenate([one.to_ndarray()[0] for one in filled]), flaws


pieces = st.lists(
    st.tuples(st.sampled_from([0.0, 0.02, 0.3, 2.5]), st.sampled_from([0.1, 0.7])),
    min_size=1,
    max_size=8,
)


@given(pieces)
def test_every_frame_stands_where_its_timestamp_says(drawn):
    end_s, begins_s, frames = 0.0, [], []
    for gap_s, length_s in drawn:
        samples = np.ones(round(length_s * RATE_HZ), np.int16)
        samples[0] = CLICK
        begins_s.append(end_s + gap_s)
        frames.append(frame(samples, begins_s[-1]))
        end_s = begins_s[-1] + length_s
    heard, flaws = place(*frames)
    clicks_s = np.flatnonzero(heard == CLICK) / RATE_HZ
    assert np.abs(clicks_s - begins_s).max() <= JITTER_S + 0.001
    assert flaws.end_s == pytest.approx(len(heard) / RATE_HZ)
    assert flaws.end_s - end_s <= JITTER_S < MISSING_S


def test_frames_that_have_lost_their_time_stand_before_the_next_that_has_one():
    ones = np.ones(RATE_HZ, np.int16)
    heard, flaws = place(frame(ones, 0), frame(2 * ones, None), frame(3 * ones, 4.0))
    assert [heard[n * RATE_HZ] for n in range(5)] == [1, 0, 0, 2, 3]
    assert (flaws.n_gaps, flaws.gaps_s) == (1, 2.0)


def test_time_that_goes_back_is_told_once_and_nothing_is_lost():
    ones = np.ones(RATE_HZ, np.int16)
    heard, flaws = place(*(frame(ones, begin_s) for begin_s in (0, 1, 0.5, 1.5)))
    assert len(heard) == 4 * RATE_HZ and heard.all()
    [told] = flaws.describe()
    assert told.startswith("its timestamps go back by 1.5 s at 2.0 s: ")


def test_a_clock_that_jumps_by_hours_makes_no_hours_of_silence():
    ones = np.ones(RATE_HZ, np.int16)
    heard, flaws = place(*(frame(ones, begin_s) for begin_s in (0, 95_443, 95_444)))
    assert len(heard) == 3 * RATE_HZ and heard.all()
    [told] = flaws.describe()
    assert told.startswith("its timestamps go ahead by 95442.0 s at 1.0 s: ")


def test_silence_of_unsigned_samples_is_silent():
    late = av.AudioFrame.from_ndarray(np.full((1, 100), 128, np.uint8), "u8", "mono")
    late.sample_rate, late.time_base, late.pts = RATE_HZ, Fraction(1, RATE_HZ), RATE_HZ
    heard, _ = place(late)
    assert len(heard) == RATE_HZ + 100 and (heard == 128).all()
