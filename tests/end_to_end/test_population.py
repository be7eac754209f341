"""A search by a population on Ray: killed in the middle, resumed, and ranked."""

import json

import pytest

import gansearch
from gansearch.errors import BadInputError
from gansearch.report.report import build_report
from gansearch.tune.resumption import resumption

from .searches import command, killed

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

POPULATION = [
    *("scheduler=pbt", "trials=8", "max_updates=1600", "reports=4", "grace=0.25", "top=1"),
    *("replicas=1", "start_from=[]", "baseline=none"),
    *("generator_lr={float: [0.05, 0.2]}", "discriminator_lr={float: [0.05, 0.2]}"),
    *("generator_widths=[64]", "discriminator_widths=[64]", "k=1", "noise_dim=10"),
    *("dropout_input=0", "dropout_hidden=0", "generator_ema=0", "discriminator_activation=relu"),
    *("generator_activation=relu", "init=glorot", "maxout_pieces=2"),
]


def test_a_population_that_was_killed_goes_on_to_forks_that_are_ranked_and_tells_each_report_once(
    tmp_path, _ray
):
    path = tmp_path / "killed"
    settings = [part for each in POPULATION for part in ("--set", each)]
    run = ["run", "--space", "digits", *settings, "--results", str(tmp_path), "--name", "killed"]
    killed(path, 11, *run, folder=tmp_path)  # eight members have one report before the first level
    began = gansearch.load(path).trials()
    resumed = command("resume", str(path), "--quiet")
    assert resumed.exit_code == 0
    run = gansearch.load(path)
    trials, history = run.trials(), run.history()
    searched = trials[trials["phase"] == "search"].set_index("trial_id")
    forks = searched[searched["forked_at"].notna()]
    assert len(searched) - len(forks) == 8
    assert len(forks) >= 1
    assert set(began["trial_id"]) <= set(searched.index)
    assert set(searched["status"]) <= {"completed", "pruned", "collapsed", "diverged"}
    assert not history.duplicated(["trial_id", "updates"]).any()
    for trial_id, fork in forks.iterrows():
        donor = searched.loc[fork["forked_from"]]
        assert fork["seed"] == donor["seed"]
        assert json.loads(fork["config.schedule"])[-1]["at"] == fork["forked_at"]
        own = history.loc[history["trial_id"] == trial_id, "updates"]
        assert (own > fork["forked_at"]).all()
    taken = searched["reason"].str.contains("takes its place")
    assert taken.any()
    assert not list((path / "checkpoints").iterdir())
    assert run.ranking()["n_seeds"].tolist() == [1]
    spent = searched["updates"].sum() - forks["forked_at"].sum()
    assert build_report(run).updates == spent + 1600
    with pytest.raises(BadInputError, match="--trials 9: the run has a population of 8"):
        resumption(run, run.read_run(), {"trials": 9})
