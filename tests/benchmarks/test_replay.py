import sys
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.studies import labelled_runs, recovery, replay
from gansearch.measures import Indicators
from gansearch.scoring.health import looks_collapsed
from gansearch.scoring.recovery import load_forecast
from gansearch.space.load import load_space

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def runs():
    return labelled_runs.load_runs(replay.DATA)


@pytest.fixture(scope="module")
def pairs():
    return recovery.pairs_of(labelled_runs.load_all_runs(replay.DATA))


@pytest.fixture(scope="module")
def monitored(pairs):
    """The guard with a forecast that has not seen the test part."""
    return replay.monitored_by(recovery.fit(pairs[~pairs["is_test"]], with_classes=True))


def test_three_hundred_complete_runs_of_four_data_sets_are_kept(runs):
    assert len(runs) >= 300
    assert {run.dataset for run in runs} == {"ring", "grid", "digits", "mnist"}
    for run in runs:
        assert run.label == "diverged" or run.updates >= run.max_updates
        assert run.label == "diverged" or len(run.reports) == 20


def test_no_configuration_is_in_both_parts(runs):
    assert 0.4 < sum(run.is_test for run in runs) / len(runs) < 0.6
    numbers = [{(r.dataset, r.number) for r in runs if r.is_test is part} for part in (True, False)]
    assert not numbers[0] & numbers[1]


def test_no_detector_but_for_the_classes_reads_the_truth(runs):
    assert not any("truth" in name for run in runs[:5] for name in run.signs)
    assert not any("truth" in name for name in vars(runs[0].read()[0]))
    assert runs[0].read(with_classes=False)[0].class_share is None


def test_the_monitor_does_on_the_test_part_what_the_docs_say(runs, monitored):
    test = [run for run in runs if run.is_test]
    outcome = replay.outcome_of(monitored, test)
    assert (outcome.n_false, outcome.n_better) == (0, 44)
    found = f"{outcome.n_found} of {outcome.n_dying}"
    false = f"{outcome.n_false} of {outcome.n_better}"
    saved = f"{100 * outcome.saved:.0f} %"
    readme, collapse, speed = (
        " ".join((ROOT / name).read_text().split())
        for name in ("README.md", "docs/collapse.md", "docs/speed.md")
    )
    assert f"| {found}; {saved}; {false} |" in speed
    assert f"stops {found} dying runs ({outcome.found:.0%}".replace("%", " %") in collapse
    assert (
        f"On {len(test)} labelled trainings, with a forecast fitted to others, the guard stops "
        f"{outcome.n_found} of the {outcome.n_dying} that collapse or diverge, saves {saved} of "
        f"their updates, and stops {false} good ones"
    ) in readme


def test_an_oracle_saves_more_than_the_monitor_and_loses_nobody(runs, monitored):
    ring = [run for run in runs if run.dataset == "ring" and run.is_test]
    oracle = [0 if run.is_dying and not run.reports.empty else None for run in ring]
    pairs = [
        replay._search_pair(ring, stops, seed=1)
        for stops in (oracle, [monitored(run) for run in ring])
    ]
    assert pairs[0][0] < pairs[1][0] <= 1.0
    assert pairs[0][2] == 0.0


@pytest.mark.parametrize("with_classes", [True, False])
def test_the_forecast_that_ships_is_the_fit_to_all_runs(pairs, with_classes):
    fitted = recovery.fit(pairs, with_classes=with_classes)
    shipped = load_forecast(with_classes=with_classes)
    assert recovery.predictions(fitted, pairs[::50]) == pytest.approx(
        recovery.predictions(shipped, pairs[::50]), abs=0.01
    )


def test_low_probabilities_hold_on_runs_that_the_fit_did_not_see(pairs):
    tables = recovery.reliability(pairs)
    table = tables["Forecast of recovery with classes, on the test part"]
    low = table[table["predicted"] < 0.05]
    assert not low.empty
    assert (low["recovered"] < 0.1).all()


def test_no_preset_of_digits_is_given_up():
    detector = replay.monitored_by(load_forecast(with_classes=True))
    runs = [run for run in labelled_runs.load_long_runs(replay.DATA) if run.dataset == "digits"]
    assert len(runs) == 10
    assert [detector(run) for run in runs] == [None] * 10


def test_no_training_of_the_authors_configuration_that_recovers_is_given_up(pairs):
    long = labelled_runs.load_long_runs(replay.DATA)
    recovering = [
        run
        for run in long
        if "authors_code/" in run.name and run.updates >= 12_000 and run.class_shares[-1] > 0.7
    ]
    assert len(recovering) >= 3
    unseen = pairs[~pairs["run"].str.contains("authors_code/")]
    for forecast in (load_forecast(with_classes=True), recovery.fit(unseen, with_classes=True)):
        for budget in (12_000, 14_000, 20_000, 40_000, 60_000):
            detector = replay.monitored_by(forecast, max_updates=budget)
            assert [detector(run) for run in recovering] == [None] * len(recovering)


def test_no_shipped_preset_that_works_is_given_up_at_the_budget_of_its_space():
    """Works: by ground truth, most modes or labels are hit, and some samples are on the data."""
    detector, works = replay.monitored_by(load_forecast(with_classes=True)), set()
    for run in labelled_runs.load_long_runs(replay.DATA):
        space, preset = load_space(run.dataset), str(run.number).split("/")[0]
        if preset not in space.preset_names or run.updates < min(space.budget.max_updates, 20_000):
            continue
        is_good = run.reports["truth_high_quality"].iloc[-1] >= 0.1
        if run.label == "healthy" and is_good:
            works.add((run.dataset, preset))
            budget = replay.monitored_by(
                load_forecast(with_classes=True), max_updates=space.budget.max_updates
            )
            assert (budget(run), detector(run)) == (None, None), run.name
    good = ("vanilla", "label_smoothing", "minibatch_sd", "packed_2", "packed_3", "packed_4")
    good += ("r1", "one_centered", "pacgan", "instance_noise")
    assert works == {
        *((dataset, preset) for dataset in ("ring", "grid") for preset in good),
        ("ring", "two_time_scales"),
        ("digits", "paper"),
        ("digits", "dcgan"),
        ("mnist", "authors_code"),
        ("mnist", "paper"),
    }


def test_no_recorded_training_of_paper_or_normal_noise_is_given_up():
    """By the forecast without classes, since none were recorded."""
    path = ROOT / "results" / "paper-mnist-choices"
    real = pd.read_parquet(path / "references.parquet").set_index("name").loc["training images"]
    null = Indicators(real["coverage"], real["recall"], real["nn_ratio"])
    trials = pd.read_parquet(path / "trials.parquet").set_index("trial_id")
    presets = trials[trials["config.update"] == "alternating"].index
    history = pd.read_parquet(path / "history").sort_values("updates")
    n_looking_collapsed = []
    for trial_id in presets:
        reports = history[history["trial_id"] == trial_id].reset_index(drop=True)
        last = int(reports["updates"].iloc[-1])
        run = labelled_runs.Run(
            "mnist", trial_id, True, "healthy", False, null, reports, last, last, 0.0
        )
        n_looking_collapsed.append(
            sum(
                looks_collapsed(seen.indicators, null, class_share=None)
                for seen in run.read(with_classes=False)
            )
        )
        for budget in (6000, 12_000):
            detector = replay.monitored_by(load_forecast(with_classes=False), max_updates=budget)
            assert detector(run) is None, (trial_id, budget)
    assert sum(n >= 2 for n in n_looking_collapsed) >= 3  # two in a row are what a stop takes


@pytest.mark.slow
def test_the_page_holds_the_tables_that_the_replay_prints(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["replay.py"])
    replay.main()
    page = (ROOT / "docs" / "collapse.md").read_text()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
    assert len(rows) > 40
    assert [row for row in rows if row not in page] == []
