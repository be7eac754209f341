"""What stands under pictures, and the contact sheet of a run's finalists."""

import numpy as np

from gansearch.data.registry import load_dataset
from gansearch.errors import ResultsError
from gansearch.figures import contact_sheet as sheets
from gansearch.own_measures import Objective, OwnMeasure
from gansearch.report import finalists
from gansearch.report.finalists import finalists_picture
from gansearch.report.labels import ranking_label, trial_label
from tests.written_runs import PAPER, WINNER, finished_run, searched, trial, write_run

DIGITS = load_dataset("digits")


def test_a_replica_has_the_rank_and_the_score_of_its_configuration(tmp_path):
    run = finished_run(tmp_path)
    found = trial_label(run, f"r-{WINNER.config_id}-0")
    (row, *_) = run.ranking().to_dict("records")
    assert found == (
        f"rank 1 of 3: {WINNER.config_id}, test LL {row['test_ll']:.1f} [{row['test_ll_low']:.1f}, "
        f"{row['test_ll_high']:.1f}] nats, 3/4 work; here replica r-{WINNER.config_id}-0 after "
        "8,000 updates"
    )


def test_a_trial_of_the_search_has_its_own_score_and_the_name_of_its_preset(tmp_path):
    run = finished_run(tmp_path)
    name = run.read_run().names[PAPER.config_id]
    assert trial_label(run, "t00000") == (
        f"t00000: {name} ({PAPER.config_id}), valid LL 3.10 nats, completed after 8,000 updates"
    )
    assert trial_label(run, "t00003").endswith("valid LL 1.50 nats, pruned after 2,000 updates")


def test_a_trial_that_kept_an_earlier_state_has_the_updates_of_that(tmp_path):
    run = write_run(tmp_path, [trial("t00000", PAPER, kept_updates=6000.0)])
    assert trial_label(run, "t00000").endswith("completed after 6,000 updates")


def test_a_trial_without_a_row_has_no_label(tmp_path):
    assert trial_label(write_run(tmp_path, searched()), "t00099") == ""


def test_a_trial_without_a_score_goes_without(tmp_path):
    assert ", diverged after" in trial_label(write_run(tmp_path, searched()), "t00005")


ROW = {
    "rank": 2.0,
    "config_id": "0a1b2c3d",
    "name": "mine\n\x1b[31m",
    "n_seeds": 3,
    "n_failed": 1,
    "test_ll": 1234.5,
    "test_ll_low": np.nan,
    "test_ll_high": np.nan,
}
BLUR = OwnMeasure("blur", "mine.py:blur", "minimize", "px")


def test_a_name_stays_on_one_line_and_a_score_without_interval_stands_alone():
    assert ranking_label(ROW, 1200, Objective()) == (
        "rank 2 of 1,200: mine (0a1b2c3d), test LL 1234 nats, 3/4 work"
    )


def test_a_run_by_a_measure_of_its_own_shows_that_with_its_unit():
    score = {BLUR.test_column: 2.5, f"{BLUR.test_column}_low": 2.0}
    row = ROW | score | {f"{BLUR.test_column}_high": 3.25}
    assert ", blur 2.5 px [2, 3.25], 3/4 work" in ranking_label(row, 3, Objective(BLUR))


def test_a_configuration_of_which_no_replica_works_has_no_rank_and_no_score():
    row = ROW | {"rank": np.nan, "test_ll": np.nan, "n_seeds": 0, "n_failed": 4}
    assert ranking_label(row, 3, Objective()) == "without a rank: mine (0a1b2c3d), 0/4 work"


def finalists_of(run, monkeypatch, lost=()):
    """The rows of the contact sheet that a run's finalists would get."""
    drawn = []

    class Stored:
        generator = type("Samples", (), {"samples": lambda _, n: np.zeros((n, 64), np.float32)})()

    def load(trial_id):
        if trial_id in lost:
            raise ResultsError("no trained generator lies here")
        return Stored()

    draw = sheets.contact_sheet
    monkeypatch.setattr(finalists, "contact_sheet", lambda *a: drawn.append(a) or draw(*a))
    picture = finalists_picture(run, DIGITS, load)
    return picture, drawn[0][0] if drawn else []


def test_every_replica_of_every_ranked_configuration_is_on_the_contact_sheet(tmp_path, monkeypatch):
    run = finished_run(tmp_path)
    diverged = f"r-{WINNER.config_id}-1"
    picture, rows = finalists_of(run, monkeypatch, lost=[diverged])
    assert [row.title.split(":")[0] for row in rows] == [f"rank {i} of 3" for i in (1, 2, 3)]
    assert [len(row.cells) for row in rows] == [4, 4, 4]
    winners = rows[0].cells
    assert [cell.label for cell in winners] == [
        f"r-{WINNER.config_id}-0",
        f"{diverged}: diverged, no samples",
        f"r-{WINNER.config_id}-2",
        f"r-{WINNER.config_id}-3",
    ]
    assert [cell.samples is None for cell in winners] == [False, True, False, False]
    assert [cell.is_sound for cell in winners] == [True, False, True, True]
    assert picture.width <= 1208


def test_a_run_without_a_ranking_has_no_contact_sheet(tmp_path, monkeypatch):
    picture, _ = finalists_of(write_run(tmp_path, searched()), monkeypatch)
    assert picture is None
