"""Whether the largest training of a search fits, and what is said where it does not."""

import pytest

from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.space.load import load_space
from gansearch.trial import memory_check
from gansearch.trial.footprint import Footprint, footprint
from gansearch.trial.memory_check import (
    Memory,
    fitting_trials,
    memory_here,
    require_memory,
    trials_on_gpu,
)
from gansearch.trial.plan import gpu_fraction
from gansearch.tune.driver import search
from gansearch.tune.dry_run import plan
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share, share_of_cluster

GIB = 2**30
DIGITS = load_dataset("digits")
WIDE = ["batch_size={choice: [20, 100, 20000]}", "discriminator_widths=[4000]"]


def host(n_bytes, n=1):
    return Memory("host", n_bytes, f"{n_bytes / GIB:g} GiB are free here", n)


def rough_footprint(space, config):
    return footprint(space.family, config, DIGITS, "cpu", exact=False)


def test_the_largest_configuration_of_a_space_is_found():
    space = load_space("digits", WIDE)
    config = space.largest(lambda c: rough_footprint(space, c).training)
    assert (config.batch_size, config.k, config.maxout_pieces) == (20000, 3, 5)
    assert config.discriminator_activation == "maxout"
    sizes = [rough_footprint(space, c).training for c in space.shrunk(config, "batch_size")]
    assert len(sizes) == 2
    assert max(sizes) < rough_footprint(space, config).training


def test_what_fits_is_settled_without_going_through_an_iteration(monkeypatch):
    def roughly(*args, exact=True, **how):
        return pytest.fail("not needed") if exact else footprint(*args, exact=False, **how)

    monkeypatch.setattr(memory_check, "footprint", roughly)
    largest = require_memory(load_space("digits"), [], DIGITS, [host(64 * GIB)], device="cpu")
    assert largest.needs.on("host") < 1.5 * GIB


def test_what_can_not_fit_is_told_with_the_bytes_the_configuration_and_the_remedies():
    space = load_space("digits", WIDE)
    with pytest.raises(ConfigError) as caught:
        require_memory(space, [], DIGITS, [host(2 * GIB)], device="cpu")
    told = str(caught.value)
    assert told.startswith("digits: the largest configuration needs ")
    assert "where a trial has 2.0 GiB: 2 GiB are free here. It is batch_size=20000, " in told
    assert told.endswith(" Lower the upper bound of batch_size, or drop its largest values.")


def test_fewer_at_a_time_are_advised_where_that_is_enough():
    space = load_space("digits", WIDE)
    with pytest.raises(ConfigError, match=r"; or run fewer trials at a time: --max-concurrent 2\."):
        require_memory(space, [], DIGITS, [host(20 * GIB, n=8)], device="cpu")


def test_no_other_configurations_are_advised_to_a_run_that_has_begun():
    space = load_space("digits", WIDE)
    with pytest.raises(ConfigError, match=r"0\. Resume the run on a machine with more memory\.$"):
        require_memory(space, [], DIGITS, [host(2 * GIB)], device="cpu", has_begun=True)


def test_more_of_a_gpu_is_advised_where_that_is_enough():
    config = load_space("digits").preset("paper")
    shared = Memory("GPU", 8 * GIB, ".02 of a GPU", n_trials=50)
    with pytest.raises(ConfigError, match=r"; or give a trial more of a GPU: --gpus-per-trial 0\."):
        require_memory(load_space("digits"), [config], DIGITS, [shared], device="cuda")


def test_a_search_that_can_not_fit_is_refused_before_anything_starts(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_check, "usable_bytes", lambda: 1.0 * GIB)
    monkeypatch.setattr(memory_check, "limit_bytes", lambda: 4.0 * GIB)
    for start in (lambda: plan("digits"), lambda: search("digits", results=tmp_path)):
        with pytest.raises(ConfigError, match="the largest configuration needs "):
            start()
    assert not list(tmp_path.iterdir())


def test_the_memory_bounds_how_many_trials_run_at_a_time_by_default(monkeypatch):
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 16.0})
    monkeypatch.setattr(memory_check, "usable_bytes", lambda: 6.0 * GIB)
    monkeypatch.setattr(memory_check, "limit_bytes", lambda: 8.0 * GIB)
    space = load_space("digits")
    needs = rough_footprint(space, space.preset("paper"))
    n = fitting_trials(DIGITS, needs)
    assert 4 <= n <= 6
    assert share_of_cluster(Settings(), n).max_concurrent == n
    assert share_of_cluster(Settings(max_concurrent=12), n).max_concurrent == 12
    assert share_of_cluster(Settings(address="there:6379"), n).max_concurrent == 16
    (shared,) = memory_here(DIGITS, gpus_per_trial=0, max_concurrent=2)
    assert shared.bytes_per_trial == shared.n_bytes / 2 and shared.holds(needs) == n


@pytest.mark.parametrize("in_engine", [True, False])
def test_the_fraction_for_as_many_trials_as_a_gpu_holds_is_large_enough(monkeypatch, in_engine):
    needs = Footprint("cuda", 0.3 * GIB, 0.1 * GIB, 0.2 * GIB, in_engine)
    for total in (11 * GIB, 24 * GIB, 80 * GIB):
        monkeypatch.setattr(memory_check, "gpu_bytes", lambda total=total: total)
        n = trials_on_gpu(total, DIGITS, needs)
        for fraction, fits in ((gpu_fraction(n), True), (gpu_fraction(n + 1), False)):
            shared, _ = memory_here(
                DIGITS, gpus_per_trial=fraction, max_concurrent=None, in_engine=in_engine
            )
            assert (shared.bytes_per_trial >= needs.on("GPU")) == fits


@pytest.mark.parametrize("fraction", [0.25, 0.3, 0.4, 0.6, 1.0, 2.0])
def test_no_process_is_promised_more_of_a_gpu_than_it_may_take(monkeypatch, fraction):
    monkeypatch.setattr(memory_check, "gpu_bytes", lambda: 80 * GIB)
    shared, _ = memory_here(DIGITS, gpus_per_trial=fraction, max_concurrent=None)
    limit = Share(fraction, 1).memory_fraction * 80 * GIB
    assert 0.9 * limit <= shared.bytes_per_trial <= limit
