"""Which change of hyperparameters saves a training that dies, made at an earlier state of it.

    python benchmarks/studies/rescue.py                     # the tables, from the kept data
    python benchmarks/studies/rescue.py --train --runs 12   # tries more runs; an hour and more

A run dies when the guard stops it as collapsed, when it diverges, or when its last samples are
collapsed. First, without training: the changed configuration of a cell of `curves.py` is another
cell of the same table, whose outcome is known. The policy that ships was chosen by these tables.

Then runs that died in the kept data (`collapse.py`, `curves.py`) are drawn at random and trained
again with the guard, and the state of every evaluation is kept. Each *policy* goes on from one of
these states with changed hyperparameters and other random numbers. A run is saved if it reaches the
end of its budget healthy, with at most 1.5 times that budget spent in all. Healthy is what the
guard and the ground truth both say: the last samples are not collapsed, and at least half of the
modes or labels are there (`labelled_runs.label_of`). Half of the runs are never tried: they are
left for the choice of other policies.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
from scipy.stats import binomtest

from benchmarks.studies.collapse import DATA, N_SAMPLES, one_thread, prepared, truth, wide_spaces
from benchmarks.studies.curves import Curve, Table, load_curves
from benchmarks.studies.labelled_runs import N_MODES, Run, label_of, load_runs
from benchmarks.studies.recovery import print_table
from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.errors import DivergedError, SamplesError
from gansearch.measures import Indicators
from gansearch.scoring.health import HealthMonitor, TrialEvaluation
from gansearch.scoring.verdict import LEAST_UPDATES
from gansearch.seeds import trial_seed
from gansearch.system.files import write_atomically
from gansearch.training import state as training_state
from gansearch.training.training import AdversarialTraining
from gansearch.tune.rescue import rescue_changes

RESCUES = "rescue.parquet"
# All that a run may spend, in multiples of its budget.
SPENT_AT_MOST = 1.5
GROUPS = ("digits", "ring", "grid", "digits table", "ring table")
_RATES = ("generator_lr", "discriminator_lr")
_HALF_A_STEP = 0.65  # of the rates of a table, which are about a factor of 3 apart


@dataclass(frozen=True)
class Dying:
    """A run that died in the kept data."""

    group: str
    number: int

    @property
    def dataset(self) -> str:
        """The name of its data set."""
        return self.group.split()[0]

    def source(self) -> tuple[TrialConfig, int, Budget]:
        """Return its configuration, its seed and its budget."""
        if self.group.endswith("table"):
            table = Table(self.dataset)
            config = table.configs[self.number]
            assert isinstance(config, TrialConfig)
            return config, trial_seed(0, f"curve of {self.dataset}", self.number), table.budget
        runs = pd.read_parquet(DATA / f"collapse-{self.dataset}-runs.parquet").set_index("run")
        config = TrialConfig.from_dict(json.loads(runs.loc[self.number, "config"]))
        seed = trial_seed(0, f"collapse {self.dataset}", self.number)
        return config, seed, wide_spaces(self.dataset)[0].budget


@dataclass(frozen=True)
class State:
    """A training at an evaluation, or at its start, where `saved` is empty."""

    updates: int
    saved: bytes = b""
    is_hopeless: bool = False


@dataclass(frozen=True)
class Course:
    """How a training went on from a state.

    Attributes:
        states: that it went on from, and of its evaluations but the last.
        updates: at which it ended, its own.
        status: completed, collapsed or diverged.
        was_sound: whether samples of it ever looked sound.
        verdict: of the last samples, "" where there are none.
        label: of the last samples by ground truth, "" where it did not complete.
    """

    states: list[State]
    updates: int
    status: str
    was_sound: bool
    verdict: str = ""
    label: str = ""
    valid_ll: float = math.nan

    @property
    def is_healthy(self) -> bool:
        """Whether it completed, and its samples are healthy by ground truth."""
        return self.status == "completed" and self.label == "healthy"


Changes = Callable[[TrialConfig], dict[str, Any]]


@dataclass(frozen=True)
class Attempt:
    """A way to go on: from which state, and with which changes."""

    start: str
    changes: Changes


def rates(*, generator: float = 1.0, discriminator: float = 1.0, **others: Any) -> Changes:
    """Return changes that multiply the learning rates, and set other parameters."""

    def changes(config: TrialConfig) -> dict[str, Any]:
        return {
            "generator_lr": config.generator_lr * generator,
            "discriminator_lr": config.discriminator_lr * discriminator,
            **others,
        }

    return changes


def calm(config: TrialConfig) -> dict[str, Any]:
    """Return the changes that ship with gansearch, at the first attempt."""
    return rescue_changes(config, 1)


def calmer(config: TrialConfig) -> dict[str, Any]:
    """Return those of the second attempt."""
    first = calm(config)
    return first | rescue_changes(replace(config, **first), 2)


def without_momentum(changes: Changes) -> Changes:
    """Return changes that also switch momentum off."""

    def more(config: TrialConfig) -> dict[str, Any]:
        off = ("adam_beta1",) if config.optimizer == "adam" else ("momentum", "final_momentum")
        return changes(config) | dict.fromkeys(off, 0.0)

    return more


_THIRD, _TENTH = 1 / 3, 0.1
_SINGLE: dict[str, Changes] = {
    "unchanged": rates(),
    "D / 3": rates(discriminator=_THIRD),
    "D / 10": rates(discriminator=_TENTH),
    "both / 3": rates(generator=_THIRD, discriminator=_THIRD),
    "both / 10": rates(generator=_TENTH, discriminator=_TENTH),
    "calm": calm,
    "r1": rates(gradient_penalty="r1", gradient_penalty_weight=0.1),
    "noise": rates(instance_noise_sd=0.1),
    "smoothing": rates(label_smoothing=0.1),
}
# By the tables, which know neither penalties nor noise. "unchanged" would be the cell that died.
_REPLAYED: dict[str, Changes] = {
    **{
        name: of
        for name, of in _SINGLE.items()
        if name not in ("unchanged", "r1", "noise", "smoothing")
    },
    "G / 3": rates(generator=_THIRD),
    "G / 10": rates(generator=_TENTH),
    "momentum off": without_momentum(rates()),
    "momentum off, G / 3": without_momentum(rates(generator=_THIRD)),
    "momentum off, D / 3": without_momentum(rates(discriminator=_THIRD)),
    "momentum off, both / 3": without_momentum(rates(generator=_THIRD, discriminator=_THIRD)),
    "momentum off, both / 10": without_momentum(rates(generator=_TENTH, discriminator=_TENTH)),
    "calmer": calmer,
}
POLICIES: dict[str, tuple[Attempt, ...]] = {
    **{name: (Attempt("back", of),) for name, of in _SINGLE.items()},
    "calm, from the last state": (Attempt("last", calm),),
    "calm, from the start": (Attempt("start", calm),),
    "calm, then calmer": (Attempt("back", calm), Attempt("back", calmer)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", action="store_true", help="add attempts to the data")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=GROUPS)
    parser.add_argument("--runs", type=int, default=12, help="of each group")
    parser.add_argument("--policies", nargs="+", choices=POLICIES, default=list(POLICIES))
    parser.add_argument("--data", type=Path, default=DATA)
    arguments = parser.parse_args()
    if arguments.train:
        one_thread()
        add_attempts(arguments)
    else:
        print_replayed()
        print_tables(pd.read_parquet(arguments.data / RESCUES))


def add_attempts(arguments: argparse.Namespace) -> None:
    """Try the policies that are missing on the first runs of each group, and add the outcomes."""
    path = arguments.data / RESCUES
    rows = pd.read_parquet(path).to_dict("records") if path.exists() else []
    done = {(row["group"], row["number"], row["policy"]) for row in rows}
    samples = [dying_runs(group)[: arguments.runs] for group in arguments.groups]
    for i in range(arguments.runs):  # in turns, so that each group has some early on
        for dying in [sample[i] for sample in samples if i < len(sample)]:
            missing = [
                policy
                for policy in arguments.policies
                if (dying.group, dying.number, policy) not in done
            ]
            if missing:
                rows += rescued(dying, missing)
                frame = pd.DataFrame(rows).sort_values(["group", "number", "policy"])
                write_atomically(path, frame.to_parquet(index=False, compression="zstd"))


def dying_runs(group: str) -> list[Dying]:
    """Return the runs of a group that died and may be tried, in a random order, always the same.

    A labelled run counts as one if it ended collapsed or diverged by ground truth.
    """
    dataset = group.split()[0]
    if group.endswith("table"):
        runs = pd.read_parquet(Table(dataset).paths(DATA)[0])
        numbers = runs.loc[(runs["seed"] == 0) & (runs["status"] != "completed"), "cell"].tolist()
    else:
        numbers = [
            int(run.number) for run in load_runs(DATA) if run.dataset == dataset and run.is_dying
        ]
    found = [Dying(group, number) for number in numbers if _is_tried(group, number)]
    return sorted(found, key=lambda dying: trial_seed(0, f"rescue {group}", dying.number))


def _is_tried(group: str, number: int) -> bool:
    return hashlib.sha256(f"{group} {number}".encode()).digest()[0] % 2 == 1


def rescued(dying: Dying, policies: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield a row for each policy, tried on a run; one without a policy if it didn't die again."""
    config, seed, budget = dying.source()
    death = follow(config, dying.dataset, seed, budget, State(0))
    common = {
        "group": dying.group,
        "number": dying.number,
        "max_updates": budget.max_updates,
        "died_at": death.updates,
        "death": death.status,
        "was_sound": death.was_sound,
        "verdict_before": death.verdict,
        "label_before": death.label,
    }
    print(f"{dying} {death.status} {death.updates} {death.label}", flush=True)
    known: dict[tuple[str, int, int], Course] = {}
    for policy in policies:
        if death.status == "completed":
            yield {**common, "policy": policy, "outcome": "lives"}
            continue
        yield {**common, "policy": policy, **attempted(dying, policy, death, known)}


def attempted(
    dying: Dying, policy: str, death: Course, known: dict[tuple[str, int, int], Course]
) -> dict[str, Any]:
    """Return what a policy made of a run that died.

    What was tried before, by its configuration, its first updates and the number of the attempt, is
    taken from `known`: policies share their random numbers.
    """
    config, seed, budget = dying.source()
    spent, course, start = death.updates, death, State(0)
    for number, attempt in enumerate(POLICIES[policy], 1):
        least = spent - (SPENT_AT_MOST - 1) * budget.max_updates
        affordable = [state for state in death.states if state.updates >= least]
        if not affordable:
            break
        start = start_of(attempt.start, affordable)
        if attempt.start == "start" and start.updates > 0:
            break
        changed = replace(config, **attempt.changes(config))
        key = changed.config_id, start.updates, number
        if key not in known:
            own_seed = trial_seed(seed, "rescue", number)
            known[key] = follow(changed, dying.dataset, own_seed, budget, start)
        course = known[key]
        spent += course.updates - start.updates
        if course.is_healthy:
            break
    outcome = "out of updates" if course is death else course.status
    print(f"  {policy}: from {start.updates} {outcome} {course.label} {course.verdict}", flush=True)
    return {
        "outcome": outcome,
        "healthy": course is not death and course.is_healthy,
        "start": start.updates,
        "spent_after_death": spent - death.updates,
        "verdict": course.verdict,
        "label": course.label,
        "valid_ll": course.valid_ll,
    }


def start_of(name: str, affordable: Sequence[State]) -> State:
    """Return the state that an attempt goes on from, of those that leave it enough updates."""
    hopeful = [state for state in affordable if not state.is_hopeless]
    return hopeful[-1] if name == "last" and hopeful else affordable[0]


def follow(
    config: TrialConfig, dataset_name: str, seed: int, budget: Budget, start: State
) -> Course:
    """Train from a state to the end of the budget, or until the guard stops it."""
    dataset, evaluator = prepared(dataset_name)
    training = continued(config, dataset_name, seed, budget, start)
    null, n_classes = evaluator.reference.null, evaluator.n_classes
    monitor = _monitor(null, budget)
    states, was_sound, valid_ll = [start], False, math.nan
    try:
        for updates in budget.report_updates():
            if training.updates >= updates:
                continue
            metrics = training.advance(updates)
            assert metrics is not None
            samples = training.samples(evaluator.n_samples)
            evaluation = evaluator.evaluate(samples)
            valid_ll = evaluation.valid_ll
            seen = TrialEvaluation.of(metrics, evaluation, n_classes)
            verdict = monitor.judge(seen)
            was_sound |= verdict.status == "sound"
            if verdict.status == "collapsed":
                return Course(states, training.updates, "collapsed", was_sound)
            is_hopeless = verdict.p_recovers is not None and verdict.p_recovers < budget.give_up
            states.append(State(training.updates, training.save(), is_hopeless))
        judged = evaluator.judge(samples, evaluation.indicators).verdict.status
        ends_as = label_of(truth(dataset, training.samples(N_SAMPLES), None), N_MODES[dataset_name])
    except (DivergedError, SamplesError):
        return Course(states, training.updates, "diverged", was_sound)
    status = "collapsed" if judged == "collapsed" else "completed"
    return Course(states[:-1], training.updates, status, was_sound, judged, ends_as, valid_ll)


def _monitor(null: Indicators, budget: Budget) -> HealthMonitor:
    return HealthMonitor(
        null,
        max_updates=budget.max_updates,
        grace_updates=max(budget.grace_updates, LEAST_UPDATES),
        give_up=budget.give_up,
    )


def continued(
    config: TrialConfig, dataset_name: str, seed: int, budget: Budget, start: State
) -> AdversarialTraining:
    """Return a training that goes on from a state, with the random numbers of its own seed."""
    dataset, _ = prepared(dataset_name)
    training = AdversarialTraining(config, dataset, seed, max_updates=budget.max_updates)
    if start.saved:
        header, tensors = training_state.decode(start.saved)
        own = training_state.tensors_of(training.players)
        training_state.copy_into(own, {name: tensors[name] for name in own})
        training.iteration = header["iteration"]
    return training


# What was tried


def print_tables(rows: pd.DataFrame) -> None:
    """Print what each policy saved, and what a saved run costs beside a new one."""
    died = rows[rows["outcome"] != "lives"]
    is_early = died["died_at"] <= died["max_updates"] / 2
    parts = {str(group): of_group for group, of_group in died.groupby("group")}
    parts |= {"died in the first half": died[is_early], "in the second half": died[~is_early]}
    shares = {
        part: of_part.groupby("policy")["healthy"].agg(share_saved)
        for part, of_part in parts.items()
    }
    print_table("Saved", pd.DataFrame(shares).fillna("").reset_index())
    costs = [
        {"group": group, "policy": policy, **_cost(of_policy)}
        for (group, policy), of_policy in died.groupby(["group", "policy"])
    ]
    costs += [{"group": group, "policy": "a new run", **_cost_of_new(group)} for group in GROUPS]
    print_table("Cost of a healthy run", pd.DataFrame(costs).sort_values(["group", "policy"]))
    once = died.drop_duplicates(["group", "number"])
    print(
        f"\nOf {len(once)} runs that died, {int(once['was_sound'].sum())} had looked sound before"
    )


def share_saved(healthy: pd.Series) -> str:
    """Return a share of runs with its 95 % interval (Clopper and Pearson), in words."""
    n, k = len(healthy), int(healthy.sum())
    low, high = binomtest(k, n).proportion_ci()
    return f"{k / n:.2f} [{low:.2f}, {high:.2f}] of {n}"


def _cost(rows: pd.DataFrame) -> dict[str, str]:
    """Return the updates after death for each saved run, in budgets, and what the saved score."""
    saved = rows[rows["healthy"].astype(bool)]
    spent = (rows["spent_after_death"] / rows["max_updates"]).sum()
    return _cost_in_words(spent, saved["valid_ll"])


def _cost_of_new(group: str) -> dict[str, str]:
    """Return what new random configurations cost, dead ones included, and what they score."""
    dataset = group.split()[0]
    if group.endswith("table"):
        curves = load_curves(dataset).values()
        spent = sum(curve.end for curve in curves) / Table(dataset).budget.max_updates
        scores = [curve.final_score for curve in curves if curve.status == "completed"]
        return _cost_in_words(spent, pd.Series(scores))
    runs = [run for run in load_runs(DATA) if run.dataset == dataset]
    budget = wide_spaces(dataset)[0].budget
    spent = sum(_stopped_at(run, budget) / run.max_updates for run in runs)
    scores = [run.final_valid_ll for run in runs if run.label == "healthy"]
    return _cost_in_words(spent, pd.Series(scores))


def _stopped_at(run: Run, budget: Budget) -> int:
    """Return the updates at which the guard would have stopped a labelled run, or all of them."""
    monitor = _monitor(run.null, budget)
    stops = (each.updates for each in run.read() if monitor.judge(each).status == "collapsed")
    return next(stops, run.updates)


def _cost_in_words(spent: float, scores: pd.Series) -> dict[str, str]:
    each = f"{spent / len(scores):.2f}" if len(scores) else ""
    return {
        "budgets for each healthy one": each,
        "median valid_ll": f"{scores.median():.2f}" if len(scores) else "",
    }


# What the tables of all configurations say of starting again


def print_replayed() -> None:
    """Print which cells that died live when they are changed, and what that costs.

    They are those that died in the first half of their budget, since a changed cell is trained from
    its start. Its rates count as the nearest ones of the table; what lies farther from all of them
    than half a step is left out. The momentum of digits is not varied in its table, and stays.
    """
    for name in ("digits", "ring"):
        table, curves = Table(name), load_curves(name)
        died = [
            cell
            for cell, curve in curves.items()
            if curve.status != "completed" and curve.end <= table.budget.max_updates / 2
        ]
        rows = []
        for policy, changes in _REPLAYED.items():
            changed = [_changed(curves, table, cell, changes) for cell in died]
            found = [each for each in changed if each]
            row = {
                "policy": policy,
                "live": share_saved(pd.Series([each.status == "completed" for each in found])),
            }
            spent = sum(each.end for each in found) / table.budget.max_updates
            scores = [each.final_score for each in found if each.status == "completed"]
            rows.append(row | _cost_in_words(spent, pd.Series(scores)))
        print_table(f"{name}: trained from the start with changes", pd.DataFrame(rows))


def _changed(
    curves: Mapping[int, Curve], table: Table, cell: int, changes: Changes
) -> Curve | None:
    """Return the curve of a changed cell; None where the table has none."""
    config = table.configs[cell]
    assert isinstance(config, TrialConfig)
    wanted = {**curves[cell].config}
    for name, value in changes(config).items():
        if name in wanted:
            known = {curve.config[name] for curve in curves.values()}
            wanted[name] = min(known, key=lambda each: _distance(name, each, value))
            if _distance(name, wanted[name], value) > _HALF_A_STEP:
                return None
    return next((curve for curve in curves.values() if curve.config == wanted), None)


def _distance(name: str, one: float, other: float) -> float:
    return abs(math.log(one / other)) if name in _RATES else abs(one - other)


if __name__ == "__main__":
    main()
