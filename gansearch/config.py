"""What one trial trains (`TrialConfig`) and what a whole search may spend (`Budget`).

Both are frozen, validated when made, and serialise to plain JSON. `TrialConfig()` is the MNIST
configuration of Goodfellow et al. (2014), "Generative Adversarial Nets", as their published code
sets it, with the alternating updates and the undivided discriminator loss of the paper's text.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Self

import numpy as np

from gansearch.errors import ConfigError, did_you_mean

ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "maxout")
NETWORKS = ("dense", "convolutional")
_CONVOLUTIONAL_G = (("generator_network", "convolutional"),)
_CONVOLUTIONAL_D = (("discriminator_network", "convolutional"),)
_SIGMOID_G = (("generator_activation", "sigmoid"), ("generator_activation", "relu_sigmoid"))


@dataclass(frozen=True)
class Rule:
    """What values a parameter takes, when it applies, and what it means.

    `kind` is one of int, float, str (one of `choices`) and `widths` (a list with an int in
    `[low, high]` for each layer; without any, if `may_be_empty`). `when` lists (parameter, value)
    pairs, any of which makes the parameter apply; empty means always.
    """

    kind: str
    doc: str
    low: float = -math.inf
    high: float = math.inf
    low_is_open: bool = False
    choices: tuple[str, ...] = ()
    may_be_empty: bool = False
    when: tuple[tuple[str, str], ...] = ()

    def describe(self) -> str:
        """Return the rule in words, for error messages and the documentation."""
        if self.choices:
            return "one of " + ", ".join(self.choices)
        # Fifteen digits: the default of six writes ten million as 1e+07.
        low, high = f"{self.low:.15g}", f"{self.high:.15g}"
        if self.kind == "widths":
            none = "; [] for none" if self.may_be_empty else ""
            return f"a list of whole numbers in [{low}, {high}], one for each layer{none}"
        noun = "a whole number" if self.kind == "int" else "a number"
        if self.high == math.inf:
            return f"{noun} {'>' if self.low_is_open else '>='} {low}"
        return f"{noun} in {'(' if self.low_is_open else '['}{low}, {high}]"

    def parse(self, value: object) -> Any:
        """Return `value` as the parameter's type, or raise ValueError with what was found."""
        if self.kind == "widths":
            if not isinstance(value, list | tuple) or not (value or self.may_be_empty):
                raise ValueError(f"{value!r}")
            return tuple(self._number(width, whole=True) for width in value)
        if self.choices:
            if value not in self.choices:
                raise ValueError(f"{value!r}")
            return value
        return self._number(value, whole=self.kind == "int")

    def _number(self, value: object, *, whole: bool) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(f"{value!r}")
        try:
            number = float(value)
        except OverflowError:  # an int beyond the range of floats
            number = math.inf
        below = number <= self.low if self.low_is_open else number < self.low
        if not math.isfinite(number) or below or number > self.high:
            raise ValueError(f"{value!r}")
        if whole and number != int(number):
            raise ValueError(f"{value!r}")
        return int(number) if whole else number


def _parameter(default: Any, kind: str, doc: str, **rule: Any) -> Any:
    return field(default=default, metadata={"rule": Rule(kind=kind, doc=doc, **rule)})


class _Validated:
    """Shared by the frozen dataclasses of this module: validation, parsing and serialisation."""

    _what: ClassVar[str]

    def __post_init__(self) -> None:
        for name, rule in self.rules().items():
            value = getattr(self, name)
            try:
                object.__setattr__(self, name, rule.parse(value))
            except ValueError as found:
                raise ConfigError(
                    f"{self._what}: {name}: found {found}. It must be {rule.describe()}."
                ) from None

    @classmethod
    def rules(cls) -> dict[str, Rule]:
        """Return the rule of every parameter, by name, in the order of definition."""
        return {f.name: f.metadata["rule"] for f in fields(cls)}  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain values; absent and None entries take the default.

        Raises:
            ConfigError: an unknown name (with the nearest right one) or a value against its rule.
        """
        rules = cls.rules()
        for name in values:
            if name not in rules:
                raise ConfigError(
                    f"{cls._what}: unknown parameter {name}. {did_you_mean(name, rules)}"
                )
        return cls(**{name: value for name, value in values.items() if value is not None})


@dataclass(frozen=True)
class TrialConfig(_Validated):
    """The hyperparameters of one adversarial training; defaults are the paper's for MNIST.

    Every parameter's meaning and range stand in its rule (`TrialConfig.rules()`), from which the
    space files are validated and `docs/parameters.md` is held.
    """

    _what: ClassVar[str] = "configuration"

    k: int = _parameter(
        1, "int", "updates of D for each update of G (Algorithm 1)", low=1, high=100
    )
    update: str = _parameter(
        "alternating",
        "str",
        "alternating: k updates of D, then one of G on fresh noise (Algorithm 1); simultaneous: "
        "the last update of D and that of G come from one noise batch, as in the authors' code",
        choices=("alternating", "simultaneous"),
    )
    generator_loss: str = _parameter(
        "non_saturating",
        "str",
        "non_saturating: maximise log D(G(z)) (section 3); minimax: minimise log(1 - D(G(z)))",
        choices=("non_saturating", "minimax"),
    )
    discriminator_loss_scale: float = _parameter(
        1.0,
        "float",
        "factor on D's loss; .5 in the authors' code, 1 in Equation 1",
        low=0,
        low_is_open=True,
        high=100,
    )
    label_smoothing: float = _parameter(
        0.0,
        "float",
        "what D's target for real examples lies below 1; that for generated ones stays 0 "
        "(one-sided, Salimans et al. 2016, section 3.4)",
        low=0,
        high=0.5,
    )
    gradient_penalty: str = _parameter(
        "none",
        "str",
        "added to D's loss, on the gradient of its logit by its input; r1: half its squared norm "
        "at real examples (Mescheder et al. 2018); one_centered: (norm - 1) squared between real "
        "and generated ones (Gulrajani et al. 2017)",
        choices=("none", "r1", "one_centered"),
    )
    gradient_penalty_weight: float = _parameter(
        10.0,
        "float",
        "factor on the gradient penalty; 10 in both papers",
        low=0,
        low_is_open=True,
        high=1e6,
        when=(("gradient_penalty", "r1"), ("gradient_penalty", "one_centered")),
    )
    unrolled_steps: int = _parameter(
        0,
        "int",
        "updates of D that G looks ahead, and learns through (Metz et al. 2017); 0 for none",
        low=0,
        high=100,
        when=(("update", "alternating"),),
    )
    instance_noise_sd: float = _parameter(
        0.0,
        "float",
        "standard deviation, at the start, of Gaussian noise on D's inputs, real and generated "
        "(Sonderby et al. 2017); 0 for none",
        low=0,
        high=1000,
    )
    instance_noise_updates: int = _parameter(
        0,
        "int",
        "parameter updates over which that noise falls linearly to nothing; 0 to keep it",
        low=0,
        high=10**12,
    )
    batch_size: int = _parameter(100, "int", "examples in a minibatch, m", low=1, high=65536)
    precision: str = _parameter(
        "fp32",
        "str",
        "of matrix products: fp32; tf32, 10 bits of mantissa, on a GPU (elsewhere fp32); bf16, "
        "activations too, with parameters and moments in fp32",
        choices=("fp32", "tf32", "bf16"),
    )

    optimizer: str = _parameter(
        "sgd", "str", "sgd with momentum, or adam; the same for G and D", choices=("sgd", "adam")
    )
    generator_lr: float = _parameter(
        0.1, "float", "learning rate of G at the start", low=0, low_is_open=True, high=100
    )
    discriminator_lr: float = _parameter(
        0.1, "float", "learning rate of D at the start", low=0, low_is_open=True, high=100
    )
    lr_decay: float = _parameter(
        1.000004, "float", "both learning rates are divided by it each iteration", low=1, high=2
    )
    min_lr: float = _parameter(1e-6, "float", "floor of the decaying learning rates", low=0, high=1)
    momentum: float = _parameter(
        0.5, "float", "momentum at the start", low=0, high=0.9999, when=(("optimizer", "sgd"),)
    )
    final_momentum: float = _parameter(
        0.7,
        "float",
        "momentum from epoch `momentum_epochs` on, linear from the first epoch",
        low=0,
        high=0.9999,
        when=(("optimizer", "sgd"),),
    )
    momentum_epochs: float = _parameter(
        250,
        "float",
        "epoch at which the momentum reaches its final value",
        low=1,
        high=1e9,
        when=(("optimizer", "sgd"),),
    )
    adam_beta1: float = _parameter(
        0.5,
        "float",
        "Adam's decay of the first moment",
        low=0,
        high=0.9999,
        when=(("optimizer", "adam"),),
    )
    adam_beta2: float = _parameter(
        0.999,
        "float",
        "Adam's decay of the second moment",
        low=0,
        high=0.999999,
        when=(("optimizer", "adam"),),
    )

    noise: str = _parameter(
        "uniform",
        "str",
        "distribution of z, of unit variance: uniform on (-sqrt 3, sqrt 3), or standard normal",
        choices=("uniform", "normal"),
    )
    noise_dim: int = _parameter(
        100, "int", "dimension of z, fed to G's lowest layer only", low=1, high=65536
    )
    generator_network: str = _parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: dense layers, then a layer whose units are "
        "laid out as a map, then deconvolutions, as for the paper's second CIFAR-10 generator",
        choices=NETWORKS,
    )
    generator_widths: tuple[int, ...] = _parameter(
        (1200, 1200),
        "widths",
        "units of G's hidden dense layers",
        low=1,
        high=65536,
        may_be_empty=True,
    )
    generator_channels: tuple[int, ...] = _parameter(
        (80,),
        "widths",
        "channels of the maps that G's deconvolutions begin from, the lowest first; the last "
        "deconvolution gives the image",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_G,
    )
    generator_kernels: tuple[int, ...] = _parameter(
        (5,),
        "widths",
        "side of each deconvolution's kernel; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_strides: tuple[int, ...] = _parameter(
        (3,),
        "widths",
        "stride of each deconvolution; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_paddings: tuple[int, ...] = _parameter(
        (0,),
        "widths",
        "rows and columns cut off each side of a deconvolution's map; the last entry serves the "
        "layers beyond",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_activation: str = _parameter(
        "relu",
        "str",
        "activation of G's hidden layers; relu_sigmoid: relu and sigmoid in turn, relu first, as "
        "for the paper's CIFAR-10 and TFD",
        choices=(*ACTIVATIONS, "relu_sigmoid"),
    )
    generator_normalization: str = _parameter(
        "none",
        "str",
        "of G's hidden layers, before the activation; batch: by the minibatch's mean and variance "
        "(Ioffe and Szegedy 2015)",
        choices=("none", "batch"),
    )
    sigmoid_bias: float = _parameter(
        0.0,
        "float",
        "bias of G's hidden sigmoid layers at the start; -2 for the paper's TFD",
        low=-1000,
        high=1000,
        when=_SIGMOID_G,
    )
    generator_output: str = _parameter(
        "sigmoid",
        "str",
        "output of G: sigmoid for pixels in [0, 1], linear for data without bounds",
        choices=("sigmoid", "linear"),
    )
    output_bias: str = _parameter(
        "data_mean",
        "str",
        "G's output bias at the start: the training set's mean (its logit under a sigmoid) or zero",
        choices=("data_mean", "zero"),
    )
    discriminator_network: str = _parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: convolutions, each with a maximum over "
        "windows, then dense layers, as for the paper's second CIFAR-10 discriminator",
        choices=NETWORKS,
    )
    discriminator_channels: tuple[int, ...] = _parameter(
        (32, 32, 192),
        "widths",
        "channels of D's convolutions; under maxout, after the maximum",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_kernels: tuple[int, ...] = _parameter(
        (8, 8, 5),
        "widths",
        "side of each convolution's kernel, at most the padded map's; the last entry serves the "
        "layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_strides: tuple[int, ...] = _parameter(
        (1,),
        "widths",
        "stride of each convolution; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_paddings: tuple[int, ...] = _parameter(
        (4, 3, 3),
        "widths",
        "zeros around each convolution's input; the last entry serves the layers beyond",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pools: tuple[int, ...] = _parameter(
        (4, 4, 2),
        "widths",
        "side of the windows whose maximum each convolution passes on, at most the map's; 1 for "
        "none; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pool_strides: tuple[int, ...] = _parameter(
        (2,),
        "widths",
        "stride of these windows; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_widths: tuple[int, ...] = _parameter(
        (240, 240),
        "widths",
        "units of D's hidden dense layers; under maxout, after the maximum",
        low=1,
        high=65536,
        may_be_empty=True,
    )
    discriminator_activation: str = _parameter(
        "maxout", "str", "activation of D's hidden layers", choices=ACTIVATIONS
    )
    discriminator_normalization: str = _parameter(
        "none",
        "str",
        "batch: of D's hidden layers but the lowest, before the activation, as for G, real and "
        "generated examples apart; spectral: of all of D's weights, by their largest singular "
        "value (Miyato et al. 2018)",
        choices=("none", "batch", "spectral"),
    )
    packing: int = _parameter(
        1,
        "int",
        "examples that D judges together, all real or all generated (Lin et al. 2018, PacGAN); a "
        "minibatch then has so many times batch_size examples",
        low=1,
        high=64,
    )
    minibatch_sd: int = _parameter(
        0,
        "int",
        "size of the groups of a minibatch whose mean standard deviation is one more input of D's "
        "last hidden layer (Karras et al. 2018); a batch_size or more: the whole minibatch; 0 for "
        "none",
        low=0,
        high=65536,
    )
    maxout_pieces: int = _parameter(
        5,
        "int",
        "linear pieces of a maxout unit (Goodfellow et al. 2013)",
        low=2,
        high=64,
        when=(("discriminator_activation", "maxout"), ("generator_activation", "maxout")),
    )
    convolution_pieces: int = _parameter(
        2,
        "int",
        "linear pieces of a maxout unit of D's convolutions, where the activation is maxout",
        low=2,
        high=64,
        when=_CONVOLUTIONAL_D,
    )
    leaky_slope: float = _parameter(
        0.2,
        "float",
        "slope of leaky_relu below zero",
        low=0,
        high=1,
        when=(("discriminator_activation", "leaky_relu"), ("generator_activation", "leaky_relu")),
    )
    dropout_input: float = _parameter(
        0.2, "float", "share of D's inputs dropped; what is kept is scaled up", low=0, high=0.99
    )
    dropout_hidden: float = _parameter(
        0.5, "float", "share of the inputs of D's later layers dropped", low=0, high=0.99
    )
    init: str = _parameter(
        "uniform",
        "str",
        "weights at the start; uniform: U(-range, range) with the ranges below; normal: of zero "
        "mean; glorot: uniform, ranges by fan-in and fan-out (Glorot and Bengio 2010)",
        choices=("uniform", "normal", "glorot"),
    )
    generator_init_range: float = _parameter(
        0.05,
        "float",
        "half-width of G's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    discriminator_init_range: float = _parameter(
        0.005,
        "float",
        "half-width of D's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    init_sd: float = _parameter(
        0.02,
        "float",
        "standard deviation of both players' initial weights; .02 in Radford et al. (2016)",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "normal"),),
    )
    output_init: str = _parameter(
        "hidden",
        "str",
        "weights of G's output layer at the start; hidden: as those of its hidden layers; uniform: "
        "with a range of their own; sparse: a few from a standard normal into each unit, the "
        "others zero, as for the paper's TFD",
        choices=("hidden", "uniform", "sparse"),
    )
    output_init_range: float = _parameter(
        0.5,
        "float",
        "half-width of G's initial output weights; .5 for the paper's CIFAR-10",
        low=0,
        low_is_open=True,
        high=10,
        when=(("output_init", "uniform"),),
    )
    output_init_inputs: int = _parameter(
        100,
        "int",
        "inputs of each of G's output units whose weight isn't zero at the start",
        low=1,
        high=65536,
        when=(("output_init", "sparse"),),
    )
    generator_max_norm: float = _parameter(
        0.0,
        "float",
        "the incoming weights of each unit of G are scaled down to this norm after an update; 0 "
        "for no bound; 1.9365 for the paper's TFD",
        low=0,
        high=1e9,
    )
    discriminator_max_norm: float = _parameter(
        0.0, "float", "the same for each unit (under maxout, each piece) of D", low=0, high=1e9
    )
    pretraining: str = _parameter(
        "none",
        "str",
        "upper_layers: first train G's upper layers as a generator of their own, fed with noise, "
        "then all of G against a new D, as the authors' code does for TFD",
        choices=("none", "upper_layers"),
    )
    pretraining_updates: int = _parameter(
        98000,
        "int",
        "parameter updates of that first stage, of D and G together, out of the whole training's; "
        "the default is the authors' 50 epochs of TFD",
        low=1,
        high=10**12,
        when=(("pretraining", "upper_layers"),),
    )
    pretrained_layers: int = _parameter(
        2,
        "int",
        "hidden layers, next to G's output, that the first stage trains with it",
        low=0,
        high=1000,
        when=(("pretraining", "upper_layers"),),
    )

    def applies(self, name: str) -> bool:
        """Return whether parameter `name` has any effect in this configuration."""
        when = self.rules()[name].when
        return not when or any(getattr(self, other) == value for other, value in when)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, None where a parameter does not apply; widths as lists."""
        return {
            f.name: _plain(getattr(self, f.name)) if self.applies(f.name) else None
            for f in fields(self)
        }

    @property
    def config_id(self) -> str:
        """Eight hex digits that name this configuration: equal exactly where the training is.

        Only what differs from the paper's configuration enters, so that an id outlives parameters
        that a later version adds.
        """
        differs = {f.name: getattr(self, f.name) for f in fields(self) if self.applies(f.name)}
        paper = {f.name: f.default for f in fields(self)}
        canonical = json.dumps(
            {name: value for name, value in differs.items() if value != paper[name]},
            sort_keys=True,
        )
        return hashlib.sha256(canonical.encode()).hexdigest()[:8]


@dataclass(frozen=True)
class Budget(_Validated):
    """What a search may spend. Updates are parameter updates: k of D and one of G an iteration."""

    _what: ClassVar[str] = "budget"

    trials: int = _parameter(60, "int", "configurations that the search tries", low=1, high=10**7)
    max_updates: int = _parameter(
        60000,
        "int",
        "parameter updates of a full training, of D and G together",
        low=1,
        high=10**12,
    )
    reports: int = _parameter(20, "int", "evaluations over a full training", low=1, high=100000)
    grace: float = _parameter(
        0.15, "float", "share of max_updates that no trial is stopped before", low=0, high=1
    )
    reduction_factor: float = _parameter(
        3, "float", "at each rung the best 1/reduction_factor go on (ASHA)", low=1.1, high=100
    )
    top: int = _parameter(
        3, "int", "best configurations that are trained again on fresh seeds", low=0, high=10000
    )
    replicas: int = _parameter(
        5, "int", "fresh seeds for each of these and for the paper's", low=0, high=10000
    )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return dataclasses.asdict(self)

    def report_updates(self) -> list[int]:
        """Return the updates at (or just after) which a trial reports, ascending, without repeats.

        The last is `max_updates`. Fewer updates than reports give one report an update.
        """
        marks = (round(i * self.max_updates / self.reports) for i in range(1, self.reports + 1))
        return sorted({max(1, mark) for mark in marks})

    @property
    def grace_updates(self) -> int:
        """Updates before which no trial is stopped for its score or its health."""
        return max(1, round(self.grace * self.max_updates))


def trial_seed(run_seed: int, phase: str, index: int) -> int:
    """Return the seed in `[0, 2**31)` of trial `index` of a phase, distinct between phases."""
    digest = hashlib.sha256(f"{run_seed}/{phase}/{index}".encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def short(value: Any) -> str:
    """Return a parameter's value as people read it: `0.0307`, `64-64` for widths."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, list | tuple):
        return "-".join(map(str, value)) or "none"
    return str(value)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
