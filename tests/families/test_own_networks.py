"""The user's networks as a family: what is refused before a run, what is stored and read again."""

import itertools
import re
from functools import partial

import numpy as np
import pytest
import safetensors.numpy
import torch
from torch import nn

from gansearch.budget import Budget
from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.errors import ConfigError
from gansearch.family import family_of
from gansearch.own_network_parameters import OwnNetworkParameters
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import load_generator, save_generator
from gansearch.system import user_code
from gansearch.training.peak_memory import peak_bytes
from gansearch.training.training import AdversarialTraining
from gansearch.trial.messages import TrialSpec
from gansearch.trial.plan import TrialPlan
from gansearch.trial.process import TrialProcess
from gansearch.trial.runner import TrialRunner
from tests.own_nets import ConvD, ConvG, mlp_d, mlp_g, searched

DIGITS = load_dataset("digits")
RING = load_dataset("ring")


COUNT = itertools.count()
PARAMETERS = {"generator.width": {"int": 8}, "discriminator.width": {"int": 8}}


def reference_to(maker):
    if "<" not in maker.__qualname__:
        return user_code.reference_of(maker)
    maker.__name__ = f"own_{next(COUNT)}"  # by which it is given
    return user_code.give(maker)


def family(generator=ConvG, discriminator=ConvD, parameters=None, **sections):
    """Return the family of a space with these sections."""
    code = {"generator": generator, "discriminator": discriminator}
    sections |= {player: reference_to(maker) for player, maker in code.items()}
    return family_of({**sections, "parameters": PARAMETERS if parameters is None else parameters})


def colours():
    images = np.random.default_rng(0).integers(0, 256, (30, 8 * 12 * 3), dtype=np.uint8)
    return Dataset("colours", images, images, images, (8, 12, 3), 255.0)


def normalised():
    images = colours().train
    return Dataset("normalised", images, images, images, (8, 12, 3), 255.0, contrast=55.0)


def linear_g(noise_dim, width):
    return nn.Linear(noise_dim, 288)


@pytest.mark.parametrize(
    ("own", "config", "dataset"),
    [
        (family(), searched(), DIGITS),
        (family(), searched(k=5, unrolled_steps=9, batch_size=500), colours()),
        (family(), searched(gradient_penalty="one_centered", generator_ema=0.9), DIGITS),
        (family(), searched(precision="bf16"), DIGITS),
        (family(mlp_g, mlp_d, {}), OwnNetworkParameters(), RING),
        (family(linear_g), searched(), normalised()),
        (
            family(lambda shape, noise_dim, width: ConvG(noise_dim, shape, width, "tanh"),
                   output_range=[-1, 1]),
            searched(), DIGITS,
        ),
    ],
    ids=["conv", "long", "penalty", "bf16", "points", "unbounded", "tanh"],
)  # fmt: skip
def test_networks_that_can_be_trained_pass_the_check_and_train(own, config, dataset):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    own.check(config, dataset)
    assert torch.equal(torch.get_rng_state(), before)
    training = own.build(config, dataset, 3, "cpu")
    training.advance(2)
    assert training.samples(5).shape == (5, dataset.dim)


def small_g(last=None, n_out=64, view=None):
    """Return a maker of generators that end in some module."""

    class SmallG(nn.Module):
        def __init__(self, noise_dim, width=8):
            super().__init__()
            self.first = nn.Linear(noise_dim, n_out)
            self.last = last or nn.Sigmoid()

        def forward(self, z):
            made = self.last(self.first(z))
            return made if view is None else made.view(len(z), *view)

    SmallG.__qualname__ = "<SmallG>"
    return SmallG


def small_d(forward=lambda self, x: self.first(x.flatten(1)), n_out=1, **more):
    """Return a maker of discriminators with some forward pass."""

    class SmallD(nn.Module):
        def __init__(self, shape, width=8):
            super().__init__()
            self.first = nn.Linear(64, n_out)
            for name, module in more.items():
                setattr(self, name, module())

        def forward(self, x):
            return forward(self, x)

    SmallD.__qualname__ = "<SmallD>"
    return SmallD


class Empty(nn.Module):
    def __init__(self, width=8):
        super().__init__()
        self.layers = [nn.Linear(64, 1)]  # no nn.ModuleList

    def forward(self, x):
        return self.layers[0](x.flatten(1))


class Frozen(Empty):
    def __init__(self, width=8):
        super().__init__()
        self.first = nn.Linear(64, 1).requires_grad_(False)


class Function(nn.Module):
    """A module of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def drawn_by_numpy(z):
    return torch.sigmoid(z + torch.from_numpy(np.random.normal(size=z.shape)).float())  # noqa: NPY002


def drawn_g(noise_dim, width):
    net = nn.Sequential(nn.Linear(noise_dim, 64), nn.Sigmoid())
    net[0].bias.data = torch.from_numpy(np.random.normal(size=64)).float()  # noqa: NPY002
    return net


def sharing_g(noise_dim, width):
    net = nn.Sequential(nn.Linear(noise_dim, 64), nn.Sigmoid())
    scale = torch.ones(8)
    net.register_buffer("scale", scale)
    net.register_buffer("part", scale[:4])
    return net


class GrowingG(nn.Module):
    def __init__(self, noise_dim, width):
        super().__init__()
        self.layer = nn.Linear(noise_dim, 64)
        self.register_buffer("seen", torch.zeros(0))

    def forward(self, z):
        self.seen = torch.cat((self.seen, z.detach().mean()[None]))
        return torch.sigmoid(self.layer(z))


class CountingG(GrowingG):
    n_passes = 0

    def forward(self, z):
        self.n_passes += self.training
        return torch.sigmoid(self.layer(z) * 0.9**self.n_passes)


G_FAULTS = {
    "a maker that fails": (
        lambda shape, width: nn.Linear(width, "wide"),
        r"generator: <lambda>: it fails with width=8 \(TypeError: .*, at test_own_networks.py:\d",
    ),
    "no shape of the data": (
        small_g(n_out=100, view=(1, 10, 10)),
        r"generator: <SmallG>: of 4 rows of noise it makes a tensor of shape \[4, 1, 10, 10\]. On "
        r"digits it must be images \[n, 1, 8, 8\] \(channels, height, width\), that is "
        r"\[4, 1, 8, 8\]. Change its last layers.",
    ),
    "another range": (
        small_g(nn.Tanh()),
        r"its images have values from -\S+ to \S+. They must lie in \[0, 1\], the output_range. "
        r"Set output_range: \[-1, 1\], or end it with a sigmoid.",
    ),
    "no range": (
        small_g(Function(lambda x: 10 * x)),
        r"They must lie in \[0, 1\], the output_range. End it with a sigmoid.",
    ),
    "NaN": (
        small_g(Function(lambda x: x / 0 * 0)),
        r"generator: <SmallG>: its output has values that are NaN or infinite before any training.",
    ),
    "whole numbers": (
        small_g(Function(lambda x: (255 * x).byte())),
        r"it returns numbers of the type torch.uint8. It must return floating-point numbers",
    ),
    "several outputs": (
        small_g(Function(lambda x: (x, x))),
        r"it returns an object of the type tuple. It must return one tensor, of examples.",
    ),
    "no gradient": (
        small_g(Function(lambda x: x.detach().sigmoid())),
        r"no gradient leads through it to its parameters. .* Leave out detach\(\), no_grad\(\)",
    ),
    "another noise": (
        lambda shape, width: nn.Linear(99, 64),
        r"generator: <lambda>: it fails on noise of shape \[4, 6\] \(RuntimeError: mat1 and mat2 .*"
        r"It must take noise \[n, 6\] and return images",
    ),
    "noise as a map": (
        lambda noise_dim, width: nn.Sequential(
            nn.ConvTranspose2d(noise_dim, 1, 8), nn.BatchNorm2d(1), nn.Sigmoid()
        ),
        r"it fails on noise of shape \[4, 6\] \(RuntimeError: Expected 3D .*\). It must take noise "
        r"\[n, 6\] and return images .*. Let it begin with nn.Unflatten\(1, \(6, 1, 1\)\).",
    ),
    "weights from elsewhere": (
        drawn_g,
        r"generator: drawn_g, discriminator: ConvD: two trainings of the same seed differ after an "
        r"iteration, in generator.0.weight. .* Draw random numbers from torch alone, also for "
        r"initial weights.",
    ),
    "a part of another tensor": (
        sharing_g,
        r"their parameters and buffers can't be saved \(RuntimeError: .*share",
    ),
    "a buffer that grows": (
        GrowingG,
        r"their saved state can't be loaded again \(GansearchError: .*\). Parameters and buffers "
        r"must keep their names and shapes.",
    ),
    "a counter": (
        CountingG,
        r"two trainings of the same seed differ after an iteration, .* and keep in buffers what a "
        r"network remembers.",
    ),
    "numbers from elsewhere": (
        small_g(Function(drawn_by_numpy)),
        r"the same noise gives other samples the second time. .* Draw random numbers from torch",
    ),
    "doubles": (
        lambda noise_dim, width: nn.Linear(noise_dim, 64).double(),
        r"it has parameters of the type torch.float64. They must be torch.float32",
    ),
}
D_FAULTS = {
    "several logits": (
        small_d(n_out=10),
        r"discriminator: <SmallD>: of 4 examples it makes a tensor of shape \[4, 10\]. It must "
        r"return one logit of each, \[n\] or \[n, 1\].",
    ),
    "a sigmoid": (
        small_d(lambda self, x: torch.sigmoid(self.first(x.flatten(1))).view(-1)),
        r"discriminator: <SmallD>: it ends with a sigmoid, and so returns probabilities. It must "
        r"return logits, the values before the sigmoid. Leave the sigmoid out.",
    ),
    "a sigmoid layer": (
        small_d(lambda self, x: self.last(self.first(x.flatten(1))), last=nn.Sigmoid),
        r"it ends with a sigmoid",
    ),
    "no parameters": (
        Empty,
        r"discriminator: Empty: it has no parameters, .* in a list they need nn.ModuleList.",
    ),
    "frozen": (
        Frozen,
        r"discriminator: Frozen: all of its parameters are frozen \(requires_grad is False\).",
    ),
    "unused": (
        small_d(spare=lambda: nn.Linear(2, 2), other=lambda: nn.Conv2d(1, 1, 3)),
        r"<SmallD>: nothing uses its parameters other.bias, other.weight, spare.bias, "
        r"spare.weight: its loss does not depend on them. .* or freeze them by "
        r"requires_grad_\(False\).",
    ),
    "another input": (
        small_d(lambda self, x: self.first(x)),
        r"<SmallD>: it fails on examples of shape \[4, 1, 8, 8\] \(RuntimeError: .*, "
        r"at test_own_networks.py:\d+: .* It must take images \[n, 1, 8, 8\]",
    ),
    "an infinite gradient": (
        small_d(lambda self, x: self.first(x.flatten(1)).sub(self.first(x.flatten(1))).sqrt()),
        r"its gradient has values that are NaN or infinite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", G_FAULTS)
def test_a_generator_is_refused_with_what_is_wrong(fault):
    maker, message = G_FAULTS[fault]
    with pytest.raises(ConfigError, match=message):
        family(generator=maker).check(searched(), DIGITS)


@pytest.mark.parametrize("fault", D_FAULTS)
def test_a_discriminator_is_refused_with_what_is_wrong(fault):
    maker, message = D_FAULTS[fault]
    with pytest.raises(ConfigError, match=message):
        family(discriminator=maker).check(searched(), DIGITS)


def test_a_fault_of_some_values_is_answered_with_them():
    class OddG(ConvG):
        def forward(self, z):
            return super().forward(z)[:, :, : self.width]

    own = family(generator=OddG)
    own.check(searched(), DIGITS)
    with pytest.raises(ConfigError, match=r"\[4, 1, 5, 8\].* Found with generator.width=5.$"):
        own.check(searched(generator_width=5), DIGITS)
    with pytest.raises(ConfigError, match=r"it fails with width=0 \((?!.*Found with)"):
        family(discriminator=lambda width: nn.Linear(64, 1 // width)).check(
            searched(discriminator_width=0), DIGITS
        )


def test_operations_without_a_second_derivative_are_refused_where_one_is_needed():
    config = searched(gradient_penalty="one_centered", unrolled_steps=1)
    family().check(searched(gradient_penalty="one_centered"), DIGITS)
    with pytest.raises(
        ConfigError,
        match=r"generator: ConvG, discriminator: ConvD: the first iteration of the training fails "
        r"\(RuntimeError: batch_norm does not support 3rd\+ order derivatives\). unrolled_steps "
        r"and gradient_penalty: one_centered must differentiate D more than once, .* leave "
        r"unrolled_steps and gradient_penalty: one_centered out.",
    ):
        family().check(config, DIGITS)


def test_a_range_is_for_pixels_and_goes_up():
    with pytest.raises(ConfigError, match=r"\[-1, 1\], on the points of ring. Only pixels have"):
        family(mlp_g, mlp_d, output_range=[-1, 1]).check(searched(), RING)
    with pytest.raises(ConfigError, match="on the contrast-normalised images of normalised"):
        family(output_range=[0, 1]).check(searched(), normalised())
    with pytest.raises(ConfigError, match=r"output_range: found \[1, -1\]. It must be the lowest"):
        family(output_range=[1, -1])


@pytest.mark.parametrize("generator_ema", [0.0, 0.9])
@pytest.mark.parametrize("sections", [{}, {"output_range": [-1.0, 1.0]}])
def test_a_generator_is_stored_and_gives_the_samples_that_were_scored(
    generator_ema, sections, tmp_path
):
    own = family(**sections)
    config = searched(generator_ema=generator_ema)
    training = own.build(config, DIGITS, 3, "cpu")
    training.advance(20)
    export = own.export(training, 3)
    assert set(export.arrays) == set(training.generator.net.state_dict())
    how = {"family": own, "dataset": "digits", "shape": DIGITS.shape}
    save_generator(tmp_path, export, config, **how)
    stored = load_generator(tmp_path, lambda name: pytest.fail(f"{name} was asked for")).generator
    np.testing.assert_array_equal(stored.samples(20), training.samples(20))
    lines = stored.interpolate(3, 5)
    assert lines.shape == (3, 5, 64)
    np.testing.assert_array_equal(lines[:, [0, -1]].reshape(6, 64), training.samples(6))
    assert 0 < np.abs(lines[:, 1] - lines[:, 0]).mean() < np.abs(lines[:, 4] - lines[:, 0]).mean()


def test_a_stored_generator_of_other_code_is_refused():
    own = family()
    export = own.export(own.build(searched(), DIGITS, 3, "cpu"), 3)
    export.details["shape"] = DIGITS.shape
    with pytest.raises(RuntimeError, match="Missing key"):
        family(generator=small_g()).generator(export, searched(), lambda: DIGITS)


def test_memory_and_operations_are_counted_without_the_networks_own_memory():
    own = family()
    for config in (searched(batch_size=64), searched(generator_ema=0.9, k=3, batch_size=256)):
        exact = own.training_bytes(config, DIGITS, "cpu", exact=True)
        rough = own.training_bytes(config, DIGITS, "cpu", exact=False)
        assert 0.5 < rough / exact < 2
        larger = searched(**config.to_dict() | {"generator.width": 64})
        assert own.training_bytes(larger, DIGITS, "cpu", exact=False) > 2 * rough
        # A convolution of 2 w channels to w, of 16 weights, at 4 positions, twice an operation.
        assert own.operations(config, DIGITS).samples > 1000 * 2 * 16 * 16 * 8 * 4
    assert exact == pytest.approx(
        peak_bytes(
            config,
            DIGITS,
            "cpu",
            build=partial(AdversarialTraining, make=own._maker_for(DIGITS)),
        ),
        rel=0.02,
    )


def test_code_that_needs_values_leaves_memory_and_operations_unknown():
    class Counting(ConvG):
        def forward(self, z):
            return super().forward(z) if z.detach().numpy().size else None

    own = family(generator=Counting)
    own.check(searched(), DIGITS)
    assert own.operations(searched(), DIGITS) is None
    assert own.training_bytes(searched(), DIGITS, "cpu", exact=True) is None
    assert own.training_bytes(searched(), DIGITS, "cpu", exact=False) is None


def test_one_dimensional_data_has_its_picture_of_figure_1():
    gaussian = load_dataset("gaussian")

    def make(n_in, n_out):
        return nn.Sequential(nn.Linear(n_in, 8), nn.ReLU(), nn.Linear(8, n_out))

    own = family(lambda noise_dim: make(noise_dim, 1), lambda shape: make(1, 1), {})
    config = OwnNetworkParameters(noise_dim=1)
    own.check(config, gaussian)
    observer = own.observer(config, gaussian, [2, 4])
    training = own.build(config, gaussian, 0, "cpu")
    observer.observe(training)
    training.advance(2)
    observer.observe(training)
    assert re.match(rb"\x89PNG", observer.files()["game.png"])
    assert own.observer(searched(), DIGITS, [2]) is None


def test_a_trial_stopped_in_the_middle_of_a_slice_ends_with_the_same_bits(tmp_path):
    own = family()
    config = searched(generator_ema=0.9, k=2)
    values = {"number": 0, "phase": "search", "seed": 5, "config": config.to_dict()}
    budget = Budget(max_updates=300, reports=3)
    trained = {}
    for name, slice_seconds in (("whole", 60.0), ("cut", 0.02)):
        plan = TrialPlan(
            RunFolder(tmp_path).path, own.sections, budget, slice_seconds=slice_seconds
        )
        process = TrialProcess.prepare(DIGITS, plan)
        runner, results = TrialRunner(TrialSpec(name, **values), process), []
        while not results or not results[-1].done:
            results.append(runner.step())
            if name == "cut" and len(results) % 5 == 0 and not results[-1].done:
                runner.stop()
                torch.rand(3)
                runner = TrialRunner(TrialSpec(name, **values), process)
        files = sorted((tmp_path / "models" / name).glob("generator.*"))
        trained[name] = safetensors.numpy.load_file(files[0])
    assert len(results) > 10
    for name, array in trained["whole"].items():
        np.testing.assert_array_equal(trained["cut"][name], array)
