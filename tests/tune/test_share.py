"""Each trial's share of a cluster, as it is and as it may become."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gansearch.errors import BadInputError
from gansearch.tune import share as share_module
from gansearch.tune.placement import Placement
from gansearch.tune.room import Room
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share, share_of_cluster


@pytest.fixture
def ray_has(monkeypatch):
    """Make up what the connected cluster has, and whether it starts nodes by itself."""

    def _ray_has(cpus, gpus=0, *, grows=False):
        monkeypatch.setattr(
            share_module.ray, "cluster_resources", lambda: {"CPU": cpus, "GPU": gpus}
        )
        monkeypatch.setattr(share_module, "has_autoscaler", lambda: grows)

    return _ray_has


IN_ENGINE = Placement("cuda", None, 0.0, in_engine=True)
ROOM = Room(memory=300, cores=32, pays=16, budget=20)


def at_a_time(room=None, **settings):
    return share_of_cluster(Settings(address="auto", **settings), room=room).max_concurrent


def test_as_many_trials_run_as_fit(ray_has):
    ray_has(8, 1)
    assert at_a_time() == 8  # torch can use no GPU
    assert at_a_time(gpus_per_trial=0.25) == 4
    assert at_a_time(gpus_per_trial=0) == 8
    assert at_a_time(max_concurrent=3) == 3
    assert at_a_time(max_concurrent=30) == 8


def test_trials_of_an_engine_take_little_of_a_core_and_an_even_share_of_the_gpu(ray_has):
    ray_has(8, 2)
    settings = Settings(address="auto")
    share = share_of_cluster(settings, where=IN_ENGINE, room=ROOM)
    assert (share.gpus_per_trial, share.cpus_per_trial, share.device) == (1 / 16, 0.25, "cuda")
    assert (share.max_concurrent, share.n_together, share.trials_per_gpu) == (32, 16, 16)
    seven = share_of_cluster(settings, where=IN_ENGINE, room=replace(ROOM, pays=7))
    assert (seven.max_concurrent, seven.n_together) == (14, 7)  # in spite of Ray's rounding
    alone = Placement("cuda", None, 1.0, in_engine=False)
    assert share_of_cluster(settings, where=alone, room=ROOM).cpus_per_trial == 1
    own = Settings(address="auto", cpus_per_trial=0.5, gpus_per_trial=0.125)
    share = share_of_cluster(own, where=IN_ENGINE)
    assert (share.gpus_per_trial, share.cpus_per_trial, share.n_together) == (0.125, 0.5, 8)
    assert share.trials_per_gpu is None


def test_fewer_trials_at_a_time_on_each_gpu_are_fewer_in_all():
    assert Share(1 / 16, 32, n_together=16).at_a_time(15) == 30
    assert Share(1 / 16, 3, n_together=3).at_a_time(2) == 2
    assert Share(0.25, 4).at_a_time(0) == 4  # no engine


def test_a_cluster_that_grows_is_given_as_much_work_as_the_user_says(ray_has):
    ray_has(0, grows=True)
    assert at_a_time(gpus_per_trial=0.25, max_concurrent=16) == 16
    ray_has(8, 1, grows=True)
    assert at_a_time(max_concurrent=16) == 16
    assert at_a_time(room=ROOM) == 8


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
