"""A cluster on this machine: its nodes, and the processes of replicas."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

PROCESSES = Path("/proc")
LOOK_S = 0.05
STOP_TIMEOUT_S = 60.0


class Nodes:
    """A cluster of nodes on this machine.

    Attributes:
        address: Of its head.
        pid: Of the process that keeps it.
    """

    def __init__(self, address: str, process: asyncio.subprocess.Process) -> None:
        self.address = address
        self.pid = process.pid
        self._process = process

    async def add(self, n_cpus: int) -> None:
        """Add a node; waits until it is there."""
        await self._tell(f"add {n_cpus}")

    async def starve(self, n_cpus: int, n_bytes: int) -> None:
        """Add a node that kills its workers for want of memory.

        Args:
            n_cpus: As Ray counts them.
            n_bytes: So much more of the machine's memory must be in use for that.
        """
        await self._tell(f"starve {n_cpus} {n_bytes}")

    async def kill(self, number: int) -> None:
        """Kill a node, by the order in which they were added; the head is 0."""
        await self._tell(f"kill {number}")

    async def _tell(self, line: str) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(f"{line}\n".encode())
        answer = await self._process.stdout.readline()
        if answer != b"done\n":
            raise RuntimeError(f"{line}: expected done, got {answer!r}")


@asynccontextmanager
async def keep_nodes(python: str, *cpus: int) -> AsyncIterator[Nodes]:
    """Keep a cluster until the block ends.

    Args:
        python: An interpreter with Ray.
        cpus: Of each node, as Ray counts them; the head first.
    """
    process = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "benchmarks.cluster_programs.nodes",
        *map(str, cpus),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        address = (await process.stdout.readline()).decode().strip()
        if not address:
            raise RuntimeError("the cluster did not start")
        yield Nodes(address, process)
    finally:
        process.stdin.close()
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await process.wait()
        except TimeoutError:
            process.kill()


def find_replicas(root: int, desk: str) -> list[int]:
    """Give the processes of replicas below one process, the oldest first.

    Args:
        root: Of the server that has a Ray of its own, or that keeps the nodes.
        desk: "hear" or "understand".
    """
    return [pid for pid, title in list_below(root) if is_replica(title, desk)]


def is_replica(title: str, desk: str) -> bool:
    """Tell whether Ray names a process as it names a replica, loading or at work."""
    names = (f"{desk}:{desk}", f"{desk}#{desk}#")
    return title.startswith("ray::") and any(name in title for name in names)


def list_below(root: int) -> Iterator[tuple[int, str]]:
    """Give all processes that one process has started, with their titles."""
    parents: dict[int, int] = {}
    titles: dict[int, str] = {}
    for folder in PROCESSES.glob("[0-9]*"):
        with suppress(OSError):  # it may end meanwhile
            fields = (folder / "stat").read_text("utf-8").rpartition(")")[2].split()
            title = (folder / "cmdline").read_text("utf-8", errors="replace")
            pid = int(folder.name)
            parents[pid], titles[pid] = int(fields[1]), title
    for pid in sorted(titles):
        above = pid
        while above in parents and above != root:
            above = parents[above]
        if above == root and pid != root:
            yield pid, titles[pid]


async def kill_replica(root: int, desk: str) -> int:
    """Kill one replica, as soon as there is one; give its process."""
    while not (found := find_replicas(root, desk)):  # noqa: ASYNC110
        await asyncio.sleep(LOOK_S)
    os.kill(found[0], signal.SIGKILL)
    return found[0]
