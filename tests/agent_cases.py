"""What the adapters of both agent frameworks are tried with."""

import pytest
from conftest import AUDIO

from clients.connection import connect
from clients.sources import FORMAT, decode
from stream_erc import events

JFK = AUDIO / "speech" / "jfk.flac"
SENTENCE = AUDIO / "speech" / "LJ001-0008.flac"
SILENCE = bytes(32_000)
SPEECH = decode(JFK).tobytes() + SILENCE
TIMEOUT_S = 60.0


async def finals(url, pcm, *, is_flushed=False):
    """What the plain client is told of the same audio: words and emotions."""
    async with connect(url, audio=FORMAT, partials=False) as connection:
        await connection.send_audio(pcm)
        if is_flushed:
            await connection.flush_turn()
        await connection.end()
        said = [event async for event in connection]
    words = {e.turn: e.text for e in said if isinstance(e, events.TranscriptFinal)}
    kept = [e for e in said if isinstance(e, events.EmotionFinal) and words[e.turn]]
    return [(words[e.turn], e.label, e.probabilities) for e in kept]


def assert_same(one, other):
    """Words and labels are alike, and probabilities nearly."""
    assert [each[:2] for each in one] == [each[:2] for each in other]
    for (*_, ours), (*_, theirs) in zip(one, other, strict=True):
        assert ours == pytest.approx(theirs, abs=0.001)
