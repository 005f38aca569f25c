"""Files or a corpus -> a live conversation: play them into a stream-erc server.

    python -m clients.replay FILE|CORPUS.jsonl ...

Plain files make one conversation, in order. They are read as `stream-erc transcribe`
reads them: silence stands where one has no sound, and stderr says so. A corpus (JSON
Lines: dialogue, turn, speaker, text, audio, start_s, end_s, emotion) makes one per
dialogue; a line with text and no audio goes into the context unheard.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from clients.connection import Connection, connect
from clients.errors import UnplayableFile
from clients.lines import View
from clients.opening import CA_HELP, DEFAULT_URL, ENVIRONMENT, read_token
from clients.player import Player, in_parallel
from clients.program import (
    FAILED,
    FINE,
    INTERRUPTED,
    complain,
    interrupt_calls,
    run,
)
from clients.schedule import Pace
from clients.sources import CORPUS_SUFFIX, FORMAT, RATE_HZ, Line, look, read_corpus
from clients.terminal import choose_view
from stream_erc import events
from stream_erc.events import Modality

EXIT_CODES = """exit codes:
  0    everything was played, and every session ended as it should
  1    something could not be played (stderr names it; the rest was), or the server
       could not be reached, refused, or broke off
  2    wrong usage
  130  interrupted; the first Ctrl-C ends the session and waits for its finals
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayConfig:
    """How to play.

    Attributes:
        url: Of the server.
        speed: How many times faster than life; None: as fast as the server lets it in.
        gap_s: Silence after each line of a dialogue.
        conversation_id: Of every session opened; None: each has its own context.
        language: Of the speech; None: the server's default.
        partials: Whether to ask for words and emotions of running turns.
        modalities: What the emotion may rest on.
        as_json: Print the events instead of a view.
        token: For a server that wants one.
        ca: PEM file of whoever vouches for the server; None: whom the system trusts.
    """

    url: str = DEFAULT_URL
    speed: float | None = 1.0
    gap_s: float = 1.0
    conversation_id: str | None = None
    language: str | None = None
    partials: bool = True
    modalities: tuple[Modality, ...] = ("audio", "text")
    as_json: bool = False
    token: str | None = field(default=None, repr=False)
    ca: Path | None = None


@dataclass(slots=True)
class Outcome:
    """What came of a replay.

    Attributes:
        n_finals: Turns that came back with a final emotion.
        n_failed: Lines that could not be played.
    """

    n_finals: int = 0
    n_failed: int = 0


async def replay(
    dialogues: Iterable[Sequence[Line]],
    config: ReplayConfig,
    stopping: asyncio.Event | None = None,
) -> Outcome:
    """Play every dialogue in a session of its own, one after another.

    Args:
        dialogues: What to play.
        config: How.
        stopping: Once it is set nothing more is played; the session ends as it should.

    Raises:
        ClientError: If the server cannot be reached, or a session breaks off.
    """
    outcome, stopping = Outcome(), stopping or asyncio.Event()
    for lines in dialogues:
        playable = await asyncio.to_thread(look_through, lines, outcome)
        if playable and not stopping.is_set():
            await replay_dialogue(playable, config, outcome, stopping)
    return outcome


async def play_all(dialogues: Iterable[Sequence[Line]], config: ReplayConfig) -> int:
    """Play every dialogue, until Ctrl-C, and give the exit code."""
    stopping = asyncio.Event()
    with interrupt_calls(stopping.set):
        outcome = await replay(dialogues, config, stopping)
    if stopping.is_set():
        return INTERRUPTED
    return FAILED if outcome.n_failed else FINE


def look_through(lines: Sequence[Line], outcome: Outcome) -> list[Line]:
    """Give the lines that can be played, before any server hears of them."""
    playable = []
    for line in lines:
        try:
            if line.audio is not None:
                look(line.audio)
            playable.append(line)
        except UnplayableFile as error:
            leave_out(error, outcome)
    return playable


def leave_out(error: UnplayableFile, outcome: Outcome) -> None:
    """Name and count a line that cannot be played."""
    outcome.n_failed += 1
    complain(error)


async def replay_dialogue(
    lines: Sequence[Line],
    config: ReplayConfig,
    outcome: Outcome,
    stopping: asyncio.Event,
) -> None:
    """Play one dialogue, show what comes back, and count both in `outcome`."""
    speaker = next((line.speaker for line in lines if line.audio), lines[0].speaker)
    view = choose_view(as_json=config.as_json)
    async with connect(
        config.url,
        audio=FORMAT,
        speaker=speaker,
        conversation_id=config.conversation_id,
        observe=config.conversation_id is not None,
        language=config.language,
        partials=config.partials,
        modalities=config.modalities,
        token=config.token,
        ca=config.ca,
    ) as connection:
        pace = Pace(RATE_HZ, config.speed)
        player = Player(
            connection,
            pace,
            config.gap_s,
            partial(leave_out, outcome=outcome),
            complain,
            view.note,
            stopping,
        )
        try:
            with view:
                await in_parallel(
                    player.play(lines, speaker), watch(connection, view, outcome)
                )
        finally:  # a table of what there was is worth having
            view.summarize(player.played)


async def watch(connection: Connection, view: View, outcome: Outcome) -> None:
    """Show everything that the server sends, until the session has ended."""
    async for arrival in connection.arrivals():
        view.show(arrival, connection.send_times)
        outcome.n_finals += isinstance(arrival.event, events.EmotionFinal)


def collect(arguments: argparse.Namespace) -> tuple[list[list[Line]], list[str]]:
    """Read what the command line names.

    Returns:
        Dialogues, those of plain files first, and what is wrong with which line.
    """
    speakers: list[str] = arguments.speaker or ["speaker"]
    plain = [path for path in arguments.files if path.suffix != CORPUS_SUFFIX]
    corpora = [path for path in arguments.files if path.suffix == CORPUS_SUFFIX]
    voices = [*speakers, *itertools.repeat(speakers[-1], len(plain))]
    lines = [
        Line(dialogue="", speaker=voice, audio=path)
        for path, voice in zip(plain, voices, strict=False)
    ]
    dialogues, problems = [lines] if lines else [], []
    for corpus in corpora:
        found = list(read_corpus(corpus, arguments.audio_root))
        problems += [str(line) for line in found if isinstance(line, UnplayableFile)]
        lines = [line for line in found if isinstance(line, Line)]
        for name, dialogue in itertools.groupby(lines, key=lambda line: line.dialogue):
            if arguments.dialogue in (None, name):
                dialogues.append(list(dialogue))
    return dialogues, problems


def speed(text: str) -> float | None:
    """Read the argument of `--speed`.

    Raises:
        ValueError: If it is neither `max` nor a positive number.
    """
    if text == "max":
        return None
    value = float(text)
    if not 0.0 < value < float("inf"):
        raise ValueError(text)
    return value


def make_parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m clients.replay",
        description=__doc__,
        epilog=EXIT_CODES + ENVIRONMENT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE|CORPUS.jsonl")
    add("--url", default=DEFAULT_URL, help="of the server (default: %(default)s)")
    add("--ca", type=Path, metavar="FILE", help=CA_HELP)
    add(
        "--speaker",
        action="append",
        metavar="NAME",
        help="who speaks in a plain file; once for all, or once per file in order",
    )
    add(
        "--speed",
        type=speed,
        default=1.0,
        metavar="N|max",
        help="N times faster than life; max: as fast as the server lets it in",
    )
    add(
        "--gap-s",
        type=float,
        default=1.0,
        metavar="S",
        help="silence after each line (default: %(default)s)",
    )
    add("--json", action="store_true", help="print every event as a line of JSON")
    add("--no-partials", action="store_true", help="only what is final")
    add("--conversation", metavar="ID", help="sessions with one ID share a context")
    add("--language", help="of the speech (default: the server's)")
    add("--dialogue", metavar="ID", help="play only this dialogue of a corpus")
    add(
        "--audio-root",
        type=Path,
        metavar="DIR",
        help="where a corpus's audio paths start (default: beside the corpus)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Play what the command line says; give the exit code."""
    parser = make_parser()
    arguments = parser.parse_args(argv)
    if not 0.0 <= arguments.gap_s <= 3600.0:
        parser.error(f"--gap-s: expected 0 to 3600 seconds, got {arguments.gap_s}")
    config = ReplayConfig(
        url=arguments.url,
        speed=arguments.speed,
        gap_s=arguments.gap_s,
        conversation_id=arguments.conversation,
        language=arguments.language,
        partials=not arguments.no_partials,
        as_json=arguments.json,
        token=read_token(),
        ca=arguments.ca,
    )
    dialogues, problems = collect(arguments)
    if not dialogues:
        problems.append("nothing to play")
    for problem in problems:
        complain(problem)
    return run(play_all(dialogues, config)) or (FAILED if problems else FINE)


if __name__ == "__main__":
    sys.exit(main())
