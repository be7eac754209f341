"""Algorithm 1: against an independent implementation, across processes, and after a resume."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gansearch.config import TrialConfig
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import DivergedError, GansearchError
from gansearch.training.schedules import Horizon, rates_at
from gansearch.training.training import AdversarialTraining, train

GOLDEN = Path(__file__).parents[1] / "golden" / "loss_curve.json"


def blobs(n=200, dim=6, seed=0):
    rng = np.random.default_rng(seed)
    images = [rng.integers(0, 256, (n, dim), dtype=np.uint8) for _ in range(3)]
    return Dataset("blobs", *images, shape=(2, 3, 1), scale=255.0)


def small(**values):
    defaults = {
        "generator_widths": (8, 7),
        "discriminator_widths": (6, 5),
        "noise_dim": 4,
        "batch_size": 10,
        "init": "glorot",
        "maxout_pieces": 3,
    }
    return TrialConfig(**(defaults | values))


CONVOLUTIONAL = {
    "generator_network": "convolutional",
    "generator_channels": (6, 4),
    "generator_kernels": (2,),
    "generator_strides": (1,),
    "discriminator_network": "convolutional",
    "discriminator_channels": (4, 5),
    "discriminator_kernels": (2,),
    "discriminator_paddings": (1,),
    "discriminator_pools": (2,),
}
NORMALISED = {"generator_normalization": "batch", "discriminator_normalization": "batch"}
BOUNDED = {"generator_max_norm": 1.2, "discriminator_max_norm": 0.9}

VARIANTS = [
    small(),
    small(k=3),
    small(update="simultaneous", k=2),
    small(update="simultaneous", generator_loss="minimax", discriminator_loss_scale=0.5),
    small(optimizer="adam", generator_lr=0.01, discriminator_lr=0.02, k=2),
    small(generator_loss="minimax", noise="normal", dropout_input=0, dropout_hidden=0),
    small(discriminator_activation="leaky_relu", momentum=0.9, lr_decay=1.01, min_lr=0.05),
    small(**NORMALISED, update="simultaneous", k=2),
    small(**BOUNDED, k=2),
    small(**CONVOLUTIONAL, **BOUNDED, update="simultaneous", generator_ema=0.9),
    small(**CONVOLUTIONAL, **NORMALISED, optimizer="adam", generator_lr=0.01, k=2),
    small(batch_order="shuffled", batch_size=9, k=2),
]


def weights(training):
    nets = (training.generator, training.discriminator)
    return [p.detach().clone() for net in nets for p in net.parameters()]


def undisturbed_and_resumed(config, saved_at):
    """A training at its start, and one that goes on from the same one's state after some steps."""
    undisturbed, first = (
        AdversarialTraining(config, blobs(), 5),
        AdversarialTraining(config, blobs(), 5),
    )
    for _ in range(saved_at):
        first.step()
    second = AdversarialTraining(config, blobs(), 5)
    second.load(first.save())
    return undisturbed, second


def reference_steps(training, config, dataset, n_steps):
    """Algorithm 1 once more, in the plain PyTorch of tutorials, on the same random numbers."""
    nets = {"g": training.generator, "d": training.discriminator}
    optimizers = {}
    for name, lr in (("g", config.generator_lr), ("d", config.discriminator_lr)):
        parameters = nets[name].parameters()
        if config.optimizer == "adam":
            betas = (config.adam_beta1, config.adam_beta2)
            optimizers[name] = torch.optim.Adam(parameters, lr=lr, betas=betas)
        else:
            optimizers[name] = torch.optim.SGD(parameters, lr=lr, momentum=config.momentum)
    data = torch.from_numpy(dataset.train).float() / 255
    m = config.batch_size

    def bce(logits, target):
        return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))

    def g_loss_of(logits):
        return bce(logits, 1.0) if config.generator_loss == "non_saturating" else -bce(logits, 0.0)

    for t in range(n_steps):
        draws = training.stream.take(1)[0]
        rates = rates_at(config, t, Horizon(len(data)))
        for name, lr in (("g", rates.generator_lr), ("d", rates.discriminator_lr)):
            for group in optimizers[name].param_groups:
                group["lr"] = lr
                if config.optimizer == "sgd":
                    group["momentum"] = rates.momentum
        for i in range(config.k):
            fake = nets["g"](draws.noise[i])
            both = torch.cat((data[draws.rows[i]], fake))
            logits = nets["d"](both, draws.of_discriminator(i).masks, n_batches=2)
            d_loss = bce(logits[:m], 1.0) + bce(logits[m:], 0.0)
            last = i == config.k - 1 and config.update == "simultaneous"
            if last:
                g_grads = torch.autograd.grad(
                    g_loss_of(logits[m:]), list(nets["g"].parameters()), retain_graph=True
                )
            optimizers["d"].zero_grad()
            (config.discriminator_loss_scale * d_loss).backward()
            optimizers["d"].step()
            bound(nets["d"], config.discriminator_max_norm)
        if config.update == "alternating":
            g_loss = g_loss_of(nets["d"](nets["g"](draws.noise[-1]), draws.g_masks))
            g_grads = torch.autograd.grad(g_loss, list(nets["g"].parameters()))
        for p, g in zip(nets["g"].parameters(), g_grads, strict=True):
            p.grad = g
        optimizers["g"].step()
        bound(nets["g"], config.generator_max_norm)


def bound(net, max_norm):
    """Bound the norm of each unit's weights with torch's own function."""
    for layer in net.layers if max_norm else ():
        units = {"Dense": 1, "Convolution": 0, "Deconvolution": 1}[type(layer).__name__]
        layer.weight.data = torch.renorm(layer.weight.data, 2, units, max_norm)


@pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))
def test_a_step_does_what_plain_pytorch_does_with_the_same_random_numbers(config):
    if config.optimizer == "sgd":
        # torch.optim.SGD folds the learning rate in elsewhere: equal while both rates are constant.
        config = TrialConfig.from_dict(
            config.to_dict() | {"lr_decay": 1, "final_momentum": config.momentum}
        )
    dataset = blobs()
    # A seed where no gradient is rounding error alone, of which Adam makes steps of full size.
    ours, theirs = AdversarialTraining(config, dataset, 1), AdversarialTraining(config, dataset, 1)
    for _ in range(5):
        ours.step()
    reference_steps(theirs, config, dataset, 5)
    start = weights(AdversarialTraining(config, dataset, 1))
    for a, b, before in zip(weights(ours), weights(theirs), start, strict=True):
        assert torch.allclose(a, b, atol=2e-6), (a - b).abs().max()
        assert not torch.equal(a, before)


@pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))
@pytest.mark.parametrize("saved_at", [1, 7])
def test_a_resumed_training_equals_the_undisturbed_one_bit_for_bit(config, saved_at):
    undisturbed, second = undisturbed_and_resumed(config, saved_at)
    mark = 20 * (config.k + 1)
    a, b = undisturbed.advance(mark), second.advance(mark)
    assert all(map(torch.equal, weights(undisturbed), weights(second)))
    assert (a.d_loss, a.g_loss, a.d_real, a.d_grad_norm, a.updates) == (
        *(b.d_loss, b.g_loss, b.d_real, b.d_grad_norm, b.updates),
    )


def test_a_time_limit_cuts_an_interval_without_changing_its_result():
    whole, sliced = (
        AdversarialTraining(small(), blobs(), 1),
        AdversarialTraining(small(), blobs(), 1),
    )
    expected = whole.advance(40)
    assert sliced.advance(40, time_limit_seconds=0) is None
    while (metrics := sliced.advance(40, time_limit_seconds=0.002)) is None:
        pass
    assert metrics.d_loss == expected.d_loss
    assert all(map(torch.equal, weights(whole), weights(sliced)))


def test_another_process_trains_the_same_bits():
    script = (
        "import torch; torch.set_num_threads(1); import sys; sys.path.insert(0, sys.argv[1])\n"
        "import test_training; print(test_training.weights_fingerprint())"
    )
    command = [sys.executable, "-c", script, str(Path(__file__).parent)]
    found = [
        subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2)
    ]
    assert found[0] == found[1]
    assert len(found[0].strip()) == 64


def weights_fingerprint():
    training = AdversarialTraining(small(k=2), blobs(), 11)
    training.advance(90)
    return hashlib.sha256(b"".join(w.numpy().tobytes() for w in weights(training))).hexdigest()


def test_the_seed_decides_the_training():
    a, b, c = (AdversarialTraining(small(), blobs(), seed) for seed in (1, 1, 2))
    for training in (a, b, c):
        training.advance(20)
    assert all(map(torch.equal, weights(a), weights(b)))
    assert not any(map(torch.equal, weights(a)[::2], weights(c)[::2]))


def test_drawing_samples_leaves_the_training_alone():
    quiet, sampled = (
        AdversarialTraining(small(), blobs(), 1),
        AdversarialTraining(small(), blobs(), 1),
    )
    quiet.advance(40)
    sampled.advance(20)
    samples = sampled.samples(50)
    sampled.advance(40)
    assert samples.shape == (50, 6) and 0 <= samples.min() <= samples.max() <= 1
    assert all(map(torch.equal, weights(quiet), weights(sampled)))


def test_the_budget_counts_k_updates_of_d_and_one_of_g():
    training = AdversarialTraining(small(k=4), blobs(), 0)
    metrics = training.advance(48)
    assert (metrics.updates, metrics.d_updates, metrics.g_updates) == (50, 40, 10)


def test_the_reports_come_at_the_marks_that_are_still_ahead():
    training = AdversarialTraining(small(), blobs(), 0)
    assert [m.updates for m in train(training, [3, 10, 20])] == [4, 10, 20]
    assert [m.updates for m in train(training, [3, 10, 20, 24])] == [24]


def test_learning_rates_decay_to_their_floor_and_the_momentum_rises_by_epochs():
    config = TrialConfig(lr_decay=1.1, min_lr=0.01, momentum_epochs=3)
    first, later = (rates_at(config, t, Horizon(1000)) for t in (0, 10))
    assert (first.generator_lr, first.momentum) == (0.1, 0.5)
    assert later.discriminator_lr == pytest.approx(0.1 / 1.1**10)
    assert later.momentum == pytest.approx(0.6)  # ten iterations are one epoch of two
    end = rates_at(config, 1000, Horizon(1000))
    assert (end.generator_lr, end.momentum) == (0.01, pytest.approx(0.7))
    tiny = TrialConfig(generator_lr=1e-8)
    assert rates_at(tiny, 0, Horizon(1000)).generator_lr == 1e-8


@pytest.mark.parametrize(
    "config",
    [
        small(generator_lr=100, discriminator_lr=100, generator_output="linear", momentum=0.99),
        small(
            generator_lr=100,
            discriminator_lr=100,
            discriminator_activation="relu",
            generator_output="linear",
            dropout_input=0,
        ),
    ],
    ids=["maxout", "relu"],
)
def test_a_diverging_training_says_what_is_no_longer_finite_and_when(config):
    training = AdversarialTraining(config, blobs(), 1)
    with pytest.raises(DivergedError, match=r"not finite by update [\d,]+: lower the learning"):
        for mark in range(100, 5000, 100):
            training.advance(mark)


def test_a_weight_that_is_not_finite_is_found_even_where_the_losses_are():
    training = AdversarialTraining(small(), blobs(), 0)
    training.advance(4)
    with torch.no_grad():
        training.generator.layers[0].weight[0, 0] = float("inf")
    with pytest.raises(DivergedError, match="G's weights"):
        training.advance(4)


def test_a_state_of_another_seed_or_configuration_is_refused():
    state = AdversarialTraining(small(), blobs(), 0).save()
    with pytest.raises(GansearchError, match="another configuration or seed"):
        AdversarialTraining(small(), blobs(), 1).load(state)
    with pytest.raises(GansearchError, match="another configuration or seed"):
        AdversarialTraining(small(k=2), blobs(), 0).load(state)
    with pytest.raises(GansearchError, match="not a readable training state"):
        AdversarialTraining(small(), blobs(), 0).load(state[:100])


def test_every_units_weights_stay_within_the_bound_and_some_reach_it():
    config = small(generator_max_norm=0.8, discriminator_max_norm=0.7)
    training = AdversarialTraining(config, blobs(), 0)
    training.advance(2)
    for net, bound in ((training.generator, 0.8), (training.discriminator, 0.7)):
        norms = torch.cat([layer.weight.norm(dim=0) for layer in net.layers])
        assert norms.max().item() == pytest.approx(bound, rel=1e-5)
        assert norms.min() < 0.9 * bound


def test_contrast_normalised_images_are_trained_on_as_they_are_scored():
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 12), dtype=np.uint8)
    images[7] = 31  # constant: nothing but its mean
    dataset = Dataset("patches", images, images, images, (2, 2, 3), 255.0, contrast=55.0)
    config = small(
        generator_output="linear", batch_size=5, generator_lr=1e-3, discriminator_lr=1e-3
    )
    training = AdversarialTraining(config, dataset, 0)
    found = training.examples.at(torch.arange(50).reshape(5, 10))
    expected = dataset.to_float(images)
    assert found.shape == (5, 10, 12)
    assert np.allclose(found.reshape(50, 12).numpy(), expected, rtol=1e-5, atol=1e-4)
    assert not found[0, 7].any()
    assert torch.allclose(found[0, 0].norm(), torch.tensor(55.0))
    bias = training.generator.layers[-1].bias.detach().numpy()
    assert np.allclose(bias, expected.mean(axis=0), atol=1e-4)
    training.advance(10)


def test_training_never_writes_to_its_data():
    dataset = Dataset(
        "points", *(np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32),) * 3,
        shape=(2,), scale=1.0,
    )  # fmt: skip
    before = dataset.train.copy()
    dataset.train.flags.writeable = False
    AdversarialTraining(small(generator_output="linear"), dataset, 0).advance(20)
    assert np.array_equal(dataset.train, before)


def test_the_first_fifty_losses_are_those_on_record():
    """A change of the arithmetic shows here; rewrite the record only if it was meant."""
    torch.set_num_threads(1)
    training = AdversarialTraining(small(discriminator_activation="maxout", k=2), blobs(), 17)
    curve = [training.advance(3 * i) for i in range(1, 51)]
    found = {"d_loss": [m.d_loss for m in curve], "g_loss": [m.g_loss for m in curve]}
    if not GOLDEN.exists():
        GOLDEN.parent.mkdir(exist_ok=True)
        GOLDEN.write_text(json.dumps(found, indent=1))
        pytest.fail(f"{GOLDEN} was absent and has been written; look at it and commit it")
    expected = json.loads(GOLDEN.read_text())
    # Another processor may round the matrix products differently.
    assert found["d_loss"] == pytest.approx(expected["d_loss"], rel=1e-3)
    assert found["g_loss"] == pytest.approx(expected["g_loss"], rel=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("config", VARIANTS, ids=range(len(VARIANTS)))
def test_on_a_gpu_a_state_is_resumed_and_follows_the_cpu_at_first(config):
    first = AdversarialTraining(config, blobs(), 5, device="cuda")
    first.advance(10)
    second = AdversarialTraining(config, blobs(), 5, device="cuda")
    second.load(first.save())
    a, b = first.advance(40), second.advance(40)
    assert a.d_loss == pytest.approx(b.d_loss, rel=1e-4)
    samples = second.samples(100)
    assert samples.shape == (100, 6) and np.isfinite(samples).all()


def test_d_is_probed_in_minibatches_and_says_what_it_says_of_all_at_once():
    config = TrialConfig(generator_widths=(8,), discriminator_widths=(8,), batch_size=64)
    training = AdversarialTraining(config, load_dataset("digits"), 0)
    n_rows = []
    forward = type(training.discriminator).forward

    def counted(self, x, *rest, **more):
        n_rows.append(len(x))
        return forward(self, x, *rest, **more)

    training.advance(40)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(training.discriminator), "forward", counted)
        d_real, d_fake = training.discriminator_outputs().mean(axis=1)
    assert sum(n_rows) == 2000
    assert max(n_rows) < 2 * 2 * 64  # real and generated ones, a remainder shared out
    rows, fake = torch.arange(1000), torch.from_numpy(training.samples(1000))
    with torch.no_grad():
        means = [
            torch.sigmoid(training.discriminator(x)).mean().item()
            for x in (training.examples.at(rows), fake)
        ]
    assert [d_real, d_fake] == pytest.approx(means, abs=1e-6)
