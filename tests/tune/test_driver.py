"""What the driver does between the phases, without Ray."""

import os
import signal
from dataclasses import replace

import pytest

from gansearch.data.registry import load_dataset
from gansearch.errors import InterruptedRunError
from gansearch.runs.folder import RunFolder
from gansearch.space.load import load_space
from gansearch.tune import driver, phases
from gansearch.tune.new_run import describe_run
from gansearch.tune.settings import Settings

TRAINING = {"name": "training points", "n_samples": 1000, "valid_ll": 2.0}


@pytest.fixture
def folder(tmp_path):
    """A run that has been replicated and not yet been ranked."""
    folder = RunFolder.create(tmp_path, "trained")
    space = load_space("ring", [])
    folder.write_run(
        describe_run("trained", space, (), 0, Settings(), TRAINING, load_dataset("ring"))
    )
    return folder


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_ranking_at_once_and_in_order(folder, monkeypatch, signum):
    def interrupted(_dataset):
        os.kill(os.getpid(), signum)
        pytest.fail("it went on")

    monkeypatch.setattr(driver, "replicate", lambda *_: None)
    monkeypatch.setattr(phases, "reference_scores", interrupted)
    before = signal.getsignal(signum)
    with pytest.raises(InterruptedRunError, match=f"gansearch resume {folder.path}"):
        driver._execute(
            *(folder, folder.read_run(), load_space("ring", []), [], load_dataset("ring")),
            *(Settings(), None, None),
            search_on=False,
        )
    assert folder.read_run().state == "interrupted"
    assert signal.getsignal(signum) is before


@pytest.mark.parametrize("seed", [5_000_000_000, None])
def test_a_search_begins_with_any_seed_and_a_space_of_any_name(tmp_path, monkeypatch, seed):
    class Connecting(Exception):  # noqa: N818
        pass

    def connected(_settings, _dataset):
        begun.extend(path.name for path in tmp_path.glob("results/*"))
        raise Connecting

    begun = []
    monkeypatch.setattr(driver, "connected", connected)
    space = replace(load_space("ring", []), name="größe (1)")
    with pytest.raises(Connecting):
        driver.search(space, seed=seed, results=tmp_path / "results")
    assert begun[0].startswith("grosse-1-")
    assert list(tmp_path.glob("results/*")) == []
