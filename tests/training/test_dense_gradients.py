"""The explicit gradients of dense networks are those of autograd."""

import dataclasses

import pytest
import torch

from gansearch.training import dense_gradients, gradients
from gansearch.training.schedules import schedule_at
from gansearch.training.training import AdversarialTraining
from tests.training.test_training import blobs, small

CASES = {
    "the paper's": {},
    "no dropout": {"dropout_input": 0, "dropout_hidden": 0},
    "no hidden layer": {"generator_widths": (), "discriminator_widths": ()},
    "three layers": {"generator_widths": (5, 6, 7), "discriminator_widths": (6, 5, 4)},
    "elu, leaky_relu": {
        "generator_activation": "elu",
        "discriminator_activation": "leaky_relu",
        "leaky_slope": 0.3,
    },
    "tanh, relu": {"generator_activation": "tanh", "discriminator_activation": "relu"},
    "softplus": {"generator_activation": "softplus", "discriminator_activation": "softplus"},
    "sigmoid": {"generator_activation": "relu_sigmoid", "discriminator_activation": "sigmoid"},
    "linear output, maxout": {"generator_output": "linear", "generator_activation": "maxout"},
    "minimax": {"generator_loss": "minimax"},
    "smoothed, scaled": {"label_smoothing": 0.2, "discriminator_loss_scale": 0.5},
    "noisy": {"instance_noise_sd": 0.3},
    "packed": {"packing": 3},
}


def at_work(values):
    """A training that has moved away from its start, and all that its next updates take."""
    training = AdversarialTraining(small(**values), blobs(), 1, max_updates=30)
    for _ in range(3):
        training.step()
    draws = training.stream.take(1)[0]
    schedule = schedule_at(training.config, training.iteration, training.horizon)
    return training, training.examples.at(draws.rows)[0], draws, schedule.coefficients


def assert_same(ours, theirs):
    assert torch.allclose(ours.loss, theirs.loss, rtol=1e-6)
    for a, b in zip(ours.grads, theirs.grads, strict=True):
        assert a.shape == b.shape
        assert b.abs().sum() > 0 or a.abs().sum() == 0
        assert torch.linalg.vector_norm(a - b) <= 1e-5 * torch.linalg.vector_norm(b) + 1e-9


@pytest.mark.parametrize("name", CASES)
def test_alternating_updates_have_autograds_gradients(name):
    training, real, draws, coefficients = at_work(CASES[name])
    assert dense_gradients.covers(training.config)
    for of in ("of_discriminator", "of_generator"):
        takes = draws.of_generator(), coefficients
        if of == "of_discriminator":
            takes = real, draws.of_discriminator(0), coefficients
        ours, theirs = (
            getattr(way, of)(training.players, *takes) for way in (dense_gradients, gradients)
        )
        assert_same(ours, theirs)


@pytest.mark.parametrize("name", CASES)
def test_simultaneous_updates_have_autograds_gradients(name):
    training, real, draws, coefficients = at_work({"update": "simultaneous"} | CASES[name])
    takes = training.players, real, draws.of_discriminator(0), coefficients
    for ours, theirs in zip(
        dense_gradients.of_both(*takes), gradients.of_both(*takes), strict=True
    ):
        assert_same(ours, theirs)


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_in_bf16_they_are_as_near_to_those_in_fp32_as_autograds(update):
    config = small(update=update, precision="bf16", dropout_hidden=0.3)
    training = AdversarialTraining(config, blobs(), 1, max_updates=30)
    exact = dataclasses.replace(
        training.players, config=dataclasses.replace(config, precision="fp32")
    )
    draws = training.stream.take(1)[0]
    real = training.examples.at(draws.rows)[0]
    coefficients = schedule_at(config, 0, training.horizon).coefficients
    takes = real, draws.of_discriminator(0), coefficients
    ours, theirs, wanted = (
        way.of_discriminator(players, *takes)
        for way, players in (
            (dense_gradients, training.players),
            (gradients, training.players),
            (gradients, exact),
        )
    )
    for a, b, c in zip(ours.grads, theirs.grads, wanted.grads, strict=True):
        assert a.dtype == torch.float32
        err, usual = (torch.linalg.vector_norm(x - c) for x in (a, b))
        assert 0 < err <= max(1.5 * usual, 0.02 * torch.linalg.vector_norm(c))


def test_pieces_that_tie_share_the_gradient_as_in_autograd():
    training, real, draws, coefficients = at_work({})
    with torch.no_grad():
        for layer in training.discriminator.layers[:-1]:
            layer.weight.zero_()  # all pieces of a unit are equal
            layer.bias.fill_(0.3)
    takes = training.players, real, draws.of_discriminator(0), coefficients
    assert_same(*(way.of_discriminator(*takes) for way in (dense_gradients, gradients)))


@pytest.mark.parametrize(
    "values",
    [
        {"generator_normalization": "batch"},
        {"discriminator_normalization": "spectral"},
        {"gradient_penalty": "r1", "gradient_penalty_weight": 1.0},
        {"unrolled_steps": 1},
        {"minibatch_sd": 4},
    ],
)
def test_what_needs_autograd_is_left_to_it(values):
    assert not dense_gradients.covers(small(**values))
