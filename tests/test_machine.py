"""Affinity and quota -> usable cores, on made-up control groups of both versions."""

import os
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from stream_erc.machine import (
    NICENESS,
    ancestors,
    compute_alone,
    count_affine,
    give_way,
    usable_cores,
)

MANY = 64


@pytest.fixture
def cores(tmp_path, monkeypatch):
    """Gives the usable cores of a machine of 64 with these groups and quotas."""
    monkeypatch.setattr("stream_erc.machine.count_affine", lambda: MANY)

    def read(membership, files):
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            file = tmp_path / "cgroup" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return usable_cores(tmp_path / "cgroup", tmp_path / "membership")

    return read


SERVICE = "0::/system.slice/stream-erc.service\n"
HYBRID = "4:cpu,cpuacct:/docker/ab12\n1:name=systemd:/docker/ab12\n0::/docker/ab12\n"


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 1.5),
        ("0::/\n", {"cpu.max": "max 100000\n"}, MANY),
        ("0::/\n", {"cpu.max": "9900000 100000\n"}, MANY),
        ("0::/\n", {"cpu.max": "nonsense\n"}, MANY),
        ("0::/\n", {"cpu.max": "100 0\n"}, MANY),
        ("0::/../other\n", {"cpu.max": "50000 100000\n"}, 0.5),
        (SERVICE, {"system.slice/stream-erc.service/cpu.max": "200000 100000\n"}, 2),
        (SERVICE, {"system.slice/cpu.max": "300000 100000\n"}, 3),
        (SERVICE, {}, MANY),
        (
            SERVICE,
            {
                "system.slice/stream-erc.service/cpu.max": "400000 100000\n",
                "system.slice/cpu.max": "300000 100000\n",
            },
            3,
        ),
        (
            HYBRID,
            {"cpu/cpu.cfs_quota_us": "250000\n", "cpu/cpu.cfs_period_us": "100000\n"},
            2.5,
        ),
        (
            HYBRID,
            {
                "cpu/docker/ab12/cpu.cfs_quota_us": "100000\n",
                "cpu/docker/ab12/cpu.cfs_period_us": "50000\n",
                "cpu/cpu.cfs_quota_us": "-1\n",
                "cpu/cpu.cfs_period_us": "100000\n",
            },
            2,
        ),
        (HYBRID, {"cpu/cpu.cfs_quota_us": "100000\n"}, MANY),
        ("2:cpuset:/\n", {"cpu.max": "100000 100000\n"}, MANY),
    ],
)
def test_the_smallest_quota_holds(cores, membership, files, expected):
    assert cores(membership, files) == expected


def test_without_control_groups_the_affinity_counts(tmp_path):
    nowhere = tmp_path / "nowhere"
    assert usable_cores(nowhere, nowhere) == count_affine()


@pytest.mark.skipif(sys.platform != "linux", reason="sets the affinity")
def test_affinity_counts_and_not_the_host(tmp_path):
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(allowed)})
        assert usable_cores(tmp_path, tmp_path / "none") == 1.0
    finally:
        os.sched_setaffinity(0, allowed)


def test_this_machine_has_some_of_its_cores():
    assert 0 < usable_cores() <= os.cpu_count()


@given(st.text(st.sampled_from("/.ab")))
def test_no_group_leads_out_of_its_mount(tmp_path_factory, group):
    mount = tmp_path_factory.getbasetemp()
    for folder in ancestors(mount, group):
        assert folder.resolve().is_relative_to(mount.resolve())


# --- niceness -----------------------------------------------------------------


@pytest.mark.skipif(sys.platform != "linux", reason="threads are nice on Linux alone")
def test_who_gives_way_does_so_with_the_threads_it_starts_and_no_other():
    def niceness():
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    def give_way_and_start_another():
        give_way()
        with ThreadPoolExecutor(1) as another:
            return niceness(), another.submit(niceness).result()

    before = niceness()
    with ThreadPoolExecutor(1) as thread:
        nice = thread.submit(give_way_and_start_another).result()
    assert nice == (before + NICENESS, before + NICENESS)
    assert niceness() == before


def test_numpy_computes_in_the_thread_that_asks():
    compute_alone()
    np.ones((500, 500)) @ np.ones((500, 500))
    libraries = [one for one in threadpool_info() if one["user_api"] == "blas"]
    assert [library["num_threads"] for library in libraries] == [1] * len(libraries)


THREADS_THAT_ALLOCATE = """
import threading
from pathlib import Path
from stream_erc.machine import share_heap

def reserved_kb():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(status["VmSize"].split()[0])

def hold():
    kept.append(bytearray(50_000))
    told.release()
    may_end.wait()

if {shares}:
    share_heap()
threading.stack_size(65_536)
kept, told, may_end = [], threading.Semaphore(0), threading.Event()
before = reserved_kb()
for _ in range(4):
    threading.Thread(target=hold).start()
    told.acquire()
print(reserved_kb() - before)
may_end.set()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_threads_take_their_memory_from_one_heap():
    """A heap of its own would reserve 64 MB of addresses for each of four threads."""
    own, shared = (
        int(
            subprocess.run(
                [sys.executable, "-c", THREADS_THAT_ALLOCATE.format(shares=shares)],
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
        for shares in (False, True)
    )
    assert own - shared > 100_000


FREEING = """
from pathlib import Path
from stream_erc.machine import return_heap

def resident_kb():
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").open())
    return int(status["VmRSS"].split()[0])

blocks = [bytearray(100_000) for _ in range(1000)]
del blocks[:-1]  # the last one lies on top of them
before = resident_kb()
return_heap()
print(before - resident_kb())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="of glibc alone")
def test_what_was_freed_goes_back_to_the_system():
    given_kb = subprocess.run(
        [sys.executable, "-c", FREEING],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(given_kb) > 50_000
