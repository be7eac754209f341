"""The paper's theory, held against what the code trains (section 4, figure 1)."""

import math

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.training.losses import discriminator_loss
from gansearch.training.training import AdversarialTraining

GRID = torch.linspace(-6, 6, 241).unsqueeze(1)


def normal_density(x, mean, sd):
    return torch.exp(-(((x - mean) / sd) ** 2) / 2) / (sd * math.sqrt(2 * math.pi))


def two_bumps(n, seed):
    """Return a mixture of N(-2, .7) and N(1, 1), equally likely, `[n, 1]`."""
    rng = np.random.default_rng(seed)
    left = rng.random(n) < 0.5
    points = np.where(left, rng.normal(-2, 0.7, n), rng.normal(1, 1, n))
    return points.astype(np.float32)[:, None]


def two_bumps_density(x):
    return (normal_density(x, -2, 0.7) + normal_density(x, 1, 1)) / 2


@pytest.fixture(scope="module")
def against_a_fixed_generator():
    """D trained to its optimum against a generator that is held at N(1, 1)."""
    torch.set_num_threads(1)
    points = [two_bumps(50000, seed) for seed in range(3)]
    config = TrialConfig(
        k=20,
        optimizer="adam",
        discriminator_lr=3e-3,
        generator_lr=1e-30,
        lr_decay=1.02,
        noise="normal",
        noise_dim=1,
        generator_widths=(2,),
        generator_output="linear",
        discriminator_widths=(32, 32),
        discriminator_activation="leaky_relu",
        dropout_input=0,
        dropout_hidden=0,
        init="glorot",
        batch_size=512,
    )
    training = AdversarialTraining(config, Dataset("two bumps", *points, shape=(1,), scale=1.0), 0)
    hidden, output = training.generator.layers
    with torch.no_grad():
        # relu(z) - relu(-z) + 1 = z + 1: exactly N(1, 1).
        hidden.weight.copy_(torch.tensor([[1.0, -1.0]]))
        output.weight.copy_(torch.tensor([[1.0], [-1.0]]))
        output.bias.fill_(1.0)
    training.advance(21 * 150)
    return training


def test_with_g_fixed_d_approaches_p_data_over_p_data_plus_p_g(against_a_fixed_generator):
    """Proposition 1."""
    p_data, p_g = two_bumps_density(GRID), normal_density(GRID, 1, 1)
    optimum = p_data / (p_data + p_g)
    with torch.no_grad():
        found = torch.sigmoid(against_a_fixed_generator.discriminator(GRID))
    error = (found - optimum.squeeze(1)).abs()
    mass = (p_data + p_g).squeeze(1)
    assert error[mass > 0.05].max() < 0.05
    assert (error * mass).sum() / mass.sum() < 0.015


def test_at_the_optimal_d_the_value_is_minus_log_4_plus_twice_the_jsd(against_a_fixed_generator):
    """Theorem 1, with the Jensen-Shannon divergence integrated numerically."""
    x = torch.linspace(-12, 12, 100001, dtype=torch.float64)
    p, q = two_bumps_density(x), normal_density(x, 1, 1)
    mean = (p + q) / 2

    def kl(a, b):
        return torch.trapezoid(torch.where(a > 0, a * torch.log(a / b), 0.0), x)

    jsd = (kl(p, mean) + kl(q, mean)).item() / 2
    real = torch.from_numpy(two_bumps(200000, 9))
    fake = 1 + torch.randn(200000, 1, generator=torch.Generator().manual_seed(9))
    with torch.no_grad():
        discriminator = against_a_fixed_generator.discriminator
        value = -discriminator_loss(discriminator(real), discriminator(fake)).item()
    assert jsd > 0.1
    assert value == pytest.approx(-math.log(4) + 2 * jsd, abs=0.01)


def test_on_1d_gaussians_the_game_ends_with_g_at_the_data_and_d_near_one_half():
    """Figure 1 (d)."""
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    points = [rng.normal(1.5, 0.6, (20000, 1)).astype(np.float32) for _ in range(3)]
    config = TrialConfig(
        k=3,
        optimizer="adam",
        adam_beta1=0.0,
        generator_lr=2e-3,
        discriminator_lr=4e-3,
        lr_decay=1.0015,
        noise="normal",
        noise_dim=1,
        generator_widths=(16,),
        generator_activation="elu",
        generator_output="linear",
        output_bias="zero",
        discriminator_widths=(16, 16),
        discriminator_activation="elu",
        dropout_input=0,
        dropout_hidden=0,
        init="glorot",
        batch_size=256,
    )
    training = AdversarialTraining(config, Dataset("gaussian", *points, shape=(1,), scale=1.0), 1)
    first = training.samples(5000)
    metrics = training.advance(4 * 2000)
    last = training.samples(5000)
    assert abs(first.mean() - 1.5) > 1
    assert last.mean() == pytest.approx(1.5, abs=0.1)
    assert last.std() == pytest.approx(0.6, abs=0.1)
    support = torch.linspace(0.6, 2.4, 50).unsqueeze(1)
    with torch.no_grad():
        outputs = torch.sigmoid(training.discriminator(support))
    assert (outputs - 0.5).abs().max() < 0.12
    assert metrics.d_loss == pytest.approx(math.log(4), abs=0.03)
