"""The benchmark of what a search is told: arms are compared on seeds that all of them have."""

from pathlib import Path

import pandas as pd
import pytest

from tests.benchmark_scripts import script

PAGE = (Path(__file__).parents[2] / "docs" / "learning.md").read_text()


@pytest.fixture(scope="module")
def benchmark():
    return script("studies.told")


def searched(arm, seed, score, n_dead=0):
    """Return the rows of a search of four trials, of which the first ones died."""
    return [
        {
            "unpruned": False,
            "dataset": "ring",
            "arm": arm,
            "seed": seed,
            "number": number,
            "status": "collapsed" if number < n_dead else "completed",
            "updates": 10,
            "valid_ll": score,
        }
        for number in range(4)
    ]


def test_a_seed_that_an_arm_lacks_is_left_out_and_named(benchmark, capsys):
    searches = [("told", 0, 2.0), ("random", 0, 1.0), ("told", 1, 5.0), ("random", 1, 3.0)]
    rows = [row for search in [*searches, ("told", 2, 1000.0)] for row in searched(*search)]
    benchmark.print_table(pd.DataFrame(rows))
    title, _, *table = capsys.readouterr().out.strip().splitlines()
    assert title == (
        "ring, pruned by ASHA, searches of 4 trials with the seeds [0, 1]; "
        "left out, for want of an arm: [2]"
    )
    best = {cells[1].strip(): cells[5].strip() for cells in (line.split("|") for line in table)}
    assert best["told"] == "3.50" and best["random"] == "2.00"
    assert best["told - random"] == "+1.50 [-4.85, +7.85]"


def test_arms_without_a_seed_in_common_are_not_compared(benchmark, capsys):
    benchmark.print_table(pd.DataFrame([*searched("told", 0, 1.0), *searched("random", 1, 1.0)]))
    assert capsys.readouterr().out.strip().endswith("left out, for want of an arm: [0, 1]")


def test_deaths_are_counted_by_when_a_trial_was_proposed(benchmark):
    rows = pd.DataFrame([*searched("told", 0, 1.0, n_dead=3), *searched("random", 0, 1.0)])
    measured = benchmark.measures(rows)
    assert measured.loc["told", 0].to_list() == [1.0, 0.5, 0.0, 1.0, 40.0]


def test_the_page_holds_the_tables_that_the_kept_searches_give(benchmark, capsys):
    benchmark.print_table(pd.read_parquet(benchmark.DATA))
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(lines) >= 8
    assert [line for line in lines if line not in PAGE] == []
