"""A trial's work from report to report, and what it leaves for the next worker."""

import dataclasses

import pytest
import ray
import torch
from safetensors.torch import load_file

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError, ShortOfMemoryError
from gansearch.runs.folder import RunFolder
from gansearch.scoring.collapse import CollapseTest
from gansearch.training.training import AdversarialTraining
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

CONFIG = TrialConfig(
    generator_widths=[16], discriminator_widths=[16], batch_size=20, noise_dim=4
).to_dict()
TRIAL = TrialSpec("t00000", 0, "search", seed=3, config=CONFIG)
REPLICA = dataclasses.replace(TRIAL, phase="replica")


@pytest.fixture
def process(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    budget = Budget(max_updates=400, reports=4, grace=0.25)
    return TrialProcess.prepare(load_dataset("ring"), TrialPlan(folder.path, {}, budget))


def reports(runner, n):
    found = []
    while len(found) < n:
        result = runner.step()
        if result.is_evaluation:
            found.append(result)
    return found


def test_a_trial_that_goes_on_tells_again_all_that_it_has_reported(process):
    runner = TrialRunner(TRIAL, process)
    told = reports(runner, 3)
    runner.stop()
    again = TrialRunner(TRIAL, process)
    assert [again.step() for _ in range(3)] == told  # some were perhaps not on disk yet
    (last,) = reports(again, 1)
    assert last.done
    assert last.updates == 400


@pytest.mark.parametrize("keep", [False, True])
def test_the_discriminator_is_stored_beside_the_generator_where_that_is_asked_for(process, keep):
    process = dataclasses.replace(
        process, plan=dataclasses.replace(process.plan, keep_discriminator=keep)
    )
    runner = TrialRunner(TRIAL, process)
    reports(runner, 4)
    path = RunFolder(process.plan.folder).model_dir("t00000") / "discriminator.safetensors"
    assert path.exists() == keep
    if keep:
        trained = runner._training.discriminator
        weights = load_file(path)
        # In the layout of torch's own layers.
        torch.testing.assert_close(weights["layers.0.weight"], trained.layers[0].weight.T)
        assert set(weights) == set(trained.state_dict())


def test_a_report_is_told_again_after_every_resume(process):
    runner = TrialRunner(TRIAL, process)
    told = reports(runner, 1)
    runner.stop()
    again = TrialRunner(TRIAL, process)
    again.stop()  # before anybody has heard of it
    assert TrialRunner(TRIAL, process).step() == told[0]


def test_a_process_of_trials_uses_the_classifier_that_the_driver_has_fitted(tmp_path, monkeypatch):
    digits = load_dataset("digits")
    labels = dataclasses.replace(digits.labels, train=digits.labels.train[:300])
    small = dataclasses.replace(digits, train=digits.train[:300], labels=labels)
    no_folder = tmp_path / "file"
    no_folder.touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(no_folder))  # so that none can be kept
    test = CollapseTest(small)
    test.prepare(100)
    sent, its_test = ray.cloudpickle.loads(ray.cloudpickle.dumps((small, test)))
    monkeypatch.setattr("gansearch.scoring.classifier._fitted", None)
    plan = TrialPlan(RunFolder.create(tmp_path, "run").path, {}, Budget())
    evaluator = TrialProcess.prepare(sent, plan, collapse_test=its_test).evaluator
    some = small.to_float(digits.valid)[:200]
    found = evaluator.collapse_test.n_classes_effective(some)
    assert found == test.n_classes_effective(some) > 8
    with pytest.raises(TypeError, match="NoneType"):
        TrialProcess.prepare(sent, plan).evaluator.collapse_test.prepare(100)


def test_the_weights_are_scored_beside_their_average_at_every_report_and_at_the_end(
    process, monkeypatch
):
    # So few updates on so few points may end collapsed, without a final score.
    monkeypatch.setattr("gansearch.trial.runner._judged_at_its_end", lambda result, *_: result)
    config = CONFIG | {"generator_output": "linear", "init": "glorot"}
    averaged = config | {"generator_ema": 0.99}
    results, plain = (
        reports(TrialRunner(dataclasses.replace(REPLICA, config=each), process), 4)
        for each in (averaged, config)
    )
    for ours, theirs in zip(results, plain, strict=True):
        assert ours.evaluation.valid_ll_raw == theirs.evaluation.valid_ll
        assert ours.evaluation.coverage_raw == theirs.evaluation.coverage
        assert ours.evaluation.valid_ll != theirs.evaluation.valid_ll
        assert theirs.evaluation.valid_ll_raw is None
    assert results[-1].final["test_ll_raw"] == plain[-1].final["test_ll"]
    assert results[-1].final["coverage_raw"] == plain[-1].final["coverage"]
    assert plain[-1].final["test_ll_raw"] is None


def no_memory(*_, **__):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:121] err == 0. DefaultCPUAllocator: can't allocate memory: "
        "you tried to allocate 40000000000 bytes. Error code 12 (Cannot allocate memory)"
    )


def test_lack_of_memory_in_a_step_is_raised_with_numbers(process, monkeypatch):
    runner = TrialRunner(TRIAL, process)
    reports(runner, 1)
    monkeypatch.setattr(AdversarialTraining, "advance", no_memory)
    with pytest.raises(ShortOfMemoryError, match="host: no room for 40000000000 bytes more; "):
        runner.step()
    # What the failure has left is not saved in place of what was sound.
    runner.stop()
    assert not RunFolder(process.plan.folder).checkpoint_path("t00000").exists()


def test_lack_of_memory_at_the_beginning_is_raised_where_tune_tries_again(process, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr("gansearch.training.training.AdversarialTraining", no_memory)
        runner = TrialRunner(TRIAL, process)
    with pytest.raises(ShortOfMemoryError, match="out of memory: host: "):
        runner.step()
    runner.stop()
    assert reports(TrialRunner(TRIAL, process), 1)[0].updates == 100


def test_other_errors_are_raised_as_they_are(process, monkeypatch):
    runner = TrialRunner(TRIAL, process)
    monkeypatch.setattr(AdversarialTraining, "advance", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        runner.step()


def test_that_a_checkpoint_was_damaged_is_told_once(process):
    runner = TrialRunner(TRIAL, process)
    reports(runner, 1)
    runner.stop()
    path = process.plan.folder / "checkpoints" / "t00000.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    again = TrialRunner(TRIAL, process)
    (told,) = reports(again, 1)
    assert "begins again from its start" in told.note
    again.stop()
    assert TrialRunner(TRIAL, process).step().note is None  # the same report, told again


def test_an_end_that_nobody_has_heard_of_is_told_again(process):
    runner = TrialRunner(TRIAL, process)
    told = reports(runner, 4)
    assert told[-1].done
    runner.stop()
    again = TrialRunner(TRIAL, process)
    assert [again.step() for _ in range(4)] == told


def test_a_replicas_end_is_told_again_with_its_scores(process):
    runner = TrialRunner(REPLICA, process)
    told = reports(runner, 4)
    assert told[-1].done
    runner.stop()
    again = TrialRunner(REPLICA, process)
    assert [again.step() for _ in range(4)] == told


def test_a_divergence_that_nobody_has_heard_of_is_told_again(process, monkeypatch):
    runner = TrialRunner(TRIAL, process)
    told = reports(runner, 1)
    with monkeypatch.context() as patched:
        patched.setattr(AdversarialTraining, "advance", diverge)
        told.append(runner.step())
    runner.stop()
    again = TrialRunner(TRIAL, process)
    assert [again.step() for _ in range(2)] == told
    assert told[-1].verdict.status == "diverged"


def diverge(*_, **__):
    raise DivergedError("d_loss not finite by update 120")


def test_samples_of_a_training_on_mps_are_scored_where_there_is_double_precision(process):
    plan = dataclasses.replace(process.plan, device="mps")
    assert TrialProcess.prepare(process.dataset, plan).evaluator._device == "cpu"
    assert (plan.scoring_device, process.plan.scoring_device) == ("cpu", "cpu")
    assert dataclasses.replace(plan, device="cuda").scoring_device == "cuda"
