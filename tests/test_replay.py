"""What replay sends, and what it says and returns when something is wrong."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scripted_server import (
    ENDED,
    STARTED,
    one_turn,
    open_session,
    recorder,
    say,
    scripted_server,
)
from test_gaps import noise, write

from clients import replay
from clients.sources import RATE_HZ, decode
from stream_erc import events
from stream_erc.line import hang_up

SPEECH = Path(__file__).parent / "audio" / "speech"
SHORT = SPEECH / "LJ001-0008.flac"
OTHER = SPEECH / "LJ001-0002.flac"


async def run(url, *arguments):
    """Run the command; it has an event loop of its own, so it needs a thread."""
    argv = ["--url", url, "--speed", "max", *map(str, arguments)]
    return await asyncio.to_thread(replay.main, argv)


async def start(url, *options):
    """Start the command in a process of its own, which signals can reach."""
    command = [sys.executable, "-m", "clients.replay", str(SHORT), "--url", url]
    return await asyncio.create_subprocess_exec(
        *command,
        *options,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def write_corpus(folder, *lines):
    file = folder / "corpus.jsonl"
    whole = [
        {"dialogue": "d", "turn": turn, "speaker": "Ann"} | line
        for turn, line in enumerate(lines)
    ]
    file.write_text("".join(json.dumps(line) + "\n" for line in whole))
    return file


def audio_between(heard):
    """Give the session as texts and stretches of audio joined to int16 arrays."""
    joined = []
    for message in heard:
        if not isinstance(message, bytes):
            joined.append(message)
        elif joined and isinstance(joined[-1], bytearray):
            joined[-1] += message
        else:
            joined.append(bytearray(message))
    return [
        np.frombuffer(each, "<i2") if isinstance(each, bytearray) else each
        for each in joined
    ]


async def test_a_file_goes_out_whole_in_chunks_of_20_ms_with_the_gap_behind_it():
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, SHORT, "--gap-s", "0.5", "--json") == 0
    assert heard[0]["audio"] == {
        "encoding": "pcm_s16le",
        "sample_rate": RATE_HZ,
        "channels": 1,
    }
    frames = [message for message in heard if isinstance(message, bytes)]
    assert max(map(len, frames)) == 640
    _, audio, end = audio_between(heard)
    clip = decode(SHORT)
    assert np.array_equal(audio[: len(clip)], clip)
    assert len(audio) == len(clip) + RATE_HZ // 2
    assert end == {"type": "session.end"}


async def test_the_gap_is_noise_of_one_bit_and_not_digital_silence():
    heard = []
    async with scripted_server(recorder(heard)) as url:
        await run(url, SHORT, "--gap-s", "1", "--json")
    gap = audio_between(heard)[1][-RATE_HZ:]
    assert set(gap.tolist()) == {-1, 0, 1}


async def test_another_speaker_is_named_before_the_clip_and_behind_the_gap(tmp_path):
    corpus = write_corpus(
        tmp_path,
        {"audio": str(SHORT)},
        {"audio": str(SHORT)},
        {"audio": str(OTHER), "speaker": "Bob"},
    )
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, corpus, "--gap-s", "0.1", "--json") == 0
    assert heard[0]["speaker"] == "Ann"
    _, ann, change, bob, _ = audio_between(heard)
    assert change == {"type": "speaker.set", "speaker": "Bob"}
    assert len(ann) == 2 * (len(decode(SHORT)) + RATE_HZ // 10)
    assert np.array_equal(bob[: len(decode(OTHER))], decode(OTHER))


async def test_a_line_without_audio_goes_into_the_context_in_its_place(tmp_path):
    corpus = write_corpus(
        tmp_path,
        {"text": "Hello?", "speaker": "bot"},
        {"audio": str(SHORT)},
        {"text": "I see.", "speaker": "bot"},
    )
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, corpus, "--json") == 0
    start, first, audio, second, _ = audio_between(heard)
    assert start["speaker"] == "Ann"  # to whom the first audio belongs
    assert first == {"type": "context.add", "speaker": "bot", "text": "Hello?"}
    assert len(audio) > len(decode(SHORT))
    assert second == {"type": "context.add", "speaker": "bot", "text": "I see."}


async def test_every_dialogue_has_a_session_and_plain_files_share_one(tmp_path):
    corpus = write_corpus(
        tmp_path,
        {"audio": str(SHORT), "dialogue": "one"},
        {"audio": str(SHORT), "dialogue": "two"},
    )
    heard = []
    async with scripted_server(recorder(heard)) as url:
        speakers = ["--speaker", "Cy", "--speaker", "Di"]
        assert await run(url, SHORT, OTHER, SHORT, corpus, *speakers, "--json") == 0
    named = [
        message["speaker"]
        for message in heard
        if isinstance(message, dict) and "speaker" in message
    ]
    assert named == ["Cy", "Di", "Ann", "Ann"]
    assert heard.count({"type": "session.end"}) == 3


async def test_one_dialogue_of_a_corpus_can_be_chosen(tmp_path):
    corpus = write_corpus(
        tmp_path,
        {"audio": str(SHORT), "dialogue": "one"},
        {"audio": str(SHORT), "dialogue": "two", "speaker": "Bob"},
    )
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, corpus, "--dialogue", "two", "--json") == 0
    assert heard[0]["speaker"] == "Bob"
    assert heard.count({"type": "session.end"}) == 1


async def test_the_options_of_a_session_reach_the_server():
    heard = []
    options = ["--conversation", "talk", "--language", "en", "--no-partials"]
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, SHORT, *options, "--json") == 0
    asked = heard[0]
    assert (asked["conversation_id"], asked["language"], asked["partials"]) == (
        "talk",
        "en",
        False,
    )


async def test_json_is_what_the_server_sent_and_nothing_else(capsys):
    strange = '{"type":"mood.ring", "seq":1}'
    async with scripted_server(recorder([], strange, *one_turn())) as url:
        assert await run(url, SHORT, "--json") == 0
    said = [STARTED, *one_turn(), ENDED]
    expected = [events.encode(event) for event in said]
    expected.insert(1, strange)
    assert capsys.readouterr().out.splitlines() == expected


# --- what goes wrong ------------------------------------------------------------


async def test_bad_files_are_named_in_a_line_each_and_the_rest_is_played(
    tmp_path, capsys
):
    (tmp_path / "empty.wav").touch()
    (tmp_path / "letter.wav").write_text("Dear all,\n" * 50)
    bad = [tmp_path / name for name in ("empty.wav", "letter.wav", "none.wav")]
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, bad[0], SHORT, *bad[1:], OTHER, "--json") == 1
    errors = capsys.readouterr().err.splitlines()
    assert [line.partition(": ")[0] for line in errors] == [str(file) for file in bad]
    gaps = 2 * RATE_HZ
    assert (
        len(audio_between(heard)[1]) == len(decode(SHORT)) + len(decode(OTHER)) + gaps
    )


async def test_a_corpus_with_a_missing_file_and_a_broken_line_plays_the_rest(
    tmp_path, capsys
):
    corpus = write_corpus(tmp_path, {"audio": "gone.flac"}, {"audio": str(SHORT)})
    corpus.write_text(corpus.read_text() + "{\n")
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, corpus, "--json") == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0].startswith(f"{corpus}:3: ")
    gone = tmp_path / "gone.flac"
    assert errors[1] == f"{gone}: expected audio, got: no such file or directory"
    assert len(audio_between(heard)[1]) == len(decode(SHORT)) + RATE_HZ


async def test_a_gap_is_played_as_silence_and_told_once(tmp_path, capsys):
    film = write(tmp_path / "a.mkv", (0, noise(0.1)), (0.4, noise(0.1)))
    corpus = write_corpus(tmp_path, *[{"audio": str(film)}] * 2)
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, corpus, "--gap-s", "0", "--json") == 0
    _, audio, _ = audio_between(heard)
    once = np.concatenate([noise(0.1), np.zeros(RATE_HZ * 3 // 10), noise(0.1)])
    assert np.array_equal(audio, np.tile(once, 2))
    [told] = capsys.readouterr().err.splitlines()
    assert told.startswith(f"{film}: no sound for 0.3 s at 0.1 s, ")


async def test_files_are_looked_at_before_a_session_is_opened(tmp_path, capsys):
    heard = []
    async with scripted_server(recorder(heard)) as url:
        assert await run(url, tmp_path / "none.wav", "--json") == 1
    assert heard == []
    assert capsys.readouterr().err == (
        f"{tmp_path / 'none.wav'}: expected audio, got: no such file or directory\n"
    )


async def test_ctrl_c_ends_the_session_and_the_finals_are_waited_for():
    at_end = asyncio.Event()

    async def script(socket):
        await open_session(socket)
        async for message in socket:
            if isinstance(message, str):
                assert json.loads(message)["type"] == "session.end"
                at_end.set()
                await say(socket, *one_turn(), ENDED)
                await socket.close()
            elif not interrupted:
                interrupted.append(True)
                process.send_signal(signal.SIGINT)

    interrupted = []
    async with scripted_server(script) as url:
        process = await start(url, "--gap-s", "3600")
        out, errors = await process.communicate()
    assert at_end.is_set() and process.returncode == 130
    assert b"Kids are talking." in out.splitlines()[-1]
    assert b"Ctrl-C again" in out and errors == b""


async def test_the_second_ctrl_c_does_not_wait():
    async def script(socket):
        await open_session(socket)
        async for message in socket:
            if isinstance(message, str):  # the end, which is never answered
                process.send_signal(signal.SIGINT)
            elif not interrupted:
                interrupted.append(True)
                process.send_signal(signal.SIGINT)

    interrupted = []
    async with scripted_server(script) as url:
        process = await start(url, "--gap-s", "3600")
        await process.communicate()
    assert process.returncode == 130


async def test_a_server_that_is_not_there_is_one_line_and_exit_1(capsys):
    async with scripted_server(recorder([])) as url:
        pass
    assert await run(url, SHORT) == 1
    said = capsys.readouterr()
    assert said.err == f"{url}: no server there (Connection refused)\n"
    assert said.out == ""


async def test_a_session_that_breaks_off_is_one_line_exit_1_and_the_table_so_far(
    capsys,
):
    async def script(socket):
        await open_session(socket)
        await socket.recv()
        broken = events.Failure(code="bug", message="it broke", recoverable=False)
        await say(socket, *one_turn(), broken)
        await hang_up(socket, 1011)

    async with scripted_server(script) as url:
        assert await run(url, SHORT) == 1
    said = capsys.readouterr()
    assert said.err == "it broke\n"
    assert "Kids are talking." in said.out.splitlines()[-1]


async def test_nothing_to_play_is_an_error(tmp_path, capsys):
    empty = tmp_path / "empty.jsonl"
    empty.touch()
    assert await run("ws://127.0.0.1:1/", empty) == 1
    assert "nothing to play" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["a.wav", "--speed", "0"],
        ["a.wav", "--speed", "quick"],
        ["a.wav", "--gap-s", "-1"],
        ["a.wav", "--gap-s", "nan"],
    ],
)
def test_wrong_usage_is_exit_2(arguments):
    with pytest.raises(SystemExit) as exit_:
        replay.main(arguments)
    assert exit_.value.code == 2


def test_a_client_starts_without_models_or_what_runs_them():
    modules = ["onnxruntime", "torch", "ctranslate2", "faster_whisper", "pyaudio"]
    modules += ["stream_erc.asr", "stream_erc.server", "offline"]
    program = (
        "import sys, clients.replay, clients.microphone, clients.demo;"
        f"print([m for m in {modules!r} if m in sys.modules],"
        "sorted(m for m in sys.modules if m.startswith('stream_erc.')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.split("] [")[0] == "["
    loaded = re.findall(r"stream_erc\.(\w+)", done.stdout)
    files = {"errors", "flow", "gaps", "media", "stated_end"}
    assert set(loaded) == {"events", "names"} | files


async def test_whoever_closes_stdout_gets_no_traceback():
    async with scripted_server(recorder([], *one_turn() * 200)) as url:
        command = [sys.executable, "-m", "clients.replay", str(SHORT)]
        command += ["--json", "--speed", "max", "--url", url]
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        await process.stdout.readline()
        process.stdout._transport.close()
        errors = await process.stderr.read()
        assert await process.wait() == 1
    assert errors == b""
