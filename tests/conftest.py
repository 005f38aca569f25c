"""What several tests share: the models, loaded once, and a real server."""

import os
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest

# Wall time is no claim of any test, and the same commit passes or fails everywhere.
hypothesis.settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(  # --hypothesis-profile=explore looks further
    "explore", parent=hypothesis.settings.get_profile("suite"), derandomize=False
)
hypothesis.settings.load_profile("suite")

AUDIO = Path(__file__).parent / "audio"


@pytest.fixture(scope="session")
def models():
    """All models of the product with the default settings."""
    from stream_erc.config import Settings
    from stream_erc.engine import Models

    return Models(Settings())


@pytest.fixture(scope="session")
def vad():
    from stream_erc.vad import SileroVad

    return SileroVad()


def start_server(*arguments):
    """Start the product's server on a free port; return the process and its URL."""
    process = subprocess.Popen(
        [sys.executable, "-m", "stream_erc", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    line = process.stdout.readline()
    assert line.startswith("listening on "), f"the server said {line!r}"
    return process, line.split()[-1]


@pytest.fixture(scope="session")
def server_url():
    """The address of a real server with the default settings."""
    process, url = start_server()
    yield url
    process.terminate()
    process.wait(20)
    process.stdout.close()
