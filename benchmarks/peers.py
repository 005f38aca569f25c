"""The same audio through us, through WhisperLive and through the simplest pipeline.

python -m benchmarks.peers [--sessions 1] [--seconds 30] [--data FOLDER]

All have the same tiny.en weights (int8), the same machine and the same parts, one after
another, each on a server of its own. Measured is how long after the end of a voice the
answer is there, and what a minute of speech costs.

stream-erc         `emotion.final`; with partial results and without
WhisperLive        0.10, batching across clients. It gives words alone and never says
                   that a sentence is over, so its answer counts when the last word is
                   first seen: nobody could know so soon
simplest pipeline  Silero VAD, 500 ms of silence, `WhisperModel.transcribe`, a
                   transformers text classifier (MiniLM-L6 with a fresh linear head, for
                   no trained one can be had offline: its cost is right, its answers are
                   not, and so they are not compared)

The peers' processor time is read when all audio has been sent; ours at the last final.
They live in an environment of their own under build/, made by the first run: minutes.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.crowd import RAMP_S, play_crowd, starts_s
from benchmarks.dialogues import read_actors, to_ms
from benchmarks.mixture import Material, Part, cast, read_material
from benchmarks.options import (
    describe,
    exit_with,
    find_clips,
    make_parser,
    serving_as_asked,
)
from benchmarks.peer_environment import DEFAULT_FOLDER, PeerEnvironment, prepare
from benchmarks.peer_playing import (
    SIMPLEST,
    WHISPER_LIVE,
    Heard,
    Peer,
    play_all,
    serving_peer,
)
from benchmarks.report import (
    Spread,
    Target,
    describe_machine,
    print_document,
    print_table,
    print_targets,
    spread,
)
from benchmarks.timing import Timings
from benchmarks.watching import Watch, warn_of_client, warn_of_others, watching
from clients.errors import ClientError

OURS, OURS_WITHOUT = "stream-erc", "stream-erc, partials off"
WARM_UP_S = (
    4.0  # of audio, not counted: WhisperLive loads its model for the first client
)
MAX_COST_RATIO = 0.35


@dataclass(frozen=True, slots=True)
class Row:
    """What was measured of one system.

    Attributes:
        name: Of the system.
        waits_ms: From the end of a voice to its answer.
        n_unanswered: Clips that got none.
        cost_s: Processor time for each minute of speech.
        rss_mb: Resident memory at the end.
        watch: Who else used the processors, and how late the client was.
    """

    name: str
    waits_ms: Spread
    n_unanswered: int
    cost_s: float | None
    rss_mb: float | None
    watch: Watch

    def to_json(self) -> dict[str, Any]:
        """Give it for the last line."""
        return {
            "voice_end_to_answer_ms": self.waits_ms,
            "unanswered": self.n_unanswered,
            "cpu_s_per_minute_of_speech": self.cost_s,
            "rss_mb": self.rss_mb,
            "client_late_ms": spread(self.watch.client_lag_ms),
            "client_cpu_cores": self.watch.client_cores,
            "other_programs_cpu_cores": self.watch.other_cores,
        }


async def measure(options: argparse.Namespace) -> int:
    """Run the benchmark and print what came out."""
    machine = describe_machine()
    material = read_material(find_clips(options), read_actors(options.actors))
    environment = prepare(options.environment)
    starts = starts_s(options.sessions)
    durations_s = [RAMP_S - start_s + options.seconds for start_s in starts]
    parts = cast(material, durations_s, options.seed, options.fill)
    rows = [
        await measure_ours(options, parts, OURS, partials=True),
        await measure_ours(options, parts, OURS_WITHOUT, partials=False),
    ]
    left_out: dict[str, str] = {}
    for peer, obstacle in (
        (SIMPLEST, None),
        (WHISPER_LIVE, environment.whisper_live_missing),
    ):
        try:
            if obstacle is not None:
                raise ClientError(obstacle)
            rows.append(await measure_peer(options, environment, material, peer, parts))
        except ClientError as error:
            left_out[peer.name] = str(error)
    report(options, machine, rows, left_out)
    return 0


async def measure_ours(
    options: argparse.Namespace, parts: list[Part], name: str, *, partials: bool
) -> Row:
    """Play all parts into our own server."""
    async with serving_as_asked(options) as server:
        crowd = await play_crowd(server, parts, options.seconds, partials=partials)
    timings = Timings()
    for performance in crowd.performances:
        timings.add(performance)
    minutes = crowd.speech_minutes()
    n_expected = sum(count_known(one.dialogue.clips) for one in crowd.performances)
    return Row(
        name,
        spread(timings.voice_end_to_final),
        n_expected - len(timings.voice_end_to_final) + len(crowd.troubles),
        None if crowd.cpu_s is None else crowd.cpu_s / minutes,
        crowd.rss_mb,
        crowd.watch,
    )


async def measure_peer(
    options: argparse.Namespace,
    environment: PeerEnvironment,
    material: Material,
    peer: Peer,
    parts: list[Part],
) -> Row:
    """Play all parts into a peer's server.

    Raises:
        ClientError: If it does not serve.
    """
    async with serving_peer(peer, environment) as server:
        warm_up = cast(material, [WARM_UP_S], options.seed, options.fill)
        await play_all(server, peer, warm_up)
        cpu_before_s = server.cpu_s()
        async with watching(server) as watch:
            heard = await play_all(server, peer, parts)
        rss_mb = server.resident_mb()
    waits_ms = [wait_ms for one in heard for wait_ms in wait_of(peer, one)]
    answered_ms = [wait_ms for wait_ms in waits_ms if wait_ms is not None]
    return Row(
        peer.name,
        spread(answered_ms),
        len(waits_ms) - len(answered_ms),
        cost_of(heard, cpu_before_s),
        rss_mb,
        watch,
    )


def wait_of(peer: Peer, heard: Heard) -> list[float | None]:
    """Give how long after the end of each voice a peer had answered.

    Of clips whose end the corpus does not know, nothing.
    """
    clips = heard.part.dialogue.clips
    answers = peer.answered_s(clips, heard.messages)
    return [
        None
        if answered_s is None
        else (answered_s - heard.send_times.sent_at(to_ms(clip.voice_end))) * 1000
        for clip, answered_s in zip(clips, answers, strict=True)
        if clip.voice.end_s is not None
    ]


def count_known(clips: tuple[Any, ...]) -> int:
    """Count the clips the end of whose voice is known."""
    return sum(clip.voice.end_s is not None for clip in clips)


def cost_of(heard: list[Heard], cpu_before_s: float | None) -> float | None:
    """Give the processor time for each minute of speech, in seconds."""
    readings = [one.cpu_s for one in heard if one.cpu_s is not None]
    if cpu_before_s is None or not readings:
        return None
    n_samples = sum(
        clip.voice_end - clip.voice_start
        for one in heard
        for clip in one.part.dialogue.clips
    )
    return (max(readings) - cpu_before_s) / (to_ms(n_samples) / 60_000)


def report(
    options: argparse.Namespace,
    machine: dict[str, Any],
    rows: list[Row],
    left_out: dict[str, str],
) -> None:
    """Print the tables, the targets and the last line."""
    print(f"{options.sessions} live sessions; voice end -> answer, ms\n")
    print_table(
        ("system", "n", "p50", "p95", "p99", "none", "CPU s/min", "RSS MB"),
        [
            (
                row.name,
                row.waits_ms.n,
                row.waits_ms.p50,
                row.waits_ms.p95,
                row.waits_ms.p99,
                row.n_unanswered,
                row.cost_s,
                row.rss_mb,
            )
            for row in rows
        ],
    )
    for name, reason in left_out.items():
        print(f"{name} left out: {reason}\n")
    for row in rows:
        warn_of_client(spread(row.watch.client_lag_ms))
        warn_of_others(row.watch.other_cores)
    ratios = compare(rows)
    print_table(
        ("ours against theirs", "p50", "p95", "CPU", "CPU, partials off"),
        [(name, *ratio.values()) for name, ratio in ratios.items()],
    )
    costs = ratios.get(SIMPLEST.name, {})
    targets = [
        Target(
            "CPU, partials off, against the simplest pipeline",
            costs.get("cpu_partials_off"),
            MAX_COST_RATIO,
        )
    ]
    print_targets(targets)
    print(f"machine load before: {machine['load_1_min']}")
    figures = {
        "systems": {row.name: row.to_json() for row in rows},
        "ratios": ratios,
        "left_out": left_out,
    }
    print_document("peers", describe(options, machine), figures, targets)


def compare(rows: list[Row]) -> dict[str, dict[str, float | None]]:
    """Divide our figures by each peer's; below 1 we are better."""
    ours, ours_without, *others = rows
    return {
        other.name: {
            "p50": divide(ours.waits_ms.p50, other.waits_ms.p50),
            "p95": divide(ours.waits_ms.p95, other.waits_ms.p95),
            "cpu": divide(ours.cost_s, other.cost_s),
            "cpu_partials_off": divide(ours_without.cost_s, other.cost_s),
        }
        for other in others
    }


def divide(one: float | None, other: float | None) -> float | None:
    """Give a ratio; None where there is none."""
    return None if one is None or not other else one / other


def read_options() -> argparse.Namespace:
    """Read the command line."""
    parser = make_parser("benchmarks.peers", "The same audio through other systems.")
    parser.add_argument("--sessions", type=int, default=1, help="at once (default: 1)")
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of each session (default: 30)"
    )
    parser.add_argument(
        "--environment",
        type=Path,
        default=DEFAULT_FOLDER,
        metavar="FOLDER",
        help="virtual environment of the peers; made if missing (default: build/peers)",
    )
    options = parser.parse_args()
    if options.sessions < 1:
        parser.error(f"--sessions: expected 1 or more, got {options.sessions}")
    return options


if __name__ == "__main__":
    exit_with(measure(read_options()))
