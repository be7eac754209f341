"""The forecast of recovery, fitted to labelled trainings, and how well its probabilities hold.

    python benchmarks/studies/recovery.py                # the reliability tables
    python benchmarks/studies/recovery.py --figure FILE  # and the curve as a picture
    python benchmarks/studies/recovery.py --write        # and the fitted forecast into the package

Every evaluation at which a training looked collapsed is paired with every later one as the end of a
budget: had it recovered by then? It had if the samples there were not collapsed by ground truth:
more than half of the modes or labels (by the exponential of their entropy), some of them hit, and
coverage at least a tenth of the null's. A training that diverged never recovers. Runs weigh the
same within their data set, and data sets weigh the same.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from benchmarks.studies.collapse import DATA
from benchmarks.studies.labelled_runs import Run, load_all_runs
from gansearch.scoring import recovery
from gansearch.scoring.health import looks_collapsed
from gansearch.scoring.recovery import RecoveryForecast, features

# Knots of each feature's function.
KNOTS = {
    "remaining": [-3.0, -2.0, -1.0, 0.0, 1.0],
    "coverage": np.log([0.01, 0.03, 0.08, 0.2, 0.5]),
    "recall": np.log([0.01, 0.03, 0.1, 0.4, 1.0]),
    "nn_ratio": np.log([0.001, 0.004, 0.02, 0.1, 0.4, 1.0, 5.0, 50.0]),
    "classes": np.log([0.1, 0.2, 0.3, 0.5, 0.7, 1.0]),
}
_INVERSE_PENALTY = 3.0
# Ends that a run which diverged did not live to see, as multiples of the updates so far.
_LOST_ENDS = (1.5, 2.0, 4.0)
_BINS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
_OFF_COVERAGE = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--write", action="store_true", help="store the forecast in the package")
    parser.add_argument("--figure", type=Path, help="file to draw the reliability to, as a PNG")
    arguments = parser.parse_args()
    with threadpool_limits(1):
        runs = load_all_runs(arguments.data)
        pairs = pairs_of(runs)
        tables = reliability(pairs)
    print_reliability(tables)
    if arguments.figure:
        draw(tables, arguments.figure)
    if arguments.write:
        write(pairs)


def pairs_of(runs: Sequence[Run]) -> pd.DataFrame:
    """Return a row for each evaluation that looks collapsed and each later end of a budget."""
    rows = [row for run in runs for row in _pairs_of_run(run)]
    pairs = pd.DataFrame(rows)
    weights = 1 / pairs.groupby("run")["recovered"].transform("size")
    weights /= pairs.groupby("dataset")["run"].transform("nunique")
    pairs["weight"] = weights * pairs["run"].nunique() / weights.sum()
    return pairs


def _pairs_of_run(run: Run) -> Iterator[dict[str, object]]:
    updates = run.reports["updates"].to_numpy()
    recovered = _is_recovered(run)
    shares = run.class_shares
    common = {"run": run.name, "dataset": run.dataset, "is_test": run.is_test}
    for i, now in enumerate(run.read()):
        if not looks_collapsed(now.indicators, run.null, shares[i]):
            continue
        ends = list(zip(updates[i + 1 :], recovered[i + 1 :], strict=True))
        if run.label == "diverged":
            ends += [(multiple * updates[i], False) for multiple in _LOST_ENDS]
        for end, is_recovered in ends:
            found = features(
                now.indicators, run.null, remaining=end / updates[i], class_share=shares[i]
            )
            yield {**common, **found, "recovered": bool(is_recovered)}


def _is_recovered(run: Run) -> np.ndarray:
    reports, null = run.reports, run.null
    spread = (run.class_shares > 0.5) & (reports["truth_modes"].to_numpy() > 0)
    return np.asarray(spread & (reports["coverage"].to_numpy() >= _OFF_COVERAGE * null.coverage))


def fit(pairs: pd.DataFrame, *, with_classes: bool) -> RecoveryForecast:
    """Fit a forecast to pairs."""
    names = [name for name in KNOTS if with_classes or name != "classes"]
    basis = np.concatenate([_hats(pairs[name].to_numpy(), KNOTS[name]) for name in names], axis=1)
    model = LogisticRegression(C=_INVERSE_PENALTY, max_iter=5000)
    model.fit(basis, pairs["recovered"], sample_weight=pairs["weight"])
    values = iter(np.round(model.coef_[0], 3).tolist())
    terms = {
        name: (tuple(np.round(KNOTS[name], 4).tolist()), tuple(next(values) for _ in KNOTS[name]))
        for name in names
    }
    return RecoveryForecast(round(float(model.intercept_[0]), 3), terms)


def _hats(values: np.ndarray, knots: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return the piecewise linear functions that are 1 at one knot, `[n, n_knots]`."""
    return np.stack([np.interp(values, knots, row) for row in np.eye(len(knots))], axis=1)


def predictions(forecast: RecoveryForecast, pairs: pd.DataFrame) -> np.ndarray:
    """Return what a forecast says of each pair."""
    found = pairs[list(forecast.terms)].to_dict("records")
    return np.array([forecast.p_recovers(row) for row in found])


def reliability(pairs: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Return the tables of predicted and observed shares, on runs that the fit did not see."""
    tables = {}
    for with_classes in (True, False):
        words = "with classes" if with_classes else "without classes"
        tuning, test = pairs[~pairs["is_test"]], pairs[pairs["is_test"]]
        p = predictions(fit(tuning, with_classes=with_classes), test)
        tables[f"Forecast of recovery {words}, on the test part"] = _table(test, p)
        unseen = [
            (rest, predictions(fit(pairs.drop(rest.index), with_classes=with_classes), rest))
            for _, rest in pairs.groupby("dataset")
        ]
        rests, ps = zip(*unseen, strict=True)
        title = f"Forecast of recovery {words}, each data set by a fit to the others"
        tables[title] = _table(pd.concat(rests), np.concatenate(ps))
    return tables


def _table(pairs: pd.DataFrame, p: np.ndarray) -> pd.DataFrame:
    weight = pairs["weight"].to_numpy()
    sums = pd.DataFrame(
        {
            "weight": weight,
            "p": weight * p,
            "recovered": weight * pairs["recovered"].to_numpy(),
            "bin": pd.cut(p, _BINS, include_lowest=True),
        }
    )
    grouped = sums.groupby("bin", observed=True).sum()
    return pd.DataFrame(
        {
            "predicted": grouped["p"] / grouped["weight"],
            "recovered": grouped["recovered"] / grouped["weight"],
            "share of pairs": grouped["weight"] / weight.sum(),
        }
    )


def print_reliability(tables: dict[str, pd.DataFrame]) -> None:
    """Print the tables of `reliability`."""
    for title, table in tables.items():
        print_table(title, table.map("{:.2f}".format))


def print_table(title: str, frame: pd.DataFrame) -> None:
    """Print a Markdown table below its title."""
    rows = [list(map(str, frame.columns)), ["---"] * len(frame.columns)]
    print(f"\n{title}\n")
    for row in [*rows, *frame.astype(str).to_numpy().tolist()]:
        print(f"| {' | '.join(row)} |")


def draw(tables: dict[str, pd.DataFrame], path: Path) -> None:
    """Draw what recovered against what was predicted."""
    figure = Figure(figsize=(6, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot([0, 1], [0, 1], color="grey", linewidth=0.8)
    for title, table in tables.items():
        label = title.removeprefix("Forecast of recovery ")
        axes.plot(table["predicted"], table["recovered"], "o-", label=label, markersize=4)
    axes.set(xlabel="predicted probability of recovery", ylabel="share that recovered")
    axes.legend(loc="upper left", fontsize=8)
    figure.savefig(path, dpi=120)


def write(pairs: pd.DataFrame) -> None:
    """Store the forecast that is fitted to all runs."""
    forecasts = {
        name: json.dumps(fit(pairs, with_classes=name == "with_classes").to_dict())
        for name in ("with_classes", "without_classes")
    }
    lines = ",\n".join(f'"{name}": {forecast}' for name, forecast in forecasts.items())
    path = Path(recovery.__file__).with_name("recovery.json")
    path.write_text(f"{{{lines}}}\n", "utf-8")
    print(f"\n{path}: fitted to {pairs['run'].nunique()} runs")


if __name__ == "__main__":
    main()
