"""Checks what a search needs on this machine and on a cluster, with a fix for what is missing.

Each check does what a search would do: it imports the packages, loads the data, writes a file. A
`problem` would stop every search; a `warning` would slow it down, or stop some searches only.
"""

from __future__ import annotations

import os
import platform
import resource
import secrets
import shutil
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from gansearch.data.registry import DATASETS, FOLDER, OTHER_FOLDS, load_dataset
from gansearch.errors import BadInputError, DataError
from gansearch.space.builtin import builtin_spaces
from gansearch.space.load import load_space
from gansearch.system.checks import Check, Status, first_line
from gansearch.system.machine import limit_bytes, memory_bytes, usable_bytes, usable_cores
from gansearch.system.object_store import AnyPath, RemotePath
from gansearch.system.paths import nearest_existing
from gansearch.system.surroundings import surroundings

_GIB = 2**30
# A worker imports torch and Ray, some 0.75 GiB, and holds one training; so does the driver.
_PROCESS_BYTES = 1.0 * _GIB
# The driver asks Ray for half a GiB of object store, and twice the data set.
_OBJECT_STORE_BYTES = 0.75 * _GIB
_DISK_WARNING_BYTES = 5 * _GIB
_DISK_PROBLEM_BYTES = 0.5 * _GIB
_OPEN_FILES = 8192
_FILE_BYTES = _GIB  # more than the object store, which is a file


def examine(data_dir: Path | None, results: AnyPath, address: str | None = None) -> list[Check]:
    """Check everything that a search needs on this machine and, with `address`, on a Ray cluster.

    Args:
        data_dir: folder of downloaded data, or None for the default.
        results: folder that runs would be written to; it may be absent.
        address: of a Ray cluster, `host:port` or `auto`.
    """
    checks = [_python(), *_packages(), *_imports(), *_gpus()]
    checks += [_cores(), _memory(), *_shared_memory(), _open_files(), *_file_size()]
    checks += [*_datasets(data_dir), _spaces(), *_results(results)]
    checks += surroundings()
    return checks + (_cluster(address, results) if address not in (None, "local") else [])


def _python() -> Check:
    return Check("python", "ok", f"{platform.python_version()} on {platform.platform()}")


def _packages() -> Iterator[Check]:
    """Compare the installed versions with the requirements of the gansearch distribution."""
    try:
        wanted = metadata.requires("gansearch") or []
    except metadata.PackageNotFoundError:
        yield Check(
            "packages",
            "warning",
            "gansearch is not installed, so its requirements are unknown",
            "Run pip install gansearch, or pip install -e . in a checkout.",
        )
        return
    fitting = [f"gansearch {metadata.version('gansearch')}"]
    for line in wanted:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = _version(requirement.name)
        if version is not None and requirement.specifier.contains(version, prereleases=True):
            fitting.append(f"{requirement.name} {version}")
        else:
            yield Check(
                requirement.name,
                "problem",
                version or "not installed",
                f"Run pip install '{requirement.name}{requirement.specifier}'.",
            )
    yield Check("packages", "ok", ", ".join(fitting))


def _imports() -> Iterator[Check]:
    """Import the packages whose broken builds fail at import, not at installation."""
    for name in ("torch", "torchvision", "ray.tune"):
        try:
            import_module(name)
        except Exception as error:  # a broken build may raise anything
            yield Check(
                f"import {name}",
                "problem",
                f"{type(error).__name__}: {first_line(error)}",
                "Install torch and torchvision from the same source, both for CUDA or both for "
                "the CPU, then run pip install gansearch.",
            )


def _gpus() -> Iterator[Check]:
    """List the GPUs that torch can use, or say why it can use none."""
    listed = _nvidia_smi()
    try:
        import torch

        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            usable = torch.cuda.is_available()
    except Exception:  # reported by _imports
        return
    build = f"torch {torch.__version__}"
    if usable:
        driver = f", driver {listed[0][2]}" if listed else ""
        for i in range(torch.cuda.device_count()):
            device = torch.cuda.get_device_properties(i)
            memory = f"{device.total_memory / _GIB:.0f} GiB"
            yield Check(f"gpu {i}", "ok", f"{device.name}, {memory}{driver}")
    elif listed:
        names = ", ".join(f"{name} ({memory})" for name, memory, _ in listed)
        why = f": {first_line(caught[0].message)}" if caught else ""
        yield Check(
            "gpu",
            "warning",
            f"{names}, driver {listed[0][2]}; {build} can't use it{why}",
            "Install a torch build for a CUDA version that the driver supports, or update the "
            "driver. Until then trials train on CPU cores.",
        )
    elif torch.backends.mps.is_available():
        found = f"Apple's, by MPS, whose memory is the machine's; {build}"
        yield Check("gpu", "ok", f"{found} trains each trial there in a process of its own")
    else:
        yield Check("gpu", "ok", f"none; {build} trains on CPU cores")


def _nvidia_smi() -> list[tuple[str, str, str]]:
    """Return (name, memory, driver) of each GPU that nvidia-smi lists."""
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [[part.strip() for part in line.split(",")] for line in done.stdout.splitlines()]
    return [(row[0], row[1], row[2]) for row in rows if done.returncode == 0 and len(row) == 3]


def _cores() -> Check:
    counted, allowed = os.cpu_count() or 1, usable_cores()
    usable = max(1, int(allowed))
    if usable == counted:
        return Check("cores", "ok", f"{counted}")
    return Check(
        "cores",
        "warning",
        f"{counted}, of which this process can use {allowed:g}",
        f"More trials at a time than usable cores slow each other down. Use --max-concurrent "
        f"{usable}.",
    )


def _memory() -> Check:
    total, _ = memory_bytes()
    limit, available = limit_bytes(), max(0.0, usable_bytes())
    found = f"{available / _GIB:.1f} GiB available of {total / _GIB:.1f}"
    if limit < total:
        found += f"; the container's limit is {limit / _GIB:.1f}"
    fitting = int(available / _PROCESS_BYTES) - 1
    if fitting < 1:
        return Check(
            "memory",
            "problem",
            found,
            f"A search needs about {2 * _PROCESS_BYTES / _GIB:g} GiB. Close other programs, or "
            "raise the container's limit.",
        )
    if fitting < int(usable_cores()):
        return Check(
            "memory",
            "warning",
            found,
            f"A trial's process takes up to {_PROCESS_BYTES / _GIB:g} GiB, so the memory holds "
            f"fewer trials than there are cores. Use --max-concurrent {fitting}.",
        )
    return Check("memory", "ok", found)


def _shared_memory(folder: Path = Path("/dev/shm")) -> Iterator[Check]:
    if not folder.is_dir():  # macOS has none
        return
    free = shutil.disk_usage(folder).free
    found = f"{free / _GIB:.1f} GiB free"
    if free >= _OBJECT_STORE_BYTES:
        yield Check(str(folder), "ok", found)
    else:
        yield Check(
            str(folder),
            "warning",
            f"{found}; Ray would put its object store on disk",
            "Start the container with --shm-size=2g, or delete files there.",
        )


def _open_files() -> Check:
    # Only the hard limit counts: Ray raises the soft one to it.
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = hard == resource.RLIM_INFINITY
    found = "unlimited" if unlimited else f"{hard:,}"
    if unlimited or hard >= _OPEN_FILES:
        return Check("open files", "ok", found)
    return Check(
        "open files",
        "warning",
        found,
        "Many trials at a time need more. Run ulimit -Hn 65536 as root.",
    )


def _file_size() -> Iterator[Check]:
    """Check the limit on the size of a file, where there is one: Ray's own are large."""
    limit, _ = resource.getrlimit(resource.RLIMIT_FSIZE)
    if limit != resource.RLIM_INFINITY:
        yield Check(
            "file size",
            "ok" if limit >= _FILE_BYTES else "problem",
            f"at most {limit / 2**20:,.1f} MiB",
            "" if limit >= _FILE_BYTES else "Ray needs larger files. Run ulimit -f unlimited.",
        )


def _datasets(data_dir: Path | None) -> Iterator[Check]:
    """Load each data set without downloading it: of the folds of TFD the first, and no `folder`."""
    for name in DATASETS:
        if name in (FOLDER, *OTHER_FOLDS):
            continue
        try:
            data = load_dataset(name, data_dir, download=False)
        except DataError as error:
            text = str(error).removeprefix(f"data set {name}: ")
            found, _, remedy = text.replace("; downloading is switched off", "").partition(". ")
            yield Check(f"data set {name}", "warning", found, remedy)
        else:
            sizes = f"{len(data.train):,} / {len(data.valid):,} / {len(data.test):,}"
            yield Check(f"data set {name}", "ok", f"{sizes} train / valid / test")


def _spaces() -> Check:
    names = list(builtin_spaces())
    try:
        for name in names:
            load_space(name)
    except BadInputError as error:
        return Check("built-in spaces", "problem", str(error), "Reinstall gansearch.")
    if not names:
        return Check("built-in spaces", "problem", "none", "Reinstall gansearch.")
    return Check("built-in spaces", "ok", ", ".join(names))


def _results(results: AnyPath) -> Iterator[Check]:
    """Write and remove a file where runs would be written, and check the free space there."""
    if isinstance(results, RemotePath):
        yield _store(results)
        return
    folder = nearest_existing(results)
    found = str(results) if folder == results else f"{results}, to be created in {folder.resolve()}"
    try:
        with _temporary_file(folder) as file:
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        yield Check(
            "results",
            "problem",
            f"{found}: can't be written ({os.strerror(error.errno or 0)})",
            "Choose another folder with --results, or free some space or change the permissions.",
        )
        return
    yield Check("results", "ok", f"{found}: writable")
    free = shutil.disk_usage(folder).free
    left = f"{free / _GIB:.1f} GiB free"
    if free >= _DISK_WARNING_BYTES:
        yield Check("disk of results", "ok", left)
    else:
        status: Status = "problem" if free < _DISK_PROBLEM_BYTES else "warning"
        remedy = "Free some space, or choose a folder on another disk with --results."
        yield Check("disk of results", status, left, remedy)


def _store(results: RemotePath) -> Check:
    """Write and remove an object where runs would be written."""
    probe = results / f".gansearch-{secrets.token_hex(8)}"
    try:
        probe.write_bytes(b"x")
        probe.unlink()
    except OSError as error:
        return Check(
            "results",
            "problem",
            f"{results}: can't be written ({error})",
            "Check that the bucket exists, that the credentials in the environment can write to "
            "it, and that the network reaches it.",
        )
    return Check("results", "ok", f"{results}: writable")


def _temporary_file(folder: Path) -> Any:
    return tempfile.NamedTemporaryFile(dir=folder, prefix=".gansearch-")


def _cluster(address: str, results: AnyPath) -> list[Check]:
    """Join the cluster, check its nodes, and leave it."""
    import ray

    from gansearch.tune.nodes import check_nodes, join

    try:
        join(address)
    except ConnectionError as error:
        return [_no_cluster(address, first_line(error))]
    try:
        checks = check_nodes(nearest_existing(results) if isinstance(results, Path) else None)
    finally:
        ray.shutdown()
    noun = "node" if len(checks) == 1 else "nodes"
    return [Check("cluster", "ok", f"{address}: {len(checks)} {noun}"), *checks]


def _no_cluster(address: str, why: str) -> Check:
    return Check(
        "cluster",
        "problem",
        f"{address}: {why}",
        "Start a cluster with `ray start --head` on its first node. Check the address, and copy "
        "that node's ~/.ray/auth_token to the same path here.",
    )


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
