"""A TCP proxy in front of a server that cuts, stalls and slows."""

from __future__ import annotations

import asyncio
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from stream_erc import events

CHUNK_BYTES = 4096


class RoughNetwork:
    """What lies between a client and its server.

    Args:
        target: Host and port of the server.

    Attributes:
        url: Where a client dials.
        budgets: Bytes that each next connection carries, both ways together, before it
            is cut wherever that may be; once there are none, nothing is cut.
        n_cuts: How many connections were cut.
        bytes_per_s: Of each way of each connection; None: without a limit.
        is_open: While it is not set, connections are made and nothing is carried.
        is_there: While it is false, connections are refused.
    """

    def __init__(self, target: tuple[str | None, int | None]):
        """Lie in front of `target`; `rough_network` opens it."""
        self.url = ""
        self.budgets: list[int] = []
        self.n_cuts = 0
        self.bytes_per_s: float | None = None
        self.is_open = asyncio.Event()
        self.is_open.set()
        self.is_there = True
        self._target = target
        self._cuts: set[Callable[[], None]] = set()  # of the connections there are

    def cut(self) -> None:
        """Cut every connection there is."""
        for cut in list(self._cuts):
            cut()

    async def carry(self, reader: StreamReader, writer: StreamWriter) -> None:
        """Carry one connection until one end closes it, or it is cut."""
        if not self.is_there:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(*self._target)
        budget = [self.budgets.pop() if self.budgets else sys.maxsize]

        def cut() -> None:
            if cut not in self._cuts:
                return
            self.n_cuts += 1
            self._cuts.remove(cut)
            writer.transport.abort()
            far_writer.transport.abort()

        self._cuts.add(cut)
        ways = [(reader, far_writer), (far_reader, writer)]
        await asyncio.gather(*(self._pump(*way, budget, cut) for way in ways))
        self._cuts.discard(cut)
        for end in (writer, far_writer):
            end.close()

    async def _pump(
        self,
        reader: StreamReader,
        writer: StreamWriter,
        budget: list[int],
        cut: Callable[[], None],
    ) -> None:
        try:
            while chunk := await reader.read(CHUNK_BYTES):
                await self.is_open.wait()
                if self.bytes_per_s:
                    await asyncio.sleep(len(chunk) / self.bytes_per_s)
                writer.write(chunk[: min(len(chunk), max(0, budget[0]))])
                budget[0] -= len(chunk)
                if budget[0] < 0:
                    if not writer.transport.is_closing():
                        await writer.drain()
                        cut()
                    return
                await writer.drain()
            writer.write_eof()
        except OSError:
            pass  # cut


@asynccontextmanager
async def rough_network(url: str) -> AsyncIterator[RoughNetwork]:
    """Put a network in front of the server at `url`."""
    target = urlsplit(url)
    network = RoughNetwork((target.hostname, target.port))
    async with await asyncio.start_server(network.carry, "127.0.0.1", 0) as proxy:
        network.url = "ws://{}:{}{}".format(
            *proxy.sockets[0].getsockname()[:2], events.PATH
        )
        try:
            yield network
        finally:
            network.is_open.set()
            network.cut()
