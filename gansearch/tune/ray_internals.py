"""Every private name of Ray's that gansearch uses; no other module has one.

A release of Ray may move or change any of them without notice. `tests/tune/test_ray_internals.py`
then fails by the name that is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray._private import ray_constants, utils, worker
from ray._private.resource_and_label_spec import ResourceAndLabelSpec
from ray.air.execution._internal.actor_manager import RayActorManager
from ray.autoscaler.v2.utils import is_autoscaler_v2
from ray.exceptions import OutOfMemoryError, RayActorError

_LOOPBACK = "127.0.0.1"
# No trial trains without these processes of Ray's.
_VITAL = (ray_constants.PROCESS_TYPE_GCS_SERVER, ray_constants.PROCESS_TYPE_RAYLET)


@contextmanager
def command_line_in_utf8() -> Iterator[None]:
    """Let Ray record the command line, which it does in UTF-8, with other bytes escaped.

    A file whose name has such bytes, named on the command line, would keep Ray from starting.
    """
    original: Callable[[], str] = utils.get_entrypoint_name
    utils.get_entrypoint_name = lambda: original().encode(errors="backslashreplace").decode()
    try:
        yield
    finally:
        utils.get_entrypoint_name = original


@command_line_in_utf8()
def init_on_loopback(**arguments: Any) -> None:
    """Start Ray on this machine, listening on the loopback interface only.

    On Windows and macOS Ray does so by itself. On Linux it takes the machine's outward address even
    where 127.0.0.1 is given, so that other machines may join, and everyone who reaches that address
    may run code.

    Args:
        arguments: further ones of `ray.init`.
    """
    before = ray_constants.ENABLE_RAY_CLUSTER
    ray_constants.ENABLE_RAY_CLUSTER = False
    try:
        # "local": otherwise Ray would join a cluster that somebody has started on this machine.
        ray.init(address="local", _node_ip_address=_LOOPBACK, **arguments)
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before


def resources_here() -> dict[str, float]:
    """Return what a Ray that starts on this machine would have, such as `{"CPU": 8, "GPU": 1}`."""
    found = ResourceAndLabelSpec().resolve(is_head=True, node_ip_address=_LOOPBACK)
    resources: dict[str, float] = found.to_resource_dict()  # type: ignore[no-untyped-call]
    return resources


@contextmanager
def raylet_messages_muted() -> Iterator[None]:
    """Keep the raylets' messages about lost workers and nodes off the terminal.

    Ray prints them whatever `log_to_driver` is, together with the end of the raylet's log. The
    recorder reports such losses itself.
    """
    before = worker.print_to_stdstream
    worker.print_to_stdstream = lambda *_, **__: None
    try:
        yield
    finally:
        worker.print_to_stdstream = before


def dead_vital_process() -> str | None:
    """Return the name of a dead process among the vital ones that this process started, if any."""
    node: Any = worker._global_node
    dead = node.dead_processes() if node is not None else ()
    return next((str(kind) for kind, _ in dead if kind in _VITAL), None)


def has_autoscaler() -> bool:
    """Return whether the connected cluster starts nodes when work waits for them."""
    return is_autoscaler_v2(fetch_from_server=True)


@contextmanager
def oom_kills_as_lost_workers() -> Iterator[None]:
    """Let Tune treat a worker that Ray's memory monitor has killed as a lost worker.

    Tune doesn't expect an OutOfMemoryError from an actor, and would end the whole search.
    """
    original = RayActorManager._actor_task_failed

    def failed(self: Any, tracked_actor_task: Any, exception: Exception) -> None:
        if isinstance(exception, OutOfMemoryError):
            exception = RayActorError(error_msg=str(exception))
        original(self, tracked_actor_task, exception)

    RayActorManager._actor_task_failed = failed  # type: ignore[method-assign]
    try:
        yield
    finally:
        RayActorManager._actor_task_failed = original  # type: ignore[method-assign]
