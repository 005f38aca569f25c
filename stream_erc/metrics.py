"""What Prometheus is told, under names of its own kind."""

from __future__ import annotations

import dataclasses
import platform
from functools import partial
from importlib.metadata import version

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

from . import events
from .limits import LimitsConfig

LIMITS = {
    "server_full": "max_sessions",
    "server_busy": "max_delay_s",
    "owner_full": "max_sessions_per_owner",
    "text_too_long": "max_text_kib",
    "session_too_long": "max_session_s",
    "idle": "idle_timeout_s",
    "slow_reader": "reader_timeout_s",
}
"""Error code to the setting that it is about."""

DESKS = ("hear", "understand")
"""Where requests wait for a model."""

DETECT = "detect"
"""Where voices are detected; its threads hang and are replaced as those of desks."""

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.5)


class Metrics:
    """One server's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._register_process()
        self._register_sessions()
        self._register_turns()
        self._register_latency()
        self._register_archive()

    def _register_process(self) -> None:
        # Memory, processor and open files, under every program's names; Linux alone.
        ProcessCollector(registry=self.registry)
        build = Info("stream_erc_build", "What runs here", registry=self.registry)
        build.info(
            {"version": version("stream-erc"), "python": platform.python_version()}
        )
        self.model_load = Gauge(
            "stream_erc_model_load_seconds",
            "What the models took to load and warm up",
            registry=self.registry,
        )
        self.loop_lag = Histogram(
            "stream_erc_loop_lag_seconds",
            "How late the event loop is",
            buckets=LAG_BUCKETS_S,
            registry=self.registry,
        )

    def _register_sessions(self) -> None:
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        self.sessions = gauge("stream_erc_sessions", "Sessions open now")
        self.waiting = gauge(
            "stream_erc_sessions_waiting",
            "Sessions open now whose client has no socket",
        )
        self.opened = counter("stream_erc_sessions_opened", "Sessions opened")
        self.refused = counter(
            "stream_erc_sessions_refused",
            "Clients turned away, by what they met",
            ["code"],
        )
        self.resumes = counter("stream_erc_resumes", "Lost sockets that were replaced")
        self.lost = counter(
            "stream_erc_sessions_lost",
            "Sessions whose client did not come back, by what ran out",
            ["limit"],
        )
        self.conversations = gauge("stream_erc_conversations", "Conversations kept")

    def _register_turns(self) -> None:
        counter = partial(Counter, registry=self.registry)
        self.audio_seconds = counter("stream_erc_audio_seconds", "Audio heard")
        self.turns = counter("stream_erc_turns", "Turns ended", ["reason"])
        self.finals = counter("stream_erc_finals", "Final emotions", ["label"])
        self.rejected = counter(
            "stream_erc_rejected_transcripts", "Turns judged not to be speech"
        )
        self.partials = counter(
            "stream_erc_partials", "Provisional results told", ["kind"]
        )
        self.partials_dropped = counter(
            "stream_erc_partials_dropped", "Provisional results overtaken under load"
        )
        self.errors = counter("stream_erc_errors", "Errors told to clients", ["code"])
        self.warnings = counter(
            "stream_erc_warnings", "Warnings told to clients", ["code"]
        )
        for code in ("not_transcribed", "not_judged", "not_detected"):
            self.warnings.labels(code)
        self.limited = counter(
            "stream_erc_limited", "How often a limit was reached", ["limit"]
        )
        for one in dataclasses.fields(LimitsConfig):
            self.limited.labels(one.name)

    def _register_latency(self) -> None:
        histogram = partial(Histogram, registry=self.registry)
        self.endpoint = histogram(
            "stream_erc_endpoint_to_emotion_seconds",
            "From the decided end of a turn to its emotion",
            buckets=LATENCY_BUCKETS_S,
        )
        self.stage = histogram(
            "stream_erc_final_stage_seconds",
            "What a final's stages took: its waiting, then each model",
            ["stage"],
            buckets=LATENCY_BUCKETS_S,
        )
        self.requests = Gauge(
            "stream_erc_requests_waiting",
            "Requests that wait for a model",
            ["desk"],
            registry=self.registry,
        )
        self.restarts = Counter(
            "stream_erc_worker_restarts",
            "Threads that hung in a model and were replaced",
            ["desk"],
            registry=self.registry,
        )
        self.retries = Counter(
            "stream_erc_retries",
            "Finals asked of a pool again, since a replica died or did not answer",
            ["desk"],
            registry=self.registry,
        )
        for desk in DESKS:
            self.restarts.labels(desk)
            self.retries.labels(desk)
        self.restarts.labels(DETECT)

    def _register_archive(self) -> None:
        counter = partial(Counter, registry=self.registry)
        self.journal = Histogram(
            "stream_erc_journal_seconds",
            "From an event to its place on the disk, before which it is not sent",
            buckets=LATENCY_BUCKETS_S,
            registry=self.registry,
        )
        self.journal_errors = counter(
            "stream_erc_journal_errors", "Attempts to write the journal that failed"
        )
        self.journal_lost = counter(
            "stream_erc_journal_lost", "Entries that the journal does not have"
        )
        self.recording_lost = counter(
            "stream_erc_recording_lost", "Seconds of audio that are not kept"
        )

    def count(self, event: events.Event) -> None:
        """Count an event that is told."""
        match event:
            case events.TurnEnded(reason=reason):
                self.turns.labels(reason).inc()
            case events.TranscriptFinal(rejected=True):
                self.rejected.inc()
            case events.EmotionFinal(label=label, latency=latency):
                self.finals.labels(label).inc()
                self.endpoint.observe(latency.endpoint_ms / 1000)
                self.stage.labels("queue").observe(latency.queue_ms / 1000)
                self.stage.labels("hear").observe(latency.hear_ms / 1000)
                self.stage.labels("understand").observe(latency.understand_ms / 1000)
            case events.TranscriptPartial():
                self.partials.labels("transcript").inc()
            case events.EmotionPartial():
                self.partials.labels("emotion").inc()
            case events.Failure(code=code):
                self.count_error(code)
            case events.Warn(code=code):
                self.warnings.labels(code).inc()

    def count_restart(self, desk: str) -> None:
        """Count that a thread hung in a model and was replaced; from any thread."""
        self.restarts.labels(desk).inc()

    def count_retry(self, desk: str) -> None:
        """Count that a final was asked of a pool again; from any thread."""
        self.retries.labels(desk).inc()

    def count_error(self, code: str) -> None:
        """Count an error that is told, and the limit that it is about."""
        self.errors.labels(code).inc()
        if limit := LIMITS.get(code):
            self.count_limit(limit)

    def count_limit(self, limit: str) -> None:
        """Count that a limit was reached."""
        self.limited.labels(limit).inc()

    def text(self) -> str:
        """Give everything in Prometheus' text format."""
        return generate_latest(self.registry).decode()
