"""How soon the page shows what is said, and how smoothly it moves.

    python -m benchmarks.page [--data FOLDER] [--rounds 3] [--seconds 60]

Chromium's microphone plays dialogues to the page of a real server; browser and server
share this machine. The voice starts where the corpus says, its wall time is that at
which the page could have had that sample at the earliest; what the sound card keeps
(10 to 20 ms) comes on top. Something is shown when the frame after it begins.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.browser import launching, root_of
from benchmarks.dialogues import make_sessions, read_actors, read_pairs
from benchmarks.options import (
    add_server,
    describe,
    exit_with,
    find_clips,
    make_clips_parser,
    serving_as_asked,
)
from benchmarks.page_playing import Opening, play
from benchmarks.page_views import MOVES, WIDE, load, time_frames, write_hour
from benchmarks.report import (
    Spread,
    Target,
    describe_machine,
    print_document,
    print_spreads,
    print_targets,
    spread,
)
from stream_erc.browser import FILES

WORDS_LIMIT_MS, EMOTION_LIMIT_MS, FRAME_LIMIT_MS, PAGE_LIMIT_KB = 1200, 1800, 33, 150
FRAME_ROUNDS = 3


async def measure(options: argparse.Namespace) -> int:
    """Measure, and print."""
    machine = describe_machine()
    pairs = read_pairs(find_clips(options), read_actors(options.actors))
    dialogues = make_sessions(
        pairs, options.rounds, options.seconds, options.seed, options.fill
    )
    openings: list[Opening] = []
    async with serving_as_asked(options) as server:
        for dialogue in dialogues:
            openings += await play(server.url, dialogue)
        frames = await measure_frames(server.url)
    waits = spread_waits(openings)
    page_kb = sum(len(file.content) for file in FILES.values()) / 1000
    targets = [
        Target("first words, p95, ms", waits["first words"].p95, WORDS_LIMIT_MS),
        Target("first bars, p95, ms", waits["first bars"].p95, EMOTION_LIMIT_MS),
        *(
            Target(f"frame while it moves: {move}, p95, ms", one.p95, FRAME_LIMIT_MS)
            for move, one in frames.items()
        ),
        Target("page, kB", page_kb, PAGE_LIMIT_KB),
    ]
    print_spreads("from the start of the voice, ms", waits)
    print_spreads("frame with 600 turns, ms", frames)
    print_targets(targets)
    counts = {
        "clips": sum(len(dialogue.clips) for dialogue in dialogues),
        "turns_opened": len(openings),
        "turns_without_words": sum(one.words is None for one in openings),
    }
    figures = {**waits, "frame_ms": frames, "page_kb": page_kb, **counts}
    print_document("page", describe(options, machine), figures, targets)
    return 0


def spread_waits(openings: list[Opening]) -> dict[str, Spread]:
    """Give the percentiles of each wait."""
    names = {
        "first words": "words",
        "first bars": "emotion",
        "first words, at the socket": "words_told",
        "first emotion, at the socket": "emotion_told",
    }
    return {
        name: spread(
            [ms for one in openings if (ms := getattr(one, field)) is not None]
        )
        for name, field in names.items()
    }


async def measure_frames(url: str) -> dict[str, Spread]:
    """Load an hour of 600 turns, and give the spread of the frames for each move."""
    frames: dict[str, Spread] = {}
    async with launching() as browser:
        page = await browser.new_page(viewport=WIDE)
        await page.goto(root_of(url))
        with tempfile.TemporaryDirectory() as folder:
            await load(page, write_hour(Path(folder)))
        await page.click("#fit")
        for move in MOVES:
            times: list[float] = []
            for _ in range(FRAME_ROUNDS):
                times += await time_frames(page, move)
            frames[move] = spread(times)
    return frames


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_clips_parser(
        "benchmarks.page", "How soon the page shows what is said, in Chromium."
    )
    parser.add_argument(
        "--rounds", type=int, default=3, help="dialogues, one after another (default 3)"
    )
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="length of each (default: 60)"
    )
    add_server(parser)
    return parser.parse_args()


if __name__ == "__main__":
    exit_with(measure(read_options()))
