"""Clips, turns and messages made up for the tests of the benchmarks."""

from benchmarks.dialogues import COMMITTED, Clip, Voice
from benchmarks.matching import Turn
from clients.sources import RATE_HZ
from stream_erc.flow import EMOTIONS


def a_clip(start_ms, end_ms, text="", emotion="joy", speaker="a"):
    """A voice from `start_ms` to `end_ms`, 100 ms of recording on each side."""
    start, end, margin = (ms * RATE_HZ // 1000 for ms in (start_ms, end_ms, 100))
    voice = Voice(COMMITTED, speaker, text, emotion, start_ms / 1000, end_ms / 1000)
    return Clip(voice, start - margin, end + margin, start, end)


def a_turn(number, start_ms, end_ms, text="", label="joy", **others):
    """A turn that is sure of its emotion."""
    return Turn(
        number,
        "a",
        start_ms,
        end_ms,
        text=text,
        label=label,
        probabilities={name: float(name == label) for name in EMOTIONS},
        **others,
    )


def an_emotion(kind, **fields):
    """An emotion of turn 0, partial or final, that says no more than its label."""
    return kind(turn=0, probabilities={}, sentiment={}, modalities=("audio",), **fields)
