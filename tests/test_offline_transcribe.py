"""Recordings -> a corpus file: the real models on real speech, and what goes wrong."""

import argparse
import json
import os
import shutil
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import AUDIO
from hypothesis import given
from hypothesis import strategies as st

from offline.__main__ import main
from offline.commands.transcribe import add_arguments, list_settings
from offline.corpora.form import Utterance, read_corpus
from offline.transcription import journal, transcriber
from offline.transcription.cutting import cut_channel
from offline.transcription.decoding import decode_channels
from offline.transcription.hearing import BatchedWhisper, plan_batches
from offline.transcription.journal import GrowingCorpus
from offline.transcription.recordings import Recording, find_recordings
from stream_erc import events
from stream_erc.asr import context_s
from stream_erc.command_line import add_transcribe
from stream_erc.config import AsrConfig, Settings
from stream_erc.conversation import Conversation
from stream_erc.engines import InlineEngine
from stream_erc.errors import ConfigError
from stream_erc.flow import SAMPLE_RATE_HZ
from stream_erc.pipeline import Pipeline, open_session

SHORT, LATE, LOUD = (
    AUDIO / "speech" / "LJ001-0008.flac",
    AUDIO / "speech" / "LJ001-0002.flac",
    AUDIO / "ravdess" / "03-01-05-01-02-02-24.flac",
)


class Remembering(BatchedWhisper):
    """Hears the same batch once: what it says of it never changes."""

    def __init__(self, config):
        super().__init__(config)
        self._known = {}

    def hear_batch(self, turns):
        key = tuple(turn.tobytes() for turn in turns)
        if key not in self._known:
            self._known[key] = super().hear_batch(turns)
        return self._known[key]


load_once = cache(Remembering)


@pytest.fixture(autouse=True)
def spare_work(monkeypatch):
    """One recognizer for all runs with the same settings."""
    monkeypatch.setattr(transcriber, "BatchedWhisper", load_once)


@pytest.fixture
def whisper():
    return load_once(AsrConfig(workers=1))


def clip(file):
    """16-bit samples of a clip."""
    return decode_channels(file, is_split=False)[0]


def silence(seconds):
    return np.zeros(round(seconds * SAMPLE_RATE_HZ), np.int16)


def write(file, *channels):
    """A recording of channels, the shorter ones filled with silence."""
    n_samples = max(map(len, channels))
    filled = [np.pad(one, (0, n_samples - len(one))) for one in channels]
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.stack(filled, axis=1), SAMPLE_RATE_HZ)
    return file


def transcribe(out, *paths, options=()):
    return main(["transcribe", *map(str, paths), "--out", str(out), *options])


def lines(file):
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


@pytest.fixture
def calls(tmp_path):
    """A folder with a turn, no turn, and two turns."""
    folder = tmp_path / "calls"
    write(folder / "a.wav", clip(SHORT))
    write(folder / "b" / "nobody.wav", silence(1.0))
    write(folder / "c.flac", np.concatenate([clip(SHORT), silence(1), clip(LATE)]))
    return folder


# --- like the server ----------------------------------------------------------


def test_a_recording_is_cut_and_heard_as_a_live_session_would(tmp_path, models, vad):
    pieces = [part for file in (SHORT, LOUD, LATE) for part in (clip(file), silence(1))]
    recording = write(tmp_path / "talk.wav", np.concatenate(pieces))
    assert transcribe(tmp_path / "out.jsonl", recording) == 0
    engine = InlineEngine(models)
    listener, director = open_session(
        events.SessionStart(
            audio=events.AudioFormat(
                encoding="pcm_s16le", sample_rate=SAMPLE_RATE_HZ, channels=1
            ),
            partials=False,
        ),
        session="live",
        settings=Settings(),
        probability=vad.stream(),
        conversation=Conversation(engine.empty_context()),
    )
    pipeline = Pipeline(listener, director, engine)
    sent = pipeline.push(np.concatenate(pieces).tobytes())
    sent += pipeline.tell(events.SessionEnd())
    live = [one.text for one in sent if isinstance(one, events.TranscriptFinal)]
    starts = [one.voice_start_ms for one in sent if isinstance(one, events.TurnStarted)]
    stops = [one.at_ms for one in sent if isinstance(one, events.SpeechStopped)]
    written = lines(tmp_path / "out.jsonl")
    assert len(written) == 3
    assert [line["text"] for line in written] == live
    assert [round(line["start_s"] * 1000) for line in written] == starts
    assert {round(line["end_s"] * 1000) for line in written} <= set(stops)


def test_start_and_end_are_where_the_voice_is(tmp_path):
    about = {line["file"]: line for line in lines(AUDIO / "ravdess" / "clips.jsonl")}
    assert transcribe(tmp_path / "out.jsonl", LOUD) == 0
    (line,) = lines(tmp_path / "out.jsonl")
    wanted = about[LOUD.name]
    assert line["start_s"] == pytest.approx(wanted["voice_start_s"], abs=0.25)
    assert line["end_s"] == pytest.approx(wanted["voice_end_s"], abs=0.25)


def test_words_that_the_server_rejects_leave_a_turn_without_text(tmp_path):
    settings = tmp_path / "server.toml"
    settings.write_text("[gates]\nmin_log_probability = -0.0001")
    options = ["--config", str(settings)]
    assert transcribe(tmp_path / "out.jsonl", SHORT, options=options) == 0
    (line,) = lines(tmp_path / "out.jsonl")
    assert "text" not in line
    assert "confidence" not in line
    assert line["end_s"] > line["start_s"]


def test_the_settings_of_the_server_cut_the_turns(tmp_path):
    pieces = [clip(SHORT), silence(1), clip(LATE)]
    recording = write(tmp_path / "talk.wav", np.concatenate(pieces))
    settings = tmp_path / "server.toml"
    settings.write_text("[turns]\nend_silence_ms = 3000")
    options = ["--config", str(settings)]
    assert transcribe(tmp_path / "out.jsonl", recording, options=options) == 0
    assert len(lines(tmp_path / "out.jsonl")) == 1


def test_turns_heard_together_are_heard_as_alone(whisper):
    turns = [clip(file).astype(np.float32) / 32_768 for file in (SHORT, LATE)]
    noise = np.random.default_rng(0).normal(0, 0.3, 3 * SAMPLE_RATE_HZ)
    turns += [noise.astype(np.float32), np.zeros(SAMPLE_RATE_HZ, np.float32)]
    for together, turn in zip(whisper.hear_batch(turns), turns, strict=True):
        alone = whisper.hear(turn)
        assert together.text == alone.text
        assert together.mean_log_probability == pytest.approx(
            alone.mean_log_probability, abs=1e-4
        )
        assert together.no_speech_probability == pytest.approx(
            alone.no_speech_probability, abs=1e-4
        )
        assert together.compression_ratio == alone.compression_ratio


def test_a_loop_in_a_short_turn_is_cut_short_beside_a_long_turn_too(whisper):
    long = clip(AUDIO / "speech" / "LJ001-0004.flac").astype(np.float32) / 32_768
    loop = np.tile(long[: SAMPLE_RATE_HZ // 2], 4)  # "produced produced produced …"
    together, _ = whisper.hear_batch([loop, long])
    alone = whisper.hear(loop)
    assert alone.compression_ratio > 2  # or it is no loop, and this shows nothing
    assert together.text == alone.text


@given(lengths=st.lists(st.integers(0, 31 * SAMPLE_RATE_HZ)), size=st.integers(1, 9))
def test_every_turn_is_in_one_batch_of_one_context(lengths, size):
    batches = list(plan_batches(lengths, size))
    assert sorted(index for batch in batches for index in batch) == [
        *range(len(lengths))
    ]
    for batch in batches:
        assert 1 <= len(batch) <= size
        assert len({context_s(lengths[index]) for index in batch}) == 1


@given(loud=st.lists(st.booleans(), max_size=60), long=st.booleans())
def test_turns_lie_one_after_another_with_their_voice_inside(loud, long):
    """Frames are runs of ten; their first sample says whether they are voiced."""
    levels = [8000 if is_loud else 10 for is_loud in loud for _ in range(10)]
    samples = np.repeat(np.array(levels or [0], np.int16), 512)
    spans = list(
        cut_channel(
            np.tile(samples, 3) if long else samples,
            0,
            Settings(),
            lambda frame: float(np.abs(frame).max() > 0.1),
        )
    )
    for span in spans:
        assert 0 <= span.start <= span.voice_start < span.voice_end <= span.end
    for before, after in zip(spans, spans[1:], strict=False):
        assert before.end <= after.start


# --- what is written ----------------------------------------------------------


def test_the_lines_are_a_corpus_without_a_fault(tmp_path, calls):
    out = tmp_path / "corpora" / "calls.jsonl"
    assert transcribe(out, calls) == 0
    corpus = read_corpus(out, strict=True)
    assert [(one.dialogue, one.turn) for one in corpus.utterances] == [
        ("a", 0),
        ("c", 0),
        ("c", 1),
    ]
    for one in corpus.utterances:
        assert (corpus.root / one.audio).is_file()
        assert one.speaker == "speaker"
        assert 0 < one.confidence <= 1
        assert one.emotion is None
        assert one.sentiment is None
    assert corpus.utterances[2].text == "in being comparatively modern."
    assert corpus.utterances[0].audio == "../calls/a.wav"
    assert corpus.utterances[0].channel is None  # all are mixed, as they were heard


def test_the_same_recordings_give_the_same_file_in_any_batches(tmp_path, calls):
    transcribe(tmp_path / "one.jsonl", calls, options=["--batch", "1"])
    transcribe(tmp_path / "two.jsonl", calls, options=["--batch", "7"])
    assert (tmp_path / "one.jsonl").read_bytes() == (
        tmp_path / "two.jsonl"
    ).read_bytes()


def test_each_channel_is_a_speaker_and_their_turns_are_in_order(tmp_path):
    agent = np.concatenate([silence(3), clip(SHORT), silence(3)])
    customer = np.concatenate([clip(LATE), silence(4), clip(LATE)])
    call = write(tmp_path / "call.wav", agent, customer)
    split = ["--channels", "split"]
    assert transcribe(tmp_path / "out.jsonl", call, options=split) == 0
    written = lines(tmp_path / "out.jsonl")
    assert [(line["turn"], line["speaker"], line["text"]) for line in written] == [
        (0, "channel 2", "in being comparatively modern."),
        (1, "channel 1", "has never been surpassed."),
        (2, "channel 2", "in being comparatively modern."),
    ]
    assert [line["channel"] for line in written] == [1, 0, 1]
    assert [line["start_s"] for line in written] == sorted(
        line["start_s"] for line in written
    )


@pytest.mark.parametrize("rate_hz", [8_000, 16_000, 44_100])
@pytest.mark.parametrize("n_channels", [1, 2, 5])
def test_any_rate_and_number_of_channels_is_decoded(tmp_path, rate_hz, n_channels):
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 0.05, (rate_hz, n_channels)) * np.arange(1, n_channels + 1)
    soundfile.write(tmp_path / "x.wav", sound, rate_hz)
    mixed = decode_channels(tmp_path / "x.wav", is_split=False)
    split = decode_channels(tmp_path / "x.wav", is_split=True)
    assert mixed.shape == (1, SAMPLE_RATE_HZ)
    assert split.shape == (n_channels, SAMPLE_RATE_HZ)
    levels = split.std(axis=1)
    np.testing.assert_allclose(levels / levels[0], range(1, n_channels + 1), rtol=0.1)


# --- files and folders --------------------------------------------------------


def found(*paths, corpus):
    return [(one.dialogue, one.audio) for one in find_recordings(paths, corpus)]


def test_folders_are_walked_in_order_and_other_files_are_left_out(tmp_path):
    folder = tmp_path / "in"
    for name in (
        "z.wav",
        "a/y.MP3",
        "a/x.v2.flac",
        "notes.txt",
        ".z.wav",
        ".git/a.wav",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    assert found(folder, corpus=folder / "c.jsonl") == [
        ("a/x.v2", "a/x.v2.flac"),
        ("a/y", "a/y.MP3"),
        ("z", "z.wav"),
    ]


def test_a_file_that_is_named_may_have_any_suffix_and_counts_once(tmp_path):
    (tmp_path / "talk.dat").touch()
    (tmp_path / "talk.wav").touch()
    assert found(
        tmp_path / "talk.dat",
        tmp_path,
        tmp_path / "talk.wav",
        corpus=tmp_path / "out" / "c.jsonl",
    ) == [("talk", "../talk.dat"), ("talk", "../talk.wav")]


def test_names_are_written_as_they_are(tmp_path):
    write(tmp_path / "Gespräche" / "母の電話 №1.wav", clip(SHORT))
    assert transcribe(tmp_path / "ä.jsonl", tmp_path / "Gespräche") == 0
    (line,) = lines(tmp_path / "ä.jsonl")
    assert line["dialogue"] == "母の電話 №1"
    assert (tmp_path / line["audio"]).is_file()


@pytest.mark.skipif(os.name != "posix", reason="names are text elsewhere")
def test_a_name_that_is_no_text_is_named_and_left_out(tmp_path, capsys):
    folder = tmp_path / "in"
    write(folder / "a.wav", clip(SHORT))
    try:
        shutil.copy(folder / "a.wav", os.fsencode(folder) + b"/\xff.wav")
    except OSError:
        pytest.skip("the file system takes text alone")
    assert transcribe(tmp_path / "out.jsonl", folder) == 0
    assert "expected a file name in UTF-8" in capsys.readouterr().err
    assert [line["dialogue"] for line in lines(tmp_path / "out.jsonl")] == ["a"]


def test_two_recordings_of_one_name_are_not_made_one_dialogue(tmp_path, capsys):
    for suffix in ("flac", "wav"):
        write(tmp_path / "in" / f"a.{suffix}", clip(SHORT))
    assert transcribe(tmp_path / "out.jsonl", tmp_path / "in") == 0
    (complaint,) = capsys.readouterr().err.splitlines()
    assert complaint.endswith("got 'a', as in/a.flac")
    assert len(lines(tmp_path / "out.jsonl")) == 1


@pytest.mark.parametrize("is_there", [True, False])
def test_nothing_to_transcribe_is_exit_2(tmp_path, capsys, is_there):
    folder = tmp_path / "in"
    if is_there:
        folder.mkdir()
    assert transcribe(tmp_path / "out.jsonl", folder) == 2
    assert str(folder) in capsys.readouterr().err
    assert not (tmp_path / "out.jsonl").exists()


# --- broken files -------------------------------------------------------------


@pytest.fixture
def broken(tmp_path):
    """A folder with nothing that can be read."""
    folder = tmp_path / "broken"
    folder.mkdir()
    (folder / "b.wav").write_text("this is no recording " * 50)
    (folder / "c.mp3").touch()
    (folder / "d.flac").write_bytes(SHORT.read_bytes()[:200])
    write(folder / "e.wav", silence(0))
    return folder


def test_broken_files_are_named_and_the_rest_goes_on(tmp_path, broken, capsys):
    write(broken / "a.wav", clip(SHORT))
    write(broken / "f.wav", clip(SHORT))
    assert transcribe(tmp_path / "out.jsonl", broken) == 0
    complaints = capsys.readouterr().err.splitlines()
    for name, complaint in zip(
        "b.wav c.mp3 d.flac e.wav".split(), complaints, strict=True
    ):
        assert complaint.startswith(f"{broken / name}: expected audio, got")
    assert [line["dialogue"] for line in lines(tmp_path / "out.jsonl")] == ["a", "f"]


def test_nothing_readable_is_exit_2_and_tried_again(tmp_path, broken, capsys):
    assert transcribe(tmp_path / "out.jsonl", broken) == 2
    assert len(capsys.readouterr().err.splitlines()) == 4
    assert not (tmp_path / "out.jsonl").exists()
    write(broken / "b.wav", clip(SHORT))
    assert transcribe(tmp_path / "out.jsonl", broken) == 0
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_a_strict_run_stops_at_the_first(tmp_path, broken, capsys):
    write(broken / "a.wav", clip(SHORT))
    write(broken / "f.wav", clip(SHORT))
    assert transcribe(tmp_path / "out.jsonl", broken, options=["--strict"]) == 2
    (complaint,) = capsys.readouterr().err.splitlines()
    assert "b.wav" in complaint
    assert [line["dialogue"] for line in lines(tmp_path / "out.jsonl")] == ["a"]


def test_a_recording_that_was_cut_off_is_read_as_far_as_it_goes(tmp_path):
    whole = (AUDIO / "speech" / "jfk.flac").read_bytes()
    (tmp_path / "half.flac").write_bytes(whole[: len(whole) // 2])
    assert transcribe(tmp_path / "out.jsonl", tmp_path / "half.flac") == 0
    assert 1 <= len(lines(tmp_path / "out.jsonl")) < 4


# --- going on -----------------------------------------------------------------


def test_a_run_on_a_part_and_then_on_all_is_a_run_on_all(tmp_path, calls):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert transcribe(whole, calls / "a.wav", calls) == 0
    assert transcribe(parts, calls / "a.wav") == 0
    assert transcribe(parts, calls / "a.wav", calls) == 0
    assert parts.read_bytes() == whole.read_bytes()
    assert len(lines(parts)) == 3


def test_a_run_that_is_interrupted_goes_on(tmp_path, calls, monkeypatch):
    whole, parts = tmp_path / "whole.jsonl", tmp_path / "parts.jsonl"
    assert transcribe(whole, calls) == 0
    interrupted = transcriber.decode_channels

    def interrupt(file, **wishes):
        if file.name == "c.flac":
            raise KeyboardInterrupt
        return interrupted(file, **wishes)

    with monkeypatch.context() as patch:
        patch.setattr(transcriber, "decode_channels", interrupt)
        assert transcribe(parts, calls) == 130
    assert 0 < len(parts.read_bytes()) < len(whole.read_bytes())
    assert transcribe(parts, calls) == 0
    assert parts.read_bytes() == whole.read_bytes()


def test_what_is_done_is_not_read_again_with_or_without_a_voice(
    tmp_path, calls, capsys
):
    assert transcribe(tmp_path / "out.jsonl", calls) == 0
    before = (tmp_path / "out.jsonl").read_bytes()
    for file in ("a.wav", "b/nobody.wav", "c.flac"):
        (calls / file).write_text("not any more")
    assert transcribe(tmp_path / "out.jsonl", calls) == 0
    assert capsys.readouterr().err == ""
    assert (tmp_path / "out.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("option", "value", "complaint"),
    [
        ("--channels", "split", "expected channels 'mix', with which it was begun"),
        ("--asr.compute_type", "float32", "expected asr.compute_type 'int8'"),
        ("--config", "[vad]\nonset = 0.6", "expected vad.onset 0.5"),
    ],
)
def test_other_settings_do_not_go_on(tmp_path, calls, capsys, option, value, complaint):
    out = tmp_path / "out.jsonl"
    assert transcribe(out, calls / "a.wav") == 0
    if option == "--config":
        (tmp_path / "server.toml").write_text(value)
        value = str(tmp_path / "server.toml")
    before = out.read_bytes()
    assert transcribe(out, calls, options=[option, value]) == 2
    assert complaint in capsys.readouterr().err
    assert out.read_bytes() == before


def options_of(parser):
    """Each option, and what it takes."""
    found = {}
    for action in parser._actions:
        found |= dict.fromkeys(action.option_strings, action.type)
    return found


def test_what_both_commands_have_has_one_name():
    ours, theirs = argparse.ArgumentParser(), argparse.ArgumentParser()
    add_arguments(ours)
    add_transcribe(theirs)
    assert ours.parse_args(["a", "--out", "b"]).files == [Path("a")]
    own = {"--batch", "--channels", "--strict"}  # a corpus file's alone
    own |= {"--engine", "--address", "--workers"}
    numbers = {"--batch", "--workers"}
    assert options_of(ours).items() - options_of(theirs).items() == {
        (name, int if name in numbers else None) for name in own
    }


def test_what_changes_no_word_may_change_between_runs():
    other = Settings(asr=AsrConfig(device="cuda", threads=7, workers=1))
    assert list_settings(other, "mix") == list_settings(Settings(), "mix")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--batch", "0"], "--batch: expected at least 1, got 0"),
        (["--asr.threads", "0"], "asr.threads: expected at least 1, got 0"),
        (["--asr.whisper", "enormous"], "asr.whisper: expected a folder"),
    ],
)
def test_a_wrong_setting_is_one_line_and_leaves_nothing(
    tmp_path, calls, capsys, options, complaint
):
    out = tmp_path / "out.jsonl"
    assert transcribe(out, calls, options=options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(complaint)
    assert [*tmp_path.iterdir()] == [calls]


# --- the journal --------------------------------------------------------------

RECORDINGS = [
    (Recording(AUDIO / name, name, f"{name}.wav"), n_turns)
    for name, n_turns in (("a", 1), ("silent", 0), ("ß", 2))
]


def said(recording, n_turns):
    return [
        Utterance(dialogue=recording.dialogue, turn=turn, speaker="s", text="Straße")
        for turn in range(n_turns)
    ]


def add_all(out):
    corpus = GrowingCorpus(out, {"asr": "tiny"})
    for recording, n_turns in RECORDINGS:
        if not corpus.holds(recording):
            corpus.add(recording, said(recording, n_turns))


def contents(out):
    return out.read_bytes(), out.with_name(out.name + ".done").read_bytes()


@pytest.fixture
def appended(monkeypatch):
    """What is appended, in order, as (file name, bytes); it need not reach the disk."""
    seen = []
    append = journal.append

    def append_and_note(file, lines):
        seen.append((file.name, lines))
        append(file, lines)

    monkeypatch.setattr(journal, "append", append_and_note)
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)
    return seen


def kills(appended):
    """Every state in which a kill may leave the files, by their names."""
    files = {}
    for name, lines in appended:
        before = files.get(name, b"")
        for n_bytes in range(len(lines) + 1):
            files[name] = before + lines[:n_bytes]
            yield dict(files)


def test_a_kill_at_any_byte_leaves_no_half_recording(tmp_path, appended):
    out = tmp_path / "c.jsonl"
    add_all(out)
    whole = contents(out)
    for files in list(kills(appended)):
        for file in tmp_path.iterdir():
            file.unlink()
        for name, left in files.items():
            (tmp_path / name).write_bytes(left)
        add_all(out)
        assert contents(out) == whole


@pytest.mark.parametrize("change", [b"", b"{}\n", "longer", "shorter"])
def test_a_file_that_something_else_has_changed_is_refused(tmp_path, change):
    out = tmp_path / "c.jsonl"
    add_all(out)
    written, told = contents(out)
    last = json.loads(told.splitlines()[-1])["start_byte"]
    changed = {"longer": written + b"\n", "shorter": written[: last - 1]}
    out.write_bytes(changed.get(change, change))
    with pytest.raises(ConfigError, match="something else has changed it"):
        GrowingCorpus(out, {"asr": "tiny"})
    assert contents(out) == (changed.get(change, change), told)


def test_a_corpus_of_another_origin_is_refused(tmp_path):
    out = tmp_path / "c.jsonl"
    out.write_text('{"dialogue": "a", "turn": 0, "speaker": "s"}\n')
    with pytest.raises(ConfigError, match=r"got one without c\.jsonl\.done"):
        GrowingCorpus(out, {})
    with pytest.raises(ConfigError, match="expected a file, got a folder"):
        GrowingCorpus(tmp_path, {})


@pytest.mark.parametrize("line", ["[]\n", "what\n", '{"settings": 1}\n'])
def test_a_journal_that_is_none_is_refused(tmp_path, line):
    (tmp_path / "c.jsonl.done").write_text(line)
    with pytest.raises(ConfigError, match=r"c\.jsonl\.done: expected the journal"):
        GrowingCorpus(tmp_path / "c.jsonl", {})
