import json
import re
import sys

import pandas as pd
import pytest

from benchmarks.studies import long_runs, long_training

ARGV = ["long_runs.py", "--dataset", "ring", "--preset", "paper", "--work"]
PLAN = [
    {"preset": "paper", "set": [], "seeds": [0, 1], "epochs": 0.125},
    {"preset": "paper", "name": "slow", "set": ["k=2"], "seeds": [0], "epochs": 0.125},
]


def run(monkeypatch, folder, *arguments):
    monkeypatch.setattr(sys, "argv", [*ARGV, str(folder), *map(str, arguments)])
    long_runs.main()
    return {
        kind: pd.concat(map(pd.read_parquet, paths))
        for kind in ("evaluations", "scores")
        if (paths := list(folder.rglob(f"{kind}.parquet")))
    }


@pytest.mark.slow
def test_a_training_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    monkeypatch.setattr(long_training, "N_FINAL_SAMPLES", 1000)
    common = ("--every", 250, "--processes", 1)
    longer = (*common, "--epochs", 0.25)
    run(monkeypatch, tmp_path / "cut", *common, "--epochs", 0.125, "--score-epochs", 0)
    cut = run(monkeypatch, tmp_path / "cut", *longer)
    whole = run(monkeypatch, tmp_path / "whole", *longer)
    for kind, frame in whole.items():
        same = frame.drop(columns="seconds", errors="ignore")
        pd.testing.assert_frame_equal(cut[kind][same.columns], same)
    assert whole["scores"]["weights"].tolist() == ["last", "average"]


def test_a_plan_trained_together_is_evaluated_as_each_alone_is(tmp_path, monkeypatch):
    plan = tmp_path / "plan.json"
    plan.write_text(json.dumps(PLAN))
    common = ("--plan", plan, "--every", 50, "--processes", 1, "--score-epochs", 0)
    together = run(monkeypatch, tmp_path / "a", *common, "--device", "cpu")
    alone = run(monkeypatch, tmp_path / "b", *common)
    order = ["name", "seed", "updates"]
    # Groups differ in the last digits, and trainings are chaotic.
    first = [
        kind["evaluations"].sort_values(order, ignore_index=True).groupby(order[:2]).head(1)
        for kind in (together, alone)
    ]
    assert list(first[0].columns) == list(first[1].columns)
    for name in ("updates", "d_loss", "coverage", "valid_ll", "average_valid_ll", "steepness"):
        assert first[0][name].tolist() == pytest.approx(first[1][name].tolist(), rel=0.05, abs=0.05)
    assert first[0]["name"].tolist() == ["paper", "paper", "slow"]


def test_when_the_minutes_are_over_trainings_end_where_they_are(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [*ARGV, str(tmp_path), "--device", "cpu", "--minutes", "0"])
    long_runs.main()
    assert re.search(r"paper seed 0: \d\d? updates", capsys.readouterr().out)
