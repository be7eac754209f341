"""The parameters of G and D: noise, layers, activations, normalisation, weights at the start."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.rules import Config, parameter

ACTIVATIONS = ("relu", "leaky_relu", "elu", "tanh", "sigmoid", "maxout")
NETWORKS = ("dense", "convolutional")
_CONVOLUTIONAL_G = (("generator_network", "convolutional"),)
_CONVOLUTIONAL_D = (("discriminator_network", "convolutional"),)
_SIGMOID_G = (("generator_activation", "sigmoid"), ("generator_activation", "relu_sigmoid"))


@dataclass(frozen=True)
class NetworkParameters(Config):
    """What the two networks are; the defaults are the paper's for MNIST."""

    noise: str = parameter(
        "uniform",
        "str",
        "distribution of z, of unit variance: uniform on (-sqrt 3, sqrt 3), or standard normal",
        choices=("uniform", "normal"),
    )
    noise_dim: int = parameter(
        100, "int", "dimension of z, fed to G's lowest layer only", low=1, high=65536
    )
    generator_network: str = parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: dense layers, then a layer whose units are "
        "laid out as a map, then deconvolutions, as for the paper's second CIFAR-10 generator",
        choices=NETWORKS,
    )
    generator_widths: tuple[int, ...] = parameter(
        (1200, 1200),
        "widths",
        "units of G's hidden dense layers",
        low=1,
        high=65536,
        may_be_empty=True,
    )
    generator_channels: tuple[int, ...] = parameter(
        (80,),
        "widths",
        "channels of the maps that G's deconvolutions begin from, the lowest first; the last "
        "deconvolution gives the image",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_G,
    )
    generator_kernels: tuple[int, ...] = parameter(
        (5,),
        "widths",
        "side of each deconvolution's kernel; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_strides: tuple[int, ...] = parameter(
        (3,),
        "widths",
        "stride of each deconvolution; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_paddings: tuple[int, ...] = parameter(
        (0,),
        "widths",
        "rows and columns cut off each side of a deconvolution's map; the last entry serves the "
        "layers beyond",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_activation: str = parameter(
        "relu",
        "str",
        "activation of G's hidden layers; relu_sigmoid: relu and sigmoid in turn, relu first, as "
        "for the paper's CIFAR-10 and TFD",
        choices=(*ACTIVATIONS, "relu_sigmoid"),
    )
    generator_normalization: str = parameter(
        "none",
        "str",
        "of G's hidden layers, before the activation; batch: by the minibatch's mean and variance "
        "(Ioffe and Szegedy 2015)",
        choices=("none", "batch"),
    )
    sigmoid_bias: float = parameter(
        0.0,
        "float",
        "bias of G's hidden sigmoid layers at the start; -2 for the paper's TFD",
        low=-1000,
        high=1000,
        when=_SIGMOID_G,
    )
    generator_output: str = parameter(
        "sigmoid",
        "str",
        "output of G: sigmoid for pixels in [0, 1], linear for data without bounds",
        choices=("sigmoid", "linear"),
    )
    output_bias: str = parameter(
        "data_mean",
        "str",
        "G's output bias at the start: the training set's mean (its logit under a sigmoid) or zero",
        choices=("data_mean", "zero"),
    )
    discriminator_network: str = parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: convolutions, each with a maximum over "
        "windows, then dense layers, as for the paper's second CIFAR-10 discriminator",
        choices=NETWORKS,
    )
    discriminator_channels: tuple[int, ...] = parameter(
        (32, 32, 192),
        "widths",
        "channels of D's convolutions; under maxout, after the maximum",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_kernels: tuple[int, ...] = parameter(
        (8, 8, 5),
        "widths",
        "side of each convolution's kernel, at most the padded map's; the last entry serves the "
        "layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_strides: tuple[int, ...] = parameter(
        (1,),
        "widths",
        "stride of each convolution; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_paddings: tuple[int, ...] = parameter(
        (4, 3, 3),
        "widths",
        "zeros around each convolution's input; the last entry serves the layers beyond",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pools: tuple[int, ...] = parameter(
        (4, 4, 2),
        "widths",
        "side of the windows whose maximum each convolution passes on, at most the map's; 1 for "
        "none; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pool_strides: tuple[int, ...] = parameter(
        (2,),
        "widths",
        "stride of these windows; the last entry serves the layers beyond",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_widths: tuple[int, ...] = parameter(
        (240, 240),
        "widths",
        "units of D's hidden dense layers; under maxout, after the maximum",
        low=1,
        high=65536,
        may_be_empty=True,
    )
    discriminator_activation: str = parameter(
        "maxout", "str", "activation of D's hidden layers", choices=ACTIVATIONS
    )
    discriminator_normalization: str = parameter(
        "none",
        "str",
        "batch: of D's hidden layers but the lowest, before the activation, as for G, real and "
        "generated examples apart; spectral: of all of D's weights, by their largest singular "
        "value (Miyato et al. 2018)",
        choices=("none", "batch", "spectral"),
    )
    packing: int = parameter(
        1,
        "int",
        "examples that D judges together, all real or all generated (Lin et al. 2018, PacGAN); a "
        "minibatch then has so many times batch_size examples",
        low=1,
        high=64,
    )
    minibatch_sd: int = parameter(
        0,
        "int",
        "size of the groups of a minibatch whose mean standard deviation is one more input of D's "
        "last hidden layer (Karras et al. 2018); a batch_size or more: the whole minibatch; 0 for "
        "none",
        low=0,
        high=65536,
    )
    maxout_pieces: int = parameter(
        5,
        "int",
        "linear pieces of a maxout unit (Goodfellow et al. 2013)",
        low=2,
        high=64,
        when=(("discriminator_activation", "maxout"), ("generator_activation", "maxout")),
    )
    convolution_pieces: int = parameter(
        2,
        "int",
        "linear pieces of a maxout unit of D's convolutions, where the activation is maxout",
        low=2,
        high=64,
        when=_CONVOLUTIONAL_D,
    )
    leaky_slope: float = parameter(
        0.2,
        "float",
        "slope of leaky_relu below zero",
        low=0,
        high=1,
        when=(("discriminator_activation", "leaky_relu"), ("generator_activation", "leaky_relu")),
    )
    dropout_input: float = parameter(
        0.2, "float", "share of D's inputs dropped; what is kept is scaled up", low=0, high=0.99
    )
    dropout_hidden: float = parameter(
        0.5, "float", "share of the inputs of D's later layers dropped", low=0, high=0.99
    )
    init: str = parameter(
        "uniform",
        "str",
        "weights at the start; uniform: U(-range, range) with the ranges below; normal: of zero "
        "mean; glorot: uniform, ranges by fan-in and fan-out (Glorot and Bengio 2010)",
        choices=("uniform", "normal", "glorot"),
    )
    generator_init_range: float = parameter(
        0.05,
        "float",
        "half-width of G's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    discriminator_init_range: float = parameter(
        0.005,
        "float",
        "half-width of D's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    init_sd: float = parameter(
        0.02,
        "float",
        "standard deviation of both players' initial weights; .02 in Radford et al. (2016)",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "normal"),),
    )
    output_init: str = parameter(
        "hidden",
        "str",
        "weights of G's output layer at the start; hidden: as those of its hidden layers; uniform: "
        "with a range of their own; sparse: a few from a standard normal into each unit, the "
        "others zero, as for the paper's TFD",
        choices=("hidden", "uniform", "sparse"),
    )
    output_init_range: float = parameter(
        0.5,
        "float",
        "half-width of G's initial output weights; .5 for the paper's CIFAR-10",
        low=0,
        low_is_open=True,
        high=10,
        when=(("output_init", "uniform"),),
    )
    output_init_inputs: int = parameter(
        100,
        "int",
        "inputs of each of G's output units whose weight isn't zero at the start",
        low=1,
        high=65536,
        when=(("output_init", "sparse"),),
    )
    generator_max_norm: float = parameter(
        0.0,
        "float",
        "the incoming weights of each unit of G are scaled down to this norm after an update; 0 "
        "for no bound; 1.9365 for the paper's TFD",
        low=0,
        high=1e9,
    )
    discriminator_max_norm: float = parameter(
        0.0, "float", "the same for each unit (under maxout, each piece) of D", low=0, high=1e9
    )
    pretraining: str = parameter(
        "none",
        "str",
        "upper_layers: first train G's upper layers as a generator of their own, fed with noise, "
        "then all of G against a new D, as the authors' code does for TFD",
        choices=("none", "upper_layers"),
    )
    pretraining_updates: int = parameter(
        98000,
        "int",
        "parameter updates of that first stage, of D and G together, out of the whole training's; "
        "the default is the authors' 50 epochs of TFD",
        low=1,
        high=10**12,
        when=(("pretraining", "upper_layers"),),
    )
    pretrained_layers: int = parameter(
        2,
        "int",
        "hidden layers, next to G's output, that the first stage trains with it",
        low=0,
        high=1000,
        when=(("pretraining", "upper_layers"),),
    )
