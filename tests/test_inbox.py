"""What a client sent, in its order, and no sooner than it matters."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_erc.events import MarkerSet, SessionEnd
from stream_erc.flow import FRAME_SAMPLES
from stream_erc.inbox import SLICE_SAMPLES, Inbox
from stream_erc.presence import Moves

ROOM = 1 << 20
MARK = MarkerSet(id=1)


def inbox(sample_bytes=2, rate_hz=16_000, max_bytes=ROOM):
    return Inbox(sample_bytes, rate_hz, max_bytes, Moves())


async def take_all(box, missing):
    """Items until the last; `missing` gives what the listener misses each time."""
    items = []
    while not items or not isinstance(items[-1], SessionEnd):
        items.append(await asyncio.wait_for(box.next(next(missing)), 5))
    return items


def joined(items):
    """Items with neighbouring audio in one piece."""
    pieces = []
    for item in items:
        if isinstance(item, bytes) and pieces and isinstance(pieces[-1], bytes):
            pieces[-1] += item
        else:
            pieces.append(item)
    return [piece for piece in pieces if piece != b""]


script = st.lists(st.one_of(st.binary(max_size=60), st.just(MARK)), max_size=15)


@given(script, st.integers(1, 6), st.integers(1, 40), st.integers(2, 200))
def test_all_comes_out_in_its_order(said, sample_bytes, missing, max_bytes):
    async def run():
        box = inbox(sample_bytes, max_bytes=max_bytes)
        taking = asyncio.create_task(take_all(box, iter([missing] * 1000)))
        for item in said:
            await box.wait_for_room()
            box.put(item) if item is MARK else box.put_audio(item)
        box.put(SessionEnd())
        return await taking

    items = asyncio.run(run())
    assert isinstance(items[-1], SessionEnd)
    assert [i for i in joined(items) if i is MARK] == [i for i in said if i is MARK]
    audio = b"".join(item for item in items if isinstance(item, bytes))
    assert audio == b"".join(item for item in said if isinstance(item, bytes))
    first = next((n for n, item in enumerate(said) if item is MARK), len(said))
    if first < len(said):  # no half sample goes past the marker before its other half
        before = len(b"".join(said[:first]))
        place = items.index(MARK)
        got = len(b"".join(items[:place]))
        assert got == before - before % sample_bytes


async def test_less_than_a_frame_wakes_nobody():
    box = inbox()
    taking = asyncio.create_task(box.next(FRAME_SAMPLES))
    for _ in range(3):
        box.put_audio(bytes(640))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if taking.done():
            break
    assert await taking == bytes(1280)  # 40 ms, the frame has 32


@pytest.mark.parametrize(
    ("sample_bytes", "rate_hz", "frame_bytes"),
    [(2, 16_000, 1024), (8, 48_000, 12_288), (1, 8000, 256), (2, 44_100, 2824)],
)
async def test_a_frame_is_counted_as_declared(sample_bytes, rate_hz, frame_bytes):
    box = inbox(sample_bytes, rate_hz)
    taking = asyncio.create_task(box.next(FRAME_SAMPLES))
    box.put_audio(bytes(frame_bytes - sample_bytes))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not taking.done()
    box.put_audio(bytes(sample_bytes))
    assert await taking == bytes(frame_bytes)


async def test_a_message_brings_the_audio_before_it():
    box = inbox()
    box.put_audio(bytes(10))
    box.put(MARK)
    assert await box.next(FRAME_SAMPLES) == bytes(10)
    assert await box.next(FRAME_SAMPLES) == MARK


async def test_where_there_is_room_for_less_than_a_frame_less_comes():
    box = inbox(max_bytes=100)
    box.put_audio(bytes(120))
    assert not box.has_room
    assert await box.next(FRAME_SAMPLES) == bytes(120)


async def test_much_audio_comes_in_slices():
    box = inbox()
    audio = bytes(range(250)) * 400
    box.put_audio(audio)
    slices = [await box.next(1) for _ in range(len(audio) // (2 * SLICE_SAMPLES) + 1)]
    assert b"".join(slices) == audio
    assert {len(one) for one in slices[:-1]} == {2 * SLICE_SAMPLES}
