"""What Prometheus is told, under names of its own kind."""

from __future__ import annotations

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
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge(
            "stream_erc_sessions", "Sessions open now", registry=registry
        )
        self.conversations = Gauge(
            "stream_erc_conversations", "Conversations kept", registry=registry
        )
        self.audio_seconds = Counter(
            "stream_erc_audio_seconds", "Audio heard", registry=registry
        )
        self.turns = Counter(
            "stream_erc_turns", "Turns ended", ["reason"], registry=registry
        )
        self.finals = Counter(
            "stream_erc_finals", "Final emotions", ["label"], registry=registry
        )
        self.rejected = Counter(
            "stream_erc_rejected_transcripts",
            "Turns judged not to be speech",
            registry=registry,
        )
        self.partials_dropped = Counter(
            "stream_erc_partials_dropped",
            "Provisional results overtaken under load",
            registry=registry,
        )
        self.errors = Counter(
            "stream_erc_errors", "Errors told to clients", ["code"], registry=registry
        )
        self.endpoint = Histogram(
            "stream_erc_endpoint_to_emotion_seconds",
            "From the decided end of a turn to its emotion",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.queue = Histogram(
            "stream_erc_queue_seconds",
            "Waiting for the models, of a final",
            buckets=LATENCY_BUCKETS_S,
            registry=registry,
        )
        self.loop_lag = Histogram(
            "stream_erc_loop_lag_seconds",
            "How late the event loop is",
            buckets=LAG_BUCKETS_S,
            registry=registry,
        )

    def count(self, event: events.Event) -> None:
        """Count an event that has been sent."""
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
