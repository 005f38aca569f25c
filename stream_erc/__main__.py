"""The command `stream-erc`."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from .admission import Admission, hash_token, make_token, require_name
from .command_line import read_options
from .config import Settings
from .errors import StreamErcError, reason
from .health import ask
from .logs import fields, open_log
from .machine import give_way, usable_cores
from .option import require
from .settings import explain, read_settings

if TYPE_CHECKING:
    from .engine import Models
    from .ray_pool import RayPool

log = logging.getLogger(__name__)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        Its exit code: 0, 1 for a server that is not well or a recording that failed,
        or 2 for what cannot start.
    """
    options = read_options(arguments)
    try:
        if options.command == "token":
            print_token(options.name)
        elif options.command == "export":
            export_journal(options)
        elif options.command == "transcribe":
            return transcribe_files(options)
        elif options.command == "tune":
            tune(options)
        elif options.command == "health":
            return tell_health(options)
        else:
            serve(options)
    except (StreamErcError, OSError) as error:
        line = " ".join(reason(error).split())  # libraries tell in several
        file = getattr(error, "filename", None)
        print(f"stream-erc: {f'{file}: ' * bool(file)}{line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:  # before the server could take it as a wish to stop
        return 130
    return 0


def join_settings(options: argparse.Namespace) -> Settings:
    """Join the settings file and what the command line has of settings.

    Raises:
        ConfigError: If something does not fit.
    """
    overrides = {
        name: value
        for name, _, _, _ in explain()
        if (value := getattr(options, name, None)) is not None
    }
    return read_settings(options.config, overrides)


def serve(options: argparse.Namespace) -> None:
    """Load the models, then open the socket, and serve until told to stop."""
    settings = join_settings(options)
    open_log(settings.log, logging.INFO if options.verbose else logging.WARNING)
    log.info("usable cores", extra=fields(cores=usable_cores()))
    admission = Admission(settings.server)
    from .server import Server  # the settings are checked before seconds of imports
    from .vad import SileroVad

    started_s = time.perf_counter()
    models = load_models(settings)
    vad = SileroVad()
    load_s = time.perf_counter() - started_s
    log.info("models are loaded", extra=fields(stage="load", ms=round(load_s * 1000)))
    server = Server(settings, admission, models, vad)
    server.metrics.model_load.set(load_s)
    if not asyncio.run(server.run()):
        log.warning("a model still works on something; it is left")
        logging.shutdown()
        os._exit(0)  # an orderly exit would wait for its thread, or crash in it


def load_models(settings: Settings) -> Models | RayPool:
    """Load the models, or join those that a pool has loaded.

    Raises:
        ConfigError: If Ray is wanted, and not installed.
        ModelError: If a model is missing, damaged or none of ours.
        ClusterError: If there is no pool of these models.
    """
    if settings.engine.kind == "ray":
        from .ray_pool import RayPool

        return RayPool(settings)
    from .engine import Models

    # Threads that a model starts are as nice as the one that loads it.
    with ThreadPoolExecutor(1, "load", initializer=give_way) as loader:
        return loader.submit(Models, settings).result()


def tune(options: argparse.Namespace) -> None:
    """Try out how the recognizer shares the cores, and write down the best.

    Raises:
        ConfigError: If the settings do not fit, or have what would be written.
        OSError: If the file cannot be written.
    """
    from .settings_file import require_free, write_settings

    file = options.config
    is_there = file is not None and file.exists()
    asr = read_settings(file if is_there else None, {}).asr
    require(asr.device == "cpu", 'tune: expected asr.device "cpu"', asr.device)
    require(options.seconds > 0, "tune: expected --seconds above 0", options.seconds)
    if file is not None and not options.overwrite:
        require_free(file, "asr", ("threads", "workers"))
    from .tune import choose, format_trials, open_whisper, try_all

    cores = usable_cores()
    print(f"{cores:g} usable cores; about {options.seconds:g} s, and loading")
    trials = list(try_all(asr, cores, options.seconds, open_whisper))
    chosen = choose(trials)
    print(format_trials(trials, chosen))
    if file is not None:
        write_settings(file, "asr", chosen.settings)
        print("written to", file)


def tell_health(options: argparse.Namespace) -> int:
    """Print what the server of these settings says; give the exit code."""
    is_well, told = ask(
        join_settings(options).server, "/readyz" if options.ready else "/healthz"
    )
    print(told, file=sys.stdout if is_well else sys.stderr)
    return 0 if is_well else 1


def print_token(name: str) -> None:
    """Print a fresh token, and the line that lets it in.

    Raises:
        ConfigError: If the name cannot stand in the file.
    """
    require_name(name, "token")
    token = make_token()
    print("The token, for the client; it is shown this once:", file=sys.stderr)
    print(token)
    print("Its line in the file of --server.tokens:", file=sys.stderr)
    print(name, hash_token(token).hex())


def export_journal(options: argparse.Namespace) -> None:
    """Write what a journal has, for others to read.

    Raises:
        JournalError: If it cannot be read.
        OSError: If it cannot be written.
    """
    from .export import export  # knows the emotions, hence numpy
    from .journal_file import Selection

    wanted = Selection(
        session_id=options.session,
        conversation_id=options.conversation,
        owner=options.owner,
        since_ms=options.since,
    )
    if options.out is None:
        export(options.file, options.format, wanted, sys.stdout)
        return
    private = partial(os.open, mode=0o600)
    with open(
        options.out, "w", encoding="utf-8", newline="", opener=private
    ) as written:
        export(options.file, options.format, wanted, written)


def transcribe_files(options: argparse.Namespace) -> int:
    """Transcribe what the command line names; give the exit code."""
    settings = join_settings(options)
    open_log(settings.log, logging.WARNING)
    from .transcribing import TranscribeConfig, transcribe  # with the models

    config = TranscribeConfig(
        paths=tuple(options.files),
        speakers=options.speakers,
        form=options.format,
        folder=options.out,
        overwrite=options.overwrite,
    )
    return transcribe(config, settings)


if __name__ == "__main__":
    sys.exit(main())
