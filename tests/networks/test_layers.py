"""The layers, against the definitions: sums written out, torch's own modules, and by hand."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gansearch.networks.activations import LINEAR, Activation
from gansearch.networks.layers import Convolution, Deconvolution, Dense, bound_norms, side_below

RELU = Activation("relu")


def filled(layer, seed=0):
    """Return the layer with all its parameters drawn from a standard normal."""
    rng = torch.Generator().manual_seed(seed)
    for p in layer.parameters():
        p.data = torch.randn(p.shape, generator=rng)
    return layer


def rows(n, layer, seed=1):
    return torch.randn(n, layer.n_in, generator=torch.Generator().manual_seed(seed))


def by_hand(x, weight, bias, stride, padding):
    """Return a convolution `[n, out, h, w]` as its definition has it, sum by sum."""
    x = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    n_out, _, kh, kw = weight.shape
    height, width = (x.shape[2] - kh) // stride + 1, (x.shape[3] - kw) // stride + 1
    z = np.empty((len(x), n_out, height, width))
    for n, o, i, j in np.ndindex(z.shape):
        window = x[n, :, i * stride : i * stride + kh, j * stride : j * stride + kw]
        z[n, o, i, j] = (window * weight[o]).sum() + bias[o]
    return z


@pytest.mark.parametrize(("stride", "padding"), [(1, 0), (2, 1), (3, 2)])
def test_a_convolution_is_the_sum_over_each_window(stride, padding):
    layer = filled(Convolution((2, 5, 6), 3, LINEAR, kernel=3, stride=stride, padding=padding))
    x = rows(2, layer)
    expected = by_hand(
        x.reshape(2, 2, 5, 6).numpy(), *(p.detach().numpy() for p in (layer.weight, layer.bias)),
        stride, padding,
    )  # fmt: skip
    assert layer.map_out == expected.shape[1:]
    assert np.allclose(layer(x).detach().numpy(), expected.reshape(2, -1), atol=1e-5)


def test_a_convolutions_maxout_unit_is_the_largest_of_its_pieces_at_each_position():
    layer = filled(Convolution((1, 4, 4), 3, Activation("maxout", 2), kernel=2))
    x = rows(5, layer)
    affine = F.conv2d(x.reshape(5, 1, 4, 4), layer.weight, layer.bias)
    expected = torch.maximum(affine[:, :3], affine[:, 3:])
    assert torch.equal(layer(x), expected.flatten(1))


def test_a_kernel_larger_than_the_padded_map_is_cut_to_it():
    layer = Convolution((1, 3, 5), 2, RELU, kernel=6, padding=1)
    assert layer.weight.shape == (2, 1, 5, 6)
    assert layer.map_out == (2, 1, 2)


def test_the_windows_of_a_maximum_cover_the_whole_map_and_may_hang_over_its_edge():
    layer = Convolution((1, 5, 5), 1, LINEAR, kernel=1, pool=2, pool_stride=2)
    layer.weight.data.fill_(1)
    x = torch.arange(25.0).reshape(1, 25)
    assert layer.map_out == (1, 3, 3)
    assert layer(x).tolist() == [[6, 8, 9, 16, 18, 19, 21, 23, 24]]


@pytest.mark.parametrize(
    ("side", "pool", "stride", "expected"),
    [(33, 4, 2, 16), (15, 4, 2, 7), (9, 2, 2, 5), (3, 4, 2, 1),
     (5, 1, 2, 5), (5, 2, 4, 2), (6, 2, 5, 2)],
)  # fmt: skip
def test_the_sizes_after_a_maximum_are_those_of_torch(side, pool, stride, expected):
    layer = filled(Convolution((1, side, side), 2, RELU, kernel=1, pool=pool, pool_stride=stride))
    assert layer.map_out == (2, expected, expected)
    assert layer(rows(3, layer)).shape == (3, layer.n_out)


def test_a_window_larger_than_the_map_takes_all_of_it():
    layer = filled(Convolution((1, 3, 3), 2, LINEAR, kernel=1, pool=10, pool_stride=3))
    x = rows(4, layer)
    whole = layer.weight.flatten() * x.unsqueeze(-1)
    assert torch.allclose(layer(x), whole.amax(1) + layer.bias)


def scattered(x, weight, stride):
    """Return a transposed convolution as it is defined: every input adds a kernel to the output."""
    n, _, height, width = x.shape
    _, n_out, kernel, _ = weight.shape
    z = np.zeros((n, n_out, (height - 1) * stride + kernel, (width - 1) * stride + kernel))
    for i, j in np.ndindex(height, width):
        where = np.s_[:, :, i * stride : i * stride + kernel, j * stride : j * stride + kernel]
        z[where] += np.einsum("nc,cohw->nohw", x[:, :, i, j], weight)
    return z


@pytest.mark.parametrize(
    ("below", "wanted", "kernel", "stride", "padding", "top"),
    [(2, 8, 5, 3, 0, 0), (3, 7, 4, 2, 0, 1), (4, 7, 4, 2, 1, 2), (2, 3, 2, 5, 1, 2),
     (1, 3, 4, 2, 0, 1)],
)  # fmt: skip
def test_a_deconvolution_scatters_kernels_and_is_cropped_evenly_first_at_the_top_left(
    below, wanted, kernel, stride, padding, top
):
    layer = filled(
        Deconvolution(
            (2, below, below), (3, wanted, wanted), RELU,
            kernel=kernel, stride=stride, padding=padding,
        )
    )  # fmt: skip
    assert side_below(wanted, kernel, stride, padding) == below
    x = rows(2, layer)
    full = scattered(x.reshape(2, 2, below, below).numpy(), layer.weight.detach().numpy(), stride)
    kept = full[:, :, top : top + wanted, top : top + wanted]
    expected = kept + layer.bias.detach().numpy()[:, None, None]
    assert expected.shape == (2, 3, wanted, wanted)
    assert np.allclose(layer(x).detach().numpy(), expected.clip(0).reshape(2, -1), atol=1e-5)


def test_an_untied_bias_is_one_a_pixel():
    how = {"kernel": 3, "stride": 2, "padding": 0}
    tied = filled(Deconvolution((1, 2, 2), (2, 5, 5), LINEAR, **how))
    untied = Deconvolution((1, 2, 2), (2, 5, 5), LINEAR, untied_bias=True, **how)
    untied.weight = tied.weight
    pixels = torch.arange(50.0).reshape(2, 5, 5)
    untied.bias.data = pixels
    x = rows(3, tied)
    without = tied(x).reshape(3, 2, 25) - tied.bias[:, None]
    assert torch.allclose(untied(x), without.flatten(1) + pixels.flatten(), atol=1e-5)


def test_the_map_below_is_the_smallest_that_covers_the_one_above():
    for side, *how in itertools.product(range(1, 9), range(1, 7), range(1, 5), range(4)):
        kernel, stride, padding = how
        below = side_below(side, *how)
        covers = [(s - 1) * stride - 2 * padding + kernel >= side for s in range(1, below + 1)]
        assert covers == [False] * (below - 1) + [True]


def test_the_papers_and_dcgans_maps_have_their_sizes():
    assert side_below(32, 5, 3, 0) == 10
    sides = {32: [16, 8, 4], 28: [14, 7, 4]}
    for side, expected in sides.items():
        found = [side := side_below(side, 4, 2, 1) for _ in range(3)]
        assert found == expected


def test_dense_batch_normalisation_is_torchs():
    layer = filled(Dense(4, 6, RELU, normalised=True))
    reference = nn.BatchNorm1d(6)
    reference.weight, reference.bias = layer.gamma, layer.bias
    x = rows(9, layer)
    assert torch.allclose(layer(x), torch.relu(reference(x @ layer.weight)), atol=1e-5)


def test_in_maps_the_statistics_are_those_of_a_channel():
    layer = filled(Convolution((2, 5, 4), 3, LINEAR, kernel=2, normalised=True))
    reference = nn.BatchNorm2d(3)
    reference.weight, reference.bias = layer.gamma, layer.bias
    x = rows(6, layer)
    expected = reference(F.conv2d(x.reshape(6, 2, 5, 4), layer.weight))
    assert torch.allclose(layer(x), expected.flatten(1), atol=1e-5)


def test_the_gradient_through_batch_normalisation_is_torchs():
    layer = filled(Dense(4, 6, LINEAR, normalised=True))
    reference = nn.BatchNorm1d(6)
    reference.weight, reference.bias = layer.gamma, layer.bias
    x = rows(9, layer)
    parameters = [layer.weight, layer.gamma, layer.bias]
    ours = torch.autograd.grad(layer(x).square().sum(), parameters)
    theirs = torch.autograd.grad(reference(x @ layer.weight).square().sum(), parameters)
    for a, b in zip(ours, theirs, strict=True):
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        Dense(4, 6, RELU, normalised=True),
        Convolution((1, 4, 4), 3, RELU, kernel=2, pool=2, pool_stride=2, normalised=True),
        Deconvolution((1, 2, 2), (3, 5, 5), RELU, kernel=3, stride=2, padding=0, normalised=True),
    ],
    ids=["dense", "convolution", "deconvolution"],
)
def test_minibatches_are_normalised_apart(layer):
    filled(layer)
    a, b = rows(7, layer, seed=1), 3 + rows(7, layer, seed=2)
    both = torch.cat((a, b))
    apart = torch.cat((layer(a), layer(b)))
    assert torch.allclose(layer(both, n_batches=2), apart, atol=1e-5)
    assert not torch.allclose(layer(both), apart, atol=0.1)


POOL = {"padding": 1, "pool": 2, "pool_stride": 2}
UP = {"kernel": 4, "stride": 2, "padding": 1}
TWO_PIECES = Activation("maxout", 2)
STACKABLE = [
    lambda: Dense(4, 3, TWO_PIECES),
    lambda: Dense(4, 3, RELU, normalised=True),
    lambda: Convolution((2, 5, 5), 3, TWO_PIECES, kernel=3, **POOL),
    lambda: Convolution((2, 5, 5), 3, RELU, kernel=3, stride=2, normalised=True),
    lambda: Deconvolution((2, 3, 3), (3, 6, 5), RELU, normalised=True, **UP),
    lambda: Deconvolution((2, 3, 3), (3, 6, 5), RELU, untied_bias=True, **UP),
    lambda: Deconvolution((2, 3, 3), (3, 6, 5), TWO_PIECES, **UP),
]


@pytest.mark.parametrize("make", STACKABLE)
def test_stacked_members_compute_and_learn_what_each_does_alone(make):
    members = [filled(make(), seed) for seed in (1, 2, 3)]
    stacked = make()
    names = [name for name, _ in stacked.named_parameters()]
    for name in names:
        parameters = torch.stack([getattr(m, name).detach() for m in members])
        setattr(stacked, name, nn.Parameter(parameters))
    x = torch.stack([rows(8, m, seed) for seed, m in enumerate(members)])
    together = stacked(x, n_batches=2)
    assert together.shape == (3, 8, stacked.n_out)
    grads = torch.autograd.grad(together.square().sum(), [getattr(stacked, n) for n in names])
    for i, member in enumerate(members):
        alone = member(x[i], n_batches=2)
        assert torch.allclose(together[i], alone, atol=1e-5)
        own = torch.autograd.grad(alone.square().sum(), [getattr(member, n) for n in names])
        for a, b in zip(grads, own, strict=True):
            assert torch.allclose(a[i], b, rtol=1e-3, atol=1e-3)


def norms_of_units(layer):
    w = layer.weight.detach()
    if isinstance(layer, Dense):
        return torch.stack([w[:, unit].norm() for unit in range(w.shape[1])])
    if isinstance(layer, Convolution):
        return torch.stack([w[unit].norm() for unit in range(w.shape[0])])
    return torch.stack([w[:, unit].norm() for unit in range(w.shape[1])])


@pytest.mark.parametrize("make", STACKABLE)
def test_a_bound_scales_down_the_units_above_it_and_leaves_the_others_alone(make):
    layer = filled(make())
    before, norms = layer.weight.detach().clone(), norms_of_units(layer)
    bound = (norms.min() + norms.max()).item() / 2
    bound_norms([layer], bound)
    assert torch.allclose(norms_of_units(layer), norms.clamp(max=bound), rtol=1e-5)
    axis = {Dense: 1, Convolution: 0, Deconvolution: 1}[type(layer)]
    below = torch.nonzero(norms <= bound).flatten()
    assert 0 < len(below) < len(norms)
    assert torch.equal(layer.weight.index_select(axis, below), before.index_select(axis, below))
    change = layer.weight / before
    assert change.min() > 0 and change.max() <= 1


def test_a_unit_without_weights_stays_so_under_a_bound():
    layer = Dense(3, 2, RELU)
    layer.weight.data.zero_()
    bound_norms([layer], 1.0)
    assert not layer.weight.any()


def test_each_members_units_are_bounded_by_themselves():
    layer = Dense(3, 2, RELU)
    layer.weight = nn.Parameter(torch.stack([torch.full((3, 2), 0.1), torch.full((3, 2), 10.0)]))
    bound_norms([layer], 2.0)
    assert torch.equal(layer.weight[0], torch.full((3, 2), 0.1))
    assert torch.allclose(layer.weight[1].norm(dim=0), torch.tensor(2.0))


def test_fans_count_connections_and_of_a_maxouts_pieces_one():
    assert Dense(5, 4, Activation("maxout", 3)).fans() == (5, 4)
    layer = Convolution((2, 9, 9), 6, Activation("maxout", 2), kernel=3)
    assert layer.fans() == (2 * 9, 6 * 9)
    layer = Deconvolution((4, 5, 5), (3, 10, 10), RELU, kernel=4, stride=2, padding=1)
    assert layer.fans() == (4 * 16, 3 * 16)


def test_the_rows_between_layers_are_maps_channel_by_channel():
    pick = Convolution((2, 2, 2), 1, LINEAR, kernel=1)
    pick.weight.data = torch.tensor([0.0, 1.0]).reshape(1, 2, 1, 1)  # the second channel
    assert pick(torch.arange(8.0)[None]).tolist() == [[4, 5, 6, 7]]
    assert math.prod(pick.map_in) == pick.n_in == 8 and pick.n_out == 4
