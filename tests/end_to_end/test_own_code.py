"""Networks, loops and measures of the user's own are searched, killed, resumed and ranked."""

import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import gansearch
from gansearch.errors import BadInputError
from gansearch.tune.study import load_study

from .searches import COMMAND, command, in_process, wait_for_reports

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = ["reports=4", "trials=3", "top=1", "max_updates=400"]


@pytest.fixture
def mine(tmp_path):
    """A folder with copies of the examples, as a user's own."""
    folder = tmp_path / "mine"
    shutil.copytree(EXAMPLES, folder)
    return folder


def replace(file, old, new):
    """Replace a text in a file."""
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def words(space, where, overrides):
    """The words of a command that searches a space."""
    sets = [part for override in (*SMALL, *overrides) for part in ("--set", override)]
    return ["run", "--space", str(space), "--name", "run", *where, *sets]


def killed_and_resumed(space, results, cluster, *overrides):
    """Search on the nodes, kill that, remove the folder of the space, and resume; return the run.

    Also what the two commands printed, on one line.
    """
    where = ["--results", str(results), "--address", cluster]
    searching = subprocess.Popen(
        [*COMMAND, *words(space, where, overrides)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_reports(results / "run", 3, searching)
    os.killpg(searching.pid, signal.SIGKILL)
    before, _ = searching.communicate()
    shutil.rmtree(space.parent)
    resumed = in_process("resume", "run", *where)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    run = gansearch.load("run", results)
    assert not run.history().duplicated(["trial_id", "updates"]).any()
    assert len(run.ranking()) >= 1
    return run, " ".join((before + resumed.stdout + resumed.stderr).split())


def samples_of(run, out, *options):
    """Return what `sample` writes, as bytes."""
    done = command("sample", str(run.path), "--out", str(out), *options)
    assert done.exit_code == 0, done.output
    return out.read_bytes()


def test_a_loop_goes_on_after_a_kill_though_its_file_is_gone_and_fails_at_once_where_it_raises(
    tmp_path, mine, cluster
):
    """So do its measures, one of which is an objective of the run, beside a built-in one."""
    line = "        for _ in range(config.n_critic):"
    fault = '        if step == 60 and config.lr == 0.01:\n            raise ValueError("odd")\n'
    replace(mine / "own_loop.py", line, fault + line)
    with (mine / "own_loop.yaml").open("a") as file:
        file.write("presets: {odd: {lr: 0.01}}\nstart_from: [odd]\nbaseline: none\n")
        file.write("measures: [own_measure.py:ink]\nobjectives: [ink, coverage]\n")
    run, said = killed_and_resumed(mine / "own_loop.yaml", tmp_path, cluster, "replicas=1")
    assert "own_loop.py is no longer there. The run continues with the code that it" in said
    trials = run.trials()
    assert trials["phase"].value_counts().to_dict() == {"search": 3, "replica": 1}
    assert trials["config.lr"].notna().all()
    (odd,) = trials[trials["status"] == "failed"].to_dict("records")
    assert odd["config.lr"] == 0.01 and odd["updates"] < 100
    assert odd["reason"].startswith("own_loop.py:train: it failed: ValueError: odd, at own_loop.py")
    assert "continues from its checkpoint" not in said
    others = trials[trials["status"] != "failed"]
    assert set(others["status"]) <= {"completed", "pruned", "collapsed"}
    assert run.history()["measure.ink"].notna().all()
    completed = trials.query("phase == 'search' and status == 'completed'")
    best = completed.loc[completed["measure.ink"].idxmin(), "config_id"]
    assert best in run.ranking()["config_id"].tolist()
    assert "then by the Pareto fronts of ink and coverage" in said
    first = r"front of the search: \d trials?, best ink: t\d+, ink \S+ share of the ink from "
    assert re.search(first + r"[\d,]+ samples, coverage \d", said)
    assert run.ranking().iloc[0]["pareto_rank"] == 1
    study = load_study(run.path / "optuna.journal")
    assert study.metric_names == ["-measure.ink", "coverage"]
    told = {trial.number: trial.values for trial in study.trials if trial.state.name == "COMPLETE"}
    searched = trials.query("phase == 'search' and status != 'failed'").set_index("number")
    assert told == {
        number: [-row["measure.ink"], row["coverage"]] for number, row in searched.iterrows()
    }
    samples_of(run, tmp_path / "samples.npy")
    assert np.load(tmp_path / "samples.npy").shape == (64, 64)


def test_networks_and_measures_go_through_all_that_a_search_does(tmp_path, mine, cluster):
    with (mine / "own_networks.py").open("a") as file:
        file.write(
            "\n\ndef make_d(config, shape):\n"
            "    return Discriminator(shape, config.width, config.dropout)\n"
        )
    space = mine / "own_networks.yaml"
    replace(space, "own_networks.py:Discriminator", "own_networks.py:make_d")
    with space.open("a") as file:
        file.write("measures: [own_measure.py:frechet, own_measure.py:ink]\nbaseline: none\n")
    where = ["--results", str(tmp_path), "--address", cluster]
    done = in_process(*words(space, where, ["replicas=2", "generator_ema=0.99"]))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Search: 3 of 3 configurations tried" in done.stdout
    shutil.rmtree(mine)  # what follows takes the code that the run has kept
    run = gansearch.load("run", tmp_path)
    trials = run.trials()
    assert set(trials["status"]) <= {"completed", "pruned", "collapsed"}
    assert trials["config.generator.width"].isin([16, 32]).all()
    assert trials["config.discriminator.dropout"].between(0, 0.5).all()
    assert trials["d_updates"].notna().all() and "config.dropout_hidden" not in trials
    assert run.history()["valid_ll_raw"].notna().all()

    # Of the measures
    assert trials[["measure.frechet", "measure.ink"]].notna().all(axis=None)
    is_replica = trials["phase"] == "replica"
    assert (trials["measure.frechet_test"].notna() == is_replica).all()
    assert run.history()["measure.ink"].between(0, 10).all()
    row = run.ranking().iloc[0]
    assert row["measure.frechet_low"] < row["measure.frechet"] < row["measure.frechet_high"]
    of_data = run.references()["measure.frechet_test"]
    assert of_data.iloc[0] < row["measure.frechet_test"] and of_data.iloc[1:].isna().all()
    report = command("report", str(run.path)).output
    assert "Your own measures" in report and "generator.width" in report

    samples_of(run, tmp_path / "samples.npy", "--n", "50")
    samples = np.load(tmp_path / "samples.npy")
    assert samples.shape[0] == 50 and 0 <= samples.min() < samples.max() <= 1
    for options in ([], ["--interpolate", "5"]):
        assert samples_of(run, tmp_path / "x.png", *options).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        (
            "own_loop",
            ".view(n, 1, 8, 8)",
            ".view(n, 8, 8)",
            r"sample\(4\) returned shape \[4, 8, 8\]",
        ),
        (
            "own_networks",
            "nn.Linear(2 * width * end * end, 1),",
            "nn.Linear(2 * width * end * end, 1), nn.Sigmoid(),",
            "own_networks: discriminator: Discriminator: it ends with a sigmoid, and so returns p",
        ),
    ],
    ids=["loop", "networks"],
)
def test_what_is_wrong_is_said_before_a_run_begins(tmp_path, mine, name, old, new, message):
    replace(mine / f"{name}.py", old, new)
    with pytest.raises(BadInputError, match=message):
        command("run", "--space", str(mine / f"{name}.yaml"), "--results", str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()
