"""Do measures order generators of points as their true KL divergence does? Kendall's tau.

    python benchmarks/studies/kl_agreement.py

The generators are mixtures of Gaussians around the modes of `ring` and `grid`, so their densities
are known: KL(data || generator) is the mean difference of log-densities over the test examples.
Each is one of eight kinds, drawn at random: modes that are missing or rare, wrong standard
deviations, modes that are moved, noise on the whole, bridges between modes, unequal weights, and
three of these together. `kl` takes 10,000 samples, all other measures 1,000.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import cdist, pdist
from scipy.special import logsumexp
from scipy.stats import kendalltau

from gansearch.data.dataset import Dataset
from gansearch.data.registry import load_dataset
from gansearch.measures import N_FINAL_SAMPLES
from gansearch.scoring.divergence import kl_divergence
from gansearch.scoring.evaluation import health_reference
from gansearch.scoring.fld import dataset_fld
from gansearch.scoring.parzen import choose_sigma, sigma_grid

N_GENERATORS, N_FAMILIES = 20, 4
_WRONG = ("missing", "rare", "sd", "moved", "noise", "bridges", "unequal")
# Those where lower is better; of the others the order is turned around.
_LOWER = ("kl", "fld")


@dataclass
class Mixture:
    """Gaussians: weights `[k]`, centres `[k, 2]` and standard deviations `[k]`."""

    weights: np.ndarray
    centres: np.ndarray
    sds: np.ndarray

    def add(self, share: float, centres: np.ndarray, sd: float) -> None:
        """Give a share of all samples to more Gaussians."""
        n = len(centres)
        old = (1 - share) * self.weights / self.weights.sum()
        self.weights = np.append(old, np.full(n, share / n))
        self.centres = np.concatenate([self.centres, centres])
        self.sds = np.append(self.sds, np.full(n, sd))

    def draw(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Return n samples."""
        rows = rng.choice(len(self.weights), n, p=self.weights / self.weights.sum())
        noise = self.sds[rows, None] * rng.standard_normal((n, 2))
        return (self.centres[rows] + noise).astype(np.float32)

    def log_density(self, points: np.ndarray) -> np.ndarray:
        """Return the log-density of points `[n, 2]`."""
        with np.errstate(divide="ignore"):
            logs = np.log(self.weights / self.weights.sum() / (2 * np.pi * self.sds**2))
        return logsumexp(logs - cdist(points, self.centres) ** 2 / (2 * self.sds**2), axis=1)


def of_data(dataset: Dataset) -> Mixture:
    """Return the law of the data."""
    modes, n = dataset.modes, len(dataset.modes)
    return Mixture(np.full(n, 1 / n), modes.copy(), np.full(n, dataset.mode_sd))


def generator(dataset: Dataset, kind: str, rng: np.random.Generator) -> Mixture:
    """Return a mixture with one thing wrong, or with three if it is "mixed"."""
    found = of_data(dataset)
    if kind == "mixed":
        kinds = sorted(rng.choice(_WRONG[1:], 3, replace=False), key=_WRONG.index)
    else:
        kinds = [kind]
    for each in kinds:
        _spoil(found, dataset, each, rng)
    return found


def _spoil(found: Mixture, dataset: Dataset, kind: str, rng: np.random.Generator) -> None:
    n, modes = len(dataset.modes), dataset.modes
    some = rng.permutation(n)[: rng.integers(1, n // 2 + 1)]
    gap = pdist(modes).min()
    if kind == "missing":
        found.weights[some] = 0
    elif kind == "rare":
        found.weights[some] *= 10 ** rng.uniform(-2, -0.3)
    elif kind == "sd":
        found.sds *= np.exp(rng.uniform(np.log(0.4), np.log(4)))
    elif kind == "moved":
        steps = rng.standard_normal((n, 2))
        steps /= np.linalg.norm(steps, axis=1, keepdims=True)
        found.centres[:n] += dataset.mode_sd * rng.uniform(0.3, 4) * steps
    elif kind == "noise":
        found.add(rng.uniform(0.02, 0.8), modes.mean(axis=0)[None], float(np.abs(modes).max()))
    elif kind == "bridges":
        first, second = np.nonzero(np.triu(cdist(modes, modes) < 1.01 * gap, 1))
        found.add(rng.uniform(0.02, 0.7), (modes[first] + modes[second]) / 2, gap / 6)
    elif kind == "unequal":
        weights = np.exp(rng.uniform(0.3, 1.5) * rng.standard_normal(len(found.weights)))
        found.weights *= weights


@dataclass(frozen=True)
class Known:
    """Samples of a generator whose divergence from the data is known."""

    kind: str
    true_kl: float
    samples: np.ndarray


def family_of(dataset: Dataset, family: int, n_samples: int = N_FINAL_SAMPLES) -> Iterator[Known]:
    """Yield samples of twenty generators, of each kind in turn."""
    rng = np.random.default_rng(family)
    test = dataset.test.astype(float)
    of_real = of_data(dataset).log_density(test)
    for i in range(N_GENERATORS):
        kind = (*_WRONG, "mixed")[i % 8]
        mixture = generator(dataset, kind, rng)
        true_kl = float((of_real - mixture.log_density(test)).mean())
        yield Known(kind, true_kl, mixture.draw(n_samples, rng))


def valid_ll(dataset: Dataset, samples: np.ndarray) -> float:
    """Return the Parzen score of samples on the first 1,000 validation points."""
    valid = dataset.to_float(dataset.valid[:1000])
    return choose_sigma(samples, valid, sigma_grid("fine", is_image=False))[2]


def measured(dataset: Dataset, family: int) -> pd.DataFrame:
    """Return a row per generator of a family: the true divergence, and the measures."""
    reference = health_reference(dataset, 1000)
    rows = []
    for known in family_of(dataset, family):
        indicators, fidelity = reference.measure(known.samples)
        rows.append(
            {
                "kind": known.kind,
                "true": known.true_kl,
                "kl": kl_divergence(dataset, known.samples),
                "valid_ll": valid_ll(dataset, known.samples[:1000]),
                "fld": dataset_fld(dataset, known.samples[:1000]),
                **vars(indicators),
                **vars(fidelity),
            }
        )
    return pd.DataFrame(rows)


def taus(table: pd.DataFrame) -> pd.Series:
    """Return Kendall's tau of each measure with the true divergence; 1 is the same order."""
    names = [name for name in table if name not in ("kind", "true")]
    signs = {name: 1 if name in _LOWER else -1 for name in names}
    return pd.Series(
        {name: signs[name] * kendalltau(table["true"], table[name])[0] for name in names}
    )


def markdown(found: pd.DataFrame) -> str:
    """Return the table: the tau of each measure, family by family."""
    datasets = found["dataset"].unique()
    lines = [f"| measure | {' | '.join(datasets)} |", "|" + "---|" * (1 + len(datasets))]
    for name in found.columns.drop(["dataset", "family"]):
        taus_by_dataset = [found.loc[found["dataset"] == each, name] for each in datasets]
        cells = [", ".join(f"{tau:.2f}" for tau in each) for each in taus_by_dataset]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--families", type=int, default=N_FAMILIES, help="of 20 generators each")
    arguments = parser.parse_args()
    rows = []
    for name in ("ring", "grid"):
        dataset = load_dataset(name)
        for family in range(arguments.families):
            table = measured(dataset, family)
            rows.append({"dataset": name, "family": family, **taus(table).round(3)})
    print(markdown(pd.DataFrame(rows)))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
