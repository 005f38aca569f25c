"""The product's command, with a model that fails once, at one session.

python -m benchmarks.faulty_server METHOD FAULT serve ...

METHOD is "hear", "understand" or, of the voice detector, "detect".
"""

from __future__ import annotations

import sys

import stream_erc.engine
import stream_erc.vad
from benchmarks.faulty_models import Faulty, FaultyDetector
from stream_erc.__main__ import main
from stream_erc.config import Settings
from stream_erc.engine import Models
from stream_erc.vad import SileroVad

AT = 80
"""Frames before the voice detector fails: two sessions are in their first turn."""


def run(method: str, fault: str, *arguments: str) -> int:
    """Run the command; see `Faulty` and `FaultyDetector` for the first two."""

    def load(settings: Settings) -> Faulty:
        return Faulty(Models(settings), method, fault)

    def load_vad() -> FaultyDetector:
        return FaultyDetector(SileroVad(), fault, AT)

    if method == "detect":
        stream_erc.vad.SileroVad = load_vad  # type: ignore[assignment, misc]
    else:
        stream_erc.engine.Models = load  # type: ignore[assignment, misc]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
