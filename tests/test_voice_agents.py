"""The adapters with the packages that they are for, from PyPI, in an environment of
their own: one that serves has neither."""

import json
import subprocess

import pytest

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
