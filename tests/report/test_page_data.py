"""The data that the page of a report draws from."""

import json
import math

import pandas as pd
import pytest

from gansearch.report import page_trials as trials_module
from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.report import build_report
from tests.report.printed_reports import curves
from tests.written_runs import MEANS, PAPER, SECOND, WINNER, replicas, trial, write_run


def data_of(folder):
    found = page_data(build_report(folder), EmbeddedPictures(0))
    return json.loads(json.dumps(found, allow_nan=False))


def test_every_trial_is_there_with_its_configuration_status_reason_and_scores(finished):
    data, trials = data_of(finished), finished.trials()
    shown = pd.DataFrame(data["trials"])
    assert shown["trial_id"].tolist() == trials["trial_id"].tolist()
    assert shown["status"].tolist() == trials["status"].tolist()
    assert shown["reason"].tolist() == trials["reason"].fillna("").tolist()
    assert shown["config.k"].tolist() == trials["config.k"].tolist()
    known = trials["valid_ll"].notna()
    assert shown["valid_ll"][known].tolist() == pytest.approx(trials["valid_ll"][known].tolist())
    assert shown["valid_ll"][~known].isna().all()
    assert set(shown["label"]) >= {"paper", WINNER.config_id}


def test_curves_have_every_measure_of_the_history(finished):
    finished.append_history(curves(finished))
    data = data_of(finished)
    history = finished.history()
    first = history["trial_id"].iloc[0]
    rows = history[history["trial_id"] == first]
    curve = data["curves"][first]
    assert curve["updates"] == rows["updates"].tolist()
    assert curve["valid_ll"] == pytest.approx(rows["valid_ll"].tolist(), rel=1e-5)
    of_curves = [measure["key"] for measure in data["measures"] if measure["of_curves"]]
    assert of_curves == ["valid_ll"]  # the others have no value in this history


def test_parameters_that_vary_come_first_with_their_meaning(finished):
    parameters = data_of(finished)["parameters"]
    varies = [parameter["varies"] for parameter in parameters]
    assert varies == sorted(varies, reverse=True)
    by_name = {parameter["key"]: parameter for parameter in parameters}
    assert by_name["k"]["searched"]
    assert by_name["k"]["doc"]
    assert not by_name["batch_size"]["varies"]


def test_a_large_run_is_sampled_and_keeps_its_best_and_its_replicas(tmp_path, monkeypatch):
    monkeypatch.setattr(trials_module, "_MOST_BEST", 5)
    statuses = ["pruned", "collapsed", "completed", "diverged"]
    rows = [
        trial(f"t{i:05d}", SECOND, statuses[i % 4], number=i, valid_ll=float(i)) for i in range(400)
    ]
    report = build_report(write_run(tmp_path, rows, replicas(WINNER), MEANS))
    chosen = trials_module.chosen_trials(report, 60)
    assert 55 <= len(chosen) <= 60
    assert (chosen["phase"] == "replica").sum() == 4
    best = [f"t{i:05d}" for i in range(399, 0, -1) if statuses[i % 4] in ("pruned", "completed")]
    assert set(best[:5]) <= set(chosen["trial_id"])
    rest = chosen[(chosen["phase"] == "search") & ~chosen["trial_id"].isin(best[:5])]
    assert rest["status"].value_counts().min() >= 5
    assert chosen["trial_id"].tolist() == sorted(
        chosen["trial_id"], key=list(report.trials["trial_id"]).index
    )
    assert trials_module.chosen_trials(report, 60).equals(chosen)


def test_the_ranking_has_means_intervals_seeds_and_ties(finished):
    first = data_of(finished)["ranking"][0]
    assert (first["rank"], first["label"]) == (1, WINNER.config_id)
    score = first["scores"]["test_ll"]
    assert score["low"] < score["mean"] < score["high"]
    assert len(score["seeds"]) == first["n_works"] == 3


def test_the_winner_comes_first_among_those_whose_pictures_are_embedded(finished):
    report = build_report(finished)
    order = trials_module.by_interest(report, report.trials)
    assert order[0] == f"r-{WINNER.config_id}-0"
    assert sorted(order) == sorted(report.trials["trial_id"])


@pytest.mark.parametrize(
    ("value", "plain"),
    [(1.23456789, 1.23457), (5.0, 5), (math.nan, None), (math.inf, None), ((64, 64), [64, 64])],
)
def test_numbers_have_six_digits_and_none_stands_for_what_is_no_number(value, plain):
    assert trials_module.plain(value) == plain


def test_commands_name_the_space_and_the_trial(finished):
    commands = data_of(finished)["run"]["commands"]
    assert commands["sample"] == f"gansearch sample {finished.path} --trial "
    assert commands["again"].startswith("gansearch run --space ")
    assert commands["again"].endswith(f" --only {finished.path}/")


def test_a_run_without_trials_has_data_too(tmp_path):
    data = data_of(write_run(tmp_path, []))
    assert data["trials"]["trial_id"] == []
    assert data["curves"] == {}
    assert data["ranking"] == []


def test_a_damaged_history_leaves_a_page_without_curves(finished):
    finished.append_history(curves(finished))
    for part in (finished.path / "history").iterdir():
        part.write_bytes(b"damaged")
    assert data_of(finished)["curves"] == {}


def test_the_baseline_is_there_to_compare_with(finished):
    run = data_of(finished)["run"]
    assert run["baseline"] == "the paper's configuration"
    assert run["baseline_config"]["k"] == PAPER.k
