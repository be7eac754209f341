"""The objectives against their equations, written with probabilities in float64."""

import math

import pytest
import torch

from gansearch.training.losses import (
    discriminator_loss,
    minimax_generator_loss,
    non_saturating_generator_loss,
)

REAL = torch.tensor([2.0, -0.5, 0.1], dtype=torch.float64)
FAKE = torch.tensor([-1.0, 0.3, 4.0], dtype=torch.float64)


def test_the_discriminator_loss_is_equation_1_with_its_sign_turned():
    d_real, d_fake = torch.sigmoid(REAL), torch.sigmoid(FAKE)
    value = torch.log(d_real).mean() + torch.log(1 - d_fake).mean()
    assert discriminator_loss(REAL, FAKE).item() == pytest.approx(-value.item())


def test_the_generator_losses_are_those_of_section_3():
    d_fake = torch.sigmoid(FAKE)
    assert minimax_generator_loss(FAKE).item() == pytest.approx(torch.log(1 - d_fake).mean().item())
    assert non_saturating_generator_loss(FAKE).item() == pytest.approx(
        -torch.log(d_fake).mean().item()
    )


def test_at_a_discriminator_of_one_half_the_value_is_minus_log_4():
    zeros = torch.zeros(5)
    assert discriminator_loss(zeros, zeros).item() == pytest.approx(math.log(4))


def test_confident_logits_give_finite_losses_where_probabilities_would_overflow():
    assert discriminator_loss(torch.tensor([-1e4]), torch.tensor([1e4])).item() == 2e4
    assert minimax_generator_loss(torch.tensor([1e4])).item() == -1e4


def test_the_non_saturating_loss_has_the_stronger_gradient_when_d_rejects_the_samples():
    grads = []
    for loss in (minimax_generator_loss, non_saturating_generator_loss):
        logits = torch.tensor([-5.0], requires_grad=True)
        grads.append(abs(torch.autograd.grad(loss(logits), logits)[0].item()))
    assert grads[0] == pytest.approx(1 / (1 + math.exp(5)))
    assert grads[1] > 100 * grads[0]


def test_a_leading_member_axis_gives_a_loss_for_each_member():
    losses = discriminator_loss(torch.stack((REAL, FAKE)), torch.stack((FAKE, REAL)))
    assert losses.shape == (2,)
    assert losses[0] == discriminator_loss(REAL, FAKE)
