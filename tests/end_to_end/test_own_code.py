"""Networks and training loops of the user's own are searched, killed, resumed and ranked."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import gansearch
from gansearch.errors import BadInputError

from .searches import COMMAND, command, in_process
from .test_own_family import wait_for_reports

pytestmark = pytest.mark.ray
EXAMPLES = Path(__file__).parents[2] / "examples"
SMALL = [*("--trials", "3", "--top", "1", "--replicas", "1", "--max-updates", "400")]


@pytest.fixture
def mine(tmp_path):
    """A folder with copies of the examples, as a user's own."""
    folder = tmp_path / "mine"
    shutil.copytree(EXAMPLES, folder)
    return folder


def test_a_loop_reaches_the_nodes_and_goes_on_after_a_kill_though_its_file_is_gone(
    tmp_path, mine, cluster
):
    """So do its measures, one of which is what it goes by."""
    with (mine / "own_loop.yaml").open("a") as space:
        space.write("\nmeasures: [own_measure.py:ink]\nobjective: ink\n")
    where = ["--results", str(tmp_path), "--address", cluster]
    run = ["run", "--space", str(mine / "own_loop.yaml"), "--name", "loop", *SMALL, *where]
    searching = subprocess.Popen(
        [*COMMAND, *run],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    wait_for_reports(tmp_path / "loop", 3, searching)
    os.killpg(searching.pid, signal.SIGKILL)
    searching.communicate()
    shutil.rmtree(mine)
    resumed = in_process("resume", "loop", *where)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    said = " ".join(resumed.stdout.split())
    assert "own_loop.py is no longer there. The run continues with the code that it" in said
    found = gansearch.load("loop", tmp_path)
    trials = found.trials()
    assert trials["phase"].value_counts()["search"] == 3
    assert set(trials["status"]) <= {"completed", "pruned", "collapsed"}
    history = pd.concat(map(pd.read_parquet, (tmp_path / "loop" / "history").glob("*")))
    assert not history.duplicated(["trial_id", "updates"]).any()
    assert history["measure.ink"].notna().all() and trials["config.lr"].notna().all()
    completed = trials.query("phase == 'search' and status == 'completed'")
    best = completed.loc[completed["measure.ink"].idxmin(), "config_id"]
    assert best in found.ranking()["config_id"].tolist()
    assert "by your own measure ink" in said and "best ink" in said
    out = tmp_path / "samples.npy"
    sampled = in_process("sample", "loop", "--results", str(tmp_path), "--out", str(out))
    assert sampled.returncode == 0, sampled.stderr
    assert np.load(out).shape == (64, 64)


def test_own_networks_are_searched_with_their_arguments_and_sampled(tmp_path, mine, _ray):
    space = str(mine / "own_networks.yaml")
    done = command("run", "--space", space, "--results", str(tmp_path), "--name", "nets", *SMALL)
    assert done.exit_code == 0, done.output
    found = gansearch.load("nets", tmp_path)
    trials = found.trials()
    assert set(trials["config.generator.width"]) <= {16, 32}
    assert trials["config.discriminator.dropout"].notna().all()
    shutil.rmtree(mine)  # the run has its own copy
    out = tmp_path / "samples.png"
    assert command("sample", str(found.path), "--out", str(out)).exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    assert "generator.width" in command("report", str(found.path)).output


def test_own_measures_are_recorded_ranked_and_reported_without_their_code(tmp_path, mine, _ray):
    space = str(mine / "own_measure.yaml")
    small = [*SMALL[:-3], "2", *SMALL[-2:]]  # two replicas
    done = command("run", "--space", space, "--results", str(tmp_path), "--name", "own", *small)
    assert done.exit_code == 0, done.output
    found = gansearch.load("own", tmp_path)
    shutil.rmtree(mine)
    trials = found.trials()
    assert trials[["measure.frechet", "measure.ink"]].notna().all(axis=None)
    is_replica = trials["phase"] == "replica"
    assert (trials["measure.frechet_test"].notna() == is_replica).all()
    assert found.history()["measure.ink"].between(0, 10).all()
    row = found.ranking().iloc[0]
    assert row["measure.frechet_low"] < row["measure.frechet"] < row["measure.frechet_high"]
    of_data = found.references()["measure.frechet_test"]
    assert of_data.iloc[0] < row["measure.frechet_test"]
    assert of_data.iloc[1:].isna().all()
    assert "Your own measures" in command("report", str(found.path)).output


def test_what_a_dry_call_finds_wrong_is_said_before_a_run_begins(tmp_path, mine, _ray):
    file = mine / "own_loop.py"
    file.write_text(file.read_text().replace(".view(n, 1, 8, 8)", ".view(n, 8, 8)"))
    with pytest.raises(BadInputError, match=r"sample\(4\) returned shape \[4, 8, 8\]"):
        command("run", "--space", str(mine / "own_loop.yaml"), "--results", str(tmp_path / "r"))
    assert not (tmp_path / "r").exists()
