"""Simulated time: what queueing theory says, and what the lanes promise."""

import argparse
import json

import msgspec
import numpy as np
import pytest
import simpy

from benchmarks import planning, simulate
from benchmarks.demand import Ask, Demand, Spoken
from benchmarks.population import (
    Cluster,
    Outcome,
    Speaker,
    one_machine,
    simulate_crowd,
)
from benchmarks.queueing import Desk, Job, Machine, interpolate
from stream_erc.errors import ConfigError


def put(env, desk, *, at_ms, session=0, work_ms=100.0, is_final=True, ended):
    """Queue a job at a time; note when it ended and whether it was answered."""

    def go():
        yield env.timeout(at_ms)
        job = Job(session, work_ms, env.event(), is_final, deadline_ms=env.now + 1000)
        desk.put(job)
        answered = yield job.done
        ended.append((env.now, session, is_final, answered))

    env.process(go())


def test_threads_share_the_cores():
    env = simpy.Environment()
    machine = Machine(env, speedups=(1.0, 1.2))
    ends = []

    def work(at_ms, work_ms):
        yield env.timeout(at_ms)
        yield machine.work(work_ms)
        ends.append(env.now)

    env.process(work(0, 100))
    env.process(work(40, 60))
    env.run()
    # Alone for 40 ms; then 60 are left of each, at 0.6 of the speed.
    assert ends == [pytest.approx(140), pytest.approx(140)]


@pytest.mark.parametrize(
    ("background", "took_ms"), [(0.0, 100), (1.0, 100 / 0.6), (1.5, 100 / 0.3)]
)
def test_the_background_goes_first(background, took_ms):
    env = simpy.Environment()
    done = Machine(env, (1.0, 1.2), background).work(100)
    env.run(done)
    assert env.now == pytest.approx(took_ms)


def test_speedups_between_whole_threads():
    speedups = (1.0, 1.6, 1.8)
    assert [interpolate(speedups, n) for n in (0, 0.5, 1, 1.5, 3, 9)] == pytest.approx(
        [0, 0.5, 1, 1.3, 1.8, 1.8]
    )


def test_waits_are_those_of_queueing_theory():
    """M/D/1: Poisson arrivals, one thread; mean wait rho s / 2 (1 - rho)."""
    env = simpy.Environment()
    desk = Desk(env, Machine(env, (1.0,)), 1, 1)
    draw = np.random.default_rng(1)
    begins = np.cumsum(draw.exponential(1 / 0.007, 20_000))
    ended = []
    for number, at_ms in enumerate(begins):
        put(env, desk, at_ms=at_ms, session=number, ended=ended)
    env.run()
    waits = [end - begins[number] - 100 for end, number, _, _ in ended]
    assert np.mean(waits) == pytest.approx(0.7 * 100 / (2 * 0.3), rel=0.1)


def test_finals_first_and_the_newest_partial():
    env = simpy.Environment()
    desk = Desk(env, Machine(env, (1.0,)), 1, 1)
    ended = []
    put(env, desk, at_ms=0, session=0, ended=ended)
    put(env, desk, at_ms=10, session=1, is_final=False, ended=ended)
    put(env, desk, at_ms=20, session=1, is_final=False, ended=ended)
    put(env, desk, at_ms=30, session=2, ended=ended)
    env.run()
    assert ended == [
        (20, 1, False, False),  # overtaken
        (100, 0, True, True),
        (200, 2, True, True),
        (300, 1, False, True),
    ]


def test_the_first_of_several_threads_takes_finals_alone():
    env = simpy.Environment()
    desk = Desk(env, Machine(env, (1.0, 2.0)), 2, 1)
    ended = []
    for session in range(3):
        put(env, desk, at_ms=0, session=session, is_final=False, ended=ended)
    put(env, desk, at_ms=10, session=9, ended=ended)
    env.run()
    assert ended[1][:3] == (110, 9, True)


def test_a_partial_past_its_deadline_is_dropped():
    env = simpy.Environment()
    desk = Desk(env, Machine(env, (1.0,)), 1, 1)
    ended = []
    put(env, desk, at_ms=0, work_ms=1500, ended=ended)
    put(env, desk, at_ms=1, session=1, is_final=False, ended=ended)
    env.run()
    assert ended == [(1500, 0, True, True), (1500, 1, False, False)]


# --- sessions -----------------------------------------------------------------


def turn(at_ms, *, hear_ms=200.0, resumed=False):
    """A turn that pauses at a time; with a first pause that was none."""
    asks = [Ask(at_ms, hear_ms, 10.0, is_final=True)]
    if resumed:
        asks.insert(0, Ask(at_ms - 500, hear_ms, 10.0, is_final=True))
    return Spoken(
        tuple(asks),
        (at_ms - 450,) if resumed else (),
        voice_end_ms=at_ms - 128,
        decided_ms=at_ms + 416,
    )


def demand_of(*sessions, duration_ms=10_000.0):
    return Demand(
        sessions=sessions,
        duration_ms=duration_ms,
        speedups=(1.0, 1.2),
        path_ms=14.0,
        idle_cores=0.02,
        client_cores=0.0,
        hear_threads=2,
        machine={},
    )


def waits(demand, *starts_ms):
    site = one_machine(demand, 0)
    outcome = Outcome((0.0, 60_000.0))
    for number, start_ms in enumerate(starts_ms):
        speaker = Speaker(site, number, demand.path_ms, outcome)
        site.env.process(speaker.speak(iter(demand.sessions[0]), start_ms))
    site.env.run()
    return outcome.waits_ms


def test_a_final_in_time_waits_for_the_endpoint_alone():
    assert waits(demand_of((turn(2000),)), 0.0) == [pytest.approx(128 + 416 + 14)]


def test_a_final_that_is_late_is_waited_for():
    slow = demand_of((turn(2000, hear_ms=700.0),))
    assert waits(slow, 0.0) == [pytest.approx(128 + 700 + 10 + 14)]


def test_a_hearing_that_nobody_wants_any_more_holds_up_nobody():
    """Behind another one's 600 ms; with the first of its own it would be 652."""
    demand = demand_of((turn(1500, hear_ms=600.0),), (turn(2000, resumed=True),))
    site = one_machine(msgspec.structs.replace(demand, hear_threads=1), 0)
    outcome = Outcome((1800.0, 60_000.0))
    for number, turns in enumerate(demand.sessions):
        site.env.process(Speaker(site, number, 14.0, outcome).speak(iter(turns), 0.0))
    site.env.run()
    assert outcome.waits_ms == [pytest.approx(128 + 416 + 14)]


def test_no_final_is_lost_however_few_nodes():
    demand = demand_of(tuple(turn(at) for at in (1000, 3000, 5000, 7000, 9000)))
    for n_sessions in (4, 40):
        site = one_machine(demand, n_sessions)
        outcome = simulate_crowd(demand, site, n_sessions, seconds=10, seed=0)
        assert len(outcome.waits_ms) == pytest.approx(5 * n_sessions, rel=0.3)
        assert min(outcome.waits_ms) >= 128 + 416 + 14


def test_the_next_round_waits_for_a_turn_that_ends_late():
    """Nothing may be late where there is no lack of anything."""
    demand = demand_of((turn(1000), turn(14_000)))
    plenty = Cluster(n_hearing=99, n_judging=99, threads=2, hop_ms=0.0, speed=1.0)
    site = plenty.build(demand, seed=0)
    outcome = simulate_crowd(demand, site, 10, seconds=60, seed=0)
    assert max(outcome.waits_ms) == pytest.approx(128 + 416 + 14)


def test_a_faster_node_does_more():
    demand = demand_of(tuple(turn(at) for at in (1000, 3000, 5000, 7000, 9000)))
    slow, fast = (
        planning.Planner(demand, options(hearing_speed=speed, hearing_price=price))
        for speed, price in ((1.0, 0.1), (10.0, 0.5))
    )
    few, many = (
        planner.hearing_for(40, planning.partials_too) for planner in (fast, slow)
    )
    assert few < many
    assert fast.plan(40, 4).price > slow.plan(40, 4).price


# --- command ------------------------------------------------------------------


def options(**changed):
    defaults = {"hop_ms": 2.0, "seed": 0, "seconds": 5.0, "plot": None}
    prices = {"node_price": 0.1, "hearing_price": 0.1, "hearing_speed": 1.0}
    return argparse.Namespace(**{**defaults, **prices, **changed})


def test_the_fewest_nodes_that_are_in_time():
    demand = demand_of(tuple(turn(at) for at in (1000, 3000, 5000, 7000, 9000)))
    planner = planning.Planner(demand, options())
    fewest = planner.hearing_for(40, planning.finals_in_time)
    assert planner.plan(40, fewest).wait.p95 <= planning.MAX_WAIT_MS
    assert planner.plan(40, fewest // 2).wait.p95 > planning.MAX_WAIT_MS


def test_a_million_are_a_hundred_cells():
    planner = planning.Planner(demand_of((turn(1000),)), options())
    cell = planner.plan(20, 4)
    many = planning.multiply(cell, 100)
    assert (many.n_sessions, many.n_hearing) == (2000, 400)
    assert (many.wait, many.price) == (cell.wait, cell.price)


def load_report(tmp_path, sessions):
    step = {
        "sessions": sessions,
        "waiting_ms": {"voice end -> emotion.final": {"p50": 560.0, "p95": 600.0}},
    }
    report = {"settings": {"seconds": 30.0}, "figures": {"steps": [step]}}
    file = tmp_path / "load.json"
    file.write_text("a table\n" + json.dumps(report) + "\n")
    return file


def test_it_is_held_against_a_measured_run(tmp_path, capsys):
    demand = demand_of((turn(8000), turn(12_000)))
    _, [target] = simulate.validate(demand, [load_report(tmp_path, 1)])
    assert target.value == pytest.approx(100 * (1 - 558 / 600), abs=0.1)
    assert target.is_met
    assert "600" in capsys.readouterr().out


def test_more_sessions_than_were_measured_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at most 1 sessions.* got 2"):
        simulate.validate(demand_of((turn(8000),)), [load_report(tmp_path, 2)])


def test_a_report_of_something_else_is_refused(tmp_path):
    file = tmp_path / "load.json"
    file.write_text("{}\n")
    with pytest.raises(ConfigError, match=r"load\.json: expected the last line"):
        simulate.read_steps(file)
