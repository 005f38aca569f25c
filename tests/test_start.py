"""What keeps the server from starting: one line on stderr, exit code 2, no socket."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from recording import TIMEOUT_S

from offline.__main__ import main as workshop
from stream_erc.__main__ import main
from stream_erc.config import DEFAULT_MODEL
from stream_erc.settings import explain
from stream_erc.version import VERSION


@pytest.fixture
def refused(capsys, monkeypatch):
    """Start the command in this process, which must end it before a socket opens."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def start(*arguments):
        try:
            code = main(["serve", *arguments])
        except SystemExit as leaving:
            code = leaving.code
        printed = capsys.readouterr()
        assert (code, printed.out) == (2, ""), printed.err
        return one_line(printed.err)

    return start


def refused_process(*arguments):
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "stream_erc", "serve", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    return one_line(done.stderr)


def one_line(text):
    assert text.startswith("stream-erc: ") and text.count("\n") == 1, text
    assert len(text) < 1000
    return text


def tells(line, *parts):
    return all(part in line for part in parts)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--server.port", "99999"], ["server.port", "65535", "99999"]),
        (["--server.port", "many"], ["port", "many"]),
        (["--vad.onset", "0.2"], ["vad", "offset", "0.2"]),
        (["--vad.onset", "nan"], ["vad", "nan"]),
        (["--turns.max_turn_ms", "60000"], ["turns.max_turn_ms", "29000", "60000"]),
        (["--limits.max_sessions", "0"], ["limits.max_sessions", "at least 1", "0"]),
        (["--asr.device", "tpu"], ["asr.device", "cuda", "tpu"]),
        (["--colour", "red"], ["--colour"]),
        (["--config", "/nowhere/settings.toml"], ["/nowhere/settings.toml"]),
        (["--config", "/"], ["/"]),
    ],
)
def test_a_setting_that_is_wrong_stops_the_start_with_one_line(
    refused, arguments, told
):
    assert tells(refused(*arguments), *told)


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ("[server]\nprot = 1\n", ["server.prot", "port"]),
        ("[server]\nport = 1\nport = 2\n", ["settings.toml", "TOML"]),
        ("[sever]\nport = 1\n", ["sever", "server"]),
        ('[server]\nport = "1"\n', ["server.port", "int", "'1'"]),
        ("[server]\nport = 1.0\n", ["server.port", "int", "1.0"]),
        ("[limits]\nmax_sessions = true\n", ["limits.max_sessions", "True"]),
        ("port = 1\n", ["port", "table"]),
        ("[server\n", ["settings.toml", "TOML"]),
        ("[server]\nhost = '\0'\n", ["settings.toml", "TOML"]),
    ],
)
def test_a_settings_file_that_is_wrong_stops_the_start_with_one_line(
    refused, tmp_path, toml, told
):
    file = tmp_path / "settings.toml"
    file.write_text(toml)
    assert tells(refused("--config", str(file)), *told)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--asr.whisper", "huge"], ["asr.whisper", "huge", "tiny.en"]),
        (["--asr.whisper", "medium.en"], ["asr.whisper", "medium.en"]),  # not here
        (["--asr.language", "xx"], ["asr.language", "en", "xx"]),
        (["--asr.compute_type", "int3"], ["asr.compute_type", "int3", "int8,"]),
        (["--asr.device", "cuda"], ["asr.device", "GPU", '"cpu"']),
    ],
)
def test_a_recognizer_that_cannot_be_loaded_stops_the_start_with_one_line(
    refused, arguments, told
):
    assert tells(refused(*arguments), *told)


@pytest.fixture
def heard(models, monkeypatch):
    """The recognizer is loaded already; what fails comes behind it."""
    monkeypatch.setattr("stream_erc.engine.Whisper", lambda settings: models.whisper)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--model", "/nowhere"], ["/nowhere", "none"]),
        (["--emotion.device", "cuda"], ["emotion.device", "CUDA", '"cpu"']),
    ],
)
def test_a_model_that_cannot_be_loaded_stops_the_start_with_one_line(
    refused, heard, arguments, told
):
    assert tells(refused(*arguments), *told)


@pytest.mark.parametrize("command", [main, workshop])
def test_every_command_tells_the_version_that_is_installed(command, capsys):
    with pytest.raises(SystemExit) as leaving:
        command(["--version"])
    assert leaving.value.code == 0
    assert capsys.readouterr().out == f"stream-erc {VERSION}\n"


def test_a_port_in_use_stops_the_start_with_one_line():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        told = refused_process("--port", port)
        assert tells(told, "server.port", f"got 127.0.0.1:{port}: ", "in use")


def test_a_damaged_model_stops_the_process_with_one_line(model):
    flip_a_bit(model / "dialogue.onnx")
    assert tells(refused_process("--model", str(model)), "dialogue.onnx", "damaged")


@pytest.fixture
def model(tmp_path, heard):
    """A copy of the shipped model, to be spoiled."""
    return Path(shutil.copytree(DEFAULT_MODEL, tmp_path / "model"))


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewrite(model, **changes):
    manifest = model / "manifest.json"
    content = json.loads(manifest.read_text())
    manifest.write_text(json.dumps(content | changes))


FILES = ["dialogue.onnx", "text_encoder.onnx", "tokenizer.json", "voice_statistics.npz"]


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_model_file_stops_the_start_with_its_name(refused, model, name):
    flip_a_bit(model / name)
    assert tells(refused("--model", str(model)), name, "damaged")


@pytest.mark.parametrize("name", ["manifest.json", "dialogue.onnx"])
def test_a_missing_model_file_stops_the_start_with_its_name(refused, model, name):
    (model / name).unlink()
    assert tells(refused("--model", str(model)), name, "none")


def test_a_manifest_that_is_no_json_stops_the_start(refused, model):
    (model / "manifest.json").write_text("{\n\n")
    assert tells(refused("--model", str(model)), "manifest.json")


def test_a_model_of_other_classes_stops_the_start(refused, model):
    rewrite(model, emotions=["calm", "wild"])
    assert tells(refused("--model", str(model)), "manifest.json", "calm")


@pytest.mark.parametrize("size", ["width", "window", "text", "encoder", "functionals"])
def test_a_model_of_another_shape_stops_the_start(refused, model, size):
    sizes = json.loads((model / "manifest.json").read_text())["sizes"]
    rewrite(model, sizes=sizes | {size: sizes[size] + 1})
    assert tells(refused("--model", str(model)), str(sizes[size] + 1), str(sizes[size]))


def test_help_explains_every_setting(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["serve", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    for name, _, _, explanation in explain():
        assert f"--{name}" in text
        assert " ".join(explanation.split()) in text
