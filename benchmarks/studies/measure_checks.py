"""Which measures pass the checks of Räisä et al. (2025), arXiv 2505.22450? A table of all of them.

    python benchmarks/studies/measure_checks.py            # the table of docs/scores.md
    python benchmarks/studies/measure_checks.py --write    # and what the tests hold it to

"Position: All current generative fidelity and diversity metrics are flawed" (ICML 2025) asks of a
measure that it shows what it is for (purpose), settles as the data grows (data), has known values
for perfect and for hopeless samples (bounds), and ignores what doesn't matter (invariance). The
data and the criteria, with their tolerances, are those of the authors' code, on fewer points of
each curve, and with 300 examples and 3 draws instead of 1,000 and 10. These are our readings:

- Values are not scaled first, since pixels have one scale. Precision, recall and coverage are read
  as shares of their null.
- Different numbers of samples and of real examples aren't tried: gansearch takes as many.
- The paper has no score of fidelity and diversity at once. FLD and the Parzen score are read as
  1 - gap / the largest gap of the curve, where the gap is that to real examples. They must be best
  for perfect samples and fall to both sides; bounds are asked of perfect samples alone.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from benchmarks.studies import check_curves as curves
from gansearch.scoring.fld import feature_likelihood_divergence
from gansearch.scoring.indicators import HealthReference
from gansearch.scoring.parzen import choose_sigma, sigma_grid

DATA = Path(__file__).parent / "data" / "measure_checks.csv"
KINDS = {
    "precision": "fidelity",
    "clipped_density": "fidelity",
    "recall": "diversity",
    "coverage": "diversity",
    "clipped_coverage": "diversity",
    "nn_ratio": "diversity",
    "fld": "overall",
    "valid_ll": "overall",
}
SIZES = {"study": (300, 3), "small": (80, 2)}  # examples and draws; the tests run the small one

# How far a curve, values by x, is within a criterion: it holds if this is not negative.
Criterion = Callable[[pd.Series], float]


def at(x: float, target: float) -> Criterion:
    """Ask for a value within .05 of `target` where x is; -inf and inf are the curve's ends."""
    return lambda curve: 0.05 - abs(curve.iloc[_row(curve, x)] - target)


def flat(curve: pd.Series) -> float:
    """Ask for values within .05 of each other."""
    return 0.05 - (curve.max() - curve.min())


def settled(curve: pd.Series) -> float:
    """Ask for a flat second half."""
    return flat(curve.iloc[len(curve) // 2 :])


def falling(curve: pd.Series) -> float:
    """Ask for a fall by .2, from within .1 of the maximum to within .1 of the minimum."""
    first, last = curve.iloc[0], curve.iloc[-1]
    return min(first - last - 0.2, 0.1 - (curve.max() - first), 0.1 - (last - curve.min()))


def rising(curve: pd.Series) -> float:
    """Ask for the contrary of `falling`."""
    return falling(curve[::-1])


def falling_by(x: float) -> Criterion:
    """Ask for a fall of which .1 has happened where x is."""
    return lambda curve: min(falling(curve), curve.iloc[0] - curve.iloc[_row(curve, x)] - 0.1)


def peak(x: float) -> Criterion:
    """Ask for a maximum where x is, .2 above both ends, one of which is the minimum; within .1."""

    def margin(curve: pd.Series) -> float:
        top, ends = curve.iloc[_row(curve, x)], (curve.iloc[0], curve.iloc[-1])
        return min(
            top - max(ends) - 0.2, 0.1 - (curve.max() - top), 0.1 - (min(ends) - curve.min())
        )

    return margin


def _row(curve: pd.Series, x: float) -> int:
    return int(np.abs(np.clip(curve.index, -1e9, 1e9) - np.clip(x, -1e9, 1e9)).argmin())


@dataclass(frozen=True)
class Rule:
    """What is asked of each kind of measure, all of it; nothing where a check doesn't apply.

    `high` is another way for measures of diversity to be right: they may stay high where samples
    surround the data.
    """

    fidelity: tuple[Criterion, ...] = ()
    diversity: tuple[Criterion, ...] = ()
    overall: tuple[Criterion, ...] = ()
    high: tuple[Criterion, ...] = ()

    def margin(self, kind: str, curve: pd.Series) -> float | None:
        """Return the margin of the reading that suits the curve best; None if nothing is asked."""
        readings = [getattr(self, kind), *([self.high] if kind == "diversity" else [])]
        margins = [min(asked(curve) for asked in reading) for reading in readings if reading]
        return max(margins, default=None)


def of_all(*asked: Criterion) -> Rule:
    """Return a rule for all measures."""
    return Rule(asked, asked, asked)


FIRST, LAST = -np.inf, np.inf
_AROUND = {
    "bounds": Rule(
        *[(at(0, 1), at(FIRST, 0), at(LAST, 0))] * 2,
        overall=(at(0, 1),),
    ),
    "purpose": of_all(peak(0)),
}


@dataclass(frozen=True)
class Check:
    """A check: its name, its curves, and a rule for each desideratum."""

    name: str
    curves: curves.Curves
    rules: Mapping[str, Rule] = field(default_factory=lambda: _AROUND)


def _dropping(mid: float) -> dict[str, Rule]:
    fewer = (falling_by(mid),)
    return {
        "bounds": Rule((at(FIRST, 1), at(LAST, 1)), (at(FIRST, 1),), (at(FIRST, 1),)),
        "purpose": Rule((flat,), fewer, fewer),
    }


CHECKS = (
    Check("mean difference", curves.mean_difference),
    Check("mean difference, outlier", curves.mean_difference_with_outlier),
    Check(
        "standard deviation",
        curves.sd_difference,
        {
            "bounds": Rule(
                (at(1, 1), at(FIRST, 1), at(LAST, 0)),
                (at(1, 1), at(FIRST, 0), at(LAST, 0)),
                (at(1, 1),),
                high=(at(1, 1), at(FIRST, 0), at(LAST, 1)),
            ),
            "purpose": Rule((falling,), (peak(1),), (peak(1),), high=(rising,)),
        },
    ),
    Check("modes dropped at once", curves.simultaneous_dropping, _dropping(0.95)),
    Check("modes dropped in turn", curves.sequential_dropping, _dropping(4)),
    Check(
        "modes dropped or invented",
        curves.dropping_and_invention,
        {
            "bounds": Rule((at(5, 1), at(FIRST, 1)), (at(5, 1), at(LAST, 1)), (at(5, 1),)),
            "purpose": Rule((falling,), (rising,), (peak(5),)),
        },
    ),
    Check(
        "surface of a sphere",
        curves.sphere_surface,
        {
            "bounds": Rule(*[(at(1, 1), at(FIRST, 0), at(LAST, 0))] * 2, overall=(at(1, 1),)),
            "purpose": of_all(peak(1)),
        },
    ),
    Check(
        "hypercubes, more examples",
        curves.hypercubes,
        {"data": of_all(settled), "purpose": Rule(*[(at(LAST, 0.2),)] * 2)},
    ),
    Check(
        "ball and torus",
        curves.sphere_and_torus,
        {"bounds": Rule(*[(at(LAST, 0),)] * 2), "purpose": of_all(settled)},
    ),
    Check(
        "one mode for two",
        curves.one_mode_for_two,
        {
            "bounds": of_all(at(FIRST, 1)),
            "purpose": Rule((falling,), (falling,), (falling,), high=(flat,)),
        },
    ),
    Check(
        "a dimension scaled",
        curves.scaled_dimension,
        {"bounds": Rule(*[(at(FIRST, 0), at(LAST, 0))] * 2), "invariance": of_all(flat)},
    ),
    Check("mean difference, heavy tail", curves.mean_difference_with_pareto),
    Check(
        "one disjoint dimension",
        curves.one_disjoint_dimension,
        {"bounds": Rule(*[(at(FIRST, 0), at(LAST, 0))] * 2), "purpose": of_all(flat)},
    ),
    Check(
        "discrete samples",
        curves.discrete_samples,
        {
            "bounds": Rule((at(FIRST, 1), at(LAST, 1)), (at(FIRST, 0), at(LAST, 0))),
            "purpose": Rule((flat,), (flat,)),
        },
    ),
    Check(
        "discrete data",
        curves.discrete_data,
        {
            "bounds": Rule(*[(at(FIRST, 0), at(LAST, 0))] * 2, high=(at(FIRST, 1), at(LAST, 1))),
            "purpose": Rule((flat,), (flat,)),
        },
    ),
)


class Measured:
    """Measures samples beside one set of real examples, `[4 n, d]`."""

    def __init__(self, real: np.ndarray) -> None:
        n = len(real) // curves.N_REAL
        self._train, self._test = real[: 2 * n], real[2 * n : 3 * n]
        self._reference = HealthReference(self._train, n, n_draws=1)
        self._standard = self._valid_ll(real[3 * n :])

    def __call__(self, samples: np.ndarray) -> dict[str, float]:
        """Return each measure of `samples` `[n, d]`; of FLD and Parzen the gap to real examples."""
        indicators, fidelity = self._reference.measure(samples)
        null, null_fidelity = self._reference.null, self._reference.null_fidelity
        return {
            "precision": fidelity.precision / null_fidelity.precision,
            "clipped_density": fidelity.clipped_density,
            "recall": indicators.recall / null.recall,
            "coverage": indicators.coverage / null.coverage,
            "clipped_coverage": fidelity.clipped_coverage,
            "nn_ratio": indicators.nn_ratio,
            "fld": feature_likelihood_divergence(
                self._train, self._test, samples, standardise=False
            ),
            "valid_ll": self._standard - self._valid_ll(samples),
        }

    def _valid_ll(self, samples: np.ndarray) -> float:
        return choose_sigma(samples, self._test, sigma_grid("fine", is_image=False))[2]


def measured_curves(check: Check, n: int, n_draws: int) -> dict[str, pd.DataFrame]:
    """Return the curves of each variant: the mean of each measure over draws, by x."""
    rows = []
    for seed in range(n_draws):
        real, measured = None, None
        for point in check.curves(n, np.random.default_rng(seed)):
            if measured is None or point.real is not real:
                real, measured = point.real, Measured(point.real)
            rows.append({"variant": point.variant, "x": point.x, **measured(point.samples)})
    means = pd.DataFrame(rows).groupby(["variant", "x"]).mean()
    found = {}
    for variant, curve in means.groupby(level="variant"):
        values = curve.droplevel("variant")
        for measure, kind in KINDS.items():
            if kind == "overall":
                values[measure] = 1 - values[measure] / max(values[measure].max(), 1e-9)
        found[str(variant)] = values
    return found


def margins(n: int, n_draws: int) -> pd.Series:
    """Return how far each measure is within each check's criteria, the worst of all variants."""
    found = {}
    for check in CHECKS:
        variants = measured_curves(check, n, n_draws).values()
        for desideratum, rule in check.rules.items():
            for measure, kind in KINDS.items():
                of_variants = [rule.margin(kind, curve[measure]) for curve in variants]
                known = [margin for margin in of_variants if margin is not None]
                if known:
                    found[check.name, desideratum, measure] = round(min(known), 3)
    names = ["check", "desideratum", "measure"]
    return pd.Series(found, index=pd.MultiIndex.from_tuples(found, names=names))


def kept(size: str) -> pd.Series:
    """Return the margins that were written, of one of `SIZES`."""
    return pd.read_csv(DATA, index_col=["check", "desideratum", "measure"])[size]


def markdown(found: pd.Series) -> str:
    """Return the table of passes and failures; "-" where a check doesn't apply."""
    lines = [f"| check | asked | {' | '.join(KINDS)} |", "|" + "---|" * (2 + len(KINDS))]
    for check in CHECKS:
        for desideratum in check.rules:
            cells = []
            for measure in KINDS:
                margin = found.get((check.name, desideratum, measure))
                cells.append("-" if margin is None else "pass" if margin >= 0 else "**fail**")
            lines.append(f"| {check.name} | {desideratum} | {' | '.join(cells)} |")
    passed = [f"{(found.xs(m, level='measure') >= 0).sum()}" for m in KINDS]
    asked = [f"{len(found.xs(m, level='measure'))}" for m in KINDS]
    shares = [f"{a} of {b}" for a, b in zip(passed, asked, strict=True)]
    return "\n".join([*lines, f"| passed | | {' | '.join(shares)} |"])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help=f"to {DATA.name}, in both sizes")
    arguments = parser.parse_args()
    start = time.process_time()
    sizes = SIZES if arguments.write else {"study": SIZES["study"]}
    found = {name: margins(*size) for name, size in sizes.items()}
    print(markdown(found["study"]))
    print(f"\n{time.process_time() - start:.0f} s of processor time")
    if arguments.write:
        pd.DataFrame(found).to_csv(DATA, lineterminator="\n")


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
