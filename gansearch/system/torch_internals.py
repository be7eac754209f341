"""Every private name of torch's that gansearch uses, and what for.

A release of torch may move or change them; `tests/system/test_torch_internals.py` says which.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from functools import cache
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "FakeTensorMode",
    "TorchDispatchMode",
    "do_without_triton",
    "elu_backward",
    "foreach_copy_",
    "foreach_lerp_",
    "foreach_norm",
    "fused_adam_",
    "fused_sgd_",
    "is_fused_update",
    "leaky_relu_backward",
    "reads_a_value",
    "sigmoid_backward",
    "storage_key",
    "tanh_backward",
    "threshold_backward",
    "tree_leaves",
]

# One kernel for all parameters of a network, without the overhead of a `torch.optim.Optimizer`.
fused_sgd_ = torch._fused_sgd_
fused_adam_ = torch._fused_adam_
foreach_copy_ = torch._foreach_copy_
foreach_lerp_ = torch._foreach_lerp_
foreach_norm = torch._foreach_norm
# The gradient by an activation's argument in one kernel, as autograd takes it.
threshold_backward = torch.ops.aten.threshold_backward.default
leaky_relu_backward = torch.ops.aten.leaky_relu_backward.default
elu_backward = torch.ops.aten.elu_backward.default
tanh_backward = torch.ops.aten.tanh_backward.default
sigmoid_backward = torch.ops.aten.sigmoid_backward.default


@cache
def do_without_triton() -> None:
    """Let torch's own operators use no kernels of Triton, as some do from release 2.14 on.

    They need a C compiler, like all of Triton, and fail without one.
    """
    with suppress(ImportError):  # an earlier release
        utils = importlib.import_module("torch._native.triton_utils")
        utils.deregister_op_overrides()


def storage_key(storage: torch.UntypedStorage) -> int:
    """Return what tells a tensor's memory from that of others; views share it."""
    key: int = storage._cdata
    return key


def reads_a_value(function: Any) -> bool:
    """Return whether an operator reads a number out of a tensor, as `Tensor.item` does."""
    return function is torch.ops.aten._local_scalar_dense.default


def is_fused_update(function: Any) -> bool:
    """Return whether an operator is one of the fused optimizers' kernels."""
    return bool(function._schema.name.startswith("aten::_fused_"))
