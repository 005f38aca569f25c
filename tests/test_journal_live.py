"""Sessions that are kept: nothing that a client saw is missing, whatever happens."""

import asyncio
import json
import resource
import subprocess
import sys
import threading
import wave
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
import pytest
from conftest import start_server
from journal_cases import kept, until
from recording import (
    TIMEOUT_S,
    as_float32,
    as_pcm16,
    clip,
    join,
    metrics,
    of_type,
    record,
    silence,
    talk,
    until_sessions,
)
from scripted_models import Loudness, ScriptedModels, conversation, sentence
from talking import END, MODERN
from websockets.exceptions import ConnectionClosed

from stream_erc.config import JournalConfig
from stream_erc.journal_file import JournalFile, Selection

TURN = join(sentence(0.6), silence(0.8))
KEPT = (
    "session.started",
    "turn.started",
    "turn.ended",
    "transcript.final",
    "emotion.final",
    "session.ended",
)
TESTS = Path(__file__).parent


@pytest.fixture
def vad():
    """Of the server in this process."""
    return Loudness()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal"


@pytest.fixture
def served(serve, path):
    """Gives a context manager that runs a server with scripted models and a journal."""

    def run(**settings):
        journal = JournalConfig(**{"file": str(path)} | settings)
        return serve(ScriptedModels(), journal=journal, drain_s=0.2)

    return run


def as_kept(heard):
    """What the journal has of these messages."""
    messages = [dict(message) for message in of_type(heard, *KEPT)]
    for message in messages:
        del message["seq"]
        if "resume_token" in message:
            message["resume_token"] = None
    return messages


def in_journal(path, heard):
    session_id = heard[0]["session_id"]
    return [json.loads(e.message) for e in kept(path, Selection(session_id=session_id))]


# --- what is kept -----------------------------------------------------------------


async def test_a_session_is_kept_as_it_was_told(served, path):
    async with served() as (_, url):
        heard = await record(url, conversation(8), conversation_id="room")
        assert in_journal(path, heard) == as_kept(heard)
    assert {(one.owner, one.conversation_id) for one in kept(path)} == {("", "room")}
    assert b"resume_token" in path.read_bytes()
    assert heard[0]["resume_token"].encode() not in path.read_bytes()


async def test_sessions_that_are_told_at_once_are_kept_each_in_its_order(served, path):
    async with served() as (_, url):
        told = await asyncio.gather(*(record(url, conversation(6)) for _ in range(8)))
        for heard in told:
            assert in_journal(path, heard) == as_kept(heard)


async def test_nothing_is_sent_before_it_is_written(served, path, monkeypatch):
    may_write = threading.Event()
    append = JournalFile.append

    def wait(self, entries):
        may_write.wait(TIMEOUT_S)
        append(self, entries)

    monkeypatch.setattr(JournalFile, "append", wait)
    monkeypatch.setattr("stream_erc.archive.MAX_HELD_S", TIMEOUT_S)
    async with served() as (server, url):
        opening = asyncio.create_task(record(url, [TURN]))
        try:
            await until_sessions(url, 1)
            [one] = server._sessions._kept.values()
            while not one.session.backlog.n_unsent:
                await one.session.moves.wait()
            assert one.session.backlog.next_seq == 0
            assert not kept(path)
        finally:
            may_write.set()
        heard = await opening
    assert in_journal(path, heard) == as_kept(heard)


async def test_without_a_journal_nothing_is_written(serve, path):
    async with serve(ScriptedModels(), drain_s=0.2) as (_, url):
        heard = await record(url, [TURN])
    assert list(path.parent.iterdir()) == []
    assert heard[0]["recorded"] is False


# --- crashes ----------------------------------------------------------------------


@contextmanager
def running(program, path):
    process, url = start_server("--journal", str(path), program=program)
    try:
        yield process, url
    finally:
        process.kill()
        process.wait(20)
        process.stdout.close()


async def converse_until_the_end(url, script, name, seen):
    """Talk until the server is gone; give all that came."""
    async with talk(url, conversation_id=name) as wire:
        with suppress(ConnectionClosed):
            for item in script:
                await wire.say(item if isinstance(item, dict) else as_pcm16(item))
                while (await wire.hear())["type"] != "emotion.final":
                    pass
                seen.release()
        return await wire.hear_all()


@pytest.mark.parametrize(
    ("program", "turn"),
    [
        ([TESTS / "scripted_process.py"], TURN),
        pytest.param(
            ["-m", "stream_erc"],
            lambda: join(clip(MODERN), silence(0.8)),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["scripted", "real"],
)
async def test_after_a_kill_nothing_is_missing_that_a_client_saw(path, program, turn):
    turn = turn() if callable(turn) else turn
    seen = asyncio.Semaphore(0)
    with running(program, path) as (process, url):
        async with asyncio.TaskGroup() as group:
            sessions = [
                group.create_task(
                    converse_until_the_end(url, [turn] * 1000, f"room {n % 4}", seen)
                )
                for n in range(8)
            ]
            for _ in range(40):
                await seen.acquire()
            process.kill()
    told = [session.result() for session in sessions]
    assert sum(len(of_type(heard, "emotion.final")) for heard in told) >= 40
    for heard in told:
        seen_by_client = as_kept(heard)
        assert in_journal(path, heard)[: len(seen_by_client)] == seen_by_client
    with running(program, path) as (_, url):
        told.append(await record(url, [turn]))
    assert in_journal(path, told[-1]) == as_kept(told[-1])
    assert len({one.session_id for one in kept(path)}) == 9


# --- disks ------------------------------------------------------------------------


async def test_with_a_full_disk_sessions_go_on_and_nothing_is_lost(path):
    with running([TESTS / "scripted_process.py"], path) as (process, url):
        async with talk(url) as wire:
            limit = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, limit[1]))
            for _ in range(3):
                await wire.say(as_pcm16(TURN))
                await wire.hear_until("emotion.final")
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, limit)
            await wire.say(as_pcm16(TURN), END)
            heard = await wire.hear_all()
        assert heard[-1]["type"] == "session.ended"
        counted = metrics(url)
        assert counted[("stream_erc_journal_errors_total",)] >= 1
        assert counted[("stream_erc_journal_lost_total",)] == 0
        process.terminate()
        assert await asyncio.to_thread(process.wait, TIMEOUT_S) == 0
    assert in_journal(path, heard) == as_kept(heard)


async def test_a_disk_that_does_not_answer_holds_no_session_for_long(
    served, monkeypatch
):
    answers = threading.Event()
    monkeypatch.setattr("stream_erc.archive.MAX_HELD_S", 0.05)
    monkeypatch.setattr(
        JournalFile, "append", lambda self, entries: answers.wait(TIMEOUT_S)
    )
    async with served() as (_, url):
        heard = await record(url, conversation(4))
        answers.set()
    assert of_type(heard, "emotion.final")


def test_a_server_with_a_journal_that_is_none_does_not_start(path):
    path.write_text("Dear Ann, this is no database.\n" * 100)
    command = [sys.executable, TESTS / "scripted_process.py", "serve", "--port", "0"]
    done = subprocess.run(
        [*command, "--journal", path],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"stream-erc: {path}: expected a usable journal")
    assert done.stderr.count("\n") == 1


# --- audio ------------------------------------------------------------------------


def wav_of(folder, heard):
    with wave.open(str(folder / f"{heard[0]['session_id']}.wav")) as file:
        assert file.getframerate() == 16_000
        return np.frombuffer(file.readframes(file.getnframes()), "<i2")


async def test_audio_is_kept_where_it_is_asked_for_and_the_client_is_told(
    served, tmp_path
):
    folder = tmp_path / "audio"
    said = join(TURN, sentence(0.123))
    stereo = {"encoding": "pcm_f32le", "sample_rate": 48_000, "channels": 2}
    async with served(file="", record=str(folder)) as (_, url):
        heard = await record(url, [said])
        other = await record(url, [said], encode=as_float32, audio=stereo)
    assert heard[0]["recorded"] is True
    assert (wav_of(folder, heard) == said).all()
    assert len(wav_of(folder, other)) == round(len(said) / 6)
    assert len(list(folder.iterdir())) == 2


async def test_after_a_kill_the_audio_can_be_read(path, tmp_path):
    folder = tmp_path / "audio"
    program = [TESTS / "scripted_process.py"]
    process, url = start_server("--record", str(folder), program=program)
    async with talk(url) as wire:
        said = join(sentence(3.0), silence(0.8))
        await wire.say(as_pcm16(said))
        await wire.hear_until("emotion.final")
        heard = wire.heard
        file = folder / f"{heard[0]['session_id']}.wav"
        await asyncio.to_thread(
            until, lambda: file.exists() and file.stat().st_size > 3 * 32_000
        )
        process.kill()
    process.wait(TIMEOUT_S)
    process.stdout.close()
    found = wav_of(folder, heard)
    assert len(found) >= 2 * 16_000
    assert (found == said[: len(found)]).all()
