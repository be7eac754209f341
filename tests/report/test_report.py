import os
import time
from pathlib import Path

import pandas as pd
import pytest

from gansearch.errors import ResultsError
from gansearch.measures import N_REPORT_SAMPLES
from gansearch.report.report import build_report, duration
from gansearch.runs.folder import RunFolder
from tests.written_runs import (
    MEANS,
    PAPER,
    WINNER,
    described,
    finished_run,
    references,
    replicas,
    run_info,
    searched,
    searching_run,
    write_run,
)


@pytest.fixture
def finished(tmp_path):
    return finished_run(tmp_path)


@pytest.fixture
def searching(tmp_path):
    return searching_run(tmp_path)


def test_collapsed_and_diverged_trials_are_never_on_the_leaderboard(finished):
    leaders = build_report(finished).leaderboard["trial_id"].tolist()
    assert leaders == ["t00001", "t00002", "t00000", "t00003"]


def warned(tmp_path, *args, **kwargs):
    return list(build_report(write_run(tmp_path, *args, **kwargs)).warnings)


WINS, PAPERS = WINNER.config_id, PAPER.config_id


@pytest.mark.parametrize("n_real", [10_000, 1197])
def test_a_score_above_the_real_datas_is_warned_of(tmp_path, n_real):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), rows, MEANS)
    folder.write_references(references(20.0, n_samples=n_real))
    fewer = (
        " These are 1,197, the most there are to compare with, and a replica's score comes from "
        "10,000: more samples score higher, so a lead may be honest. How much more, the curve "
        "over samples shows."
    )
    assert build_report(folder).warnings == [
        f"{WINS}: scores above the training images themselves.{fewer if n_real == 1197 else ''} "
        "The Parzen estimate rewards blurred samples and copies. Look at the samples and at the "
        "NN ratio."
    ]


TRAINING = {"name": "training images", "n_samples": 1000, "valid_ll": 23.5}


def test_what_training_images_score_as_reports_do_comes_from_the_runs_description(tmp_path):
    folder = write_run(tmp_path, searched(), state="searching", training_report=TRAINING)
    assert build_report(folder).training == TRAINING


def test_of_an_older_run_it_comes_from_the_curve_over_samples_if_there_is_one(tmp_path):
    folder = write_run(tmp_path, searched())
    assert build_report(folder).training is None
    rows = [
        {"name": name, "n_samples": n, "valid_ll": v, "test_ll": 1.0, "test_ll_se": 0.5}
        for name, n, v in (
            ("winner", 1000, 9.0),
            ("training images", 500, 20.0),
            ("training images", 1000, 23.5),
        )
    ]
    folder.write_curve(rows)
    assert build_report(folder).training == TRAINING
    folder.write_curve([row | {"valid_ll": None} for row in rows])
    assert build_report(folder).training is None


def test_the_kept_runs_have_it_by_their_curve():
    kept = RunFolder.open(Path(__file__).parents[2] / "results" / "paper-mnist")
    training = build_report(kept).training
    assert training["n_samples"] == N_REPORT_SAMPLES
    assert training["valid_ll"] == pytest.approx(112, abs=0.5)


def test_samples_far_nearer_to_training_examples_than_new_ones_are_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[:4]:
        row["train_nn_ratio"] = 0.3
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"{WINS}: samples lie less than half as far from training examples as new real ones do: "
        "they may be copies, or blurred. Look at each beside its nearest."
    ]


def test_the_line_of_training_images_is_no_copy_to_be_warned_of(finished):
    assert finished.references()["train_nn_ratio"][0] == 0
    assert not any("copies" in text for text in build_report(finished).warnings)


def test_a_coverage_below_half_of_the_real_datas_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[:4]:
        row["coverage"] = 0.30
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"{WINS}: coverage below half of the training images' 0.97. Much of the data is missing "
        "from the samples."
    ]


def test_one_seed_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config, 1)]
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"{WINS}, {PAPERS}: one seed only, so no interval can be given and no difference be told "
        "from chance. Give it more --replicas."
    ]


def test_a_sigma_at_the_edge_of_its_grid_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    rows[2]["sigma_at_edge"] = True
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"r-{WINS}-2: the best sigma is at the edge of its grid, so the score is broken."
    ]


@pytest.mark.parametrize(
    ("n", "told"), [(1, "1 replica 1 collapsed"), (4, "4 replicas 4 collapsed")]
)
def test_a_configuration_whose_replicas_all_failed_is_warned_of(tmp_path, n, told):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config, n)]
    for row in rows[:n]:
        row.update(status="collapsed", reason="coverage .01")
    found = warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    assert f"{WINS}: of {told}. It has no score." in found


def test_a_search_with_few_completed_or_many_bad_trials_is_warned_of(tmp_path):
    rows = searched()
    rows[0].update(status="diverged")
    rows[1].update(status="failed", reason="out of memory")
    assert warned(tmp_path, rows) == [
        "Only 1 of 6 trials of the search were completed, fewer than the 2 that were to be trained "
        "again. Give it more trials.",
        "4 of 6 trials of the search came to nothing: 1 collapsed, 2 diverged, 1 failed. The space "
        "is too wide for its trials. Narrow it where training dies, or give it more.",
    ]


def test_trials_that_machines_have_failed_are_not_blamed_on_the_space(tmp_path):
    rows = searched()
    for row in rows[:4]:
        row.update(status="failed", reason="out of memory")
    assert (
        "6 of 6 trials of the search came to nothing: 1 collapsed, 1 diverged, 4 failed. What made "
        "them fail lies outside the training: see why trials ended."
    ) in warned(tmp_path, rows)


def test_where_training_died_counts_the_search_alone(finished):
    found = build_report(finished).stability
    assert (found.n_trials, found.n_survived) == (6, 4)


def test_a_finished_run_tells_what_it_has_kept_of_where_training_died(finished, monkeypatch):
    worked_out = build_report(finished, afresh=True).stability
    finished.write_stability(worked_out.cells, worked_out.importances)

    def forbidden(*_args, **_kwargs):
        raise AssertionError("it was worked out anew")

    monkeypatch.setattr("gansearch.report.report.stability", forbidden)
    kept = build_report(finished).stability
    pd.testing.assert_frame_equal(kept.cells, worked_out.cells, check_dtype=False)
    with pytest.raises(AssertionError, match="anew"):
        build_report(finished, afresh=True)
    (finished.path / "stability.parquet").write_bytes(b"torn")
    with pytest.raises(AssertionError, match="anew"):
        build_report(finished)


def test_without_a_trial_that_tells_nothing_is_said_of_where_training_dies(tmp_path):
    assert build_report(write_run(tmp_path, (), replicas(WINNER))).stability is None


def test_a_torn_part_of_the_history_is_told_and_the_rest_shown(finished):
    finished.append_history([{"trial_id": "t00000", "updates": 2000, "valid_ll": 1.0}])
    finished.append_history([{"trial_id": "t00001", "updates": 2000, "valid_ll": 2.0}])
    next((finished.path / "history").glob("part-*0.parquet")).write_bytes(b"torn")
    report = build_report(finished)
    assert any("part-00000000.parquet: left out" in text for text in report.warnings)
    assert report.stability.cells["median_valid_ll"].iloc[0] == 2.0


def test_a_search_without_replicas_is_warned_of(tmp_path):
    space = run_info()["space"]
    space["budget"]["replicas"] = 0
    assert warned(tmp_path, searched(), space=space) == [
        "No configuration was trained again: the best of many single trainings is partly the "
        "luckiest. Give it --replicas."
    ]


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    assert warned(tmp_path, searched()[:2], state="interrupted")[0] == (
        "The run was interrupted. To go on: gansearch resume digits-1"
    )


def test_a_run_that_writes_nothing_any_more_is_warned_of(searching):
    for path in searching.path.iterdir():
        os.utime(path, (time.time() - 3 * 3600,) * 2)
    assert list(build_report(searching).warnings) == [
        "Nothing was written for 3 h 0 min. If nothing runs any more: gansearch resume digits-1"
    ]


def test_a_ranking_from_before_a_run_went_on_is_warned_of(finished):
    finished.write_run(described(state="searching"))
    assert (
        "The run has gone on since it was ranked; the ranking will be made anew at its end."
        in build_report(finished).warnings
    )


def test_a_torn_file_of_test_scores_is_told_and_the_rest_shown(finished):
    path = next((finished.path / "test_ll").glob(f"r-{PAPERS}-0*"))
    path.write_bytes(b"torn")
    report = build_report(finished)
    assert any(f"r-{PAPERS}-0.parquet: can't be read" in text for text in report.warnings)
    assert report.winner_minus_paper is not None


def test_a_damaged_table_is_an_error_that_names_it(finished):
    (finished.path / "ranking.parquet").write_bytes(b"torn")
    with pytest.raises(ResultsError, match=r"ranking\.parquet: can't be read"):
        build_report(finished)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0, "0 s"), (89.4, "89 s"), (91, "2 min"), (3600, "60 min"), (7500, "2 h 5 min")],
)
def test_times_are_told_as_people_say_them(seconds, told):
    assert duration(seconds) == told
