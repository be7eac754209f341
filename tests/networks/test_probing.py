"""G between samples, and both players at chosen points."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm, uniform

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.families.figure1_observer import take_snapshot
from gansearch.networks.models import generate
from gansearch.networks.probing import discriminate_at, interpolate, spread_noise, usual_noise
from gansearch.training.training import AdversarialTraining


def trained(dataset=None, updates=40, **config):
    torch.set_num_threads(1)
    small = {"generator_widths": (16,), "discriminator_widths": (16,), "batch_size": 20}
    training = AdversarialTraining(
        TrialConfig(**small | config), dataset or load_dataset("digits"), seed=5
    )
    training.advance(updates)
    return training


@pytest.mark.parametrize("normalization", ["none", "batch"])
@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_the_ends_of_every_row_are_the_samples_bit_for_bit(noise, normalization):
    training = trained(noise=noise, generator_normalization=normalization)
    rows = interpolate(training.generator, training.config, training.sample_seed, 503, 4)
    samples = training.samples(1006)
    assert rows.shape == (503, 4, 64)
    assert rows.dtype == np.float32
    np.testing.assert_array_equal(rows[:, 0], samples[::2])
    np.testing.assert_array_equal(rows[:, -1], samples[1::2])


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_rows_are_evenly_spaced_on_straight_lines_in_noise_space(noise):
    # Of an affine G, straight and even lines in noise space are so in the samples.
    config = {"generator_output": "linear", "generator_activation": "leaky_relu", "leaky_slope": 1}
    training = trained(noise=noise, **config)
    rows = interpolate(training.generator, training.config, training.sample_seed, 7, 5)
    share = np.linspace(0, 1, 5)[None, :, None]
    expected = (1 - share) * rows[:, :1] + share * rows[:, -1:]
    np.testing.assert_allclose(rows, expected, atol=1e-4)
    assert np.abs(rows[:, 0] - rows[:, -1]).max() > 0.01


def test_batch_normalisation_leaves_no_jump_at_the_ends_of_a_row():
    training = trained(
        generator_normalization="batch",
        generator_widths=(32, 32),
        updates=400,
        optimizer="adam",
        generator_lr=0.002,
        discriminator_lr=0.002,
    )
    rows = interpolate(training.generator, training.config, training.sample_seed, 12, 100)
    steps = np.linalg.norm(np.diff(rows, axis=1), axis=2)
    # The step into a row and that out of it, against those beside them.
    at_ends = np.concatenate([steps[:, 0], steps[:, -1]])
    inside = np.concatenate([steps[:, 1], steps[:, -2]])
    length = np.linalg.norm(rows[:, 0] - rows[:, -1], axis=1).mean()
    assert at_ends.mean() - inside.mean() < 0.01 * length


def test_the_usual_noise_is_that_of_the_samples():
    training = trained()
    noise = usual_noise(training.generator, training.config, training.sample_seed, 1500)
    with torch.no_grad():
        expected = torch.cat([training.generator(noise[:1000]), training.generator(noise[1000:])])
    found = generate(training.generator, training.config, 1500, training.sample_seed)
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-6)


@pytest.mark.parametrize("normalization", ["none", "batch"])
def test_d_at_a_point_depends_little_on_the_other_points(normalization):
    ring = load_dataset("ring")
    training = trained(
        ring,
        discriminator_widths=(16, 16),
        discriminator_normalization=normalization,
        generator_output="linear",
        dropout_input=0.0,
    )
    points = np.random.default_rng(0).normal(size=(230, 2)).astype(np.float32)
    together = discriminate_at(training.discriminator, training.config, ring, points)
    alone = np.concatenate(
        [
            discriminate_at(training.discriminator, training.config, ring, points[i : i + 1])
            for i in range(5)
        ]
    )
    assert together.shape == (230,)
    assert ((together > 0) & (together < 1)).all()
    np.testing.assert_allclose(together[:5], alone, atol=1e-6 if normalization == "none" else 0.02)


def test_d_is_taken_at_points_where_there_are_few_training_examples():
    few = np.zeros((30, 1), np.float32)
    line = Dataset("few", few, few, few, shape=(1,), scale=1.0)
    training = trained(line, noise_dim=1)
    points = np.linspace(-1, 1, 200, dtype=np.float32)[:, None]
    with torch.no_grad():
        expected = torch.sigmoid(training.discriminator(torch.from_numpy(points))).numpy()
    found = discriminate_at(training.discriminator, training.config, line, points)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("noise", "law"),
    [("uniform", uniform(-np.sqrt(3), 2 * np.sqrt(3))), ("normal", norm())],
)
def test_spread_noise_has_the_quantiles_of_the_law(noise, law):
    found = spread_noise(TrialConfig(noise=noise, noise_dim=1))[:, 0].numpy()
    np.testing.assert_allclose(law.cdf(found), (np.arange(25) + 0.5) / 25, atol=1e-6)
    assert kstest(found, law.cdf).pvalue > 0.999


def test_noise_of_several_dimensions_has_no_place_on_a_line():
    assert spread_noise(TrialConfig(noise_dim=2)).shape == (0, 2)


def test_a_moment_shows_the_training_as_it_is():
    line = load_dataset("gaussian")
    training = trained(line, noise_dim=1, generator_output="linear", dropout_input=0.0)
    snapshot = take_snapshot(training, line)
    assert snapshot.updates == training.updates == 40
    np.testing.assert_array_equal(snapshot.samples, training.samples(1000)[:, 0])
    with torch.no_grad():
        expected = training.generator(spread_noise(training.config))[:, 0].numpy()
    np.testing.assert_allclose(snapshot.arrows, expected, atol=1e-6)


def test_a_packed_d_judges_a_point_beside_copies_of_itself():
    ring = load_dataset("ring")
    training = trained(ring, packing=3, init="glorot", generator_output="linear", dropout_input=0)
    points = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    found = discriminate_at(training.discriminator, training.config, ring, points)
    copies = torch.from_numpy(np.repeat(points, 3, axis=0))
    with torch.no_grad():
        expected = torch.sigmoid(training.discriminator(copies)).numpy()
    assert found.shape == (50,)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert not np.allclose(found[:16], expected[16:32], atol=1e-3)


@pytest.mark.parametrize("group", [4, 20])
def test_a_point_that_d_judges_stands_among_real_examples(group):
    ring = load_dataset("ring")
    training = trained(
        ring, minibatch_sd=group, init="glorot", generator_output="linear", dropout_input=0
    )
    # Were all of its group the same point, D would see a generator that has collapsed.
    point = np.full((30, 2), 0.7, np.float32)
    found = discriminate_at(training.discriminator, training.config, ring, point)
    with torch.no_grad():
        logits = training.discriminator(torch.from_numpy(point))
    collapsed = torch.sigmoid(logits).numpy()
    real = ring.train[:1000].copy()
    real[::100] = 0.7
    with torch.no_grad():
        logits = training.discriminator(torch.from_numpy(real))
    among_real = torch.sigmoid(logits).numpy()[::100]
    np.testing.assert_allclose(found, np.tile(among_real, 3), atol=1e-6)
    assert np.abs(found - collapsed).max() > 1e-3


def test_the_game_on_a_line_can_be_drawn_with_packs():
    line = load_dataset("gaussian")
    training = trained(line, packing=2, minibatch_sd=4, generator_output="linear", noise_dim=1)
    snapshot = take_snapshot(training, line)
    assert snapshot.d.shape == (200,) and ((snapshot.d > 0) & (snapshot.d < 1)).all()
