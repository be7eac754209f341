"""The sections of a report: which there are, and what they say."""

import dataclasses
import math
import re

from gansearch.report.page_data import page_data
from gansearch.report.page_pictures import EmbeddedPictures
from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.report.sections import sections
from tests.report.printed_reports import curves, printed, section_of, twenty_configs
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    described,
    replicas,
    searched,
    trial,
    write_run,
)


def test_ranks_in_a_row_that_are_tied_are_written_as_a_range(tmp_path):
    configs = twenty_configs()[:6]
    replicated = [row for config in configs for row in replicas(config)]
    means = {config.config_id: 24.0 - 9 * (i == 5) for i, config in enumerate(configs)}
    folder = write_run(tmp_path, searched(), replicated, means)
    rows = section_of(printed(folder, 120), "Ranking by")[3:9]
    assert [re.split(r"  +", row.strip())[5] for row in rows] == [
        *("2-5", "1, 3-5", "1, 2, 4, 5", "1-3, 5", "1-4", "0.70"),
    ]


def test_one_replica_and_one_given_configuration_are_written_in_the_singular(tmp_path):
    replicated = replicas(WINNER, 1)
    text = printed(write_run(tmp_path, (), replicated, state="replicating", only=[{}]))
    assert "No search: 1 given configuration is trained." in text
    assert "Replicas: 1 training on a fresh seed: 1 completed." in text


def test_replicas_that_are_being_trained_are_counted_and_nothing_is_ranked_yet(tmp_path):
    replicated = replicas(WINNER)
    replicated[3].update(status="running", valid_ll=None)
    folder = write_run(tmp_path, searched(), replicated, state="replicating")
    assert "Replicas: 4 trainings on fresh seeds: 1 running, 3 completed." in printed(folder)
    assert "Ranking" not in printed(folder)


def test_the_leaderboard_says_what_training_images_score_by_its_measure(tmp_path):
    training = {"name": "training images", "n_samples": 1000, "valid_ll": 23.456}
    folder = write_run(tmp_path, searched(), state="searching", training_report=training)
    folder.append_history(curves(folder))
    told = "By the same measure, 1,000 training images score 23.46."
    assert told in " ".join(printed(folder).split())
    report = build_report(folder)
    assert told in render(report, "html")
    assert page_data(report, EmbeddedPictures(0))["run"]["training"] == training


def test_the_weights_scores_stand_below_those_of_their_average(tmp_path):
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in replicated[:4]:
        row.update(test_ll_raw=20.5, coverage_raw=0.6)
    search = searched()
    search[1].update(valid_ll_raw=7.25, coverage_raw=0.5)
    text = " ".join(printed(write_run(tmp_path, search, replicated, MEANS)).split())
    told = "of G's weights themselves, not their average:"
    assert f"The test LL {told} 3b632cbb 20.5 (coverage 0.60)." in text
    assert f"The valid LL {told} t00001 7.25 (coverage 0.50)." in text


def test_where_best_states_are_kept_the_report_says_when_they_were_reached(tmp_path):
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row, kept in zip(replicated, [2000, 4000, 6000, 8000] + 4 * [8000], strict=True):
        row["kept_updates"] = kept
    folder = write_run(tmp_path, searched(), replicated, MEANS)
    text = "Of each training its best state by validation log-likelihood (nats) is kept"
    assert text not in " ".join(printed(folder).split())
    run = folder.read_run()
    folder.write_run(dataclasses.replace(run, space=run.space | {"keep": "best"}))
    said = " ".join(printed(folder).split())
    medians = "3b632cbb after 5,000, paper after 8,000."
    assert f"{text}, not the last (medians over seeds, in updates): {medians}" in said
    assert "Scores of completed trials are those of their best state, which is kept." in said


def test_what_is_collapsed_and_what_was_given_up_stand_apart(tmp_path):
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config, 3)]
    for row, missing in zip(replicated, ([], ["4"], ["4", "9"], [], [], []), strict=True):
        row.update(collapsed_p=0.25, n_classes_effective=8.5, missing_classes=missing)
    replicated[4].update(status="collapsed", valid_ll=5.0, collapsed_p=1e-40)
    replicated[5].update(status="collapsed", p_recovers=0.031, collapsed_p=None)
    search = [*searched(), trial("t00007", SECOND, "collapsed", p_recovers=0.002, updates=3000)]
    folder = write_run(tmp_path, search, replicated, MEANS)
    text = printed(folder, 80)
    assert "4 completed, 2 collapsed (1 of them given up)." in " ".join(text.split())
    variety = section_of(text, "Are the samples of the replicas collapsed?")
    assert variety[3].split(maxsplit=8) == [
        *("3b632cbb", "0", "of", "3", "0", "of", "3", "0.25", "8.5  4 (2 of 3), 9 (1 of 3)"),
    ]
    assert variety[4].split() == [
        *("paper*", "1", "of", "3", "1", "of", "3", "<1e-15", "8.5", "-"),
    ]
    trials = section_of(text, "Trials that are collapsed, and trials that were given up")
    rows = [re.split(r"  +", line)[:5] for line in trials[3:6]]
    assert rows == [
        ["t00007", "given up", "3,000", "0.002", "-"],
        ["r-4f610017-1", "is collapsed", "8,000", "-", "<1e-15"],
        ["r-4f610017-2", "given up", "8,000", "0.031", "-"],
    ]


def test_data_without_classes_have_no_columns_of_classes(tmp_path):
    replicated = replicas(WINNER)
    for row in replicated:
        row.update(collapsed_p=0.25, n_classes_effective=None)
    folder = write_run(tmp_path, searched(), replicated, MEANS)
    variety = next(each for each in sections(build_report(folder)) if each.key == "variety")
    assert [name for name, _ in variety.columns][-1] == "collapsed p"
    assert "missing classes" not in " ".join(variety.notes)


def test_a_run_of_an_older_version_says_nothing_of_forecasts_that_it_has_not_made(finished):
    text = printed(finished)
    assert "Are the samples" not in text
    assert "given up" not in text


def test_top_cuts_the_ranking_and_the_leaderboard_but_keeps_the_ranks_of_ties(finished):
    report = build_report(finished, top=1)
    assert report.ranking["config_id"].tolist() == [WINNER.config_id]
    assert report.leaderboard["trial_id"].tolist() == ["t00001"]
    assert "   1  3b632cbb  3/4        5.0  24.5 [21.3, 25.9]  2   " in printed(finished, top=1)


def test_a_comparison_without_a_search_says_so(tmp_path):
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    only = [WINNER.to_dict(), PAPER.to_dict()]
    text = printed(write_run(tmp_path, (), replicated, MEANS, reference_ll=29.1, only=only))
    assert "No search: 2 given configurations are compared." in text
    assert "The search's best" not in text
    assert "Warnings" not in text


def test_a_lead_that_may_be_chance_is_called_so(tmp_path):
    means = MEANS | {PAPER.config_id: 23.97}
    replicated = [row for config in (WINNER, SECOND, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), replicated, means, reference_ll=29.1)
    lead = (
        r"The winner's lead over the paper's configuration, 0\.0 nats \[-\d\.\d, \d\.\d\], may be"
    )
    assert re.search(f"{lead} chance\\.", printed(folder))


def test_the_paper_as_winner_is_not_compared_with_itself(tmp_path):
    means = MEANS | {PAPER.config_id: 27.0}
    replicated = [row for config in (WINNER, PAPER) for row in replicas(config)]
    folder = write_run(tmp_path, searched(), replicated, means, reference_ll=29.1)
    assert build_report(folder).winner_minus_paper is None
    assert "1  paper*    4/4        5.0  27." in printed(folder)


def test_one_seed_has_no_interval(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config, 1)]
    folder = write_run(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    assert "   1  3b632cbb  1/1        5.0  24.0     2         0.70" in printed(folder)


def test_a_configuration_whose_replicas_all_failed_comes_last_without_a_score(tmp_path):
    rows = [row for config in (WINNER, PAPER) for row in replicas(config)]
    for row in rows[:4]:
        row.update(status="collapsed", reason="coverage .01")
    folder = write_run(tmp_path, searched(), rows, MEANS, reference_ll=29.1)
    assert re.search(r"\n   -  3b632cbb +0/4 +- +- +- +- +- +-\n", printed(folder))
    assert re.search(r"\n3b632cbb +0 of 4 \[0 %, 44 %\] +- +- +- - - -\n", printed(folder))


def test_no_trial_of_an_interrupted_run_is_called_running(searching):
    searching.write_run(described(state="interrupted"))
    text = printed(searching)
    assert "Search: 3 of 6 configurations tried: 2 interrupted, 1 completed." in text
    assert "t00001  3b632cbb  interrupted    4,000" in text


def repeated(n=6):
    """A search as older versions made it, of n trials of two configurations."""
    return [trial(f"t{i:05d}", (PAPER, WINNER)[i % 2], valid_ll=3.0) for i in range(n)]


def test_repetitions_of_an_older_search_are_not_counted_as_configurations(tmp_path):
    folder = write_run(tmp_path, repeated())
    assert "Search: 2 configurations tried, in 6 of 6 trials: 6 completed." in printed(folder)
    assert build_report(folder).n_tried == 2


def test_a_search_that_has_tried_all_of_its_space_says_so(tmp_path):
    folder = write_run(tmp_path, repeated(2), n_configurations=2)
    text = printed(folder)
    assert "Search: all 2 configurations of the space tried, in 2 of 6 trials: 2 completed." in text


def test_another_number_of_samples_of_an_evaluation_is_said(tmp_path):
    text = printed(write_run(tmp_path, searched(), n_evaluation_samples=300))
    assert "Evaluations of 300 samples each, in place of 1,000" in text


def test_a_failed_run_tells_how_its_trials_ended(tmp_path):
    rows = [
        trial("t00000", PAPER, "diverged", valid_ll=math.nan, reason="D's loss is NaN"),
        trial("t00001", WINNER, "failed", valid_ll=math.nan, reason="[red]\x1b[31mout of memory"),
    ]
    text = printed(write_run(tmp_path, rows, state="failed"))
    assert (
        "! The run failed: not one trial of the search was completed (1 diverged, 1 failed). With "
        f"more configurations: `gansearch resume {tmp_path}/digits-1 --trials 12`. Or start a run "
        "with other configurations."
    ) in " ".join(text.split())
    assert "t00000  diverged  D's loss is NaN" in text
    assert "t00001  failed    [red]out of memory" in text
