"""The updates of one network and of several, against the recursions that papers and code give."""

import numpy as np
import pytest
import torch

from gansearch.config import TrialConfig
from gansearch.networks.activations import LINEAR
from gansearch.networks.layers import Dense
from gansearch.training.optimizers import Player, Step, descend, step_columns
from gansearch.training.schedules import Horizon, rates_at, steps_at


def player(*shapes, n_moments=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    params = [torch.randn(*shape, generator=rng) for shape in shapes]
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    return Player([], params, moments, None)


@pytest.mark.parametrize(
    "config",
    [
        TrialConfig(k=3, lr_decay=1.3, min_lr=0.01, momentum_epochs=2),
        TrialConfig(momentum=0, final_momentum=0.9, momentum_epochs=2),
    ],
    ids=["falling rates", "momentum from nothing"],
)
def test_sgd_is_the_velocity_of_the_authors_code_under_changing_rates(config):
    ours = player((4, 3), (3,))
    params = [p.double() for p in ours.params]
    velocities = [torch.zeros_like(p) for p in params]
    for iteration in range(12):
        rates = rates_at(config, iteration, Horizon(1000))
        for step in steps_at(config, iteration, Horizon(1000))[0]:
            grads = [p.sin() for p in ours.params]
            for p, v in zip(params, velocities, strict=True):
                v.mul_(rates.momentum).sub_(rates.discriminator_lr * p.sin())
                p += v
            descend(ours, grads, step)
    for p, expected in zip(ours.params, params, strict=True):
        assert torch.allclose(p.double(), expected, atol=1e-6)


def stacked_steps(steps, *, is_sgd):
    """The step of several networks, from one of each."""
    names = ("lr", "decay", "beta1", "beta2", "number")
    numbers = [np.array([getattr(step, name) for step in steps]) for name in names]
    columns = step_columns(*numbers, is_sgd=is_sgd)
    return [torch.tensor(column, dtype=torch.float32) for column in columns]


@pytest.mark.parametrize("n_moments", [1, 2], ids=["sgd", "adam"])
def test_networks_that_are_updated_together_follow_those_updated_alone(n_moments):
    alone = [player((4, 3), (3,), n_moments=n_moments, seed=i) for i in range(3)]
    params = [torch.stack(p) for p in zip(*(a.params for a in alone), strict=True)]
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    together = Player([], params, moments, None)
    for number in range(1, 9):
        steps = [Step(0.1 / (i + 1), 0.3 * i, 0.5, 0.99, number) for i in range(3)]
        due = torch.tensor([True, number % 2 == 0, number < 4])
        grads = [[p.cos() for p in a.params] for a in alone]
        for a, g, s, is_due in zip(alone, grads, steps, due, strict=True):
            if is_due:
                descend(a, g, s)
        stacked = [torch.stack(g) for g in zip(*grads, strict=True)]
        descend(together, stacked, stacked_steps(steps, is_sgd=n_moments == 1), due)
    for i, a in enumerate(alone):
        for p, q in zip(a.params, together.params, strict=True):
            assert torch.allclose(p, q[i], atol=1e-6)
        for kind, kinds in zip(a.moments, together.moments, strict=True):
            for m, q in zip(kind, kinds, strict=True):
                assert torch.allclose(m, q[i], atol=1e-6)


@pytest.mark.parametrize("n_moments", [1, 2], ids=["sgd", "adam"])
def test_a_network_that_is_not_due_keeps_every_bit_whatever_its_gradient(n_moments):
    layer = Dense(4, 3, LINEAR)
    layer.weight.data = torch.randn(2, 4, 3)
    params = [layer.weight.data, torch.randn(2, 3)]
    moments = [[torch.rand_like(p) for p in params] for _ in range(n_moments)]
    both = Player([layer], params, moments, torch.tensor([0.1, 0.1]))
    before = [t[0].clone() for t in (*params, *(m for kind in moments for m in kind))]
    grads = [torch.full_like(p, torch.nan) for p in params]
    for grad in grads:
        grad[1] = 1.0
    steps = [Step(0.1, 0.5, 0.5, 0.9, 1)] * 2
    columns = stacked_steps(steps, is_sgd=n_moments == 1)
    descend(both, grads, columns, torch.tensor([False, True]))
    after = (*params, *(m for kind in moments for m in kind))
    assert all(torch.equal(b, a[0]) for b, a in zip(before, after, strict=True))
    assert all(torch.isfinite(a[1]).all() for a in after)
    assert layer.weight[1].norm(dim=0).max() <= 0.1 + 1e-6  # the other one is bounded
