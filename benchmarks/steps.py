"""A crowd's figures: one number of sessions, and whether the server held so many."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from benchmarks.crowd import Crowd
from benchmarks.report import Spread, print_spreads, print_table, spread
from benchmarks.watching import warn_of_client, warn_of_others

MAX_WAIT_MS = 1000.0  # p95 from the end of the voice to `emotion.final`
MAX_BACKLOG_MS = 1000.0  # p99 of the audio that waits


@dataclass(frozen=True, slots=True)
class Step:
    """What was measured with one number of sessions.

    Attributes:
        n_sessions: How many.
        waits: How long they waited.
        client: What the client was late itself, and the backlog.
        figures: All else.
    """

    n_sessions: int
    waits: dict[str, Spread]
    client: dict[str, Spread]
    figures: dict[str, Any]

    @property
    def wait_ms(self) -> Spread:
        """From the end of the voice to the final emotion."""
        return self.waits["voice end -> emotion.final"]

    @property
    def backlog_ms(self) -> Spread:
        """Of the audio that the server had not worked on."""
        return self.client["audio waiting"]

    @property
    def holds(self) -> bool:
        """Whether the server held so many."""
        lost = self.figures["finals_lost"] + self.figures["sessions_refused"]
        wait_ms, backlog_ms = self.wait_ms.p95, self.backlog_ms.p99
        return (
            lost == 0
            and wait_ms is not None
            and wait_ms <= MAX_WAIT_MS
            and backlog_ms is not None
            and backlog_ms <= MAX_BACKLOG_MS
        )

    def to_json(self) -> dict[str, Any]:
        """Give it for the last line."""
        return {
            "sessions": self.n_sessions,
            "holds": self.holds,
            "waiting_ms": self.waits,
            "client_ms": self.client,
            **self.figures,
        }


def summarise(n_sessions: int, crowd: Crowd, rss_start_mb: float | None) -> Step:
    """Turn what became of a crowd into figures."""
    timings, watch = crowd.timings(), crowd.watch
    minutes = crowd.speech_minutes()
    return Step(
        n_sessions,
        timings.spreads(),
        {
            "event loop late": spread(watch.client_lag_ms),
            "chunks sent late": spread(crowd.late_ms()),
            "audio waiting": spread(crowd.backlog_ms()),
        },
        {
            **timings.counts(),
            "finals_lost": crowd.n_lost,
            "sessions_refused": crowd.n_refused,
            "troubles": crowd.troubles,
            "degraded": sum(one.n_degraded for one in crowd.performances),
            "speech_minutes": minutes,
            "cpu_cores": watch.server_cores,
            "cpu_s_per_minute_of_speech": (
                crowd.cpu_s / minutes if crowd.cpu_s is not None and minutes else None
            ),
            "client_cpu_cores": watch.client_cores,
            "other_programs_cpu_cores": watch.other_cores,
            "loop_lag_p99_ms_upper_bound": watch.loop_lag_ms,
            "rss_start_mb": rss_start_mb,
            "rss_mb": crowd.rss_mb,
        },
    )


def print_step(step: Step) -> None:
    """Print what one number of sessions gave."""
    word = "hold" if step.holds else "do NOT hold"
    print(f"{step.n_sessions} sessions {word}\n")
    print_spreads("waiting, ms", step.waits)
    print_spreads("the client itself, ms", step.client)
    for trouble in step.figures["troubles"]:
        print(f"LOST: {trouble}")
    warn_of_client(step.client["event loop late"])
    warn_of_others(step.figures["other_programs_cpu_cores"])


def print_steps(steps: list[Step]) -> None:
    """Print one line for each number of sessions."""
    columns = {
        "lost": "finals_lost",
        "refused": "sessions_refused",
        "words/turn": "partial_words_per_turn",
        "emotions/turn": "partial_emotions_per_turn",
        "degraded": "degraded",
        "cores": "cpu_cores",
        "CPU s/min": "cpu_s_per_minute_of_speech",
        "RSS MB": "rss_mb",
        "loop p99": "loop_lag_p99_ms_upper_bound",
        "client": "client_cpu_cores",
        "others": "other_programs_cpu_cores",
    }
    print_table(
        ("sessions", "holds", "n", "p50", "p95", "p99", "waiting p99", *columns),
        [
            (
                step.n_sessions,
                "yes" if step.holds else "no",
                step.wait_ms.n,
                step.wait_ms.p50,
                step.wait_ms.p95,
                step.wait_ms.p99,
                step.backlog_ms.p99,
                *(step.figures[name] for name in columns.values()),
            )
            for step in steps
        ],
    )


def memory_per_session(steps: list[Step], best: Step | None) -> float | None:
    """Give what each session beyond the fewest measured takes, in MB."""
    if best is None or best is steps[0]:
        return None
    most, fewest = best.figures["rss_mb"], steps[0].figures["rss_mb"]
    if most is None or fewest is None:
        return None
    grown: float = most - fewest
    return grown / (best.n_sessions - steps[0].n_sessions)
