"""A model family of the user's own goes through all that a search does: the seam is enough."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from .searches import gansearch, killed, output

pytestmark = pytest.mark.ray

SPACE = """
family: mean_family:MeanFamily
dataset: gaussian
budget: {trials: 5, max_updates: 3000, reports: 10, top: 2, replicas: 1}
search:
  lr: {float: [0.01, 0.3], log: true}
presets:
  still: {lr: 0.000001}
  wild: {lr: 3}
start_from: [defaults]
baseline: defaults
keep: best
"""
# Presets that lie outside what is searched are compared without a search.
ENDS = "still", "wild", "defaults"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mean.yaml").write_text(SPACE)
    for name in ("torch", "numpy", "random"):  # what lies where one stands is none of a run's
        (tmp_path / f"{name}.py").write_text("raise SystemExit(7)")
    return tmp_path


def test_a_family_is_searched_killed_resumed_replicated_and_reported(folder):
    path = folder / "results" / "mean"
    killed(path, 3, "run", "--space", "mean.yaml", "--name", "mean", folder=folder)
    told = output("resume", "mean", folder=folder)
    assert "Search: 5 of 5 configurations tried" in told
    assert "* the default configuration" in told and "paper" not in told
    trials = pd.read_parquet(path / "trials.parquet")
    ranking = pd.read_parquet(path / "ranking.parquet")
    n_ranked = len(ranking)  # the best two, and the default configuration if it is none of them
    phases = trials["phase"].value_counts().to_dict()
    assert phases == {"search": 5, "replica": n_ranked} and n_ranked in (2, 3)
    assert set(trials["status"]) <= {"completed", "pruned"}
    assert (
        not pd.concat(map(pd.read_parquet, path.glob("history/*")))
        .duplicated(["trial_id", "updates"])
        .any()
    )
    assert trials["config.lr"].notna().all() and trials["d_updates"].isna().all()
    _check_that_best_states_are_kept(trials, path)
    # It has learned N(1, .5^2), of which a test example's log-likelihood is -.73 in the mean.
    assert ranking["test_ll"].between(-0.8, -0.7).all()
    report = json.loads(output("report", "mean", "--format", "json", folder=folder))
    assert [row["config.spread"] for row in report["ranking"]] == n_ranked * [0.5]
    output("sample", "mean", "--n", "500", "--out", "samples.npy", folder=folder)
    assert abs(np.load(folder / "samples.npy").mean() - 1) < 0.1


def _check_that_best_states_are_kept(trials, path):
    done = trials.query("status == 'completed' and phase == 'search'").set_index("trial_id")
    history = pd.concat(map(pd.read_parquet, path.glob("history/*")))
    at = history.set_index(["trial_id", "updates"])["valid_ll"]
    kept = pd.MultiIndex.from_arrays([done.index, done["kept_updates"].astype(int)])
    assert (done["valid_ll"].to_numpy() == at.loc[kept].to_numpy()).all()
    # The verdict on the last report is that of the test on the state that is stored.
    sound = history[(history["verdict"] == "sound") & (history["updates"] < 3000)]
    best = sound.groupby("trial_id")["valid_ll"].max()
    assert (done["valid_ll"] >= best.reindex(done.index)).all()
    assert (done["kept_updates"] < 3000).any() and (done["updates"] == 3000).all()


def test_the_guard_stops_a_family_that_stands_still_and_one_that_flies_away(folder):
    told = " ".join(
        output(
            *("run", "--space", "mean.yaml", "--name", "ends", "--only", *ENDS), folder=folder
        ).split()
    )
    trials = pd.read_parquet(folder / "results" / "ends" / "trials.parquet")
    by_lr = trials.groupby("config.lr")["status"].unique().map(list).to_dict()
    assert by_lr == {1e-6: ["collapsed"], 0.01: ["completed"], 3.0: ["diverged"]}
    assert "1 collapsed" in told and "1 diverged" in told


def test_a_gpu_lost_in_mid_run_ends_it_in_order_and_a_resume_loses_nothing(folder):
    modules = folder / "modules"
    modules.mkdir()
    for name in ("mean_family.py", "lost_gpu_family.py"):
        (modules / name).write_text(Path(__file__).with_name(name).read_text())
    small = SPACE.replace("mean_family:MeanFamily", "lost_gpu_family:LostGpuFamily")
    (folder / "lost.yaml").write_text(small.replace("trials: 5, max_updates: 3000", "trials: 3"))
    (modules / "lost").write_text("")
    how = ["--space=lost.yaml", "--name=run", "--max-concurrent=1", "--max-updates=600", "--top=1"]
    process = gansearch("run", *how, folder=folder, path=modules)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 1, said
    assert "GPU lost: a worker can't use it: no CUDA-capable device. No trial can" in joined(said)
    assert f"go on: gansearch resume {folder}/results/run" in joined(said)
    rows = pd.read_parquet(folder / "results/run/trials.parquet")
    assert set(rows["status"]) == {"running"}
    (modules / "lost").unlink()
    process = gansearch("resume", "run", folder=folder, path=modules)
    said, _ = process.communicate(timeout=240)
    assert process.returncode == 0, said
    rows = pd.read_parquet(folder / "results/run/trials.parquet")
    assert "failed" not in set(rows["status"]) and len(rows) > 3


def joined(said):
    return " ".join(said.split())
