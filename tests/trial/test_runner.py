"""A trial's work from report to report, and what it leaves for the next worker."""

import dataclasses

import numpy as np
import pytest
import ray
import torch
from safetensors.torch import load_file

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError, ShortOfMemoryError
from gansearch.own_measures import VALID_LL
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import load_generator
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.evaluation import Evaluator, final_score
from gansearch.scoring.health import HealthMonitor
from gansearch.scoring.verdict import Verdict
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


def keeping_best(process, monkeypatch, valid_lls, verdicts=("sound",) * 4):
    """Let a process keep best states; its evaluations find these scores and verdicts."""
    found = iter(valid_lls)
    judged = iter(verdicts)
    evaluate = Evaluator.evaluate
    monkeypatch.setattr(
        Evaluator,
        "evaluate",
        lambda *args: dataclasses.replace(evaluate(*args), valid_ll=next(found)),
    )
    monkeypatch.setattr(Evaluator, "with_raw", lambda _, evaluation, raw: evaluation)
    monkeypatch.setattr(HealthMonitor, "judge", lambda *_: Verdict(next(judged)))
    return dataclasses.replace(process, plan=dataclasses.replace(process.plan, keep="best"))


# Its samples move within 100 updates, which those of a sigmoid on points hardly do.
MOVING = CONFIG | {"generator_output": "linear", "init": "glorot"}
EMA = MOVING | {"generator_ema": 0.99, "optimizer": "adam", "gradient_penalty": "r1"}
STAGES = CONFIG | {
    "generator_widths": [16, 16],
    "pretraining": "upper_layers",
    "pretraining_updates": 200,
    "pretrained_layers": 1,
}


@pytest.mark.parametrize("config", [MOVING, EMA], ids=["plain", "averaged"])
@pytest.mark.parametrize("spec", [TRIAL, REPLICA], ids=["search", "replica"])
def test_the_best_state_is_stored_and_scored_in_place_of_the_last(
    process, monkeypatch, spec, config
):
    process = keeping_best(process, monkeypatch, [1.0, 5.0, 5.0, 2.0])
    runner = TrialRunner(dataclasses.replace(spec, config=config), process)
    found = reports(runner, 3)
    samples = runner._training.samples(10_000)
    (last,) = reports(runner, 1)
    assert (last.updates, last.evaluation.valid_ll) == (400, 2.0)
    assert last.kept_updates == 300  # of equals the later one
    then = last.best.collapsed_p
    assert then is not None and last.evaluation.collapsed_p is None
    assert last.best == dataclasses.replace(found[2].evaluation, collapsed_p=then)
    assert last.stored_score(VALID_LL) == 5.0
    folder = RunFolder(process.plan.folder)
    stored = load_generator(folder.model_dir("t00000"), load_dataset).generator
    assert not np.allclose(*runner._pictures.samples[2:4], atol=1e-3)
    np.testing.assert_allclose(stored.samples(1000), samples[:1000], atol=1e-5)
    if spec is REPLICA:
        score = final_score(process.dataset, samples, collapse_test=process.evaluator.collapse_test)
        assert last.final["test_ll"] == pytest.approx(score.parzen.test_ll)
    else:
        assert last.final is None


def test_a_state_whose_samples_look_collapsed_is_never_kept(process, monkeypatch):
    verdicts = ["undetermined", "sound", "undetermined", "undetermined"]
    process = keeping_best(process, monkeypatch, [9.0, 1.0, 5.0, 7.0], verdicts)
    *_, last = reports(TrialRunner(TRIAL, process), 4)
    assert last.kept_updates == 200


def test_the_last_state_is_kept_if_none_looked_sound(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [4.0, 3.0, 2.0, 1.0], ["undetermined"] * 4)
    *_, last = reports(TrialRunner(TRIAL, process), 4)
    assert (last.kept_updates, last.best) == (400, None)


def test_a_collapsed_trial_keeps_its_last_state(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [3.0, 2.0], ["sound", "collapsed"])
    *_, last = reports(TrialRunner(TRIAL, process), 2)
    assert (last.is_unsound, last.kept_updates, last.best) == (True, 200, None)


def test_the_best_state_is_known_after_a_kill(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [5.0, 1.0, 2.0, 3.0])
    runner = TrialRunner(TRIAL, process)
    first = reports(runner, 2)[0]
    runner.stop()
    again = TrialRunner(TRIAL, process)
    *_, last = reports(again, 4)
    assert (last.kept_updates, last.best.valid_ll) == (100, first.evaluation.valid_ll)
    again.stop()
    again = TrialRunner(TRIAL, process)
    assert [again.step() for _ in range(4)][-1] == last


def test_a_state_of_an_earlier_stage_is_not_kept(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [9.0, 8.0, 3.0, 2.0])
    *_, last = reports(TrialRunner(dataclasses.replace(TRIAL, config=STAGES), process), 4)
    assert last.kept_updates == 300


def test_a_state_that_lacks_something_is_scored_by_the_samples_that_it_makes(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [5.0, 1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(AdversarialTraining, "rewind", lambda *_: None)
    *_, last = reports(TrialRunner(dataclasses.replace(TRIAL, config=MOVING), process), 4)
    assert (last.kept_updates, last.best.valid_ll) == (100, 4.0)
    assert "its best state, of update 100, makes other samples than it did then" in last.note


def test_the_last_state_is_kept_by_default(process, monkeypatch):
    process = keeping_best(process, monkeypatch, [5.0, 1.0, 2.0, 3.0])
    process = dataclasses.replace(process, plan=dataclasses.replace(process.plan, keep="last"))
    *_, last = reports(TrialRunner(TRIAL, process), 4)
    assert (last.kept_updates, last.best) == (400, None)


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
