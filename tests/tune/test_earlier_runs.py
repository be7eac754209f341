"""What a run takes of earlier ones, what it leaves out, and what it refuses."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gansearch.config import TrialConfig
from gansearch.errors import BadInputError
from gansearch.runs.folder import RunFolder
from gansearch.runs.tables import rows_of
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.tune.earlier_runs import first_configs, read_earlier_runs
from gansearch.tune.preflight import check_request
from gansearch.tune.rows import OUT_OF_TIME
from gansearch.tune.settings import Settings
from tests.written_runs import (
    PAPER,
    SECOND,
    WINNER,
    finished_run,
    run_info,
    searched,
    searching_run,
    trial,
    write_run,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "run-0.1"
SEARCH = {
    "k": {"int": [1, 5]},
    "generator_lr": {"float": [0.001, 1.0], "log": True},
    "noise_dim": {"int": [2, 200]},
}
FIXED = {"generator_widths": [64], "discriminator_widths": [32]}


def space_of(dataset="digits", search=None, fixed=None, **sections):
    sections = {"budget": {"trials": 6, "max_updates": 8000}, **sections}
    return SearchSpace.from_dict(
        {
            "name": "mine",
            "dataset": dataset,
            "search": SEARCH if search is None else search,
            "fixed": FIXED if fixed is None else fixed,
            **sections,
        }
    )


def taken(space, *runs, results=Path("results")):
    return read_earlier_runs(space, [str(getattr(run, "path", run)) for run in runs], results)


def placed(earlier):
    return {row["trial_id"]: row["place"] for row in earlier.rows if row["place"] is not None}


def test_what_the_replicas_confirmed_is_tried_first_in_the_values_that_the_space_searches(tmp_path):
    run = finished_run(tmp_path)
    earlier = taken(space := space_of(), run)
    winners = [(c.k, c.generator_lr, c.noise_dim) for c in (WINNER, SECOND, PAPER)]
    firsts = first_configs(space, earlier.rows)
    assert [(c.k, c.generator_lr, c.noise_dim) for c in firsts] == winners
    # What the space does not search is its own.
    assert {c.generator_widths for c in firsts} == {(64,)}
    (note,) = earlier.notes
    assert "its best 3 configurations tried first" in note


def test_without_a_ranking_the_best_completed_trials_are_tried_first_and_no_dying_one(tmp_path):
    run = write_run(tmp_path, searched())
    space = space_of()
    firsts = first_configs(space, taken(space, run).rows)
    assert [c.k for c in firsts] == [WINNER.k, SECOND.k, PAPER.k]


def test_a_score_is_taken_as_its_place_among_the_trials_that_ended_alike(tmp_path):
    rows = [
        *searched(),
        trial("t00006", TrialConfig(k=1), "failed"),
        trial("t00007", TrialConfig(k=2), "running"),
        trial("t00008", TrialConfig(k=2), "pruned", reason=OUT_OF_TIME.reason),
    ]
    places = placed(taken(space_of(), write_run(tmp_path, rows)))
    assert places == pytest.approx(
        {
            "t00000": 1 / 6,
            "t00002": 3 / 6,
            "t00001": 5 / 6,  # completed
            "t00003": 1 / 2,  # pruned
            "t00004": 1 / 4,
            "t00005": 3 / 4,  # collapsed, diverged
        }
    )


def test_what_lies_outside_the_space_is_left_out_and_the_note_says_why(tmp_path):
    space = space_of(search={**SEARCH, "k": {"int": [1, 2]}})
    earlier = taken(space, write_run(tmp_path, searched()))
    assert placed(earlier).keys() == {"t00000", "t00001", "t00002"}
    assert "3 trials left out: k outside [1, 2] (3)" in earlier.notes[0]


def test_a_trial_by_a_schedule_says_nothing_of_its_configuration_without_it(tmp_path):
    scheduled = replace(WINNER, schedule=[{"at": 2000, "discriminator_lr": 0.01}])
    rows = [trial("t00000", SECOND), trial("t00001", scheduled, valid_ll=4.0)]
    earlier = taken(space_of(), write_run(tmp_path, rows))
    assert placed(earlier).keys() == {"t00000"}
    assert "1 trial left out: with a schedule that the space doesn't have (1)" in earlier.notes[0]


def test_the_weight_falls_as_space_data_and_objective_differ(tmp_path):
    run = write_run(tmp_path, searched(), space=space_of().to_dict())
    other = {**SEARCH, "k": {"int": [1, 10]}}
    spaces = [
        space_of(),
        space_of(search=other),
        space_of(search=other, fixed={**FIXED, "batch_size": 50}),
        space_of("gaussian", search=other, fixed={**FIXED, "batch_size": 50}),
    ]
    shared = 2 + 4 / 9
    weights = [taken(space, run).sources[0]["weight"] for space in spaces]
    assert weights == pytest.approx([1.0, shared / 3, shared / 4, shared / 8], abs=1e-4)


def test_several_runs_are_taken_and_a_configuration_of_both_is_tried_once(tmp_path):
    one = write_run(tmp_path, searched())
    more = [trial("t00000", WINNER), trial("t00001", TrialConfig(k=5), valid_ll=4.0)]
    other = write_run(tmp_path, more, name="digits-2")
    earlier = taken(space := space_of(), one, other)
    ks = [config.k for config in first_configs(space, earlier.rows)]
    assert sorted(ks) == [1, 1, 2, 5] and ks[0] == 2
    assert [source["n_trials"] for source in earlier.sources] == [6, 2]
    assert {row["run"] for row in earlier.rows} == {str(one.path), str(other.path)}


def test_what_was_taken_comes_back_from_its_file_as_it_was(tmp_path):
    space = space_of()
    earlier = taken(space, finished_run(tmp_path))
    new = write_run(tmp_path, name="new", space=space.to_dict())
    new.write_warm_start(earlier.rows)
    rows = rows_of(RunFolder(new.path).warm_start())
    assert first_configs(space, rows) == first_configs(space, earlier.rows)
    assert [row["place"] for row in rows] == pytest.approx(
        [np.nan if r["place"] is None else r["place"] for r in earlier.rows], nan_ok=True
    )


def test_a_run_that_compared_given_configurations_has_them_tried_first_and_teaches_nothing(
    tmp_path,
):
    finished = finished_run(tmp_path, only=[PAPER.to_dict(), WINNER.to_dict()])
    trials = finished.trials()
    finished.write_trials(rows_of(trials[trials["phase"] == "replica"]))
    earlier = taken(space := space_of(), finished)
    assert placed(earlier) == {}
    assert [c.k for c in first_configs(space, earlier.rows)] == [2, 1, 1]


def test_a_running_run_gives_what_has_ended_and_the_note_says_so(tmp_path):
    run = searching_run(tmp_path)
    with run.lock():
        earlier = taken(space_of(), run)
    assert placed(earlier).keys() == {"t00000"}
    assert "it is still running, and what it finds from now on isn't taken" in earlier.notes[0]


def test_tables_of_version_0_1_are_taken(tmp_path):
    run = write_run(tmp_path, name="old", settings={})
    shutil.copy(GOLDEN / "trials.parquet", run.path)
    space = space_of()
    assert placed(taken(space, run)) == pytest.approx({"t00000": 0.5, "t00001": 0.5})


def damaged(tmp_path):
    run = write_run(tmp_path, searched())
    path = run.path / "trials.parquet"
    path.write_bytes(path.read_bytes()[:-20] + b"x" * 20)
    return run.path, r"trials\.parquet: can't be read: .* It was changed or damaged .* resume "


def absent(tmp_path):
    return tmp_path / "nothing", r"nothing: no such run\. A run is a folder with a run\.json"


def foreign(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "trials.csv").write_text("k\n1\n")
    return tmp_path / "folder", r"folder: no such run\. A run is a folder with a run\.json"


def empty(tmp_path):
    run = write_run(tmp_path, [trial("t00000", PAPER, "failed")], state="interrupted")
    return run.path, (
        r"no trial of the run has ended with a result, so there is nothing to begin with\. Leave "
        r"it out, or let it go on: `gansearch resume .*digits-1`\."
    )


def of_another_family(tmp_path):
    space = load_space("digits-conditional")
    run = write_run(tmp_path, name="other", space=space.to_dict())
    return run.path, (
        r"of another model family than the space mine: their configurations have other parameters\."
    )


def without_a_shared_parameter(tmp_path):
    space = space_of(search={"batch_size": {"int": [10, 100]}}).to_dict()
    run = write_run(tmp_path, searched(), space=space)
    return run.path, (
        r"the run searched batch_size, and the space mine searches k, noise_dim, generator_lr|"
        r"the run searched batch_size, and the space mine searches .*They must share a parameter"
    )


def outside(tmp_path):
    run = write_run(tmp_path, [trial("t00000", TrialConfig(k=7))])
    return run.path, (
        r"all its trials lie outside the space mine: k outside \[1, 5\] \(1 trial\)\. Widen"
    )


@pytest.mark.parametrize(
    "made",
    [absent, foreign, damaged, empty, of_another_family, without_a_shared_parameter, outside],
)
def test_a_run_that_can_not_be_begun_with_is_one_clear_error(tmp_path, made):
    path, message = made(tmp_path)
    with pytest.raises(BadInputError) as caught:
        taken(space_of(), path)
    text = str(caught.value)
    assert re.search(message, text), text
    assert text.startswith(f"--warm-start {path}: ")
    assert os.linesep not in text


def test_a_run_that_is_named_twice_is_refused(tmp_path):
    run = write_run(tmp_path, searched())
    with pytest.raises(BadInputError, match=r"given twice\. Give each run once"):
        taken(space_of(), run, run)


def request(run, **more):
    options = {"overrides": [], "only": [], "seed": 0, "settings": None} | more
    return check_request(space_of(), **options, warm_start=[run.path])


def test_a_comparison_of_given_configurations_takes_no_earlier_run(tmp_path):
    with pytest.raises(BadInputError, match=r"--warm-start .*: --only compares given"):
        request(write_run(tmp_path, searched()), only=["paper"])


@pytest.mark.parametrize("sampler", ["random", "qmc", "gp"])
def test_where_the_sampler_can_not_learn_from_earlier_trials_it_is_said(tmp_path, sampler):
    asked = request(write_run(tmp_path, searched()), settings=Settings(sampler=sampler))
    assert asked.notes[-1].startswith("only --sampler tpe learns from earlier runs")
    again = request(write_run(tmp_path / "b", searched()), settings=Settings(deterministic=True))
    assert "without --deterministic; here their best are tried first" in again.notes[-1]


def test_the_source_in_run_json_changes_with_what_was_taken(tmp_path):
    run = write_run(tmp_path, searched())
    before = taken(space_of(), run).sources[0]
    run.write_trials([*searched(), trial("t00006", replace(PAPER, k=5))])
    after = taken(space_of(), run).sources[0]
    assert before["path"] == after["path"] == str(run.path)
    assert before["sha256"] != after["sha256"]
    assert run_info()["space"]["name"] == before["space"]
