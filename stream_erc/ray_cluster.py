"""An address -> Ray: somebody's cluster, or one of our own for as long as we run.

Ray is imported once somebody asks for it.
"""

from __future__ import annotations

import importlib
import logging
import socket
from typing import Any

from .errors import ClusterError, ConfigError

KNOCK_TIMEOUT_S = 5.0


def import_ray(setting: str, *names: str) -> list[Any]:
    """Import modules of Ray.

    Args:
        setting: That asked for it, such as "engine.kind".
        names: Of modules, such as "ray.serve".

    Raises:
        ConfigError: If Ray, or what this part of it needs, is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        raise ConfigError(
            f'{setting}: expected the package ray for "ray", got none; '
            "pip install 'stream-erc[cluster]'"
        ) from error


def join_ray(ray: Any, address: str, **own: Any) -> None:
    """Join the cluster, or start one.

    Args:
        ray: The package.
        address: As `ClusterConfig.address`.
        own: What a cluster of our own is started with; see `ray.init`.

    Raises:
        ClusterError: If it cannot be joined.
    """
    where = address or "local"
    try:
        knock(address)
        ray.init(
            where,
            include_dashboard=None if address else False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except Exception as error:  # what it raises has no other base class
        told = str(error).strip().splitlines()
        raise ClusterError(
            f"cluster.address: expected a Ray cluster at {where!r}, "
            f"got: {' '.join(told)[:400]}"
        ) from error


def knock(address: str) -> None:
    """See whether anybody is at HOST:PORT: Ray itself takes minutes to say that not.

    Raises:
        OSError: If nobody is.
    """
    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host, int(port)), KNOCK_TIMEOUT_S).close()
