"""What several tests share: the models, loaded once, and a real server."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from dataclasses import fields
from pathlib import Path

import hypothesis
import pytest
import pytest_asyncio

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


def start_server(*arguments, program=("-m", "stream_erc")):
    """Start the product's server on a free port; return the process and its URL."""
    process = subprocess.Popen(
        [sys.executable, *program, "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    line = process.stdout.readline()
    assert line.startswith("listening on "), f"the server said {line!r}"
    return process, line.split()[-1]


@pytest.fixture
def serve(vad, monkeypatch):
    """Gives a context manager that runs a server in this process.

    It gives the server and its address; settings are those of `[server]` and
    `[limits]`, `journal` is a `JournalConfig` and `engine` an `EngineConfig`.
    """
    from stream_erc import server as server_module
    from stream_erc.admission import Admission
    from stream_erc.config import EngineConfig, JournalConfig, ServerConfig, Settings
    from stream_erc.limits import LimitsConfig

    @asynccontextmanager
    async def run(models, journal=None, engine=None, **settings):
        printed = asyncio.Queue()
        monkeypatch.setattr(
            server_module, "print", lambda line, **_: printed.put_nowait(line), False
        )
        limits = {
            one.name: settings.pop(one.name)
            for one in fields(LimitsConfig)
            if one.name in settings
        }
        config = ServerConfig(port=0, **settings)
        joined = Settings(
            server=config,
            limits=LimitsConfig(**limits),
            journal=journal or JournalConfig(),
            engine=engine or EngineConfig(),
        )
        server = server_module.Server(joined, Admission(config), models, vad)
        async with asyncio.TaskGroup() as group:
            group.create_task(server.run())
            url = (await printed.get()).split()[-1]
            try:
                yield server, url
            finally:
                signal.raise_signal(signal.SIGTERM)

    return run


@pytest.fixture(scope="session")
def server_url():
    """The address of a real server with the default settings."""
    process, url = start_server()
    yield url
    process.terminate()
    process.wait(20)
    process.stdout.close()


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(tmp_path_factory):
    """One browser for all tests of the page; its microphone hears two turns, once.

    They run in its loop: `pytestmark = browsing.on_shared_loop`.
    """
    from talking import two_turns

    from benchmarks.browser import launching, write_wav

    voice = tmp_path_factory.mktemp("microphone") / "voice.wav"
    async with launching(write_wav(voice, two_turns())) as browser:
        yield browser


@pytest.fixture
def own_server():
    """Starts servers of the test's own; gives process and address."""
    started = []

    def start(*arguments):
        started.append(start_server(*arguments))
        return started[-1]

    yield start
    for process, _ in started:
        process.kill()
        process.wait()
        process.stdout.close()
