"""Measures of the user's own in reports."""

import json

import numpy as np
import pytest

from gansearch.export.export import export
from gansearch.families.adversarial_nets import AdversarialNets
from gansearch.families.own_loop import OwnLoop
from gansearch.networks.models import Generator
from gansearch.own_measures import OwnMeasure
from gansearch.ranking.ranking import compare_seeds, rank
from gansearch.report.export import to_csv, to_json
from gansearch.report.html import to_html
from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.report import build_report
from gansearch.report.run import open_run
from gansearch.report.sections import sections
from gansearch.runs.folder import RunFolder
from tests.saved_generators import save
from tests.written_runs import PAPER, SECOND, WINNER, finished_run, run_info

FID = OwnMeasure("fid", "/gone/metrics.py:fid", "minimize", "px", "/gone/net.pt")
NEVER = OwnMeasure("never", "/gone/metrics.py:never")


def with_own(tmp_path, **sections):
    """Return the report of a run with measures of the user's own, whose code is gone.

    Of `fid` the winner by log-likelihood has the worst values.
    """
    space = run_info()["space"] | {"measures": [FID.to_dict(), NEVER.to_dict()]} | sections
    folder = RunFolder(finished_run(tmp_path, space=space).path)
    trials = folder.trials()
    trials["measure.fid"] = np.linspace(4, 3, len(trials))
    trials["measure.fid_test"] = trials["measure.fid"] + 1
    folder.write_trials(trials.to_dict("records"))
    run = folder.read_run()
    ranking = rank(
        trials,
        folder.test_lls(),
        paper_config_id=run.paper_config_id,
        names=run.names,
        measures=run.measures,
        objective=run.objective,
    )
    folder.write_ranking(ranking)
    lines = folder.references()
    lines["measure.fid"] = [2.5, *[None] * (len(lines) - 1)]
    folder.write_references(lines)
    folder.append_history(
        [
            {
                "trial_id": "t00000",
                "number": 0,
                "phase": "search",
                "updates": n,
                "measure.fid": 9 / n,
            }
            for n in (2000, 4000)
        ]
    )
    return build_report(folder)


@pytest.fixture
def report(tmp_path):
    return with_own(tmp_path)


def section(report, key):
    return next(each for each in sections(report) if each.key == key)


def test_a_report_shows_own_measures_with_their_intervals_and_none_of_the_users_code(report):
    found = section(report, "own_measures")
    assert [name for name, _ in found.columns] == [
        *("measure", "samples", "validation set", "test set")
    ]
    row = report.ranking.iloc[0]
    fid, low, high = (row[f"measure.fid{end}"] for end in ("", "_low", "_high"))
    assert low < fid < high
    assert found.rows[0][0] == "fid"
    assert found.rows[0][2] == f"{fid:.4g} [{low:.4g}, {high:.4g}]"
    assert found.rows[-1][2:] == ["2.5", "-"]  # training images
    assert found.notes[-1] == "fid, in px: lower is better."
    assert len(section(report, "own_search").rows) == len(report.leaderboard)


def test_own_measures_are_in_every_format_for_programs(report):
    first = json.loads(to_json(report))["ranking"][0]
    assert first["measure.fid"] == pytest.approx(report.ranking["measure.fid"].iloc[0])
    assert first["measure.never"] is None
    assert "measure.fid_test_low" in to_csv(report).partition("\n")[0]
    assert "Your own measures" in to_html(report)
    data = page_data(report, EmbeddedPictures(0))
    fid = next(measure for measure in data["measures"] if measure["key"] == "measure.fid")
    assert (fid["title"], fid["unit"], fid["better"], fid["of_curves"]) == (
        "fid",
        "px",
        "lower",
        True,
    )


def test_a_report_of_a_run_without_own_measures_says_nothing_of_them(finished):
    assert not {each.key for each in sections(build_report(finished))} & {
        "own_measures",
        "own_search",
    }


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_under_an_objective_a_report_ranks_compares_and_lists_by_it(tmp_path, direction):
    measures = [FID.to_dict() | {"direction": direction}]
    report = with_own(tmp_path, measures=measures, objective="fid")
    table, seeds, leaders = (section(report, key) for key in ("ranking", "seeds", "leaderboard"))
    names = ["rank", "config", "work", "fid", "test", "ties", "coverage", "recall", "NN ratio"]
    assert [name for name, _ in table.columns] == names
    configs = [WINNER.config_id, SECOND.config_id, "paper*"]
    assert [row[1] for row in table.rows] == configs[:: -1 if direction == "minimize" else 1]
    assert {row[1]: row[3] for row in table.rows}["paper*"] == "3.088"
    assert all("[" in row[4] for row in table.rows)
    listed = next(row for row in seeds.rows if row[0] == WINNER.config_id)
    best_first = ["4.471", "4.529", "4.647", "-"]  # one of four diverged
    if direction == "maximize":
        best_first[:3] = best_first[2::-1]
    assert (listed[3], listed[4].split()) == (best_first[2], best_first)
    assert leaders.title == "The search's best by your own measure fid"
    values = [float(row[3]) for row in leaders.rows]
    assert values == sorted(values, reverse=direction == "maximize")
    better = "lower" if direction == "minimize" else "higher"
    assert f"({better} is better)" in " ".join(table.notes)
    log_likelihoods = section(report, "measures")
    assert [name for name, _ in log_likelihoods.columns][1:3] == ["test LL", "to train"]
    data = page_data(report, EmbeddedPictures(0))
    scale = data["scales"][0]
    assert (scale["title"], scale["better"]) == ("test fid", f"{better} is better")
    drawn = data["ranking"][0]["scores"]["measure.fid_test"]
    assert len(drawn["seeds"]) == (4 if direction == "minimize" else 3)
    assert drawn["low"] < drawn["mean"] < drawn["high"]


def test_the_winners_lead_by_an_objective_is_in_its_unit_and_positive_where_it_is_better(tmp_path):
    """The baseline is the worst by fid, if more is better."""
    measures = [FID.to_dict() | {"direction": "maximize"}]
    report = with_own(tmp_path, measures=measures, objective="fid")
    lead = report.winner_minus_paper
    of = report.ranking.set_index("config_id")["measure.fid_test"]
    assert lead.mean == pytest.approx(of[WINNER.config_id] - of[PAPER.config_id])
    assert lead.low < 0 < lead.mean < lead.high
    said = f"{lead.mean:.4g} px [{lead.low:.4g}, {lead.high:.4g}] in fid"
    notes = " ".join(section(report, "ranking").notes)
    assert f"The winner's lead over the paper's configuration, {said}, may be chance." in notes
    assert json.loads(to_json(report))["winner_minus_paper"]["mean"] == pytest.approx(lead.mean)
    minimized = compare_seeds([-1.0, -1.1, -1.2], [-9.0, -9.1, -9.2])
    assert minimized.low > 0


def test_the_best_of_a_run_has_its_own_measures(tmp_path):
    best = open_run(with_own(tmp_path, objective="fid").folder).best
    assert best.name == "paper"
    assert best.measures == {"fid": pytest.approx(3.088, abs=1e-3), "never": None}


def test_the_card_of_an_exported_generator_has_own_measures_and_the_state_that_is_kept(tmp_path):
    folder = with_own(tmp_path).folder
    trials = folder.trials()
    trials["kept_updates"] = 4000
    folder.write_trials(trials.to_dict("records"))
    trial = f"r-{WINNER.config_id}-0"
    save(folder.model_dir(trial), Generator(WINNER, (8, 8, 1)), WINNER, dataset="digits", seed=5)
    out, _ = export(folder, trial_id=trial, out=tmp_path / "out")
    about = json.loads((out / "config.json").read_text())
    value = about["scores"]["measure.fid_test"]
    ends = ("", "_low", "_high")
    mean, low, high = (about["scores_over_seeds"][f"measure.fid_test{end}"] for end in ends)
    card = (out / "README.md").read_text()
    assert (
        f"| fid against the test set (lower is better) | {value:.4g} | "
        f"{mean:.4g} [{low:.4g}, {high:.4g}] |"
    ) in card
    assert "this is its state after 4,000 of them" in card


def test_a_budget_is_counted_in_what_the_family_says(finished, monkeypatch):
    report = build_report(finished)
    told = section(report, "summary").text[-1]
    assert "8,000 parameter updates, of D and G together, for a" in told
    monkeypatch.setattr(AdversarialNets, "updates_title", OwnLoop.updates_title)
    assert "8,000 steps of the loop, for a full" in section(report, "summary").text[-1]
