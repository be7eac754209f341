"""The guard alone, in a training loop that gansearch knows nothing of."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import gansearch
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import BadInputError, SamplesError
from gansearch.measures import Evaluation
from gansearch.scoring.evaluation import Evaluator
from gansearch.scoring.health import HealthMonitor, TrialEvaluation

RNG = np.random.default_rng(0)
EXAMPLE = Path(__file__).parents[1] / "examples" / "guard_in_a_loop.py"


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load_dataset("digits")


@pytest.fixture(scope="module")
def guard(digits: Dataset) -> gansearch.Guard:
    return gansearch.Guard(digits)


@pytest.fixture(scope="module")
def real(digits: Dataset) -> np.ndarray:
    """Real images that the reference has not seen, `[n, 8, 8]`."""
    return digits.to_float(np.concatenate([digits.test, digits.valid])).reshape(-1, 8, 8)


def dark(n: int = 600) -> np.ndarray:
    """One dark image and noise, as of a generator that has collapsed."""
    return (0.01 * RNG.random((n, 1)) * np.ones((n, 64))).astype(np.float32)


def test_real_images_are_sound_and_one_image_is_collapsed(guard, real):
    sound = guard.check(real)
    assert (sound.status, sound.reason, sound.stop) == ("sound", "", False)
    assert sound.indicators.coverage > 0.9 and sound.indicators.n_classes > 9
    assert sound.real.coverage > 0.9 and sound.real.n_classes > 9
    found = guard.check(dark())
    assert found.status == "collapsed" and found.stop
    assert "off the data: coverage 0.00 (real data: 0.9" in found.reason


def test_half_of_the_classes_are_collapsed_and_the_missing_ones_named(guard, digits):
    few = digits.to_float(digits.train[digits.labels.train < 4])
    found = guard.check(few)
    assert found.status == "collapsed"
    assert found.missing_classes == ("4", "5", "6", "7", "8", "9")
    assert found.indicators.n_classes < 4.5


def test_a_guard_says_what_a_search_says(digits, real):
    """The same monitor on the same indicators, update by update."""
    guard = gansearch.Guard(digits, max_updates=10_000, n_samples=600)
    evaluator = Evaluator(digits, n_samples=600)
    monitor = HealthMonitor(
        evaluator.reference.null, max_updates=10_000, grace_updates=1500, give_up=0.05
    )
    for step, samples in [(500, dark()), (1000, real), *((s, dark()) for s in (1200, 2500, 4000))]:
        found = guard.check(samples, step=step)
        rows = samples.reshape(len(samples), -1)
        drawn = rows[np.random.default_rng(0).permutation(len(rows))[:600]]
        measured: Evaluation = evaluator.evaluate(drawn)
        expected = monitor.judge(
            TrialEvaluation(
                updates=step,
                coverage=measured.coverage,
                recall=measured.recall,
                nn_ratio=measured.nn_ratio,
                class_share=measured.n_classes_effective / evaluator.n_classes,
            )
        )
        assert (found.status, found.reason, found.p_recovers) == (
            expected.status,
            expected.reason,
            expected.p_recovers,
        )
        assert found.stop == (expected.status == "collapsed")
    assert found.stop and found.step == 4000


def test_a_training_is_stopped_only_once_it_looked_hopeless_twice_after_its_grace(digits):
    guard = gansearch.Guard(digits, max_updates=20_000)
    verdicts = [guard.check(dark(), step=step) for step in (500, 1000, 2000, 3000)]
    assert [verdict.stop for verdict in verdicts] == [False, False, False, True]
    assert verdicts[0].status == "undetermined" and 0 < verdicts[0].p_recovers < 1
    never = gansearch.Guard(digits, max_updates=20_000, give_up=0)
    assert not any(never.check(dark(), step=step).stop for step in (5000, 10_000, 15_000))


def test_at_the_end_of_the_training_samples_are_judged_as_finished_ones(digits):
    guard = gansearch.Guard(digits, max_updates=2000)
    assert guard.check(dark(), step=1000).status == "undetermined"
    found = guard.check(dark(), step=2000)
    assert found.status == "collapsed" and found.p_recovers is None


def test_samples_that_are_not_finite_have_diverged_and_raise_nothing(guard):
    samples = dark()
    samples[3, 5] = np.nan
    found = guard.check(torch.from_numpy(samples), step=7)
    assert (found.status, found.stop, found.indicators) == ("diverged", True, None)
    assert found.reason == "1 of 600 samples hold NaN or infinite values"
    assert found.step == 7 and found.real.coverage > 0.9
    json.dumps(found.to_dict())


def test_samples_may_be_tensors_of_any_layout_and_precision(guard, real):
    expected = guard.check(real).indicators
    tensor = torch.from_numpy(real)
    for samples in (
        tensor[:, None].requires_grad_(),
        tensor[..., None],
        tensor.flatten(1).double(),
        (tensor * 16).to(torch.uint8),
    ):
        assert guard.check(samples).indicators == expected


def test_colour_images_may_have_their_channels_first():
    images = RNG.random((300, 6, 6, 3), np.float32)
    guard = gansearch.Guard(images)
    other = RNG.random((200, 6, 6, 3), np.float32)
    assert guard.check(other) == guard.check(other.transpose(0, 3, 1, 2))


def test_vectors_are_checked_in_the_units_of_the_data():
    rows = RNG.normal(size=(1500, 3)) * [1, 10, 1000] + 5
    guard = gansearch.Guard(rows)
    assert guard.check(RNG.normal(size=(1000, 3)) * [1, 10, 1000] + 5).status == "sound"
    assert guard.check(RNG.normal(size=(1000, 3)) + 5).status == "collapsed"
    assert guard.check(np.zeros((1000, 3))).indicators.n_classes is None


def test_a_wrong_scale_is_refused_at_the_first_check_and_an_overshoot_is_not_later(digits, real):
    guard = gansearch.Guard(digits)
    with pytest.raises(SamplesError) as caught:
        guard.check(2 * real - 1)
    assert "If they run from -1 to 1, save (x + 1) / 2." in str(caught.value)
    guard.check(real)
    assert guard.check(real * 1.02).status == "sound"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"data": "digit"}, "data set 'digit': unknown. Did you mean digits?"),
        ({"data": None}, "dataset: found None. It must be an array of numbers"),
        ({"data": "digits", "max_updates": 0.5}, "max_updates: found 0.5."),
        ({"data": "digits", "max_updates": 0}, "max_updates: found 0."),
        ({"data": "digits", "give_up": 2}, "give_up: found 2."),
        ({"data": "digits", "grace": "a"}, "grace: found 'a'."),
        ({"data": "digits", "n_samples": 5}, "n_samples: found 5. It must be at least 20."),
        ({"data": "digits", "data_dir": 5}, "data_dir: found 5."),
        ({"data": "digits", "overrides": ["k=1"]}, "overrides k=1: k:"),
        (
            {"data": np.zeros((5, 5)), "overrides": ["data.channels=1"]},
            "overrides data.channels=1:",
        ),
    ],
)
def test_arguments_that_a_guard_cannot_use_are_named(arguments, message):
    with pytest.raises(BadInputError) as caught:
        gansearch.Guard(**arguments)
    assert str(caught.value).startswith(message)


def test_checks_that_cannot_be_made_are_answered(digits, guard, real):
    followed = gansearch.Guard(digits, max_updates=1000)
    for call, message in (
        (lambda: followed.check(real), "step: missing. With max_updates a check needs the"),
        (lambda: followed.check(real, step="a"), "step: found 'a'. It must be a whole number"),
        (lambda: guard.check(real[:5]), "samples: 5 samples. A score needs 20 at least"),
        (lambda: guard.check(real[:, :4]), "samples: shape [600, 4, 8]. Samples of digits have"),
        (lambda: guard.check(None), "samples: found None."),
        (lambda: guard.check(np.float32(1)), "samples: shape []."),
    ):
        with pytest.raises(BadInputError) as caught:
            call()
        assert str(caught.value).startswith(message)


def test_a_guard_leaves_the_random_numbers_of_the_loop_as_they_were(digits, real):
    def drawn(*, guarded):
        torch.manual_seed(0)
        np.random.seed(0)  # noqa: NPY002  # what a loop may use
        if guarded:
            gansearch.Guard(digits, max_updates=2000).check(real, step=500)
        return torch.rand(3).tolist(), np.random.rand(3).tolist()  # noqa: NPY002

    assert drawn(guarded=True) == drawn(guarded=False)


def test_the_example_stops_the_loop_whose_generator_collapses(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["guard_in_a_loop.py", "6000", "0.1"])
    runpy.run_path(str(EXAMPLE), run_name="__main__")
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith(" 4,000  collapsed  the samples look collapsed: coverage 0.00")
