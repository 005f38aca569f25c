"""Events that were sent -> what Prometheus is told."""

import platform
import sys
from importlib.metadata import version

import pytest
from msgspec import structs
from prometheus_client.parser import text_string_to_metric_families

from stream_erc import events
from stream_erc.metrics import Metrics

ENDED = events.TurnEnded(
    turn=0, speaker="Ann", start_ms=0, end_ms=900, decided_ms=1400, reason="silence"
)
FINAL = events.EmotionFinal(
    turn=0,
    label="joy",
    probabilities={},
    sentiment={},
    modalities=(),
    context_turns=0,
    context_seq=0,
    latency=events.Latency(
        endpoint_ms=30.0,
        compute_ms=200.0,
        queue_ms=4.0,
        hear_ms=190.0,
        understand_ms=10.0,
    ),
)


def samples(metrics):
    """Every sample that a scraper reads, by name and labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text())
        for sample in family.samples
    }


def counted(*sent):
    metrics = Metrics()
    for event in sent:
        metrics.count(event)
    return samples(metrics)


def test_turns_are_counted_by_the_reason_of_their_end():
    told = counted(ENDED, ENDED, structs.replace(ENDED, reason="flush"))
    assert told["stream_erc_turns_total", "silence"] == 2
    assert told["stream_erc_turns_total", "flush"] == 1


def test_finals_are_counted_by_their_label():
    told = counted(FINAL, FINAL)
    assert told["stream_erc_finals_total", "joy"] == 2


def test_latency_is_told_in_seconds():
    told = counted(FINAL)
    assert told[("stream_erc_endpoint_to_emotion_seconds_sum",)] == 0.03
    assert told["stream_erc_endpoint_to_emotion_seconds_bucket", "0.02"] == 0
    assert told["stream_erc_endpoint_to_emotion_seconds_bucket", "0.05"] == 1
    stages = {"queue": 0.004, "hear": 0.19, "understand": 0.01}
    for stage, seconds in stages.items():
        assert told["stream_erc_final_stage_seconds_sum", stage] == seconds


def test_partials_are_counted_by_their_kind():
    words = events.TranscriptPartial(turn=0, revision=1, text="a", stable_chars=0)
    told = counted(words, words)
    assert told["stream_erc_partials_total", "transcript"] == 2


@pytest.mark.parametrize(("rejected", "count"), [(True, 1), (False, 0)])
def test_only_rejected_transcripts_count_as_rejected(rejected, count):
    told = counted(events.TranscriptFinal(turn=0, text="", words=(), rejected=rejected))
    assert told[("stream_erc_rejected_transcripts_total",)] == count


def test_errors_are_counted_by_their_code():
    told = counted(events.Failure(code="not_json", message="", recoverable=True))
    assert told["stream_erc_errors_total", "not_json"] == 1


def test_warnings_are_counted_by_their_code():
    told = counted(events.Warn(code="not_judged", message=""))
    assert told["stream_erc_warnings_total", "not_judged"] == 1


def test_other_events_count_as_nothing():
    told = counted(events.Pong(id=1))
    assert told.keys() == samples(Metrics()).keys()
    assert not any(
        value
        for (name, *_), value in told.items()
        if not name.startswith("process_")
        and not name.endswith(("_created", "_build_info"))
    )


def test_the_build_is_told():
    [labels] = [
        labels
        for name, *labels in samples(Metrics())
        if name == "stream_erc_build_info"
    ]
    assert set(labels) == {version("stream-erc"), platform.python_version()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_and_processor_are_told_under_the_names_that_all_programs_use():
    names = {name for name, *_ in samples(Metrics())}
    assert names >= {"process_resident_memory_bytes", "process_cpu_seconds_total"}


def test_two_servers_in_one_process_count_apart():
    one, other = Metrics(), Metrics()
    one.count(ENDED)
    assert ("stream_erc_turns_total", "silence") not in samples(other)
