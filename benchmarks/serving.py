"""The server as a process of its own, and what it and the system say of it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from clients.demo import describe_death, stop, wait_until_ready
from clients.errors import ServerFailed

PROGRAM = ("-m", "stream_erc")
LAG_METRIC = "stream_erc_loop_lag_seconds"
READY_TIMEOUT_S = 60.0
HTTP_TIMEOUT_S = 5.0

Buckets = dict[float, float]
"""A histogram of Prometheus: upper bound in seconds -> values up to it."""


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server to measure.

    Attributes:
        url: Of its WebSocket.
        pid: Of its process; None where somebody else started it.
        ready_s: From its start to the first 200 of `/readyz`; None likewise.
    """

    url: str
    pid: int | None = None
    ready_s: float | None = None

    async def get(self, path: str) -> str:
        """Fetch a page from the same port.

        Raises:
            OSError: If there is none, or its status is not 200.
        """
        parts = urlsplit(self.url)
        scheme = "https" if parts.scheme == "wss" else "http"
        page = f"{scheme}://{parts.netloc}{path}"
        return await asyncio.to_thread(fetch, page)

    async def loop_lag(self) -> Buckets:
        """Give how late its event loop has been since its start."""
        return read_histogram(await self.get("/metrics"), LAG_METRIC)

    def resident_mb(self) -> float | None:
        """Give its resident memory, in units of 10^6 bytes."""
        return read_resident_mb(Path(f"/proc/{self.pid}/status"))

    def cpu_s(self) -> float | None:
        """Give the processor time that it has used."""
        file = Path(f"/proc/{self.pid}/stat")
        if not file.exists():
            return None
        # Behind the name, which may hold spaces: utime and stime, in ticks (proc(5)).
        fields = file.read_text(encoding="utf-8").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def has_torch(self) -> bool | None:
        """Tell whether its process has torch's libraries loaded."""
        file = Path(f"/proc/{self.pid}/maps")
        if not file.exists():
            return None
        return "libtorch" in file.read_text(encoding="utf-8")


def read_busy_s(stat: Path) -> float | None:
    """Read how long all processors together have worked (proc(5), line `cpu`)."""
    if not stat.exists():
        return None
    user, nice, system, _, _, irq, softirq, steal, *_ = (
        int(ticks) for ticks in stat.read_text("utf-8").splitlines()[0].split()[1:]
    )
    ticks_worked = user + nice + system + irq + softirq + steal
    return ticks_worked / os.sysconf("SC_CLK_TCK")


def fetch(page: str) -> str:
    """Fetch a page over HTTP."""
    with urllib.request.urlopen(page, timeout=HTTP_TIMEOUT_S) as answer:
        text: bytes = answer.read()
    return text.decode()


def read_resident_mb(status: Path) -> float | None:
    """Read VmRSS, which the kernel gives in KiB."""
    if not status.exists():
        return None
    found = re.search(r"^VmRSS:\s*(\d+) kB", status.read_text("utf-8"), re.MULTILINE)
    return int(found[1]) * 1024 / 1e6 if found else None


def read_histogram(text: str, name: str) -> Buckets:
    """Find a histogram without labels in Prometheus' text format."""
    pattern = rf'^{name}_bucket{{le="([^"]+)"}} (\S+)$'
    return {
        float(bound): float(count)
        for bound, count in re.findall(pattern, text, re.MULTILINE)
    }


def bound_quantile(before: Buckets, after: Buckets, share: float) -> float | None:
    """Give the upper bound of the bucket that holds a quantile of the new values.

    Returns:
        Seconds, infinite beyond the last bound; None if there are no new values.
    """
    counts = {bound: after[bound] - before.get(bound, 0.0) for bound in sorted(after)}
    total = max(counts.values(), default=0.0)
    if total == 0:
        return None
    return next(bound for bound, count in counts.items() if count >= share * total)


@asynccontextmanager
async def serving(
    options: Sequence[str] = (),
    program: Sequence[str] = PROGRAM,
    *,
    python: str = sys.executable,
    timeout_s: float = READY_TIMEOUT_S,
) -> AsyncIterator[RunningServer]:
    """Run a server on a free port until the block ends.

    Args:
        options: Further ones of its command line.
        program: What stands before `serve` there.
        python: The interpreter that runs it.
        timeout_s: How long it may take to listen, and to be ready.

    Raises:
        ServerFailed: If it does not start.
    """
    command = [python, *program, "serve", "--port", "0", *options]
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would fill up
        started_s = time.monotonic()
        process = await asyncio.create_subprocess_exec(
            *command, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        try:
            url = await wait_until_ready(process, log, timeout_s)
            server = RunningServer(url, process.pid)
            await wait_for_readyz(server, timeout_s)
            ready_s = time.monotonic() - started_s
            yield RunningServer(url, process.pid, ready_s)
        finally:
            await stop(process)
        if process.returncode:
            raise ServerFailed(describe_death(process, log))


async def wait_for_readyz(
    server: RunningServer, timeout_s: float = READY_TIMEOUT_S
) -> None:
    """Ask until the server says that it is ready.

    Raises:
        ServerFailed: If it takes too long.
    """
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                try:
                    await server.get("/readyz")
                    return
                except (urllib.error.HTTPError, urllib.error.URLError):
                    await asyncio.sleep(0.02)  # the time is told to 0.1 s
    except TimeoutError as error:
        raise ServerFailed(
            f"expected 200 from /readyz within {timeout_s:.0f} s"
        ) from error
