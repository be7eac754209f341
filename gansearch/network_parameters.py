"""The parameters of G and D: noise, layers, activations, normalization, initial weights."""

from __future__ import annotations

from dataclasses import dataclass

from gansearch.rules import Config, parameter

ACTIVATIONS = ("relu", "leaky_relu", "elu", "softplus", "tanh", "sigmoid", "maxout")
NETWORKS = ("dense", "convolutional")
_CONVOLUTIONAL_G = (("generator_network", "convolutional"),)
_CONVOLUTIONAL_D = (("discriminator_network", "convolutional"),)
_SIGMOID_G = (("generator_activation", "sigmoid"), ("generator_activation", "relu_sigmoid"))


@dataclass(frozen=True)
class NoiseParameters(Config):
    """What G starts from; the defaults are the paper's for MNIST."""

    noise: str = parameter(
        "uniform",
        "str",
        "distribution of z, with unit variance: uniform on (-sqrt 3, sqrt 3), or standard normal",
        choices=("uniform", "normal"),
    )
    noise_dim: int = parameter(
        100, "int", "dimension of z, the input of G's lowest layer", low=1, high=65536
    )


@dataclass(frozen=True)
class NetworkParameters(NoiseParameters):
    """The two networks; the defaults are the paper's for MNIST."""

    generator_network: str = parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: dense layers, then a layer whose units "
        "form a feature map, then deconvolutions, as in the paper's second generator for CIFAR-10",
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
        "channels of the input of each deconvolution, the lowest first; the last deconvolution "
        "outputs the image",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_G,
    )
    generator_kernels: tuple[int, ...] = parameter(
        (5,),
        "widths",
        "side of each deconvolution's kernel; the last entry applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_strides: tuple[int, ...] = parameter(
        (3,),
        "widths",
        "stride of each deconvolution; the last entry applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_paddings: tuple[int, ...] = parameter(
        (0,),
        "widths",
        "rows and columns cut from each side of a deconvolution's output; the last entry applies "
        "to all further layers",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_G,
    )
    generator_activation: str = parameter(
        "relu",
        "str",
        "activation of G's hidden layers; relu_sigmoid: relu and sigmoid alternate, relu first, "
        "as in the paper's networks for CIFAR-10 and TFD",
        choices=(*ACTIVATIONS, "relu_sigmoid"),
    )
    generator_normalization: str = parameter(
        "none",
        "str",
        "normalization of G's hidden layers, before the activation; batch: by the mean and "
        "variance of the minibatch (Ioffe and Szegedy 2015)",
        choices=("none", "batch"),
    )
    sigmoid_bias: float = parameter(
        0.0,
        "float",
        "initial bias of G's hidden sigmoid layers; -2 in the paper's configuration for TFD",
        low=-1000,
        high=1000,
        when=_SIGMOID_G,
    )
    generator_output: str = parameter(
        "sigmoid",
        "str",
        "output of G; sigmoid: for pixels in [0, 1]; linear: for unbounded data",
        choices=("sigmoid", "linear"),
    )
    output_bias: str = parameter(
        "data_mean",
        "str",
        "initial bias of G's output; data_mean: the mean of the training set, or under a sigmoid "
        "its logit",
        choices=("data_mean", "zero"),
    )
    discriminator_network: str = parameter(
        "dense",
        "str",
        "dense: a multilayer perceptron; convolutional: convolutions with max pooling, then dense "
        "layers, as in the paper's second discriminator for CIFAR-10",
        choices=NETWORKS,
    )
    discriminator_channels: tuple[int, ...] = parameter(
        (32, 32, 192),
        "widths",
        "output channels of D's convolutions; for maxout, after the maximum",
        low=1,
        high=65536,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_kernels: tuple[int, ...] = parameter(
        (8, 8, 5),
        "widths",
        "side of each convolution's kernel, at most that of its padded input; the last entry "
        "applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_strides: tuple[int, ...] = parameter(
        (1,),
        "widths",
        "stride of each convolution; the last entry applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_paddings: tuple[int, ...] = parameter(
        (4, 3, 3),
        "widths",
        "zeros added on each side of a convolution's input; the last entry applies to all further "
        "layers",
        low=0,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pools: tuple[int, ...] = parameter(
        (4, 4, 2),
        "widths",
        "side of the max pooling windows after each convolution, at most that of the map; 1: no "
        "pooling; the last entry applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_pool_strides: tuple[int, ...] = parameter(
        (2,),
        "widths",
        "stride of the max pooling; the last entry applies to all further layers",
        low=1,
        high=1024,
        when=_CONVOLUTIONAL_D,
    )
    discriminator_widths: tuple[int, ...] = parameter(
        (240, 240),
        "widths",
        "units of D's hidden dense layers; for maxout, after the maximum",
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
        "batch: normalization of D's hidden layers except the lowest, before the activation, by "
        "the mean and variance of the minibatch, for real and generated examples separately; "
        "spectral: D's weights are divided by their largest singular value (Miyato et al. 2018)",
        choices=("none", "batch", "spectral"),
    )
    packing: int = parameter(
        1,
        "int",
        "examples that D classifies together, all real or all generated (Lin et al. 2018, "
        "PacGAN); a minibatch then has packing times batch_size examples",
        low=1,
        high=64,
    )
    minibatch_sd: int = parameter(
        0,
        "int",
        "size of the groups of a minibatch whose mean standard deviation is an additional input "
        "of D's last hidden layer (Karras et al. 2018); batch_size or more: the whole minibatch; "
        "0: off",
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
        "linear pieces of a maxout unit in D's convolutions, if the activation is maxout",
        low=2,
        high=64,
        when=_CONVOLUTIONAL_D,
    )
    leaky_slope: float = parameter(
        0.2,
        "float",
        "slope of leaky_relu for negative inputs",
        low=0,
        high=1,
        when=(("discriminator_activation", "leaky_relu"), ("generator_activation", "leaky_relu")),
    )
    dropout_input: float = parameter(
        0.2,
        "float",
        "fraction of D's inputs that dropout sets to zero; the others are scaled up",
        low=0,
        high=0.99,
    )
    dropout_hidden: float = parameter(
        0.5,
        "float",
        "fraction of the inputs of D's later layers that dropout sets to zero",
        low=0,
        high=0.99,
    )
    init: str = parameter(
        "uniform",
        "str",
        "initial weights; uniform: U(-range, range), with the ranges below; normal: with zero "
        "mean; glorot: uniform, with ranges from fan-in and fan-out (Glorot and Bengio 2010)",
        choices=("uniform", "normal", "glorot"),
    )
    generator_init_range: float = parameter(
        0.05,
        "float",
        "half-width of the uniform distribution of G's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    discriminator_init_range: float = parameter(
        0.005,
        "float",
        "half-width of the uniform distribution of D's initial weights",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "uniform"),),
    )
    init_sd: float = parameter(
        0.02,
        "float",
        "standard deviation of the initial weights of G and D; .02 in Radford et al. (2016)",
        low=0,
        low_is_open=True,
        high=10,
        when=(("init", "normal"),),
    )
    output_init: str = parameter(
        "hidden",
        "str",
        "initial weights of G's output layer; hidden: like those of its hidden layers; uniform: "
        "with a range of their own; sparse: a few standard normal weights for each unit, the "
        "others zero, as in the paper's configuration for TFD",
        choices=("hidden", "uniform", "sparse"),
    )
    output_init_range: float = parameter(
        0.5,
        "float",
        "half-width of the uniform distribution of G's initial output weights; .5 in the paper's "
        "configuration for CIFAR-10",
        low=0,
        low_is_open=True,
        high=10,
        when=(("output_init", "uniform"),),
    )
    output_init_inputs: int = parameter(
        100,
        "int",
        "nonzero initial weights of each of G's output units",
        low=1,
        high=65536,
        when=(("output_init", "sparse"),),
    )
    generator_max_norm: float = parameter(
        0.0,
        "float",
        "after each update, the incoming weights of each unit of G are scaled down to at most "
        "this norm; 0: no limit; 1.9365 in the paper's configuration for TFD",
        low=0,
        high=1e9,
    )
    discriminator_max_norm: float = parameter(
        0.0, "float", "the same for each unit of D (for maxout, each piece)", low=0, high=1e9
    )
    pretraining: str = parameter(
        "none",
        "str",
        "upper_layers: first train G's upper layers alone, with noise as their input, then all of "
        "G with a new D, as the authors' code does for TFD",
        choices=("none", "upper_layers"),
    )
    pretraining_updates: int = parameter(
        98000,
        "int",
        "parameter updates of this first stage, of D and G together, counted as part of the "
        "training; the default is 50 epochs of TFD, as in the authors' code",
        low=1,
        high=10**12,
        when=(("pretraining", "upper_layers"),),
    )
    pretrained_layers: int = parameter(
        2,
        "int",
        "hidden layers next to G's output that the first stage trains with it",
        low=0,
        high=1000,
        when=(("pretraining", "upper_layers"),),
    )
