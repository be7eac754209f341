"""The kernels of Triton, by its interpreter and on a GPU, take the losses that torch takes."""

import pytest
import torch

from gansearch.training import losses
from tests.interpreted import interpreted

pytest.importorskip("triton", reason="Triton is not installed")


def compare(device="cpu"):
    """Take each loss in both ways, on a CPU in a process whose Triton interprets."""
    from gansearch.training import loss_kernels

    rng = torch.Generator().manual_seed(0)
    ways = loss_kernels, losses
    # Exponentials and quotients of a GPU are off by a few units in the last place.
    rtol, atol = (1e-4, 1e-5) if device == "cuda" else (1e-5, 1e-6)
    for m in (1, 13, 100):
        logits = 20 * torch.randn(3, 2 * m, generator=rng).to(device)
        logits[2, -1] = torch.nan
        smoothing, scale = torch.tensor([[0.0, 0.2, 0.1], [1.0, 0.5, 1.0]], device=device)
        found = [way.discriminator_loss_with_gradient(logits, smoothing, scale) for way in ways]
        for name in ("minimax", "non_saturating"):
            half = logits[:, m:]  # members that are not next to each other
            found += [way.generator_loss_with_gradient(half, name) for way in ways]
        for ours, theirs in zip(found[::2], found[1::2], strict=True):
            for a, b in zip(ours, theirs, strict=True):
                assert torch.allclose(a, b, rtol=rtol, atol=atol, equal_nan=True)
                assert b[:2].isfinite().all() and b[2].isnan().any()


def test_each_kernel_takes_a_loss_and_its_gradient_as_its_twin_does():
    interpreted("tests.training.test_loss_kernels", compare)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_each_kernel_takes_a_loss_and_its_gradient_as_its_twin_does():
    compare("cuda")
