"""Faults at the server: hostile and too many clients, a kill, models that fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from math import inf
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed

from benchmarks.dialogues import COMMITTED
from benchmarks.mixture import read_material
from benchmarks.nasty_frames import FIRSTS, RAW, TEXTS
from benchmarks.overload import recover
from benchmarks.serving import serving
from benchmarks.sockets import drain, open_started
from benchmarks.verdict import (
    FINALS,
    Injection,
    Scene,
    Verdict,
    converse,
    has_ended,
    judge,
)
from clients.errors import ConnectionFailed, ServerFailed
from clients.opening import open_socket
from stream_erc import events
from stream_erc.journal_file import Selection, read_entries

FULL = 1013
MOST, TIMES = 4, 10
ACTORS = (21, 22, 23, 24)
N_KILLED = 4  # sessions
SEEN_BEFORE_KILL = 3 * N_KILLED  # finals
CHUNK_S = 0.02
HANG_S = 8.0  # above what a turn takes on a busy machine
# Sessions that say all at once keep the models busy; others must come in beside them.
PATIENT = "--limits.max_delay_s=60"

Heard = Sequence[events.ServerEvent]


# --- clients --------------------------------------------------------------------


async def attack(scene: Scene) -> Injection:
    """Send all the nasty frames there are, beside a session that says its turns."""
    async with serving([PATIENT]) as server:
        beside = asyncio.create_task(converse(server.url, scene.audio))
        answers = [
            *await send_texts(server.url),
            *[await send_first(server.url, *one) for one in FIRSTS.values()],
            *[await send_raw(server.url, *one) for one in RAW.values()],
        ]
        heard = await beside
    n_right = sum(answers) if has_ended(heard) else 0
    return Injection(len(answers), n_right, judge(heard, scene.words))


async def send_texts(url: str) -> list[bool]:
    """Send all texts in one session; tell of each whether its answer was right."""
    answers = []
    socket = await open_started(url)
    try:
        for text, code in TEXTS.values():
            await socket.send(text)
            await socket.send(events.encode(events.MarkerSet(id="next")))
            codes = []
            while (message := json.loads(await socket.recv()))["type"] != "marker":
                codes += [message["code"]] if message["type"] == "error" else []
            answers.append(codes == ([code] if code else []))
    except ConnectionClosed:
        answers += [False] * (len(TEXTS) - len(answers))
    finally:
        await socket.close()
    return answers


async def send_first(url: str, message: str | bytes, code: str) -> bool:
    """Send it as a first message; tell whether the error was right."""
    socket = await open_socket(url)
    await socket.send(message)
    told = [json.loads(text) for text in await drain(socket)]
    return [one.get("code") for one in told] == [code]


async def send_raw(url: str, raw: bytes, code: int) -> bool:
    """Send raw bytes in a session; tell whether it was closed rightly."""
    socket = await open_started(url)
    socket.transport.write(raw)
    await drain(socket)
    return socket.close_code == code


async def overload(scene: Scene) -> Injection:
    """Ask for ten times as many sessions as are let in, all at once; then come anew."""
    async with serving([f"--limits.max_sessions={MOST}"]) as server:
        crowd = await asyncio.gather(
            *(converse(server.url, scene.audio) for _ in range(TIMES * MOST)),
            return_exceptions=True,
        )
        recovered_s = await recover(server, read_material(COMMITTED, ACTORS))
    served = [heard for heard in crowd if isinstance(heard, list)]
    n_refused = sum(
        isinstance(error, ConnectionFailed) and error.close_code == FULL
        for error in crowd
    )
    verdict = sum((judge(heard, scene.words) for heard in served), Verdict())
    n_survived = n_refused + sum(has_ended(heard) for heard in served)
    note = f"{len(served)} let in, {n_refused} told to come again"
    figures = {"recovered_s": inf if recovered_s is None else recovered_s}
    return Injection(TIMES * MOST, n_survived, verdict, note, figures)


# --- a kill ---------------------------------------------------------------------


async def kill(scene: Scene) -> Injection:
    """Kill a server with a journal among its sessions, then start it again.

    Lost is what a client saw and the journal has not, doubled what it has twice.
    """
    told: list[list[events.ServerEvent]] = [[] for _ in range(N_KILLED)]
    with tempfile.TemporaryDirectory() as folder:
        journal = Path(folder) / "journal"
        # A client whose server is gone for good need not wait for it.
        options = [PATIENT, f"--journal={journal}", "--server.resume_window_s=0"]
        try:
            async with serving(options) as server, asyncio.TaskGroup() as group:
                for heard in told:
                    group.create_task(
                        converse(server.url, scene.audio, chunk_s=CHUNK_S, heard=heard)
                    )
                while sum(map(count_finals, told)) < SEEN_BEFORE_KILL:  # noqa: ASYNC110
                    await asyncio.sleep(CHUNK_S)
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                with suppress(ProcessLookupError):  # until asyncio has buried it
                    while True:
                        os.kill(server.pid, 0)
                        await asyncio.sleep(CHUNK_S)
        except ServerFailed:
            if not any(told):
                raise
        async with serving(options) as server:
            told.append(await converse(server.url, scene.audio))
            ready_s = server.ready_s
        kept = read_finals(journal)
    verdict = judge(told[-1], scene.words) + compare(told, kept)
    note = f"{sum(kept.values())} finals kept"
    figures = {"ready_s": ready_s}
    return Injection(1, int(has_ended(told[-1])), verdict, note, figures)


def count_finals(heard: Heard) -> int:
    """Count the finals that a client has."""
    return sum(isinstance(event, FINALS) for event in heard)


def read_finals(journal: Path) -> Counter[tuple[str, Any, Any]]:
    """Count the finals of a journal by session, type and turn."""
    kept: Counter[tuple[str, Any, Any]] = Counter()
    for entry in read_entries(journal, Selection()):
        message = json.loads(entry.message)
        if message["type"] in {kind.__struct_config__.tag for kind in FINALS}:
            kept[entry.session_id, message["type"], message["turn"]] += 1
    return kept


def compare(told: Sequence[Heard], kept: Counter[tuple[str, Any, Any]]) -> Verdict:
    """Hold what clients saw against what was kept."""
    seen = set()
    for heard in told:
        opened = heard[0]
        assert isinstance(opened, events.SessionStarted)
        seen |= {
            (opened.session_id, event.__struct_config__.tag, event.turn)
            for event in heard
            if isinstance(event, FINALS)
        }
    return Verdict(
        expected=len(seen),
        lost=len(seen - set(kept)),
        doubled=sum(count - 1 for count in kept.values()),
    )


# --- models ---------------------------------------------------------------------


async def spoil(scene: Scene, method: str, fault: str) -> Injection:
    """Let a model fail once, at one of two sessions at the same time."""
    program = ("-m", "benchmarks.faulty_server", method, fault)
    async with serving([PATIENT, f"--engine.hang_s={HANG_S}"], program) as server:
        both = await asyncio.gather(
            *(converse(server.url, scene.audio) for _ in range(2))
        )
    verdicts = [judge(heard, scene.words) for heard in both]
    is_survived = all(map(has_ended, both))
    warnings = (one for heard in both for one in heard if isinstance(one, events.Warn))
    note = ", ".join(sorted({warning.code for warning in warnings}))
    return Injection(1, int(is_survived), sum(verdicts, Verdict()), note)
