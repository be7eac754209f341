"""The pictures that a trial draws of its samples, as it trains and at its end."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

from gansearch.budget import Budget
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError
from gansearch.figures.strip_layout import strip_layout
from gansearch.runs.folder import RunFolder
from gansearch.scoring.evaluation import Evaluator
from gansearch.system import pacing as pacing_module
from gansearch.system.pacing import Pacing
from gansearch.trial import pictures as pictures_module
from gansearch.trial.pictures import TrialPictures
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from tests.figures.pictures import ORANGE, dataset, has, images, pixels_of
from tests.trial.test_runner import CONFIG, TRIAL, reports

SLOW = Pacing(last=np.inf)  # never due


def trial_pictures(folder, data, pace=SLOW):
    return TrialPictures(folder / "t00000", data, dataclasses.replace(pace))


def drawn(folder):
    """The updates of the evaluations that a trial's strip shows."""
    return strip_layout((folder / "t00000" / "strip.png").read_bytes()).updates


@pytest.fixture
def process(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    budget = Budget(max_updates=400, reports=4, grace=0.25)
    return TrialProcess.prepare(load_dataset("ring"), TrialPlan(folder.path, {}, budget))


def models(process):
    return process.plan.folder / "models"


def test_the_first_evaluation_is_drawn_at_once_the_others_when_it_costs_little(tmp_path):
    found = trial_pictures(tmp_path, dataset())
    for updates in (10, 20, 30):
        found.add(images(8), updates)
    assert drawn(tmp_path) == (10,)
    found.draw_strip()
    assert drawn(tmp_path) == (10, 20, 30)
    found.pace.last = -np.inf
    found.add(images(8), 40)
    assert drawn(tmp_path) == (10, 20, 30, 40)


def test_a_pace_waits_so_long_that_pictures_cost_below_one_per_cent(monkeypatch):
    now = iter([102.0, 401.9, 502.1])
    monkeypatch.setattr(pacing_module.time, "monotonic", lambda: next(now))
    pace = Pacing()
    pace.note(start=100.0)
    factor = pictures_module._PAYS_AFTER
    assert not pace.is_due(factor)  # 299.9 seconds after a picture that took 2
    assert pace.is_due(factor)


def test_trials_of_one_process_share_the_pace(process):
    first, second = (
        TrialRunner(dataclasses.replace(TRIAL, trial_id=name), process) for name in ("a", "b")
    )
    assert first._pictures.pace is second._pictures.pace is process.picture_pace


def test_a_trial_that_is_pruned_leaves_its_strip_and_no_generator(process):
    process.picture_pace.last = np.inf
    runner = TrialRunner(TRIAL, process)
    reports(runner, 3)
    assert drawn(models(process)) == (100,)
    runner.close()  # another takes its place
    assert drawn(models(process)) == (100, 200, 300)
    assert [path.name for path in (models(process) / "t00000").iterdir()] == ["strip.png"]


def test_a_trial_that_continues_goes_on_with_its_strip(process):
    runner = TrialRunner(TRIAL, process)
    reports(runner, 2)
    runner.stop()
    runner = TrialRunner(TRIAL, process)
    reports(runner, 4)
    assert drawn(models(process)) == (100, 200, 300, 400)


def test_a_trial_of_an_older_checkpoint_goes_on_with_as_many_samples_as_that_has(process):
    runner = TrialRunner(TRIAL, process)
    reports(runner, 2)
    runner._pictures.samples = [samples[:8] for samples in runner._pictures.samples]
    runner.stop()
    runner = TrialRunner(TRIAL, process)
    reports(runner, 3)
    runner.stop()
    runner = TrialRunner(TRIAL, process)
    reports(runner, 4)
    assert [len(samples) for samples in runner._pictures.samples] == [8] * 4
    assert drawn(models(process)) == (100, 200, 300, 400)


def test_a_trial_that_diverges_leaves_its_strip(process, monkeypatch):
    process.picture_pace.last = np.inf
    runner = TrialRunner(TRIAL, process)
    reports(runner, 2)

    def diverge(*_):
        raise DivergedError("not finite")

    monkeypatch.setattr(Evaluator, "evaluate", diverge)
    while (result := runner.step()).verdict is None:
        pass
    assert result.verdict.status == "diverged"
    assert drawn(models(process)) == (100, 200)


def test_a_picture_that_can_not_be_drawn_fails_no_trial_and_is_told_once(process, monkeypatch):
    def fail(*_):
        raise ValueError("no such colour")

    monkeypatch.setattr(pictures_module, "strip", fail)
    results = reports(TrialRunner(TRIAL, process), 4)
    assert results[-1].done
    notes = [result.note for result in results if result.note]
    assert notes == ["t00000: strip.png was not drawn: no such colour"]
    assert (models(process) / "t00000" / "generator.safetensors").exists()


def test_at_its_end_points_are_drawn_over_the_training_points(process):
    reports(TrialRunner(dataclasses.replace(TRIAL, config=CONFIG), process), 4)
    with Image.open(models(process) / "t00000" / "nearest.png") as picture:
        assert picture.width == 364


def test_at_its_end_sixteen_images_stand_beside_their_nearest_training_images(tmp_path):
    grey = dataclasses.replace(dataset(), train=np.full((4, 64), 100, np.uint8))
    trial_pictures(tmp_path, grey).draw_nearest(images(40))
    with Image.open(tmp_path / "t00000" / "nearest.png") as picture:
        assert len(pixels_of(picture, ORANGE)) == 16 * (52**2 - 48**2)
        assert has(picture, (100, 100, 100))


def test_of_huge_training_data_some_images_are_compared_and_the_picture_says_so(
    tmp_path, monkeypatch
):
    found = []
    grid = pictures_module.sample_grid
    monkeypatch.setattr(
        pictures_module, "sample_grid", lambda *a, **b: found.append(b) or grid(*a, **b)
    )
    monkeypatch.setattr(pictures_module, "_MAX_VALUES", 2 * 64)
    train = np.repeat(np.arange(5, dtype=np.uint8)[:, None], 64, axis=1)
    trial_pictures(tmp_path, dataclasses.replace(dataset(), train=train)).draw_nearest(images(3))
    assert found[0]["n_compared"] == 2
    assert set(np.unique(found[0]["nearest"] * 255).round()) <= {0, 3}
    assert (tmp_path / "t00000" / "nearest.png").exists()
