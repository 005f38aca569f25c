"""The benchmarks measure what they say: hand-made cases, no server and no clock."""

import asyncio
import json
import os
from dataclasses import replace

import numpy as np
import pytest
from benchmark_cases import a_clip, a_turn, an_emotion

from benchmarks import accuracy, latency, report
from benchmarks.dialogues import COMMITTED, Dialogue, to_ms
from benchmarks.options import model_of
from benchmarks.playing import Ear, Manner, Performance, Stage
from benchmarks.report import Target, print_document, spread
from benchmarks.serving import (
    bound_quantile,
    read_busy_s,
    read_histogram,
    read_resident_mb,
)
from benchmarks.timing import Timings, count_flips, label_at, stable_from
from benchmarks.watching import Clocks, Watch
from clients.schedule import SendTimes
from clients.sources import RATE_HZ
from stream_erc import events
from stream_erc.config import DEFAULT_MODEL

BYTES_PER_S = RATE_HZ * 2

# --- waiting --------------------------------------------------------------------


def a_performance(clips, turns):
    """Audio sent in chunks of 20 ms, each 10 s after its place on the audio clock."""
    send_times = SendTimes(BYTES_PER_S)
    for number in range(500):
        send_times.record(640, 10.0 + (number + 1) * 0.02)
    return Performance(
        dialogue=Dialogue("", np.zeros(0, np.int16), tuple(clips)),
        turns=turns,
        send_times=send_times,
        late_ms=[],
        n_untold=0,
        started=None,
        warnings=[],
    )


def test_waiting_counts_from_the_sending_of_the_sample():
    turn = a_turn(
        0,
        1000,
        2080,
        decided_ms=2600,
        ended_s=12.61,
        final_s=12.65,
        first_words_s=11.7,
        first_emotion_s=12.0,
        endpoint_ms=40.0,
    )
    timings = Timings()
    timings.add(a_performance([a_clip(1000, 2000)], [turn]))
    waits = {name: one.p50 for name, one in timings.spreads().items()}
    assert waits["endpoint -> turn.ended"] == pytest.approx(10.0)
    assert waits["endpoint -> emotion.final"] == pytest.approx(50.0)
    assert waits["voice end -> endpoint"] == pytest.approx(600.0)
    assert waits["voice end -> emotion.final"] == pytest.approx(650.0)
    assert waits["voice start -> first partial words"] == pytest.approx(700.0)
    assert waits["voice start -> first partial emotion"] == pytest.approx(1000.0)
    assert waits["server: endpoint -> final"] == 40.0


def test_a_final_that_never_came_is_missed():
    turn = a_turn(0, 1000, 2080, decided_ms=2600, ended_s=12.61)
    timings = Timings()
    timings.add(a_performance([a_clip(1000, 2000), a_clip(3000, 4000)], [turn]))
    counts = timings.counts()
    assert (counts["finals_expected"], counts["finals_delivered"]) == (1, 0)
    assert (counts["clips"], counts["clips_without_turn"]) == (2, 1)


def test_a_clip_that_begins_inside_a_running_turn_has_no_first_words():
    turn = a_turn(
        0, 1000, 4000, decided_ms=4600, ended_s=14.6, final_s=14.7, first_words_s=11.5
    )
    timings = Timings()
    timings.add(a_performance([a_clip(1000, 2000), a_clip(3000, 4000)], [turn]))
    assert timings.voice_start_to_words == pytest.approx([500.0])
    assert timings.voice_end_to_final == pytest.approx([2700.0, 700.0])


def test_flips_count_the_final_too():
    turn = a_turn(
        0, 0, 1, label="fear", partial_labels=[(1, "joy"), (2, "joy"), (3, "anger")]
    )
    assert count_flips(turn) == 2
    assert [label_at(turn, at_s) for at_s in (0.5, 1.0, 2.9, 9.0)] == [
        None,
        "joy",
        "joy",
        "anger",
    ]


def test_half_of_the_voice_is_half_of_the_true_voice():
    early = a_turn(0, 1000, 2080, partial_labels=[(11.5, "joy")])
    late = replace(early, partial_labels=[(11.51, "joy")])
    for turn, expected in ((early, 1), (late, 0)):
        turn.decided_ms, turn.ended_s, turn.final_s = 2600, 12.6, 12.7
        timings = Timings()
        timings.add(a_performance([a_clip(1000, 2000)], [turn]))
        assert timings.n_at_half == expected


@pytest.mark.parametrize(
    ("labels", "stable_s"),
    [
        ([(1.0, "joy"), (2.0, "joy")], 1.0),
        ([(1.0, "joy"), (2.0, "fear"), (3.0, "joy")], 3.0),
        ([(1.0, "joy"), (2.0, "fear")], 4.0),
        ([], 4.0),
    ],
)
def test_an_emotion_is_stable_from_where_it_does_not_change_again(labels, stable_s):
    turn = a_turn(0, 0, 1, label="joy", partial_labels=labels, final_s=4.0)
    assert stable_from(turn) == stable_s


def test_a_turn_without_a_partial_emotion_is_not_right_at_half():
    turn = a_turn(0, 1000, 2080, decided_ms=2600, ended_s=12.6, final_s=12.7)
    timings = Timings()
    timings.add(a_performance([a_clip(1000, 2000)], [turn]))
    assert timings.counts()["share_at_half_as_final"] is None
    assert timings.counts()["share_at_half_as_final_of_all"] == 0.0


# --- playing --------------------------------------------------------------------


class RecordingConnection:
    """Stands in for a connection: notes what is sent, and answers markers at once."""

    def __init__(self, ear):
        self.sent = []
        self._ear = ear
        self._n_samples = 0

    async def send_audio(self, audio):
        self._n_samples += len(audio) // 2

    async def set_speaker(self, speaker):
        self.sent.append((to_ms(self._n_samples), speaker))

    async def flush_turn(self):
        self.sent.append((to_ms(self._n_samples), "flush"))

    async def mark(self, id):
        self._ear._take(events.Marker(id=id))

    async def end(self):
        self.sent.append((to_ms(self._n_samples), "end"))


def play_two_clips(ear, **manner):
    """Play `a` from 1000 to 2000 ms and `b` from 3000 to 4000 ms, without a pace."""
    clips = (a_clip(1000, 2000, speaker="a"), a_clip(3000, 4000, speaker="b"))
    dialogue = Dialogue("", np.zeros(5 * RATE_HZ, np.int16), clips)
    connection = RecordingConnection(ear)
    stage = Stage(connection, ear, dialogue, Manner(speed=None, **manner))
    asyncio.run(stage.play())
    return connection.sent, stage.n_untold


def test_the_speaker_is_told_once_the_turn_before_has_its_emotion():
    sent, n_untold = play_two_clips(Ear(finished_ms=2080))
    assert sent == [(2100.0, "b"), (5000.0, "end")]
    assert n_untold == 0


def test_an_oracle_ends_each_turn_with_the_chunk_in_which_its_voice_ends():
    sent, _ = play_two_clips(Ear(), speakers="never", endpoint="oracle")
    assert sent == [(2000.0, "flush"), (4000.0, "flush"), (5000.0, "end")]


@pytest.mark.parametrize(
    "ear", [Ear(), Ear(finished_ms=900), Ear(finished_ms=2080, _open={1: 0})]
)
def test_the_speaker_is_not_told_while_a_turn_waits_for_its_emotion(ear):
    sent, n_untold = play_two_clips(ear)
    assert sent == [(5000.0, "end")]
    assert n_untold == 1


def test_a_turn_is_open_until_its_emotion_has_come():
    ear = Ear()
    ear._take(events.TurnStarted(turn=0, speaker="a", start_ms=0, voice_start_ms=0))
    assert not ear.has_finished(0)
    ear._take(
        events.TurnEnded(
            turn=0, speaker="a", start_ms=0, end_ms=9, decided_ms=9, reason="silence"
        )
    )
    assert not ear.has_finished(0)
    ear._take(
        an_emotion(
            events.EmotionFinal,
            label="joy",
            context_turns=0,
            context_seq=0,
            latency=events.Latency(endpoint_ms=1.0, compute_ms=2.0, queue_ms=3.0),
        )
    )
    assert ear.has_finished(8)
    assert not ear.has_finished(9)


# --- report ---------------------------------------------------------------------


def test_percentiles_interpolate_between_values():
    one = spread([float(value) for value in range(101)])
    assert (one.n, one.p50, one.p95, one.p99, one.max) == (101, 50, 95, 99, 100)
    assert spread([0.0, 10.0]).p95 == pytest.approx(9.5)
    assert spread([]) == report.Spread(0, None, None, None, None)


@pytest.mark.parametrize(
    ("value", "is_ceiling", "is_met"),
    [
        (60.0, True, True),
        (60.1, True, False),
        (60.0, False, True),
        (59.9, False, False),
        (None, True, None),
        (float("inf"), True, False),
    ],
)
def test_a_target_is_met_at_its_limit(value, is_ceiling, is_met):
    assert Target("", value, 60.0, is_ceiling).is_met is is_met


def test_the_last_line_is_json_and_names_no_folder_of_this_machine(capsys):
    print_document(
        "latency",
        {"settings": {"data": COMMITTED, "speed": None}},
        {"waiting": spread([1.0, 2.00004]), "lag": float("inf")},
        [Target("lag", float("inf"), 1.0)],
    )
    document = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert document["settings"]["data"] == "audio"
    assert document["figures"]["waiting"]["max"] == 2.0
    assert document["figures"]["lag"] is None
    assert document["targets"][0]["met"] is False


def test_the_model_is_told_by_its_checksums():
    assert model_of(["asr.threads=1"]) == DEFAULT_MODEL
    assert model_of(["emotion.model=a/b"]).parts == ("a", "b")
    version = report.describe_version(DEFAULT_MODEL)
    assert all(len(digest) == 64 for digest in version["model_sha256"].values())


HISTOGRAM = """\
# TYPE stream_erc_loop_lag_seconds histogram
stream_erc_loop_lag_seconds_bucket{le="0.01"} 50.0
stream_erc_loop_lag_seconds_bucket{le="0.02"} 99.0
stream_erc_loop_lag_seconds_bucket{le="+Inf"} 100.0
stream_erc_loop_lag_seconds_count 100.0
"""


def test_a_quantile_of_a_histogram_is_the_bound_of_its_bucket():
    after = read_histogram(HISTOGRAM, "stream_erc_loop_lag_seconds")
    assert after == {0.01: 50, 0.02: 99, float("inf"): 100}
    assert bound_quantile({}, after, 0.5) == 0.01
    assert bound_quantile({}, after, 0.99) == 0.02
    assert bound_quantile({}, after, 0.995) == float("inf")


def test_what_came_before_the_run_does_not_count():
    after = read_histogram(HISTOGRAM, "stream_erc_loop_lag_seconds")
    before = {0.01: 0.0, 0.02: 49.0, float("inf"): 50.0}
    assert bound_quantile(before, after, 0.99) == 0.01
    assert bound_quantile(after, after, 0.99) is None


def test_memory_is_read_in_megabytes(tmp_path):
    status = tmp_path / "status"
    status.write_text("VmHWM:\t 9000 kB\nVmRSS:\t 1000 kB\n")
    assert read_resident_mb(status) == pytest.approx(1.024)
    assert read_resident_mb(tmp_path / "gone") is None


def test_idle_processors_do_not_count_as_busy(tmp_path):
    stat = tmp_path / "stat"
    #                user nice system idle iowait irq softirq steal guest guest_nice
    stat.write_text("cpu 100 20 30 5000 600 7 8 35 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n")
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    assert read_busy_s(stat) == pytest.approx(200 / ticks_per_s)


def test_the_work_of_others_is_what_is_left():
    watch = Watch()
    before = Clocks(wall_s=0.0, client_s=0.0, server_s=5.0, busy_s=100.0)
    after = Clocks(wall_s=10.0, client_s=1.0, server_s=9.0, busy_s=108.0)
    watch.note(before, after)
    assert watch.client_cores == pytest.approx(0.1)
    assert watch.server_cores == pytest.approx(0.4)
    assert watch.other_cores == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("n_sessions", "mode", "limit"),
    [(1, "live", 700), (4, "live", 1000), (1, "oracle", None)],
)
def test_the_targets_hang_on_the_mode_and_the_number_of_sessions(
    n_sessions, mode, limit
):
    around = {
        "ready_s": 1.0,
        "rss_end_mb": 1.0,
        "idle_session_mb": 1.0,
        "loop_lag_p99_ms_upper_bound": 1.0,
    }
    timings = Timings()
    targets = latency.set_targets(
        n_sessions, mode, timings.spreads(), timings.counts(), around
    )
    limits = {target.name: target.limit for target in targets}
    assert limits.get("voice end -> emotion.final p95, ms") == limit
    is_alone = n_sessions == 1 and mode == "live"
    assert ("endpoint -> emotion.final p95, ms" in limits) == is_alone


def test_max_is_a_speed_without_waiting():
    assert accuracy.read_speed("max") is None
    assert accuracy.read_speed("8") == 8.0
