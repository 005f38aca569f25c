"""The product's command, with scripted models, as a process of its own."""

import sys

from scripted_models import Loudness, ScriptedModels

import stream_erc.engine
import stream_erc.vad
from stream_erc.__main__ import main

if __name__ == "__main__":
    stream_erc.engine.Models = lambda settings: ScriptedModels()
    stream_erc.vad.SileroVad = Loudness
    sys.exit(main(sys.argv[1:]))
