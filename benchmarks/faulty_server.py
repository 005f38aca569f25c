"""The product's command, with models that fail at one turn of one session.

python -m benchmarks.faulty_server METHOD FAULT serve ...
"""

from __future__ import annotations

import sys

import stream_erc.engine
from benchmarks.faulty_models import Faulty
from stream_erc.__main__ import main
from stream_erc.config import Settings
from stream_erc.engine import Models


def run(method: str, fault: str, *arguments: str) -> int:
    """Run the command; see `Faulty` for the first two."""

    def load(settings: Settings) -> Faulty:
        return Faulty(Models(settings), method, fault)

    stream_erc.engine.Models = load  # type: ignore[assignment, misc]
    return main(arguments)


if __name__ == "__main__":
    sys.exit(run(*sys.argv[1:]))
