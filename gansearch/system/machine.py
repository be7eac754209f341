"""What this machine, or the container that the process runs in, has: cores and memory."""

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
    """Return the machine's memory, and how much of it programs can still take."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        for line in meminfo.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return total, 1024 * int(line.split()[1])
    return total, total


def cgroup_limits(root: Path = _CGROUP, own: Path = _OWN_GROUPS) -> tuple[float, float]:
    """Return the bytes and cores that the process's control groups allow; infinite if unlimited.

    A limit of any group on the way up from the process's own holds, in version 2 (`memory.max`,
    `cpu.max`) as in version 1.
    """
    n_bytes, cores = math.inf, math.inf
    for folder in _groups(root, own):
        n_bytes = min(
            n_bytes,
            _number(folder / "memory.max"),
            _number(folder / "memory.limit_in_bytes"),
        )
        cores = min(cores, _quota(folder))
    return n_bytes, cores


def usable_cores() -> float:
    """Return how many cores this process may use: by its affinity, and by its quota."""
    counted = os.cpu_count() or 1
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else counted
    _, quota = cgroup_limits()
    return min(float(allowed), quota)


def usable_bytes() -> float:
    """Return the memory that programs can still take here: of the machine's and of the limit's."""
    _, available = memory_bytes()
    limit, _ = cgroup_limits()
    return min(available, limit - _used_bytes())


def limit_bytes() -> float:
    """Return the memory that there is at all: the machine's, or what a container may take of it."""
    total, _ = memory_bytes()
    limit, _ = cgroup_limits()
    return min(float(total), limit)


def peak_bytes() -> int:
    """Return the most memory that this process has held so far."""
    status = Path("/proc/self/status")
    if status.exists():  # unlike `getrusage` it counts nothing of the process that started this
        lines = status.read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def n_oom_kills(root: Path = _CGROUP, own: Path = _OWN_GROUPS, machines: Path = _VMSTAT) -> int:
    """Return how many processes the kernel has killed here for want of memory, since it counts.

    The control groups' own count where they have one, else the whole machine's.
    """
    files = [
        folder / name
        for folder in _groups(root, own)
        for name in ("memory.events", "memory.oom_control")
    ]
    return max((_counted(path) for path in files if path.exists()), default=_counted(machines))


def _groups(root: Path, own: Path) -> Iterator[Path]:
    """Yield the folders of the process's control groups, and of those that they lie in."""
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
    """Return what the most limited control group holds already, without the files it caches."""
    limit, used = math.inf, 0.0
    for folder in _groups(root, own):
        for allowed, current in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            if _number(folder / allowed) < limit and (folder / current).exists():
                limit = _number(folder / allowed)
                cached = _counted(folder / "memory.stat", "inactive_file")
                used = max(0.0, _number(folder / current) - cached)
    return used


def _quota(folder: Path) -> float:
    """Return the cores that a control group's quota amounts to."""
    if (folder / "cpu.max").exists():
        quota, period = (folder / "cpu.max").read_text().split()
        return math.inf if quota == "max" else int(quota) / int(period)
    quota_us = _number(folder / "cpu.cfs_quota_us")
    if quota_us <= 0:  # -1 is unlimited
        return math.inf
    return quota_us / _number(folder / "cpu.cfs_period_us")


def _number(path: Path) -> float:
    """Return the number in a file of the kernel's; infinite where absent or `max`."""
    if not path.exists():
        return math.inf
    text = path.read_text().strip()
    return math.inf if text == "max" else float(text)


def _counted(path: Path, name: str = "oom_kill") -> int:
    """Return the number behind a name in a file of names and numbers; 0 where there is none."""
    if not path.exists():
        return 0
    rows = [line.split() for line in path.read_text().splitlines()]
    return next((int(row[1]) for row in rows if len(row) == 2 and row[0] == name), 0)
