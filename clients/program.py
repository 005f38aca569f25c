"""A client's coroutine -> its exit code, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager

from clients.errors import ClientError
from clients.lines import clean

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def complain(problem: object) -> None:
    """Say on stderr what is wrong."""
    for line in str(problem).splitlines():
        print(clean(line), file=sys.stderr, flush=True)


@contextmanager
def interrupt_calls(stop: Callable[[], object]) -> Iterator[None]:
    """Let the first Ctrl-C call `stop` on the loop; the second is the usual one.

    Signals reach the main thread alone; in another one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    loop = asyncio.get_running_loop()
    before = signal.getsignal(signal.SIGINT)

    def take(*_: object) -> None:
        signal.signal(signal.SIGINT, before)
        loop.call_soon_threadsafe(stop)

    signal.signal(signal.SIGINT, take)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def run(program: Coroutine[None, None, int]) -> int:
    """Run a program; an error of ours becomes one line on stderr.

    Returns:
        What the program returned; `FAILED` or `INTERRUPTED` if it came to no end.
    """
    for stream in (sys.stdout, sys.stderr):
        # Words are Unicode, a terminal may not be: better a "?" than a traceback.
        getattr(stream, "reconfigure", lambda **_: None)(errors="replace")
    try:
        return asyncio.run(program)
    except ClientError as error:
        complain(error)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # whoever read stdout has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
