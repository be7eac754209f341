"""What the tests of whole searches share."""

import subprocess
import sys

import pytest
import ray

from gansearch.data.registry import load_dataset
from gansearch.tune.cluster import connected
from gansearch.tune.settings import Settings

from .searches import HOLDERS, SECRET


@pytest.fixture(scope="module")
def _ray():
    """One Ray for all searches of this process, which then neither start nor end one.

    Its start takes as much of a processor as a small search. Its processes have secrets in their
    environment.
    """
    assert not ray.is_initialized()
    with pytest.MonkeyPatch.context() as patch:
        for name in HOLDERS:
            patch.setenv(name, SECRET)
        with connected(Settings(), load_dataset("digits")):
            yield


CLUSTER = """
from ray.cluster_utils import Cluster
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
cluster.add_node(num_cpus=1)
print("address", cluster.address, flush=True)
input()
cluster.shutdown()
"""


@pytest.fixture(scope="module")
def cluster():
    """The address of a cluster of two nodes that asks for no token.

    In another process, as whether a token is asked for is decided once in each.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_gcs_server_port_wait_time_s", "120")  # on a busy machine
        process = subprocess.Popen(
            [sys.executable, "-c", CLUSTER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = (line.split() for line in process.stdout)
        yield next(words[1] for words in lines if words[:1] == ["address"])
        process.communicate("\n", timeout=60)
