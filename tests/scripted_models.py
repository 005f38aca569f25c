"""Stand in for the models, so that whole conversations take seconds."""

import numpy as np
from director_cases import answer
from recording import RATE_HZ, join, silence

from stream_erc.flow import EMOTIONS, SENTIMENTS, Emotion

SPOKEN = 8000  # amplitude


class ScriptedModels:
    """Every answer tells what it rests on; see `director_cases`."""

    languages = ("en",)

    prior = Emotion(
        emotions=np.full(len(EMOTIONS), 1 / len(EMOTIONS)),
        sentiments=np.full(len(SENTIMENTS), 1 / len(SENTIMENTS)),
        modalities=(),
        context_turns=0,
    )

    def empty_context(self):
        return ()

    def hear(self, requests):
        return [answer(request) for request in requests]

    understand = hear


class Loudness:
    """Stands in for Silero: P(speech) is whether the frame is loud."""

    def stream(self):
        return lambda samples: float(np.abs(samples).max(initial=0) > 0.1)

    def detect(self, heard):
        return [[stream(frame) for frame in frames] for stream, frames in heard]


def sentence(seconds):
    """Something that `Loudness` takes for a voice."""
    n_samples = round(seconds * RATE_HZ)
    dice = np.random.default_rng(n_samples)
    return dice.integers(-SPOKEN, SPOKEN, n_samples).astype(np.int16)


def conversation(n_turns):
    """Turns of several lengths with pauses, and every kind of message between."""
    script = []
    for turn in range(n_turns):
        script.append(join(sentence(0.5 + turn % 5 * 0.3), silence(0.8)))
        if turn % 4 == 1:
            script.append({"type": "context.add", "speaker": "bot", "text": f"{turn}"})
        if turn % 4 == 2:
            script.append({"type": "marker", "id": turn})
        if turn % 4 == 3:
            script.append({"type": "speaker.set", "speaker": f"speaker {turn}"})
        if turn % 4 == 0:
            script += [sentence(0.7), {"type": "turn.flush"}]
    return script
