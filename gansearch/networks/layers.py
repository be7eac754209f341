"""The layers that both players are made of: dense, convolutional, deconvolutional.

Every layer takes rows and gives rows, `[n, n_in]` to `[n, n_out]`. A map of `(channels, height,
width)` is a row in this order, so that any layer can follow any other. Parameters may carry a
leading member axis, `[members, in, units]` instead of `[in, units]`: the same forward pass then
serves several networks at once, on inputs `[members, n, n_in]`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gansearch.networks.activations import Activation

Map = tuple[int, int, int]  # channels, height, width
_EPSILON = 1e-5  # below the variance in batch normalisation, as in Radford et al. (2016)
_SD_EPSILON = 1e-8  # the same in a group's standard deviation, as in Karras et al.'s code


class Layer(nn.Module):
    """An affine map, batch normalisation where asked for, and an activation.

    Attributes:
        in_axes: the axes of the weight that a unit (of a convolution: a channel) sums over.
        unit_axis: the axis of the weight that counts units, `pieces` of each.
        n_in, n_out: values in a row that the layer takes and gives.
        gamma: the scale after batch normalisation (Ioffe and Szegedy 2015), `[pieces * units]`; the
            bias is its beta. None for a layer that isn't normalised.
        is_composed: batch normalise by elementary operations: slower, but they have the third
            derivatives that unrolling through a gradient penalty takes, which torch's own lacks.
        u, v: under spectral normalisation (Miyato et al. 2018) the estimates of the first left and
            right singular vectors of the weight as a matrix, see `power_iterate`; else None.
    """

    in_axes: ClassVar[tuple[int, ...]]
    unit_axis: ClassVar[int]
    weight: nn.Parameter
    bias: nn.Parameter
    gamma: nn.Parameter | None
    u: Tensor | None
    v: Tensor | None
    n_out: int

    def __init__(
        self,
        weight_shape: tuple[int, ...],
        bias_shape: tuple[int, ...],
        activation: Activation,
        *,
        n_in: int,
        normalised: bool,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.n_in = n_in
        self.activation = activation
        self.is_composed = False
        self.weight = nn.Parameter(torch.empty(weight_shape))
        self.bias = nn.Parameter(torch.zeros(bias_shape))
        self.gamma = nn.Parameter(torch.ones(bias_shape[0])) if normalised else None
        sides = self._matrix().shape if spectral else ()
        for name, side in zip("uv", sides or (None, None), strict=True):
            self.register_buffer(name, None if side is None else torch.zeros(side))

    def forward(self, x: Tensor, n_batches: int = 1) -> Tensor:
        """Apply the layer to rows `[n, n_in]` that hold `n_batches` minibatches of equal size."""
        if self.gamma is None:
            return self.activation(self._affine(x, self.bias))
        normalise = _composed_batch_normalised if self.is_composed else _batch_normalised
        return self.activation(normalise(self._affine(x, None), self.gamma, self.bias, n_batches))

    def fans(self) -> tuple[int, int]:
        """Return fan-in and fan-out: connections into a unit and out of an input.

        Of a maxout unit's pieces only one passes the gradient back: its fan-out is the unit's.
        """
        n_units = self.weight.shape[self.unit_axis]
        fan_in = self.weight.numel() // n_units
        receptive = math.prod(self.weight.shape[-2:]) if self.weight.dim() == 4 else 1
        return fan_in, n_units // self.activation.pieces * receptive

    def used_weight(self) -> Tensor:
        """Return the weight that the layer applies: under spectral normalisation W / sigma(W).

        sigma = u' W v (Miyato et al. 2018, Equation 8), through which the gradient flows while u
        and v are held constant.
        """
        if self.u is None or self.v is None:
            return self.weight
        matrix = self._matrix()
        sigma = self.u.unsqueeze(-2) @ matrix @ self.v.unsqueeze(-1)
        return (matrix / sigma).view_as(self.weight)

    @torch.no_grad()
    def power_iterate(self) -> None:
        """Bring u and v nearer the first singular vectors (Miyato et al. 2018, Algorithm 1)."""
        if self.u is None or self.v is None:
            return
        matrix = self._matrix()
        self.v.copy_(F.normalize((self.u.unsqueeze(-2) @ matrix).squeeze(-2), dim=-1))
        self.u.copy_(F.normalize((matrix @ self.v.unsqueeze(-1)).squeeze(-1), dim=-1))

    def _matrix(self) -> Tensor:
        """Return the weight as a matrix, of a convolution `[out, in * height * width]`."""
        return self.weight.flatten(-len(self.in_axes))

    def _affine(self, x: Tensor, bias: Tensor | None) -> Tensor:
        raise NotImplementedError


def affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return x W + b, `[..., n, units]`, of one network or of several."""
    if weight.dim() == 2:
        return torch.addmm(bias, x, weight)
    return torch.baddbmm(bias.unsqueeze(-2), x, weight)


class Dense(Layer):
    """A layer whose units all see the whole row; weight `[n_in, pieces * units]`."""

    in_axes = (-2,)
    unit_axis = -1

    def __init__(
        self,
        n_in: int,
        units: int,
        activation: Activation,
        *,
        normalised: bool = False,
        spectral: bool = False,
    ) -> None:
        n_affine = activation.pieces * units
        shapes = (n_in, n_affine), (n_affine,)
        super().__init__(*shapes, activation, n_in=n_in, normalised=normalised, spectral=spectral)
        self.n_out = units

    def _affine(self, x: Tensor, bias: Tensor | None) -> Tensor:
        weight = self.used_weight()
        return x @ weight if bias is None else affine(x, weight, bias)


class Convolution(Layer):
    """A convolution, its activation, and the maximum over windows of its maps.

    Weight `[pieces * channels, channels in, height, width]`. The kernel is cut to the padded map,
    the window to the convolution's map. Windows begin every `pool_stride` and cover all of the map;
    the last may hang over its edge.
    """

    in_axes = (-3, -2, -1)
    unit_axis = -4

    def __init__(
        self,
        map_in: Map,
        channels: int,
        activation: Activation,
        *,
        kernel: int,
        stride: int = 1,
        padding: int = 0,
        pool: int = 1,
        pool_stride: int = 1,
        normalised: bool = False,
        spectral: bool = False,
    ) -> None:
        padded = [side + 2 * padding for side in map_in[1:]]
        kernels = [min(kernel, side) for side in padded]
        n_affine = activation.pieces * channels
        super().__init__(
            (n_affine, map_in[0], *kernels),
            (n_affine,),
            activation,
            n_in=math.prod(map_in),
            normalised=normalised,
            spectral=spectral,
        )
        self.map_in, self.stride, self.padding = map_in, stride, padding
        sides = [(side - cut) // stride + 1 for side, cut in zip(padded, kernels, strict=True)]
        self._before_pool: Map = (channels, sides[0], sides[1])
        self._has_pool = pool > 1
        self._windows = [min(pool, side) for side in sides]
        self._pool_stride = pool_stride
        if self._has_pool:
            pooled = zip(sides, self._windows, strict=True)
            sides = [_n_windows(side, window, pool_stride) for side, window in pooled]
        self.map_out: Map = (channels, sides[0], sides[1])
        self.n_out = math.prod(self.map_out)

    def forward(self, x: Tensor, n_batches: int = 1) -> Tensor:
        """Return the maxima `[n, n_out]` of the maps that the convolution gives."""
        h = super().forward(x, n_batches)
        if not self._has_pool:
            return h
        maps = torch.unflatten(h, -1, self._before_pool)
        pooled = F.max_pool2d(maps.flatten(0, -4), self._windows, self._pool_stride, ceil_mode=True)
        return pooled.reshape(*maps.shape[:-3], self.n_out)

    def _affine(self, x: Tensor, bias: Tensor | None) -> Tensor:
        maps = torch.unflatten(x, -1, self.map_in)
        how = {"stride": self.stride, "padding": self.padding}
        return _convolved(F.conv2d, maps, self.used_weight(), bias, **how).flatten(-3)


class Deconvolution(Layer):
    """A transposed convolution, cropped to the wanted map; weight `[channels in, out, side, side]`.

    `padding` rows and columns are cut off each side, and then what the map still has too much, half
    of it at the top and left; of an odd number of rows or columns one more there.
    """

    in_axes = (-4, -2, -1)
    unit_axis = -3

    def __init__(
        self,
        map_in: Map,
        map_out: Map,
        activation: Activation,
        *,
        kernel: int,
        stride: int,
        padding: int,
        normalised: bool = False,
        untied_bias: bool = False,
    ) -> None:
        n_affine = activation.pieces * map_out[0]
        super().__init__(
            (map_in[0], n_affine, kernel, kernel),
            (n_affine, *map_out[1:]) if untied_bias else (n_affine,),
            activation,
            n_in=math.prod(map_in),
            normalised=normalised,
        )
        self.map_in, self.map_out, self.n_out = map_in, map_out, math.prod(map_out)
        self.stride, self.padding, self.untied_bias = stride, padding, untied_bias
        full = [(side - 1) * stride - 2 * padding + kernel for side in map_in[1:]]
        excess = [has - wanted for has, wanted in zip(full, map_out[1:], strict=True)]
        self.top, self.left = ((n + 1) // 2 for n in excess)

    def _affine(self, x: Tensor, bias: Tensor | None) -> Tensor:
        maps = torch.unflatten(x, -1, self.map_in)
        tied = None if self.untied_bias else bias
        how = {"stride": self.stride, "padding": self.padding}
        z = _convolved(F.conv_transpose2d, maps, self.weight, tied, **how)
        _, height, width = self.map_out
        z = z[..., self.top : self.top + height, self.left : self.left + width]
        if self.untied_bias and bias is not None:
            z = z + bias.unsqueeze(-4)
        return z.flatten(-3)


def side_below(side: int, kernel: int, stride: int, padding: int) -> int:
    """Return the side of the smallest map whose deconvolution covers one of `side`.

    >>> side_below(32, kernel=5, stride=3, padding=0)
    10
    """
    return max(1, math.ceil((side + 2 * padding - kernel) / stride) + 1)


@torch.no_grad()
def bound_norms(layers: list[Layer], max_norm: float | Tensor, due: Tensor | None = None) -> None:
    """Scale down each unit's incoming weights, in place, where their norm exceeds `max_norm`.

    Of several networks each has its own bound, and those that aren't `due` (`[members]`) stay.
    """
    for layer in layers:
        norms = torch.linalg.vector_norm(layer.weight, dim=layer.in_axes, keepdim=True)
        factors = (per_member(max_norm, norms) / norms).clamp_(max=1)
        if due is not None:
            factors = torch.where(per_member(due, norms), factors, 1.0)
        layer.weight.mul_(factors)


def per_member(value: float | Tensor, like: Tensor) -> Any:
    """Return a value of each member, `[members]`, so that it broadcasts over `like`."""
    return value.view(-1, *[1] * (like.dim() - 1)) if isinstance(value, Tensor) else value


def with_group_sd(x: Tensor, group: int, n_batches: int) -> Tensor:
    """Return rows `[n, d + 1]`: `[n, d]`, each with the mean standard deviation of its group.

    Of each feature over `group` consecutive rows of a minibatch, then averaged over features
    (Karras et al. 2018, section 3). The last group of a minibatch holds the rows that are left.
    """
    batches = torch.unflatten(x, -2, (n_batches, -1))
    m = batches.shape[-2]
    size = min(group, m)
    whole, rest = torch.split(batches, [m - m % size, m % size], -2)
    sds = [_group_sd(torch.unflatten(whole, -2, (-1, size))).flatten(-3, -2)]
    if m % size:
        sds.append(_group_sd(rest))
    return torch.cat((x, torch.cat(sds, -2).flatten(-3, -2)), -1)


def _group_sd(rows: Tensor) -> Tensor:
    """Return for each of `[g, d]` the mean over features of their sd over rows, `[g, 1]`."""
    variance = rows.var(-2, correction=0, keepdim=True)
    # Within the root, so that the gradient is finite where all rows are the same.
    sd = (variance + _SD_EPSILON).sqrt().mean(-1, keepdim=True)
    return sd.expand(*rows.shape[:-1], 1)


def _batch_normalised(z: Tensor, gamma: Tensor, beta: Tensor, n_batches: int) -> Tensor:
    """Return rows `[n, d]` normalised over each minibatch and, within a map, its positions."""
    # Torch normalises channels, and much faster than a mean and a variance would: so minibatches,
    # and members, become channels side by side, `[m, members * batches * channels, positions]`.
    batches = torch.unflatten(z, -2, (n_batches, -1)).movedim(-2, 0)
    scale, shift = (torch.stack([p] * n_batches, -2).flatten() for p in (gamma, beta))
    channels = batches.reshape(len(batches), len(scale), -1)
    # Not F.batch_norm, which refuses a minibatch of one example.
    normal = torch.batch_norm(channels, scale, shift, None, None, True, 0.0, _EPSILON, True)
    return normal.view_as(batches).movedim(0, -2).flatten(-3, -2)


def _composed_batch_normalised(z: Tensor, gamma: Tensor, beta: Tensor, n_batches: int) -> Tensor:
    """Return the same as `_batch_normalised`, by elementary operations."""
    channels = gamma.shape[-1]
    maps = torch.unflatten(torch.unflatten(z, -1, (channels, -1)), -3, (n_batches, -1))
    variance, mean = torch.var_mean(maps, (-3, -1), correction=0, keepdim=True)
    scale, shift = (p[..., None, None, :, None] for p in (gamma, beta))
    normal = (maps - mean) * (variance + _EPSILON).rsqrt() * scale + shift
    return normal.flatten(-4, -3).flatten(-2)


def _convolved(
    function: Callable[..., Tensor], x: Tensor, weight: Tensor, bias: Tensor | None, **how: Any
) -> Tensor:
    """Convolve `[n, c, h, w]`, or `[members, n, c, h, w]` with stacked weights as groups."""
    z: Tensor
    if weight.dim() == 4:
        z = function(x, weight, bias, **how)
        return z
    members = len(weight)
    stacked = x.transpose(0, 1).flatten(1, 2)
    flat = None if bias is None else bias.flatten()
    z = function(stacked, weight.flatten(0, 1), flat, groups=members, **how)
    return torch.unflatten(z, 1, (members, -1)).transpose(0, 1)


def _n_windows(side: int, window: int, stride: int) -> int:
    """Return how many windows cover `side`; each begins within it."""
    n = math.ceil((side - window) / stride) + 1
    return n - 1 if (n - 1) * stride >= side else n
