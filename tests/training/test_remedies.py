"""Each remedy against mode collapse, held to its paper's definition by an independent reference."""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansearch.config import TrialConfig
from gansearch.data.mixtures import modes_hit
from gansearch.data.registry import load_dataset
from gansearch.networks.dense_pass import DensePass
from gansearch.networks.initialisation import initialise_discriminator
from gansearch.networks.layers import Convolution, Dense, with_group_sd
from gansearch.networks.models import Discriminator, Generator
from gansearch.training.algorithm1 import iterate
from gansearch.training.losses import discriminator_loss
from gansearch.training.random_draws import draw
from gansearch.training.remedies import gradient_penalty, instance_noise_sd, unrolled
from gansearch.training.schedules import coefficients_at, schedule_at
from gansearch.training.training import AdversarialTraining
from tests.training.test_training import (
    CONVOLUTIONAL,
    blobs,
    small,
    undisturbed_and_resumed,
    weights,
)

EVERYTHING = {
    "label_smoothing": 0.1,
    "packing": 3,
    "minibatch_sd": 4,
    "gradient_penalty": "one_centered",
    "gradient_penalty_weight": 0.5,
    "unrolled_steps": 2,
    "instance_noise_sd": 0.3,
    "instance_noise_updates": 30,
    "discriminator_normalization": "spectral",
}
ADAM = {"optimizer": "adam", "generator_lr": 0.002, "discriminator_lr": 0.002}
BATCH = {"discriminator_normalization": "batch", "generator_normalization": "batch"}
COMBINED = {
    "sgd": EVERYTHING,
    "adam": EVERYTHING | ADAM | {"k": 2},
    "simultaneous r1": EVERYTHING | {"update": "simultaneous", "gradient_penalty": "r1"},
    "pretraining": EVERYTHING
    | {"pretraining": "upper_layers", "pretraining_updates": 8, "pretrained_layers": 1},
    "convolutional": EVERYTHING | ADAM | CONVOLUTIONAL,
    "convolutional, batch normalised": EVERYTHING | ADAM | CONVOLUTIONAL | BATCH,
    "no hidden layer": EVERYTHING | {"discriminator_widths": ()},
}


def iteration(training, draws):
    """Do one iteration of Algorithm 1; return D's updates and G's."""
    schedule = schedule_at(training.config, training.stage_iteration, training.horizon)
    return iterate(training.players, training.examples.at(draws.rows), draws, schedule)


def d_of(seed=0, shape=(2, 3, 1), **config):
    """A discriminator with weights of order one, and its configuration."""
    config = small(discriminator_activation="leaky_relu", **config)
    discriminator = Discriminator(config, shape)
    initialise_discriminator(discriminator, config, torch.Generator().manual_seed(seed))
    return discriminator, config


def stacked(config, shape, members):
    """One discriminator with the members' weights along a leading axis."""
    together = Discriminator(config, shape)
    for layer, *own in zip(together.layers, *(m.layers for m in members), strict=True):
        for name, _ in list(layer.named_parameters()):
            values = torch.stack([getattr(one, name).detach() for one in own])
            setattr(layer, name, torch.nn.Parameter(values))
        for name, _ in list(layer.named_buffers()):
            setattr(layer, name, torch.stack([getattr(one, name) for one in own]))
    return together


# All together


@pytest.mark.parametrize("values", COMBINED.values(), ids=COMBINED)
def test_a_training_with_every_remedy_is_resumed_bit_for_bit(values):
    config = small(**values)
    undisturbed, second = undisturbed_and_resumed(config, 3)
    mark = 6 * (config.k + 1)
    a, b = undisturbed.advance(mark), second.advance(mark)
    assert all(map(torch.equal, weights(undisturbed), weights(second)))
    vectors = [list(t.discriminator.buffers()) for t in (undisturbed, second)]
    assert all(map(torch.equal, *vectors))
    assert len(vectors[0]) == (
        2 * len(second.discriminator.layers) if config.discriminator_normalization != "batch" else 0
    )
    assert (a.d_loss, a.g_loss, a.d_real, a.d_grad_norm, a.g_grad_norm) == (
        *(b.d_loss, b.g_loss, b.d_real, b.d_grad_norm, b.g_grad_norm),
    )
    assert math.isfinite(a.d_grad_norm) and math.isfinite(a.g_grad_norm)


@pytest.mark.parametrize("activation", ["relu", "maxout", "elu", "sigmoid"])
def test_gradients_are_finite_where_the_generator_is_constant(activation):
    config = small(**EVERYTHING | ADAM, discriminator_activation=activation)
    training = AdversarialTraining(config, blobs(), 0)
    with torch.no_grad():
        for layer in training.generator.layers:
            layer.weight.zero_()
    metrics = training.advance(20)
    assert math.isfinite(metrics.d_grad_norm) and math.isfinite(metrics.g_grad_norm)
    assert math.isfinite(metrics.d_loss)


def test_whole_stacked_discriminators_compute_what_each_computes_alone():
    for values in (EVERYTHING, EVERYTHING | CONVOLUTIONAL):
        shape = (2, 3, 1)
        members = [d_of(seed, shape, **values)[0] for seed in (1, 2)]
        together = stacked(d_of(0, shape, **values)[1], shape, members)
        x = torch.randn(2, 60, 6)
        logits = together(x, n_batches=2)
        assert logits.shape == (2, 20)
        for i, alone in enumerate(members):
            assert torch.allclose(logits[i], alone(x[i], n_batches=2), atol=1e-5)


# Packing


def test_a_packed_d_judges_consecutive_rows_side_by_side():
    discriminator, _ = d_of(packing=3)
    x = torch.randn(12, 6)
    h = torch.stack([torch.cat([x[3 * i], x[3 * i + 1], x[3 * i + 2]]) for i in range(4)])
    for layer in discriminator.layers[:-1]:
        h = F.leaky_relu(h @ layer.weight + layer.bias, 0.2)
    expected = (h @ discriminator.layers[-1].weight + discriminator.layers[-1].bias)[:, 0]
    logits = discriminator(x)
    assert discriminator.input_widths() == [18, 6, 5]
    assert torch.allclose(logits, expected, atol=1e-6)
    # Another order of rows makes other packs.
    assert not torch.allclose(discriminator(x[[0, 1, 3, 2, *range(4, 12)]]), logits, atol=1e-3)
    packs = torch.tensor([6, 7, 8, 0, 1, 2, 9, 10, 11, 3, 4, 5])
    assert torch.allclose(discriminator(x[packs]), logits[[2, 0, 3, 1]], atol=1e-6)


def test_a_packed_convolutional_d_sees_the_images_as_channels():
    discriminator, _ = d_of(packing=2, **CONVOLUTIONAL, shape=(4, 5, 3))
    images = torch.randn(6, 4, 5, 3)
    first = discriminator.layers[0]
    assert isinstance(first, Convolution)
    assert first.weight.shape[1] == 6
    pairs = torch.cat([images[::2], images[1::2]], -1).movedim(-1, 1)  # [3, 6, 4, 5]
    plain = Discriminator(small(**CONVOLUTIONAL, discriminator_activation="leaky_relu"), (4, 5, 6))
    plain.load_state_dict(discriminator.state_dict())
    expected = plain(pairs.movedim(1, -1).flatten(1))
    assert torch.allclose(discriminator(images.flatten(1)), expected, atol=1e-6)


def test_a_packed_step_has_as_many_logits_and_packing_times_the_examples():
    config = small(packing=4, k=2)
    draws = draw(config, 7, 4, 6, [24, 6, 5], 200, torch.Generator().manual_seed(0))
    assert draws.rows.shape == (7, 2, 40)
    assert draws.noise.shape == (7, 3, 40, 4)
    d_masks = draws[0].of_discriminator(0).masks
    assert [tuple(mask.bits.shape) for mask in d_masks] == [(20, 24), (20, 6), (20, 5)]
    assert draws.d_noise is draws.g_noise is draws.shares is None
    training = AdversarialTraining(config, blobs(n=3), 0)  # fewer examples than a pack
    metrics = training.advance(6)
    assert 0 < metrics.d_real < 1 and 0 < metrics.d_fake < 1


# Minibatch standard deviation


def sd_by_numpy(rows, group):
    """The same by a loop over groups, in float64."""
    found = []
    for start in range(0, len(rows), group):
        chosen = rows[start : start + group].astype(np.float64)
        found += [np.sqrt(chosen.var(axis=0) + 1e-8).mean()] * len(chosen)
    return np.array(found)


@pytest.mark.parametrize("group", [2, 4, 5, 10, 99])
def test_each_row_gets_the_mean_sd_of_its_group(group):
    batches = np.random.default_rng(0).normal(size=(2, 10, 7)).astype(np.float32)
    batches[0, :4] = batches[0, 0]  # without any variance
    x = torch.from_numpy(batches).flatten(0, 1)
    found = with_group_sd(x, group, n_batches=2)
    assert torch.equal(found[:, :7], x)
    expected = np.concatenate([sd_by_numpy(batch, group) for batch in batches])
    np.testing.assert_allclose(found[:, 7].numpy(), expected, rtol=1e-5)


def test_the_sd_has_a_finite_and_right_gradient_also_without_variance():
    x = torch.randn(8, 3, dtype=torch.float64)
    x[:4] = x[0]
    x.requires_grad_()
    assert torch.autograd.gradcheck(lambda rows: with_group_sd(rows, 4, 2), x, eps=1e-7, atol=1e-3)


@pytest.mark.parametrize(("widths", "expected"), [((6, 5), [6, 7, 5]), ((6,), [7, 6]), ((), [7])])
def test_the_sd_enters_the_last_hidden_layer_or_else_the_output(widths, expected):
    discriminator, _ = d_of(minibatch_sd=4, discriminator_widths=widths)
    assert discriminator.input_widths() == expected
    x = torch.randn(8, 6)
    h = x
    for i, layer in enumerate(discriminator.layers):
        if i == max(0, len(widths) - 1):
            sd = torch.from_numpy(sd_by_numpy(h.detach().numpy(), 4)).float()
            h = torch.cat((h, sd[:, None]), 1)
        h = h @ layer.weight + layer.bias
        h = F.leaky_relu(h, 0.2) if i < len(widths) else h
    assert torch.allclose(discriminator(x), h[:, 0], atol=1e-5)


def test_real_and_generated_minibatches_have_their_own_sd():
    discriminator, _ = d_of(minibatch_sd=100)
    real, fake = torch.randn(10, 6), torch.zeros(10, 6)
    together = discriminator(torch.cat((real, fake)), n_batches=2)
    assert torch.allclose(together[:10], discriminator(real), atol=1e-6)
    assert torch.allclose(together[10:], discriminator(fake), atol=1e-6)


# Spectral normalisation


@pytest.mark.parametrize("values", [{}, {"discriminator_activation": "maxout"}, CONVOLUTIONAL])
def test_the_weights_used_have_the_largest_singular_value_one(values):
    config = small(**{"discriminator_normalization": "spectral", **values})
    discriminator = Discriminator(config, (2, 3, 1))
    initialise_discriminator(discriminator, config, torch.Generator().manual_seed(0))
    for layer in discriminator.layers:
        for _ in range(300):
            layer.power_iterate()
        rows = layer.weight if isinstance(layer, Dense) else layer.weight.flatten(1)
        largest = torch.linalg.svdvals(rows)[0]
        assert torch.allclose(layer.used_weight(), layer.weight / largest, rtol=1e-4)


def test_a_spectrally_normalised_d_is_lipschitz():
    discriminator, config = d_of(discriminator_normalization="spectral", discriminator_lr=1.0)
    training = AdversarialTraining(config, blobs(), 0)
    training.advance(200)
    discriminator = training.discriminator
    x = (3 * torch.randn(500, 6)).requires_grad_()
    (slopes,) = torch.autograd.grad(discriminator(x).sum(), x)
    assert slopes.norm(dim=1).max() < 1.02
    # Not for being flat: without the division it has a larger slope.
    product = math.prod(
        torch.linalg.svdvals(layer.weight)[0].item() for layer in discriminator.layers
    )
    assert product > 1.2


def test_u_and_v_change_once_an_update_of_d_by_one_power_iteration():
    config = small(discriminator_normalization="spectral", k=2)
    training = AdversarialTraining(config, blobs(), 0)
    layer = training.discriminator.layers[0]
    before, calls = layer.u.clone(), []
    original = layer.power_iterate
    layer.power_iterate = lambda: (calls.append(1), original())
    training.step()
    assert len(calls) == 2
    w, u = layer.weight.detach().numpy(), layer.u.numpy()
    assert not np.allclose(u, before)
    next_v = w.T @ u / np.linalg.norm(w.T @ u)
    original()
    np.testing.assert_allclose(layer.v, next_v, atol=1e-5)
    np.testing.assert_allclose(layer.u, w @ next_v / np.linalg.norm(w @ next_v), atol=1e-5)


def test_the_gradient_flows_through_sigma_with_u_and_v_constant():
    # Miyato et al. (2018), Equation 12, for one weight matrix: (G - <G, W/s> u v') / s.
    layer = d_of(discriminator_normalization="spectral")[0].layers[0]
    g = torch.randn_like(layer.weight)
    (found,) = torch.autograd.grad((layer.used_weight() * g).sum(), layer.weight)
    w, u, v = layer.weight.detach(), layer.u, layer.v
    sigma = u @ w @ v
    expected = (g - (g * w / sigma).sum() * torch.outer(u, v)) / sigma
    assert torch.allclose(found, expected, atol=1e-5)


def test_a_second_stage_draws_u_anew():
    config = small(**COMBINED["pretraining"])
    training = AdversarialTraining(config, blobs(), 0)
    training.advance(8)
    before = [layer.u.clone() for layer in training.discriminator.layers]
    training._begin_second_stage()
    after = [layer.u for layer in training.discriminator.layers]
    assert not any(torch.allclose(a, b) for a, b in zip(before[:-1], after[:-1], strict=True))


# Label smoothing


def test_smoothed_labels_are_bce_with_a_soft_target_for_real_examples_only():
    real, fake = 3 * torch.randn(2, 50)
    expected = F.binary_cross_entropy_with_logits(real, torch.full_like(real, 0.9))
    expected += F.binary_cross_entropy_with_logits(fake, torch.zeros_like(fake))
    assert torch.allclose(discriminator_loss(real, fake, 0.1), expected)
    assert discriminator_loss(torch.tensor([500.0]), torch.tensor([-500.0]), 0.1).item() == 50


@pytest.mark.parametrize("update", ["alternating", "simultaneous"])
def test_with_smoothed_labels_d_is_at_rest_at_the_soft_target(update):
    # D is its output bias alone: the optimum of .8 log D + (.2 + 1) log(1 - D) is D = .8 / 2.
    config = small(
        label_smoothing=0.2,
        update=update,
        discriminator_widths=(),
        dropout_input=0,
        discriminator_init_range=1e-9,
        init="uniform",
        discriminator_lr=0.5,
        generator_lr=1e-9,
        min_lr=0,
    )
    training = AdversarialTraining(config, blobs(), 0)
    for _ in range(200):
        training.discriminator.layers[0].weight.data.zero_()
        training.step()
    bias = training.discriminator.layers[0].bias
    assert torch.sigmoid(bias).item() == pytest.approx(0.4, abs=0.01)


# Gradient penalties


def linear_d(packing=1, **config):
    """D(x) = w.x + b, for which both penalties are known, and w."""
    discriminator, config = d_of(discriminator_widths=(), packing=packing, **config)
    return discriminator, config, discriminator.layers[0].weight.detach()[:, 0]


@pytest.mark.parametrize("packing", [1, 3])
def test_r1_of_a_linear_d_is_half_its_squared_weights(packing):
    discriminator, config, w = linear_d(packing, gradient_penalty="r1", gradient_penalty_weight=7)
    penalty = gradient_penalty(config, discriminator, torch.randn(12, 6), None, [None], None, 7.0)
    assert penalty.item() == pytest.approx(7 / 2 * w.square().sum().item(), rel=1e-5)
    (grad,) = torch.autograd.grad(penalty, discriminator.layers[0].weight)
    assert torch.allclose(grad[:, 0], 7 * w, rtol=1e-5)


@pytest.mark.parametrize("packing", [1, 3])
def test_the_one_centred_penalty_of_a_linear_d_is_that_of_its_norm(packing):
    values = {"gradient_penalty": "one_centered", "gradient_penalty_weight": 7}
    discriminator, config, w = linear_d(packing, **values)
    real, fake = torch.randn(2, 12, 6)
    shares = torch.rand(12 // packing, 1)
    penalty = gradient_penalty(config, discriminator, real, fake, [None], shares, 7.0)
    assert penalty.item() == pytest.approx(7 * (w.norm().item() - 1) ** 2, rel=1e-4)


def test_the_one_centred_penalty_is_taken_between_the_packs():
    # Of D(x) = x.x / 2 the gradient is the point itself, so the penalty tells where it was taken.
    config = small(gradient_penalty="one_centered", gradient_penalty_weight=1, packing=2)
    real, fake = torch.randn(2, 6, 3)
    shares = torch.tensor([[0.0], [0.25], [1.0]])

    def judge(x, masks):
        return x.square().unflatten(0, (-1, 2)).sum((1, 2)) / 2

    found = gradient_penalty(config, judge, real, fake, [], shares, 1.0)
    packs = [torch.cat(tuple(part)) for part in (fake[:2], 0.75 * fake[2:4] + 0.25 * real[2:4])]
    packs.append(torch.cat(tuple(real[4:])))
    expected = torch.stack([(pack.norm() - 1) ** 2 for pack in packs]).mean()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_the_penalty_is_added_to_what_d_minimises_under_the_passes_own_masks():
    values = {"gradient_penalty": "r1", "gradient_penalty_weight": 3.0, "dropout_input": 0.4}
    config = small(discriminator_widths=(), generator_lr=1e-9, min_lr=0, momentum=0, **values)
    training = AdversarialTraining(config, blobs(), 0)
    layer = training.discriminator.layers[0]
    plain = AdversarialTraining(dataclasses.replace(config, gradient_penalty="none"), blobs(), 0)
    draws = draw(config, 1, 4, 6, [6], 200, torch.Generator().manual_seed(0))[0]
    w = layer.weight.detach().clone()
    mask = draws.d_masks[0][0].factors[:10]
    found, expected = (iteration(t, draws)[0][-1].grads[0] for t in (training, plain))
    # The gradient of D(x) = (x * mask).w by x is mask * w.
    penalty = 3.0 * (mask.square()[:, :, None] * w).mean(0)
    assert torch.allclose(found - expected, penalty, atol=1e-6)


# Instance noise


def test_instance_noise_falls_linearly_to_nothing_or_stays():
    config = TrialConfig(instance_noise_sd=0.4, instance_noise_updates=100)
    found = [instance_noise_sd(config, n) for n in (0, 25, 50, 100, 1000)]
    assert found == pytest.approx([0.4, 0.3, 0.2, 0, 0])
    kept = TrialConfig(instance_noise_sd=0.4, k=3)
    assert instance_noise_sd(kept, 10**9) == 0.4
    falling = TrialConfig(instance_noise_sd=0.4, instance_noise_updates=100, k=3)
    assert coefficients_at(falling, 5).instance_noise_sd == pytest.approx(0.4 * 0.8)


def test_every_input_of_d_is_noisy_and_g_learns_through_it(monkeypatch):
    config = small(instance_noise_sd=0.5, k=2)
    training = AdversarialTraining(config, blobs(), 0)
    seen = []
    forward = DensePass.forward

    def watched(net, x, masks=None):
        if masks is not None:  # D's
            seen.append(x)
        return forward(net, x, masks)

    monkeypatch.setattr(DensePass, "forward", watched)
    rng = training._rng.clone_state()
    training.step()
    draws = draw(config, 1, 4, 6, training.discriminator.input_widths(), 200, rng)[0]
    assert [tuple(x.shape) for x in seen] == [(20, 6), (20, 6), (10, 6)]
    for i in range(2):
        real = training.examples.at(draws.rows[i])
        assert torch.allclose(seen[i][:10] - real, 0.5 * draws.d_noise[i][:10], atol=1e-6)
    assert draws.d_noise.std() == pytest.approx(1, abs=0.15)
    noises = [draws.d_noise[0], draws.d_noise[1], draws.g_noise]
    assert not any(torch.equal(a[:10], b[:10]) for a in noises for b in noises if a is not b)
    # What remains of a generated example without its noise is G's output in (0, 1).
    clean = seen[2].detach() - 0.5 * draws.g_noise
    assert clean.min() > 0 and clean.max() < 1


# Unrolling


def test_without_unrolled_steps_and_with_the_step_undone_nothing_changes():
    plain, unroll = (
        AdversarialTraining(
            small(unrolled_steps=steps, discriminator_lr=1e-12, min_lr=0), blobs(), 0
        )
        for steps in (0, 3)
    )
    for training in (plain, unroll):
        training.advance(10)
    # D looks ahead by nothing where its learning rate is nothing.
    for a, b in zip(weights(plain), weights(unroll), strict=True):
        assert torch.allclose(a, b, atol=1e-7)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_an_unrolled_d_is_where_its_optimizer_would_bring_it(optimizer):
    config = TrialConfig(optimizer=optimizer, unrolled_steps=4)
    params = [torch.randn(3, 2, dtype=torch.float64), torch.randn(2, dtype=torch.float64)]
    reference = [p.clone().requires_grad_() for p in params]
    x = torch.randn(5, 3, dtype=torch.float64)

    def objective(values):
        return (torch.tanh(x @ values[0]) + values[1]).square().sum()

    if optimizer == "adam":
        theirs = torch.optim.Adam(reference, lr=0.1, betas=(0.5, 0.999))
    else:
        theirs = torch.optim.SGD(reference, lr=0.1, momentum=0.6)
    n_moments = 2 if optimizer == "adam" else 1
    moments = [[torch.zeros_like(p) for p in params] for _ in range(n_moments)]
    ahead = unrolled(config, params, moments, objective, 0.1, 0.6, step=0)
    for _ in range(4):
        theirs.zero_grad()
        objective(reference).backward()
        theirs.step()
    for a, b in zip(ahead, reference, strict=True):
        assert torch.allclose(a, b, atol=1e-7)
    assert not any(moment.any() for kind in moments for moment in kind)


def test_one_step_ahead_in_a_scalar_game_is_what_pen_and_paper_give():
    # D minimises f = (d - g)^2 / 2 by SGD, G minimises d_1 g with d_1 = d + lr (g - d):
    # the derivative by g is d_1 + lr g, where the plain one is d_1 alone.
    config = TrialConfig(unrolled_steps=1)
    d, g = torch.tensor(2.0), torch.tensor(5.0, requires_grad=True)
    (d1,) = unrolled(config, [d], [[torch.tensor(0.0)]], lambda p: (p[0] - g) ** 2 / 2, 0.1, 0.0, 1)
    (slope,) = torch.autograd.grad(d1 * g, g)
    assert d1.item() == pytest.approx(2.3)
    assert slope.item() == pytest.approx(2.3 + 0.1 * 5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_gs_gradient_through_an_unrolled_d_agrees_with_finite_differences(optimizer):
    config = small(
        optimizer=optimizer,
        unrolled_steps=3,
        discriminator_lr=0.05,
        generator_lr=1e-30,
        min_lr=0,
        discriminator_activation="tanh",
        generator_activation="tanh",
        label_smoothing=0.1,
    )
    torch.set_default_dtype(torch.float64)
    try:
        dataset = blobs()

        def step(shift):
            """Do one step with a weight of G shifted; return G's loss and gradient there."""
            training = AdversarialTraining(config, dataset, 3)
            with torch.no_grad():
                training.generator.layers[0].weight[1, 2] += shift
            # D's own update sees G as it is; only G's pass sees the shift.
            _, g_update = iteration(training, training.stream.take(1)[0])
            return g_update.loss, g_update.grads[0][1, 2]

        size = 1e-6
        # The real update of D depends on G too, and its effect is no part of G's gradient. It is
        # the same in all three only if D has no real update: its batch of noise is shut out.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("gansearch.training.players.descend", lambda *_: None)
            up, down = step(size)[0], step(-size)[0]
            gradient = step(0.0)[1]
    finally:
        torch.set_default_dtype(torch.float32)
    assert gradient.item() == pytest.approx(((up - down) / (2 * size)).item(), rel=1e-5)


def test_looking_ahead_leaves_ds_weights_and_moments_to_its_own_updates():
    plain, unroll = (
        AdversarialTraining(small(**ADAM, unrolled_steps=steps), blobs(), 0) for steps in (0, 5)
    )
    for training in (plain, unroll):
        training.step()
    ds = plain.players.discriminator, unroll.players.discriminator
    # To rounding: only one of them needs autograd.
    close = partial(torch.allclose, rtol=1e-4, atol=1e-6)
    assert all(map(close, *(d.params for d in ds)))
    for a, b in zip(*(d.moments for d in ds), strict=True):
        assert all(map(close, a, b))
    gs = plain.players.generator, unroll.players.generator
    assert not any(map(torch.equal, *(g.params[::2] for g in gs)))


# What the remedies leave alone, and how modes are counted


def test_a_remedy_that_is_off_draws_no_random_numbers():
    on = small(instance_noise_sd=0.1, gradient_penalty="one_centered")
    rngs = [torch.Generator().manual_seed(0) for _ in range(2)]
    off, with_more = (
        draw(c, 3, 4, 6, [6, 6, 5], 200, rng) for c, rng in zip((small(), on), rngs, strict=True)
    )
    # Those that there were come first, so that they are the same.
    assert torch.equal(off.rows, with_more.rows) and torch.equal(off.noise, with_more.noise)
    for a, b in zip(off.g_masks, with_more.g_masks, strict=True):
        assert torch.equal(a.bits, b.bits)
    assert not torch.equal(rngs[0].get_state(), rngs[1].get_state())


def test_modes_are_counted_by_pacgans_rule():
    ring = load_dataset("ring")
    n_modes, share = modes_hit(ring, ring.test)
    assert n_modes == 8
    assert share == pytest.approx(1 - math.exp(-4.5), abs=0.003)
    around = ring.modes[0] + np.array([[0.0299, 0], [0.0301, 0], [0, 0], [0.3, 0]])
    assert modes_hit(ring, around) == (1, 0.5)
    assert modes_hit(ring, np.zeros((10, 2))) == (0, 0.0)
    with pytest.raises(ValueError, match="digits: its modes are unknown"):
        modes_hit(load_dataset("digits"), np.zeros((10, 64)))


def test_a_generator_knows_nothing_of_remedies():
    plain, remedied = Generator(small(), (2, 3, 1)), Generator(small(**EVERYTHING), (2, 3, 1))
    shapes = [[(n, p.shape) for n, p in net.named_parameters()] for net in (plain, remedied)]
    assert shapes[0] == shapes[1]
    assert not list(remedied.buffers())
