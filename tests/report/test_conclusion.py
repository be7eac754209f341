"""What a run ends with: who has won, by how much, and what to type next."""

import io

import pytest
from rich.console import Console

from gansearch.cli_output import show_end
from gansearch.report.conclusion import conclusion
from gansearch.report.report import build_report
from gansearch.runs.commands import command
from tests.report.printed_reports import with_fixed_ids
from tests.written_runs import (
    MEANS,
    PAPER,
    SECOND,
    WINNER,
    described,
    finished_run,
    replicas,
    searched,
    searching_run,
    trial,
    write_run,
)


def said(folder):
    section = conclusion(build_report(folder)).section()
    return [with_fixed_ids(line) for line in (section.title, *section.text)]


def compared(tmp_path, *configs, means=MEANS, n=4, **info):
    """A run of these configurations alone, each with so many replicas."""
    replicated = [row for config in configs for row in replicas(config, n)]
    return write_run(tmp_path, searched(), replicated, means, **info)


def test_the_lead_over_the_baseline_is_said_and_who_is_tied(finished):
    assert said(finished) == [
        "Winner: 3b632cbb, k=2 generator_lr=0.05 generator_widths=256-256 "
        "discriminator_activation=leaky_relu",
        "The winner beats the paper's configuration by 5.6 nats [2.3, 7.2]. Of the winner's "
        "replicas 3 of 4 [28 %, 97 %] work, of those of the paper's configuration 4 of 4 [56 %, "
        "100 %]. It is tied with dbd52f8c.",
        f"Next: `{command('sample', finished.path)}` for its samples, "
        f"`{command('report', finished.path, '--out', 'report.html')}` for a page.",
    ]


def test_without_a_baseline_the_lead_is_that_over_the_second(tmp_path):
    means = {WINNER.config_id: 24.0, SECOND.config_id: 14.0}
    won, lead, _ = said(compared(tmp_path, WINNER, SECOND, means=means))
    assert won.startswith("Winner: 3b632cbb, ")
    assert lead.startswith("The winner beats the second (dbd52f8c) by 10.0 nats [")


def test_a_lead_over_the_second_that_may_be_chance_is_called_so(tmp_path):
    means = {WINNER.config_id: 24.0, SECOND.config_id: 23.9}
    _, lead, _ = said(compared(tmp_path, WINNER, SECOND, means=means))
    assert lead.startswith("The winner's lead over the second (dbd52f8c), 0.1 nats [")
    assert lead.endswith("], may be chance.")


def test_a_baseline_that_wins_is_called_by_its_title_and_compared_with_the_second(tmp_path):
    means = {PAPER.config_id: 24.0, SECOND.config_id: 14.0}
    won, lead, _ = said(compared(tmp_path, PAPER, SECOND, means=means))
    assert won == "Winner: paper, the paper's configuration"
    assert lead.startswith("The winner beats the second (dbd52f8c) by 10.0 nats [")


def test_one_seed_each_has_no_lead(tmp_path):
    means = {WINNER.config_id: 24.0, SECOND.config_id: 14.0}
    _, lead, _ = said(compared(tmp_path, WINNER, SECOND, means=means, n=1))
    assert lead == (
        "Its lead over the second (dbd52f8c) is unknown: that takes more than one seed each."
    )


def test_the_only_one_with_a_score_is_compared_with_nothing(tmp_path):
    _, lead, _ = said(compared(tmp_path, WINNER, means={WINNER.config_id: 24.0}))
    assert lead == "It alone has a score."


def test_a_baseline_without_a_score_is_named_as_such(tmp_path):
    replicated = [*replicas(WINNER), *(row | {"status": "collapsed"} for row in replicas(PAPER))]
    folder = write_run(tmp_path, searched(), replicated, {WINNER.config_id: 24.0})
    assert said(folder)[1] == "It alone has a score: no replica of paper works."


@pytest.mark.parametrize("state", ["interrupted", "replicating"])
def test_a_ranked_run_that_is_not_over_has_a_winner_so_far(tmp_path, state):
    folder = finished_run(tmp_path, state=state)
    won, _, then = said(folder)
    assert won.startswith("Winner so far: 3b632cbb, ")
    name = {"interrupted": "resume", "replicating": "report"}[state]
    assert f"`{command(name, folder.path)}`" in then


def test_a_search_that_goes_on_has_a_best_but_no_winner(tmp_path):
    won, best, then = said(searching_run(tmp_path))
    assert won == "Nothing has won yet: the run goes on."
    assert best.startswith(
        "The best of the search, a single training: 3b632cbb (t00001), valid_ll 9.20 nats from "
        "1,000 samples: k=2 "
    )
    assert then.endswith("again, when the run has ended.")


def test_an_interrupted_search_says_how_it_goes_on(tmp_path):
    folder = write_run(tmp_path, searched(), state="interrupted")
    won, _, then = said(folder)
    assert won == "Nothing has won yet: the run was interrupted."
    assert then == f"Next: `{command('resume', folder.path)}`"


def test_a_failed_search_says_what_may_help(tmp_path):
    folder = write_run(tmp_path, [trial("t00000", PAPER, "collapsed")], state="failed")
    won, best, then = said(folder)
    assert won == "Nothing has won: not one trial of the search was completed (1 collapsed)."
    assert best == "No trial of the search has a score."
    assert f"`{command('resume', folder.path, '--trials', '12')}`" in then


@pytest.mark.parametrize(("top", "paper", "then"), [(2, None, "resume"), (0, None, "--top 3")])
def test_a_search_without_replicas_says_how_to_get_some(tmp_path, top, paper, then):
    folder = write_run(tmp_path, searched(), paper_config_id=paper)
    space = dict(described().space)
    space["budget"] = {**space["budget"], "top": top, "replicas": 0}
    folder.write_run(described(space={**space, "baseline": "none"}, paper_config_id=paper))
    won, _, next_line = said(folder)
    assert won == "Nothing has won: no configuration was trained on fresh seeds."
    assert then in next_line


@pytest.mark.parametrize("width", [60, 100])
def test_a_run_ends_with_the_three_lines_first_and_its_files_last(finished, width):
    to = Console(file=io.StringIO(), width=width, color_system=None)
    show_end(finished, to)
    text = with_fixed_ids(to.file.getvalue())
    assert text.startswith("\nWinner: 3b632cbb, k=2 ")
    assert text.index("Next:") < text.index("digits-1: finished") < text.index("Results: ")
    assert f"`{command('sample', finished.path)}`" in text
