"""The command that transcribes files: what goes where, and what goes wrong."""

import csv
import io
import json
import shutil
import stat

import av
import numpy as np
import pytest
import soundfile
from recording import RATE_HZ, clip, join, silence
from scripted_models import Loudness, ScriptedModels, sentence
from talking import ANGRY, SAD

from stream_erc import provenance, transcribing
from stream_erc.__main__ import main
from stream_erc.config import DEFAULT_MODEL, EmotionConfig, Settings
from stream_erc.provenance import NOTES
from stream_erc.results import Results
from stream_erc.timeline import clock, tick_s


@pytest.fixture
def scripted(monkeypatch):
    """No real models: what is heard is told by its length."""
    monkeypatch.setattr(transcribing, "Models", lambda _: ScriptedModels())
    monkeypatch.setattr(transcribing, "SileroVad", Loudness)
    for model in ("hearing", "understanding"):
        monkeypatch.setattr(provenance, f"fingerprint_{model}", lambda _: "scripted")


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "calls"
    folder.mkdir()
    return folder


def write(file, *channels, rate_hz=RATE_HZ):
    file.parent.mkdir(exist_ok=True)
    soundfile.write(file, np.stack(channels, axis=1), rate_hz, subtype="PCM_16")
    return file


def film(file, samples):
    """A video of one black frame, with a sound track."""
    with av.open(str(file), "w") as container:
        pictures = container.add_stream("mpeg4", rate=25)
        pictures.width = pictures.height = 64
        sound = container.add_stream("pcm_s16le", rate=RATE_HZ, layout="mono")
        for packet in pictures.encode(av.VideoFrame(64, 64, "yuv420p")):
            container.mux(packet)
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis], "s16", "mono")
        frame.sample_rate = RATE_HZ
        for stream, last in ((sound, frame), (sound, None), (pictures, None)):
            for packet in stream.encode(last):
                container.mux(packet)
    return file


def run(capsys, *arguments):
    code = main(["transcribe", *map(str, arguments)])
    told = capsys.readouterr()
    return code, told.out, told.err.splitlines()


def rows(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


TALK = join(silence(0.3), sentence(0.6), silence(0.9), sentence(0.8), silence(0.9))


# --- who speaks -------------------------------------------------------------------


def test_two_channels_are_two_speakers_of_one_conversation(folder, capsys, scripted):
    call = write(folder / "call.wav", TALK, join(silence(0.7), TALK)[: len(TALK)])
    code, out, _ = run(capsys, call, "--format", "jsonl", "--speakers", "Ann,Bob")
    told = [json.loads(line) for line in out.splitlines()]
    finals = [one for one in told if one["type"] == "emotion.final"]
    assert code == 0
    assert [one["context_seq"] for one in finals] == [0, 1, 2, 3]
    assert [one["channel"] for one in finals] == [0, 1, 0, 1]
    assert {one["recording"] for one in told} == {str(call)}
    speakers = {
        one["channel"]: one["speaker"] for one in told if one["type"] == "turn.ended"
    }
    assert speakers == {0: "Ann", 1: "Bob"}


@pytest.mark.parametrize(
    ("channels", "options", "expected"),
    [
        ([TALK], [], {"speaker"}),
        ([TALK], ["--speakers", "Ann,Bob"], {"Ann"}),
        ([TALK], ["--speakers", "auto"], {"S1"}),
        ([TALK, TALK], [], {"speaker"}),  # one voice twice
        ([TALK, TALK[::-1]], [], {"channel 1", "channel 2"}),
        ([TALK, TALK[::-1]], ["--speakers", "Ann"], {"Ann"}),
        ([TALK, TALK[::-1], TALK], [], {"speaker"}),
    ],
)
def test_who_speaks_follows_from_channels_and_names(
    folder, capsys, scripted, channels, options, expected
):
    file = write(folder / "call.wav", *channels)
    _, out, _ = run(capsys, file, "--format", "csv", *options)
    assert {row["speaker"] for row in rows(out)} == expected


# --- what is found and read -------------------------------------------------------


def test_a_folder_is_searched_and_what_fails_is_named_and_counted(
    folder, capsys, scripted
):
    write(folder / "b.flac", TALK)
    write(folder / "below" / "a.wav", TALK, rate_hz=44_100)
    film(folder / "c.mkv", TALK)
    write(folder / "empty.wav", silence(2))
    (folder / "letter.mp3").write_text("Dear all,\n" * 50)
    (folder / "notes.txt").write_text("none of ours")
    code, out, errors = run(capsys, folder, folder / "gone.wav", "--format", "csv")
    assert code == 1
    named = [row["recording"].removeprefix(f"{folder}/") for row in rows(out)]
    assert list(dict.fromkeys(named)) == ["b.flac", "below/a.wav", "c.mkv"]
    told = "\n".join(errors)
    assert f"{folder}/letter.mp3: expected audio, got: " in told
    assert f"{folder}/gone.wav: expected audio, got: no such file" in told
    assert f"{folder}/empty.wav: no speech" in told
    assert errors[-1].startswith("4 transcribed, 2 failed; ")


def test_a_file_that_is_cut_off_is_transcribed_with_a_warning(folder, capsys, scripted):
    file = write(folder / "a.wav", join(TALK, silence(5)))
    file.write_bytes(file.read_bytes()[: 2 * len(TALK)])
    code, out, errors = run(capsys, file, "--format", "csv")
    assert (code, len(rows(out))) == (0, 2)
    assert errors[0].startswith(f"{file}: expected sound until 8.5 s, as the file says")
    assert errors[1].startswith("1 transcribed (1 with warnings); ")


def test_a_table_tells_the_files_apart(folder, capsys, scripted):
    one, two = write(folder / "a.wav", TALK), write(folder / "b.wav", silence(1))
    _, out, _ = run(capsys, one, two, one)
    lines = out.splitlines()
    assert lines[0] == str(one) and lines[-2:] == [str(two), ""]
    assert len(lines) == 6


def test_a_terminal_sees_how_far_it_is_and_never_more_than_all(folder, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    recording = transcribing.Recording(write(folder / "a.wav", silence(1.5)), "a")
    with transcribing.Bar([recording, recording]) as bar:
        bar.advance(2.0)
        bar.advance(2.0)
        assert bar._bar.n == bar._bar.total == 3


# --- results in a folder ----------------------------------------------------------


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("table", "a.txt"),
        ("jsonl", "a.jsonl"),
        ("csv", "a.csv"),
        ("vtt", "a.vtt"),
        ("srt", "a.srt"),
        ("textgrid", "a.TextGrid"),
    ],
)
def test_every_form_goes_into_the_folder_also_of_a_silent_file(
    folder, tmp_path, capsys, scripted, form, name
):
    write(folder / "a.wav", TALK)
    write(folder / "below" / "a.wav", silence(1))
    out = tmp_path / "results"
    code, said, _ = run(capsys, folder, "--format", form, "--out", out)
    assert (code, said) == (0, "")
    assert {file for file in out.rglob("*") if file.is_file()} == {
        out / name,
        out / "below" / name,
        out / NOTES,
    }
    assert (out / name).stat().st_size > (out / "below" / name).stat().st_size
    assert stat.S_IMODE((out / name).stat().st_mode) == 0o600


def test_a_picture_is_as_wide_as_the_conversation_is_long(
    folder, tmp_path, capsys, scripted
):
    write(folder / "a$b$.wav", TALK, TALK[::-1])
    write(folder / "long.wav", join(TALK, silence(150)))
    code, _, _ = run(capsys, folder, "--format", "png", "--out", tmp_path)
    assert code == 0
    sizes = {}
    for file in tmp_path.glob("*.png"):
        with av.open(str(file)) as picture:
            stream = picture.streams.video[0]
            sizes[file.stem] = stream.width, stream.height
    assert sizes["long"][0] > sizes["a$b$"][0]
    assert sizes["long"][1] < sizes["a$b$"][1]  # one lane and two


@pytest.mark.parametrize("seconds", [1, 7, 21, 98, 700, 5000, 90_000])
def test_times_under_a_picture_are_whole_seconds_none_twice(seconds):
    step_s = tick_s(seconds * 1000, 9.0)
    shown = [clock(at_s) for at_s in range(0, seconds + 1, step_s)]
    assert len(shown) == len({*shown}) >= 2


def test_what_is_there_is_left_out_unless_it_is_overwritten(
    folder, tmp_path, capsys, scripted
):
    write(folder / "a.wav", TALK)
    write(folder / "b.wav", TALK)
    out = tmp_path / "results"
    arguments = [folder, "--format", "csv", "--out", out]
    run(capsys, *arguments)
    (out / "b.csv").unlink()
    (out / "a.csv").write_text("mine")
    code, _, errors = run(capsys, *arguments)
    assert (code, errors[-1].partition(";")[0]) == (0, "1 transcribed, 1 there before")
    assert (out / "a.csv").read_text() == "mine" and rows((out / "b.csv").read_text())
    code, _, errors = run(capsys, *arguments)
    assert (code, errors) == (0, ["0 transcribed, 2 there before"])
    run(capsys, *arguments, "--overwrite")
    assert rows((out / "a.csv").read_text())


def test_what_was_made_with_other_settings_is_told_apart(
    folder, tmp_path, capsys, scripted
):
    write(folder / "a.wav", TALK)
    write(folder / "b.wav", TALK)
    out = tmp_path / "results"
    arguments = [folder, "--format", "csv", "--out", out]
    others = [*arguments, "--turns.end_silence_ms", "800"]
    assert run(capsys, *arguments)[0] == 0
    with (out / NOTES).open("a") as notes:
        notes.write('\n{"result": "a.c')  # torn
    code, _, errors = run(capsys, *others)
    assert code == 1
    assert errors[0].startswith(f"{out / 'a.csv'}: made with other settings")
    assert "--overwrite" in errors[0]
    assert errors[1].startswith("0 transcribed, 2 made with other settings")
    code, _, errors = run(capsys, *arguments, "--asr.workers", "1")  # as fast as that
    assert (code, errors) == (0, ["0 transcribed, 2 there before"])
    assert run(capsys, *others, "--overwrite")[0] == 0
    assert run(capsys, *others)[2] == ["0 transcribed, 2 there before"]
    assert run(capsys, *others, "--speakers", "auto")[0] == 1


def test_a_result_that_cannot_be_written_is_no_result(
    folder, tmp_path, capsys, scripted, monkeypatch
):
    write(folder / "a.wav", TALK)
    write(folder / "b.wav", TALK)
    out = tmp_path / "results"
    whole = Results._write

    def full(self, recording, found, written, **header):
        whole(self, recording, found, written, **header)
        if recording.stem == "a":
            raise OSError(28, "No space left on device", str(recording))

    monkeypatch.setattr(Results, "_write", full)
    code, _, errors = run(capsys, folder, "--format", "csv", "--out", out)
    assert code == 1
    assert "no space left" in errors[0]
    assert [file.name for file in out.glob("*.csv")] == ["b.csv"]


def test_two_recordings_of_one_name_are_no_single_result(
    folder, tmp_path, capsys, scripted
):
    write(folder / "a.wav", TALK)
    write(folder / "a.flac", TALK)
    code, _, errors = run(capsys, folder, "--format", "csv", "--out", tmp_path)
    assert code == 1
    assert errors[0].startswith(
        f"{folder / 'a.wav'}: would become {tmp_path / 'a.csv'}, as "
        f"{folder / 'a.flac'} does: "
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["a.wav", "b.wav", "--format", "vtt"], "--out DIR"),
        (["a.wav", "--format", "png"], "--out DIR"),
        (["a.wav", "--out", "a.wav"], "the file a.wav"),
        (["a.wav", "--speakers", "A,B,C"], "A,B,C"),
        (["a.wav", "--speakers", "A,A"], "A,A"),
        (["a.wav", "--speakers", "A,"], "''"),
        (["a.wav", "--speakers", "A\nB"], "A\\nB"),
        (["none"], "none"),
        (["a.wav", "--vad.onset", "2"], "vad"),
        (["a.wav", "--speakers.most", "65"], "speakers.most"),
        (["a.wav", "--format", "elan"], "elan"),
    ],
)
def test_what_cannot_be_done_is_told_in_one_line(
    folder, capsys, monkeypatch, arguments, told
):
    monkeypatch.chdir(folder)
    (folder / "none").mkdir()
    write(folder / "a.wav", TALK)
    try:
        code = main(["transcribe", *arguments])
    except SystemExit as leaving:
        code = leaving.code
    printed = capsys.readouterr()
    assert (code, printed.out) == (2, "")
    assert told in printed.err and printed.err.count("\n") == 1


# --- the real models --------------------------------------------------------------


def test_another_model_is_another_fingerprint(tmp_path):
    other = shutil.copytree(DEFAULT_MODEL, tmp_path / "model")
    with (other / "manifest.json").open("a") as manifest:
        manifest.write("\n")
    settings = Settings(emotion=EmotionConfig(model=str(other)))
    assert provenance.fingerprint(settings, ()) != provenance.fingerprint(
        Settings(), ()
    )


def test_words_and_emotions_come_out(folder, capsys, models, monkeypatch):
    monkeypatch.setattr(transcribing, "Models", lambda _: models)
    left = join(clip(ANGRY), silence(3))
    right = join(silence(3), clip(SAD))
    n_samples = min(len(left), len(right))
    call = write(folder / "call.wav", left[:n_samples], right[:n_samples])
    code, out, _ = run(capsys, call, "--speakers", "Ann,Bob")
    assert code == 0
    first, second = out.splitlines()
    assert "Ann" in first and "ogs are sitting by the door" in first
    assert "Bob" in second and "ogs are sitting by the door" in second
