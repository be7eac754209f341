"""Algorithm 1 with networks of the user's own: state, random numbers, averages, penalties."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gansearch.config import TrialConfig
from gansearch.data.registry import load_dataset
from gansearch.grouping.structure import structure_of
from gansearch.networks.own import OwnNetworkMaker
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.scoring.evaluation import Evaluator
from gansearch.training import dense_gradients
from gansearch.training.random_draws import draw
from gansearch.training.training import AdversarialTraining
from tests.own_nets import ConvD, ConvG, mlp_d, mlp_g, searched

CONV = OwnNetworkMaker(ConvG, ConvD)
CONFIGS = {
    "plain": searched(),
    "averaged": searched(generator_ema=0.9, k=2),
    "simultaneous": searched(update="simultaneous", k=2, batch_order="shuffled"),
    "r1": searched(gradient_penalty="r1", label_smoothing=0.1),
    "one_centered": searched(gradient_penalty="one_centered", instance_noise_sd=0.1),
    "unrolled": searched(unrolled_steps=2, generator_lr=0.001, discriminator_lr=0.001),
    "sgd": searched(optimizer="sgd", generator_loss="minimax", final_lr_share=0.5),
    "bf16": searched(precision="bf16", generator_width=4),
}


@pytest.fixture(scope="module")
def digits():
    torch.set_num_threads(1)
    return load_dataset("digits")


def trained(config, dataset, updates=0, make=CONV, seed=5):
    training = AdversarialTraining(config, dataset, seed, make=make, max_updates=60)
    training.advance(updates)
    return training


def state(training):
    """Return all that a training has of its networks: parameters and buffers."""
    nets = (training.generator, training.discriminator, training.scored_generator)
    return [t.detach().clone() for net in nets for t in net.state_dict().values()]


def assert_same(a, b):
    for name, x, y in zip(a.generator.state_dict(), state(a), state(b), strict=False):
        assert torch.equal(x, y), name
    assert all(map(torch.equal, state(a), state(b)))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("saved_at", [0, 1, 7])
def test_a_resumed_training_equals_the_undisturbed_one_bit_for_bit(config, saved_at, digits):
    undisturbed, first = trained(config, digits), trained(config, digits)
    for _ in range(saved_at):
        first.step()
    torch.manual_seed(saved_at)  # what else a process draws matters to neither
    second = trained(config, digits)
    second.load(first.save())
    assert_same(first, second)
    a, b = undisturbed.advance(12 * (config.k + 1)), second.advance(12 * (config.k + 1))
    assert_same(undisturbed, second)
    assert (a.d_loss, a.g_loss, a.d_real, a.d_fake, a.d_grad_norm) == (
        *(b.d_loss, b.g_loss, b.d_real, b.d_fake, b.d_grad_norm),
    )
    np.testing.assert_array_equal(undisturbed.samples(20), second.samples(20))


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_training_that_goes_back_makes_the_samples_of_then_bit_for_bit(config, digits):
    training = trained(config, digits, 14)
    then, samples = training.save(), training.samples(30)
    training.advance(40)
    assert not np.array_equal(training.samples(30), samples)
    training.rewind(then)
    assert np.array_equal(training.samples(30), samples)


@pytest.mark.parametrize("name", ["plain", "averaged"])
def test_samples_reports_and_other_draws_leave_the_training_alone(name, digits):
    config = CONFIGS[name]
    quiet, disturbed = trained(config, digits), trained(config, digits)
    for _ in range(10):
        quiet.step()
        disturbed.samples(3)
        torch.rand(7)
        disturbed.step()
        disturbed._report()
    assert_same(quiet, disturbed)
    assert quiet.generator.training and disturbed.discriminator.training


def test_a_training_leaves_the_global_random_numbers_as_they_were(digits):
    torch.manual_seed(3)
    expected = torch.rand(5)
    torch.manual_seed(3)
    trained(CONFIGS["averaged"], digits, 30).samples(10)
    assert torch.equal(torch.rand(5), expected)


def test_the_first_samples_are_the_same_however_many_are_made(digits):
    class NoisyG(ConvG):
        def forward(self, z):
            return super().forward(z + 0.1 * torch.randn_like(z))

    training = trained(searched(), digits, 6, OwnNetworkMaker(NoisyG, ConvD))
    few, many = training.samples(10), training.samples(1010)
    np.testing.assert_array_equal(few, many[:10])
    np.testing.assert_array_equal(few, training.samples(10))


def test_the_seed_decides_the_initial_weights_and_the_dropout(digits):
    a, b, other = (trained(searched(), digits, 8, seed=seed) for seed in (1, 1, 2))
    assert_same(a, b)
    assert not torch.equal(state(a)[0], state(other)[0])


def reference_steps(training, config, dataset, n_steps):
    """DCGAN's loop in the plain PyTorch of tutorials, on the same random numbers."""
    g, d = training.generator.net, training.discriminator.net
    betas = (config.adam_beta1, config.adam_beta2)
    g_optimizer = torch.optim.Adam(g.parameters(), lr=config.generator_lr, betas=betas)
    d_optimizer = torch.optim.Adam(d.parameters(), lr=config.discriminator_lr, betas=betas)
    data = torch.from_numpy(dataset.to_float(dataset.train)).view(-1, 1, 8, 8)
    ones = torch.ones(config.batch_size, 1)
    for _ in range(n_steps):
        draws = training.stream.take(1)[0]
        with training.global_random.in_use():
            for i in range(config.k):
                with torch.no_grad():
                    fake = g(draws.noise[i])
                real_logits, fake_logits = d(data[draws.rows[i]]), d(fake)
                d_loss = F.binary_cross_entropy_with_logits(real_logits, ones)
                d_loss = d_loss + F.binary_cross_entropy_with_logits(fake_logits, 0 * ones)
                d_optimizer.zero_grad()
                d_loss.backward()
                d_optimizer.step()
            g_optimizer.zero_grad()
            F.binary_cross_entropy_with_logits(d(g(draws.noise[-1])), ones).backward()
            g_optimizer.step()


def test_a_step_does_what_plain_pytorch_does_with_the_same_random_numbers(digits):
    config = searched(k=2)
    ours, theirs = trained(config, digits), trained(config, digits)
    start = [p.detach().clone() for p in ours.generator.parameters()]
    for _ in range(5):
        ours.step()
    reference_steps(theirs, config, digits, 5)
    for a, b in zip(state(ours), state(theirs), strict=True):
        assert torch.allclose(a, b, atol=2e-5), (a - b).abs().max()
    assert not any(map(torch.equal, start, ours.generator.parameters()))


def test_the_average_follows_its_recursion_and_has_the_buffers_of_g(digits):
    config = searched(generator_ema=0.8)
    training = trained(config, digits)
    expected = [p.detach().double() for p in training.generator.parameters()]
    for t in range(12):
        training.step()
        decay = min(0.8, (1 + t) / (10 + t))
        expected = [
            decay * a + (1 - decay) * p.detach().double()
            for a, p in zip(expected, training.generator.parameters(), strict=True)
        ]
    averaged = training.scored_generator
    assert averaged is training.average
    for a, e in zip(averaged.parameters(), expected, strict=True):
        assert torch.allclose(a.double(), e, atol=1e-6)
    own = dict(training.generator.named_buffers())
    assert own["net.layers.0.num_batches_tracked"] == 24  # once for D's update, once for G's
    for name, buffer in averaged.named_buffers():
        assert torch.equal(buffer, own[name])
    assert not np.allclose(training.samples(10), training.raw_samples(10))


def test_frozen_parameters_stay_and_have_no_moments(digits):
    class FrozenD(ConvD):
        def __init__(self, shape, width=8):
            super().__init__(shape, width)
            self.layers[0].requires_grad_(False)

    for config in (searched(), searched(unrolled_steps=1), searched(gradient_penalty="r1")):
        training = trained(config, digits, make=OwnNetworkMaker(ConvG, FrozenD))
        first, last = training.discriminator.net.layers[0], training.discriminator.net.layers[3]
        before = first.weight.clone(), last.weight.clone()
        training.advance(6)
        assert torch.equal(first.weight, before[0]) and not torch.equal(last.weight, before[1])
        assert len(training.players.discriminator.params) == len(list(last.parameters())) + 4
        second = trained(config, digits, make=OwnNetworkMaker(ConvG, FrozenD))
        second.load(training.save())
        assert_same(training, second)


class ShallowAtRandomD(nn.Module):
    """Leaves a layer out in half of its passes, as with stochastic depth."""

    def __init__(self, shape):
        super().__init__()
        self.first, self.maybe = nn.Linear(64, 16), nn.Linear(16, 16)
        self.last = nn.Linear(16, 1)

    def forward(self, images):
        h = torch.relu(self.first(images.flatten(1)))
        if torch.rand(()) < 0.5:
            h = h + torch.relu(self.maybe(h))
        return self.last(h)


@pytest.mark.parametrize("unrolled_steps", [0, 2])
def test_a_layer_may_be_left_out_at_random(unrolled_steps, digits):
    config = searched(unrolled_steps=unrolled_steps, discriminator_width=None)
    maker = OwnNetworkMaker(ConvG, lambda shape, width: ShallowAtRandomD(shape))
    training = trained(config, digits, 30, maker)
    before = training.discriminator.net.maybe.weight.clone()
    training.advance(60)
    assert not torch.equal(training.discriminator.net.maybe.weight, before)


def test_old_weight_norm_and_lazy_layers_are_trained_averaged_and_resumed(digits):
    class OldG(nn.Module):
        def __init__(self, noise_dim, shape, width=8):
            super().__init__()
            with pytest.warns(FutureWarning):
                self.first = nn.utils.weight_norm(nn.Linear(noise_dim, 8 * width))
            self.last = nn.LazyLinear(64)

        def forward(self, z):
            return torch.sigmoid(self.last(torch.relu(self.first(z))))

    config = searched(generator_ema=0.5)
    whole, first, second = (
        trained(config, digits, make=OwnNetworkMaker(OldG, ConvD)) for _ in range(3)
    )
    first.advance(10)
    second.load(first.save())
    whole.advance(20)
    second.advance(20)
    assert_same(whole, second)


def test_attention_and_penalties_by_its_second_derivative(digits):
    class AttentionD(nn.Module):
        def __init__(self, shape, width=8):
            super().__init__()
            self.embed = nn.Linear(8, width)
            self.attend = nn.MultiheadAttention(width, 2, batch_first=True)
            self.last = nn.Linear(width, 1)

        def forward(self, images):
            h = self.embed(images.squeeze(1))
            return self.last((h + self.attend(h, h, h)[0]).mean(1))

    for penalty in ("none", "r1"):
        config = searched(gradient_penalty=penalty)
        training = trained(config, digits, make=OwnNetworkMaker(ConvG, AttentionD))
        before = training.discriminator.net.attend.in_proj_weight.clone()
        training.advance(10)
        assert not torch.equal(training.discriminator.net.attend.in_proj_weight, before)


def test_the_penalty_holds_the_gradient_of_a_convolutional_d_down(digits):
    norms = []
    for weight in (0.01, 100.0):
        config = searched(gradient_penalty="r1", gradient_penalty_weight=weight)
        training = trained(config, digits, 200)
        x = torch.from_numpy(digits.to_float(digits.train[:100])).requires_grad_()
        with training.discriminator.evaluation():
            (gradient,) = torch.autograd.grad(training.discriminator(x).sum(), x)
        norms.append(gradient.norm(dim=1).mean().item())
    assert norms[1] < 0.5 * norms[0]


def test_neither_products_nor_groups_nor_masks_are_for_own_networks():
    config = OwnNetworkParameters()
    assert not dense_gradients.covers(config) and structure_of(config) is None
    assert dense_gradients.covers(TrialConfig())
    drawn = draw(config, 2, 100, 64, [], 50, torch.Generator().manual_seed(0))
    assert (drawn.d_masks, drawn.g_masks) == ([], [])
    assert drawn.noise.shape == (2, 2, 64, 100)


def test_an_mlp_learns_the_modes_of_the_ring():
    torch.set_num_threads(1)
    ring = load_dataset("ring")
    config = OwnNetworkParameters(
        noise_dim=8, batch_size=128, generator_lr=2e-3, discriminator_lr=2e-3, generator_ema=0.99
    )
    training = AdversarialTraining(config, ring, 0, make=OwnNetworkMaker(mlp_g, mlp_d))
    training.advance(4000)
    samples = training.samples(1000)
    distances = np.linalg.norm(samples[:, None] - ring.modes[None], axis=2)
    near = distances.min(axis=1) < 6 * ring.mode_sd
    assert near.mean() > 0.4
    assert len(np.unique(distances.argmin(axis=1)[near])) >= 7


class Maxout(nn.Module):
    def __init__(self, n_in, units, pieces):
        super().__init__()
        self.affine, self.pieces = nn.Linear(n_in, units * pieces), pieces

    def forward(self, x):
        return self.affine(x).unflatten(-1, (self.pieces, -1)).amax(-2)


PAPERS = {"noise_dim": 20, "batch_size": 50, "optimizer": "sgd", "noise": "uniform"}


def dense_g(config, shape):
    """The paper's G in torch's own layers."""
    net = nn.Sequential(nn.Linear(config.noise_dim, 64), nn.ReLU(), nn.Linear(64, 64), nn.Sigmoid())
    for layer in (net[0], net[2]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net


def dense_d(config, shape):
    """The paper's D in torch's own layers."""
    net = nn.Sequential(
        nn.Flatten(), nn.Dropout(0.2), Maxout(64, 32, 3), nn.Dropout(0.5), nn.Linear(32, 1)
    )
    for layer in (net[2].affine, net[4]):
        nn.init.xavier_uniform_(layer.weight)
        nn.init.zeros_(layer.bias)
    return net


def test_the_papers_nets_written_in_torchs_layers_learn_as_well_as_ours(digits):
    ours = TrialConfig(
        **PAPERS,
        generator_widths=(64,),
        discriminator_widths=(32,),
        maxout_pieces=3,
        init="glorot",
        output_bias="zero",
    )
    own = OwnNetworkParameters(**PAPERS, generator_lr=0.1, discriminator_lr=0.1)
    makers = {"ours": None, "own": OwnNetworkMaker(dense_g, dense_d)}
    evaluator = Evaluator(digits)
    scores = {}
    for name, config in (("ours", ours), ("own", own)):
        how = {"make": makers[name]} if makers[name] else {}
        training = AdversarialTraining(config, digits, 0, **how)
        before = evaluator.evaluate(training.samples(evaluator.n_samples)).valid_ll
        training.advance(8000)
        scores[name] = evaluator.evaluate(training.samples(evaluator.n_samples)).valid_ll
        assert scores[name] > before + 10
    assert scores["own"] == pytest.approx(scores["ours"], abs=5), scores


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_on_a_gpu_a_state_is_resumed_with_the_dropout_that_was_to_come(config, digits):
    first, second = (
        AdversarialTraining(config, digits, 5, device="cuda", make=CONV, max_updates=60)
        for _ in range(2)
    )
    on_cpu = trained(config, digits)
    for a, b in zip(state(first), state(on_cpu), strict=True):
        assert torch.equal(a.cpu(), b)
    first.advance(12)
    second.load(first.save())
    a, b = first.advance(30), second.advance(30)
    assert a.d_loss == pytest.approx(b.d_loss, rel=1e-2)
    assert second.samples(20).shape == (20, 64)
