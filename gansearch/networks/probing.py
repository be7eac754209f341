"""G and D at chosen points: on lines in noise space, at given noise, over a range of x.

Batch normalisation and `minibatch_sd` take their statistics from the minibatch at hand, so that a
point's output depends on its company. Under them, chosen points therefore take the places of a few
rows of the batch where they belong: the noise that was scored for G, real examples for D.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gansearch.config import AdversarialConfig
from gansearch.data.dataset import Dataset
from gansearch.networks.interface import AnyDiscriminator, AnyGenerator
from gansearch.networks.models import draw_noise, generate

BLOCK = 1000  # rows of a batch, as in `generate`
_FEW = 10  # chosen points among these that hardly move the batch's statistics
_N_ARROWS = 25


def interpolate(
    generator: AnyGenerator, config: AdversarialConfig, seed: int, n_rows: int, n_steps: int
) -> np.ndarray:
    """Return G along straight lines in noise space, `[n_rows, n_steps, dim]`, float32.

    As in Figure 3 of Goodfellow et al. (2014), nothing is picked: row i leads from sample 2i to
    sample 2i + 1 of `generate`, and its ends are these, bit for bit. Uniform noise fills a cube,
    which contains its lines; normal noise of many dimensions lies near a sphere, and a line leads
    through its inside, where training has seldom been.
    """
    noise = usual_noise(generator, config, seed, 2 * n_rows)
    ends = generate(generator, config, 2 * n_rows, seed)
    return interpolate_between(generator, config, seed, noise, ends, n_steps)


def interpolate_between(
    generator: AnyGenerator,
    config: AdversarialConfig,
    seed: int,
    noise: Tensor,
    ends: np.ndarray,
    n_steps: int,
) -> np.ndarray:
    """Return G on lines from noise 2i to noise 2i + 1 of `[2 n, noise_dim]`, `[n, n_steps, dim]`.

    `ends` are G's examples there, `[2 n, dim]`, as they were scored; the rest is as `interpolate`.
    """
    n_rows = len(noise) // 2
    first, last = noise.view(n_rows, 2, 1, -1).unbind(1)
    share = torch.linspace(0, 1, n_steps)[1:-1, None]
    between = torch.lerp(first, last, share).flatten(0, 1)
    inner = generate_at(generator, config, seed, between)
    pairs = ends.reshape(n_rows, 2, -1)
    inner = inner.reshape(n_rows, n_steps - 2, pairs.shape[2])
    return np.concatenate([pairs[:, :1], inner, pairs[:, 1:]], axis=1)


def generate_at(
    generator: AnyGenerator, config: AdversarialConfig, seed: int, noise: Tensor
) -> np.ndarray:
    """Return G(z) `[n, dim]`, float32, at noise `[n, noise_dim]`, among the noise of `seed`."""
    usual = usual_noise(generator, config, seed, BLOCK)
    few = _FEW if generator.depends_on_batch else BLOCK
    with generator.evaluation(seed):
        return _among(generator, noise, usual, few, next(generator.parameters()).device)


def discriminate_at(
    discriminator: AnyDiscriminator, config: AdversarialConfig, dataset: Dataset, points: np.ndarray
) -> np.ndarray:
    """Return D(x) in [0, 1] without dropout, `[n]`, at float32 `[n, d]`, among real examples.

    With `packing` a point is evaluated in a pack of copies of itself, among packs of real examples.
    """
    packing = config.packing
    rows = np.arange(min(BLOCK, len(dataset.train)) * packing) % len(dataset.train)
    real = torch.from_numpy(dataset.to_float(dataset.train[rows]))
    device = next(discriminator.parameters()).device
    dim = real.shape[1]
    with discriminator.evaluation():
        logits = _among(
            lambda packs: discriminator(packs.reshape(-1, dim)),
            torch.from_numpy(points).repeat(1, packing),
            real.reshape(-1, packing * dim),
            _FEW if discriminator.depends_on_batch else BLOCK,
            device,
        )
    return torch.sigmoid(torch.from_numpy(logits)).numpy()


def spread_noise(config: AdversarialConfig) -> Tensor:
    """Return noise `[n, 1]`, ascending, evenly spread in probability; none of several dimensions.

    So lines from it lie dense where noise is, and lead dense to where samples are.
    """
    if config.noise_dim > 1:
        return torch.empty(0, config.noise_dim)
    share = (torch.arange(_N_ARROWS) + 0.5) / _N_ARROWS
    even = (
        torch.special.ndtri(share) if config.noise == "normal" else (2 * share - 1) * math.sqrt(3)
    )
    return even[:, None]


def usual_noise(generator: AnyGenerator, config: AdversarialConfig, seed: int, n: int) -> Tensor:
    """Return the first n rows of the noise that `generate` uses, `[n, noise_dim]`."""
    rng = torch.Generator().manual_seed(seed)
    n_blocks = -(-n // BLOCK)
    blocks = [draw_noise(config, (BLOCK, generator.noise_dim), rng) for _ in range(n_blocks)]
    return torch.cat(blocks)[:n]


@torch.no_grad()
def _among(
    net: Callable[[Tensor], Tensor],
    chosen: Tensor,
    usual: Tensor,
    few: int,
    device: torch.device,
) -> np.ndarray:
    """Return what `net` gives for the chosen rows as they replace some of the usual ones.

    They lie evenly spread, so that a group (`minibatch_sd`) has one of them, or few.
    """
    outputs = []
    for rows in torch.split(chosen, few):
        batch = (usual if len(usual) > len(rows) else rows).clone()
        places = torch.arange(len(rows)) * (len(batch) // len(rows))
        batch[places] = rows
        outputs.append(net(batch.to(device))[places.to(device)].cpu().numpy())
    return np.concatenate(outputs)
