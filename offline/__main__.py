"""The workshop: from raw speech to a served model.

read        a published corpus  -> corpus files
transcribe  recordings          -> a corpus file
label       transcripts         -> a language model's labels
train       corpora and labels  -> a run folder
export      a run folder        -> a model folder, which the server takes
evaluate    a model or a run    -> figures on any corpus file
"""

from __future__ import annotations

import argparse
import logging
import sys
from importlib import import_module

from stream_erc.errors import StreamErcError, reason
from stream_erc.version import VERSION

COMMANDS = {
    "read": "bring a published corpus into corpus files",
    "transcribe": "cut and transcribe recordings into a corpus file",
    "label": "have a language model label transcripts",
    "train": "train the stages, one after another",
    "export": "write what was trained as a model folder",
    "evaluate": "score a model or a run on a corpus file",
}


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m offline",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"stream-erc {VERSION}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, about in COMMANDS.items():
        module = import_module(f"{__package__}.commands.{name}")
        command = commands.add_parser(
            name,
            help=about,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.set_defaults(work=module.run)
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns:
        0; 2 if settings or input are at fault; what the command gives otherwise.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    options = parse(arguments)
    try:
        return int(options.work(options))
    except StreamErcError as error:
        print(error, file=sys.stderr)
        return 2
    except OSError as error:
        if error.filename is None:  # no file of the user's: a bug, or the network
            raise
        print(f"{error.filename}: {reason(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped; the same command goes on from here", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
