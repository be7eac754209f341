"""A trial's work from report to report, and what it leaves for the next worker."""

import pytest

from gansearch import work as module
from gansearch.config import Budget, TrialConfig
from gansearch.data import load_dataset
from gansearch.errors import ShortOfMemoryError
from gansearch.results import RunFolder
from gansearch.training import DivergedError, Training
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


def no_memory(*_, **__):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


def test_lack_of_memory_in_a_step_is_raised_with_numbers(place, monkeypatch):
    work = Work(TRIAL, place)
    reports(work, 1)
    monkeypatch.setattr(Training, "advance", no_memory)
    with pytest.raises(ShortOfMemoryError, match="host: no room for 40000000000 bytes more; "):
        work.step()
    # What the failure has left is not saved in place of what was sound.
    work.stop()
    assert not RunFolder(place.plan.folder).checkpoint_path("t00000").exists()


def test_lack_of_memory_at_the_beginning_is_raised_where_tune_tries_again(place, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(module, "Training", no_memory)
        work = Work(TRIAL, place)
    with pytest.raises(ShortOfMemoryError, match="out of memory: host: "):
        work.step()
    work.stop()
    assert reports(Work(TRIAL, place), 1)[0]["updates"] == 100


def test_other_errors_are_raised_as_they_are(place, monkeypatch):
    work = Work(TRIAL, place)
    monkeypatch.setattr(Training, "advance", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        work.step()


def test_that_a_checkpoint_was_damaged_is_told_once(place):
    work = Work(TRIAL, place)
    reports(work, 1)
    work.stop()
    path = place.plan.folder / "checkpoints" / "t00000.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    again = Work(TRIAL, place)
    (told,) = reports(again, 1)
    assert "begins again from its start" in told["note"]
    again.stop()
    assert "note" not in Work(TRIAL, place).step()  # the same report, told again


def test_an_end_that_nobody_has_heard_of_is_told_again(place):
    work = Work(TRIAL, place)
    told = reports(work, 4)
    assert told[-1]["done"]
    work.stop()
    again = Work(TRIAL, place)
    assert [again.step() for _ in range(4)] == told


def test_a_replicas_end_is_told_again_with_its_scores(place):
    work = Work(TRIAL | {"phase": "replica"}, place)
    told = reports(work, 4)
    assert told[-1]["done"]
    work.stop()
    again = Work(TRIAL | {"phase": "replica"}, place)
    assert [again.step() for _ in range(4)] == told


def test_a_divergence_that_nobody_has_heard_of_is_told_again(place, monkeypatch):
    work = Work(TRIAL, place)
    told = reports(work, 1)
    with monkeypatch.context() as patched:
        patched.setattr(Training, "advance", diverge)
        told.append(work.step())
    work.stop()
    again = Work(TRIAL, place)
    assert [again.step() for _ in range(2)] == told
    assert told[-1]["verdict"] == "diverged"


def diverge(*_, **__):
    raise DivergedError("d_loss not finite by update 120")
