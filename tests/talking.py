"""What the tests of the protocol say to a server, and how they read the answers."""

import numpy as np
from recording import RATE_HZ, clip, join, of_turn, of_type, silence

ANGRY = "ravdess/03-01-05-02-02-02-22.flac"
SAD = "ravdess/03-01-04-02-02-02-22.flac"
MODERN = "speech/LJ001-0002.flac"
CUTTER = "speech/7902-96591-0000.flac"
SURPASSED = "speech/LJ001-0008.flac"

FLUSH = {"type": "turn.flush"}
END = {"type": "session.end"}


def speaker(name):
    return {"type": "speaker.set", "speaker": name}


def marker(identifier):
    return {"type": "marker", "id": identifier}


def agent(text):
    return {"type": "context.add", "speaker": "agent", "text": text}


def hesitating():
    """One sentence with a pause of 250 ms in its middle: long enough for the eager
    point, too short for the end of a turn."""
    spoken = clip(MODERN)
    middle = quietest(spoken)
    return join(silence(0.5), spoken[:middle], silence(0.25), spoken[middle:])


def two_turns():
    """What the microphone of the browser hears."""
    angry = clip(ANGRY)[RATE_HZ * 3 // 4 :]  # its voice starts a quarter second later
    return join(angry, silence(1.0), clip(MODERN), silence(1.5))


def quietest(samples):
    """Find the quietest 20 ms of the middle third."""
    third = len(samples) // 3
    energy = np.square(samples[third : 2 * third].astype(float))
    return third + int(np.argmin(np.convolve(energy, np.ones(320), mode="valid"))) + 160


def conversation(*waits):
    """Everything that a client may say, between and within real turns.

    Args:
        waits: What must have come before the first sentence goes on.
    """
    cutter, first = clip(CUTTER), hesitating()
    return [
        first[: RATE_HZ * 2],
        *waits,
        first[RATE_HZ * 2 :],
        silence(0.8),
        agent("I have no idea what you mean."),
        marker("first"),
        clip(ANGRY),
        speaker("Bob"),
        {"type": "ping", "id": 7},
        silence(0.3),
        cutter[: RATE_HZ * 5 // 4],
        FLUSH,
        cutter[RATE_HZ * 5 // 4 :],
        marker("last"),
        silence(0.1),
    ]


def turns(heard):
    numbers = [message["turn"] for message in of_type(heard, "turn.started")]
    assert numbers
    return [of_turn(heard, number) for number in numbers]


def kinds(messages):
    return [message["type"] for message in messages]


def places(*recordings):
    """(context_seq, context_turns) of all finals, in order of the former."""
    return sorted(
        (message["context_seq"], message["context_turns"])
        for heard in recordings
        for message in of_type(heard, "emotion.final")
    )
