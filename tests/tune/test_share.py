"""Each trial's share of a cluster, as it is and as it may become."""

from __future__ import annotations

import pytest

from gansearch.errors import BadInputError
from gansearch.tune import share as share_module
from gansearch.tune.settings import Settings
from gansearch.tune.share import share_of_cluster


@pytest.fixture
def ray_has(monkeypatch):
    """Make up what the connected cluster has, and whether it starts nodes by itself."""

    def _ray_has(cpus, gpus=0, *, grows=False):
        monkeypatch.setattr(
            share_module.ray, "cluster_resources", lambda: {"CPU": cpus, "GPU": gpus}
        )
        monkeypatch.setattr(share_module, "has_autoscaler", lambda: grows)

    return _ray_has


def at_a_time(**settings):
    return share_of_cluster(Settings(address="auto", **settings)).max_concurrent


def test_as_many_trials_run_as_fit(ray_has):
    ray_has(8, 1)
    assert at_a_time() == 4
    assert at_a_time(gpus_per_trial=0) == 8
    assert at_a_time(max_concurrent=3) == 3
    assert at_a_time(max_concurrent=30) == 4


def test_a_cluster_that_grows_is_given_as_much_work_as_the_user_says(ray_has):
    ray_has(0, grows=True)
    assert at_a_time(gpus_per_trial=0.25, max_concurrent=16) == 16
    ray_has(8, 1, grows=True)
    assert at_a_time(max_concurrent=16) == 16
    assert at_a_time() == 4


@pytest.mark.parametrize("grows", [False, True])
def test_what_does_not_fit_is_refused_with_the_way_out_that_there_is(ray_has, grows):
    ray_has(8, grows=grows)
    with pytest.raises(BadInputError, match=r"the cluster has 0 GPUs") as refused:
        at_a_time(gpus_per_trial=0.25)
    assert ("--max-concurrent" in str(refused.value)) == grows
    with pytest.raises(BadInputError, match=r"the cluster has 8 cores") as refused:
        at_a_time(cpus_per_trial=9)
    assert ("--max-concurrent" in str(refused.value)) == grows


def test_a_ray_of_ones_own_does_not_grow(ray_has):
    ray_has(2, grows=True)
    assert share_of_cluster(Settings(max_concurrent=16)).max_concurrent == 2
