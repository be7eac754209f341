"""A trained G and E at chosen examples: z, reconstructions, and how good they are."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from gansearch.artifacts import GeneratorModule
from gansearch.data.dataset import Dataset
from gansearch.families.plain_generator import plain_generator
from gansearch.families.trained_generator import TrainedGenerator
from gansearch.networks.inference import InferenceGenerator
from gansearch.networks.models import draw_noise
from gansearch.networks.probing import BLOCK, usual_noise
from gansearch.scoring.neighbours import nearest_training, training_blocks
from gansearch.system.precision import full_precision

_FEW = 100  # chosen points among usual noise under batch normalisation
_N_STARTS, _N_STEPS, _STEP = 3, 200, 0.1  # of the search in G's range
_MARGIN = 1e-6  # beyond it a normal score would be infinite


@dataclasses.dataclass(frozen=True)
class TrainedInference(TrainedGenerator):
    """A generator with the inference network that belongs to it."""

    network: InferenceGenerator

    def module(self) -> GeneratorModule:
        """Return the generator, without E, as a module of torch."""
        return plain_generator(self.network.net, self.config.noise, self.seed)

    def infer(self, x: np.ndarray) -> np.ndarray:
        """Return E(x), `[n, noise_dim]`, of examples `[n, dim]`, float32."""
        with torch.no_grad(), full_precision(self.device):
            return _in_blocks(self.network.infer, self.tensor(x)).cpu().numpy()

    def reconstruct(self, x: np.ndarray) -> np.ndarray:
        """Return G(E(x)), `[n, dim]`, of examples `[n, dim]`, float32."""
        with torch.no_grad(), full_precision(self.device):
            z = _in_blocks(self.network.infer, self.tensor(x))
            return _in_blocks(self.decode, z).cpu().numpy()

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.network.parameters()).device

    def tensor(self, x: np.ndarray) -> Tensor:
        """Return an array where the networks are."""
        return torch.from_numpy(np.ascontiguousarray(x, np.float32)).to(self.device)

    def decode(self, z: Tensor) -> Tensor:
        """Return G(z) `[n, dim]`, with its gradient by z.

        Under batch normalisation 100 points at a time are among 900 of the usual noise, whose
        statistics they hardly move.
        """
        net = self.network.net
        if not self.network.depends_on_batch:
            made: Tensor = net(z)
            return made
        usual = usual_noise(self.network, self.config, self.seed, BLOCK).to(self.device)
        batches = [torch.cat((rows, usual[len(rows) :])) for rows in torch.split(z, _FEW)]
        parts = [net(batch) for batch in batches]
        return torch.cat([part[: min(_FEW, len(z) - i * _FEW)] for i, part in enumerate(parts)])

    def nearest_in_range(self, x: np.ndarray) -> np.ndarray:
        """Return the points of G's range nearest (L2) to examples that are found, `[n, dim]`.

        Adam on z, for 200 steps whose size falls from .1 to 0, from E(x) and from two points of the
        prior each; uniform noise stays within its range. The best of all steps counts, E(x) itself
        among them.
        """
        wanted = self.tensor(x)
        with full_precision(self.device), torch.no_grad():
            starts = self._starts(wanted)
        targets = wanted.repeat(_N_STARTS, 1)
        z = starts.clone().requires_grad_()
        adam = torch.optim.Adam([z], lr=_STEP)
        best = torch.full((len(z),), torch.inf, device=self.device)
        found = torch.zeros_like(targets)
        for step in range(_N_STEPS + 1):
            with full_precision(self.device), torch.enable_grad():
                made = self.decode(z)
                squared = (made - targets).square().sum(1)
                (z.grad,) = torch.autograd.grad(squared.sum(), z)
            with torch.no_grad():
                closer = squared < best
                best = torch.where(closer, squared, best)
                found = torch.where(closer[:, None], made, found)
            adam.param_groups[0]["lr"] = _STEP * (1 - step / _N_STEPS)
            adam.step()
            if self.config.noise == "uniform":
                z.data.clamp_(-math.sqrt(3), math.sqrt(3))
        winners = best.view(_N_STARTS, -1).argmin(0)
        chosen = found.view(_N_STARTS, len(wanted), -1)[winners, torch.arange(len(wanted))]
        return chosen.detach().cpu().numpy()

    def _starts(self, x: Tensor) -> Tensor:
        """Return E(x) and further points, `[starts * n, noise_dim]`."""
        rng = torch.Generator().manual_seed(self.seed)
        others = draw_noise(
            self.config, ((_N_STARTS - 1) * len(x), self.network.noise_dim), rng
        ).to(self.device)
        return torch.cat((self.network.infer(x), others))

    def reconstruction_error(self, x: np.ndarray) -> float:
        """Return the mean L2 distance from x to G(E(x))."""
        return mean_distance(x, self.reconstruct(x))

    def reconstruction_ratio(self, x: np.ndarray) -> float:
        """Return that distance over the one to the nearest point of G's range that is found.

        NaN where all of x lie in the range.
        """
        nearest = mean_distance(x, self.nearest_in_range(x))
        return self.reconstruction_error(x) / nearest if nearest > 0 else math.nan

    def z_error(self) -> float:
        """Return the mean squared error of E(G(z)), of unit-variance noise: 0 exact, 1 no better
        than a constant.
        """
        z = usual_noise(self.network, self.config, self.seed, BLOCK).to(self.device)
        with torch.no_grad(), full_precision(self.device):
            return float((self.network.infer(self.network.net(z)) - z).square().mean())

    def neighbour_accuracy(self, dataset: Dataset, x: np.ndarray, labels: np.ndarray) -> float:
        """Return the share of examples whose nearest training example has their class.

        Nearest by L2 between the outputs of E's last hidden layer; of E itself where it has none.
        """
        assert dataset.labels is not None
        of_x = self._features(x)
        of_train = np.concatenate(
            [self._features(block.numpy()) for _, block in training_blocks(dataset, 1)]
        )
        features = dataclasses.replace(
            dataset, train=of_train, shape=of_train.shape[1:], scale=1, contrast=None
        )
        rows = nearest_training(features, of_x, len(of_x))
        return float((dataset.labels.train[rows] == labels).mean())

    def _features(self, x: np.ndarray) -> np.ndarray:
        """Return the outputs of E's last hidden layer `[n, f]`; of E where it has none."""
        if len(self.network.encoder) == 1:
            return self.infer(x)
        with torch.no_grad(), full_precision(self.device):
            return _in_blocks(self.network.hidden, self.tensor(x)).cpu().numpy()


def z_statistics(z: np.ndarray, noise: str) -> dict[str, float]:
    """Return how far inferred z `[n, noise_dim]` are from draws of the prior.

    Of each coordinate the prior's distribution function is taken, which is uniform for exact
    inference, and of this the normal score, which is z itself for normal noise.

    Returns:
        `z_mismatch`: the Kolmogorov-Smirnov distance of a coordinate from the prior, from 0 to 1,
        mean over coordinates. `z_log_prior_gap`: by how much the mean log density per dimension, of
        normal scores, differs from that of the prior's own draws, in nats.
    """
    values = torch.from_numpy(z).double()
    if noise == "uniform":
        shares = (values / (2 * math.sqrt(3)) + 0.5).clamp(0, 1)
    else:
        shares = torch.special.ndtr(values)
    ordered, n = shares.sort(0).values, len(z)
    below = torch.arange(n, dtype=torch.float64)[:, None] / n
    apart = torch.maximum(ordered - below, below + 1 / n - ordered).amax(0)
    scores = torch.special.ndtri(shares.clamp(_MARGIN, 1 - _MARGIN))
    return {
        "z_mismatch": float(apart.mean()),
        "z_log_prior_gap": float(abs(1 - scores.square().mean()) / 2),
    }


def mean_distance(x: np.ndarray, others: np.ndarray) -> float:
    """Return the mean L2 distance between rows of the same number."""
    return float(np.linalg.norm(x.astype(np.float64) - others, axis=1).mean())


def _in_blocks(function: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
    """Apply a function of rows to blocks of them."""
    return torch.cat([function(block) for block in torch.split(rows, BLOCK)])
