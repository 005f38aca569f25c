"""Items -> their results by workers of a Ray cluster: Ray Data keeps them in order.

Each item is a block of its own, so a worker that dies costs no more than the items
that it had; Ray Data gives them to another one. What a worker logs is logged here.
"""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stream_erc.errors import ClusterError, ConfigError, StreamErcError, reason
from stream_erc.ray_cluster import find_reason, import_ray, join_ray
from stream_erc.version import VERSION

from .engines import Item, Make, Result, try_item

STORE_BYTES = 200_000_000
"""Shared memory of a Ray of our own; a result takes a few MB at most."""

RETRIES = 3
"""Of an item whose worker dies: one that kills every worker must not go on for ever."""

AT_A_WORKER = 2
"""Items; one waits, so that no worker does."""


class RayEngine:
    """Workers of a cluster, or of a Ray of our own on this machine.

    Args:
        address: As `ClusterConfig.address`.
        workers: How many; None: as many as have room.
        cpus: Cores that each takes.
        gpus: Likewise.

    Raises:
        ConfigError: If Ray is not installed.
        ClusterError: If the cluster cannot be joined or has too little room.
    """

    def __init__(
        self, address: str, *, workers: int | None, cpus: int, gpus: int
    ) -> None:
        ray, self._data = import_ray("--engine", "ray", "ray.data")
        logging.getLogger("ray").setLevel(logging.CRITICAL)  # errors are told by us
        logging.getLogger("ray.data").setLevel(logging.CRITICAL)
        own = {"num_cpus": workers * cpus} if workers else {}
        join_ray(ray, address, object_store_memory=STORE_BYTES, **own)
        self._errors = ray.exceptions
        self._room = {"num_cpus": cpus, "num_gpus": gpus}
        there = ray.cluster_resources()
        room = int(there.get("CPU", 0) // cpus)
        if gpus:
            room = min(room, int(there.get("GPU", 0) // gpus))
        if not 1 <= (workers or 1) <= room:
            raise ClusterError(
                f"--workers: expected room for {workers or 1} with {cpus} cores and "
                f"{gpus} GPUs each, got a cluster with room for {room}"
            )
        self._workers = workers or room

    def map(
        self, make: Make[Item, Result], items: Sequence[Item]
    ) -> Iterator[Result | ConfigError]:
        """See `Engine`.

        Raises:
            ClusterError: If an item has killed its worker again and again, or a
                worker cannot be started.
        """
        n_done = 0
        try:
            for answer in self._answers(make, items):
                for line in answer.logged:
                    logging.getLogger(line.logger).log(line.level, "%s", line.message)
                if answer.error is not None:
                    raise answer.error
                yield answer.result
                n_done += 1
        except self._errors.RayTaskError:
            raise  # a bug in the work, with its traceback
        except self._errors.RayError as error:
            told = find_reason(str(error)) or type(error).__name__
            raise ClusterError(
                f"cluster: expected workers that live, got after {n_done} of "
                f"{len(items)}: {told}"
            ) from error

    def _answers(
        self, make: Make[Item, Result], items: Sequence[Item]
    ) -> Iterator[Answer]:
        context = self._data.DataContext.get_current()
        context.enable_progress_bars = False
        context.execution_options.preserve_order = True
        rows = [{"task": Task(item)} for item in items]
        with warnings.catch_warnings():
            # Ray 2.64 is to drop `max_task_retries`, for which it has no other word.
            warnings.simplefilter("ignore", DeprecationWarning)
            answers = self._data.from_items(rows, override_num_blocks=len(rows)).map(
                RayWorker,
                fn_constructor_args=(make, Path.cwd(), VERSION),
                compute=self._data.ActorPoolStrategy(
                    size=min(self._workers, len(rows)),
                    max_tasks_in_flight_per_actor=AT_A_WORKER,
                ),
                max_task_retries=RETRIES,
                **self._room,
            )
        # Without reading ahead each result is here as soon as it is its turn.
        for block in answers.iter_batches(
            batch_size=None, batch_format="numpy", prefetch_batches=0
        ):
            yield from block["answer"]


@dataclass(frozen=True, slots=True)
class Task:
    """An item; the Arrow below Ray Data takes an object of a class for what it is."""

    item: Any


@dataclass(frozen=True, slots=True)
class LoggedLine:
    """A warning or an error that a worker has logged."""

    logger: str
    level: int
    message: str


@dataclass(slots=True)
class Answer:
    """What a worker says of one item.

    Attributes:
        result: As `Engine.map` gives it.
        error: What ends the whole work; None where nothing does.
        logged: Meanwhile.
    """

    result: Any = None
    error: StreamErcError | None = None
    logged: list[LoggedLine] = field(default_factory=list)


class RayWorker:
    """Lives in a process of Ray; loads the models with its first item.

    Args:
        make: What loads them.
        place: The working folder, which paths are relative to.
        version: That the driver has.
    """

    def __init__(self, make: Make[Any, Any], place: Path, version: str) -> None:
        self._make = make
        self._place = place
        self._version = version
        self._work: Any = None

    def __call__(self, row: dict[str, Task]) -> dict[str, Answer]:
        """Give a row with an answer for one with a task."""
        answer = Answer()
        keeper = LogKeeper(answer.logged)
        logging.getLogger().addHandler(keeper)
        try:
            if self._work is None:
                self._work = self._begin()
            answer.result = try_item(self._work, row["task"].item)
        except StreamErcError as error:
            answer.error = error
        finally:
            logging.getLogger().removeHandler(keeper)
        return {"answer": answer}

    def _begin(self) -> Any:
        if self._version != VERSION:
            raise ClusterError(
                f"cluster: expected stream-erc {self._version} at every worker, got "
                f"{VERSION}"
            )
        try:
            os.chdir(self._place)
        except OSError as error:
            raise ClusterError(
                f"cluster: expected the folder {self._place} at every worker, got: "
                f"{reason(error)}"
            ) from error
        return self._make()


class LogKeeper(logging.Handler):
    """Keeps warnings and errors, for they would be told on another machine."""

    def __init__(self, lines: list[LoggedLine]) -> None:
        super().__init__(logging.WARNING)
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one."""
        line = LoggedLine(record.name, record.levelno, record.getMessage())
        self._lines.append(line)
