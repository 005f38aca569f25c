"""What a server leaves of a conversation, and how another one goes on with it."""

import asyncio
import os
import signal
import threading
import time

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from recording import (
    MONO_16K,
    TIMEOUT_S,
    as_pcm16,
    clip,
    dial,
    join,
    silence,
    talk,
)
from talking import ANGRY, END, MODERN

from stream_erc import events
from stream_erc.admission import EVERYBODY
from stream_erc.config import ServerConfig, Settings
from stream_erc.context import Context, SpeakerVoice, Tally, empty_context
from stream_erc.conversation import Conversation
from stream_erc.engines import InlineEngine
from stream_erc.errors import ConfigError
from stream_erc.fingerprint import fingerprint_memory
from stream_erc.handover import HEADER, Handover, Left, Memory, decode, encode
from stream_erc.pipeline import Pipeline, open_session
from stream_erc.voices import Voices

KEY = ("ann", "kitchen")
KEEP_S = 30.0


def vectors(*shape):
    kinds = st.sampled_from([np.float32, np.float64])
    return kinds.flatmap(lambda kind: arrays.arrays(kind, shape))


def tallies(size):
    return st.builds(Tally, st.integers(0, 9), vectors(size), vectors(size))


MEMORIES = st.builds(
    Memory,
    st.builds(
        Context,
        vectors(2, 3),
        vectors(4, 2, 3),
        vectors(2, 2),
        st.lists(st.text(max_size=9), max_size=2).map(tuple),
        st.lists(
            st.builds(SpeakerVoice, st.text(max_size=9), tallies(4), tallies(2)),
            max_size=3,
        ).map(tuple),
        st.integers(0, 99),
    ),
    st.lists(vectors(5), max_size=3).map(
        lambda totals: Voices(tuple(totals), (1,) * len(totals), 0)
    ),
    st.integers(0, 99),
)
BLANK = Memory(empty_context(3, 2), Voices(), 7)


def left(memory, **changes):
    whole = {"owner": KEY[0], "conversation_id": KEY[1], "made_with": "these"}
    now_ms = round(time.time() * 1000)
    return Left(**{**whole, "left_ms": now_ms, "memory": memory} | changes)


def to_bits(value):
    """The same for two things exactly if they are equal to the bit."""
    return encode(left(value, left_ms=0))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "shared"


@pytest.fixture
def handover(folder):
    return Handover(folder, "these", KEEP_S)


# --- the file -----------------------------------------------------------------


@settings(max_examples=10)
@given(MEMORIES)
def test_a_memory_comes_back_to_the_bit(memory):
    again = decode(encode(left(memory))).memory
    assert to_bits(again) == to_bits(memory)
    assert type(again.context) is Context and type(again.voices) is Voices
    assert again.context.states.dtype == memory.context.states.dtype


def test_what_is_left_is_taken_once_and_by_its_owner_alone(handover, folder):
    handover.leave(KEY, BLANK)
    assert handover.take(("ben", "kitchen")) is None
    assert handover.take(("ann", "garden")) is None
    [file] = folder.iterdir()
    assert oct(file.stat().st_mode & 0o777) == "0o600"
    assert oct(folder.stat().st_mode & 0o777) == "0o700"
    assert "ann" not in file.name and "kitchen" not in file.name
    assert to_bits(handover.take(KEY)) == to_bits(BLANK)
    assert handover.take(KEY) is None
    assert not list(folder.iterdir())


def test_the_newest_memory_of_a_conversation_counts(handover):
    handover.leave(KEY, BLANK)
    handover.leave(KEY, msgspec.structs.replace(left(BLANK)).memory)
    newest = Memory(BLANK.context, BLANK.voices, 8)
    handover.leave(KEY, newest)
    assert handover.take(KEY).n_committed == 8


def cut_in_half(file):
    file.write_bytes(file.read_bytes()[:-20])


def flip_a_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def write(**changes):
    return lambda file: file.write_bytes(encode(left(BLANK, **changes)))


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (cut_in_half, "expected a whole file"),
        (flip_a_bit, "expected a whole file"),
        (lambda file: file.write_bytes(b""), "expected a file that begins with"),
        (
            lambda file: file.write_bytes(HEADER.replace(b"1", b"2")),
            "expected a file that begins with",
        ),
        (write(owner="ben"), "expected this conversation, got another one"),
        (write(conversation_id="garden"), "expected this conversation"),
        (write(made_with="others"), "expected the memory of models these, got that"),
        (write(left_ms=0), "expected what was left within 30 s"),
        (lambda file: file.write_bytes(encode(left(("x",)))), "Expected"),
    ],
)
def test_what_does_not_fit_is_told_and_removed(handover, folder, caplog, spoil, told):
    handover.leave(KEY, BLANK)
    [file] = folder.iterdir()
    spoil(file)
    assert handover.take(KEY) is None
    [line] = [record.getMessage() for record in caplog.records]
    assert told in line and "begins anew" in line
    assert "kitchen" not in line
    assert not list(folder.iterdir())


def test_what_nobody_took_is_removed_by_who_comes_next(handover, folder):
    handover.leave(KEY, BLANK)
    [file] = folder.iterdir()
    long_ago_s = time.time() - KEEP_S - 1
    os.utime(file, (long_ago_s, long_ago_s))
    (folder / "notes.txt").write_text("somebody else's")
    Handover(folder, "these", KEEP_S)
    assert [file.name for file in folder.iterdir()] == ["notes.txt"]


def test_what_cannot_be_removed_hinders_nobody(handover, folder, caplog):
    stubborn = folder / "a.conversation"
    stubborn.mkdir()
    handover.leave(KEY, BLANK)
    long_ago_s = time.time() - KEEP_S - 1
    for file in folder.iterdir():
        os.utime(file, (long_ago_s, long_ago_s))
    Handover(folder, "these", KEEP_S).leave(("ann", "garden"), BLANK)
    assert len(list(folder.iterdir())) == 2  # what was left last, and the stubborn one
    assert handover.take(("ann", "garden")) and not caplog.records


def test_two_that_write_at_once_do_not_touch_each_others_files(
    handover, folder, monkeypatch, caplog
):
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in containers
    sync = os.fsync
    late = Memory(BLANK.context, BLANK.voices, 8)

    def leave_once_more(descriptor):
        monkeypatch.setattr(os, "fsync", sync)
        handover.leave(KEY, late)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", leave_once_more)
    handover.leave(KEY, BLANK)
    assert handover.take(KEY) and not caplog.records
    assert not list(folder.iterdir())


def test_a_write_that_fails_leaves_nothing_behind(handover, folder, monkeypatch):
    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    handover.leave(KEY, BLANK)
    assert not list(folder.iterdir())


def test_a_folder_that_cannot_be_written_stops_the_start(tmp_path):
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ConfigError, match=r"server\.handover: .*file: expected"):
        Handover(file, "these", KEEP_S)


def test_without_a_window_nothing_can_be_handed_over():
    with pytest.raises(ConfigError, match=r"server\.resume_window_s above 0"):
        ServerConfig(handover="shared", resume_window_s=0)


def test_a_disk_that_fails_loses_the_memory_alone(handover, folder, caplog):
    folder.rmdir()
    handover.leave(KEY, BLANK)
    assert handover.take(KEY) is None
    assert [record.levelname for record in caplog.records] == ["ERROR"]


# --- conversations ------------------------------------------------------------


@pytest.fixture(scope="module")
def engine(models):
    return InlineEngine(models)


def test_emotions_after_a_handover_are_those_of_an_undisturbed_conversation(
    engine, vad, handover
):
    def hear(conversation, name):
        audio = events.AudioFormat(encoding="pcm_s16le", sample_rate=16_000, channels=1)
        start = events.SessionStart(audio=audio, speaker="auto", partials=False)
        halves = open_session(
            start,
            session=name,
            settings=Settings(),
            probability=vad.stream(),
            conversation=conversation,
            clock=lambda: 0.0,
        )
        with conversation.seat(name, None):
            pipeline = Pipeline(*halves, engine)
            told = pipeline.push(as_pcm16(join(clip(name)[:24_000], silence(0.8))))
            told += pipeline.tell(events.SessionEnd())
        finals = (events.TurnEnded, events.TranscriptFinal, events.EmotionFinal)
        return [
            msgspec.structs.replace(event, latency=None)
            if isinstance(event, events.EmotionFinal)
            else event
            for event in told
            if isinstance(event, finals)
        ]

    stays = Conversation(engine.empty_context())
    hear(stays, ANGRY)
    handover.leave(KEY, stays.memory)
    taken = handover.take(KEY)
    moves = Conversation(taken.context, taken.voices, taken.n_committed)
    expected = hear(stays, MODERN)
    assert hear(moves, MODERN) == expected
    assert expected[-1].context_turns == expected[-1].context_seq == 1
    assert to_bits(moves.memory) == to_bits(stays.memory)


async def test_a_conversation_goes_on_at_the_server_that_is_asked_next(
    serve, models, folder
):
    shared = {"conversation_id": "kitchen", "partials": False}
    options = {"handover": str(folder)}
    async with serve(models, **options) as (_, url), talk(url, **shared) as wire:
        await wire.say(as_pcm16(join(clip(MODERN)[:16_000], silence(0.8))))
        await wire.hear_until("emotion.final")
        signal.raise_signal(signal.SIGTERM)
        heard = await wire.hear_all()
        assert (heard[-1]["type"], wire.close_code) == ("session.ended", 1001)
        assert len(list(folder.iterdir())) == 1  # before the client is let go
    async with serve(models, drain_s=0.2, **options) as (_, url):
        async with (
            talk(url, **shared) as again,
            talk(url, **shared) as other,
            talk(url, conversation_id="garden") as stranger,
        ):
            known = [one.heard[0]["conversation_turns"] for one in (again, other)]
            assert known == [1, 1]
            assert stranger.heard[0]["conversation_turns"] == 0


KITCHEN = (EVERYBODY, "kitchen")
START = {"type": "session.start", "audio": MONO_16K, "conversation_id": "kitchen"}


@pytest.fixture
def left_here(folder):
    """What a server of the tests would take."""
    other = Handover(folder, fingerprint_memory(Settings()), KEEP_S)
    other.leave(KITCHEN, BLANK)
    return other


async def test_who_is_refused_takes_nothing(serve, models, folder, left_here):
    options = {"handover": str(folder), "drain_s": 0.2, "max_sessions": 1}
    async with (
        serve(models, **options) as (_, url),
        talk(url) as first,
        dial(url) as wire,
    ):
        await wire.say(START)
        assert (await wire.hear())["code"] == "server_full"
        assert to_bits(left_here.take(KITCHEN)) == to_bits(BLANK)
        old = folder / "old.conversation"
        old.touch()
        os.utime(old, (0, 0))
        await first.say(END)
        await first.hear_all()
    assert not list(folder.iterdir())  # swept by the server that stopped


async def test_what_was_taken_in_vain_is_left_again(
    serve, models, folder, left_here, monkeypatch
):
    is_taken, can_go_on = threading.Event(), threading.Event()
    take = Handover.take

    def take_slowly(handover, key):
        memory = take(handover, key)
        is_taken.set()
        can_go_on.wait(TIMEOUT_S)
        return memory

    monkeypatch.setattr(Handover, "take", take_slowly)
    options = {"handover": str(folder), "drain_s": 0.2, "max_sessions": 1}
    async with serve(models, **options) as (_, url), dial(url) as wire:
        await wire.say(START)
        await asyncio.to_thread(is_taken.wait, TIMEOUT_S)
        async with talk(url):
            can_go_on.set()
            assert (await wire.hear())["code"] == "server_full"
            assert to_bits(left_here.take(KITCHEN)) == to_bits(BLANK)


async def test_a_url_that_leads_away_from_the_conversation_is_refused(serve, models):
    async with serve(models, drain_s=0.2) as (_, url):
        async with talk(f"{url}?conversation=a%20b&x=1", conversation_id="a b"):
            pass
        async with talk(f"{url}?conversation=anything"):
            pass
        with pytest.raises(AssertionError, match="conversation_id: expected the one"):
            async with talk(f"{url}?conversation=garden", conversation_id="kitchen"):
                pass
