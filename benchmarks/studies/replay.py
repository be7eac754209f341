"""Detectors of collapse and divergence, replayed on labelled runs: what they stop and save.

    python benchmarks/studies/replay.py                # or make bench-collapse: all tables, in 25 s
    python benchmarks/studies/replay.py --misses       # and gansearch's wrong verdicts
    python benchmarks/studies/replay.py --figure FILE  # and the trade-off as a picture

Reads the labelled runs (see `labelled_runs`). A detector reads a trial's evaluations, in order,
and stops the run or doesn't. Thresholds are chosen, and models and forecasts fitted, on the tuning
part, and the figures printed are of the test part.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits

from benchmarks.studies.collapse import DATA, OVERRIDES
from benchmarks.studies.labelled_runs import Run, load_long_runs, load_runs
from benchmarks.studies.recovery import (
    fit,
    pairs_of,
    print_reliability,
    print_table,
    reliability,
)
from gansearch.budget import Budget
from gansearch.family import Counts
from gansearch.measures import Evaluation
from gansearch.ranking.stability import jeffreys
from gansearch.scoring.health import HealthMonitor
from gansearch.scoring.recovery import RecoveryForecast, load_forecast
from gansearch.scoring.verdict import LEAST_UPDATES, Verdict
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.scheduler import GuardedScheduler

GRACE = 0.15
REDUCTION_FACTOR = 3
YOUTH = GRACE / 3  # share of a training in which no candidate reads anything
MOST_FALSE_STOPS = 0.02
N_SEARCHES = 10
GIVE_UP = Budget().give_up
GIVE_UPS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4)
# Budgets at which long runs are replayed, in parameter updates.
LONG_BUDGETS = (5000, 12_000, 20_000, 40_000, 60_000)

# gansearch's own detectors, and whether each reads the classes.
OWN = {"gansearch": True, "gansearch, data without classes": False}

# The index of the evaluation at which a run is stopped; None if it is not stopped.
Detector = Callable[[Run], int | None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument(
        "--misses", action="store_true", help="print the runs on which gansearch's verdict is wrong"
    )
    parser.add_argument("--figure", type=Path, help="file to draw the trade-off to, as a PNG")
    arguments = parser.parse_args()
    # The models are small: threads that wait for each other on a busy machine cost a multiple.
    with threadpool_limits(1):
        replay(arguments)


def replay(arguments: argparse.Namespace) -> None:
    """Print all tables."""
    runs, long = load_runs(arguments.data), load_long_runs(arguments.data)
    pairs = pairs_of([*runs, *long])
    print_labels(runs)
    tuning = [run for run in runs if not run.is_test]
    test = [run for run in runs if run.is_test]
    families = detector_families(tuning, pairs[~pairs["is_test"]])
    detectors = {name: best(family, tuning) for name, family in families.items()}
    for name in OWN:
        detectors[name] = families[name][GIVE_UPS.index(GIVE_UP)]
    print_detectors(detectors, test)
    print_datasets(detectors["gansearch"], test)
    print_transfer(tuning, pairs[~pairs["is_test"]], test)
    print_trade_off(families, test)
    print_searches(detectors["low coverage"], detectors["gansearch"], test)
    print_long(long, pairs)
    print_fresh(load_runs(arguments.data / "fresh"), detectors["gradient norms"])
    print_reliability(reliability(pairs))
    if arguments.misses:
        print_misses(detectors["gansearch"], runs)
    if arguments.figure:
        draw_trade_off(families, detectors["gansearch"], test, arguments.figure)


# Detectors


def detector_families(tuning: Sequence[Run], pairs: pd.DataFrame) -> dict[str, list[Detector]]:
    """Return the candidates by name, each with its thresholds.

    Models are fitted to `tuning`, and gansearch's forecasts to `pairs`.
    """
    shares = np.geomspace(0.005, 0.5, 20)
    return {
        "divergence alone": [lambda _: None],
        "low coverage": [_low_coverage(share) for share in shares],
        "low coverage, and recall or NN ratio": [_low_pair(share) for share in shares],
        "low coverage, likelihood not rising": [_low_and_flat(share) for share in shares],
        "gradient norms": [_low_gradient(norm) for norm in np.geomspace(1e-4, 1, 20)],
        **model_families(tuning),
        **{
            name: [monitored_by(forecast, give_up=give_up) for give_up in GIVE_UPS]
            for name, with_classes in OWN.items()
            for forecast in [fit(pairs, with_classes=with_classes)]
        },
    }


def model_families(tuning: Sequence[Run]) -> dict[str, list[Detector]]:
    """Return small models that are fitted to `tuning`, by name, each with its thresholds."""
    logistic = make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000))
    trees = HistGradientBoostingClassifier(
        max_depth=3, max_iter=60, learning_rate=0.08, min_samples_leaf=40, random_state=0
    )
    models = {"logistic regression": logistic, "boosted trees": trees}
    risks = 1 - np.geomspace(0.002, 0.7, 20)
    return {
        name: [_risky(risk_of, risk) for risk in risks]
        for name, model in models.items()
        for risk_of in [_fitted(model, tuning)]
    }


def best(family: Iterable[Detector], tuning: Sequence[Run]) -> Detector:
    """Return the one that saves most on `tuning` and stops no more of the better half than allowed.

    Where none is that careful, the most careful one.
    """
    outcomes = [(detector, outcome_of(detector, tuning)) for detector in family]
    least = min(outcome.false_stops for _, outcome in outcomes)
    allowed = [each for each in outcomes if each[1].false_stops <= max(least, MOST_FALSE_STOPS)]
    return max(allowed, key=lambda each: each[1].saved)[0]


def monitored_by(
    forecast: RecoveryForecast, *, give_up: float = GIVE_UP, max_updates: int | None = None
) -> Detector:
    """Return the detector that stops a run where a trial's own monitor does.

    `max_updates` is the budget; by default the run's own.
    """

    def detect(run: Run) -> int | None:
        budget = max_updates or run.max_updates
        monitor = HealthMonitor(
            run.null,
            max_updates=budget,
            grace_updates=max(LEAST_UPDATES, round(GRACE * budget)),
            give_up=give_up,
            forecast=forecast,
        )
        for i, report in enumerate(run.read(with_classes="classes" in forecast.terms)):
            if report.updates < budget and monitor.judge(report).status == "collapsed":
                return i
        return None

    return detect


def _low_coverage(share: float) -> Detector:
    return lambda run: _third_in_a_row(run, run.signs["coverage"] < share)


def _low_pair(share: float) -> Detector:
    def detect(run: Run) -> int | None:
        second = np.minimum(run.signs["recall"], run.signs["nn_ratio"])
        return _third_in_a_row(run, (run.signs["coverage"] < share) & (second < share))

    return detect


def _low_and_flat(share: float) -> Detector:
    def detect(run: Run) -> int | None:
        is_low = run.signs["coverage"] < share
        return _third_in_a_row(run, is_low, unless=run.signs["recent_gain"] > 0)

    return detect


def _low_gradient(norm: float) -> Detector:
    return lambda run: _third_in_a_row(run, run.reports["d_grad_norm"].to_numpy() < norm)


def gradient_families() -> dict[str, list[Detector]]:
    """Return rules that stop by the gradients of «From Fitting to Collapse» (TMLR 2025).

    G's steepness alone, below a threshold; or its product with D's gradient at the samples, above
    a multiple of its smallest value so far.
    """
    return {
        "steepness": [_low_steepness(least) for least in np.geomspace(1e-3, 10, 30)],
        "steepness times D's gradient": [_grown(times) for times in np.geomspace(1.1, 1000, 30)],
    }


def _low_steepness(least: float) -> Detector:
    return lambda run: _third_in_a_row(run, run.reports["steepness"].to_numpy() < least)


def _grown(times: float) -> Detector:
    def detect(run: Run) -> int | None:
        product = run.reports["steepness"] * run.reports["d_input_grad"]
        return _third_in_a_row(run, (product > times * product.cummin()).to_numpy())

    return detect


def _risky(risk_of: Callable[[Run], np.ndarray], risk: float) -> Detector:
    return lambda run: _third_in_a_row(run, risk_of(run) > risk)


def _fitted(model: Any, tuning: Sequence[Run]) -> Callable[[Run], np.ndarray]:
    """Fit a model that separates evaluations of dying runs from others; return its risks."""
    signs = np.concatenate([_matrix(run) for run in tuning])
    model.fit(signs, np.repeat([r.is_dying for r in tuning], [len(r.reports) for r in tuning]))
    known: dict[tuple[str, int], np.ndarray] = {}

    def risk_of(run: Run) -> np.ndarray:
        key = run.dataset, run.number
        if key not in known:
            empty = run.reports.empty
            known[key] = np.empty(0) if empty else model.predict_proba(_matrix(run))[:, 1]
        return known[key]

    return risk_of


def _matrix(run: Run) -> np.ndarray:
    return np.stack(list(run.signs.values()), axis=1)


def _third_in_a_row(run: Run, is_bad: np.ndarray, unless: np.ndarray | None = None) -> int | None:
    """Return the first evaluation after youth that is the third bad one in a row."""
    counts = is_bad & (run.signs["share"] > YOUTH)
    third = counts[2:] & counts[1:-1] & counts[:-2]
    if unless is not None:
        third &= ~unless[2:]
    return 2 + int(third.argmax()) if third.any() else None


# What a detector does


@dataclass(frozen=True)
class Outcome:
    """What a detector does to a set of runs: rates, and the share of updates that it saves."""

    n_better: int
    n_false: int
    n_dying: int
    n_found: int
    n_other: int
    n_other_stopped: int
    saved: float

    @property
    def false_stops(self) -> float:
        """The share of the better half that is stopped."""
        return self.n_false / max(self.n_better, 1)

    @property
    def found(self) -> float:
        """The share of the dying runs that is stopped, or ends by itself as diverged."""
        return self.n_found / max(self.n_dying, 1)


def outcome_of(detector: Detector, runs: Sequence[Run]) -> Outcome:
    """Replay a detector on runs; `saved` is of the updates that the dying runs would have had."""
    stops = [(run, detector(run)) for run in runs]
    better = [(run, stop) for run, stop in stops if run.is_better_half]
    dying = [(run, stop) for run, stop in stops if run.is_dying]
    other = [(run, stop) for run, stop in stops if not run.is_better_half and not run.is_dying]
    spent = sum(_updates_until(run, stop) for run, stop in dying)
    return Outcome(
        n_better=len(better),
        n_false=sum(stop is not None for _, stop in better),
        n_dying=len(dying),
        n_found=sum(stop is not None or run.label == "diverged" for run, stop in dying),
        n_other=len(other),
        n_other_stopped=sum(stop is not None for _, stop in other),
        saved=1 - spent / max(sum(run.max_updates for run, _ in dying), 1),
    )


def _updates_until(run: Run, stop: int | None) -> int:
    return run.updates if stop is None else int(run.reports["updates"].iloc[stop])


def print_labels(runs: Sequence[Run]) -> None:
    """Print how many runs there are, by data set, part and label."""
    frame = pd.DataFrame(
        {
            "data set": [run.dataset for run in runs],
            "part": ["test" if run.is_test else "tuning" for run in runs],
            "label": [run.label for run in runs],
            "better half": [run.is_better_half for run in runs],
        }
    )
    counts = pd.crosstab([frame["data set"], frame["part"]], frame["label"])
    counts["better half"] = frame.groupby(["data set", "part"])["better half"].sum()
    print_table(f"{len(runs)} labelled runs", counts.reset_index())


def print_detectors(
    detectors: dict[str, Detector], test: Sequence[Run], title: str = "Test part"
) -> None:
    """Print what every candidate does to the test part, or to other runs."""
    rows = [{"detector": name, **_told(outcome_of(d, test))} for name, d in detectors.items()]
    print_table(f"{title}: stopped, and updates of dying runs saved", pd.DataFrame(rows))


def print_datasets(detector: Detector, test: Sequence[Run]) -> None:
    """Print what a detector does to each data set of the test part."""
    rows = [
        {"data set": name, **_told(outcome_of(detector, [r for r in test if r.dataset == name]))}
        for name in OVERRIDES
        if any(run.dataset == name for run in test)
    ]
    print_table("gansearch, by data set", pd.DataFrame(rows))


def print_transfer(tuning: Sequence[Run], pairs: pd.DataFrame, test: Sequence[Run]) -> None:
    """Print what models and gansearch's forecast do to a data set that they were not fitted to."""
    unseen: dict[str, dict[str, Detector]] = {}  # by name and data set
    for dataset in OVERRIDES:
        others = [run for run in tuning if run.dataset != dataset]
        for name, family in model_families(others).items():
            unseen.setdefault(name, {})[dataset] = best(family, others)
        forecast = fit(pairs[pairs["dataset"] != dataset], with_classes=True)
        unseen.setdefault("gansearch", {})[dataset] = monitored_by(forecast)
    rows = []
    for name, by_dataset in unseen.items():

        def detect(run: Run, of: dict[str, Detector] = by_dataset) -> int | None:
            return of[run.dataset](run)

        rows.append({"detector": f"{name}, unseen", **_told(outcome_of(detect, test))})
    print_table("Test part, each data set by models of the three others", pd.DataFrame(rows))


def print_trade_off(families: dict[str, list[Detector]], test: Sequence[Run]) -> None:
    """Print what can be had for a given share of false stops, with thresholds of the test part.

    So no detector is to be quoted by it: it says how far a family could reach at best.
    """
    rows = []
    for name, points in trade_off(families, test).items():
        row: dict[str, Any] = {"detector": name}
        for limit in (0.0, 0.02, 0.05, 0.1, 0.2):
            allowed = [point for point in points if point.false_stops <= limit]
            top = max(allowed, key=lambda point: point.saved, default=None)
            told = "-" if top is None else f"{top.found:.2f} / {top.saved:.2f}"
            row[f"<= {limit:.0%}"] = told
        rows.append(row)
    print_table(
        "Trade-off on the test part: dying runs stopped / updates saved, by false stops",
        pd.DataFrame(rows),
    )


def trade_off(families: dict[str, list[Detector]], runs: Sequence[Run]) -> dict[str, list[Outcome]]:
    """Return the outcomes of all thresholds of each family."""
    families = {name: family for name, family in families.items() if len(family) > 1}
    return {name: [outcome_of(d, runs) for d in family] for name, family in families.items()}


def draw_trade_off(
    families: dict[str, list[Detector]], detector: Detector, runs: Sequence[Run], path: Path
) -> None:
    """Draw the share of updates saved against the share of the better half that is stopped."""
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, points in trade_off(families, runs).items():
        ordered = sorted(points, key=lambda point: (point.false_stops, point.saved))
        false_stops = [point.false_stops for point in ordered]
        saved = np.maximum.accumulate([point.saved for point in ordered])
        width = 2.5 if name == "gansearch" else 1.2
        axes.step(false_stops, saved, where="post", label=name, linewidth=width)
    chosen = outcome_of(detector, runs)
    axes.plot(chosen.false_stops, chosen.saved, "o", color="black", label="gansearch, as it is")
    axes.axvline(MOST_FALSE_STOPS, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xlim=(-0.005, 0.4),
        ylim=(0, 1),
        xlabel="share of the better half that is stopped",
        ylabel="share of the dying runs' updates saved",
    )
    axes.legend(loc="lower right", fontsize=8)
    figure.savefig(path, dpi=120)


def print_misses(detector: Detector, runs: Sequence[Run]) -> None:
    """Print the collapsed runs that a detector lets pass, and those of the better half it stops."""
    rows = []
    for run in runs:
        stop = detector(run)
        if (run.label == "collapsed" and stop is None) or (run.is_better_half and stop is not None):
            last = run.reports.iloc[-1]
            rows.append(
                {
                    "run": f"{run.dataset} {run.number}",
                    "part": "test" if run.is_test else "tuning",
                    "label": run.label,
                    "stopped at": "-" if stop is None else f"{_updates_until(run, stop):,}",
                    **{name: f"{last[name]:.3g}" for name in ("coverage", "recall", "nn_ratio")},
                    "modes": int(last["truth_modes"]),
                    "valid_ll": f"{run.final_valid_ll:.3g}",
                }
            )
    print_table(
        "Runs on which gansearch's verdict is wrong, with the indicators at the end",
        pd.DataFrame(rows),
    )


def print_long(long: Sequence[Run], pairs: pd.DataFrame) -> None:
    """Print which long runs are stopped at each budget, by forecasts that have not seen them.

    A run's forecast is fitted to all runs but those of its configuration.
    """
    rows = []
    for name in dict.fromkeys(_configuration(run) for run in long):
        own = [run for run in long if _configuration(run) == name]
        others = pairs[~pairs["run"].isin([run.name for run in own])]
        forecast = fit(others, with_classes=True)
        row = {
            "configuration": name,
            "seeds": len(own),
            "updates, at least": f"{min(run.updates for run in own):,}",
            "healthy at the end": sum(run.label == "healthy" for run in own),
        }
        for budget in LONG_BUDGETS:
            reach = [run for run in own if run.updates >= budget]
            detector = monitored_by(forecast, max_updates=budget)
            stopped = sum(detector(run) is not None for run in reach)
            row[f"stopped of {budget:,}"] = f"{stopped}/{len(reach)}" if reach else "-"
        rows.append(row)
    print_table(
        "Long runs, each by a forecast that has not seen its configuration", pd.DataFrame(rows)
    )


def print_fresh(fresh: Sequence[Run], by_gradient: Detector) -> None:
    """Print what is stopped of runs that no fit and no threshold of gansearch has seen.

    The thresholds of the rules by steepness are the best on these very runs: that flatters them.
    """
    print_labels(fresh)
    detectors = {
        "gradient norms": by_gradient,
        **{name: best(family, fresh) for name, family in gradient_families().items()},
        **{
            name: monitored_by(load_forecast(with_classes=with_classes))
            for name, with_classes in OWN.items()
        },
    }
    print_detectors(detectors, fresh, "Fresh runs")


def _configuration(run: Run) -> str:
    return run.name.rpartition("/")[0]


# Searches


def print_searches(simple: Detector, own: Detector, runs: Sequence[Run]) -> None:
    """Print what random searches over the labelled runs cost with ASHA alone and with a guard.

    A search takes the runs of a data set in a random order, one after the other. It ends a run at
    an evaluation if the scheduler says so; its cost counts until it first completes a run that is
    as good as the best that ASHA alone completes. The oracle knows the labels, and stops every
    dying run at its first evaluation.
    """
    guards: dict[str, Detector] = {
        "low coverage": simple,
        "gansearch": own,
        "oracle": lambda run: 0 if run.is_dying and not run.reports.empty else None,
    }
    rows = []
    for dataset in OVERRIDES:
        pool = [run for run in runs if run.dataset == dataset]
        if not pool:
            continue
        healthy = sum(run.label == "healthy" for run in pool)
        for name, detector in guards.items():
            stops = [detector(run) for run in pool]
            pairs = [_search_pair(pool, stops, seed) for seed in range(N_SEARCHES)]
            ratios = np.array([ratio for ratio, _, _ in pairs])
            rows.append(
                {
                    "data set": dataset,
                    "runs (healthy)": f"{len(pool)} ({healthy})",
                    "guard": name,
                    "updates to the same best": f"{np.median(ratios):.3f}",
                    "never reached": f"{np.isinf(ratios).sum()} of {len(ratios)}",
                    "updates in all": f"{np.median([pair[1] for pair in pairs]):.2f}",
                    "best valid_ll, median": f"{np.median([pair[2] for pair in pairs]):+.2f}",
                    "worst": f"{min(pair[2] for pair in pairs):+.2f}",
                }
            )
    print_table(
        f"Guarded ASHA beside ASHA alone: ratios and differences in {N_SEARCHES} replayed searches",
        pd.DataFrame(rows),
    )


def _search_pair(
    pool: Sequence[Run], stops: Sequence[int | None], seed: int
) -> tuple[float, float, float]:
    """Return the ratio of updates to the same best, that of all updates, and the best's gain."""
    order = np.random.default_rng(seed).permutation(len(pool))
    runs = [pool[i] for i in order]
    alone, alone_cost = _search(runs, [None] * len(runs))
    guarded, guarded_cost = _search(runs, [stops[i] for i in order])
    best_alone = max(score for _, score in alone)
    first = {
        name: min((cost for cost, score in ends if score >= best_alone), default=math.inf)
        for name, ends in (("alone", alone), ("guarded", guarded))
    }
    gain = max((score for _, score in guarded), default=-math.inf) - best_alone
    return first["guarded"] / first["alone"], guarded_cost / alone_cost, gain


def _search(
    runs: Sequence[Run], stops: Sequence[int | None]
) -> tuple[list[tuple[int, float]], int]:
    """Return (updates so far, final valid_ll) of the completed runs, and the updates of all."""
    budget = Budget(max_updates=runs[0].max_updates, grace=GRACE, reduction_factor=REDUCTION_FACTOR)
    scheduler = GuardedScheduler(budget, halving=True)
    spent, completed = 0, []
    for run, stop in zip(runs, stops, strict=True):
        updates = _updates_of_trial(scheduler, run, stop)
        spent += updates
        if updates == run.updates and run.label != "diverged":
            completed.append((spent, run.final_valid_ll))
    return completed, spent


def _updates_of_trial(scheduler: GuardedScheduler, run: Run, stop: int | None) -> int:
    """Feed a run's evaluations to the scheduler until it stops the run; return the updates."""
    name = f"t{run.number:05d}"
    spec = TrialSpec(name, run.number, "search", seed=0, config={})
    trial: Any = SimpleNamespace(trial_id=name, config=spec.to_tune())
    scheduler.on_trial_add(None, trial)
    reports = list(zip(run.reports["updates"], run.reports["valid_ll"], strict=True))
    for i, (updates, valid_ll) in enumerate(reports):
        verdict = Verdict("collapsed" if i == stop else "sound")
        # The scheduler reads of the scores valid_ll alone.
        evaluation = Evaluation(valid_ll, math.nan, False, math.nan, math.nan, math.nan)
        step = StepResult(Counts(updates), "cpu", evaluation=evaluation, verdict=verdict)
        decision = scheduler.on_trial_result(None, trial, step.to_tune())
        if decision == GuardedScheduler.STOP and i < len(reports) - 1:
            return int(updates)
    if run.label == "diverged":
        step = StepResult(Counts(run.updates), "cpu", verdict=Verdict("diverged"))
        scheduler.on_trial_result(None, trial, step.to_tune())
    return run.updates


# Tables


def _told(outcome: Outcome) -> dict[str, str]:
    return {
        "better half": _rate(outcome.n_false, outcome.n_better),
        "dying": _rate(outcome.n_found, outcome.n_dying),
        "others": _rate(outcome.n_other_stopped, outcome.n_other),
        "updates saved": f"{outcome.saved:.2f}",
    }


def _rate(n: int, of: int) -> str:
    """Return a share as words, with Jeffreys' 95 % interval."""
    if of == 0:
        return "-"
    low, high = jeffreys(n, of)
    return f"{n}/{of} = {n / of:.2f} [{low:.2f}, {high:.2f}]"


if __name__ == "__main__":
    main()
