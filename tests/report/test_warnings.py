"""What a report warns of."""

import json
import os
import re
import time

import pytest

from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.report.warnings import failure_remedy
from gansearch.runs.schemas import SEARCH_TIME_SPENT
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
    trial,
    write_run,
)


def warned(tmp_path, *args, **kwargs):
    return list(build_report(write_run(tmp_path, *args, **kwargs)).warnings)


WINS, PAPERS = WINNER.config_id, PAPER.config_id


def above(n_samples):
    return (
        f"{WINS}: log-likelihoods above that of the training images themselves, from {n_samples} "
        "samples each. The Parzen estimate rewards blurred samples and copies. Look at the samples "
        "and at the NN ratio."
    )


def test_a_score_above_the_real_datas_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), rows, MEANS)
    folder.write_references(references(20.0, n_samples=10_000))
    assert build_report(folder).warnings == [above("10,000")]


@pytest.mark.parametrize(("at_1000", "expected"), [(19.0, []), (21.0, [above("1,000")])])
def test_a_score_is_compared_with_as_many_real_examples_only(tmp_path, at_1000, expected):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), rows, MEANS)
    folder.write_references(references(20.0, n_samples=1197))
    assert build_report(folder).warnings == []  # nothing of as many is known
    points = [("winner", 1000, at_1000), ("winner", 10_000, 24.0)]
    points += [("training images", 1000, 20.0), ("training images", 1197, 20.5)]
    folder.write_curve(
        [{"name": name, "n_samples": n, "test_ll": ll, "test_ll_se": 0.5} for name, n, ll in points]
    )
    assert build_report(folder).warnings == expected


def test_samples_far_nearer_to_training_examples_than_new_ones_are_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[:4]:
        row["train_nn_ratio"] = 0.3
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"{WINS}: samples lie less than half as far from training examples as new real ones do: "
        "they may be copies, or blurred. Compare each with its nearest one."
    ]


def test_one_seed_of_copies_among_others_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    rows[0]["copy_p"] = 1e-9
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"{WINS}: some samples lie closer to training examples than new real ones do (copy_p below "
        "0.001): they may be copies, or all samples are smoother than real ones. Compare each with "
        "its nearest one."
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
        f"{WINS}, paper: one seed only, so there are no intervals and no difference can be "
        "distinguished from chance. Increase --replicas."
    ]


def test_a_sigma_at_the_edge_of_its_grid_is_warned_of(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    rows[2]["sigma_at_edge"] = True
    assert warned(tmp_path, searched(), rows, MEANS, reference_ll=29.1) == [
        f"r-{WINS}-2: the best sigma is at the edge of its grid; the log-likelihood is invalid."
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
        "Only 1 of 6 trials of the search were completed, fewer than the 2 finalists that the "
        "replicas need. Increase --trials.",
        "4 of 6 trials of the search were unsuccessful: 1 collapsed, 2 diverged, 1 failed. The "
        "space is too wide for this number of trials. Narrow it where trainings collapse or "
        "diverge, or increase --trials.",
    ]


def test_more_trials_are_no_remedy_for_what_the_time_budget_has_cut(tmp_path):
    rows = searched()
    rows[0].update(status="pruned", reason=SEARCH_TIME_SPENT)
    for row in rows[1:3]:
        row.update(status="diverged")
    cut = [f"r-{name}-{i}" for name in (PAPERS, WINS) for i in (1, 2)]
    seeds = [row for config in (WINNER, PAPER) for row in replicas(config, 1)]
    run = {"settings": {"time_budget_seconds": 90.0}, "wall_seconds": 86.0, "cut_replicas": cut}
    folder = write_run(tmp_path, rows, seeds, MEANS, **run)
    found = build_report(folder).warnings
    more = f"ive the run more time: gansearch resume {folder.path} --time-budget 20m"
    assert any(f"that the replicas need. G{more}" in each for each in found)
    assert any(f"collapse or diverge, or g{more}" in each for each in found)
    assert any(each.endswith("no difference can be distinguished from chance.") for each in found)
    assert failure_remedy(folder, folder.read_run(), "search", {}) == f"G{more}"


def test_a_search_of_few_distinct_configurations_is_warned_of(tmp_path):
    rows = [trial(f"t{i:05d}", PAPER, valid_ll=3.0) for i in range(6)]
    (found,) = warned(tmp_path, rows)
    assert found == (
        "Only 1 configuration, in 6 of 6 trials of the search, were completed, fewer than the 2 "
        "finalists that the replicas need. Increase --trials."
    )


def test_more_trials_are_no_remedy_where_the_space_has_no_other_configuration(tmp_path):
    rows = [trial("t00000", PAPER, "diverged"), trial("t00001", WINNER, "diverged")]
    found = warned(tmp_path, rows, n_configurations=2)
    assert not any("--trials" in warning for warning in found)
    assert any("The space has no other: widen it." in warning for warning in found)


@pytest.mark.parametrize(
    ("phase", "changes", "remedy"),
    [
        (
            "search",
            {},
            r"^With more configurations: `\S+ resume \S+ --trials \d+`\. Or start a run",
        ),
        ("search", {"n_configurations": 2}, r"^Widen the space\.$"),
        ("replica", {"n_configurations": 2}, r"^With more seeds: `[^`]+`\. Or start a run"),
        (
            "replica",
            {"settings": {"time_budget_seconds": 90.0}},
            r"`\. With more configurations: `[^`]+ --trials \d+ --time-budget 30m`\.",
        ),
        (
            "search",
            {"settings": {"time_budget_seconds": 90.0}},
            r"^Give the run more time: \S+ resume \S+ --time-budget 30m$",
        ),
    ],
)
def test_the_remedy_for_a_run_without_a_completed_trial_is_one_that_resume_takes(
    tmp_path, phase, changes, remedy
):
    folder = write_run(tmp_path, searched(), wall_seconds=180.0, **changes)
    assert re.search(remedy, failure_remedy(folder, folder.read_run(), phase, {}))


def test_replicas_that_the_time_budget_had_no_room_for_are_told_with_the_way_on(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    n = len(rows) // 2
    run = {"settings": {"time_budget_seconds": 90.0}}
    run["cut_replicas"] = [f"r-{name}-{i}" for name in (PAPERS, WINS) for i in (n, n + 1)]
    space = described().space
    space = {**space, "budget": {**space["budget"], "replicas": n + 2}}
    folder = write_run(tmp_path, searched(), rows, MEANS, space=space, **run)
    said = next(each for each in build_report(folder).warnings if "left room" in each)
    assert said == (
        f"The time budget of 90 s left room for {2 * n} of {2 * n + 4} replicas (of {n + 2} "
        f"for each configuration: {WINS} {n}, paper {n}). To train the others: gansearch "
        f"resume {folder.path} --replicas {n + 2}"
    )


def test_where_trials_were_given_up_the_remedy_names_the_setting(tmp_path):
    rows = searched()
    for row in rows[:2]:
        row.update(status="collapsed", p_recovers=0.01)
    folder = write_run(tmp_path, rows)
    said = failure_remedy(folder, folder.read_run(), "search", {"collapsed": 2})
    advice = "in a new run, `--set budget.give_up=0` lets all go on"
    assert f"2 trials given up before the end: {advice}" in said
    assert "given up" not in failure_remedy(folder, folder.read_run(), "replica", {})


def test_more_time_is_no_remedy_where_every_trial_ended_unsound(tmp_path):
    settings = {"time_budget_seconds": 90.0}
    folder = write_run(tmp_path, searched(), wall_seconds=180.0, settings=settings)
    run = folder.read_run()
    n = run.budget.trials
    assert "Give the run more time" in failure_remedy(folder, run, "search", {"collapsed": n - 1})
    said = failure_remedy(folder, run, "search", {"collapsed": n - 1, "diverged": 1})
    assert said.startswith("With more configurations: ") and "--time-budget 30m" in said


def test_trials_that_machines_have_failed_are_not_blamed_on_the_space(tmp_path):
    rows = searched()
    for row in rows[:4]:
        row.update(status="failed", reason="out of memory")
    assert (
        "6 of 6 trials of the search were unsuccessful: 1 collapsed, 1 diverged, 4 failed. Most of "
        "them failed for reasons outside the training: see 'Why trials ended'."
    ) in warned(tmp_path, rows)


def test_a_search_without_replicas_is_warned_of(tmp_path):
    space = run_info()["space"]
    space["budget"]["replicas"] = 0
    assert warned(tmp_path, searched(), space=space) == [
        "No configuration was trained on fresh seeds: the best of many single trainings is partly "
        "the luckiest. Use --replicas."
    ]


def test_an_interrupted_run_says_how_to_go_on(tmp_path):
    assert warned(tmp_path, searched()[:2], state="interrupted")[0] == (
        f"The run was interrupted. To go on: gansearch resume {tmp_path}/digits-1"
    )


def test_a_run_that_writes_nothing_any_more_is_warned_of(searching):
    for path in searching.path.iterdir():
        os.utime(path, (time.time() - 3 * 3600,) * 2)
    assert list(build_report(searching).warnings) == [
        "Nothing was written for 3 h 0 min. If the run has stopped: "
        f"gansearch resume {searching.path}"
    ]


def test_a_ranking_from_before_a_run_went_on_is_warned_of(finished):
    finished.write_run(described(state="searching"))
    assert (
        "The run has continued since it was ranked; the ranking is recomputed at its end."
        in build_report(finished).warnings
    )


def test_a_reference_line_with_an_invalid_score_is_marked_and_warned_of_in_every_format(tmp_path):
    folder = finished_run(tmp_path)
    lines = references()
    lines["sigma_at_edge"] = [True, None]
    folder.write_references(lines)
    report = build_report(folder)
    warning = "Reference line training images: the best sigma is at the edge of its grid"
    assert any(text.startswith(warning) for text in report.warnings)
    for kind in ("markdown", "html"):
        assert "training images (sigma at edge)" in render(report, kind)
    assert json.loads(render(report, "json"))["references"][0]["sigma_at_edge"] is True


def test_notes_on_the_data_are_warnings_of_the_run(tmp_path):
    note = "3 of 300 images can't be read and are left out: a.png (an empty file)."
    report = build_report(finished_run(tmp_path, data_notes=[note]))
    assert report.warnings[0] == note
    assert note in json.loads(render(report, "json"))["run"]["data_notes"]
