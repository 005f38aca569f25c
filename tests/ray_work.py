"""`python -m ray_work ADDRESS`: workers of Ray that fail in every way, a line each."""

import logging
import os
import signal
import sys
from functools import partial
from pathlib import Path

from offline.ray_engine import RayEngine
from stream_erc.errors import ConfigError, StreamErcError


def make(done):
    """Work on numbers.

    Args:
        done: A folder; some numbers do harm until there is a file for them.
    """

    def work(number):
        seen = done / str(number)
        if number == 3:
            raise ConfigError("expected no 3, got 3")
        if number == 5 and not seen.exists():
            seen.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if number == 7:
            logging.getLogger("work").warning("seven at %s", Path.cwd().name)
        if number == 99:
            os.kill(os.getpid(), signal.SIGKILL)
        return number * 10

    return work


def refuse():
    """Load no model."""
    raise ConfigError("expected a model, got none")


def main(address):
    logging.basicConfig(format="%(message)s")
    place = Path("done")
    place.mkdir()
    engine = RayEngine(address, workers=2, cpus=1, gpus=0)
    print([str(one) for one in engine.map(partial(make, place), list(range(12)))])
    told = []
    for items, load in (([1], refuse), ([1, 99, 2], partial(make, place))):
        try:
            for one in engine.map(load, items):
                told.append(one)
        except StreamErcError as error:
            told.append(f"{type(error).__name__}: {error}")
        print(told.pop())
    print(told)


if __name__ == "__main__":
    main(*sys.argv[1:])
