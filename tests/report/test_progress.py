import io
import re
import threading
import time
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest
from rich.console import Console

from gansearch.budget import Budget
from gansearch.errors import InterruptedRunError
from gansearch.own_measures import (
    BUILT_IN_OBJECTIVES,
    VALID_LL,
    Objective,
    OwnMeasure,
    several,
)
from gansearch.report import display as display_module
from gansearch.report import pace as pace_module
from gansearch.report import progress as progress_module
from gansearch.report.frame import KnownTrial, Score
from gansearch.report.progress import Progress

BUDGET = Budget(trials=10, max_updates=8000, top=1, replicas=2)


@pytest.fixture
def clock(monkeypatch):
    """A clock that only the test moves."""
    now = SimpleNamespace(seconds=1000.0)
    for module in (progress_module, pace_module):
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: now.seconds))
    monkeypatch.setattr(display_module, "_TICK_SECONDS", 3600)  # only the test asks what is due
    return now


def evaluated(valid_ll):
    """A score of as many samples as an evaluation has."""
    return None if valid_ll is None else Score(valid_ll, 1000)


def console(*, terminal=False, height=24, width=100):
    return Console(
        file=io.StringIO(), force_terminal=terminal, width=width, height=height, color_system=None
    )


def make(to, *, n_replicas=4, time_budget_seconds=None, **arguments):
    return Progress(
        to,
        budget=BUDGET,
        n_replicas=n_replicas,
        time_budget_seconds=time_budget_seconds,
        **arguments,
    )


def final(valid_ll):
    """A score of a replica at its end."""
    return Score(valid_ll, 10_000, is_final=True)


def train(progress, trial_id, updates, valid_ll=1.0, status="completed", reason="", score=None):
    progress.trial_started(trial_id, "k=2")
    progress.trial_reported(trial_id, updates, evaluated(valid_ll), 0.5)
    score = score or evaluated(valid_ll)
    progress.trial_ended(trial_id, status, reason, score)


def last_frame(to):
    """Return what the terminal showed last, without its commands."""
    text = to.file.getvalue()
    frames = re.split(r"(?:\x1b\[\d*[A-Z]|\r)+(?=\S)", text)
    return re.sub(r"\x1b\[[?\d;]*[A-Za-z]", "", frames[-1])


def known(*statuses, updates=8000):
    return [KnownTrial(f"t{i:05d}", status, updates) for i, status in enumerate(statuses)]


@contextmanager
def showing(to, **arguments):
    """A display at work; at the end `to.shown` is what it showed before its last frame."""
    with make(to, **arguments) as progress:
        yield progress
        progress._display.tick()
        to.shown = last_frame(to)


def test_a_log_has_one_line_for_each_ended_trial_with_its_reason(clock):
    to = console()
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000, 5.126)
        train(progress, "t00001", 2000, 1.5, "pruned", "not in the best third at 2,000 updates")
        train(progress, "t00002", 400, None, "diverged", "D's loss is NaN")
    assert to.file.getvalue().splitlines() == [
        "search 0/10; no score yet; 0 s so far, time left: -",
        "[1/10] t00000 completed at 8,000 updates, valid_ll 5.13 nats from 1,000 samples",
        "[2/10] t00001 pruned at 2,000 updates, valid_ll 1.50 nats from 1,000 samples: not in the "
        "best third at 2,000 updates",
        "[3/10] t00002 diverged at 400 updates, valid_ll -: D's loss is NaN",
    ]


def test_a_log_gives_a_sign_of_life_every_15_seconds_and_not_more_often(clock):
    to = console()
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00000", "k=2")
        for second in range(1, 41):
            clock.seconds = 1000.0 + second
            progress.trial_reported("t00000", 100 * second, evaluated(2.0), 0.5)
            progress._display.tick()
    best = "best of the search: t00000, valid_ll 2.00 nats from 1,000 samples"
    assert to.file.getvalue().splitlines()[1:] == [
        f"search 0/10, 1 running; {best} (k=2); 15 s so far, about 9 min left, 100 updates/s",
        f"search 0/10, 1 running; {best}; 30 s so far, about 9 min left, 100 updates/s",
    ]


def test_a_sign_of_life_counts_each_end_apart_those_before_a_resume_too(clock):
    to = console()
    with showing(to) as progress:
        progress.phase("search", 10, known("pruned", "collapsed", "completed"))
        train(progress, "t00003", 8000, status="diverged")
        train(progress, "t00004", 8000, status="collapsed")
        progress.trial_started("t00005", "k=2")
        clock.seconds += 20
        progress.trial_reported("t00005", 100, None, None)
    assert (
        to.file.getvalue()
        .splitlines()[-1]
        .startswith("search 5/10, 1 running (1 completed, 1 pruned, 2 collapsed, 1 diverged); ")
    )


def test_a_line_about_a_trial_is_a_sign_of_life_too(clock):
    to = console()
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00009", "k=2")
        clock.seconds += 10
        train(progress, "t00000", 8000)
        clock.seconds += 10
        progress.trial_reported("t00009", 500, evaluated(1.0), 0.5)
    assert len(to.file.getvalue().splitlines()) == 2


def test_quiet_prints_nothing_even_on_a_terminal():
    to = console(terminal=True)
    with showing(to, quiet=True) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000)
        progress.note("something")
    assert to.file.getvalue() == ""


def test_a_terminal_that_can_only_print_gets_the_log(clock, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000)
    assert to.file.getvalue().splitlines() == [
        "search 0/10; no score yet; 0 s so far, time left: -",
        "[1/10] t00000 completed at 8,000 updates, valid_ll 1.00 nats from 1,000 samples",
    ]


def test_the_terminal_shows_counts_the_best_and_every_running_trial(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000, 5.0)
        train(progress, "t00001", 2000, 1.5, "pruned", "not in the best third")
        progress.trial_started("t00002", "k=2 generator_lr=0.05")
        for updates, valid_ll in ((1000, 1.0), (2000, 2.5), (4000, 3.25)):
            clock.seconds += 20
            progress.trial_reported("t00002", updates, evaluated(valid_ll), 0.41)
        progress.trial_reported("t00002", 4000, evaluated(3.25), 0.41, is_evaluation=False)
        clock.seconds += 20
    head, best, config, times, running, *ends = to.shown.rstrip().splitlines()
    assert head == "search 2/10, 1 running  1 completed  1 pruned"
    assert best == "best of the search: t00000, valid_ll 5.00 nats from 1,000 samples"
    assert config == "  k=2"
    assert times == "80 s so far, about 11 min left, 50 updates/s"
    bar = "━" * 8 + " " * 8
    said = "4,000 ▁▆█ valid_ll 3.25 coverage 0.41 k=2 generator_lr=0.05"
    assert running.rstrip() == f"t00002 {bar} {said}"
    assert ends == [
        "t00001 pruned at 2,000 updates, valid_ll 1.50 nats from 1,000 samples: not in the best "
        "third",
        "t00000 completed at 8,000 updates, valid_ll 5.00 nats from 1,000 samples",
    ]


def test_only_as_many_trials_are_shown_as_the_terminal_has_room_for(clock):
    to = console(terminal=True, height=7)
    with showing(to) as progress:
        progress.phase("search", 10)
        for i in range(8):
            progress.trial_started(f"t{i:05d}", "k=2")
    lines = to.shown.rstrip().splitlines()
    assert [line.split()[0] for line in lines[3:-1]] == ["t00000", "t00001"]
    assert lines[-1].strip() == "and 6 more"


def test_a_long_summary_is_cut_at_the_edge_of_the_terminal(clock):
    to = console(terminal=True, width=80)
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00000", "discriminator_activation=leaky_relu " * 5)
        progress.trial_reported("t00000", 4000, evaluated(3.25), 0.41)
    *_, first, second, third, _times, running = to.shown.rstrip().splitlines()
    for line in (first, second, third):
        assert line.strip().startswith("discriminator_activation=leaky_relu")
    assert running.startswith("t00000 ")
    assert "coverage 0.41" in running
    assert running.endswith("…")


@pytest.mark.parametrize("status", ["collapsed", "diverged", "failed"])
def test_the_score_of_an_unsound_trial_is_never_the_best(clock, status):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000, 5.0)
        train(progress, "t00001", 8000, 99.0, status, "bad")
    assert "best of the search: t00000, valid_ll 5.00 nats from 1,000 samples" in to.shown


def test_a_negative_score_can_be_the_best(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000, -30.0)
        train(progress, "t00001", 8000, -20.0, "pruned", "")
        progress.trial_started("t00002", "k=2")
        progress.trial_reported("t00002", 10, evaluated(float("nan")), None)
    assert "best of the search: t00001, valid_ll -20.00 nats from 1,000 samples" in to.shown


def test_the_time_left_of_a_search_counts_on_what_trials_have_taken_so_far(clock):
    to = console(terminal=True)
    with showing(to, n_replicas=2) as progress:
        progress.phase("search", 10)
        for i, updates in enumerate((2000, 2000, 8000)):
            progress.trial_started(f"t{i}", "")
            clock.seconds += updates / 100
            progress.trial_reported(f"t{i}", updates, evaluated(1.0), 0.5)
            progress.trial_ended(f"t{i}", "completed", "", evaluated(1.0))
        progress.trial_started("t3", "")
        progress.trial_reported("t3", 1000, evaluated(1.0), 0.5)
    # 13,000 updates in 120 s. To come: 6 trials of 4,000, 3,000 of t3 and 2 replicas of 8,000,
    # 43,000 in all, which take 6.6 minutes.
    assert "about 7 min left" in to.shown


def test_the_time_left_is_there_from_the_first_report_on(clock):
    to = console(terminal=True)
    with showing(to, n_replicas=2) as progress:
        progress.phase("search", 4)
        assert "time left: -" in progress._line()
        for i in range(2):
            progress.trial_started(f"t{i}", "")
        clock.seconds += 60  # workers start
        assert "time left: -" in progress._line()
        progress.trial_reported("t0", 100, evaluated(1.0), 0.5)
        assert "about " in progress._line()
        clock.seconds += 10
        progress.trial_reported("t1", 1000, evaluated(1.0), 0.5)
    # 100 updates a second. Expected: 1,200 to the first rung, a third of the trials go on to
    # 3,600 and a ninth to the end, 2,489 in all; of these four trials, and 8,000 of two replicas.
    assert BUDGET.expected_updates == pytest.approx(1200 + 2400 / 3 + 4400 / 9)
    assert "70 s so far, about 4 min left, 100 updates/s" in to.shown


def test_replicas_are_expected_to_go_to_the_end(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("replicas", 4)
        progress.trial_started("r-0", "")
        clock.seconds += 40
        progress.trial_reported("r-0", 4000, evaluated(1.0), 0.5)
    # 100 updates a second; 28,000 to come.
    assert "about 5 min left" in to.shown


def test_updates_from_before_a_resume_do_not_count_as_speed(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("replicas", 4, known("completed", "diverged", "completed"))
        progress.trial_started("r-3", "", updates=6000)
        clock.seconds += 10
        progress.trial_reported("r-3", 7000, evaluated(1.0), 0.5)
    assert to.shown.startswith("replicas 3/4, 1 running  2 completed  1 diverged")
    assert "10 s so far, about 10 s left" in to.shown


def test_a_time_budget_bounds_the_time_left(clock):
    to = console(terminal=True)
    with showing(to, time_budget_seconds=600) as progress:
        progress.phase("search", 10)
        progress.trial_started("t0", "")
        clock.seconds += 60
    assert "60 s so far, at most 9 min left" in to.shown


def test_replicas_that_the_time_has_no_room_for_are_not_waited_for(clock):
    to = console(terminal=True)
    with showing(to, time_budget_seconds=600) as progress:
        progress.phase("replicas", 8)
        progress.expect(4)
        progress.trial_started("r-0", "")
        progress.trial_reported("r-0", 0, None, None, is_evaluation=False)
        clock.seconds += 10
        progress.trial_reported("r-0", BUDGET.max_updates, evaluated(1.0), 0.5)
        progress.trial_ended("r-0", "completed", "", final(1.0))
        assert progress.bests.of_search(()) is None
        assert "10 s so far, about 30 s left" in progress._line()
        train(progress, "r-1", 100, 9.0, "pruned", "the time budget of the run was spent")
        assert progress.bests.of_search(()) is None  # it is no trial of the search
    assert to.shown.startswith("replicas 2/4")


def test_a_spent_time_budget_promises_nothing(clock):
    to = console(terminal=True)
    with showing(to, time_budget_seconds=50) as progress:
        progress.phase("search", 10)
        clock.seconds += 60
    assert "60 s so far, time left: -" in to.shown


def test_a_new_phase_counts_anew(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 1)
        train(progress, "t00000", 8000, 50.0)
        progress.phase("replicas", 4)
        assert progress.current_phase == "replicas"
        train(progress, "r-1-0", 8000, 60.0, score=final(5.0))
    assert to.shown.splitlines()[:4] == [
        "replicas 1/4  1 completed",
        "best final score: r-1-0, valid_ll 5.00 nats from 10,000 samples",
        "  k=2",
        "best of the search: t00000, valid_ll 50.00 nats from 1,000 samples",
    ]


def test_a_trial_that_an_earlier_stop_cut_short_may_end_without_having_gone_on(clock):
    to = console()
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.trial_ended("t00007", "pruned", "the time budget of the search was spent", None)
    assert to.file.getvalue().splitlines()[1:] == [
        "[1/10] t00007 pruned at 0 updates, valid_ll -: the time budget of the search was spent"
    ]


@pytest.mark.parametrize("terminal", [False, True])
def test_what_comes_from_elsewhere_is_shown_as_text(clock, terminal):
    to = console(terminal=terminal)
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.note("[bold]not bold[/bold] \x1b[36mray::\x1b[0m\nand\x07 more")
        progress.trial_started("t1", "noise=[red]")
        progress.trial_ended("t1", "failed", "[/] \x1b[31mworker died\x1b[0m", None)
    text = to.file.getvalue()
    assert "[bold]not bold[/bold] ray:: and more" in text
    assert "\x1b[31m" not in text
    if not terminal:
        assert "[1/10] t1 failed at 0 updates, valid_ll -: [/] worker died\n" in text


def test_an_error_in_the_run_leaves_the_terminal_in_order():
    to = console(terminal=True)
    with pytest.raises(RuntimeError, match="boom"), make(to) as progress:
        progress.phase("search", 10)
        raise RuntimeError("boom")
    assert to.file.getvalue().rstrip().endswith("\x1b[?25h")


def test_many_threads_may_report_while_the_display_is_drawn():
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 400)

        def work(thread):
            for i in range(50):
                train(progress, f"t{thread}-{i}", 100, float(i))
                if i % 10 == 0:
                    progress.note(f"note {thread}-{i}")

        threads = [threading.Thread(target=work, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
    assert to.shown.startswith("search 400/400  400 completed")


def test_a_report_costs_next_to_nothing():
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t0", "k=2")
        start = time.process_time()
        for updates in range(5000):
            progress.trial_reported("t0", updates, evaluated(1.0), 0.5)
        seconds = (time.process_time() - start) / 5000
    assert seconds < 200e-6


def test_a_resumed_run_knows_its_best_its_time_and_the_time_left(clock):
    to = console(terminal=True)
    with showing(to, n_replicas=2, earlier_seconds=1200.0) as progress:
        progress.pace.earlier_updates = 3 * 8000
        ended = [KnownTrial("t00000", "pruned", 8000, evaluated(6.1))]
        ended += [KnownTrial(f"t0000{i}", "collapsed", 8000, evaluated(9.0)) for i in (1, 2)]
        open_ = KnownTrial("t00003", "running", 4000, evaluated(2.0))
        progress.phase("search", 5, [*ended, open_])
    # 24,000 updates in 20 minutes. To come: 4,000 of t00003, 8,000 of t00004, and two replicas.
    assert to.shown.splitlines() == [
        "search 3/5  1 pruned  2 collapsed",
        "best of the search: t00000, valid_ll 6.10 nats from 1,000 samples",
        "20 min so far, about 23 min left",
    ]


def test_an_interrupted_trial_has_its_score_before_it_reports_again(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 5, [KnownTrial("t00003", "running", 4000, evaluated(2.0))])
        progress.trial_started("t00003", "k=2", 4000)
    assert "best of the search: t00003, valid_ll 2.00 nats from 1,000 samples" in to.shown


def test_replicas_that_are_resumed_keep_their_best_and_what_they_have_trained(clock):
    to = console(terminal=True)
    with showing(to, earlier_seconds=80.0) as progress:
        progress.pace.earlier_updates = 8000
        done = KnownTrial("r-a-0", "completed", 8000, final(14.0), "replica", "k=2")
        open_ = KnownTrial("r-a-1", "running", 6000, evaluated(20.0), "replica")
        progress.phase("replicas", 2, [done, open_])
    assert to.shown.splitlines()[1:] == [
        "best final score: r-a-0, valid_ll 14.00 nats from 10,000 samples",
        "  k=2",
        "80 s so far, about 20 s left",
    ]


def test_a_time_budget_counts_the_time_of_earlier_sessions(clock):
    to = console(terminal=True)
    with showing(to, time_budget_seconds=600, earlier_seconds=480) as progress:
        progress.phase("search", 10)
    assert "8 min so far, at most 2 min left" in to.shown


def test_the_pace_of_an_earlier_machine_is_forgotten_after_three_trials(clock):
    to = console(terminal=True)
    with showing(to, n_replicas=0, earlier_seconds=1e6) as progress:
        progress.pace.earlier_updates = 8000
        progress.phase("search", 4)
        for i in range(3):
            progress.trial_started(f"t{i}", "")
            clock.seconds += 10
            progress.trial_reported(f"t{i}", 1000, evaluated(1.0), 0.5)
            progress.trial_ended(f"t{i}", "completed", "", evaluated(1.0))
    assert "about 10 s left" in to.shown


def test_scores_of_other_numbers_of_samples_are_never_the_best(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 2)
        train(progress, "t00000", 8000, 9.0)
        train(progress, "t00001", 8000, 99.0, score=Score(99.0, 10_000))
        assert (
            "best of the search: t00000, valid_ll 9.00 nats from 1,000 samples" in progress._line()
        )
        progress.phase("replicas", 2)
        progress.trial_started("r-a-0", "")
        progress.trial_reported("r-a-0", 8000, evaluated(20.0), 0.5)
        assert "no final score yet; best of the search: t00000" in progress._line()
        progress.trial_ended("r-a-0", "completed", "", final(14.0))
    assert "best final score: r-a-0, valid_ll 14.00 nats from 10,000 samples" in to.shown


def test_a_stop_is_acknowledged_at_once_in_a_log_too(clock):
    to = console()
    with make(to) as progress:
        progress.phase("search", 2)
        progress.trial_started("t00000", "k=2")
        progress.is_stopping = lambda: True
        progress._display.tick()
        progress._display.tick()
    assert to.file.getvalue().splitlines()[1:] == [
        "stopping: 1 trial saves its state; Ctrl-C again stops at once; no score yet; 0 s so far"
    ]


def test_a_log_says_what_is_done_before_and_after_the_trials(clock):
    to = console()
    with make(to) as progress:
        for what in ("starting Ray", "reference lines: k-means"):
            progress.activity(what)
            for _ in range(33):
                clock.seconds += 1
                progress._display.tick()
    assert to.file.getvalue().splitlines() == [
        "starting Ray; 1 s so far",
        "starting Ray; 16 s so far",
        "starting Ray; 31 s so far",
        "reference lines: k-means; 34 s so far",
        "reference lines: k-means; 49 s so far",
        "reference lines: k-means; 64 s so far",
    ]


def test_the_last_frame_of_an_interrupted_run_has_the_best_score_of_its_running_trials(clock):
    to = console(terminal=True)
    with pytest.raises(InterruptedRunError), make(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00000", "k=2")
        progress.trial_reported("t00000", 4000, evaluated(3.25), 0.41)
        progress.activity("ending Ray")
        raise InterruptedRunError("stopped")
    assert last_frame(to).splitlines() == [
        "interrupted: search 0/10",
        "best of the search: t00000, valid_ll 3.25 nats from 1,000 samples",
        "  k=2",
        "0 s in all",
    ]


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("direction", "best"), [("minimize", "12"), ("maximize", "1235")])
def test_an_objective_is_shown_by_its_name_and_the_best_by_its_direction(
    clock, terminal, direction, best
):
    objective = Objective(OwnMeasure("fid", "m.py:fid", direction, "px", n_samples=5000))
    to = console(terminal=terminal)
    values = {"t00000": 1234.6, "t00001": 12.0, "t00002": 500.0}
    with showing(to, objective=objective) as progress:
        progress.phase("search", 10)
        for trial_id, value in values.items():
            progress.trial_started(trial_id, "k=2")
            progress.trial_reported(trial_id, 100, Score(value, 5000), 0.5)
        for trial_id in ("t00000", "t00001"):
            progress.trial_ended(trial_id, "completed", "", Score(values[trial_id], 5000))
        said = progress._line()
    said_best = f", fid {best} px from 5,000 samples"
    assert said_best in said
    assert "valid_ll" not in to.file.getvalue()
    if terminal:
        assert said_best in to.shown
        assert re.search(r"t00002 .* fid 500 coverage 0\.50 k=2", to.shown)
    else:
        ended = "[1/10] t00000 completed at 100 updates, fid 1235 px from 5,000 samples\n"
        assert ended in to.file.getvalue()


def test_by_several_objectives_the_front_is_counted_beside_the_best_by_the_first(clock):
    to = console(terminal=False)
    objective = several([VALID_LL, Objective(BUILT_IN_OBJECTIVES["coverage"])])

    def score(ll, coverage, **more):
        return Score(ll, 1000, others=(coverage,), **more)

    scores = [score(5.0, 0.1), score(3.0, 0.6), score(2.0, 0.5), score(1.0, 0.9)]
    with showing(to, objective=objective) as progress:
        progress.phase("search", 10)
        for i, found in enumerate(scores):
            progress.trial_started(f"t{i}", "k=2")
            progress.trial_reported(f"t{i}", 100, found, 0.5)
        for i in range(3):
            progress.trial_ended(f"t{i}", "completed", "", scores[i])
        assert (
            "front of the search: 3 trials, best valid_ll: t0, valid_ll 5.00 nats from 1,000 "
            "samples, coverage 0.1"
        ) in progress._line()
        progress.trial_started("t1", "k=2")  # it goes on: what it dominated may be in front
        progress.trial_reported("t1", 200, score(0.0, 0.0), 0.0)
        assert "front of the search: 3 trials" in progress._line()
        progress.trial_ended("t3", "collapsed", "", scores[3])
        assert "front of the search: 2 trials" in progress._line()
        final = replace(scores[0], n_samples=10_000, is_final=True)
        progress.bests.enter("r0", final, "k=2")
        assert "front of the replicas: 1 trial, best valid_ll: r0," in progress._line()
    assert (
        "[1/10] t0 completed at 100 updates, valid_ll 5.00 nats from 1,000 samples, coverage 0.1"
        in (to.file.getvalue())
    )


def test_a_resume_shows_the_best_of_all_sessions_before_its_first_phase(clock):
    to = console(terminal=True)
    with showing(to, earlier_seconds=600.0) as progress:
        progress.recall(
            [
                KnownTrial("t00000", "completed", 8000, evaluated(6.1), "search", "k=3"),
                KnownTrial("t00001", "diverged", 8000, evaluated(99.0)),
                KnownTrial("t00002", "running", 4000, evaluated(7.5), "search", "k=4"),
                KnownTrial("r-a-0", "completed", 8000, final(14.0), "replica", "k=5"),
                KnownTrial("r-a-1", "running", 4000, evaluated(20.0), "replica"),
            ]
        )
        progress.activity("starting Ray")
    assert to.shown.splitlines() == [
        "starting Ray",
        "best final score: r-a-0, valid_ll 14.00 nats from 10,000 samples",
        "  k=5",
        "best of the search: t00002, valid_ll 7.50 nats from 1,000 samples",
        "10 min so far",
    ]


def test_a_trial_that_goes_on_keeps_the_chart_of_its_evaluations(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        before = {1000: 0.0, 2000: 2.0}
        open_ = KnownTrial("t00003", "running", 2000, evaluated(2.0), values=before)
        progress.phase("search", 5, [open_])
        progress.trial_started("t00003", "k=2", 2000)
        for updates in (2000, 3000):  # the checkpoint was older than the last report
            progress.trial_reported("t00003", updates, evaluated(updates / 1000), 0.5)
    assert "3,000 ▁▆█ valid_ll 3.00" in to.shown


def test_the_score_of_a_trial_that_goes_on_is_no_longer_that_of_its_end(clock):
    to = console()
    with showing(to) as progress:
        progress.recall([KnownTrial("t00000", "pruned", 4000, evaluated(9.0))])
        progress.phase("search", 2, [KnownTrial("t00001", "completed", 8000, evaluated(5.0))])
        train(progress, "t00000", 8000, 9.0, "collapsed")
        assert "best of the search: t00001" in progress._line()


def test_the_last_ends_are_shown_newest_first_as_many_as_there_is_room_for(clock):
    to = console(terminal=True, height=12)
    with showing(to) as progress:
        progress.phase("search", 20)
        for i in range(4):
            train(progress, f"t{i:05d}", 8000, 1.0, "pruned", "[/] not in the best third " * 9)
            progress.trial_started(f"u{i:05d}", "k=2")
    lines = to.shown.rstrip().splitlines()
    assert len(lines) <= 11
    assert [line.split()[0] for line in lines[4:8]] == ["u00000", "u00001", "u00002", "u00003"]
    assert lines[8].startswith("t00003 pruned at 8,000 updates, valid_ll 1.00 nats")
    assert lines[9].startswith("  ")
    assert lines[9].endswith("…")


def test_a_trial_that_has_ended_leaves_no_line_among_the_running_ones(clock):
    to = console(terminal=True)
    with showing(to) as progress:
        progress.phase("search", 10)
        train(progress, "t00000", 8000, 5.0)
        progress.trial_started("t00001", "k=2")
    lines = to.shown.rstrip().splitlines()
    assert sum(line.startswith("t00000") for line in lines) == 1
    assert sum(line.startswith("t00001") for line in lines) == 1


def test_the_last_frame_of_a_finished_run_has_no_trials_and_no_time_left(clock):
    to = console(terminal=True)
    with make(to) as progress:
        progress.phase("search", 1)
        train(progress, "t00000", 8000, 5.0)
        progress.phase("replicas", 1)
        train(progress, "r-a-0", 8000, 5.0, score=final(14.0))
        progress.activity("writing the report")
    assert last_frame(to).splitlines() == [
        "finished: search 1/1, replicas 1/1",
        "best final score: r-a-0, valid_ll 14.00 nats from 10,000 samples",
        "  k=2",
        "best of the search: t00000, valid_ll 5.00 nats from 1,000 samples",
        "0 s in all",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_a_stop_before_the_trials_says_at_once_what_it_cuts_short(clock, terminal):
    to = console(terminal=terminal)
    with make(to) as progress:
        progress.activity("starting Ray")
        progress.is_stopping = lambda: True
        progress._display.tick()
        assert "stopping: starting Ray is cut short" in to.file.getvalue()
        progress.activity("ending Ray")
        clock.seconds += 2
        progress._display.tick()
    assert "stopping: ending Ray" in to.file.getvalue()
    assert "stopping: ending Ray is" not in to.file.getvalue()


@pytest.mark.parametrize("width", [30, 40, 60, 79, 80, 120])
def test_no_line_of_a_frame_is_wider_than_the_terminal(clock, width):
    to = console(terminal=True, width=width)
    with showing(to) as progress:
        progress.phase("replicas", 10)
        train(progress, "r-10d738cc-0", 8000, 5.0, "completed", "so it is " * 30, final(14.0))
        progress.trial_started("r-10d738cc-1", "discriminator_activation=leaky_relu " * 5)
        progress.trial_reported("r-10d738cc-1", 4000, evaluated(3.25), 0.41)
    lines = to.shown.rstrip().splitlines()
    assert max(map(len, lines)) <= width
    (running,) = (line for line in lines if line.startswith("r-10d738cc-1"))
    assert "4,000" in running
    assert ("valid_ll 3.25" in running) == (width >= 40)
    assert ("coverage" in running) == (width >= 80)


def test_an_encoding_without_blocks_gets_a_chart_of_plain_characters(clock):
    file = io.TextIOWrapper(io.BytesIO(), encoding="ascii", write_through=True)
    to = Console(file=file, force_terminal=True, width=100, height=24, color_system=None)
    with make(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00000", "k=2 " * 50)
        for i in range(4):
            progress.trial_reported("t00000", 100 * i, evaluated(float(i)), 0.5)
        progress._display.tick()
    shown = file.buffer.getvalue().decode("ascii")
    assert "300 _,+# valid_ll 3.00" in shown
    assert "[?25l" in shown
    assert "?" not in shown.replace("[?25", "")  # no character was lacking


def test_the_speed_is_that_of_the_last_half_minute_and_falls_to_zero(clock):
    to = console()
    with make(to) as progress:
        progress.phase("search", 10)
        progress.trial_started("t00000", "k=2")
        for second in range(61):
            clock.seconds += 1
            progress.trial_reported("t00000", min(second, 30) * 100, evaluated(2.0), 0.5)
        assert ", 0 updates/s" in progress._line()
        clock.seconds += 100
        assert ", 0 updates/s" in progress._line()
