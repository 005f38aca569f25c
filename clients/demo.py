"""A server of its own and a recorded conversation, played at the pace of life.

Twelve turns of three actors, each with one feeling; about 40 seconds. The last column
of the table is what the actor was asked to show; the line below counts how often the
server agrees. The sentences say nothing of it: the voice alone does. With --keep the
server and its page stay until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from clients.errors import ClientError, ServerFailed
from clients.program import FAILED, FINE, complain, run
from clients.replay import ReplayConfig, replay
from clients.sources import Line, read_corpus

CORPUS = Path(__file__).parents[1] / "tests" / "audio" / "demo.jsonl"
GAP_S = 0.8  # voice to voice 1.0 s: the margins of the clips are 0.1 s each
READY = "listening on "
READY_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 15.0
DEATH_TIMEOUT_S = 1.0
SERVE = (sys.executable, "-m", "stream_erc", "serve", "--port", "0")


async def demonstrate(
    corpus: Path = CORPUS, speed: float | None = 1.0, *, keep: bool = False
) -> int:
    """Play the conversation into a fresh server and give the exit code.

    Args:
        corpus: The conversation.
        speed: Times the pace of life; None: as fast as it goes.
        keep: Leave the server open until the task is cancelled.
    """
    found = list(read_corpus(corpus))
    lines = [line for line in found if isinstance(line, Line)]
    for problem in found:
        if not isinstance(problem, Line):
            complain(problem)
    if not lines:
        return FAILED
    print("starting the server …", flush=True)
    async with serving() as url:
        print(f"the page: {page_of(url)}", flush=True)
        outcome = await replay([lines], ReplayConfig(url=url, speed=speed, gap_s=GAP_S))
        if keep:
            print(f"the page stays at {page_of(url)} until Ctrl-C", flush=True)
            await asyncio.Event().wait()
    if outcome.n_finals < len(found):
        complain(f"expected {len(found)} turns, got {outcome.n_finals}")
        return FAILED
    return FINE


def page_of(url: str) -> str:
    """Give the address of the browser client beside a stream."""
    parts = urlsplit(url)
    scheme = "https" if parts.scheme == "wss" else "http"
    return f"{scheme}://{parts.netloc}/"


@asynccontextmanager
async def serving() -> AsyncIterator[str]:
    """Run a server on a free port, and give its URL.

    Raises:
        ServerFailed: If it does not start, or has not stopped as it should.
    """
    with tempfile.TemporaryFile() as log:  # a pipe that nobody reads would fill up
        server = await asyncio.create_subprocess_exec(
            *SERVE, stdout=asyncio.subprocess.PIPE, stderr=log
        )
        try:
            url = await wait_until_ready(server, log, READY_TIMEOUT_S)
            assert server.stdout is not None
            draining = asyncio.create_task(server.stdout.read())
            try:
                yield url
            except ClientError as error:
                if await has_died(server):
                    raise ServerFailed(describe_death(server, log)) from error
                raise
        finally:
            await stop(server)
        await draining
        if server.returncode:
            raise ServerFailed(describe_death(server, log))


async def has_died(server: asyncio.subprocess.Process) -> bool:
    """Tell whether a server that broke a session off is gone altogether."""
    with suppress(TimeoutError):
        async with asyncio.timeout(DEATH_TIMEOUT_S):
            await server.wait()
    return server.returncode is not None


async def wait_until_ready(
    server: asyncio.subprocess.Process,
    log: IO[bytes],
    timeout_s: float,
) -> str:
    """Wait for the line in which the server says where it listens.

    Raises:
        ServerFailed: If it ends or takes too long.
    """
    assert server.stdout is not None
    try:
        async with asyncio.timeout(timeout_s):
            async for raw in server.stdout:
                line = raw.decode(errors="replace").strip()
                if line.startswith(READY):
                    return line.removeprefix(READY)
            await server.wait()
    except TimeoutError as error:
        raise ServerFailed(
            f"the server was not ready within {timeout_s:.0f} s"
        ) from error
    raise ServerFailed(describe_death(server, log))


async def stop(server: asyncio.subprocess.Process) -> None:
    """Ask the server to stop; make it, if it takes too long."""
    with suppress(ProcessLookupError):  # it may be gone by now
        server.terminate()
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await server.wait()
    finally:  # also where a second Ctrl-C cuts the waiting short
        with suppress(ProcessLookupError):
            server.kill()
    await server.wait()


def describe_death(server: asyncio.subprocess.Process, log: IO[bytes]) -> str:
    """Say how the server ended, and what it wrote to stderr."""
    log.seek(0)
    told = log.read().decode(errors="replace").strip()
    return f"the server ended with exit code {server.returncode}: {told}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the demo and give its exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m clients.demo",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--keep", action="store_true", help="leave the server and its page open"
    )
    return run(demonstrate(keep=parser.parse_args(argv).keep))


if __name__ == "__main__":
    sys.exit(main())
