"""Any file becomes 16 kHz mono, and what does not is named."""

import json
import wave
from pathlib import Path

import av
import numpy as np
import pytest
from test_gaps import noise, write

from clients.errors import UnplayableFile
from clients.sources import RATE_HZ, Line, decode, find_flaws, load, read_corpus
from stream_erc.media import read_blocks

AUDIO = Path(__file__).parent / "audio"
JFK = AUDIO / "speech" / "jfk.flac"


def write_wav(file, samples, rate_hz):
    """Write int16 of shape (n_samples, n_channels)."""
    with wave.open(str(file), "wb") as out:
        out.setnchannels(samples.shape[1])
        out.setsampwidth(2)
        out.setframerate(rate_hz)
        out.writeframes(samples.astype("<i2").tobytes())


def tone(seconds, rate_hz, hz=440.0):
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (8000 * np.sin(2 * np.pi * hz * times_s)).astype(np.int16)


def write_corpus(folder, *lines):
    file = folder / "corpus.jsonl"
    file.write_text("".join(f"{line}\n" for line in lines))
    return file


def corpus_line(**fields):
    return json.dumps({"dialogue": "d", "turn": 0, "speaker": "Ann"} | fields)


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
def test_a_tone_keeps_its_pitch_and_its_length_at_any_rate(tmp_path, rate_hz):
    file = tmp_path / "tone.wav"
    left = tone(1.0, rate_hz)
    write_wav(file, np.stack([left, left], axis=1), rate_hz)
    samples = decode(file)
    assert abs(len(samples) - RATE_HZ) <= 2
    spectrum = np.abs(np.fft.rfft(samples[:RATE_HZ], RATE_HZ))
    assert np.argmax(spectrum) == 440


def test_a_file_of_our_own_format_is_read_bit_for_bit(tmp_path):
    file = tmp_path / "noise.wav"
    noise = np.random.default_rng(0).integers(-32768, 32768, (5000, 1))
    write_wav(file, noise, RATE_HZ)
    assert np.array_equal(decode(file), noise[:, 0])


def test_a_file_that_breaks_off_gives_what_there_is(tmp_path):
    file = tmp_path / "broken.flac"
    file.write_bytes(JFK.read_bytes()[:90_000])
    whole, broken = decode(JFK), decode(file)
    assert RATE_HZ < len(broken) < len(whole)
    assert np.array_equal(broken[:RATE_HZ], whole[:RATE_HZ])


@pytest.mark.parametrize("begins_s", [(0, 4, 6), (3,)], ids=["gaps", "late"])
def test_what_a_file_has_keeps_its_time_as_in_a_transcript(tmp_path, begins_s):
    pieces = [(begin_s, noise(1)) for begin_s in begins_s]
    film = write(tmp_path / "a.mkv", *pieces, has_pictures=True)
    samples = decode(film)
    for begin_s in begins_s:
        assert np.array_equal(samples[begin_s * RATE_HZ :][:RATE_HZ], noise(1))
    blocks = list(read_blocks(film, is_split=False))
    assert np.array_equal(samples, np.concatenate(blocks, axis=1)[0])
    [told] = find_flaws(film)
    assert told.startswith("no sound for ")


def write_silent_film(file):
    """A video without a sound track."""
    with av.open(str(file), "w") as film:
        track = film.add_stream("mpeg4", rate=10)
        track.width = track.height = 32
        track.pix_fmt = "yuv420p"
        frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
        film.mux(track.encode(frame))
        film.mux(track.encode())


def test_what_is_not_audio_is_named_with_the_reason(tmp_path):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.wav").write_text("This is a letter, not a recording.\n" * 20)
    write_wav(tmp_path / "header.wav", np.zeros((0, 1)), RATE_HZ)
    write_silent_film(tmp_path / "film.mp4")
    reasons = {}
    for name in ("empty.wav", "text.wav", "header.wav", "film.mp4", "none.wav", "."):
        with pytest.raises(UnplayableFile) as error:
            decode(tmp_path / name)
        told = str(error.value).removeprefix(f"{tmp_path / name}: expected audio, ")
        reasons[name] = told
    assert reasons == {
        "empty.wav": "got: invalid data found when processing input",
        "text.wav": "got: invalid data found when processing input",
        "header.wav": "got not one sample of it",
        "film.mp4": "got: no sound track",
        "none.wav": "got: no such file or directory",
        ".": "got: is a directory",
    }


def test_a_line_is_cut_at_its_times():
    line = Line(dialogue="d", speaker="Ann", audio=JFK, start_s=1.0, end_s=2.5)
    assert np.array_equal(load(line), decode(JFK)[RATE_HZ : RATE_HZ * 5 // 2])


@pytest.mark.parametrize(("start_s", "end_s"), [(20.0, None), (3.0, 2.0), (-2, -1)])
def test_times_outside_the_file_name_the_line(start_s, end_s):
    line = Line(
        dialogue="d",
        speaker="Ann",
        audio=JFK,
        start_s=start_s,
        end_s=end_s,
        source="corpus.jsonl:3",
    )
    with pytest.raises(UnplayableFile, match=r"corpus.jsonl:3: .* got 11.00 s"):
        load(line)


def test_a_corpus_is_read_with_its_audio_beside_it_or_under_a_root(tmp_path):
    file = write_corpus(
        tmp_path,
        corpus_line(audio="a.flac", start_s=1, end_s=2, emotion="joy", extra=[1]),
        "",
        corpus_line(text="Hello.", speaker="bot"),
    )
    spoken, written = read_corpus(file)
    assert spoken.audio == tmp_path / "a.flac"
    assert (spoken.start_s, spoken.end_s, spoken.emotion) == (1.0, 2.0, "joy")
    assert (written.audio, written.text, written.speaker) == (None, "Hello.", "bot")
    elsewhere, _ = read_corpus(file, Path("/elsewhere"))
    assert elsewhere.audio == Path("/elsewhere/a.flac")


def test_a_bad_line_is_named_and_the_others_are_read(tmp_path):
    file = write_corpus(
        tmp_path,
        corpus_line(audio="a.flac"),
        "{broken",
        corpus_line(speaker=3, audio="a.flac"),
        corpus_line(),
        corpus_line(audio="b.flac"),
    )
    found = list(read_corpus(file))
    assert [isinstance(line, Line) for line in found] == [
        True,
        False,
        False,
        False,
        True,
    ]
    for number in (2, 3, 4):
        assert str(found[number - 1]).startswith(f"{file}:{number}: ")


def test_a_corpus_that_is_none_is_named(tmp_path):
    empty, binary = tmp_path / "empty.jsonl", tmp_path / "binary.jsonl"
    empty.touch()
    binary.write_bytes(b"\xff\xfe\x00")
    for file, reason in (
        (empty, "got an empty file"),
        (binary, "got: text that is not UTF-8"),
        (tmp_path / "none.jsonl", "got: no such file or directory"),
    ):
        (problem,) = read_corpus(file)
        assert str(problem).startswith(f"{file}: ")
        assert str(problem).endswith(reason)
