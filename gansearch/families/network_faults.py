"""Faults of the user's own networks, and the sentences that answer them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor

from gansearch.errors import ConfigError
from gansearch.networks.interface import Network
from gansearch.system.failures import is_lack_of_memory
from gansearch.system.user_code import describe_error

_N_NAMED = 4  # of the unused parameters
# Operations after a sigmoid that leave its values as they are.
_RESHAPES = ("View", "Reshape", "Squeeze", "Unsqueeze", "Select", "Flatten", "Transpose", "Permute")

T = TypeVar("T")


def tried(
    what: str,
    rule: str,
    function: Callable[[], T],
    remedy: Callable[[], str] = lambda: "Mend its code",
) -> T:
    """Return what a function of the user's returns; raise ConfigError where it fails."""
    try:
        return function()
    except ConfigError:
        raise
    except Exception as error:
        if is_lack_of_memory(error):
            raise
        found = describe_error(error).removesuffix(".")
        raise ConfigError(f"{what} ({found}). {rule}. {remedy()}.") from error


def succeeds(function: Callable[[], object]) -> bool:
    """Return whether a function of the user's works."""
    try:
        function()
    except Exception:  # whatever it is
        return False
    return True


def check_parameters(name: str, net: Network) -> None:
    """Raise ConfigError if a network has nothing to train, or not in single precision."""
    parameters = list(net.parameters())
    if not parameters:
        raise ConfigError(
            f"{name}: it has no parameters, so that it can't learn. Layers must be attributes of "
            "the module; in a list they need nn.ModuleList."
        )
    if not net.trained_parameters():
        raise ConfigError(
            f"{name}: all of its parameters are frozen (requires_grad is False). Some must be "
            "trained. Leave some of them as they are."
        )
    other = next((p.dtype for p in parameters if p.dtype != torch.float32), None)
    if other is not None:
        raise ConfigError(
            f"{name}: it has parameters of the type {other}. They must be torch.float32; "
            "precision: bf16 trains in shorter numbers. Leave the conversion out."
        )


def check_tensor(name: str, made: Any, what: str) -> None:
    """Raise ConfigError if a network made something else than one tensor that has a gradient."""
    if not isinstance(made, Tensor):
        raise ConfigError(
            f"{name}: it returns an object of the type {type(made).__name__}. It must return one "
            f"tensor, of {what}. Leave the rest out."
        )
    if not made.is_floating_point():
        raise ConfigError(
            f"{name}: it returns numbers of the type {made.dtype}. It must return floating-point "
            "numbers, which have a gradient. Leave the conversion out."
        )
    if not made.requires_grad:
        raise ConfigError(
            f"{name}: no gradient leads through it to its parameters. It is trained by its "
            "gradient. Leave out detach(), no_grad() and new tensors made from values."
        )


def check_finite(name: str, made: Tensor, what: str) -> None:
    """Raise ConfigError if a value isn't finite."""
    if not torch.isfinite(made).all():
        raise ConfigError(
            f"{name}: its {what} has values that are NaN or infinite before any training. All must "
            "be finite. Check its initial weights, and divisions and logarithms in it."
        )


def unused_by(name: str, loss: Tensor, net: Network) -> set[str]:
    """Return the names of the trained parameters that a loss does not depend on."""
    trained = {key: p for key, p in net.named_parameters() if p.requires_grad}
    grads: tuple[Tensor | None, ...] = tried(
        f"{name}: its gradient can't be computed",
        "Each of its operations must have one",
        lambda: torch.autograd.grad(loss, list(trained.values()), None, True, allow_unused=True),
    )
    for grad in grads:
        if grad is not None:
            check_finite(name, grad, "gradient")
    found = zip(trained, grads, strict=True)
    return {key.removeprefix("net.") for key, grad in found if grad is None}


def refuse_unused(name: str, unused: set[str]) -> None:
    """Raise ConfigError if there are parameters that nothing uses."""
    if not unused:
        return
    more = f" and {len(unused) - _N_NAMED} more" if len(unused) > _N_NAMED else ""
    raise ConfigError(
        f"{name}: nothing uses its parameters {', '.join(sorted(unused)[:_N_NAMED])}{more}: its "
        "loss does not depend on them. All that are trained must be used. Use them in forward, "
        "remove them, or freeze them by requires_grad_(False)."
    )


def ends_with_sigmoid(logits: Tensor) -> bool:
    """Return whether the last operation, apart from changes of shape, is a sigmoid."""
    node = logits.grad_fn
    while node is not None and any(word in node.name() for word in _RESHAPES):
        node = node.next_functions[0][0]
    return node is not None and node.name().startswith("Sigmoid")
