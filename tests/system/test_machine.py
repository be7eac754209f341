"""What the machine and the control groups say of cores and memory."""

import math

import pytest

from gansearch.system import machine
from gansearch.system.machine import (
    cgroup_limits,
    limit_bytes,
    n_oom_kills,
    peak_bytes,
    usable_bytes,
)

GIB = 2**30


def _group(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


def test_the_limits_of_all_control_groups_above_hold(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/slurm/job_7/step_0\n")
    root = tmp_path / "cgroup"
    _group(root / "slurm", cpu__max="max 100000")
    _group(root / "slurm" / "job_7", memory__max=8 * GIB, cpu__max="400000 100000")
    _group(root / "slurm" / "job_7" / "step_0", memory__max="max", cpu__max="1000000 100000")
    assert cgroup_limits(root, own) == (8 * GIB, 4.0)


def test_control_groups_of_version_1_are_read_too(tmp_path):
    own = tmp_path / "own"
    own.write_text("5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n")
    root = tmp_path / "cgroup"
    _group(root / "memory" / "docker" / "x", memory__limit_in_bytes=3 * GIB)
    quota = {"cpu__cfs_quota_us": 150000, "cpu__cfs_period_us": 100000}
    _group(root / "cpu,cpuacct" / "docker" / "x", **quota)
    assert cgroup_limits(root, own) == (3 * GIB, 1.5)


def test_a_container_that_sees_its_own_group_as_the_root_is_read(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/\n")
    _group(tmp_path / "cgroup", memory__max=2 * GIB, cpu__max="50000 100000")
    assert cgroup_limits(tmp_path / "cgroup", own) == (2 * GIB, 0.5)


def test_without_control_groups_there_is_no_limit(tmp_path):
    assert cgroup_limits(tmp_path, tmp_path / "absent") == (math.inf, math.inf)
    own = tmp_path / "own"
    own.write_text("4:cpu:/x\n")
    _group(tmp_path / "cpu" / "x", cpu__cfs_quota_us=-1, cpu__cfs_period_us=100000)
    assert cgroup_limits(tmp_path, own) == (math.inf, math.inf)


def test_this_machine_has_memory_and_this_process_holds_some_of_it():
    assert 2**28 < limit_bytes() < 2**50
    assert 2**20 < peak_bytes() < limit_bytes()
    assert 0 < usable_bytes() <= limit_bytes()


def test_a_containers_limit_counts_where_it_is_below_what_the_machine_has(monkeypatch):
    monkeypatch.setattr(machine, "memory_bytes", lambda: (64 * GIB, 60 * GIB))
    monkeypatch.setattr(machine, "cgroup_limits", lambda: (2 * GIB, math.inf))
    monkeypatch.setattr(machine, "_used_bytes", lambda: 0.5 * GIB)
    assert limit_bytes() == 2 * GIB
    assert usable_bytes() == 1.5 * GIB
    monkeypatch.setattr(machine, "cgroup_limits", lambda: (math.inf, math.inf))
    monkeypatch.setattr(machine, "_used_bytes", lambda: 0.0)
    assert limit_bytes() == 64 * GIB
    assert usable_bytes() == 60 * GIB


def test_what_a_container_holds_is_without_the_files_that_it_caches(tmp_path):
    own = tmp_path / "own"
    own.write_text("0::/job\n")
    stat = "anon 100\ninactive_file 300"
    _group(
        tmp_path / "cgroup" / "job",
        memory__max=2000,
        memory__current=1000,
        memory__stat=stat,
    )
    assert machine._used_bytes(tmp_path / "cgroup", own) == 700


@pytest.mark.parametrize(
    ("path", "name"), [("job", "memory__events"), ("memory/job", "memory__oom_control")]
)
def test_what_the_kernel_has_killed_is_counted_by_the_control_group(tmp_path, path, name):
    own, root = tmp_path / "own", tmp_path / "cgroup"
    own.write_text("0::/job\n4:memory:/job\n")
    _group(root / path, **{name: "oom 9\noom_kill 2"})
    _group(tmp_path, vmstat="oom_kill 5")
    assert n_oom_kills(root, own, tmp_path / "vmstat") == 2
    assert n_oom_kills(root, tmp_path / "absent", tmp_path / "vmstat") == 5
    assert n_oom_kills(root, tmp_path / "absent", tmp_path / "absent") == 0
