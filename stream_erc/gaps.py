"""AudioFrame… -> AudioFrame…: each at its time; silence where a file has none.

The sound of a film may begin later than its pictures, and what a recorder lost, or
damage took, leaves a gap. The timestamps alone tell of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from av.audio.frame import AudioFrame

JITTER_S = 0.05
"""Containers round timestamps, some to whole packets; less is no gap."""

MAX_GAP_S = 3600.0
"""A longer one is a clock that jumped (a stream's counter that began anew jumps by 26
hours), and would be read as so much silence."""

MISSING_S = 1.0
"""What may be missing before the end that a file states."""

MAX_UNTIMED = 32
"""Frames without a timestamp that wait for the first that has one."""


@dataclass(slots=True)
class Flaws:
    """What is wrong with a recording; filled in while it is read.

    Attributes:
        n_gaps: Where there is nothing between frames, or before the first.
        gaps_s: How long these are, all together.
        first_gap_s: Where the first of them begins.
        jump_s: How far the timestamps first went back, to before what had come, below
            0, or ahead by more than may be missing.
        jump_at_s: And where; None: nowhere.
        n_undecodable: Packets that were left out.
        end_s: Where the sound ends.
        stated_end_s: Where the file says that it ends; 0: it does not say.
    """

    n_gaps: int = 0
    gaps_s: float = 0.0
    first_gap_s: float = 0.0
    jump_s: float = 0.0
    jump_at_s: float | None = None
    n_undecodable: int = 0
    end_s: float = 0.0
    stated_end_s: float = 0.0

    def describe(self) -> Iterator[str]:
        """Say a line for each kind; none of a file that is whole."""
        if self.n_gaps:
            places = f" in {self.n_gaps} places, first" if self.n_gaps > 1 else ""
            yield (
                f"no sound for {self.gaps_s:.1f} s{places} at {self.first_gap_s:.1f} "
                f"s, by its timestamps: taken for silence"
            )
        if self.jump_at_s is not None:
            way = "back" if self.jump_s < 0 else "ahead"
            yield (
                f"its timestamps go {way} by {abs(self.jump_s):.1f} s at "
                f"{self.jump_at_s:.1f} s: later times may be wrong"
            )
        if self.n_undecodable:
            yield f"packets that cannot be decoded, left out: {self.n_undecodable}"
        if self.stated_end_s - self.end_s > MISSING_S:
            yield (
                f"expected sound until {self.stated_end_s:.1f} s, as the file says, "
                f"got it until {self.end_s:.1f} s: cut off or damaged"
            )


def fill_gaps(
    frames: Iterable[AudioFrame], zero_s: float, flaws: Flaws
) -> Iterator[AudioFrame]:
    """Give frames, and silence before those that begin later than the last one ended.

    Frames that begin earlier, or `MAX_GAP_S` later, are given as they are.

    Args:
        frames: Of one track, as they were decoded.
        zero_s: The timestamp at which the recording begins.
        flaws: Told of gaps, of times that jump, and of the end.
    """
    come_s = 0.0
    for run in _join_untimed(frames):
        if (last_s := run[-1].time) is not None:
            begin_s = last_s - zero_s - sum(map(_length_s, run[:-1]))
            late_s = begin_s - come_s
            if JITTER_S < late_s <= MAX_GAP_S:
                flaws.first_gap_s = flaws.first_gap_s if flaws.n_gaps else come_s
                flaws.n_gaps += 1
                flaws.gaps_s += late_s
                for silence in _be_silent(run[0], late_s):
                    come_s += _length_s(silence)
                    yield silence
            elif abs(late_s) > JITTER_S and flaws.jump_at_s is None:
                flaws.jump_s, flaws.jump_at_s = late_s, come_s
        for frame in run:
            come_s += _length_s(frame)
            yield frame
    flaws.end_s = come_s


def _join_untimed(frames: Iterable[AudioFrame]) -> Iterator[list[AudioFrame]]:
    """Join frames without a timestamp with the next that has one.

    Decoders give such where they have lost their place: what is missing was before
    them, not behind.
    """
    run: list[AudioFrame] = []
    for frame in frames:
        run.append(frame)
        if frame.time is not None or len(run) == MAX_UNTIMED:
            yield run
            run = []
    if run:
        yield run


def _be_silent(like: AudioFrame, seconds: float) -> Iterator[AudioFrame]:
    """Give frames of silence, none longer than a second, in the form of another."""
    left_samples = round(seconds * like.sample_rate)
    zero = b"\x80" if like.format.name.startswith("u8") else b"\0"
    while left_samples:
        n_samples = min(left_samples, like.sample_rate)
        frame = AudioFrame(like.format, like.layout, n_samples)
        frame.sample_rate = like.sample_rate
        frame.time_base = like.time_base
        for plane in frame.planes:
            plane.update(zero * plane.buffer_size)
        left_samples -= n_samples
        yield frame


def _length_s(frame: AudioFrame) -> float:
    return frame.samples / frame.sample_rate
