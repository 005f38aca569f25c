"""What may never end, in a thread that keeps no process from ending."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def run_aside(work: Callable[[], T], name: str) -> asyncio.Future[T]:
    """Do something in a thread of its own; `asyncio.run` waits for other ones.

    Returns:
        Its result, or its error; to cancel it stops nothing.
    """
    told: Future[T] = Future()
    told.set_running_or_notify_cancel()

    def run() -> None:
        try:
            told.set_result(work())
        except BaseException as error:  # whoever waits must hear of it
            told.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return asyncio.wrap_future(told)
