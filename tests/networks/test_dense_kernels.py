"""The kernels of Triton, run by its interpreter, do what the operations of torch do."""

from types import SimpleNamespace

import pytest
import torch

from gansearch.networks import dense_layer
from gansearch.networks.activations import Activation
from gansearch.networks.dropout import Mask, rows_of
from tests.interpreted import interpreted

pytest.importorskip("triton", reason="Triton is not installed")

N_MEMBERS = 3
ACTIVATIONS = [
    *(Activation(name) for name in ("linear", "relu", "elu", "tanh", "sigmoid")),
    Activation("leaky_relu", slope=0.2),
    *(Activation("maxout", pieces) for pieces in (2, 5)),
]
SIZES = [(1, 3, 1), (40, 8, 65)]  # rows, inputs, units: below a block and above


def layer_of(activation, n_in, units, rng):
    n_affine = activation.pieces * units
    weight = torch.randn(N_MEMBERS, n_in, n_affine, generator=rng) / 2
    bias = torch.randn(N_MEMBERS, n_affine, generator=rng)
    return SimpleNamespace(activation=activation, weight=weight, bias=bias)


def mask_of(n, units, rng):
    """Return a mask with a rate of its own for each member."""
    shape = (N_MEMBERS, n, units)
    bits = torch.randint(-(2**15), 2**15, shape, generator=rng, dtype=torch.int16)
    mask = Mask(bits, torch.zeros(N_MEMBERS, dtype=torch.int16), torch.zeros(N_MEMBERS))
    for member, rate in enumerate((0.2, 0.5, 0.9)):
        mask.set_rate(member, rate)
    return mask


def close(ours, theirs):
    return torch.allclose(ours, theirs, rtol=1e-5, atol=2e-6, equal_nan=True)


def compare():
    """Run each kernel beside its twin, in a process whose Triton interprets."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for activation in ACTIVATIONS:
        for n, n_in, units in SIZES:
            layer = layer_of(activation, n_in, units, rng)
            x = torch.randn(N_MEMBERS, n, n_in, generator=rng)
            x[0, 0] = 0
            x[2, -1] = torch.nan
            for mask in (None, mask_of(n, units, rng)):
                (y, kept), (y2, kept2) = (
                    way.forward(layer, layer.weight, x, mask)
                    for way in (dense_kernels, dense_layer)
                )
                assert close(y, y2), activation
                d = torch.randn(N_MEMBERS, n, units, generator=rng)
                ours = dense_kernels.backward(layer, d.clone(), kept, mask)
                theirs = dense_layer.backward(layer, d.clone(), kept2, mask)
                for a, b in zip(ours, theirs, strict=True):
                    assert a.shape == b.shape
                    assert close(a[:2], b[:2]), activation
                some = slice(n // 2, None)
                (rows,) = rows_of([mask], some)
                by_some = dense_kernels.backward(
                    layer, d[:, some], kept[:, some], rows, with_bias=False
                )
                assert by_some[1] is None
                assert torch.equal(by_some[0][:2], ours[0][:2, some]), activation


def compare_bf16():
    """The same in bfloat16, where the plain operations round more often."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for activation in ACTIVATIONS:
        layer = layer_of(activation, 5, 7, rng)
        weight = layer.weight.bfloat16()
        x, d = (torch.randn(N_MEMBERS, 13, n, generator=rng).bfloat16() for n in (5, 7))
        mask = mask_of(13, 7, rng)
        y, kept = dense_kernels.forward(layer, weight, x, mask)
        d_affine, d_bias = dense_kernels.backward(layer, d.clone(), kept, mask)
        assert (y.dtype, d_affine.dtype, d_bias.dtype) == (*[torch.bfloat16] * 2, torch.float32)
        exact, kept = dense_layer.forward(layer, weight.float(), x.float(), mask)
        by_affine, by_bias = dense_layer.backward(layer, d.float(), kept, mask)
        for ours, theirs in ((y, exact), (d_affine, by_affine), (d_bias, by_bias)):
            error = torch.linalg.vector_norm(ours.float() - theirs)
            assert error < 0.02 * torch.linalg.vector_norm(theirs), activation


def compare_dropped():
    """Inputs alone, and some rows of them."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for n, n_in in ((1, 1), (40, 65)):
        x, mask = torch.randn(N_MEMBERS, n, n_in, generator=rng), mask_of(n, n_in, rng)
        some = slice(n // 2, None)
        for dtype, rtol in ((torch.float32, 0), (torch.bfloat16, 0.01)):  # how it rounds
            for given, its_mask in ((x, mask), (x[:, some], mask.rows(some))):
                ours, theirs = (
                    way.dropped(given.to(dtype), its_mask, dtype)
                    for way in (dense_kernels, dense_layer)
                )
                assert ours.dtype == theirs.dtype == dtype
                assert torch.allclose(ours, theirs, rtol=rtol, atol=0)


def compare_ties():
    """Pieces that are equal share the gradient, and no piece of a NaN gets a finite one."""
    from gansearch.networks import dense_kernels

    layer = layer_of(Activation("maxout", 4), 3, 2, torch.Generator().manual_seed(1))
    layer.weight.zero_()
    layer.bias.view(N_MEMBERS, 4, 2).copy_(torch.tensor([1.0, 2, 2, 2])[:, None].expand(4, 2))
    x, d = torch.ones(N_MEMBERS, 5, 3), torch.ones(N_MEMBERS, 5, 2)
    _, kept = dense_kernels.forward(layer, layer.weight, x, None)
    d_affine, d_bias = dense_kernels.backward(layer, d, kept, None)
    assert torch.allclose(d_affine[0, 0].view(4, 2)[:, 0], torch.tensor([0, 1, 1, 1]) / 3)
    assert torch.allclose(d_bias[0].view(4, 2)[:, 1], torch.tensor([0.0, 5, 5, 5]) / 3)
    _, kept = dense_kernels.forward(layer, layer.weight, x * torch.nan, None)
    assert dense_kernels.backward(layer, d, kept, None)[0].isnan().all()


def test_each_kernel_does_what_its_twin_does_for_each_activation():
    interpreted(
        "tests.networks.test_dense_kernels", compare, compare_bf16, compare_dropped, compare_ties
    )
