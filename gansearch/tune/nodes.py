"""Joins a Ray cluster, and checks on each of its nodes what a search needs.

Ray knows the resources that a node was started with. A task on the node finds whether a worker
there has the same packages, sees the GPUs through torch and shares the results folder.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import AuthenticationError, NodeDiedError, TaskUnschedulableError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gansearch.errors import BadInputError, RunFailedError
from gansearch.rules import count_of
from gansearch.system.checks import Check, first_line
from gansearch.system.object_store import AnyPath
from gansearch.tune import ray_settings
from gansearch.tune.code_path import shared_path
from gansearch.tune.ray_internals import init_on_cluster

_GIB = 2**30
_CONNECT_SECONDS = 5.0
# A worker starts within seconds, unless it imports torch from a cold disk.
_NODE_SECONDS = 60.0
_SAME_VERSIONS = "Install the same versions of Python and all packages on every node."
_SHARE_RESULTS = (
    "Name a folder by --results that all nodes share at the same path, such as one of NFS."
)
_FIX_GPUS = (
    "Install a torch there whose CUDA version the node's driver supports, and start Ray with as "
    "many GPUs as there are."
)


@dataclass(frozen=True)
class NodeCheck(Check):
    """The result of the check of a node.

    Attributes:
        gpu_bytes: memory of the smallest GPU that torch sees there; None if it sees none.
    """

    gpu_bytes: float | None = None


@dataclass(frozen=True)
class _Marker:
    """A file in the results folder, and the random word in it, which proves that it was read."""

    path: Path
    word: str


def unreachable(address: str) -> str | None:
    """Return why nothing answers at `host:port`, or None; Ray itself would try for minutes."""
    if address == "auto":  # Ray then takes the one of the environment, if there is one
        address = os.environ.get("RAY_ADDRESS", "")
    host, colon, port = address.rpartition(":")
    if not colon or "/" in address or not port.isdecimal():
        return None
    if not 0 < int(port) < 65536:  # sockets take it modulo 65536
        return f"no port {port}: ports go from 1 to 65535"
    try:
        socket.create_connection((host, int(port)), timeout=_CONNECT_SECONDS).close()
    except OSError as error:
        return error.strerror or str(error)
    return None


def join(address: str) -> None:
    """Connect this process to a cluster silently.

    Raises:
        ConnectionError: it can't connect; the message says why in one line.
    """
    if (why := unreachable(address)) is not None:
        raise ConnectionError(why)
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    try:
        with _captured_stderr() as messages:
            init_on_cluster(address, shared_path(sys.path), **quiet)
    except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        if "InvalidAuthToken" not in messages.getvalue() and not isinstance(
            error, AuthenticationError
        ):
            raise ConnectionError(first_line(error)) from error
        which = "another token than ours" if ray_settings.has_token() else "a token; we have none"
        raise ConnectionError(f"it asks for {which}") from error


@contextmanager
def _captured_stderr() -> Iterator[StringIO]:
    """Capture what is written to the process's stderr; the yielded text is complete at the end.

    If a cluster refuses the connection, Ray's C++ code prints this every second, whatever Python's
    stderr and Ray's settings are.
    """
    text = StringIO()
    sys.stderr.flush()
    with tempfile.TemporaryFile("w+", errors="replace") as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield text
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            text.write(file.read())


def require_same_code() -> None:
    """Check that the workers of this process's own Ray import the packages that it imports.

    Raises:
        RunFailedError: they find others; the message names the files.
    """
    probe = _code_probe()
    here, there = probe(), ray.get(ray.remote(num_cpus=0)(probe).remote())
    for package, file in here.items():
        if there[package] != file:
            raise RunFailedError(
                f"{package}: Ray's workers import it from {there[package]}, and this process from "
                f"{file}, so that they would train something else. Nothing was trained. Look for "
                "what changes the import path: PYTHONPATH, .pth files, sitecustomize.py."
            )


def _code_probe() -> Callable[[], dict[str, str | None]]:
    """Return a function that finds the files which packages are imported from."""

    def probe() -> dict[str, str | None]:
        import os
        import sys
        from importlib.util import find_spec

        files: dict[str, str | None] = {}
        for package in ("gansearch", "ray", "torch", "numpy", "scipy"):
            module = sys.modules.get(package)
            found = module.__spec__ if module else find_spec(package)
            files[package] = os.path.realpath(found.origin) if found and found.origin else None
        return files

    return probe


def require_nodes(results: AnyPath) -> float | None:
    """Check the nodes of the connected cluster, so that no trial fails on one of them.

    Returns the memory of the smallest GPU in bytes, or None if there is none.

    Args:
        results: folder that the run is written to; it exists. One in an object store is not
            checked: a node that doesn't reach it ends the run with a message.

    Raises:
        BadInputError: a node lacks something that a search needs; the message names all such nodes.
    """
    checks = check_nodes(results if isinstance(results, Path) else None)
    problems = [check for check in checks if check.status == "problem"]
    if problems:
        found = "\n".join(f"  {check.name}: {check.found}" for check in problems)
        remedies = " ".join(dict.fromkeys(check.remedy for check in problems))
        raise BadInputError(
            f"--address: the search can't use every node of the cluster.\n{found}\n{remedies} "
            "`gansearch doctor --address auto --results DIR` checks again."
        )
    return min((c.gpu_bytes for c in checks if c.gpu_bytes is not None), default=None)


def check_nodes(folder: Path | None) -> list[NodeCheck]:
    """Check each node of the connected cluster, all at the same time.

    Args:
        folder: that the nodes must share, which a file written there checks; None, or one that
            can't be written, is not checked.
    """
    nodes = [node for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    here = _probe()(None, False)
    with _marker(folder) as marker:
        answers = _ask(nodes, marker)
        # A single node is the driver's own.
        shared = marker if len(nodes) > 1 else None
        return [
            _check_node(node, answer, here, shared)
            for node, answer in zip(nodes, answers, strict=True)
        ]


def _check_node(
    node: dict[str, Any],
    there: dict[str, Any] | str | None,
    here: dict[str, Any],
    marker: _Marker | None,
) -> NodeCheck:
    """Compare a node's answer with this process and with the node's resources in Ray."""
    name = f"node {node['NodeManagerAddress']}"
    has = node["Resources"]
    host = f"{has.get('memory', 0) / _GIB:.0f} GiB"
    found = f"{count_of(has.get('CPU', 0), 'core')}, {count_of(has.get('GPU', 0), 'GPU')}, {host}"
    if there is None:
        return NodeCheck(
            name, "warning", f"{found}; it has left the cluster", "Start it again if it is needed."
        )
    if isinstance(there, str):
        return NodeCheck(name, "problem", f"{found}; it runs nothing: {there}", _SAME_VERSIONS)
    differing = [key for key in here["versions"] if here["versions"][key] != there["versions"][key]]
    if differing:
        versions = ", ".join(
            f"{key} {there['versions'][key] or 'absent'}, here {here['versions'][key] or 'absent'}"
            for key in differing
        )
        # Another version of torch trains too, with other rounding.
        only_torch = differing == ["torch"] and there["versions"]["torch"] is not None
        if not only_torch:
            return NodeCheck(name, "problem", f"{found}; {versions}", _SAME_VERSIONS)
        found += f"; {versions}"
    if len(there["gpus"]) < int(has.get("GPU", 0)):
        seen = f"{found}; torch there sees {count_of(len(there['gpus']), 'GPU')}"
        return NodeCheck(name, "problem", seen, _FIX_GPUS)
    if marker is not None and there["word"] != marker.word:
        unseen = f"{found}; it does not see {marker.path.parent}"
        return NodeCheck(name, "problem", unseen, _SHARE_RESULTS)
    gpus = "".join(f"; {gpu}, {n_bytes / _GIB:.0f} GiB" for gpu, n_bytes in there["gpus"])
    memory = min((float(n_bytes) for _, n_bytes in there["gpus"]), default=None)
    if differing:
        return NodeCheck(name, "warning", found + gpus, _SAME_VERSIONS, memory)
    return NodeCheck(name, "ok", found + gpus, gpu_bytes=memory)


def _ask(
    nodes: Sequence[dict[str, Any]], marker: _Marker | None
) -> list[dict[str, Any] | str | None]:
    """Return the probe's answer from each node, or why it can't run there."""
    probe = ray.remote(num_cpus=0)(_probe())
    path = marker.path if marker else None
    refs = []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        has_gpus = bool(node["Resources"].get("GPU", 0))
        refs.append(probe.options(scheduling_strategy=there).remote(path, has_gpus))
    ready, _ = ray.wait(refs, num_returns=len(refs), timeout=_NODE_SECONDS)
    return [
        _answer(ref) if ref in ready else f"no answer within {_NODE_SECONDS:g} s" for ref in refs
    ]


def _answer(ref: Any) -> dict[str, Any] | str | None:
    """Return a node's answer, why it has none, or None if the node has left the cluster."""
    try:
        answer: dict[str, Any] = ray.get(ref)
    except (TaskUnschedulableError, NodeDiedError):  # the probe itself fits everywhere
        return None
    except ray.exceptions.RayError as error:
        return first_line(error)
    return answer


def _probe() -> Callable[[Path | None, bool], dict[str, Any]]:
    """Return a function that finds a node's versions, its GPUs and the content of a file.

    It is a local function so that Ray sends its code: the node may lack gansearch.
    """

    def probe(path: Path | None, has_gpus: bool) -> dict[str, Any]:
        import platform
        from importlib import metadata

        versions: dict[str, str | None] = {"python": platform.python_version()}
        for package in ("gansearch", "ray", "torch"):
            try:
                versions[package] = metadata.version(package)
            except metadata.PackageNotFoundError:
                versions[package] = None
        gpus = []
        if has_gpus and versions["torch"]:  # importing it takes seconds
            import torch

            for i in range(torch.cuda.device_count() if torch.cuda.is_available() else 0):
                device = torch.cuda.get_device_properties(i)
                gpus.append((device.name, device.total_memory))
        try:
            word = path.read_text() if path else None
        except OSError:
            word = None
        return {"versions": versions, "gpus": gpus, "word": word}

    return probe


@contextmanager
def _marker(folder: Path | None) -> Iterator[_Marker | None]:
    """Write a file into the results folder for the nodes to read; None if that fails."""
    with ExitStack() as stack:
        marker = None
        # The run itself reports a folder that can't be written.
        with suppress(OSError):
            if folder is not None:
                file = stack.enter_context(
                    tempfile.NamedTemporaryFile("w", dir=folder.resolve(), prefix=".gansearch-")
                )
                marker = _Marker(Path(file.name), secrets.token_hex(16))
                file.write(marker.word)
                file.flush()
                os.fsync(file.fileno())  # NFS sends data to the server on fsync or close
        yield marker
