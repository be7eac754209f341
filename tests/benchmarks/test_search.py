"""The page on scaling and its benchmark, held to the code."""

import re
import sys
from pathlib import Path

import numpy as np
import optuna
import pytest

from gansearch.ranking.stability import MOST_IN_FOREST
from gansearch.space.load import load_space
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from tests.benchmark_scripts import script

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scaling.md").read_text()


@pytest.fixture(scope="module")
def benchmark():
    return script("speed.search")


def test_the_page_has_the_limit_of_the_code():
    assert f"use {MOST_IN_FOREST:,} trials, drawn at random" in PAGE


def test_every_form_of_the_benchmark_that_the_page_names_exists(benchmark, monkeypatch, capsys):
    named = set(re.findall(r"benchmarks/speed/search\.py (--\w+)", PAGE))
    monkeypatch.setattr(sys, "argv", ["search.py", "--help"])
    with pytest.raises(SystemExit):
        benchmark.main()
    told = capsys.readouterr().out
    assert named >= {"--driver", "--proposals", "--scale", "--report"}
    assert all(flag in told for flag in named)


def test_a_played_search_proposes_reports_prunes_and_ends_every_trial(benchmark):
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = load_space("digits", ["budget.reports=10"])
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0), direction="maximize")
    scheduler = GuardedScheduler(space.budget, halving=True)
    searcher = OptunaSearcher(space, study, seed=0, n_new=60, outcomes=scheduler.outcomes)
    ended = list(benchmark.play(searcher, scheduler, budget=space.budget, n_open=4))
    statuses = [scheduler.outcomes[trial.trial_id].status for trial in ended]
    assert len(ended) == len(scheduler.outcomes) == 60
    assert {"completed", "pruned", "collapsed"} == set(statuses)
    assert all(trial.state.is_finished() for trial in study.trials)


def test_the_table_of_what_a_driver_feeds_follows_its_formula(benchmark, capsys):
    benchmark.print_scale(report_ms=2.0, trial_ms=30.0)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[2:]]
    by_hand = next(row for row in rows if row[:2] == ["20,000", "256"])
    # 256 trials are heard of every 8 s: 6.67 reports/s, 32 - 6.67 signs/s; with 0.67 trials/s
    # 0.064 + 0.020 of a core. Of many GPUs there are no more signs than 32 a second, and more
    # reports than that: 6.67 x 2 + 20 ms/s each.
    assert by_hand[2:] == ["6.7", "25.3", "0.67", "8.4", "%", "20.9"]


def test_growth_compares_the_last_fifth_with_the_second(benchmark, capsys):
    takes = np.ones((200, 2))  # seconds a trial, and those of the processor
    takes[:40] = 50.0  # what happens once does not count
    takes[160:] = (3.0, 1.5)
    benchmark.print_growth(takes.cumsum(axis=0))
    told = capsys.readouterr().out
    assert "takes 3.00 [3.00, 3.00] times one of the second, 1.50 [1.50, 1.50] of" in told


def test_what_make_bench_runs_and_names_exists():
    bench = script("speed.bench")
    named = re.findall(r"([a-z]+/[a-z]+\.py)((?: --[a-z]+)*)", bench.LONGER)
    commands = [(f"speed/{command[0]}", " ".join(command[1:])) for command in bench.COMMANDS]
    assert len(named) >= 9
    for name, flags in [*named, *commands]:
        source = (ROOT / "benchmarks" / name).read_text()
        for flag in re.findall(r"--([a-z]+)", flags):
            assert f'"--{flag}"' in source or f'"{flag}"' in source
