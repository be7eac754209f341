"""A trial's work from report to report, and what it leaves for the next worker."""

import pytest

from gansearch.config import Budget, TrialConfig
from gansearch.data import load_dataset
from gansearch.results import RunFolder
from gansearch.trial_plan import TrialPlan
from gansearch.work import Work, Workplace

CONFIG = TrialConfig(
    generator_widths=[16], discriminator_widths=[16], batch_size=20, noise_dim=4
).to_dict()
TRIAL = {"trial_id": "t00000", "number": 0, "phase": "search", "seed": 3, "config": CONFIG}


@pytest.fixture
def place(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    budget = Budget(max_updates=400, reports=4, grace=0.25)
    return Workplace.prepare(load_dataset("ring"), TrialPlan(folder.path, budget))


def reports(work, n):
    found = []
    while len(found) < n:
        result = work.step()
        if result["is_report"]:
            found.append(result)
    return found


def test_a_trial_that_goes_on_tells_again_all_that_it_has_reported(place):
    work = Work(TRIAL, place)
    told = reports(work, 3)
    work.stop()
    again = Work(TRIAL, place)
    assert [again.step() for _ in range(3)] == told  # some were perhaps not on disk yet
    (last,) = reports(again, 1)
    assert last["done"]
    assert last["updates"] == 400


def test_a_report_is_told_again_after_every_resume(place):
    work = Work(TRIAL, place)
    told = reports(work, 1)
    work.stop()
    again = Work(TRIAL, place)
    again.stop()  # before anybody has heard of it
    assert Work(TRIAL, place).step() == told[0]
