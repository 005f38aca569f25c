"""The models on a real Ray: the same finals, also where replicas and nodes die.

Runs with an interpreter that has Ray: this one, or `build/cluster`, made once.
"""

import asyncio
import os
import re
import signal
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import recording
from recording import (
    agree,
    clip,
    join,
    metrics,
    of_type,
    page,
    record,
    results,
    silence,
)
from talking import ANGRY, CUTTER, SAD, conversation

from benchmarks.cluster_environment import find_python
from benchmarks.cluster_parts import find_replicas, keep_nodes, kill_replica
from benchmarks.serving import serving
from stream_erc.errors import ConfigError

pytestmark = pytest.mark.slow

START_S = 240.0  # of Ray and all replicas, on a busy machine
SMALL = [  # four replicas on two cores
    "--cluster.hearing_cpus=0.4",
    "--cluster.understanding_cpus=0.1",
    f"--cluster.start_s={START_S}",
    "--cluster.attempt_s=60",
    "--cluster.patience_s=240",
    "--limits.max_delay_s=120",
]
TWO = [
    "--cluster.hearing_min=2",
    "--cluster.hearing_max=2",
    "--cluster.understanding_min=2",
    "--cluster.understanding_max=2",
]
N_SESSIONS = 8
PARTITION_S = 20.0
SPARE_BYTES = 4_000_000_000  # what both nodes, gateway and replicas take, and more
GULP = b"\1" * 200_000_000
ANOTHER_RAY = (  # the same one under another name: two are not installed
    "import ray, sys; ray.__version__ = '2.0.0'; "
    "from stream_erc.__main__ import main; sys.exit(main())"
)
SCRIPT = [join(clip(name), silence(0.8)) for name in (ANGRY, SAD, CUTTER)]


@pytest.fixture(scope="module", autouse=True)
def patience():
    """For the next message, of clients of a pool that has lost half of itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "TIMEOUT_S", START_S)
        yield


@pytest.fixture(scope="module")
def python():
    try:
        return find_python()
    except ConfigError as error:
        pytest.skip(str(error))


@asynccontextmanager
async def ray_server(python, *options):
    async with serving(
        ["--engine", "ray", *SMALL, *options], python=python, timeout_s=START_S
    ) as server:
        yield server


async def hear_alone(script, **wishes):
    """What the local engine makes of it."""
    async with serving(["--limits.max_delay_s=120"]) as server:
        return results(await record(server.url, script, partials=False, **wishes))


def assert_whole(heard, expected):
    """Every final is there once, and is what it should be."""
    assert [message["seq"] for message in heard] == list(range(len(heard)))
    assert not of_type(heard, "warning", "error")
    for kind in ("transcript.final", "emotion.final"):
        numbers = [message["turn"] for message in of_type(heard, kind)]
        assert numbers == list(range(len(expected)))
    assert agree(results(heard), expected, 1e-4)


async def hold_sessions(url, expected, disturb, n_sessions=N_SESSIONS):
    """Hold sessions, all at once; disturb once the first final is told."""

    async def hold():
        heard = await record(url, SCRIPT, partials=False)
        assert_whole(heard, expected)

    async with asyncio.TaskGroup() as group:
        for _ in range(n_sessions):
            group.create_task(hold())
        await until_finals(url, 1)
        await disturb()


async def until_finals(url, n_more):
    """Wait until the server has told so many finals more."""

    def count():
        return sum(
            value
            for name, value in metrics(url).items()
            if name[0] == "stream_erc_finals_total"
        )

    before = await asyncio.to_thread(count)
    while await asyncio.to_thread(count) < before + n_more:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


async def test_finals_are_those_of_the_local_engine_whoever_dies(python):
    said = conversation()
    expected, alone = await hear_alone(said), await hear_alone(SCRIPT)
    async with ray_server(python, *TWO) as server:
        heard = await record(server.url, said, partials=False)
        assert agree(results(heard), expected, 1e-4)
        told = await record(server.url, said)  # partials change nothing
        assert agree(results(told), expected, 1e-4)

        async def disturb():
            for desk in ("hear", "understand", "hear"):
                await kill_replica(server.pid, desk)
                await until_finals(server.url, 2)

        await hold_sessions(server.url, alone, disturb)
        retries = "stream_erc_retries_total"
        counted = await asyncio.to_thread(metrics, server.url)
        assert counted[retries, "hear"] + counted[retries, "understand"] > 0


async def test_without_replicas_finals_wait_and_readyz_says_so(python):
    alone = await hear_alone(SCRIPT)
    async with ray_server(python) as server:
        assert await asyncio.to_thread(page, server.url, "/readyz") == (200, "ready\n")
        await kill_replica(server.pid, "hear")
        talking = asyncio.create_task(record(server.url, SCRIPT, partials=False))
        told = (200, "")
        while told[0] == 200:  # what Ray has replaced in time nobody missed
            assert not talking.done()
            await kill_replica(server.pid, "hear")
            told = await asyncio.to_thread(page, server.url, "/readyz")
        assert told == (503, "no replica answers\n")
        assert_whole(await talking, alone)
        while (await asyncio.to_thread(page, server.url, "/readyz"))[0] != 200:
            pass


async def test_who_is_cut_off_for_20_s_loses_no_final(python):
    """Stopped processes: as behind a cut network, all are there and none answers."""
    alone = await hear_alone(SCRIPT)
    # A call that stood still is no call that hangs.
    async with ray_server(python, "--engine.hang_s=100") as server:

        async def cut_off():
            replicas = [
                pid
                for desk in ("hear", "understand")
                for pid in find_replicas(server.pid, desk)
            ]
            for pid in replicas:
                os.kill(pid, signal.SIGSTOP)
            try:
                await asyncio.sleep(PARTITION_S)
                told = await asyncio.to_thread(page, server.url, "/readyz")
            finally:
                for pid in replicas:
                    os.kill(pid, signal.SIGCONT)
            assert told == (503, "no replica answers\n")

        await hold_sessions(server.url, alone, cut_off)
        while (await asyncio.to_thread(page, server.url, "/readyz"))[0] != 200:
            pass


async def test_nodes_die_and_come_and_a_second_gateway_joins(python):
    alone = await hear_alone(SCRIPT)
    # A node has room for one that hears, the head for none.
    async with keep_nodes(python, 1, 4, 4) as nodes:
        address = ["--address", nodes.address, "--asr.workers=2"]
        address += ["--cluster.hearing_cpus=3", "--cluster.understanding_cpus=0.5"]
        async with ray_server(python, *TWO, *address) as server:

            async def lose_one():
                assert len(find_replicas(nodes.pid, "hear")) == 2
                await nodes.kill(1)

            await hold_sessions(server.url, alone, lose_one)

            async def add_one():
                await nodes.add(4)
                while len(find_replicas(nodes.pid, "hear")) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)

            await hold_sessions(server.url, alone, add_one)
        async with ray_server(python, *address) as second:  # finds the pool
            assert second.ready_s < START_S
            assert_whole(await record(second.url, SCRIPT, partials=False), alone)
        other = refused(python, *address, "--gates.max_words_per_s=9")
        assert "cluster.pool: expected stream-erc.hear" in other


async def test_a_node_out_of_memory_costs_replicas_and_no_final(python):
    if spare_bytes() < 2 * SPARE_BYTES:
        pytest.skip(f"wants {2 * SPARE_BYTES / 1e9:g} GB of memory to spare")
    alone = await hear_alone(SCRIPT)
    async with keep_nodes(python, 1, 4) as nodes:
        await nodes.starve(4, SPARE_BYTES)
        address = ["--address", nodes.address, "--asr.workers=2"]
        address += ["--cluster.hearing_cpus=3", "--cluster.understanding_cpus=0.5"]
        async with ray_server(python, *TWO, *address) as server:
            hearing = find_replicas(nodes.pid, "hear")

            async def eat():
                eaten = []
                while set(hearing) <= set(find_replicas(nodes.pid, "hear")):
                    assert len(eaten) * len(GULP) < 2 * SPARE_BYTES
                    eaten.append(bytearray(GULP))
                    await asyncio.sleep(0.2)  # the node looks four times a second
                told = await asyncio.to_thread(page, server.url, "/readyz")
                assert told == (200, "ready\n")  # the other node has one of each

            await hold_sessions(server.url, alone, eat, n_sessions=2)
            log = stderr_of(server.pid)
            told = [line for line in log.splitlines() if "low on memory" in line]
            assert len(told) <= 2  # one for each replica that was being asked, if any
            assert "COMMAND" not in log  # those of other programs


async def test_a_node_without_memory_stops_the_start_with_one_line(python):
    async with keep_nodes(python, 1) as nodes:
        await nodes.starve(4, 0)
        told = await asyncio.to_thread(refused, python, "--address", nodes.address)
        assert "were killed due to the node running low on memory" in told


def stderr_of(pid):
    """What a process has told so far; its stderr is a file."""
    return Path(f"/proc/{pid}/fd/2").read_text()


def spare_bytes():
    """How much memory the machine has to give."""
    [line] = re.findall(r"MemAvailable: +(\d+) kB", Path("/proc/meminfo").read_text())
    return int(line) * 1024


async def test_another_ray_stops_the_start_with_one_line(python):
    async with keep_nodes(python, 1) as nodes:
        told = await asyncio.to_thread(
            refused, python, "--address", nodes.address, program=("-c", ANOTHER_RAY)
        )
        assert "got: Version mismatch: The cluster was started with: Ray: " in told
        assert "Ray: 2.0.0" in told


def test_no_cluster_at_the_address_stops_the_start_with_one_line(python):
    told = refused(python, "--address", "127.0.0.1:9")
    assert "cluster.address: expected a Ray cluster at '127.0.0.1:9'" in told


def test_no_room_for_replicas_stops_the_start_with_one_line(python):
    told = refused(python, "--cluster.hearing_cpus=64", "--cluster.start_s=20")
    assert "cluster: expected replicas within 20 s" in told


def refused(python, *arguments, program=("-m", "stream_erc")):
    """Start the gateway, which must end before a socket opens; give its line."""
    done = subprocess.run(
        [python, *program, "serve", "--engine", "ray", *arguments],
        capture_output=True,
        text=True,
        timeout=START_S,
        cwd=Path(__file__).parents[1],
    )
    assert (done.returncode, done.stdout) == (2, ""), done.stderr
    [line] = [one for one in done.stderr.splitlines() if one.startswith("stream-erc: ")]
    assert len(line) < 1000
    return line
