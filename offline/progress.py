"""Long work -> how far it is: a bar on a terminal, plain lines in a log elsewhere."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Collection, Iterator
from types import TracebackType
from typing import Self, TypeVar

from tqdm import tqdm

log = logging.getLogger(__name__)

LINE_EVERY_S = 30.0

T = TypeVar("T")


class Progress:
    """Shows how much of some work is done, between entering and leaving it.

    Args:
        work: What is done, such as "hearing".
        total: How many there are to do.
        unit: What is counted, in the plural.
        done: So many were done before.
        is_part: Whether other work shows its progress around this; it is brief then.
    """

    def __init__(
        self, work: str, total: int, unit: str, *, done: int = 0, is_part: bool = False
    ) -> None:
        self._work = work
        self._total = total
        self._unit = unit
        self._done = done
        self._told_s = time.monotonic()
        self._is_part = is_part
        self._bar = tqdm(
            total=total,
            initial=done,
            desc=work,
            unit=f" {unit}",
            leave=not is_part,
            disable=not (total and sys.stderr.isatty()),
        )

    def __enter__(self) -> Self:
        if self._bar.disable and self._total and not self._is_part:
            before = f", {self._done} done before" if self._done else ""
            log.info("%s: %d %s%s", self._work, self._total, self._unit, before)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def advance(self, n: int = 1) -> None:
        """Count so many more as done."""
        self._done += n
        self._bar.update(n)
        if self._bar.disable and time.monotonic() - self._told_s >= LINE_EVERY_S:
            self._told_s = time.monotonic()
            of = f"{self._done} of {self._total}"
            log.info("%s: %s %s", self._work, of, self._unit)


def track(items: Collection[T], work: str, unit: str) -> Iterator[T]:
    """Give items one by one, each counted once the next is asked for."""
    with Progress(work, len(items), unit) as progress:
        for item in items:
            yield item
            progress.advance()
