"""Items -> their results, in order: computed here, or by workers of a Ray cluster."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from stream_erc.cluster import ClusterConfig
from stream_erc.errors import ConfigError
from stream_erc.ray_cluster import import_ray

Item = TypeVar("Item")
Result = TypeVar("Result")

Make = Callable[[], Callable[[Item], Result]]
"""Loads the models, once for each worker, and gives what does the work on one item.

With Ray all of it must be picklable: what makes, the items and the results.
"""


class Engine(Protocol):
    """Where long work is done."""

    def map(
        self, make: Make[Item, Result], items: Sequence[Item]
    ) -> Iterator[Result | ConfigError]:
        """Give for each item, in their order, its result or why there is none.

        Any other error than ConfigError ends it, and so does any error of `make`.
        """


class OneByOne:
    """Does one item after another, in this process."""

    def map(
        self, make: Make[Item, Result], items: Sequence[Item]
    ) -> Iterator[Result | ConfigError]:
        """See `Engine`."""
        work = make()
        for item in items:
            yield try_item(work, item)


def try_item(work: Callable[[Item], Result], item: Item) -> Result | ConfigError:
    """Give the result, or the ConfigError that was raised for this item."""
    try:
        return work(item)
    except ConfigError as error:
        return error


def add_engine_options(parser: argparse.ArgumentParser) -> None:
    """Describe the options that `choose_engine` reads."""
    add = parser.add_argument
    add(
        "--engine",
        choices=("local", "ray"),
        default="local",
        help="ray: by workers of a Ray cluster, docs/scale.md (default: %(default)s)",
    )
    add(
        "--address",
        metavar="HOST:PORT",
        help='of the Ray cluster, or "auto" for the one of this machine (default: one '
        "of its own, here)",
    )
    add(
        "--workers",
        type=int,
        metavar="N",
        help="of Ray, each with models of its own (default: as many as have room)",
    )


def choose_engine(
    options: argparse.Namespace, *, cpus: int = 1, gpus: int = 0
) -> Callable[[], Engine]:
    """Give what starts the engine that the options name.

    Args:
        options: Of a command with `add_engine_options`.
        cpus: Cores that a worker takes.
        gpus: Likewise.

    Raises:
        ConfigError: If the options do not fit each other, or Ray is not installed.
    """
    if options.engine == "local":
        for name in ("address", "workers"):
            if getattr(options, name) is not None:
                raise ConfigError(f"--{name}: expected --engine ray, got local")
        return OneByOne
    if options.workers is not None and options.workers < 1:
        raise ConfigError(f"--workers: expected at least 1, got {options.workers}")
    cluster = ClusterConfig(address=options.address or "")
    import_ray("--engine", "ray", "ray.data")
    from .ray_engine import RayEngine  # and with it what Ray's workers need

    return partial(
        RayEngine, cluster.address, workers=options.workers, cpus=cpus, gpus=gpus
    )
