"""What the machine gives: cores this process may use, threads that go first, memory.

Affinity and quota count, not what the host has: in a container with a quota of two
cores on a host of sixty-four, sixty-four threads would run for a moment of each period
and then all stand still together.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from threadpoolctl import threadpool_limits

NICENESS = 5
"""Added to that of the threads that compute: a third of the others' share of a core."""

M_ARENA_MAX = -8
"""Of glibc's malloc.h: how many heaps there may be."""

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")


def usable_cores(cgroups: Path = CGROUPS, membership: Path = MEMBERSHIP) -> float:
    """Give how many cores this process may keep busy; a quota may be a fraction.

    Args:
        cgroups: Where the control groups are mounted.
        membership: Which of them this process is in; see cgroups(7).
    """
    return min([float(count_affine()), *read_quotas(cgroups, membership)])


def count_affine() -> int:
    """Count the cores that the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def read_quotas(cgroups: Path, membership: Path) -> list[float]:
    """Read the quotas in cores of this process's groups and of all above them.

    The smallest of them holds. Empty where there is none, or no Linux.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return []
    quotas = []
    for line in lines:
        _, controllers, group = line.split(":", 2)
        if not controllers:  # version 2, alone or beside version 1
            for folder in ancestors(cgroups, group):
                quotas += read_quota_v2(folder)
        elif "cpu" in controllers.split(","):
            for folder in ancestors(cgroups / "cpu", group):
                quotas += read_quota_v1(folder)
    return quotas


def ancestors(mount: Path, group: str) -> Iterator[Path]:
    """Give a group's folder and those above it, up to the mount.

    Within a container the path may be the host's, or lead out of what is mounted;
    the mount itself is then the container's own group.
    """
    parts = [part for part in group.split("/") if part]
    if ".." in parts:
        parts = []
    for length in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:length])


def read_quota_v2(folder: Path) -> list[float]:
    """Read `cpu.max`: quota, or "max", and period; see cgroup-v2.rst of Linux."""
    try:
        quota_us, period_us = (folder / "cpu.max").read_text().split()
    except (OSError, ValueError):
        return []
    return to_cores(quota_us, period_us)


def read_quota_v1(folder: Path) -> list[float]:
    """Read `cpu.cfs_quota_us`, -1 for none, and its period; see sched-bwc.rst."""
    try:
        quota_us = (folder / "cpu.cfs_quota_us").read_text()
        period_us = (folder / "cpu.cfs_period_us").read_text()
    except OSError:
        return []
    return to_cores(quota_us, period_us)


def to_cores(quota_us: str, period_us: str) -> list[float]:
    """Give how many cores a quota allows; empty where it is none."""
    try:
        quota, period = int(quota_us), int(period_us)
    except ValueError:
        return []
    return [quota / period] if quota > 0 and period > 0 else []


def give_way() -> None:
    """Let other threads go first, now and for the threads that this one starts.

    Models take what they get; the event loop and the voice detector have little to do,
    but late they make everything late. Linux alone has threads of their own niceness.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        niceness = os.getpriority(os.PRIO_PROCESS, thread) + NICENESS
        os.setpriority(os.PRIO_PROCESS, thread, niceness)  # the kernel stops at 19


def compute_alone() -> None:
    """Let numpy compute each product in the thread that asks for it, from now on.

    Its library would else split small ones over all cores: the threads wait by
    spinning, and the sums, in another order, hang on how many cores there are.
    """
    threadpool_limits(limits=1, user_api="blas")


def share_heap() -> None:
    """Let threads that start from now on take their memory from one heap.

    glibc would give each one of its own, and what is freed in one heap does no other
    thread good: so a server grew by megabytes after hours, whenever its threads had
    long turns at another time than before.
    """
    call_allocator("mallopt", M_ARENA_MAX, 1)


def return_heap() -> None:
    """Give the system what was freed, as after loading: glibc keeps most of it."""
    call_allocator("malloc_trim", 0)


def call_allocator(name: str, *values: int) -> None:
    """Call a function that glibc has, and neither musl nor other systems."""
    if sys.platform != "linux":
        return
    function = getattr(ctypes.CDLL(None), name, None)
    if function is not None:
        function(*values)
