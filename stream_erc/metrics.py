"""What Prometheus is told, under names of its own kind."""

from __future__ import annotations

from functools import partial

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
)

from . import events

LATENCY_BUCKETS_S = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
LAG_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.5)


class Metrics:
    """One server's counters, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        gauge = partial(Gauge, registry=self.registry)
        counter = partial(Counter, registry=self.registry)
        histogram = partial(Histogram, registry=self.registry)
        self.sessions = gauge("stream_erc_sessions", "Sessions open now")
        self.waiting = gauge(
            "stream_erc_sessions_waiting",
            "Sessions open now whose client has no socket",
        )
        self.resumes = counter("stream_erc_resumes", "Lost sockets that were replaced")
        self.lost = counter(
            "stream_erc_sessions_lost",
            "Sessions whose client did not come back, by what ran out",
            ["limit"],
        )
        self.conversations = gauge("stream_erc_conversations", "Conversations kept")
        self.audio_seconds = counter("stream_erc_audio_seconds", "Audio heard")
        self.turns = counter("stream_erc_turns", "Turns ended", ["reason"])
        self.finals = counter("stream_erc_finals", "Final emotions", ["label"])
        self.rejected = counter(
            "stream_erc_rejected_transcripts", "Turns judged not to be speech"
        )
        self.partials_dropped = counter(
            "stream_erc_partials_dropped", "Provisional results overtaken under load"
        )
        self.errors = counter("stream_erc_errors", "Errors told to clients", ["code"])
        self.endpoint = histogram(
            "stream_erc_endpoint_to_emotion_seconds",
            "From the decided end of a turn to its emotion",
            buckets=LATENCY_BUCKETS_S,
        )
        self.queue = histogram(
            "stream_erc_queue_seconds",
            "Waiting for the models, of a final",
            buckets=LATENCY_BUCKETS_S,
        )
        self.loop_lag = histogram(
            "stream_erc_loop_lag_seconds",
            "How late the event loop is",
            buckets=LAG_BUCKETS_S,
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
                self.queue.observe(latency.queue_ms / 1000)
            case events.Failure(code=code):
                self.errors.labels(code).inc()

    def text(self) -> str:
        """Give everything in Prometheus' text format."""
        return generate_latest(self.registry).decode()
