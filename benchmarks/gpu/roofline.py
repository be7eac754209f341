"""What an iteration must compute and move at least: counted, not measured; taken by `gpu.py`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from gansearch.config import TrialConfig

_WORD = 4  # bytes of a number in single precision
_DROPOUT_WORD = 2


@dataclass(frozen=True)
class Product:
    """A product of `[n, inner]` and `[inner, units]`."""

    n: int
    inner: int
    units: int

    @property
    def flops(self) -> int:
        """Multiplications and additions together."""
        return 2 * self.n * self.inner * self.units

    def bytes(self, word: int) -> int:
        """Both operands read once and the result written once."""
        return word * (self.n * self.inner + self.inner * self.units + self.n * self.units)


def products(config: TrialConfig) -> list[Product]:
    """Return the matrix products of an alternating iteration with k = 1.

    A layer's product forward is `[n, in] [in, out]`; the gradient by its weights is `[in, n]
    [n, out]`, that by its input `[n, out] [out, in]`, which the lowest layer of a player takes only
    where a gradient goes on below it: for D in G's update.
    """
    m, pieces = config.batch_size, config.maxout_pieces
    g = list(pairwise((config.noise_dim, *config.generator_widths, 784)))
    ins, outs = (784, *config.discriminator_widths), (*config.discriminator_widths, 1)
    n_pieces = [pieces] * (len(outs) - 1) + [1]
    d = [(i, p * o) for i, o, p in zip(ins, outs, n_pieces, strict=True)]

    def forward(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(n, i, o) for i, o in layers]

    def by_weights(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(i, n, o) for i, o in layers]

    def by_inputs(n: int, layers: Sequence[tuple[int, int]]) -> list[Product]:
        return [Product(n, o, i) for i, o in layers]

    of_d = forward(m, g) + forward(2 * m, d) + by_weights(2 * m, d) + by_inputs(2 * m, d[1:])
    of_g = forward(m, g) + forward(m, d) + by_inputs(m, d)
    return of_d + of_g + by_weights(m, g) + by_inputs(m, g[1:])


def n_parameters(config: TrialConfig) -> int:
    g = pairwise((config.noise_dim, *config.generator_widths, 784))
    ins, outs = (784, *config.discriminator_widths), (*config.discriminator_widths, 1)
    n_pieces = [config.maxout_pieces] * (len(outs) - 1) + [1]
    d = [(i, p * o) for i, o, p in zip(ins, outs, n_pieces, strict=True)]
    return sum(i * o + o for i, o in (*g, *d))


def other_bytes(config: TrialConfig) -> int:
    """Return the bytes an iteration moves beside its products, at least.

    An update by momentum reads parameter, moment and gradient and writes the first two: five words
    a parameter. The random number of dropout for each input of D's layers, of 2m rows in D's update
    and m in G's, is written when it is drawn, copied to where the group reads it, and read forward
    and backward. Activations are counted with the products alone, as if all else were fused into
    them.
    """
    n_inputs = 3 * config.batch_size * (784 + sum(config.discriminator_widths))
    return 5 * _WORD * n_parameters(config) + 5 * _DROPOUT_WORD * n_inputs


def least_seconds(config: TrialConfig, flops: float, bandwidth: float) -> float:
    """Return what an iteration takes at least, each part at the rate that bounds it."""
    word = 2 if config.precision == "bf16" else _WORD
    bounds = [max(p.flops / flops, p.bytes(word) / bandwidth) for p in products(config)]
    return sum(bounds) + other_bytes(config) / bandwidth
