"""The kernels of Triton, by its interpreter and on a GPU, do what the elementary operations do."""

import pytest
import torch

from gansearch.training import member_updates
from tests.interpreted import interpreted

pytest.importorskip("triton", reason="Triton is not installed")

N_MEMBERS = 5
SHAPES = ((1,), (8, 3), (1000,), (1024,), (17, 241))  # of a member's tensors
UPDATES = {"update_sgd": (2, 3), "update_adam": (4, 4), "update_average": (1, 2)}


def uniform(rng, device, *sizes):
    """Return uniform numbers for each member, the same on every device."""
    return torch.rand(N_MEMBERS, *sizes, generator=rng).to(device)


def arguments(name, device):
    """The step columns and the kinds of tensors that an update takes."""
    n_columns, n_kinds = UPDATES[name]
    rng = torch.Generator().manual_seed(0)
    columns = [uniform(rng, device) * 0.5 + 0.1 for _ in range(n_columns)]
    kinds = [[uniform(rng, device, *shape) for shape in SHAPES] for _ in range(n_kinds)]
    for tensor in kinds[0]:
        tensor[1] = torch.nan  # a member that is not due
    due = torch.tensor([True, False, True, True, False], device=device)
    return due, columns[0] if name == "update_average" else columns, kinds


def compare(device="cpu"):
    """Run each kernel beside its twin, on a CPU in a process whose Triton interprets."""
    from gansearch.training import member_kernels

    # Quotients of a GPU are off by a few units in the last place.
    rtol, atol = (1e-4, 1e-5) if device == "cuda" else (1e-5, 1e-6)
    for name in UPDATES:
        due, columns, expected = arguments(name, device)
        before, found = arguments(name, device)[2], arguments(name, device)[2]
        getattr(member_updates, name)(due, columns, *expected)
        member_kernels.prepare(found[0])
        getattr(member_kernels, name)(due, columns, *found)
        for kinds in zip(before, found, expected, strict=True):
            for old, ours, theirs in zip(*kinds, strict=True):
                assert torch.allclose(ours, theirs, rtol=rtol, atol=atol, equal_nan=True), name
                assert torch.equal(ours[4], old[4]), name  # not due
        assert all(not torch.equal(a[0], b[0]) for a, b in zip(found[0], before[0], strict=True))


def test_each_kernel_updates_the_members_that_are_due_as_its_twin_does():
    interpreted("tests.training.test_member_kernels", compare)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_gpu_each_kernel_updates_the_members_that_are_due_as_its_twin_does():
    compare("cuda")
