"""Diagnostics of a training at a report: finite values, and D's mean outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gansearch.errors import DivergedError
from gansearch.networks.interface import AnyDiscriminator
from gansearch.system.torch_internals import foreach_norm
from gansearch.training.examples import Examples

N_PROBED = 1000  # examples on which D(x) and D(G(z)) are measured
_LEAST_PROBED = 20  # packs at a time, however small the minibatches are


def raise_if_diverged(watched: Mapping[str, Tensor], updates: int) -> None:
    """Raise DivergedError if one of the scalars is not finite, naming it by its key.

    A non-finite value anywhere stays in the loss sums, norms and weights until it is seen here.
    """
    finite = torch.isfinite(torch.stack([t.detach() for t in watched.values()])).tolist()
    broken = [name for name, is_finite in zip(watched, finite, strict=True) if not is_finite]
    if broken:
        raise DivergedError(
            f"{', '.join(broken)} not finite by update {updates:,}: "
            "lower the learning rates or the momentum"
        )


def probed_logits(
    discriminator: AnyDiscriminator,
    examples: Examples,
    fake: Tensor,
    *,
    packing: int,
    batch_size: int,
) -> Tensor:
    """Return D's logits of the first training examples, and of as many generated ones, `[2, n]`.

    Without dropout and instance noise, in packs where D sees packs.

    Args:
        discriminator: D.
        examples: the training examples.
        fake: generated examples, `[n, dim]`, n a multiple of `packing`.
        packing: examples in a pack.
        batch_size: packs in a minibatch.
    """
    n_packs = len(fake) // packing
    # Fewer examples than a pack holds come in it several times.
    rows = torch.arange(len(fake), device=fake.device) % examples.n
    # In minibatches as in training: more at a time would take more memory than a step does.
    n_blocks = max(1, n_packs // max(batch_size, _LEAST_PROBED))
    logits = []
    for block in torch.arange(n_packs).tensor_split(n_blocks):  # on the host: no wait for a GPU
        start, stop = int(block[0]) * packing, (int(block[-1]) + 1) * packing
        both = torch.cat((examples.at(rows[start:stop]), fake[start:stop]))
        with torch.no_grad(), discriminator.evaluation():
            logits.append(discriminator(both, n_batches=2).float().view(2, -1))
    return torch.cat(logits, dim=1)


def norm(tensors: Sequence[Tensor]) -> Tensor:
    """Return the L2 norm of all values of some tensors."""
    norms = torch.stack(foreach_norm(list(tensors)))
    return norms.square().sum().sqrt()
