"""The kernels of Triton, by its interpreter and on a GPU, do what the operations of torch do."""

from types import SimpleNamespace

import pytest
import torch

from gansearch.networks import dense_layer
from gansearch.networks.activations import Activation
from gansearch.networks.dropout import Mask, rows_of
from gansearch.system.precision import full_precision
from tests.interpreted import interpreted

pytest.importorskip("triton", reason="Triton is not installed")

N_MEMBERS = 3
ACTIVATIONS = [
    *(Activation(name) for name in ("linear", "relu", "elu", "softplus", "tanh", "sigmoid")),
    Activation("leaky_relu", slope=0.2),
    *(Activation("maxout", pieces) for pieces in (2, 5)),
]
SIZES = [(1, 3, 1), (40, 8, 65)]  # rows, inputs, units: below a block and above


def normal(rng, device, *sizes):
    """Return normal numbers for each member, the same on every device."""
    return torch.randn(N_MEMBERS, *sizes, generator=rng).to(device)


def layer_of(activation, n_in, units, rng, device):
    n_affine = activation.pieces * units
    weight, bias = normal(rng, device, n_in, n_affine) / 2, normal(rng, device, n_affine)
    return SimpleNamespace(activation=activation, weight=weight, bias=bias)


def mask_of(n, units, rng, device):
    """Return a mask with a rate of its own for each member."""
    shape = (N_MEMBERS, n, units)
    bits = torch.randint(-(2**15), 2**15, shape, generator=rng, dtype=torch.int16)
    tensors = bits, torch.zeros(N_MEMBERS, dtype=torch.int16), torch.zeros(N_MEMBERS)
    mask = Mask(*(tensor.to(device) for tensor in tensors))
    for member, rate in enumerate((0.2, 0.5, 0.9)):
        mask.set_rate(member, rate)
    return mask


def close(ours, theirs):
    # Exponentials and quotients of a GPU are off by a few units in the last place.
    rtol, atol = (1e-4, 1e-5) if ours.is_cuda else (1e-5, 2e-6)
    return torch.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True)


def compare(device="cpu"):
    """Run each kernel beside its twin, on a CPU in a process whose Triton interprets."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for activation in ACTIVATIONS:
        for n, n_in, units in SIZES if device == "cpu" else SIZES[1:]:  # a GPU has to compile
            layer = layer_of(activation, n_in, units, rng, device)
            x = normal(rng, device, n, n_in)
            x[0, 0] = 0
            x[2, -1] = torch.nan
            for mask in (None, mask_of(n, units, rng, device)):
                y, z = dense_kernels.forward(layer, layer.weight, x, mask)
                assert close(y, dense_layer.forward(layer, layer.weight, x, mask)[0]), activation
                # Of the same product: another could lie on the other side of a kink.
                _, activated = activation.apply(z + layer.bias.unsqueeze(-2))
                d = normal(rng, device, n, units)
                ours = dense_kernels.backward(layer, d.clone(), z, mask)
                theirs = dense_layer.backward(layer, d.clone(), activated, mask)
                for a, b in zip(ours, theirs, strict=True):
                    assert a.shape == b.shape
                    assert close(a[:2], b[:2]), activation
                some = slice(n // 2, None)
                (rows,) = rows_of([mask], some)
                by_some = dense_kernels.backward(
                    layer, d[:, some], z[:, some], rows, with_bias=False
                )
                assert by_some[1] is None
                is_same = torch.equal if device == "cpu" else close
                assert is_same(by_some[0][:2], ours[0][:2, some]), activation


def compare_bf16(device="cpu"):
    """The same in bfloat16, where the plain operations round more often."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for activation in ACTIVATIONS:
        layer = layer_of(activation, 5, 7, rng, device)
        weight = layer.weight.bfloat16()
        x, d = (normal(rng, device, 13, n).bfloat16() for n in (5, 7))
        mask = mask_of(13, 7, rng, device)
        y, kept = dense_kernels.forward(layer, weight, x, mask)
        d_affine, d_bias = dense_kernels.backward(layer, d.clone(), kept, mask)
        assert (y.dtype, d_affine.dtype, d_bias.dtype) == (*[torch.bfloat16] * 2, torch.float32)
        exact, kept = dense_layer.forward(layer, weight.float(), x.float(), mask)
        by_affine, by_bias = dense_layer.backward(layer, d.float(), kept, mask)
        for ours, theirs in ((y, exact), (d_affine, by_affine), (d_bias, by_bias)):
            error = torch.linalg.vector_norm(ours.float() - theirs)
            assert error < 0.02 * torch.linalg.vector_norm(theirs), activation


def compare_dropped(device="cpu"):
    """Inputs alone, and some rows of them."""
    from gansearch.networks import dense_kernels

    rng = torch.Generator().manual_seed(0)
    for n, n_in in ((1, 1), (40, 65)):
        x, mask = normal(rng, device, n, n_in), mask_of(n, n_in, rng, device)
        some = slice(n // 2, None)
        for dtype, rtol in ((torch.float32, 0), (torch.bfloat16, 0.01)):  # how it rounds
            for given, its_mask in ((x, mask), (x[:, some], mask.rows(some))):
                ours, theirs = (
                    way.dropped(given.to(dtype), its_mask, dtype)
                    for way in (dense_kernels, dense_layer)
                )
                assert ours.dtype == theirs.dtype == dtype
                assert torch.allclose(ours, theirs, rtol=rtol, atol=0)


def compare_ties(device="cpu"):
    """Pieces that are equal share the gradient, and no piece of a NaN gets a finite one."""
    from gansearch.networks import dense_kernels

    layer = layer_of(Activation("maxout", 4), 3, 2, torch.Generator(), device)
    layer.weight.zero_()
    layer.bias.view(N_MEMBERS, 4, 2).copy_(torch.tensor([1.0, 2, 2, 2])[:, None].expand(4, 2))
    x, d = (torch.ones(N_MEMBERS, 5, n, device=device) for n in (3, 2))
    _, kept = dense_kernels.forward(layer, layer.weight, x, None)
    d_affine, d_bias = dense_kernels.backward(layer, d, kept, None)
    shares = torch.tensor([0, 1, 1, 1], device=device) / 3
    assert close(d_affine[0, 0].view(4, 2)[:, 0], shares)
    assert close(d_bias[0].view(4, 2)[:, 1], 5 * shares)
    _, kept = dense_kernels.forward(layer, layer.weight, x * torch.nan, None)
    assert dense_kernels.backward(layer, d, kept, None)[0].isnan().all()


CHECKS = compare, compare_bf16, compare_dropped, compare_ties


def test_each_kernel_does_what_its_twin_does_for_each_activation():
    interpreted("tests.networks.test_dense_kernels", *CHECKS)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("check", CHECKS)
def test_on_a_gpu_each_kernel_does_what_its_twin_does(check):
    with full_precision("cuda"):
        check("cuda")
