"""An address -> Ray: somebody's cluster, or one of our own for as long as we run.

Ray is imported once somebody asks for it.
"""

from __future__ import annotations

import importlib
import logging
import re
import socket
from typing import Any

from .errors import ClusterError, ConfigError

KNOCK_TIMEOUT_S = 5.0
REPEAT_S = 60.0
KILLED = re.compile(r"\d+ worker\(s\) were killed due to .+")


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
        told = " ".join(str(error).split())
        raise ClusterError(
            f"cluster.address: expected a Ray cluster at {where!r}, got: {told[:400]}"
        ) from error


def knock(address: str) -> None:
    """See whether anybody is at HOST:PORT: Ray itself takes minutes to say that not.

    Raises:
        OSError: If nobody is.
    """
    host, _, port = address.rpartition(":")
    if host:
        socket.create_connection((host, int(port)), KNOCK_TIMEOUT_S).close()


def find_reason(told: str) -> str:
    """Find the line in which Ray says why: want of memory, or else the last one."""
    if found := KILLED.search(told):
        return found[0]
    return (told.strip().splitlines() or [""])[-1]


class Terse(logging.Filter):
    """Of each record the first line, and the same line once a minute.

    When a node kills a replica for want of memory, Ray tells in forty lines, command
    lines of other programs among them, many times until the replica is replaced.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Shorten a record; tell whether it is new."""
        line = record.getMessage().partition("\n")[0]
        now_s = record.created
        self._told_s = {
            told: since_s
            for told, since_s in self._told_s.items()
            if now_s - since_s < REPEAT_S
        }
        is_new = line not in self._told_s
        if is_new:
            self._told_s[line] = now_s
        record.msg, record.args = line, None
        record.exc_info = record.exc_text = record.stack_info = None
        return is_new


TERSE = Terse()
"""One for all, so that a second gateway of this process adds none."""
