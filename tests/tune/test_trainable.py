"""What a trial's worker sends to the driver, and when, without Ray running."""

from dataclasses import replace
from itertools import repeat
from types import SimpleNamespace

import pytest

from gansearch.scoring.verdict import Verdict
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune import trainable as module
from gansearch.tune.trainable import GanTrial
from tests.written_runs import spec, step

SIGN = step(10)


class Slices(GanTrial):
    """A trial whose slices of 2 s have known results; the clock is its own."""

    def setup(self, config):
        assert TrialSpec.from_tune(config).trial_id
        self.seconds, self.is_stopping = 0.0, False
        self._plan = SimpleNamespace(slice_seconds=2.0, sign_seconds=2.0)
        self._runner = self

    def of(self, *results, sign_seconds=2.0):
        self._slices = iter(results)
        self._plan.sign_seconds = sign_seconds
        self._runner = SimpleNamespace(step=self.train_for_a_slice)
        return self

    def train_for_a_slice(self):
        self.seconds += 2.0
        return next(self._slices)


@pytest.fixture
def trial(monkeypatch):
    made = Slices(config=spec().to_tune())
    clock = SimpleNamespace(monotonic=lambda: made.seconds)
    monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(module, "is_stopping", lambda _plan: made.is_stopping)
    return made


def test_a_result_is_the_step_and_what_the_driver_reads_beside_it(trial):
    trial.of(step(100, 1.5), step(200, 1.5))
    results = [trial.train() for _ in range(2)]
    assert [StepResult.from_tune(result).updates for result in results] == [100, 200]
    assert [result["training_iteration"] for result in results] == [1, 2]
    for result in results:
        assert result["done"] is False
        assert result["node_ip"] and result["pid"] and result["time_total_s"] >= 0
        # Neither the configuration, which the driver has, nor what Tune adds for its own tables.
        names = {"step", "done", "training_iteration", "node_ip", "pid", "time_total_s"}
        assert set(result) == names


def test_every_slice_ends_with_a_sign_where_few_trials_share_a_driver(trial):
    trial.of(SIGN, SIGN)
    assert [StepResult.from_tune(trial.step()) for _ in range(2)] == [SIGN, SIGN]
    assert trial.seconds == 4


def test_a_trial_of_many_tells_its_progress_rarely(trial):
    trial.of(*repeat(SIGN, 100), sign_seconds=100.0)
    for n in (1, 2):
        assert StepResult.from_tune(trial.step()) == SIGN
        assert trial.seconds == 98 * n


@pytest.mark.parametrize(
    "due",
    [
        step(300, 1.5),
        replace(SIGN, done=True),
        replace(SIGN, note="something of interest"),
        replace(SIGN, unwritable="the disk is full"),
        replace(SIGN, verdict=Verdict("diverged", "a loss is not finite")),
    ],
)
def test_what_the_driver_must_know_does_not_wait_for_a_sign(trial, due):
    trial.of(SIGN, SIGN, due, sign_seconds=100.0)
    assert StepResult.from_tune(trial.step()) == due
    assert trial.seconds == 6


def test_a_trial_returns_at_the_end_of_its_slice_when_the_run_stops(trial):
    trial.of(*repeat(SIGN, 100), sign_seconds=100.0)
    trial.is_stopping = True
    assert StepResult.from_tune(trial.step()) == SIGN
    assert trial.seconds == 2
