"""Warnings: what a reader must know before believing the figures of a run, in sentences."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gansearch.budget import Budget
from gansearch.measures import N_FINAL_SAMPLES, SUSPICIOUS_COPY_P, SUSPICIOUS_NN_RATIO
from gansearch.report.formatting import duration
from gansearch.rules import count_of
from gansearch.runs.commands import command
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.provenance import software_changes, software_warning
from gansearch.runs.schemas import (
    SEARCH_TIME_SPENT,
    UNSOUND,
    config_id_of_replica,
    is_from_scratch,
)

_IDLE_SECONDS = 120
# Below this share of the real data's coverage, a generator misses much of the data.
_LOW_COVERAGE = 0.5


def state_warnings(
    folder: RunFolder,
    run: RunDescription,
    ranking: pd.DataFrame,
    counts: Mapping[str, Mapping[str, int]],
) -> Iterator[str]:
    """Warn of a run that has stopped, or of a ranking that is out of date."""
    resume = command("resume", folder.path)
    if run.state == "interrupted":
        yield f"The run was interrupted. To go on: {resume}"
    if run.state == "failed":
        phase = "replica" if any(counts["replica"].values()) else "search"
        remedy = failure_remedy(folder, run, phase, counts[phase])
        yield f"The run failed: {none_completed(phase, counts[phase])}. {remedy}"
    if run.is_going_on:
        idle = time.time() - max(
            path.stat().st_mtime
            for name in ("run.json", "trials.parquet", "history")
            if (path := folder.path / name).exists()
        )
        if idle > _IDLE_SECONDS:
            yield f"Nothing was written for {duration(idle)}. If the run has stopped: {resume}"
    if run.state != "finished" and not ranking.empty:
        yield "The run has continued since it was ranked; the ranking is recomputed at its end."


def cut_warnings(folder: RunFolder, run: RunDescription) -> Iterator[str]:
    """Say how many replicas the time budget had room for, where it was not all of them."""
    if not run.cut_replicas:
        return
    n_seeds, trials = run.budget.replicas, folder.trials()
    cut = Counter(map(config_id_of_replica, run.cut_replicas))
    replicas = trials.query("phase == 'replica'")
    had_room = Counter(replicas.loc[~replicas["trial_id"].isin(run.cut_replicas), "config_id"])
    ids = dict.fromkeys([*replicas["config_id"], *cut])
    by_config = ", ".join(f"{run.names.get(name, name)} {had_room[name]}" for name in ids)
    n_planned = had_room.total() + cut.total()
    limit = run.settings.get("time_budget_seconds")
    of = "" if limit is None else f" of {duration(limit)}"
    yield (
        f"The time budget{of} left room for {had_room.total()} of "
        f"{count_of(n_planned, 'replica')} (of {n_seeds} for each configuration: {by_config}). "
        f"To train the others: {command('resume', folder.path, '--replicas', str(n_seeds))}"
    )


def given_up(trials: pd.DataFrame) -> pd.Series[bool]:
    """Return which trials were stopped as unlikely to recover; older runs don't say."""
    return (trials["status"] == "collapsed") & trials["p_recovers"].notna()


def none_completed(phase: str, counts: Mapping[str, int]) -> str:
    """Return that no trial of a phase was completed, by status: `not one replica was completed`."""
    what = "trial of the search" if phase == "search" else "replica"
    by_status = ", ".join(f"{n} {status}" for status, n in counts.items() if n)
    return f"not one {what} was completed ({by_status or 'none ran'})"


def failure_remedy(
    folder: RunFolder, run: RunDescription, phase: str, counts: Mapping[str, int]
) -> str:
    """Return what may help a run in which no trial of a phase, counted by status, was completed."""
    more = []
    more_time = _more_time(run)
    if (limit := run.settings.get("time_budget_seconds")) is not None:
        n_unsound = sum(counts.get(status, 0) for status in UNSOUND)
        was_short = run.wall_seconds >= limit and n_unsound < run.budget.trials
        was_short |= time_ended_search(run, folder.trials())
        if (phase == "search" and was_short) or run.cut_replicas:
            return f"Give the run more time: {command('resume', folder.path, *more_time)}"
    if phase == "replica":
        seeds = command("resume", folder.path, "--replicas", str(2 * run.budget.replicas))
        more.append(f"With more seeds: `{seeds}`")
    if not run.only and not run.has_tried_all(run.budget.trials):
        n_trials = str(2 * run.budget.trials)
        trials = command("resume", folder.path, "--trials", n_trials, *more_time)
        more.append(f"With more configurations: `{trials}`")
    more.append("Or start a run with other configurations" if more else "Widen the space")
    if n_given_up := given_up(folder.trials().query("phase == @phase")).sum():
        more.append(
            f"{count_of(n_given_up, 'trial')} given up before the end: in a new run, "
            "`--set budget.give_up=0` lets all go on"
        )
    return f"{'. '.join(more)}."


def time_ended_search(run: RunDescription, trials: pd.DataFrame) -> bool:
    """Return whether a search would have tried more, or for longer, with a greater time budget."""
    if run.settings.get("time_budget_seconds") is None:
        return False
    searched = trials[is_from_scratch(trials)]
    if (searched["reason"] == SEARCH_TIME_SPENT).any():
        return True
    has_tried_all = run.has_tried_all(searched["config_id"].nunique())
    return run.search_is_over and len(searched) < run.budget.trials and not has_tried_all


def _more_time(run: RunDescription) -> list[str]:
    """Return the flag that gives a run much more time; empty for one without a time budget."""
    if (limit := run.settings.get("time_budget_seconds")) is None:
        return []
    return ["--time-budget", f"{10 * math.ceil(max(limit, run.wall_seconds) / 60)}m"]


def more_trials(folder: RunFolder, run: RunDescription, trials: pd.DataFrame) -> str:
    """Return what gives a search more trials: `increase --trials.`; empty if there is no more."""
    if time_ended_search(run, trials):
        return f"give the run more time: {command('resume', folder.path, *_more_time(run))}"
    n_tried = trials.loc[is_from_scratch(trials), "config_id"].nunique()
    return "" if run.has_tried_all(n_tried) else "increase --trials."


def search_warnings(
    budget: Budget,
    counts: Mapping[str, int],
    *,
    n_completed: int,
    more: str,
    n_finalists: int,
) -> Iterator[str]:
    """Warn of a search with too few completed trials, too many bad ones, or no replicas.

    Args:
        budget: of the run.
        counts: its trials by status.
        n_completed: distinct configurations that were completed.
        more: see `more_trials`.
        n_finalists: how many configurations are to be trained again.
    """
    n_ended = sum(counts.values()) - counts["running"]
    n_unsound = sum(counts[status] for status in UNSOUND)
    over = n_ended > 0 and counts["running"] == 0
    if over and n_completed < budget.top:
        completed = f"{counts['completed']} of {n_ended} trials of the search"
        if n_completed < counts["completed"]:  # an older version may have repeated configurations
            noun = "configuration" if n_completed == 1 else "configurations"
            completed = f"{n_completed} {noun}, in {completed},"
        remedy = more[:1].upper() + more[1:] or "The space has no other: widen it."
        yield (
            f"Only {completed} were completed, fewer than the {budget.top} finalists that the "
            f"replicas need. {remedy}"
        )
    if over and n_unsound > n_ended / 2:
        by_status = ", ".join(f"{counts[status]} {status}" for status in UNSOUND if counts[status])
        yield (
            f"{n_unsound} of {n_ended} trials of the search were unsuccessful: {by_status}. "
            f"{_search_remedy(counts, more)}"
        )
    if over and not (budget.replicas and n_finalists):
        yield (
            "No configuration was trained on fresh seeds: the best of many single trainings is "
            f"partly the luckiest. Use {'--top' if budget.replicas else '--replicas'}."
        )


def _search_remedy(counts: Mapping[str, int], more: str) -> str:
    if counts["failed"] > counts["collapsed"] + counts["diverged"]:
        return "Most of them failed for reasons outside the training: see 'Why trials ended'."
    if not more:
        return "The space has no other configuration: widen it where trainings are sound."
    return (
        "The space is too wide for this number of trials. Narrow it where trainings collapse or "
        f"diverge, or {more}"
    )


def ranking_warnings(
    ranking: pd.DataFrame, references: pd.DataFrame, curve: pd.DataFrame, *, is_cut: bool = False
) -> Iterator[str]:
    """Warn of single seeds, of scores above those of training images, and of low coverage.

    With `is_cut`, `cut_warnings` say how to train the replicas that are lacking.
    """
    if single := ranking.loc[ranking["n_seeds"] == 1, "config_id"].tolist():
        yield (
            f"{_ids(single)}: one seed only, so there are no intervals and no difference can be "
            f"distinguished from chance.{'' if is_cut else ' Increase --replicas.'}"
        )
    of_training = references[references["name"].str.startswith("training")]
    if of_training.empty:
        return
    real = of_training.iloc[0]
    above, n_samples = _above_training(ranking, real, curve)
    if above:
        yield (
            f"{_ids(above)}: log-likelihoods above that of the {real['name']} themselves, from "
            f"{n_samples:,} samples each. The Parzen estimate rewards blurred samples and copies. "
            "Look at the samples and at the NN ratio."
        )
    low = ranking.loc[ranking["coverage"] < _LOW_COVERAGE * real["coverage"], "config_id"].tolist()
    if low:
        yield (
            f"{_ids(low)}: coverage below half of the {real['name']}' "
            f"{real['coverage']:.2f}. Much of the data is missing from the samples."
        )


def _above_training(
    ranking: pd.DataFrame, real: pd.Series[Any], curve: pd.DataFrame
) -> tuple[list[str], int]:
    """Return which configurations score above as many training examples, and from how many.

    Where there are fewer training examples than the 10,000 samples of a final score, only the
    winner's score is known for fewer: that of its first replica, from the curve over samples.
    """
    if real["n_samples"] == N_FINAL_SAMPLES:
        above = ranking.loc[ranking["test_ll"] > real["test_ll"], "config_id"].tolist()
        return above, N_FINAL_SAMPLES
    is_training = curve["name"].str.startswith("training")
    scores = [rows.set_index("n_samples")["test_ll"] for _, rows in curve.groupby(is_training)]
    common = set.intersection(*(set(of.index) for of in scores)) if len(scores) == 2 else set()
    if not common:
        return [], 0
    winners, trainings = (of[max(common)] for of in scores)
    is_first = ranking["rank"] == 1
    above = ranking.loc[is_first, "config_id"].tolist() if winners > trainings else []
    return above, max(common)


def copy_warnings(ranking: pd.DataFrame) -> Iterator[str]:
    """Warn of samples that are suspiciously close to training examples."""
    near = ranking.loc[ranking["train_nn_ratio"] < SUSPICIOUS_NN_RATIO, "config_id"].tolist()
    if near:
        yield (
            f"{_ids(near)}: samples lie less than half as far from training examples as new real "
            "ones do: they may be copies, or blurred. Compare each with its nearest one."
        )
    has_copies = (ranking["copy_p"] < SUSPICIOUS_COPY_P) & ~ranking["config_id"].isin(near)
    if has_copies.any():
        yield (
            f"{_ids(ranking.loc[has_copies, 'config_id'].tolist())}: some samples lie closer to "
            f"training examples than new real ones do (copy_p below {SUSPICIOUS_COPY_P:g}): they "
            "may be copies, or all samples are smoother than real ones. Compare each with its "
            "nearest one."
        )


def replica_warnings(trials: pd.DataFrame, ranking: pd.DataFrame) -> Iterator[str]:
    """Warn of replicas that ended badly, and of invalid scores."""
    replicas = trials[
        (trials["phase"] == "replica")
        & (trials["status"] != "pruned")
        & trials["config_id"].isin(ranking["config_id"])
    ]
    for config_id, group in replicas.groupby("config_id", sort=False):
        ended_badly = group[group["status"].isin(UNSOUND)]
        if not ended_badly.empty:
            counts = ended_badly["status"].value_counts()
            by_status = ", ".join(f"{n} {status}" for status, n in counts.items())
            consequence = _consequence(len(ended_badly), len(group))
            n_replicas = count_of(len(group), "replica")
            yield f"{config_id}: of {n_replicas} {by_status}. {consequence}"
    at_edge = replicas.loc[
        (replicas["status"] == "completed") & replicas["sigma_at_edge"].eq(True), "trial_id"
    ].tolist()
    if at_edge:
        yield (
            f"{_ids(at_edge)}: the best sigma is at the edge of its grid; the log-likelihood is "
            "invalid."
        )


def _consequence(n_bad: int, n: int) -> str:
    """Return what it means for a configuration that `n_bad` of its `n` replicas ended badly."""
    if n_bad == n:
        return "It has no score."
    if 2 * n_bad < n:
        return "Its score is the mean of the others; another training may end the same way."
    return (
        "Its score is the mean of the others, and it ranks below configurations that work more "
        "often than not."
    )


def provenance_warnings(
    run: RunDescription, trials: pd.DataFrame, test_lls: Mapping[str, np.ndarray]
) -> Iterator[str]:
    """Warn of numbers that may not be comparable: of other data, software or kinds of device."""
    replicas = trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]
    lengths = Counter(len(test_lls[name]) for name in replicas["trial_id"] if name in test_lls)
    if len(lengths) > 1:
        counts = ", ".join(f"{n} on {length:,}" for length, n in lengths.most_common())
        yield (
            f"The replicas were scored on different numbers of test examples ({counts}): the data "
            "changed while the run was stopped. Scores and ranks can't be compared. Start a new "
            "run."
        )
    if changes := list(software_changes(run)):
        yield software_warning(changes)
    devices = trials.loc[trials["status"] != "running", "device"].replace("", None).dropna()
    if (devices == "cpu").any() and (devices != "cpu").any():
        others = ", ".join(sorted(set(devices) - {"cpu"}))
        yield (
            f"{(devices == 'cpu').sum()} trials trained on a CPU, {(devices != 'cpu').sum()} on "
            f"{others}. The same seed gives other numbers there, and tf32 acts on GPUs only."
        )


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
