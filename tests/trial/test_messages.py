"""What travels between driver and workers comes through Tune, and through JSON, as it was."""

import json

import pytest

from gansearch.config import TrialConfig
from gansearch.family import Counts, Metrics
from gansearch.measures import Evaluation
from gansearch.scoring.verdict import Verdict
from gansearch.trial.messages import StepResult, TrialSpec
from tests.written_runs import spec, step

STEPS = {
    "between two reports": step(150),
    "a report": step(200, 4.5),
    "a report to be watched": step(200, 4.5, verdict="undetermined", reason="coverage 0.00"),
    "the end of a replica": step(400, 5.5, done=True, final={"test_ll": 7.0, "sigma": 0.2}),
    "a divergence": step(170, verdict="diverged", reason="not finite by update 170"),
    "a note": step(200, 4.5, note="begins again"),
    "a full disk": step(200, unwritable="models: no space"),
}


def through_json(values):
    return json.loads(json.dumps(values))


@pytest.mark.parametrize("what", STEPS)
def test_a_result_comes_back_from_json_as_it_was(what):
    result = STEPS[what]
    assert StepResult.from_dict(through_json(result.to_dict())) == result


def test_a_result_of_a_family_that_tells_no_more_than_its_updates_comes_back_too():
    counts = Counts(30, seconds=1.5)
    result = StepResult(counts, "cpu", metrics=Metrics(30, seconds=1.5), verdict=Verdict("sound"))
    assert StepResult.from_dict(through_json(result.to_dict())) == result


@pytest.mark.parametrize("change", [{"sharpness": 1.0}, {"recall": None}])
def test_a_result_with_too_much_or_too_little_in_it_is_refused(change):
    values = through_json(step(200, 4.5).to_dict())
    for name, value in change.items():
        if value is None:
            del values["evaluation"][name]
        else:
            values["evaluation"][name] = value
    with pytest.raises(TypeError, match=next(iter(change))):
        StepResult.from_dict(values)
    with pytest.raises(KeyError):
        StepResult.from_dict({})


COUNTS_0_1 = {"updates": 200, "d_updates": 100, "g_updates": 100, "seconds": 0.5}
REPORT_0_1 = COUNTS_0_1 | {
    "d_loss": 1.3,
    "g_loss": 0.8,
    "d_real": 0.6,
    "d_fake": 0.4,
    "d_grad_norm": 1.0,
    "g_grad_norm": 2.0,
    "valid_ll": 4.5,
    "sigma": 0.1,
    "sigma_at_edge": False,
    "coverage": 0.7,
    "recall": 0.6,
    "nn_ratio": 0.9,
    "is_report": True,
    "verdict": "sound",
    "reason": "",
    "device": "cpu",
    "done": True,
    "final": {"test_ll": 7.0},
}


def test_a_report_that_version_0_1_kept_is_read():
    losses = {name: REPORT_0_1[name] for name in ("d_loss", "g_loss", "d_real", "d_fake")}
    assert StepResult.from_dict(through_json(REPORT_0_1)) == StepResult(
        Counts(**COUNTS_0_1),
        "cpu",
        metrics=Metrics(**COUNTS_0_1, **losses, d_grad_norm=1.0, g_grad_norm=2.0),
        evaluation=Evaluation(4.5, 0.1, False, coverage=0.7, recall=0.6, nn_ratio=0.9),
        verdict=Verdict("sound"),
        final={"test_ll": 7.0},
        done=True,
    )


def test_a_divergence_that_version_0_1_kept_is_read():
    why = "not finite by update 200"
    kept = {"is_report": False, "device": "cpu", "done": False, "verdict": "diverged"}
    found = StepResult.from_dict(through_json(COUNTS_0_1 | kept | {"reason": why}))
    assert found == StepResult(Counts(**COUNTS_0_1), "cpu", verdict=Verdict("diverged", why))
    assert found.is_unsound and not found.is_evaluation and found.valid_ll is None


def test_what_was_measured_is_found_by_column():
    measured = step(200, 4.5, coverage=0.25).measured
    expected = {"updates": 200, "valid_ll": 4.5, "coverage": 0.25, "d_loss": 0.5, "device": "cpu"}
    assert {name: measured[name] for name in expected} == expected
    assert "valid_ll" not in step(200).measured


def test_tune_carries_a_trial_and_a_result_whole():
    trial, result = spec(3, TrialConfig(k=2)), step(200, 4.5, done=True)
    assert TrialSpec.from_tune(trial.to_tune()) == trial
    assert StepResult.from_tune(result.to_tune() | {"time_total_s": 1.0}) == result
    assert result.to_tune()["done"] is True  # by which Tune ends the trial
