"""The private names of torch that gansearch uses are where they were."""

import pytest
import torch

from gansearch.system import torch_internals

USES = {
    "_fused_sgd_": "updates a network under sgd by one kernel",
    "_fused_adam_": "updates a network under adam by one kernel",
    "_foreach_copy_": "copies gradients into moments",
    "_foreach_norm": "norms of gradients and weights",
}


@pytest.mark.parametrize("name", USES)
def test_torch_still_has(name):
    assert hasattr(torch, name), f"torch.{name} is gone; gansearch uses it: {USES[name]}"


def test_a_fake_tensor_has_a_shape_and_no_memory():
    with torch_internals.FakeTensorMode():
        assert torch.zeros(3, 2**50).shape == (3, 2**50)


def test_views_share_a_storage_and_other_tensors_do_not():
    one, other = torch.zeros(4), torch.zeros(4)
    keys = [torch_internals.storage_key(t.untyped_storage()) for t in (one, one[1:], other)]
    assert keys[0] == keys[1] != keys[2]


def test_a_dispatch_mode_sees_fused_updates_and_values_that_are_read():
    seen = []

    class Seeing(torch_internals.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            if torch_internals.is_fused_update(func):
                seen.append("fused")
            elif torch_internals.reads_a_value(func):
                seen.append("value")
            return func(*args, **(kwargs or {}))

    params, grads, moments = ([torch.ones(2)] for _ in range(3))
    with Seeing():
        torch_internals.fused_sgd_(
            *(params, grads, moments),
            weight_decay=0.0,
            momentum=0.5,
            lr=0.1,
            dampening=0.0,
            nesterov=False,
            maximize=False,
            is_first_step=False,
        )
        params[0].sum().item()
    assert seen == ["fused", "value"]
    assert params[0].tolist() == pytest.approx([0.85, 0.85])


def test_a_tree_has_its_leaves():
    assert torch_internals.tree_leaves([1, {"a": (2, 3)}]) == [1, 2, 3]
