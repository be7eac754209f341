"""A trained generator in torch's own layers alone, for use outside gansearch."""

from __future__ import annotations

import textwrap

import torch
from torch import Tensor, nn

from gansearch.artifacts import GeneratorModule
from gansearch.networks.activations import Activation
from gansearch.networks.layers import Deconvolution, Dense, Layer
from gansearch.networks.models import Generator, layers_of
from gansearch.networks.own import OwnGenerator

BLOCK = 1000  # samples that are generated together, as in `generate`
_EPSILON = 1e-5  # of batch normalisation, as in `networks.layers`
_SHIFT = """\
class Shift(nn.Module):
    def __init__(self, *shape):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, maps):
        return maps + self.bias


"""


class Shift(nn.Module):
    """Adds to each position of each channel a bias of its own."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(shape))

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps `[n, channels, height, width]` with the biases added."""
        return maps + self.bias

    def extra_repr(self) -> str:
        """Return the arguments of the constructor, as torch's own layers do."""
        return ", ".join(map(str, self.bias.shape))


def plain_generator(network: Generator, noise: str, seed: int) -> GeneratorModule:
    """Return the generator from noise `[n, noise_dim]` to images `[n, c, h, w]` or points `[n, d]`.

    Its function is that of `network`, whose images are rows in the order height, width, channel.
    """
    plain = plain_layers(network)
    return GeneratorModule(
        network=plain,
        definition=definition_of(plain),
        noise=noise_expression(noise, network.noise_dim),
        noise_dim=network.noise_dim,
        seed=seed,
        block=BLOCK,
        depends_on_company=depends_on_company(network),
    )


def depends_on_company(network: Generator) -> bool:
    """Return whether a sample depends on the others of its block."""
    return any(layer.gamma is not None for layer in layers_of(network))


def plain_layers(network: Generator) -> nn.Sequential:
    """Return the layers of a generator as torch's own, in evaluation mode."""
    modules: list[nn.Module] = []
    layers = layers_of(network)
    is_image = len(network.shape) == 3
    for layer in layers:
        if isinstance(layer, Deconvolution):
            modules += _deconvolution(layer, after_rows=_gives_rows(modules))
        else:
            assert isinstance(layer, Dense)
            is_output = layer is layers[-1]
            modules += _dense(layer, network.shape if is_output and is_image else None)
    if is_image and not isinstance(layers[-1], Deconvolution):
        height, width, channels = network.shape
        modules.append(nn.Unflatten(1, (channels, height, width)))
    return nn.Sequential(*modules).requires_grad_(False).eval()


class Scaled(nn.Module):
    """A user's own G, whose pixels are brought to [0, 1]; `[n, channels, height, width]`."""

    def __init__(self, network: OwnGenerator) -> None:
        super().__init__()
        self.net = network.net
        self.shape = network.shape
        self.value_range = network.value_range

    def forward(self, noise: Tensor) -> Tensor:
        """Return images `[n, channels, height, width]` or points `[n, d]`."""
        made: Tensor = self.net(noise)
        if len(self.shape) == 3 and made.dim() != 4:  # rows, by height, width, channel
            made = made.reshape(-1, *self.shape).permute(0, 3, 1, 2)
        if self.value_range is None:
            return made
        low, high = self.value_range
        return (made - low) / (high - low)


def own_generator_module(network: OwnGenerator, noise: str, seed: int) -> GeneratorModule:
    """Return a user's own G, with pixels in [0, 1]; only the user's code defines its layers."""
    return GeneratorModule(
        network=Scaled(network).requires_grad_(False).eval(),
        definition=None,
        noise=noise_expression(noise, network.noise_dim),
        noise_dim=network.noise_dim,
        seed=seed,
        block=BLOCK,
        depends_on_company=network.depends_on_batch,
    )


def noise_expression(distribution: str, dim: int) -> str:
    """Return Python for noise `[n, dim]`, as `draw_noise` draws it."""
    if distribution == "normal":
        return f"torch.randn(n, {dim}, generator=rng)"
    return f"(2 * torch.rand(n, {dim}, generator=rng) - 1) * 3**0.5"


def _dense(layer: Dense, image: tuple[int, ...] | None) -> list[nn.Module]:
    """Return a dense layer as torch's; the outputs of an image's are ordered by channel first."""
    n_affine = layer.weight.shape[1]
    order = _by_unit(layer.activation, n_affine)
    if image is not None:
        height, width, channels = image
        by_channel = torch.arange(n_affine).view(height, width, channels).permute(2, 0, 1)
        order = by_channel.flatten()
    linear = nn.Linear(layer.n_in, n_affine, bias=layer.gamma is None)
    _fill(linear.weight, layer.weight.T[order])
    modules: list[nn.Module] = [linear]
    if layer.gamma is None:
        _fill(linear.bias, layer.bias[order])
    else:
        modules.append(_normalisation(nn.BatchNorm1d, layer, order))
    if layer.activation.pieces > 1:
        return [*modules, nn.MaxPool1d(layer.activation.pieces)]
    return modules + _activation(layer.activation)


def _deconvolution(layer: Deconvolution, *, after_rows: bool) -> list[nn.Module]:
    channels_in, n_affine, kernel, _ = layer.weight.shape
    order = _by_unit(layer.activation, n_affine)
    has_bias = layer.gamma is None and not layer.untied_bias
    convolution = nn.ConvTranspose2d(
        *(channels_in, n_affine, kernel, layer.stride, layer.padding), bias=has_bias
    )
    _fill(convolution.weight, layer.weight[:, order])
    modules: list[nn.Module] = [nn.Unflatten(1, layer.map_in)] if after_rows else []
    modules.append(convolution)
    if (crop := _crop(layer, kernel)) is not None:
        modules.append(crop)
    if layer.gamma is not None:
        modules.append(_normalisation(nn.BatchNorm2d, layer, order))
    elif layer.untied_bias:
        shift = Shift(*layer.bias.shape)
        _fill(shift.bias, layer.bias[order])
        modules.append(shift)
    else:
        assert convolution.bias is not None
        _fill(convolution.bias, layer.bias[order])
    if layer.activation.pieces > 1:
        _, height, width = layer.map_out
        pool = nn.MaxPool2d((layer.activation.pieces, 1))
        return [*modules, nn.Flatten(2), pool, nn.Unflatten(2, (height, width))]
    return modules + _activation(layer.activation)


def _crop(layer: Deconvolution, kernel: int) -> nn.Module | None:
    """Return what cuts the map to the wanted one; None where it is that already."""
    _, height, width = layer.map_out
    full = [(s - 1) * layer.stride - 2 * layer.padding + kernel for s in layer.map_in[1:]]
    bottom, right = full[0] - layer.top - height, full[1] - layer.left - width
    if not any((layer.left, right, layer.top, bottom)):
        return None
    return nn.ZeroPad2d((-layer.left, -right, -layer.top, -bottom))


def _normalisation(
    kind: type[nn.BatchNorm1d | nn.BatchNorm2d], layer: Layer, order: Tensor
) -> nn.Module:
    """Return batch normalisation by the statistics of the rows at hand, as in training."""
    assert layer.gamma is not None
    found = kind(len(layer.gamma), eps=_EPSILON, track_running_stats=False)
    _fill(found.weight, layer.gamma[order])
    _fill(found.bias, layer.bias[order])
    return found


def _activation(activation: Activation) -> list[nn.Module]:
    simple = {
        "relu": nn.ReLU,
        "elu": nn.ELU,
        "softplus": nn.Softplus,
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
    }
    if activation.name == "linear":
        return []
    if activation.name == "leaky_relu":
        return [nn.LeakyReLU(activation.slope)]
    return [simple[activation.name]()]


def _by_unit(activation: Activation, n_affine: int) -> Tensor:
    """Return the order in which the pieces of each maxout unit stand side by side."""
    return torch.arange(n_affine).view(activation.pieces, -1).T.flatten()


def _gives_rows(modules: list[nn.Module]) -> bool:
    return not any(isinstance(module, nn.ConvTranspose2d) for module in modules)


@torch.no_grad()
def _fill(parameter: Tensor, values: Tensor) -> None:
    parameter.copy_(values)


def definition_of(plain: nn.Sequential, name: str = "generator") -> str:
    """Return Python that builds the same layers under a name: torch shows each as its constructor.

    It begins with the class `Shift` where that is one of them.
    """
    lines = [f"{'' if isinstance(m, Shift) else 'nn.'}{m!r}," for m in plain]
    layers = textwrap.indent("\n".join(lines), "    ")
    shift = _SHIFT if any(isinstance(module, Shift) for module in plain) else ""
    return f"{shift}{name} = nn.Sequential(\n{layers}\n)\n"
