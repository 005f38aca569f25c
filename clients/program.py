"""A client's coroutine -> its exit code, whatever goes wrong on the way."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine

from clients.errors import ClientError
from clients.lines import clean

FINE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


def complain(problem: object) -> None:
    """Say on stderr what is wrong."""
    for line in str(problem).splitlines():
        print(clean(line), file=sys.stderr, flush=True)


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
