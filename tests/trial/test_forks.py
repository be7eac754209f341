"""A fork begins from another trial's state, and is the training that its configuration says."""

import dataclasses

import pytest
import torch

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.errors import StorageError
from gansearch.runs.folder import RunFolder
from gansearch.scoring.health import HealthMonitor
from gansearch.scoring.verdict import Verdict
from gansearch.training import state as training_state
from gansearch.trial.messages import Origin, TrialSpec
from gansearch.trial.plan import N_KEPT_STATES, TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner

NETS = {"generator_widths": [16], "discriminator_widths": [16], "batch_size": 20, "noise_dim": 4}
DONOR = TrialSpec("t00000", 0, "search", seed=3, config=TrialConfig.from_dict(NETS).to_dict())
CHANGED = TrialConfig.from_dict(
    NETS | {"schedule": [{"at": 200, "discriminator_lr": 0.01, "momentum": 0.3}]}
).to_dict()
FORK = dataclasses.replace(
    DONOR, trial_id="t00000-200", config=CHANGED, origin=Origin("t00000", 200)
)


@pytest.fixture
def judged(monkeypatch):
    """Let every evaluation have the verdict that the test says: sound unless it says otherwise."""
    verdicts = {}
    monkeypatch.setattr(
        HealthMonitor, "judge", lambda _, found: Verdict(verdicts.get(found.updates, "sound"))
    )
    return verdicts


@pytest.fixture
def process(tmp_path):
    folder = RunFolder.create(tmp_path, "run")
    budget = Budget(max_updates=800, reports=8, grace=0.125, scheduler="pbt")
    plan = TrialPlan(folder.path, {}, budget, pauses=True, keeps_states=True)
    return TrialProcess.prepare(load_dataset("ring"), plan)


def evaluations(runner, until):
    found = []
    while not found or found[-1].updates < until:
        result = runner.step()
        if result.is_evaluation:
            found.append(result)
    return found


def without_seconds(results):
    """Return what results say, without the time that they took and whether it ended well."""
    return [(each.metrics.d_loss, each.evaluation.valid_ll, each.updates) for each in results]


def trained(spec, process, until=700):
    runner = TrialRunner(spec, process)
    results = evaluations(runner, until)
    return runner, results, training_state.decode(runner._training.save())[1]


@pytest.fixture
def expected(process, tmp_path):
    """The fork's configuration trained from scratch."""
    folder = RunFolder.create(tmp_path, "scratch").path
    plan = dataclasses.replace(process.plan, folder=folder)
    scratch = dataclasses.replace(FORK, origin=None)
    return trained(scratch, dataclasses.replace(process, plan=plan))[1:]


def as_expected(found, expected):
    """Check that a fork trains bit for bit as from scratch, and tells only what is its own."""
    _, results, tensors = found
    all_results, all_tensors = expected
    assert without_seconds(results) == without_seconds(all_results)[2:]
    assert tensors.keys() == all_tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(tensor, all_tensors[name]), name


@pytest.mark.usefixtures("judged")
def test_a_fork_is_bit_for_bit_the_training_of_its_configuration_from_scratch(process, expected):
    donor, results, _ = trained(DONOR, process, until=300)
    assert donor._folder.state_path("t00000", 200).exists()
    found = trained(FORK, process)
    as_expected(found, expected)
    assert without_seconds(results)[2:] != without_seconds(found[1])[:1]  # the change has an effect
    assert len(found[0]._pictures.samples) == 7  # its strip shows the whole training


@pytest.mark.usefixtures("judged")
@pytest.mark.parametrize("damage", ["absent", "cut"])
def test_a_fork_without_its_donor_s_state_comes_to_it_from_scratch_and_says_so(
    process, expected, damage
):
    donor, *_ = trained(DONOR, process, until=300)
    path = donor._folder.state_path("t00000", 200)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    runner = TrialRunner(FORK, process)
    assert any("It trains from scratch to the same state" in note for note in runner._notes)
    as_expected(trained(FORK, process), expected)


@pytest.mark.usefixtures("judged")
def test_a_fork_that_goes_on_tells_again_what_is_its_own(process, expected):
    trained(DONOR, process, until=300)
    runner = TrialRunner(FORK, process)
    first = evaluations(runner, 400)
    runner.stop()
    runner._folder.state_path("t00000", 200).unlink()  # no longer needed
    found = trained(FORK, process)
    assert found[1][: len(first)] == first
    as_expected(found, expected)


@pytest.mark.usefixtures("judged")
def test_a_fork_has_its_own_state_from_its_beginning(process):
    donor, *_ = trained(DONOR, process, until=300)
    TrialRunner(FORK, process)
    assert "t00000-200" in donor._folder.checkpointed_trials()


@pytest.mark.usefixtures("judged")
def test_a_fork_that_can_t_write_its_state_ends_the_run_and_not_itself(process, monkeypatch):
    trained(DONOR, process, until=300)

    def full(path, _):
        raise StorageError(f"{path}: can't be written")

    with monkeypatch.context() as context:
        context.setattr("gansearch.trial.runner.write_atomically", full)
        runner = TrialRunner(FORK, process)
        assert "t00000-200" in runner.step().unwritable
        runner.stop()
        runner.close()


@pytest.mark.usefixtures("judged")
def test_few_states_are_kept_the_last_and_the_last_at_levels(process):
    runner = TrialRunner(DONOR, process)
    kept = []
    for updates in range(100, 800, 100):
        evaluations(runner, updates)
        kept.append(sorted(updates for _, updates in runner._folder.kept_states()))
    # Levels are the evaluations at or after 100, 150, 225, 337 and 506 updates.
    assert kept[:4] == [[100], [100, 200], [100, 200, 300], [200, 300, 400]]
    assert kept[4:] == [[300, 400, 500], [300, 400, 600], [400, 600, 700]]
    assert max(map(len, kept)) == N_KEPT_STATES
    assert runner._folder.checkpointed_trials() == ["t00000"]


def test_no_state_is_kept_that_looked_collapsed_or_that_no_fork_could_need(process, judged):
    judged |= {200: "undetermined", 300: "undetermined"}
    runner, *_ = trained(DONOR, process, until=400)
    assert sorted(updates for _, updates in runner._folder.kept_states()) == [100, 400]
    plan = dataclasses.replace(process.plan, keeps_states=False)
    other = dataclasses.replace(DONOR, trial_id="t00001")
    trained(other, dataclasses.replace(process, plan=plan), until=400)
    assert {name for name, _ in runner._folder.kept_states()} == {"t00000"}
