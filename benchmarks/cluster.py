"""What Ray costs over the local engine, and what a killed replica costs.

python -m benchmarks.cluster [--rounds 40] [--kills 10] [--sessions 4]

Both engines run in servers of their own at the same time and answer in turn, so that
whatever else the machine does meets both alike. A session says a recorded sentence and
asks with `turn.flush` for its final at once: the wait has all the work of a final, and
what carries it to and fro. Then sessions talk while replicas are killed, one after the
other, of both kinds in turn; what they are told is held against an undisturbed session.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.cluster_environment import find_python
from benchmarks.cluster_parts import find_replicas, kill_replica
from benchmarks.options import run_benchmark
from benchmarks.report import (
    Spread,
    Target,
    describe_machine,
    describe_version,
    print_document,
    print_spreads,
    print_table,
    print_targets,
    spread,
)
from benchmarks.serving import RunningServer, serving
from benchmarks.verdict import (
    PAUSE_S,
    Scene,
    Verdict,
    converse,
    has_ended,
    judge,
    read_scene,
)
from clients.connection import connect
from clients.sources import FORMAT, RATE_HZ
from stream_erc import events
from stream_erc.config import DEFAULT_MODEL

READY_TIMEOUT_S = 240.0
DESKS = ("hear", "understand")
PATIENT = "--limits.max_delay_s=60"
POOL = (
    "--engine=ray",
    f"--cluster.start_s={READY_TIMEOUT_S}",
    "--cluster.hearing_cpus=0.4",
    "--cluster.understanding_cpus=0.1",
    "--cluster.hearing_min=2",
    "--cluster.hearing_max=2",
    "--cluster.understanding_min=2",
    "--cluster.understanding_max=2",
    PATIENT,
)
N_REPLICAS = 2  # of each kind
N_TURNS = 8
N_BEFORE = 6  # finals before the first kill
CHUNK_S = 0.02  # waited before every 40 ms: twice as fast as life
LOADING_S = 5.0  # from a replica's process to its models
TARGET_OVERHEAD_MS = 15.0
TARGET_RECOVERY_S = 10.0


@asynccontextmanager
async def both_servers(python: str) -> AsyncIterator[dict[str, RunningServer]]:
    """Run a server of each engine."""
    async with (
        serving([PATIENT]) as local,
        serving(POOL, python=python, timeout_s=READY_TIMEOUT_S) as pool,
    ):
        yield {"local": local, "ray": pool}


# --- the cost -------------------------------------------------------------------


async def time_final(url: str, turn: bytes) -> tuple[float, float]:
    """Say a turn and flush it; give what its final took, and the models' share.

    Returns:
        Milliseconds from the first sample to `emotion.final`, all sent at once; and of
        them those that the server counts for its models and the way to them.
    """
    async with connect(url, audio=FORMAT, partials=False) as connection:
        began_s = time.perf_counter()
        await connection.send_audio(turn)
        await connection.flush_turn()
        await connection.end()
        timed = None
        async for event in connection:
            if isinstance(event, events.EmotionFinal) and timed is None:
                waited_ms = (time.perf_counter() - began_s) * 1000
                timed = waited_ms, event.latency.compute_ms + event.latency.queue_ms
    if timed is None:
        raise RuntimeError("the session ended without a final")
    return timed


async def compare(
    servers: dict[str, RunningServer], scene: Scene, n_rounds: int
) -> dict[str, list[tuple[float, float]]]:
    """Let the engines answer in turn; give the times of each, in the same order."""
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    for number in range(n_rounds + 1):
        turn = scene.turns[number % len(scene.turns)][: -round(PAUSE_S * RATE_HZ) * 2]
        for name, server in servers.items():
            timed = await time_final(server.url, turn)
            if number:  # the first warms up
                times[name].append(timed)
    return times


def spread_costs(times: dict[str, list[tuple[float, float]]]) -> dict[str, Spread]:
    """Give the spreads of both engines, and of their difference, pair by pair."""
    spreads = {}
    for column, what in enumerate(("final", "models and way")):
        values = {name: [row[column] for row in rows] for name, rows in times.items()}
        for name, one in values.items():
            spreads[f"{name}: {what}"] = spread(one)
        pairs = zip(values["ray"], values["local"], strict=True)
        spreads[f"ray - local: {what}"] = spread([ray - own for ray, own in pairs])
    return spreads


# --- kills ----------------------------------------------------------------------


@dataclass(slots=True)
class Kills:
    """What kills did.

    Attributes:
        verdict: Of all sessions.
        n_sessions: Held.
        n_broken: Of them that did not come to their good end.
        first_ms: What the final took that was asked for right after each kill.
        recovery_s: From each kill to the first final that took no longer than twice
            the longest of those before.
    """

    verdict: Verdict = field(default_factory=Verdict)
    n_sessions: int = 0
    n_broken: int = 0
    first_ms: list[float] = field(default_factory=list)
    recovery_s: list[float] = field(default_factory=list)


async def kill(
    server: RunningServer, scene: Scene, n_kills: int, n_sessions: int
) -> Kills:
    """Kill replicas among talking sessions."""
    told = Kills()
    is_over = asyncio.Event()

    async def talk() -> None:
        while not is_over.is_set():
            heard = await converse(server.url, scene.audio, chunk_s=CHUNK_S)
            told.n_sessions += 1
            told.n_broken += not has_ended(heard)
            told.verdict += judge(heard, scene.words)

    async with asyncio.TaskGroup() as group:
        for _ in range(n_sessions):
            group.create_task(talk(), name="talk")
        turn = scene.turns[0]
        before = [(await time_final(server.url, turn))[0] for _ in range(N_BEFORE)]
        for number in range(n_kills):
            await kill_once(server, DESKS[number % 2], turn, 2 * max(before), told)
        is_over.set()
    return told


async def kill_once(
    server: RunningServer, desk: str, turn: bytes, usual_ms: float, told: Kills
) -> None:
    """Kill one replica, and ask until answers take what they usually take."""
    assert server.pid is not None
    while len(find_replicas(server.pid, desk)) < N_REPLICAS:  # noqa: ASYNC110
        await asyncio.sleep(CHUNK_S)
    await asyncio.sleep(LOADING_S)
    await kill_replica(server.pid, desk)
    killed_s = time.monotonic()
    waits_ms: list[float] = []
    while not waits_ms or waits_ms[-1] > usual_ms:
        waits_ms.append((await time_final(server.url, turn))[0])
    told.first_ms.append(waits_ms[0])
    told.recovery_s.append(time.monotonic() - killed_s)


# --- report ---------------------------------------------------------------------


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    python = find_python()
    scene = read_scene(N_TURNS)
    async with both_servers(python) as servers:
        heard = await converse(servers["local"].url, scene.audio)
        finals = [one for one in heard if isinstance(one, events.TranscriptFinal)]
        scene = replace(scene, words=tuple(final.text for final in finals))
        costs = spread_costs(await compare(servers, scene, options.rounds))
        told = await kill(servers["ray"], scene, options.kills, options.sessions)
        ready = {name: server.ready_s for name, server in servers.items()}
    report(options, machine, costs, told, ready)
    return 0


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    costs: dict[str, Spread],
    told: Kills,
    ready: dict[str, float | None],
) -> None:
    """Print the tables, the targets and the last line."""
    print_spreads("ms of one final", costs)
    after = {"first_ms": spread(told.first_ms), "recovery_s": spread(told.recovery_s)}
    print_spreads("after a kill", after)
    counts = {
        "kills": options.kills,
        "sessions": told.n_sessions,
        "sessions_broken": told.n_broken,
        **asdict(told.verdict),
    }
    print_table(tuple(counts), [tuple(counts.values())])
    verdict = told.verdict
    targets = [
        Target("overhead of a final, p95, ms", overhead_ms(costs), TARGET_OVERHEAD_MS),
        Target("finals lost", verdict.lost, 0.0),
        Target("finals doubled", verdict.doubled, 0.0),
        Target("turns with other words", verdict.altered, 0.0),
        Target("turns without a model", verdict.without_model, 0.0),
        Target("recovery, p95, s", after["recovery_s"].p95, TARGET_RECOVERY_S),
    ]
    print_targets(targets)
    print(f"machine load before: {machine['load_1_min']}")
    conditions = {
        "machine": machine,
        "version": describe_version(DEFAULT_MODEL),
        "settings": vars(options),
    }
    figures = {"costs": costs, "after_kill": after, "kills": counts, "ready_s": ready}
    print_document("cluster", conditions, figures, targets)


def overhead_ms(costs: dict[str, Spread]) -> float | None:
    """Give how much later Ray's p95 is than that of the local engine."""
    ray, local = costs["ray: final"].p95, costs["local: final"].p95
    return None if ray is None or local is None else ray - local


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        "python -m benchmarks.cluster", description="What Ray costs, and kills."
    )
    parser.add_argument("--rounds", type=int, default=40, help="finals of each engine")
    parser.add_argument("--kills", type=int, default=10, help="of replicas")
    parser.add_argument("--sessions", type=int, default=4, help="that talk meanwhile")
    options = parser.parse_args()
    for name in ("rounds", "kills", "sessions"):
        if getattr(options, name) < 1:
            parser.error(f"--{name}: expected at least 1, got {getattr(options, name)}")
    return options


if __name__ == "__main__":
    sys.exit(run_benchmark(measure(read_options())))
