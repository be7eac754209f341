"""Other ways to coordinate G and D, and other distributions of z."""

import math

import numpy as np
import pytest
import torch

from gansearch.artifacts import GeneratorExport
from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.family import load_family
from gansearch.training.losses import discriminator_loss, non_saturating_generator_loss
from gansearch.training.pairs import Minibatch

DIGITS = load_dataset("digits")
FAMILY = load_family("coordinated_nets")
SMALL = {
    "generator_widths": [16],
    "discriminator_widths": [8],
    "noise_dim": 4,
    "batch_size": 10,
    "init": "glorot",
}
CHOICES = [
    {},
    {"coordination": "optimistic"},
    {"coordination": "optimistic", "optimizer": "adam"},
    {"coordination": "consensus"},
    {"coordination": "lookahead", "lookahead_iterations": 3},
    {"d_target": 1.3, "k": 2},
    {"g_target": 0.7},
    {"dropout_for_generator": False},
    {"prior": "spherical"},
    {"prior": "mixture"},
    {"prior": "mixture", "noise": "normal", "prior_components": 1},
    {"noise": "normal", "truncation": 1.0},
    {"latent_step": 0.5},
]


def config_of(**values):
    return FAMILY.config_type.from_dict(SMALL | values)


def build(seed=0, **values):
    return FAMILY.build(config_of(**values), DIGITS, seed, "cpu")


def weights(training):
    return [p.detach().clone() for p in training.players.generator.params] + [
        p.detach().clone() for p in training.players.discriminator.params
    ]


def a_minibatch(training):
    rows = torch.arange(10)
    return training._probe(rows, torch.Generator().manual_seed(1))


def test_without_a_choice_a_training_is_that_of_the_papers_nets():
    paper = load_family("adversarial_nets")
    other = paper.build(paper.config_type.from_dict(SMALL), DIGITS, 0, "cpu")
    training = build()
    assert training.advance(40).d_loss == pytest.approx(other.advance(40).d_loss, rel=1e-5)
    # Their gradients are found by products, these by autograd.
    np.testing.assert_allclose(training.samples(5), other.samples(5), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("choice", CHOICES, ids=str)
def test_a_training_continues_from_its_state_as_if_uninterrupted_and_its_generator_from_disk(
    choice,
):
    training, resumed = build(**choice), build(**choice)
    training.advance(21)
    resumed.load(training.save())
    assert resumed.counts == training.counts
    for each in (training, resumed):
        each.advance(44)
    np.testing.assert_array_equal(resumed.samples(5), training.samples(5))
    export = FAMILY.export(training, 0)
    stored = GeneratorExport(export.arrays, export.seed, {**export.details, "shape": [8, 8, 1]})
    restored = FAMILY.generator(stored, training.config, lambda: DIGITS)
    np.testing.assert_array_equal(restored.samples(5), training.samples(5))


def test_lookahead_returns_both_players_half_of_the_way():
    plain, ahead = build(), build(coordination="lookahead", lookahead_iterations=3)
    before = weights(plain)
    plain.advance(6)
    ahead.advance(6)
    for start, far, back in zip(before, weights(plain), weights(ahead), strict=True):
        torch.testing.assert_close(back, start + 0.5 * (far - start))


def test_an_optimistic_step_follows_twice_the_gradient_less_the_last_one():
    training = build(coordination="optimistic")
    first = [torch.full_like(p, 3.0) for p in training.players.generator.params]
    second = [torch.full_like(p, 5.0) for p in training.players.generator.params]
    assert all((grad == 6).all() for grad in training._followed(first, 1))
    assert all((grad == 7).all() for grad in training._followed(second, 1))


def test_the_consensus_term_is_half_the_squared_norm_of_both_gradients():
    training = build(coordination="consensus", consensus_weight=3.0)
    batch = a_minibatch(training)
    g, d = training.generator, training.discriminator
    fake, real = d(g(batch.drawn.noise)), d(batch.x)
    grads = [
        *torch.autograd.grad(discriminator_loss(real, fake), d.parameters(), retain_graph=True),
        *torch.autograd.grad(non_saturating_generator_loss(fake), g.parameters()),
    ]
    expected = 1.5 * sum(grad.square().sum() for grad in grads)
    torch.testing.assert_close(training._consensus_term(batch), expected)


def test_consensus_makes_the_gradients_of_both_players_smaller():
    # At a weight of next to nothing the term is measured, and the training is as without it.
    weights = 1e-9, 0.3
    found = []
    for weight in weights:
        training = build(coordination="consensus", consensus_weight=weight)
        training.advance(200)
        found.append(float(training._consensus_term(a_minibatch(training)).detach()) / weight)
    assert found[1] < 0.5 * found[0]


@pytest.mark.parametrize(
    ("choice", "n_updates"), [({"d_target": 10.0, "k": 3}, (0, 30)), ({"g_target": 10.0}, (30, 0))]
)
def test_a_player_that_is_good_enough_is_not_updated(choice, n_updates):
    training = build(**choice)
    training.advance(30)
    assert (training.counts.d_updates, training.counts.g_updates) == n_updates


def test_d_is_updated_up_to_k_times_until_its_loss_is_low_enough():
    training = build(k=5, d_target=1.0, discriminator_lr=0.5)
    training.advance(300)
    per_iteration = training.counts.d_updates / training.iteration
    assert 0 < per_iteration < 5


def test_without_dropout_for_g_its_gradients_are_those_against_the_whole_d():
    training = build(dropout_for_generator=False)
    draws = training.stream.take(1)[0]
    rows = draws.rows[0]
    batch = Minibatch(training.examples.at(rows), rows, draws.of_generator())
    fake = training.fake_pairs(batch)
    loss = training.generator_loss(batch, fake, None)
    expected = non_saturating_generator_loss(training.discriminator(fake))
    torch.testing.assert_close(loss, expected, rtol=0, atol=0)


def test_spherical_noise_has_one_norm():
    z = build(prior="spherical").generator.z(torch.randn(50, 4))
    torch.testing.assert_close(z.norm(dim=1), torch.full((50,), 2.0))


@pytest.mark.parametrize("noise", ["uniform", "normal"])
def test_each_component_of_a_mixture_gives_its_share_of_z_by_its_mean_and_scale(noise):
    training = build(prior="mixture", prior_components=4, noise=noise)
    generator = training.generator
    with torch.no_grad():
        generator.means.weight.copy_(10 * torch.arange(4.0)[:, None].expand(4, 4))
        generator.scales.weight.fill_(0.5)
    noise = training._probe(torch.arange(1000), torch.Generator().manual_seed(0)).drawn.noise
    z = generator.z(noise)
    component = (z.mean(dim=1) / 10).round()
    assert [round(float((component == i).float().mean()), 1) for i in range(4)] == pytest.approx(
        [0.25] * 4, abs=0.051
    )
    torch.testing.assert_close(
        (z - 10 * component[:, None]) / 0.5, noise[:, :-1], rtol=0, atol=1e-4
    )


def test_samples_are_made_from_truncated_noise_and_training_is_not():
    training = build(noise="normal", truncation=0.5, generator_widths=[], generator_output="linear")
    with torch.no_grad():
        layer = training.generator.net.layers[0]
        layer.weight.zero_()
        layer.weight[:, :4] = torch.eye(4)
        layer.bias.zero_()
        noise = torch.randn(2000, 4, generator=torch.Generator().manual_seed(0))
        seen = training.generator(noise)[:, :4]
    assert float(seen.abs().max()) <= 0.5
    # The variance of a standard normal that is truncated to (-t, t).
    t, phi = 0.5, math.exp(-0.125) / math.sqrt(2 * math.pi)
    share = math.erf(t / math.sqrt(2))
    assert float(seen.var()) == pytest.approx(1 - 2 * t * phi / share, rel=0.05)
    batch = a_minibatch(training)
    assert float(training.fake_pairs(batch).detach().abs().max()) > 0.5


def test_a_latent_step_moves_samples_to_where_d_takes_them_for_real():
    training = build(latent_step=0.5)
    training.advance(200)
    z = a_minibatch(training).drawn.noise
    with torch.no_grad():
        before = training.discriminator(training.generator.net(z)).mean()
        moved = training._moved(z)
        after = training.discriminator(training.generator.net(moved)).mean()
    assert after > before
    assert float(moved.abs().max()) <= math.sqrt(3) + 1e-6


@pytest.mark.parametrize("name", ["packing", "unrolled_steps", "pretraining"])
def test_parameters_that_it_does_not_have_are_refused(name):
    with pytest.raises(ConfigError, match=f"unknown parameter {name}"):
        config_of(**{name: 2})
