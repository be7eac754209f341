"""The random numbers of a training: their distributions, shapes and order."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy import stats

from gansearch.training.examples import ShuffledExamples
from gansearch.training.random_draws import draw
from gansearch.training.training import AdversarialTraining
from tests.training.test_training import blobs, small

WIDTHS = [784, 48, 16]


def drawn(n_iterations, seed=0, **values):
    rng = torch.Generator().manual_seed(seed)
    return draw(small(**values), n_iterations, 4, 784, WIDTHS, 200, rng)


@pytest.mark.parametrize("rate", [0.003, 0.2, 0.5, 0.9])
def test_a_mask_drops_its_share_and_scales_up_what_it_keeps(rate):
    mask = drawn(20, dropout_input=rate, k=2).d_masks[0].factors
    assert mask.shape == (20, 2, 20, 784)
    dropped = int((mask == 0).sum())
    assert stats.binomtest(dropped, mask.numel(), rate).pvalue > 1e-4
    (kept,) = mask[mask > 0].unique()
    assert kept.item() == pytest.approx(1 / (1 - rate), rel=2e-4)


def test_the_inputs_of_a_mask_are_dropped_independently():
    mask = (drawn(50, dropout_input=0.5).d_masks[0].factors > 0).float()
    flat = mask.flatten()
    for lag in (1, 2, 3, 4, 784):  # four of them come from one draw of 64 bits
        both = (flat[lag:] * flat[:-lag]).mean().item()
        n_pairs = len(flat) - lag
        assert abs(both - 0.25) < 5 * np.sqrt(0.25 * 0.75 / n_pairs)


def test_no_mask_is_drawn_where_nothing_is_dropped_or_g_has_no_pass_of_its_own():
    assert drawn(1, dropout_input=0).d_masks[0] is None
    draws = drawn(1, update="simultaneous", k=2)
    assert draws.g_masks == [None] * 3
    assert draws.noise.shape == (1, 2, 10, 4)
    assert draws.d_masks[1].bits.shape == (1, 2, 20, 48)


def test_an_iterations_share_is_a_view_of_what_was_drawn_for_several():
    draws = drawn(5, k=3, instance_noise_sd=0.1, gradient_penalty="one_centered")
    update = draws[4].of_discriminator(2)
    assert torch.equal(update.noise, draws.noise[4, 2])
    assert torch.equal(update.masks[1].bits, draws.d_masks[1].bits[4, 2])
    assert torch.equal(update.instance_noise, draws.d_noise[4, 2])
    assert torch.equal(update.shares, draws.shares[4, 2])
    own = draws[1:3][0].of_generator()
    assert torch.equal(own.noise, draws.noise[1, -1]) and own.shares is None
    assert torch.equal(own.masks[0].factors, draws.g_masks[0].factors[1])


@pytest.mark.parametrize(("n", "batch_size"), [(60, 20), (60, 7), (5, 8), (3, 20)])
def test_a_shuffled_epoch_has_every_example_once_whatever_the_minibatch(n, batch_size):
    rows = ShuffledExamples(3, n, "cpu").rows(0, 3 * n, batch_size).flatten()
    epochs = rows[: n * (len(rows) // n)].view(-1, n)
    assert torch.equal(epochs.sort(dim=1).values, torch.arange(n).expand_as(epochs))
    assert len({tuple(epoch.tolist()) for epoch in epochs}) > 1
    assert not torch.equal(ShuffledExamples(4, n, "cpu").rows(0, 9, 20).flatten(), rows[:180])


def test_shuffled_minibatches_are_the_same_however_many_are_taken_at_once():
    whole = ShuffledExamples(3, 50, "cpu").rows(0, 40, 9)
    by_parts = ShuffledExamples(3, 50, "cpu")
    parts = [by_parts.rows(first, 5, 9) for first in range(0, 40, 5)]
    assert torch.equal(torch.cat(parts), whole)
    assert torch.equal(ShuffledExamples(3, 50, "cpu").rows(33, 7, 9), whole[33:])


@pytest.mark.parametrize("config", [small(k=3), small(update="simultaneous", packing=2)])
def test_a_shuffled_training_sees_every_example_once_an_epoch(config):
    config = dataclasses.replace(config, batch_order="shuffled")
    training = AdversarialTraining(config, blobs(), 1)  # 200 examples
    training.stream.draw_by(3)
    n = 200 // (config.batch_size * config.packing * config.k) + 1
    seen = torch.cat([training.stream.take(1)[0].rows.flatten() for _ in range(n)])
    assert torch.equal(seen[:200].sort().values, torch.arange(200))
