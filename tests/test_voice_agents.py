"""The adapters with the packages that they are for, from PyPI, in an environment of
their own: one that serves has neither."""

import asyncio
import json
import re
import subprocess

import pytest
from scripted_server import (
    ENDED,
    one_turn,
    open_session,
    say,
    scripted_server,
    take_all,
)

from benchmarks.peer_environment import PeerEnvironment, install, make_venv
from benchmarks.report import ROOT

FOLDER = ROOT / "build" / "voice_agents"
PACKAGES = ("pipecat-ai==1.14.0", "livekit-agents==1.8.9")
TESTS = ("tests/test_pipecat.py", "tests/test_livekit.py")
TIMEOUT_S = 900.0


@pytest.fixture(scope="module")
def python():
    """The interpreter of the environment, which is made once."""
    environment = PeerEnvironment(FOLDER, None)
    note = FOLDER / "installed.json"
    wanted = [*PACKAGES, (ROOT / "pyproject.toml").read_text("utf-8")]
    if not note.exists() or json.loads(note.read_text("utf-8")) != wanted:
        make_venv(FOLDER)
        install(environment, [*PACKAGES, "--editable", f"{ROOT}[dev]"])
        note.write_text(json.dumps(wanted), "utf-8")
    return environment.python


@pytest.mark.parametrize("name", ["pipecat", "livekit"])
def test_what_the_docs_show_is_in_the_example(name):
    page = (ROOT / "docs" / "voice_agents.md").read_text("utf-8")
    example = ROOT / "clients" / "examples" / f"{name}_agent.py"
    shown = re.findall(r"```python\n(class \w+\(\w+\):  # type.*?)```", page, re.DOTALL)
    assert len(shown) == 2
    assert sum(each in example.read_text("utf-8") for each in shown) == 1


async def test_the_lines_without_a_framework_hear_and_are_heard():
    page = (ROOT / "docs" / "voice_agents.md").read_text("utf-8")
    [shown] = re.findall(r"```python\n(import asyncio\n.*?)```", page, re.DOTALL)
    exec(shown, lines := {})
    answers, answered = [], asyncio.Event()

    async def serve(socket):
        await open_session(socket)
        await say(socket, *one_turn())
        async for message in socket:
            if isinstance(message, str):
                answers.append(json.loads(message))
                break
        answered.set()
        await take_all(socket, [])
        await say(socket, ENDED)

    async def chunks():
        yield b"\1\0"
        await answered.wait()

    async def answer(words, label):
        return f"{words} {label}!"

    async with scripted_server(serve) as url:
        await lines["converse"](url, chunks(), answer)
    assert [each["text"] for each in answers] == ["Kids are talking. anger!"]


@pytest.mark.slow
def test_the_adapters_hold_with_the_real_frameworks(python):
    ran = subprocess.run(
        [python, "-m", "pytest", "-q", "-rs", *TESTS],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert ran.returncode == 0, ran.stdout[-5000:]
    assert "SKIPPED" not in ran.stdout
