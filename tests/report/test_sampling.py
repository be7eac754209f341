"""Samples of a run, and what lies between them: pictures, arrays, and what can't be asked for."""

import dataclasses
import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.fingerprint import Fingerprint
from gansearch.data.registry import load_again, load_dataset
from gansearch.errors import BadInputError, DataError, ResultsError, SamplesError
from gansearch.grouping.group import Group
from gansearch.report.sampling import picture_of_samples, write_samples
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import load_generator
from gansearch.scoring.collapse import Collapse
from gansearch.scoring.verdict import Verdict
from gansearch.training.training import AdversarialTraining
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from tests.saved_generators import no_data, save
from tests.written_runs import described

SMALL = {"generator_widths": (16,), "discriminator_widths": (16,), "batch_size": 20}
POINTS = {"generator_output": "linear", "dropout_input": 0.0}


def run_of(tmp_path, dataset="digits", **config):
    """Return a run's folder with the generator of one trial, t00000."""
    torch.set_num_threads(1)
    folder = RunFolder.create(tmp_path, "some")
    folder.write_run(described(name="some"))
    training = AdversarialTraining(TrialConfig(**SMALL | config), load_dataset(dataset), seed=5)
    training.advance(30)
    save(
        folder.model_dir("t00000"),
        training.generator,
        training.config,
        dataset=dataset,
        seed=training.sample_seed,
    )
    return folder


@pytest.fixture
def digits_run(tmp_path):
    return run_of(tmp_path)


def samples_of(folder):
    return load_generator(folder.model_dir("t00000"), no_data)


def test_samples_are_the_first_that_were_scored(digits_run, tmp_path):
    out = tmp_path / "x.npy"
    assert write_samples(digits_run, out, trial_id="t00000") == "64 unpicked samples of t00000"
    np.testing.assert_array_equal(np.load(out), samples_of(digits_run).generator.samples(1000)[:64])


def test_an_array_between_samples_has_rows_and_steps(digits_run, tmp_path):
    out = tmp_path / "x.npy"
    told = write_samples(digits_run, out, trial_id="t00000", n=3, n_steps=6)
    assert told == "3 rows between unpicked samples of t00000"
    found, samples = np.load(out), samples_of(digits_run).generator.samples(6)
    assert found.shape == (3, 6, 64)
    np.testing.assert_array_equal(found[:, [0, -1]], samples.reshape(3, 2, 64))


def test_pictures_are_written_beside_nothing_else(digits_run, tmp_path):
    for options in ({}, {"nearest": True}, {"n_steps": 4}):
        write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", n=4, **options)
        with Image.open(tmp_path / "x.png") as picture:
            assert picture.format == "PNG"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some", "x.png"]


def test_the_neighbour_of_a_copied_training_image_is_that_image(digits_run, monkeypatch):
    digits = load_dataset("digits")
    saved = samples_of(digits_run)
    copies = digits.to_float(digits.train[[7, 300, 1100]])
    monkeypatch.setattr(type(saved.generator), "samples", lambda _self, n: copies[:n])
    picture = np.asarray(picture_of_samples(saved, digits, 3, nearest=True))
    for i in range(3):
        left = 8 + i * (2 * 52 + 8)
        copied = picture[10:58, left + 2 : left + 50]
        assert np.ptp(copied) > 100
        np.testing.assert_array_equal(picture[10:58, left + 54 : left + 102], copied)


@pytest.mark.parametrize("dataset", ["ring", "gaussian"])
@pytest.mark.parametrize("n_steps", [None, 5])
def test_points_are_drawn_too(tmp_path, dataset, n_steps):
    folder = run_of(tmp_path, dataset, **POINTS)
    write_samples(folder, tmp_path / "x.png", trial_id="t00000", n_steps=n_steps)
    with Image.open(tmp_path / "x.png") as picture:
        assert picture.size == ((720, 720) if dataset == "ring" else (720, 480))


def test_points_have_no_nearest_image(tmp_path):
    folder = run_of(tmp_path, "ring", **POINTS)
    with pytest.raises(BadInputError) as error:
        write_samples(folder, tmp_path / "x.png", trial_id="t00000", nearest=True)
    assert str(error.value) == (
        "--nearest: ring has points, which are drawn over the training points anyway. Leave the "
        "flag out."
    )


@pytest.mark.parametrize(
    ("name", "options", "other"),
    [("x.png", {"n_steps": 5}, "--interpolate"), ("x.npy", {}, "--out x.npy")],
)
def test_neighbours_stand_beside_samples_in_a_picture_only(
    digits_run, tmp_path, monkeypatch, name, options, other
):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BadInputError) as error:
        write_samples(digits_run, tmp_path.__class__(name), nearest=True, **options)
    assert str(error.value) == (
        f"--nearest, {other}: they exclude each other. Neighbours are drawn beside samples, "
        "in a .png picture. Omit one of them."
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"n": 1001}, "--n 1001: 1,001 images."),
        ({"n": 30, "n_steps": 40}, "--n 30 --interpolate 40: 1,200 images."),
    ],
)
def test_more_images_than_can_be_looked_at_are_refused(digits_run, tmp_path, options, told):
    with pytest.raises(BadInputError) as error:
        write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", **options)
    assert str(error.value) == (
        f"{told} A picture shows 1,000 at most. Write them as an array: --out samples.npy."
    )


def test_more_samples_than_memory_holds_are_refused_before_any_is_made(digits_run, tmp_path):
    with pytest.raises(BadInputError) as error:
        write_samples(digits_run, tmp_path / "x.npy", trial_id="t00000", n=10**12)
    assert str(error.value) == (
        "--n 1000000000000: 238,419 GiB. Samples are generated in memory, 4 GiB at most. "
        "Ask for fewer."
    )


def test_an_unknown_trial_is_answered_with_the_nearest(digits_run, tmp_path):
    with pytest.raises(ResultsError) as error:
        write_samples(digits_run, tmp_path / "x.png", trial_id="t0000")
    assert str(error.value) == (
        f"--trial t0000: no such trial in {digits_run.path}. Did you mean t00000?"
    )


def test_a_run_without_trials_has_none_to_sample_from(tmp_path):
    folder = RunFolder.create(tmp_path, "some")
    folder.write_run(described(name="some"))
    with pytest.raises(ResultsError, match=r"no such trial in .*/some\. It has none yet\."):
        write_samples(folder, tmp_path / "x.png", trial_id="t00000")
    with pytest.raises(ResultsError, match="no trial has been completed"):
        write_samples(folder, tmp_path / "x.png")


def test_what_was_there_stays_where_nothing_can_be_written(digits_run, tmp_path):
    (tmp_path / "x.png").mkdir()
    with pytest.raises(BadInputError, match=r"--out .*/x\.png: can't be written: Is a directory"):
        write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", n=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["some", "x.png"]


def test_the_data_lies_where_the_run_found_it(digits_run, tmp_path, monkeypatch):
    asked = []

    def loaded(name, former, data_dir, options, run):
        asked.append((former, data_dir))
        return load_dataset(name), data_dir or former

    monkeypatch.setattr("gansearch.report.sampling.load_again", loaded)
    digits_run.write_run(described(name="some", settings={"data_dir": str(tmp_path)}))
    write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", n=2)
    elsewhere = tmp_path / "elsewhere"
    write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", n=2, data_dir=elsewhere)
    assert asked == [(tmp_path, None), (tmp_path, elsewhere)]


def test_a_folder_of_data_for_an_array_that_needs_none_is_refused(digits_run, tmp_path):
    out = tmp_path / "x.npy"
    with pytest.raises(BadInputError, match=r"^--data-dir .*: the array .* without the data"):
        write_samples(digits_run, out, trial_id="t00000", n=2, data_dir=tmp_path)
    assert not out.exists()


@pytest.fixture
def changed_digits(digits_run, monkeypatch):
    """The run of a data set of digits that has since been replaced by one of 10x10 images."""
    digits = load_dataset("digits")
    digits_run.write_run(described(name="some", data=Fingerprint.of(digits).to_dict()))
    larger = {
        split: np.pad(getattr(digits, split).reshape(-1, 8, 8), ((0, 0), (1, 1), (1, 1)))
        for split in ("train", "valid", "test")
    }
    flat = {split: images.reshape(-1, 100) for split, images in larger.items()}
    changed = dataclasses.replace(digits, shape=(10, 10, 1), **flat)
    monkeypatch.setattr("gansearch.report.sampling.load_again", lambda *_, **__: (changed, None))
    return digits_run


def test_neighbours_are_not_taken_from_other_data_than_the_runs(changed_digits, tmp_path):
    out = tmp_path / "x.png"
    with pytest.raises(DataError, match=r"train: 1,197 examples of 8x8x1 then") as error:
        write_samples(changed_digits, out, trial_id="t00000", n=2, nearest=True)
    assert f"gansearch sample {changed_digits.path} --data-dir DIR" in str(error.value)
    assert not out.exists()


def test_a_picture_of_pixels_alone_is_the_same_whatever_became_of_the_data(
    changed_digits, tmp_path, monkeypatch
):
    pictures = [tmp_path / "changed.png", tmp_path / "same.png"]
    write_samples(changed_digits, pictures[0], trial_id="t00000", n=2)
    monkeypatch.setattr("gansearch.report.sampling.load_again", load_again)
    write_samples(changed_digits, pictures[1], trial_id="t00000", n=2)
    assert pictures[0].read_bytes() == pictures[1].read_bytes()


def test_a_familys_generator_is_not_built_on_other_data_than_the_runs(
    changed_digits, tmp_path, monkeypatch
):
    monkeypatch.setattr("gansearch.report.sampling.load_generator", lambda _, load: load("digits"))
    with pytest.raises(DataError, match="isn't the one that this run learned from"):
        write_samples(changed_digits, tmp_path / "x.npy", trial_id="t00000", n=2)


def worker(folder, dataset, trial):
    """A trial's worker, without Ray."""
    plan = TrialPlan(folder, {}, Budget(max_updates=200, reports=4))
    return TrialRunner(trial, TrialProcess.prepare(dataset, plan))


def ended(trial):
    """Train to the end of a trial, and return its results."""
    results = []
    while not results or not results[-1].done:
        results.append(trial.step())
    return results


def line_trial(trial_id, phase="search", **values):
    config = TrialConfig(**SMALL | POINTS | {"noise_dim": 1} | values).to_dict()
    return TrialSpec(trial_id, 0, phase, seed=5, config=config)


def test_a_trial_on_a_line_draws_its_game_the_same_after_a_restart(tmp_path):
    line = load_dataset("gaussian")
    whole = worker(tmp_path, line, line_trial("whole"))
    ended(whole)
    cut = worker(tmp_path, line, line_trial("cut"))
    cut.step()
    cut.step()
    cut.stop()
    resumed = worker(tmp_path, line, line_trial("cut"))
    ended(resumed)
    pictures = [(tmp_path / "models" / name / "game.png") for name in ("whole", "cut")]
    assert pictures[0].read_bytes() == pictures[1].read_bytes()
    for path in (tmp_path / "models").glob("*/*"):
        assert path.name in (
            *("game.png", "strip.png", "nearest.png", "generator.safetensors", "config.json"),
            "discriminator_outputs.npy",
        )
    assert json.loads((pictures[0].parent / "config.json").read_text())["dataset"] == "gaussian"


def test_a_failure_in_the_middle_leaves_the_last_checkpoint_as_the_state(tmp_path, monkeypatch):
    """A failing chunk has counted iterations whose weights are lost."""
    budget = Budget(max_updates=2000, reports=2)
    # However slow the machine, a step goes on to its report.
    plan = TrialPlan(tmp_path, {}, budget, slice_seconds=300.0, n_slots=2)
    process = TrialProcess.prepare(load_dataset("gaussian"), plan)
    advance, calls = Group.advance, []

    def failing(self):
        calls.append(1)
        if len(calls) == 5:
            raise RuntimeError("the machine's fault")
        advance(self)

    trial = line_trial("t")
    runner = TrialRunner(trial, process)
    monkeypatch.setattr(Group, "advance", failing)
    with pytest.raises(RuntimeError, match="the machine's fault"):
        runner.step()
    runner.stop()
    assert not RunFolder(tmp_path).checkpoint_path("t").exists()
    again = TrialRunner(trial, process)
    assert ended(again)[-1].updates == 2000
    process.engine.close()


@pytest.mark.parametrize(("least_grace", "status"), [(0, "collapsed"), (1000, "sound")])
def test_a_trial_of_a_search_that_has_collapsed_by_its_end_is_not_completed(
    tmp_path, monkeypatch, least_grace, status
):
    monkeypatch.setattr("gansearch.trial.runner.LEAST_UPDATES", least_grace)
    monkeypatch.setattr("gansearch.scoring.health._N_EVALUATIONS", 1000)
    rates = {"generator_lr": 1e-9, "discriminator_lr": 1e-9, "generator_init_range": 1e-6}
    trial = line_trial("t", "search", **rates)
    last = ended(worker(tmp_path, load_dataset("gaussian"), trial))[-1]
    assert last.done
    assert (last.verdict.status == "collapsed") == (status == "collapsed")
    assert last.verdict.reason.startswith("the last samples") == (status == "collapsed")
    assert (tmp_path / "models" / "t" / "generator.safetensors").exists()


@pytest.mark.parametrize("status", ["sound", "undetermined"])
def test_at_its_end_a_trial_has_the_verdict_of_the_test_not_that_of_its_monitor(
    tmp_path, monkeypatch, status
):
    monkeypatch.setattr("gansearch.trial.runner.LEAST_UPDATES", 0)
    found = Collapse(Verdict(status, "because"), collapsed_p=0.5)
    monkeypatch.setattr("gansearch.scoring.evaluation.Evaluator.judge", lambda *_: found)
    last = ended(worker(tmp_path, load_dataset("gaussian"), line_trial("t", "search")))[-1]
    assert (last.verdict, last.evaluation.collapsed_p) == (found.verdict, 0.5)


@pytest.mark.parametrize(("least_grace", "status"), [(0, "collapsed"), (1000, "sound")])
def test_a_replica_that_has_collapsed_by_its_end_gets_no_score(
    tmp_path, monkeypatch, least_grace, status
):
    # However it ends, nets of so few updates are too young to be called collapsed.
    monkeypatch.setattr("gansearch.trial.runner.LEAST_UPDATES", least_grace)
    # A rate of nothing leaves all samples where they begin, at the data's mean.
    rates = {"generator_lr": 1e-9, "discriminator_lr": 1e-9, "generator_init_range": 1e-6}
    replica = line_trial("r", "replica", **rates)
    # Or it would not get to its end.
    monkeypatch.setattr("gansearch.scoring.health._N_EVALUATIONS", 1000)
    last = ended(worker(tmp_path, load_dataset("gaussian"), replica))[-1]
    assert (last.verdict.status == "collapsed") == (status == "collapsed")
    assert (last.final is not None) == (status == "sound")
    assert (tmp_path / "test_ll" / "r.parquet").exists() == (status == "sound")
    if status == "collapsed":
        assert last.verdict.reason.startswith("the last samples")


def test_a_replica_whose_second_stage_has_just_begun_is_too_young_to_have_collapsed(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("gansearch.trial.runner.LEAST_UPDATES", 150)  # of 200 updates
    monkeypatch.setattr("gansearch.scoring.health._N_EVALUATIONS", 1000)
    rates = {"generator_lr": 1e-9, "discriminator_lr": 1e-9, "generator_init_range": 1e-6}
    stages = {"pretraining": "upper_layers", "pretraining_updates": 100, "pretrained_layers": 0}
    of_one, of_two = rates | {"generator_widths": (1,)}, rates | {"generator_widths": (1,)} | stages
    for name, values, status in (("one", of_one, "collapsed"), ("two", of_two, "scored")):
        replica = line_trial(name, "replica", **values)
        last = ended(worker(tmp_path, load_dataset("gaussian"), replica))[-1]
        assert ("scored" if last.final else last.verdict.status) == status


def test_a_replica_with_unusable_samples_among_its_last_has_diverged(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise SamplesError("samples: 1 of 10,000 hold a NaN")

    monkeypatch.setattr("gansearch.trial.runner.final_score", refuse)
    trained = worker(tmp_path, load_dataset("gaussian"), line_trial("r", "replica"))
    last = trained.step()
    while last.updates < 200:  # of the last report
        last = trained.step()
    assert last.verdict.status == "diverged"
    assert last.verdict.reason == "by its end: samples: 1 of 10,000 hold a NaN"


def test_a_pretrained_trials_second_stage_brings_arrows_and_is_judged_anew(tmp_path):
    # One unit below the output: the first stage's noise has as many dimensions as the second's.
    stages = {"pretraining": "upper_layers", "pretraining_updates": 100, "pretrained_layers": 0}
    trial = line_trial("t00000", generator_widths=(1,), **stages)
    staged = worker(tmp_path, load_dataset("gaussian"), trial)
    ended(staged)
    arrows = {
        snapshot.updates: np.isfinite(snapshot.arrows).all()
        for snapshot in staged._observer._snapshots
    }
    assert arrows == {0: False, 50: False, 100: False, 150: True, 200: True}
    assert staged._health.state_dict()["stage_start"] == 100
    assert (tmp_path / "models" / "t00000" / "game.png").exists()


def test_a_trial_on_images_has_no_game(tmp_path):
    trial = dataclasses.replace(line_trial("t00000"), config=TrialConfig(**SMALL).to_dict())
    ended(worker(tmp_path, load_dataset("digits"), trial))
    assert (tmp_path / "models" / "t00000" / "strip.png").exists()
    assert not (tmp_path / "models" / "t00000" / "game.png").exists()


def test_data_of_ones_own_is_read_where_the_run_has_it_whatever_it_is_called(
    digits_run, tmp_path, monkeypatch
):
    """A `Dataset` that was given may have the name of a built-in one."""
    asked = []

    def loaded(name, *_, run):
        asked.append((name, run))
        return load_dataset("digits"), None

    monkeypatch.setattr("gansearch.report.sampling.load_again", loaded)
    space = described().space | {"dataset": "given"}
    digits_run.write_run(described(name="some", space=space))
    write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", n=2)
    assert asked == [("given", digits_run.path)]


def test_a_class_is_refused_where_generators_take_none(digits_run, tmp_path):
    message = (
        f"--label 7: the generators of {digits_run.path} take no class. Leave it out, or search a "
        "family that does: gansearch run --space digits-conditional."
    )
    with pytest.raises(BadInputError, match=f"^{re.escape(message)}$"):
        write_samples(digits_run, tmp_path / "x.png", trial_id="t00000", label="7")
