"""The moving average of G's parameters: what it is, what comes from it, and what stays G's own."""

import dataclasses

import numpy as np
import pytest
import torch

from gansearch.family import DEFAULT_FAMILY, load_family
from gansearch.training.schedules import average_share
from gansearch.training.training import AdversarialTraining
from tests.training.test_pretraining import blobs as blobs_of_12
from tests.training.test_pretraining import staged
from tests.training.test_training import NORMALISED, blobs, small

FAMILY = load_family(DEFAULT_FAMILY)
AVERAGED = [
    small(generator_ema=0.9),
    small(generator_ema=0.9, update="simultaneous", k=2),
    small(generator_ema=0.9, optimizer="adam", generator_lr=0.01, **NORMALISED),
    small(generator_ema=0.9, generator_max_norm=0.8),
]


def parameters(net):
    return [p.detach().clone() for p in net.parameters()]


@pytest.mark.parametrize("config", AVERAGED, ids=range(len(AVERAGED)))
def test_the_average_follows_its_recursion_and_changes_nothing_of_the_training(config):
    training = AdversarialTraining(config, blobs(), 3)
    plain = AdversarialTraining(dataclasses.replace(config, generator_ema=0.0), blobs(), 3)
    expected = [p.double() for p in parameters(training.generator)]
    for t in range(20):
        training.step()
        plain.step()
        decay = min(0.9, (1 + t) / (10 + t))
        expected = [
            decay * a + (1 - decay) * p.double()
            for a, p in zip(expected, parameters(training.generator), strict=True)
        ]
    for a, e in zip(parameters(training.average), expected, strict=True):
        assert torch.allclose(a.double(), e, atol=1e-6)
    for name in ("generator", "discriminator"):
        ours, theirs = (parameters(getattr(each, name)) for each in (training, plain))
        assert all(map(torch.equal, ours, theirs))


def test_what_is_sampled_and_stored_is_the_average_and_the_raw_samples_are_of_the_weights():
    config = small(generator_ema=0.99)
    training = AdversarialTraining(config, blobs(), 3)
    plain = AdversarialTraining(small(), blobs(), 3)
    found, expected = training.advance(100), plain.advance(100)
    assert not np.allclose(training.samples(50), plain.samples(50))
    np.testing.assert_array_equal(training.raw_samples(50), plain.samples(50))
    assert plain.raw_samples(50) is None
    export = FAMILY.export(training, 3)
    export.details["shape"] = blobs().shape
    stored = FAMILY.generator(export, config, blobs)
    np.testing.assert_array_equal(stored.samples(50), training.samples(50))
    # D plays against the weights.
    assert (found.d_fake, found.d_real) == (expected.d_fake, expected.d_real)


def test_a_short_training_is_not_scored_by_its_initial_weights():
    left = np.prod([1 - average_share(0.9999, t) for t in range(50)])
    assert left < 1e-6
    # And it reaches back over a ninth of the training at most.
    assert average_share(0.9999, 900) == pytest.approx(9 / 910)
    assert average_share(0.9, 900) == pytest.approx(0.1)


def test_each_stage_of_a_pretraining_begins_an_average_of_its_own():
    training = AdversarialTraining(staged(generator_ema=0.9), blobs_of_12(), 3)
    training.advance(20)
    assert training.average.first_layer == training.generator.first_layer == 2
    assert not all(map(torch.equal, parameters(training.average), parameters(training.generator)))
    training._begin_second_stage()
    assert training.average.first_layer == 0
    assert all(map(torch.equal, parameters(training.average), parameters(training.generator)))


@pytest.mark.parametrize("saved_at", [7, 10, 13])
def test_a_resume_in_either_stage_keeps_every_bit_of_the_average(saved_at):
    config = staged(generator_ema=0.9)
    whole, first, second = (AdversarialTraining(config, blobs_of_12(), 3) for _ in range(3))
    first.advance(2 * saved_at)
    second.load(first.save())
    np.testing.assert_array_equal(second.samples(20), first.samples(20))
    whole.advance(40)
    second.advance(40)
    np.testing.assert_array_equal(second.samples(20), whole.samples(20))
    np.testing.assert_array_equal(second.raw_samples(20), whole.raw_samples(20))
