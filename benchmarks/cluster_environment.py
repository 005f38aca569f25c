"""Where Ray lives: in this interpreter, or in an environment of its own, made once.

Its own needs Ray alone; all else it borrows from this interpreter.
"""

from __future__ import annotations

import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path

from benchmarks.peer_environment import (
    InstallFailed,
    PeerEnvironment,
    install,
    make_venv,
)
from benchmarks.report import ROOT
from stream_erc.errors import ConfigError

DEFAULT_FOLDER = ROOT / "build" / "cluster"
RAY = "ray[data,serve]==2.60.0"

HIDE = "import sys; sys.modules['rfc3987_syntax'] = None"
"""Comes with tools of ours. Each of Ray's processes would spend seconds on its grammar,
and a busy machine's Ray not start: it gives its agent 15 s."""


def find_python(folder: Path = DEFAULT_FOLDER) -> str:
    """Give an interpreter that has Ray; make it where there is none.

    Raises:
        ConfigError: If Ray cannot be installed.
    """
    if find_spec("ray") is not None:
        return sys.executable
    environment = PeerEnvironment(folder, None)
    note = folder / "installed"
    if note.exists() and note.read_text("utf-8") == RAY:
        return environment.python
    print(f"installing {RAY} into {folder.name}/: minutes, half a gigabyte")
    make_venv(folder)
    [packages] = folder.glob("lib/*/site-packages")
    borrowed = f"{sysconfig.get_path('purelib')}\n{ROOT}\n{HIDE}\n"
    (packages / "borrowed.pth").write_text(borrowed, "utf-8")
    try:
        install(environment, [RAY])
    except InstallFailed as error:
        raise ConfigError(f"{RAY} cannot be installed: {error}") from error
    note.write_text(RAY, "utf-8")
    return environment.python
