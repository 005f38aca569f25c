"""The processes that train together: how many there are, and which of them writes."""

from __future__ import annotations

import os
from datetime import timedelta

from accelerate import PartialState
from accelerate.utils import parse_flag_from_env

from stream_erc.errors import ConfigError

PATIENCE = timedelta(days=7)
"""For the process that hears a corpus while the others wait."""


def join_processes() -> PartialState:
    """Meet the other processes that `accelerate launch` has started, if any.

    Raises:
        ConfigError: If there are others but neither a GPU for each nor leave to do
            without: each would train alone, all into the same folder.
    """
    is_cpu = parse_flag_from_env("ACCELERATE_USE_CPU")
    processes = PartialState(cpu=is_cpu, timeout=PATIENCE)
    is_launched = "LOCAL_RANK" in os.environ
    n_started = int(os.environ["WORLD_SIZE"]) if is_launched else 1
    if processes.num_processes != n_started:
        raise ConfigError(
            f"accelerate: expected a GPU for each of {n_started} processes, got none; "
            "with ACCELERATE_USE_CPU=true they train on processors"
        )
    return processes
