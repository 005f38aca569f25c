"""The product's command, with scripted models, as a process of its own."""

import sys

from scripted_models import Loudness, ScriptedModels

import stream_erc.engine
import stream_erc.vad
from stream_erc.__main__ import main


def run(*arguments):
    """Run the command, and leave with its exit code."""
    stream_erc.engine.Models = lambda settings: ScriptedModels()
    stream_erc.vad.SileroVad = Loudness
    sys.exit(main(arguments))


if __name__ == "__main__":
    run(*sys.argv[1:])
