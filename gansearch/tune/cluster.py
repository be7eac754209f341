"""Ray for one run: started here, silently and on loopback only, or a cluster that is joined."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
import ray

from gansearch.data.dataset import Dataset
from gansearch.errors import BadInputError
from gansearch.tune.nodes import join
from gansearch.tune.ray_internals import init_on_loopback, raylet_messages_muted
from gansearch.tune.settings import Settings

_OBJECT_STORE_BYTES = 512 * 2**20


@contextmanager
def connected(settings: Settings, dataset: Dataset) -> Iterator[None]:
    """Start Ray on this machine, silently and on loopback only, or join a cluster."""
    # Optuna's warnings, such as those of samplers that ignore conditions, would break the display.
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for name in ("ray", "ray.tune", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    if settings.address:
        try:
            join(settings.address)
        except ConnectionError as error:
            raise _connection_error(settings.address, error) from error
    else:
        n_bytes = sum(a.nbytes for a in (dataset.train, dataset.valid, dataset.test))
        init_on_loopback(
            include_dashboard=False,
            object_store_memory=_OBJECT_STORE_BYTES + 2 * n_bytes,
            log_to_driver=False,
            logging_level=logging.CRITICAL,
        )
    try:
        with raylet_messages_muted():
            yield
    finally:
        ray.shutdown()


def _connection_error(address: str, why: object) -> BadInputError:
    return BadInputError(
        f"--address {address}: no Ray cluster accepted the connection ({why}). Start one with "
        "`ray start --head`; if it asks for a token, copy its ~/.ray/auth_token to the same place "
        "here; or give --address local to run on this machine alone."
    )
