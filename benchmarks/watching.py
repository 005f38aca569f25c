"""Who used the processors meanwhile, and whether the client was late itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.report import Spread
from benchmarks.serving import Buckets, RunningServer, bound_quantile, read_busy_s

LAG_INTERVAL_S = 0.05  # as the server measures its own
HONEST_LAG_MS = 10.0  # a client later than this measures itself
QUIET_CORES = 0.1  # what an idle system needs, and no more
SYSTEM_STAT = Path("/proc/stat")


@dataclass(frozen=True, slots=True)
class Clocks:
    """The wall clock and processor times, in seconds; None where the system hides it.

    Attributes:
        wall_s: Monotonic.
        client_s: Of this program.
        server_s: Of the server.
        busy_s: Of all processors together.
    """

    wall_s: float
    client_s: float
    server_s: float | None
    busy_s: float | None


@dataclass(slots=True)
class Watch:
    """What was seen of the server, the client and the machine between two moments.

    Attributes:
        wall_s: How long.
        server_cores: Processor time of the server for each second.
        client_cores: Likewise of this program.
        other_cores: Likewise of whatever else ran on the machine.
        loop_lag_ms: Upper bound of the p99 of the server's event loop.
        client_lag_ms: How late this program's event loop was, and so all its figures.
    """

    wall_s: float = 0.0
    server_cores: float | None = None
    client_cores: float | None = None
    other_cores: float | None = None
    loop_lag_ms: float | None = None
    client_lag_ms: list[float] = field(default_factory=list)

    def note(self, before: Clocks, after: Clocks) -> None:
        """Note who used the processors."""
        self.wall_s = after.wall_s - before.wall_s
        client_s = after.client_s - before.client_s
        self.client_cores = client_s / self.wall_s
        if before.server_s is None or after.server_s is None:
            return
        server_s = after.server_s - before.server_s
        self.server_cores = server_s / self.wall_s
        if before.busy_s is not None and after.busy_s is not None:
            busy_s = after.busy_s - before.busy_s
            self.other_cores = max(0.0, busy_s - server_s - client_s) / self.wall_s


@asynccontextmanager
async def watching(server: RunningServer) -> AsyncIterator[Watch]:
    """Watch everybody until the block ends."""
    watch = Watch()
    task = asyncio.create_task(watch_loop(watch.client_lag_ms))
    lag_before = await ask_lag(server)
    before = read_clocks(server)
    try:
        yield watch
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    watch.note(before, read_clocks(server))
    lag_s = bound_quantile(lag_before, await ask_lag(server), 0.99)
    watch.loop_lag_ms = None if lag_s is None else lag_s * 1000


async def ask_lag(server: RunningServer) -> Buckets:
    """Ask how late the server's event loop was; nothing where it does not answer."""
    try:
        return await server.loop_lag()
    except OSError:
        return {}


async def watch_loop(lag_ms: list[float]) -> None:
    """Note, until cancelled, how late this program's own event loop is."""
    loop = asyncio.get_running_loop()
    while True:
        due_s = loop.time() + LAG_INTERVAL_S
        await asyncio.sleep(LAG_INTERVAL_S)
        lag_ms.append(max(0.0, loop.time() - due_s) * 1000)


def read_clocks(server: RunningServer) -> Clocks:
    """Read the wall clock and the processor times."""
    return Clocks(
        time.monotonic(), time.process_time(), server.cpu_s(), read_busy_s(SYSTEM_STAT)
    )


def warn_of_client(lag_ms: Spread) -> None:
    """Say so where the client's delay could be mistaken for the server's."""
    if lag_ms.p99 is not None and lag_ms.p99 > HONEST_LAG_MS:
        print(
            f"CAUTION: this client's event loop was {lag_ms.p99:.0f} ms late (p99); "
            f"so much of the figures may be its own delay\n"
        )


def warn_of_others(cores: float | None) -> None:
    """Say so where the machine was not the server's own."""
    if cores is not None and cores > QUIET_CORES:
        print(f"CAUTION: other programs used {cores:.2f} cores meanwhile\n")
