"""The doctor: each check on a simulated machine, and all checks on this one."""

from __future__ import annotations

import json
import math
import os
import shutil
import socket
import subprocess
import sys
import warnings
from collections import namedtuple
from importlib import metadata
from pathlib import Path

import pytest

import gansearch.system.machine
from gansearch import doctor
from gansearch.doctor import examine
from gansearch.errors import SpaceError
from gansearch.system import surroundings
from gansearch.system.checks import Check
from gansearch.system.temporary import TemporaryRoot

GIB = 2**30


def only(checks):
    """Return the only check of an iterable."""
    (check,) = checks
    return check


@pytest.fixture
def machine(monkeypatch):
    """Simulate the cores and the memory of a machine."""

    def _machine(
        *,
        cores=8,
        allowed=None,
        memory=64.0,
        available=60.0,
        limit=math.inf,
        used=0.0,
        quota=math.inf,
    ):
        monkeypatch.setattr(doctor.os, "cpu_count", lambda: cores)
        monkeypatch.setattr(doctor.os, "sched_getaffinity", lambda _: set(range(allowed or cores)))
        for module in (doctor, gansearch.system.machine):
            monkeypatch.setattr(module, "memory_bytes", lambda: (memory * GIB, available * GIB))
        monkeypatch.setattr(gansearch.system.machine, "cgroup_limits", lambda: (limit * GIB, quota))
        monkeypatch.setattr(gansearch.system.machine, "_used_bytes", lambda: used * GIB)

    return _machine


# The whole


def test_this_machine_has_no_problem(tmp_path):
    results = tmp_path / "results"
    checks = examine(tmp_path, results)
    assert [check for check in checks if check.status == "problem"] == []
    names = [check.name for check in checks]
    assert len(names) == len(set(names))
    assert {"python", "packages", "cores", "memory", "results", "built-in spaces"} <= set(names)
    assert list(tmp_path.iterdir()) == []


def test_every_warning_and_problem_has_a_remedy(tmp_path):
    for check in examine(tmp_path, tmp_path / "results"):
        assert check.remedy or check.status == "ok", check


# Packages


def test_the_versions_of_all_requirements_are_listed():
    check = only(doctor._packages())
    assert (check.name, check.status) == ("packages", "ok")
    for package in ("gansearch", "torch", "ray", "optuna", "pandas", "pyarrow"):
        assert f"{package} {metadata.version(package)}" in check.found
    assert "hypothesis" not in check.found  # for developers only


def test_a_missing_and_an_old_package_are_problems(monkeypatch):
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["optuna>=5.0,<6", "no-such-package>=1", "numpy>=1.0"]
    )
    monkeypatch.setattr(doctor, "_version", {"optuna": "4.9.0", "numpy": "2.4.6"}.get)
    monkeypatch.setattr(metadata, "version", lambda _: "0.1.0")
    assert list(doctor._packages()) == [
        Check("optuna", "problem", "4.9.0", "Run pip install 'optuna<6,>=5.0'."),
        Check(
            "no-such-package", "problem", "not installed", "Run pip install 'no-such-package>=1'."
        ),
        Check("packages", "ok", "gansearch 0.1.0, numpy 2.4.6"),
    ]


def test_a_checkout_that_is_not_installed_is_a_warning(monkeypatch):
    def refuse(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "requires", refuse)
    assert only(doctor._packages()).status == "warning"


def test_a_torchvision_of_another_build_is_a_problem(monkeypatch):
    def load(name):
        if name == "torchvision":
            raise RuntimeError("operator torchvision::nms does not exist\nand more")

    monkeypatch.setattr(doctor, "import_module", load)
    check = only(doctor._imports())
    assert (check.name, check.status) == ("import torchvision", "problem")
    assert check.found == "RuntimeError: operator torchvision::nms does not exist"


# GPUs


@pytest.fixture
def nvidia_smi(monkeypatch):
    def _nvidia_smi(stdout, returncode=0):
        monkeypatch.setattr(doctor.shutil, "which", lambda _: "/usr/bin/nvidia-smi")
        done = subprocess.CompletedProcess([], returncode, stdout, "")
        monkeypatch.setattr(doctor.subprocess, "run", lambda *_, **__: done)

    return _nvidia_smi


def test_a_cuda_build_without_a_gpu_is_fine(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(doctor, "_nvidia_smi", list)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    check = only(doctor._gpus())
    assert check == Check("gpu", "ok", f"none; torch {torch.__version__} trains on CPU cores")


def test_the_gpu_of_apple_silicon_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: True)
    check = only(doctor._gpus())
    assert check.status == "ok" and "by MPS, whose memory is the machine's; torch" in check.found


def test_a_gpu_is_listed_with_its_memory_and_driver(monkeypatch, nvidia_smi):
    torch = pytest.importorskip("torch")
    nvidia_smi("NVIDIA H100 80GB HBM3, 81559 MiB, 550.54.15\n")
    device = namedtuple("Device", "name total_memory")("NVIDIA H100 80GB HBM3", 79.6 * GIB)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: device)
    check = only(doctor._gpus())
    assert check == Check("gpu 0", "ok", "NVIDIA H100 80GB HBM3, 80 GiB, driver 550.54.15")


def test_a_gpu_that_torch_cannot_use_is_a_warning_that_says_why(monkeypatch, nvidia_smi):
    torch = pytest.importorskip("torch")
    nvidia_smi("Tesla T4, 15360 MiB, 450.1\n")

    def is_available():
        warnings.warn("The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    check = only(doctor._gpus())
    assert check.status == "warning"
    assert check.found == (
        f"Tesla T4 (15360 MiB), driver 450.1; torch {torch.__version__} can't use it: The NVIDIA "
        "driver on your system is too old"
    )


def test_an_nvidia_smi_that_fails_lists_no_gpu(nvidia_smi):
    nvidia_smi("NVIDIA-SMI has failed because it couldn't communicate, with the, driver\n", 9)
    assert doctor._nvidia_smi() == []


# Cores and memory


def test_a_process_with_the_whole_machine_is_fine(machine):
    machine(cores=8)
    assert doctor._cores() == Check("cores", "ok", "8")
    assert doctor._memory() == Check("memory", "ok", "60.0 GiB available of 64.0")


@pytest.mark.parametrize(
    ("given", "found", "usable"), [({"allowed": 2}, "2", 2), ({"quota": 2.5}, "2.5", 2)]
)
def test_cores_that_may_not_be_used_are_a_warning(machine, given, found, usable):
    machine(cores=64, **given)
    check = doctor._cores()
    assert check.status == "warning"
    assert check.found == f"64, of which this process can use {found}"
    assert check.remedy.endswith(f"--max-concurrent {usable}.")


def test_memory_for_fewer_trials_than_cores_is_a_warning(machine):
    machine(cores=8, memory=8, available=5.5)
    check = doctor._memory()
    assert (check.status, check.found) == ("warning", "5.5 GiB available of 8.0")
    assert check.remedy.endswith("--max-concurrent 4.")


def test_a_containers_limit_counts_like_the_machines_memory(machine):
    machine(cores=2, limit=1.5)
    check = doctor._memory()
    assert check.status == "problem"
    assert check.found == "1.5 GiB available of 64.0; the container's limit is 1.5"


def test_what_a_container_holds_already_is_not_available(machine):
    machine(cores=2, limit=8.0, used=6.5)
    check = doctor._memory()
    assert check.status == "problem"
    assert check.found == "1.5 GiB available of 64.0; the container's limit is 8.0"


def test_memory_for_every_core_that_may_be_used_is_enough(machine):
    machine(cores=64, quota=2.0, memory=8, available=6)
    assert doctor._memory().status == "ok"


# Shared memory, open files, disks


def _usage(monkeypatch, free, total=100 * GIB):
    usage = namedtuple("usage", "total used free")(total, total - free, free)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)


def test_dockers_64_mb_of_shared_memory_are_a_warning(monkeypatch, tmp_path):
    _usage(monkeypatch, 64 * 2**20)
    check = only(doctor._shared_memory(tmp_path))
    assert check.status == "warning"
    assert check.found == "0.1 GiB free; Ray would put its object store on disk"
    _usage(monkeypatch, 2 * GIB)
    assert only(doctor._shared_memory(tmp_path)).status == "ok"
    assert list(doctor._shared_memory(tmp_path / "absent")) == []


@pytest.mark.parametrize(("hard", "status"), [(1024, "warning"), (65536, "ok"), (-1, "ok")])
def test_few_open_files_are_a_warning(monkeypatch, hard, status):
    monkeypatch.setattr(doctor.resource, "getrlimit", lambda _: (256, hard))
    assert doctor._open_files().status == status


def test_a_limit_on_the_size_of_files_that_stops_ray_is_a_problem(monkeypatch):
    for limit, statuses in [(256 * 2**20, ["problem"]), (4 * GIB, ["ok"]), (-1, [])]:
        monkeypatch.setattr(doctor.resource, "getrlimit", lambda _, limit=limit: (limit, -1))
        assert [check.status for check in doctor._file_size()] == statuses


@pytest.mark.parametrize(("free", "status"), [(0.4, "problem"), (3, "warning"), (6, "ok")])
def test_a_disk_that_fills_up_is_reported(monkeypatch, tmp_path, free, status):
    _usage(monkeypatch, free * GIB)
    written, disk = doctor._results(tmp_path)
    assert (written.status, disk.status) == ("ok", status)


def test_rays_own_disk_may_not_be_nearly_full(monkeypatch):
    monkeypatch.setattr(surroundings, "temporary_root", lambda: TemporaryRoot(Path("/tmp")))
    _usage(monkeypatch, 4 * GIB)
    (check,) = surroundings._temporary_files()
    assert check.status == "warning"
    assert check.found == "/tmp: 4.0 GiB free, 96% in use"
    _usage(monkeypatch, 6 * GIB)
    (check,) = surroundings._temporary_files()
    assert check.status == "ok"


def test_a_temporary_folder_that_ray_cannot_use_is_a_warning_or_a_problem(monkeypatch, tmp_path):
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", str(long))
    check = next(iter(surroundings._temporary_files()))
    assert check.status == "warning" and "too long a path for a socket" in check.found
    monkeypatch.setattr("gansearch.system.temporary._SYSTEM_FOLDERS", ())
    check = only(surroundings._temporary_files())
    assert check.status == "problem" and check.remedy.startswith("Set TMPDIR to a folder")


@pytest.mark.parametrize("home", ["/proc", "/dev/null"])
def test_a_home_that_cannot_be_written_is_a_warning(monkeypatch, home):
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", home)
    check = surroundings._cache()
    assert check.status == "warning" and f"{home}/.cache/gansearch: can't be" in check.found


def test_a_cluster_that_the_environment_names_is_said_to_be_joined_on_request_only(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    check = only(surroundings._ray_address())
    assert check.status == "ok" and check.found.startswith("10.0.0.1:6379; without --address")


def test_a_results_folder_that_is_a_file_is_a_problem(tmp_path):
    (tmp_path / "results").write_text("")
    check = only(doctor._results(tmp_path / "results"))
    assert check.status == "problem"
    assert check.found == f"{tmp_path}/results: can't be written (Not a directory)"


def test_a_results_folder_that_cannot_be_written_is_a_problem(monkeypatch, tmp_path):
    def refuse(folder):
        raise OSError(30, "Read-only file system")  # permissions don't stop the superuser

    monkeypatch.setattr(doctor, "_temporary_file", refuse)
    check = only(doctor._results(tmp_path / "a" / "b"))
    assert check.status == "problem"
    assert check.found == (
        f"{tmp_path}/a/b, to be created in {tmp_path}: can't be written (Read-only file system)"
    )


# Data and spaces


def test_mnist_that_is_absent_is_a_warning_and_nothing_is_downloaded(tmp_path):
    checks = {check.name: check for check in doctor._datasets(tmp_path)}
    assert checks["data set digits"].found == "1,197 / 300 / 300 train / valid / test"
    mnist = checks["data set mnist"]
    assert mnist.status == "warning"
    assert mnist.found.startswith(f"{tmp_path}/MNIST/raw lacks train-images-idx3-ubyte, ")
    assert "--data-dir" in mnist.remedy
    assert list(tmp_path.iterdir()) == []


def test_data_sets_that_only_their_user_can_bring_are_looked_for_once(tmp_path):
    checks = {check.name: check for check in doctor._datasets(tmp_path)}
    tfd = checks["data set tfd"]
    assert (tfd.status, tfd.found) == ("warning", f"{tmp_path}/TFD_48x48.mat is absent")
    assert tfd.remedy.startswith("The Toronto Face Database")
    cifar10 = checks["data set cifar10"]
    assert cifar10.found.startswith(f"{tmp_path}/cifar-10-batches-py lacks data_batch_1, ")
    assert cifar10.remedy.startswith("Put the batches of the Python version")
    assert "data set tfd-2" not in checks
    assert "data set folder" not in checks


def test_a_damaged_builtin_space_is_a_problem(monkeypatch):
    def refuse(name):
        raise SpaceError("ring.yaml:3: search: found 3. It must be a mapping of names to values.")

    monkeypatch.setattr(doctor, "load_space", refuse)
    check = doctor._spaces()
    assert check.status == "problem"
    assert check.found.startswith("ring.yaml:3: search: found 3.")
    monkeypatch.setattr(doctor, "builtin_spaces", dict)
    assert doctor._spaces().found == "none"


# A cluster


def test_an_address_where_nobody_listens_is_a_problem_at_once(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound but not listening: refused
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        check = only(doctor._cluster(address, tmp_path))
    assert (check.name, check.status) == ("cluster", "problem")
    assert check.found == f"{address}: Connection refused"
    assert "ray start --head" in check.remedy


def test_a_port_beyond_all_ports_is_a_problem(tmp_path):
    check = only(doctor._cluster("127.0.0.1:99999", tmp_path))
    assert check.found == "127.0.0.1:99999: no port 99999: ports go from 1 to 65535"


def test_an_address_of_no_form_is_a_problem(tmp_path):
    check = only(doctor._cluster("nonsense", tmp_path))
    assert check.status == "problem"
    assert check.found == "nonsense: Invalid address format: nonsense"


CLUSTER = """
import json, sys
from dataclasses import asdict
from pathlib import Path
from ray.cluster_utils import Cluster
from gansearch import doctor
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
try:
    cluster.add_node(num_cpus=2, num_gpus=64)  # Ray believes what it is told
    address = cluster.address
    checks = doctor._cluster(address, Path(sys.argv[1]))
finally:
    cluster.shutdown()
print(json.dumps([address, [asdict(check) for check in checks]]))
"""


@pytest.mark.ray
def test_the_nodes_of_a_cluster_are_asked(tmp_path):
    # In another process, since whether a token is asked for is decided once in each.
    done = subprocess.run(
        [sys.executable, "-c", CLUSTER, str(tmp_path)],
        env=os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_gcs_server_port_wait_time_s": "120"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    address, found = json.loads(done.stdout.splitlines()[-1])
    checks = [
        Check(*(each[name] for name in ("name", "status", "found", "remedy"))) for each in found
    ]
    assert [check.name.split()[0] for check in checks] == ["cluster", "node", "node"]
    assert checks[0] == Check("cluster", "ok", f"{address}: 2 nodes")
    one, two = sorted(checks[1:], key=lambda check: check.found)
    assert (one.found.split(",")[0], one.status) == ("1 core", "ok")
    assert (two.found.split(",")[0], two.status) == ("2 cores", "problem")
    assert "; torch there sees " in two.found
    assert list(tmp_path.iterdir()) == []
