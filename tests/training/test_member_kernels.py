"""The kernels of Triton, run by its interpreter, do what the elementary operations do."""

import os
import subprocess
import sys

import pytest
import torch

from gansearch.training import member_updates

pytest.importorskip("triton", reason="Triton is not installed")

N_MEMBERS = 5
SIZES = (1, 8, 1000, 1024, 4097)
UPDATES = {"sgd_by_row": (2, 3), "adam_by_row": (4, 4), "average_by_row": (1, 2)}


def arguments(name, n, seed):
    """The step columns and the tensors that an update takes."""
    n_columns, n_tensors = UPDATES[name]
    rng = torch.Generator().manual_seed(seed)
    columns = [torch.rand(N_MEMBERS, 1, generator=rng) * 0.5 + 0.1 for _ in range(n_columns)]
    rows = [torch.rand(N_MEMBERS, n, generator=rng) for _ in range(n_tensors)]
    rows[0][1, 0] = torch.nan  # in a member that is not due
    due = torch.tensor([True, False, True, True, False]).unsqueeze(1)
    return due, columns if name != "average_by_row" else columns[0], rows


def compare():
    """Run each kernel beside its twin, in a process whose Triton interprets."""
    from gansearch.training import member_kernels

    for name in UPDATES:
        for n in SIZES:
            due, columns, expected = arguments(name, n, n)
            before, found = ([row.clone() for row in expected] for _ in range(2))
            getattr(member_updates, name)(due, columns, *expected)
            getattr(member_kernels, name)(due, columns, *found)
            for old, ours, theirs in zip(before, found, expected, strict=True):
                assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True), (name, n)
                # To the bit: the rows of members that are not due.
                assert torch.equal(ours[4], old[4]), (name, n)
            assert not torch.equal(found[0][0], before[0][0]), (name, n)


def test_each_kernel_updates_the_members_that_are_due_as_its_twin_does():
    done = subprocess.run(
        [sys.executable, "-c", "from tests.training import test_member_kernels as t; t.compare()"],
        env=os.environ | {"TRITON_INTERPRET": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
