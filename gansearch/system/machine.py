"""Cores and memory of this machine, or of the container that the process runs in."""

from __future__ import annotations

import math
import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_OWN_GROUPS = Path("/proc/self/cgroup")
_VMSTAT = Path("/proc/vmstat")


def memory_bytes() -> tuple[int, float]:
    """Return the machine's memory and how much of it is available, in bytes."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return total, 1024 * int(line.split()[1])
    return total, total


def cgroup_limits(root: Path = _CGROUP, own: Path = _OWN_GROUPS) -> tuple[float, float]:
    """Return the bytes and cores that the process's control groups allow; infinite if unlimited.

    The limits of the process's own group and of all groups above it apply, in version 2
    (`memory.max`, `cpu.max`) as in version 1.
    """
    n_bytes, cores = math.inf, math.inf
    for folder in _groups(root, own):
        n_bytes = min(
            n_bytes,
            _read_limit(folder / "memory.max"),
            _read_limit(folder / "memory.limit_in_bytes"),
        )
        cores = min(cores, _quota(folder))
    return n_bytes, cores


def usable_cores() -> float:
    """Return how many cores this process may use, by its affinity and its quota."""
    counted = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else counted
    _, quota = cgroup_limits()
    return min(float(allowed), quota)


def usable_bytes() -> float:
    """Return the bytes still available: the machine's, or within the container's limit if fewer."""
    _, available = memory_bytes()
    limit, _ = cgroup_limits()
    return min(available, limit - _used_bytes())


def limit_bytes() -> float:
    """Return the machine's memory or the container's limit, whichever is smaller, in bytes."""
    total, _ = memory_bytes()
    limit, _ = cgroup_limits()
    return min(float(total), limit)


def peak_bytes() -> int:
    """Return the peak resident memory of this process, in bytes."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike `getrusage` it leaves out the parent process
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def n_oom_kills(root: Path = _CGROUP, own: Path = _OWN_GROUPS, machines: Path = _VMSTAT) -> int:
    """Return how many processes the kernel's OOM killer has killed here so far.

    The count of the control groups if they have one, else of the whole machine.
    """
    files = [
        folder / name
        for folder in _groups(root, own)
        for name in ("memory.events", "memory.oom_control")
    ]
    return max(
        (_read_count(path) for path in files if path.exists()), default=_read_count(machines)
    )


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the process's control groups and of their parents."""
    for line in own.read_text().splitlines() if own.exists() else []:
        _, controllers, path = line.split(":", 2)
        # Version 2 has one tree without a name, version 1 one for each set of controllers.
        for tree in {root, root / controllers, *(root / c for c in controllers.split(","))}:
            group = tree / path.lstrip("/")
            for folder in (group, *group.parents):
                if not folder.is_relative_to(tree):
                    break
                yield folder


def _used_bytes(root: Path = _CGROUP, own: Path = _OWN_GROUPS) -> float:
    """Return the bytes in use by the control group with the lowest limit, without cached files."""
    limit, used = math.inf, 0.0
    for folder in _groups(root, own):
        for allowed, current in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            if _read_limit(folder / allowed) < limit and (folder / current).exists():
                limit = _read_limit(folder / allowed)
                cached = _read_count(folder / "memory.stat", "inactive_file")
                used = max(0.0, _read_limit(folder / current) - cached)
    return used


def _quota(folder: Path) -> float:
    """Return the CPU quota of a control group, in cores."""
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    quota_us = _read_limit(folder / "cpu.cfs_quota_us")
    if quota_us <= 0:  # -1 is unlimited
        return math.inf
    return quota_us / _read_limit(folder / "cpu.cfs_period_us")


def _read_limit(path: Path) -> float:
    """Return the number in a file of the kernel; infinite if it is absent or `max`."""
    if not path.exists():
        return math.inf
    text = path.read_text().strip()
    return math.inf if text == "max" else float(text)


def _read_count(path: Path, name: str = "oom_kill") -> int:
    """Return the number after a name in a file of names and numbers; 0 if it is absent."""
    if not path.exists():
        return 0
    rows = [line.split() for line in path.read_text().splitlines()]
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name), 0)
