"""Ray for one run: started here, silently and on loopback only, or a cluster that is joined."""

from __future__ import annotations

import logging
import os
import secrets
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import optuna
import ray

from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError, RunFailedError
from gansearch.system.checks import first_line
from gansearch.system.import_path import python_path
from gansearch.system.signals import deferred, raise_again
from gansearch.system.temporary import private_folder
from gansearch.tune.code_path import worker_path
from gansearch.tune.nodes import join, require_same_code
from gansearch.tune.ray_internals import init_on_loopback, raylet_messages_muted
from gansearch.tune.ray_settings import override
from gansearch.tune.settings import Settings

_OBJECT_STORE_BYTES = 512 * 2**20
# What would lead Ray, or the processes that it starts, to another Ray, or change what they run.
_OF_OTHER_CLUSTERS = (
    *("RAY_ADDRESS", "RAY_NAMESPACE", "RAY_REDIS_ADDRESS", "RAY_GCS_SERVER_PORT", "RAY_JOB_ID"),
    *("RAY_JOB_CONFIG_JSON_ENV_VAR", "RAY_RUNTIME_ENV_HOOK", "RAY_RAYLET_PID", "RAY_NODE_ID"),
    *("RAY_OVERRIDE_NODE_ID_FOR_TESTING", "RAY_OVERRIDE_RESOURCES", "RAY_OVERRIDE_LABELS"),
    *("RAY_USE_TLS", "RAY_gcs_storage", "RAY_gcs_storage_path", "RAY_AUTH_TOKEN_PATH"),
)
# Of this process's own Rays. Ray would else write one into the home, which may be read-only.
_TOKEN = secrets.token_hex(32)


@contextmanager
def connected(settings: Settings, dataset: Dataset) -> Iterator[None]:
    """Start Ray on this machine, silently and on loopback only, or join a cluster.

    Raises:
        BadInputError: the cluster can't be joined, or no folder can hold Ray's temporary files.
        RunFailedError: Ray doesn't start here.
    """
    override()
    # Optuna's warnings, such as those of samplers that ignore conditions, would break the display.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    with ExitStack() as stack:
        folder = None if settings.address else stack.enter_context(private_folder())
        stack.enter_context(_ended())
        if folder is None:
            _join(str(settings.address))
        else:
            _start(folder, dataset)
            require_same_code()
        raise_again()
        stack.enter_context(raylet_messages_muted())
        yield


@contextmanager
def _ended() -> Iterator[None]:
    """Disconnect from Ray at the end, and end what was started of it."""
    try:
        yield
    finally:
        with deferred():
            ray.shutdown()


def _join(address: str) -> None:
    try:
        join(address)
    except ConnectionError as error:
        raise _connection_error(address, error) from error


def _start(folder: Path, dataset: Dataset) -> None:
    try:
        with _own_environment():
            init_on_loopback(
                str(folder),
                worker_path(sys.path),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES + 2 * dataset.n_bytes,
                log_to_driver=False,
                logging_level=logging.CRITICAL,
            )
    except Exception as error:  # Ray raises bare ones too
        raise RunFailedError(
            f"Ray can't be started on this machine ({first_line(error)}). Nothing was trained. "
            "`gansearch doctor` checks memory, disks and limits."
        ) from error


@contextmanager
def _own_environment() -> Iterator[None]:
    """Keep from Ray, and from the processes that it starts, what names another cluster."""
    changed = ("RAY_AUTH_TOKEN", "PYTHONPATH", *_OF_OTHER_CLUSTERS)
    before = {name: os.environ.pop(name) for name in changed if name in os.environ}
    os.environ["RAY_AUTH_TOKEN"] = _TOKEN
    os.environ["PYTHONPATH"] = python_path(before.get("PYTHONPATH", ""))
    try:
        yield
    finally:
        for name in changed:
            os.environ.pop(name, None)
        os.environ.update(before)


def _connection_error(address: str, why: object) -> BadInputError:
    return BadInputError(
        f"--address {address}: no Ray cluster accepted the connection ({why}). Start one with "
        "`ray start --head`; if it asks for a token, copy its ~/.ray/auth_token to the same place "
        "here; or give --address local to run on this machine alone."
    )
