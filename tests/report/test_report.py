"""What a report reads from a run's folder, and what it computes."""

from pathlib import Path

import pandas as pd
import pytest

from gansearch.errors import ResultsError
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.report.render import FORMATS, render
from gansearch.report.report import build_report
from gansearch.report.sampling import winning_trial
from gansearch.runs.folder import RunFolder
from tests.report.printed_reports import with_fixed_ids
from tests.written_runs import MEANS, PAPER, WINNER, curve, described, replicas, searched, write_run


def test_collapsed_and_diverged_trials_are_never_on_the_leaderboard(finished):
    leaders = build_report(finished).leaderboard["trial_id"].tolist()
    assert leaders == ["t00001", "t00002", "t00000", "t00003"]


WINS, PAPERS = WINNER.config_id, PAPER.config_id

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
    assert training["n_samples"] == N_EVALUATION_SAMPLES
    assert training["valid_ll"] == pytest.approx(112, abs=0.5)


def test_where_training_died_counts_the_search_alone(finished):
    found = build_report(finished).stability
    assert (found.n_trials, found.n_survived) == (6, 4)


def test_a_finished_run_tells_what_it_has_kept_of_where_training_died(finished, monkeypatch):
    worked_out = build_report(finished, recompute=True).stability
    finished.write_stability(worked_out.cells, worked_out.importances)

    def forbidden(*_args, **_kwargs):
        raise AssertionError("it was worked out anew")

    monkeypatch.setattr("gansearch.report.report.stability", forbidden)
    kept = build_report(finished).stability
    pd.testing.assert_frame_equal(kept.cells, worked_out.cells, check_dtype=False)
    with pytest.raises(AssertionError, match="anew"):
        build_report(finished, recompute=True)
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


def test_a_torn_file_of_test_scores_is_told_and_the_rest_shown(finished):
    path = next((finished.path / "test_ll").glob(f"r-{PAPERS}-0*"))
    path.write_bytes(b"torn")
    report = build_report(finished)
    assert any(f"r-{PAPERS}-0.parquet: can't be read" in text for text in report.warnings)
    assert report.winner_minus_paper is not None


def halve(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace_by_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    "halved": halve,
    "empty": lambda path: path.write_bytes(b""),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "text": lambda path: path.write_text("hello"),
    "a folder": replace_by_folder,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["ranking", "references", "curve"])
def test_a_report_is_shown_around_a_table_that_a_resume_makes_again(finished, name, damage):
    finished.write_curve(curve())
    whole = build_report(finished)
    DAMAGES[damage](finished.path / f"{name}.parquet")
    report = build_report(finished)
    (warning,) = [text for text in report.warnings if f"{name}.parquet" in text]
    assert f"or let `gansearch resume {finished.path}` rebuild it from" in warning
    pd.testing.assert_frame_equal(
        report.ranking[["rank", "config_id", "test_ll"]],
        whole.ranking[["rank", "config_id", "test_ll"]],
        check_dtype=False,
    )
    assert report.references.empty == (name == "references")
    for format_ in FORMATS:
        assert "3b632cbb" in with_fixed_ids(render(report, format_))


def test_a_ranking_that_a_finished_run_has_lost_is_computed_from_its_scores(finished):
    whole = build_report(finished).ranking
    (finished.path / "ranking.parquet").unlink()
    report = build_report(finished)
    assert report.ranking["config_id"].tolist() == whole["config_id"].tolist()
    assert any("ranking.parquet: absent or empty" in text for text in report.warnings)
    assert winning_trial(finished) == f"r-{WINS}-0"


def test_a_run_that_an_older_version_ranked_is_ranked_by_all_its_replicas(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[1:4]:
        row.update(status="collapsed", reason="coverage .01")
    folder = write_run(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    older = folder.ranking().iloc[::-1]
    older["rank"] = [1, 2]
    folder.write_ranking(older[[name for name in older if not name.startswith("p_works")]])
    report = build_report(folder)
    assert report.ranking["config_id"].tolist() == [PAPERS, WINS]
    assert report.ranking["p_works"].tolist() == [1.0, 0.25]
    (warning,) = [text for text in report.warnings if "ranking.parquet" in text]
    assert "of an older version, which ranked by the mean of the replicas that worked" in warning
    assert winning_trial(folder) == f"r-{PAPERS}-0"


def test_a_ranking_of_another_run_is_not_shown_as_this_ones(finished):
    whole = build_report(finished).ranking
    other = finished.ranking()
    other["config_id"] = [f"other{i}" for i in range(len(other))]
    finished.write_ranking(other)
    report = build_report(finished)
    assert report.ranking["config_id"].tolist() == whole["config_id"].tolist()
    assert any("its configurations aren't those of this run" in text for text in report.warnings)


def test_lost_reference_lines_of_a_finished_run_are_mentioned(finished):
    path = finished.path / "references.parquet"
    path.unlink()
    (warning,) = [text for text in build_report(finished).warnings if path.name in text]
    remedy = f"or let `gansearch resume {finished.path}` rebuild it from the data."
    assert warning == f"Left out: {path}: absent. Restore it from a copy, {remedy}"


def test_trials_that_were_lost_are_not_reported_as_none(finished):
    finished.append_history([{"trial_id": "t00000", "updates": 500, "number": 0}])
    (finished.path / "trials.parquet").unlink()
    with pytest.raises(ResultsError, match=r"trials\.parquet: absent\. .*gansearch resume"):
        build_report(finished)
    finished.write_run(described(state="searching"))
    assert build_report(finished).leaderboard.empty


@pytest.mark.parametrize("read", ["trials", "ranking", "references", "curve", "stability"])
def test_a_damaged_table_is_an_error_that_names_the_command_which_rebuilds_it(finished, read):
    (finished.path / f"{read}.parquet").write_bytes(b"torn")
    with pytest.raises(ResultsError, match=rf"{read}\.parquet: can't be read") as error:
        getattr(finished, read)()
    assert f"let `gansearch resume {finished.path}` rebuild it" in str(error.value)
    assert "start a new run" not in str(error.value)
    assert ".." not in str(error.value).replace("...", "")
