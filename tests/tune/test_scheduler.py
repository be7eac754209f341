"""Pruning and guarding, decision by decision."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from gansearch.budget import Budget
from gansearch.trial.messages import TrialSpec
from gansearch.tune.rows import Outcome
from gansearch.tune.scheduler import GuardedScheduler
from tests.written_runs import spec, step

BUDGET = Budget(max_updates=900, grace=0.1, reduction_factor=3)  # rungs at 90, 270 and 810


def trial(name):
    return SimpleNamespace(trial_id=f"ray-{name}", config=spec(trial_id=name).to_tune())


@pytest.fixture
def failed(tmp_path):
    """Make a trial with Tune's error text, and a status that says whether Tune gives it up."""

    def _failed(name, text="", status=Trial.ERROR):
        file = tmp_path / f"{name}.txt"
        file.write_text(text)
        return _failed_trial(name, str(file), status)

    return _failed


def _failed_trial(name, error_file, status):
    return SimpleNamespace(
        **vars(trial(name)),
        status=status,
        num_failures=1,
        max_failures=2,
        error_file=error_file,
    )


def report(updates, valid_ll=None, **more):
    return step(updates, valid_ll, **more).to_tune()


def decide(scheduler, name, updates, valid_ll, **more):
    return scheduler.on_trial_result(None, trial(name), report(updates, valid_ll, **more))


def test_no_trial_is_stopped_for_its_score_before_the_grace_period():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i in range(9):
        assert decide(scheduler, f"t{i}", 89, -1000.0 * i) == TrialScheduler.CONTINUE
    assert not scheduler.outcomes


def test_a_trial_below_the_best_third_of_its_rung_is_pruned_with_the_numbers():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i, valid_ll in enumerate((10.0, 20.0, 30.0)):
        assert decide(scheduler, f"t{i}", 95, valid_ll) == TrialScheduler.CONTINUE
    assert decide(scheduler, "low", 95, 5.0) == TrialScheduler.STOP
    assert scheduler.outcomes["ray-low"] == Outcome(
        "pruned",
        "valid_ll 5 at rung 90, below 23.33: not in the best 1/3 of 3 earlier trials",
    )
    assert decide(scheduler, "high", 95, 31.0) == TrialScheduler.CONTINUE


def test_of_many_trials_the_second_at_a_rung_goes_on_only_if_it_is_better():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    assert decide(scheduler, "first", 95, 10.0) == TrialScheduler.CONTINUE
    assert decide(scheduler, "second", 95, 9.0) == TrialScheduler.STOP
    reason = scheduler.outcomes["ray-second"].reason
    assert reason.endswith("below 10: not in the best 1/3 of 1 earlier trial")
    assert decide(scheduler, "third", 95, 11.0) == TrialScheduler.CONTINUE


def test_of_few_trials_the_first_three_at_a_rung_go_on():
    scheduler = GuardedScheduler(replace(BUDGET, trials=23), halving=True)
    for i in range(3):
        assert decide(scheduler, f"t{i}", 95, -10.0 * i) == TrialScheduler.CONTINUE
    assert decide(scheduler, "t3", 95, -30.0) == TrialScheduler.STOP


def test_a_trial_is_compared_once_at_each_rung():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i in range(6):
        decide(scheduler, f"t{i}", 95, 10.0 + i)
    assert decide(scheduler, "t5", 140, -50.0) == TrialScheduler.CONTINUE
    for i in range(3):
        decide(scheduler, f"t{i}", 280, 0.0)
    assert decide(scheduler, "t5", 280, -50.0) == TrialScheduler.STOP


@pytest.mark.parametrize("verdict", ["collapsed", "diverged"])
def test_an_unhealthy_trial_is_stopped_at_once_with_its_reason(verdict):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    result = report(10, verdict=verdict, reason="because")
    assert scheduler.on_trial_result(None, trial("t"), result) == TrialScheduler.STOP
    scheduler.on_trial_complete(None, trial("t"), result)
    assert scheduler.outcomes["ray-t"] == Outcome(verdict, "because")


def test_a_collapsed_trial_leaves_no_mark_on_the_rungs():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i in range(5):
        # It passes a rung while the verdict is still open.
        decide(scheduler, f"c{i}", 95, 1000.0, verdict="undetermined")
        decide(scheduler, f"c{i}", 140, 1000.0, verdict="collapsed", reason="one image")
    # With the scores of the collapsed ones this trial would be far below the cut.
    assert decide(scheduler, "sound", 95, 1.0) == TrialScheduler.CONTINUE


def test_a_slice_between_two_reports_never_stops_a_trial():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    assert scheduler.on_trial_result(None, trial("t"), report(500)) == TrialScheduler.CONTINUE


def test_a_trial_that_ends_by_itself_is_completed_and_counts_at_its_rung():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i in range(3):
        scheduler.on_trial_complete(None, trial(f"t{i}"), report(900, 50.0 + i, done=True))
    assert scheduler.outcomes["ray-t0"] == Outcome("completed")
    assert decide(scheduler, "late", 811, 0.0) == TrialScheduler.STOP


def test_a_trial_that_collapsed_in_its_last_report_is_not_completed():
    scheduler = GuardedScheduler(BUDGET, halving=False)
    last = report(900, 1.0, done=True, verdict="collapsed", reason="coverage 0")
    scheduler.on_trial_complete(None, trial("t"), last)
    assert scheduler.outcomes["ray-t"] == Outcome("collapsed", "coverage 0")


def test_a_trial_that_the_runs_end_cut_short_has_no_outcome():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    scheduler.on_trial_complete(None, trial("t"), report(95, 1.0, done=False))
    assert not scheduler.outcomes


def test_replicas_are_never_stopped_for_their_score():
    scheduler = GuardedScheduler(BUDGET, halving=False)
    decisions = {decide(scheduler, f"t{i}", 300, -100.0 * i) for i in range(20)}
    assert decisions == {TrialScheduler.CONTINUE}


def test_replayed_reports_rebuild_the_rungs_of_an_earlier_session():
    before, after = (GuardedScheduler(BUDGET, halving=True) for _ in range(2))
    reports = [(f"t{i}", updates, 10.0 * i) for updates in (95, 280) for i in range(6)]
    for name, updates, valid_ll in reports:
        decide(before, name, updates, valid_ll)
    after.replay(reports)
    for scheduler in (before, after):
        assert decide(scheduler, "new", 95, 20.0) == TrialScheduler.STOP
    assert before.outcomes["ray-new"] == after.outcomes["ray-new"]


def test_a_trial_whose_own_code_is_at_fault_is_not_retried(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for kind, may_retry in (("ConfigError", False), ("OutsideError", True)):
        text = f"Failure # 1\nray::train()\ngansearch.errors.{kind}: my_loop.py:train: it failed\n"
        assert scheduler.may_retry(failed("t", text)) is may_retry


def test_a_retried_trial_has_not_failed(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    lost = failed("t")
    scheduler.on_trial_error(None, lost)
    assert scheduler.outcomes["ray-t"] == Outcome("failed", "the worker was lost")
    scheduler.on_trial_add(None, lost)
    scheduler.on_trial_complete(None, lost, report(900, 50.0, done=True))
    assert scheduler.outcomes["ray-t"] == Outcome("completed")


def test_a_trial_that_lost_its_worker_keeps_its_place_on_the_rungs(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    for i in range(4):
        decide(scheduler, f"t{i}", 280, 40.0 - i)
    lost = failed("t0")
    scheduler.on_trial_error(None, lost)
    scheduler.on_trial_add(None, lost)
    # It has passed rung 270 and is not compared there again, though it has fallen since.
    assert decide(scheduler, "t0", 300, -50.0) == TrialScheduler.CONTINUE
    # And it counts there for others: without it the cut would be 38.33.
    assert decide(scheduler, "new", 280, 38.5) == TrialScheduler.STOP
    assert "below 39: " in scheduler.outcomes["ray-new"].reason


def test_a_collapsed_trial_that_tune_retries_gets_a_new_verdict(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    dead = {"verdict": "collapsed", "reason": "one image"}
    decide(scheduler, "t", 95, 1.0, **dead)
    lost = failed("t")
    scheduler.on_trial_error(None, lost)
    scheduler.on_trial_add(None, lost)
    assert "ray-t" not in scheduler.outcomes
    assert decide(scheduler, "t", 95, 1.0, **dead) == TrialScheduler.STOP
    assert scheduler.outcomes["ray-t"] == Outcome("collapsed", "one image")


@pytest.mark.parametrize(
    "last_line",
    [
        "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory.",
        "OSError: [Errno 28] No space left on device",
        "torch.AcceleratorError: CUDA error: out of memory",
        "ray.exceptions.ActorDiedError: The actor died unexpectedly before finishing this task.",
    ],
)
def test_a_trial_whose_machine_failed_has_neither_collapsed_nor_diverged(last_line, failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    decide(scheduler, "t", 95, 1.0, verdict="undetermined", reason="coverage 0.00")
    scheduler.on_trial_error(None, failed("t", f"Traceback:\n{last_line}\n", Trial.RUNNING))
    outcome = scheduler.outcomes["ray-t"]
    assert outcome.status == "failed"
    assert last_line.rstrip(".") in outcome.reason
    assert outcome.reason.startswith("out of memory: ") == ("emory" in last_line)


LACK = "errors.ShortOfMemoryError: out of memory: GPU: no room for 2.00 GiB more; lower the widths."


def test_a_trial_without_memory_has_one_more_attempt_and_fails_with_the_reason(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    lacking = failed("t", LACK)
    scheduler.on_trial_error(None, lacking)
    scheduler.on_trial_add(None, lacking)
    assert "ray-t" not in scheduler.outcomes
    assert lacking.max_failures == lacking.num_failures
    assert TrialSpec.from_tune(lacking.config).is_alone
    lacking.status = Trial.RUNNING
    scheduler.on_trial_error(None, lacking)
    reason = LACK.partition("Error: ")[2] + " Alone there, it ran out too."
    assert scheduler.outcomes["ray-t"] == Outcome("failed", reason)


def test_a_trial_whose_gpu_is_lost_has_no_outcome_so_that_it_goes_on_when_it_is_resumed(failed):
    scheduler = GuardedScheduler(BUDGET, halving=True)
    lost = failed("t", "x.GpuLostError: GPU lost: a worker can't use it: it fell off the bus")
    for status in (Trial.ERROR, Trial.RUNNING):  # retried, and given up
        lost.status = status
        scheduler.on_trial_error(None, lost)
        assert scheduler.failures["ray-t"].kind == "gpu"
        assert "ray-t" not in scheduler.outcomes


def test_a_worker_that_the_kernel_killed_for_memory_is_told_from_one_that_was_lost(
    monkeypatch, failed
):
    monkeypatch.setattr("gansearch.tune.scheduler.n_oom_kills", lambda: 3)
    scheduler = GuardedScheduler(BUDGET, halving=True)
    died = "The actor died unexpectedly before finishing this task.\n\tip: 192.0.2.7\nIt is dead."
    monkeypatch.setattr("gansearch.tune.scheduler.n_oom_kills", lambda: 4)
    # Its own words say what it lacked: the kernel has killed another.
    scheduler.on_trial_error(None, failed("lacking", LACK))
    for name in ("killed", "lost"):
        scheduler.on_trial_error(None, failed(name, died))
    reasons = [scheduler.outcomes[f"ray-{name}"].reason for name in ("killed", "lost")]
    assert reasons[0].startswith("out of memory: host: the worker was lost while the kernel's ")
    assert reasons[1] == "It is dead."


class Waiting:
    """What the scheduler asks of a Tune trial that waits, runs or has ended."""

    def __init__(self, trial_id, status=Trial.PENDING):
        self.trial_id, self.status = trial_id, status
        self.config = spec(trial_id=trial_id).to_tune()


def test_trials_start_in_their_order_paused_ones_last_and_ended_ones_never():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    trials = [Waiting("ended"), Waiting("paused"), Waiting("first"), Waiting("second")]
    for waiting in trials:
        scheduler.on_trial_add(None, waiting)
    ended, paused, first, second = trials
    ended.status, paused.status = Trial.TERMINATED, Trial.PAUSED
    for chosen in (first, second, paused):
        assert scheduler.choose_trial_to_run(None) is chosen
        chosen.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is None
    # Tried again after its worker was lost, also where it had been given up in between.
    first.status = Trial.ERROR
    assert scheduler.choose_trial_to_run(None) is None
    first.status = Trial.PENDING
    scheduler.on_trial_add(None, first)
    scheduler.on_trial_add(None, first)
    assert scheduler.choose_trial_to_run(None) is first
    first.status = Trial.RUNNING
    assert scheduler.choose_trial_to_run(None) is None


def test_choosing_a_trial_looks_at_none_that_has_ended():
    scheduler = GuardedScheduler(BUDGET, halving=True)
    looked_at = []

    class Ended:
        trial_id = "ray-ended"

        @property
        def status(self):
            looked_at.append(self)
            return Trial.TERMINATED

    for _ in range(100):
        scheduler.on_trial_add(None, Ended())
        scheduler.choose_trial_to_run(None)
    assert len(looked_at) == 100
