"""Pace never drifts, and every sample knows when it was sent."""

import pytest

from clients.schedule import Pace, SendTimes

RATE_HZ = 16_000


class SlowClock:
    """A clock whose sleeps last too long, as those of a busy machine do."""

    def __init__(self, late_s):
        self.now_s = 100.0
        self.late_s = late_s

    def __call__(self):
        return self.now_s

    async def sleep(self, seconds):
        self.now_s += seconds + self.late_s


@pytest.mark.parametrize("speed", [1.0, 4.0])
async def test_sleeps_that_last_too_long_do_not_add_up(speed):
    clock = SlowClock(late_s=0.003)
    pace = Pace(RATE_HZ, speed, clock=clock, sleep=clock.sleep)
    for chunk in range(1, 1001):
        await pace.until(chunk * 320)
    assert clock.now_s - 100.0 == pytest.approx(20.0 / speed + 0.003)


async def test_no_sample_goes_out_before_it_could_have_been_recorded():
    clock = SlowClock(late_s=0.0)
    pace = Pace(RATE_HZ, clock=clock, sleep=clock.sleep)
    for n_samples in (320, 640, 700):
        await pace.until(n_samples)
        assert clock.now_s - 100.0 >= n_samples / RATE_HZ - 1e-9


async def test_after_a_stall_the_schedule_is_caught_up_with():
    clock = SlowClock(late_s=0.0)
    pace = Pace(RATE_HZ, clock=clock, sleep=clock.sleep)
    await pace.until(320)
    clock.now_s += 1.0  # the server held us back
    await pace.until(640)
    assert clock.now_s == pytest.approx(101.02)
    await pace.until(RATE_HZ * 2)
    assert clock.now_s == pytest.approx(102.0)


async def test_without_a_speed_nothing_waits():
    clock = SlowClock(late_s=0.0)
    pace = Pace(RATE_HZ, None, clock=clock, sleep=clock.sleep)
    await pace.until(RATE_HZ * 3600)
    assert clock.now_s == 100.0


def test_a_time_is_that_of_the_frame_which_completed_it():
    sent = SendTimes(bytes_per_s=32_000)
    for frame in range(3):
        sent.record(640, at_s=10.0 + frame)  # 20 ms each
    assert [sent.sent_at(ms) for ms in (1, 20, 20.1, 40, 41, 60)] == [
        10.0,
        10.0,
        11.0,
        11.0,
        12.0,
        12.0,
    ]


def test_frames_that_cut_a_sample_in_two_are_counted_whole():
    sent = SendTimes(bytes_per_s=32_000)
    sent.record(1, at_s=1.0)
    sent.record(31, at_s=2.0)
    assert sent.sent_ms == 1.0
    assert sent.sent_at(1.0) == 2.0


def test_a_time_beyond_what_was_sent_is_that_of_the_last_frame():
    sent = SendTimes(bytes_per_s=32_000)
    sent.record(640, at_s=5.0)
    assert sent.sent_at(10_000) == 5.0


def test_before_any_audio_there_is_no_time_to_tell():
    with pytest.raises(ValueError, match="got none"):
        SendTimes(bytes_per_s=32_000).sent_at(0)
