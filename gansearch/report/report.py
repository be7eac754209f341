"""Results -> a `Report`: what a run's folder has to show so far, and how far it can be believed.

Works at any stage of a run. `layout` puts a report on a page.
"""

from __future__ import annotations

import re
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from gansearch.budget import Budget
from gansearch.errors import ConfigError, ResultsError
from gansearch.measures import N_FINAL_SAMPLES, N_REPORT_SAMPLES, SUSPICIOUS_NN_RATIO
from gansearch.ranking.ranking import Difference, compare
from gansearch.ranking.stability import Stability, stability
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import STATUSES, UNSOUND
from gansearch.runs.tables import unreadable

T = TypeVar("T")
_N_LEADERS = 10
_IDLE_SECONDS = 120
# Below this share of the real data's coverage, a generator misses much of the data.
_LOW_COVERAGE = 0.5


@dataclass(frozen=True)
class Report:
    """What a run has to show so far.

    Attributes:
        folder: the run's.
        run: what `run.json` says.
        budget: of the run.
        baseline: the paper's configuration, or another family's defaults, in the run's space.
        counts: trials by phase ("search", "replica"), then by status.
        updates: parameter updates of D and G that all trials have trained.
        ranking: the first rows of `ranking.parquet`; none before the replicas are done.
        ranks: the rank of every ranked configuration, by its id.
        leaderboard: the best trials of the search by `valid_ll`, in the columns of
            `trials.parquet`; never a collapsed, diverged or failed one.
        references: what real data scores, and what others published, as `references.parquet` has
            it.
        training: `name`, `n_samples` and `valid_ll` of training examples, scored as a trial's
            reports are; None where an older run has not told.
        curve: what the winner and training examples score by the number of samples, as
            `curve.parquet` has it.
        stability: where the search's trials died; None before any has told.
        winner_minus_paper: the difference in test log-likelihood; None where there is none.
        endings: trial id, status and reason of trials that say why the run has come to little.
        warnings: what a reader must know before believing the figures, in sentences.
    """

    folder: RunFolder
    run: RunDescription
    budget: Budget
    baseline: Config
    counts: Mapping[str, Mapping[str, int]]
    updates: int
    ranking: pd.DataFrame
    ranks: Mapping[str, int]
    leaderboard: pd.DataFrame
    references: pd.DataFrame
    training: Mapping[str, Any] | None
    curve: pd.DataFrame
    stability: Stability | None
    winner_minus_paper: Difference | None
    endings: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]

    @property
    def paper_config_id(self) -> str:
        """Id of the baseline, as the run knows it."""
        return self.run.paper_config_id


def build_report(folder: RunFolder, *, top: int | None = None, afresh: bool = False) -> Report:
    """Gather what the run in `folder` has to show so far.

    Args:
        folder: of the run, at whatever stage.
        top: show the first so many of the ranking and of the leaderboard only; None for all of the
            ranking and ten of the leaderboard.
        afresh: work out anew where the search died, and don't read what a finished run has kept.

    Raises:
        ResultsError: the run's description or a table can't be read.
    """
    run, of_run = _read(folder.read_run)
    try:
        baseline, budget = run.baseline, run.budget
    except ConfigError as error:
        raise unreadable(folder.path / "run.json", error) from error
    trials, ranking, references = folder.trials(), folder.ranking(), folder.references()
    difference, left_out = _winner_minus_paper(folder, trials, ranking, run.paper_config_id)
    also_left_out: list[str] = []
    if afresh or (survival := _kept_stability(folder, run)) is None:
        survival, also_left_out = _stability(folder, trials, run, budget)
    counts = _counts(trials)
    ranked = ranking.dropna(subset=["rank"])
    curve = folder.curve()
    return Report(
        folder=folder,
        run=run,
        budget=budget,
        baseline=baseline,
        counts=counts,
        updates=int(trials["updates"].sum()),
        ranking=ranking.head(top) if top else ranking,
        ranks=dict(zip(ranked["config_id"], ranked["rank"].astype(int), strict=True)),
        leaderboard=_leaderboard(trials, top or _N_LEADERS),
        references=references,
        training=_training(run, curve),
        curve=curve,
        stability=survival,
        winner_minus_paper=difference,
        endings=_endings(trials, counts),
        warnings=[
            *of_run,
            *_warnings_of_state(folder, run, ranking),
            *_warnings_of_search(budget, counts["search"]),
            *_warnings_of_ranking(ranking, references),
            *_warnings_of_copies(ranking),
            *_warnings_of_replicas(trials, ranking),
            *left_out,
            *also_left_out,
        ],
    )


def duration(seconds: float) -> str:
    """Return a time as people say it: 40 s, 12 min, 3 h 5 min."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def printable(text: str) -> str:
    """Return a text on one line, without what a terminal would take for commands."""
    plain = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", text)
    return "".join(c for c in " ".join(plain.split()) if c.isprintable())


def _training(run: RunDescription, curve: pd.DataFrame) -> Mapping[str, Any] | None:
    """Return what training examples score as reports do; of an older run by their curve."""
    if run.training_report is not None:
        return run.training_report
    as_many = curve["name"].str.startswith("training") & (curve["n_samples"] == N_REPORT_SAMPLES)
    rows = curve.loc[as_many & np.isfinite(curve["valid_ll"]), ["name", "n_samples", "valid_ll"]]
    return None if rows.empty else {str(name): v for name, v in rows.iloc[0].items()}


def _counts(trials: pd.DataFrame) -> dict[str, dict[str, int]]:
    pairs = trials.groupby(["phase", "status"]).size().to_dict()
    return {
        phase: {status: int(pairs.get((phase, status), 0)) for status in STATUSES}
        for phase in ("search", "replica")
    }


def _leaderboard(trials: pd.DataFrame, n: int) -> pd.DataFrame:
    shown = (trials["phase"] == "search") & ~trials["status"].isin(UNSOUND)
    scored: pd.DataFrame = trials[shown & np.isfinite(trials["valid_ll"])]
    return scored.sort_values("valid_ll", ascending=False, kind="stable").head(n)


def _winner_minus_paper(
    folder: RunFolder, trials: pd.DataFrame, ranking: pd.DataFrame, paper_id: str
) -> tuple[Difference | None, list[str]]:
    """Return the winner's lead over the paper's configuration, and what couldn't be read for it."""
    scored = ranking.dropna(subset=["rank"])["config_id"].tolist()
    if paper_id not in scored or scored[0] == paper_id:
        return None, []
    test_lls, left_out = _read(folder.test_lls)
    done = trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]
    sides = [
        [
            test_lls[trial_id]
            for trial_id in done.loc[done["config_id"] == config_id, "trial_id"]
            if trial_id in test_lls and np.isfinite(test_lls[trial_id]).all()
        ]
        for config_id in (scored[0], paper_id)
    ]
    if not all(sides) or len({len(lls) for side in sides for lls in side}) != 1:
        return None, left_out
    return compare(*sides), left_out


def _kept_stability(folder: RunFolder, run: RunDescription) -> Stability | None:
    """Return what a finished run says of itself, which spares a second or more of forests."""
    if run.state != "finished":
        return None
    try:
        cells = folder.stability()
        return None if cells.empty else Stability(cells, folder.importances())
    except ResultsError:  # it can be worked out again
        return None


def _stability(
    folder: RunFolder, trials: pd.DataFrame, run: RunDescription, budget: Budget
) -> tuple[Stability | None, list[str]]:
    """Return where the search's trials died, if any has told, and what couldn't be read for it."""
    history, left_out = _read(lambda: folder.history(["trial_id", "updates", "valid_ll"]))
    found = stability(
        trials,
        history,
        family=run.family,
        search=run.space["search"],
        grace_updates=budget.grace_updates,
    )
    return found if found.n_trials else None, left_out


def _read(reader: Callable[[], T]) -> tuple[T, list[str]]:
    """Return what a reader of files returns, and its warnings of what it has left out."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = reader()
    return found, [str(warning.message) for warning in caught]


def _endings(
    trials: pd.DataFrame, counts: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, str, str]]:
    """Return how trials failed; of a phase in which none was completed, how all that ended did."""
    nothing_done = [phase for phase, of in counts.items() if of["completed"] == 0]
    is_told = (trials["status"] == "failed") | trials["phase"].isin(nothing_done)
    told = trials[is_told & (trials["status"] != "running")]
    columns = (told[name].fillna("") for name in ("trial_id", "status", "reason"))
    return list(zip(*columns, strict=True))


def _warnings_of_state(
    folder: RunFolder, run: RunDescription, ranking: pd.DataFrame
) -> Iterator[str]:
    resume = f"gansearch resume {run.name}"
    if run.state == "interrupted":
        yield f"The run was interrupted. To go on: {resume}"
    if run.state == "failed":
        yield "The run failed: it was given up because none of its trials was completed."
    if run.is_going_on:
        idle = time.time() - max(
            path.stat().st_mtime
            for name in ("run.json", "trials.parquet", "history")
            if (path := folder.path / name).exists()
        )
        if idle > _IDLE_SECONDS:
            yield f"Nothing was written for {duration(idle)}. If nothing runs any more: {resume}"
    if run.state != "finished" and not ranking.empty:
        yield "The run has gone on since it was ranked; the ranking will be made anew at its end."


def _warnings_of_search(budget: Budget, counts: Mapping[str, int]) -> Iterator[str]:
    n_ended = sum(counts.values()) - counts["running"]
    n_unsound = sum(counts[status] for status in UNSOUND)
    over = n_ended > 0 and counts["running"] == 0
    if over and counts["completed"] < budget.top:
        yield (
            f"Only {counts['completed']} of {n_ended} trials of the search were completed, fewer "
            f"than the {budget.top} that were to be trained again. Give it more trials."
        )
    if over and n_unsound > n_ended / 2:
        told = ", ".join(f"{counts[status]} {status}" for status in UNSOUND if counts[status])
        yield (
            f"{n_unsound} of {n_ended} trials of the search came to nothing: {told}. "
            f"{_remedy(counts)}"
        )
    if over and budget.replicas == 0:
        yield (
            "No configuration was trained again: the best of many single trainings is partly the "
            "luckiest. Give it --replicas."
        )


def _remedy(counts: Mapping[str, int]) -> str:
    if counts["failed"] > counts["collapsed"] + counts["diverged"]:
        return "What made them fail lies outside the training: see why trials ended."
    return "The space is too wide for its trials. Narrow it where training dies, or give it more."


def _warnings_of_ranking(ranking: pd.DataFrame, references: pd.DataFrame) -> Iterator[str]:
    if single := ranking.loc[ranking["n_seeds"] == 1, "config_id"].tolist():
        yield (
            f"{_ids(single)}: one seed only, so no interval can be given and no difference be "
            "told from chance. Give it more --replicas."
        )
    of_training = references[references["name"].str.startswith("training")]
    if of_training.empty:
        return
    real = of_training.iloc[0]
    above = ranking.loc[ranking["test_ll"] > real["test_ll"], "config_id"].tolist()
    if above:
        n_real, fewer = real["n_samples"], ""
        if n_real < N_FINAL_SAMPLES:
            fewer = (
                f" These are {n_real:,}, the most there are to compare with, and a replica's score "
                f"comes from {N_FINAL_SAMPLES:,}: more samples score higher, so a lead may be "
                "honest. How much more, the curve over samples shows."
            )
        yield (
            f"{_ids(above)}: scores above the {real['name']} themselves.{fewer} The Parzen "
            "estimate rewards blurred samples and copies. Look at the samples and at the NN ratio."
        )
    low = ranking.loc[ranking["coverage"] < _LOW_COVERAGE * real["coverage"], "config_id"].tolist()
    if low:
        yield (
            f"{_ids(low)}: coverage below half of the {real['name']}' "
            f"{real['coverage']:.2f}. Much of the data is missing from the samples."
        )


def _warnings_of_copies(ranking: pd.DataFrame) -> Iterator[str]:
    near = ranking.loc[ranking["train_nn_ratio"] < SUSPICIOUS_NN_RATIO, "config_id"].tolist()
    if near:
        yield (
            f"{_ids(near)}: samples lie less than half as far from training examples as new real "
            "ones do: they may be copies, or blurred. Look at each beside its nearest."
        )


def _warnings_of_replicas(trials: pd.DataFrame, ranking: pd.DataFrame) -> Iterator[str]:
    replicas = trials[
        (trials["phase"] == "replica") & trials["config_id"].isin(ranking["config_id"])
    ]
    for config_id, group in replicas.groupby("config_id", sort=False):
        ended_badly = group[group["status"].isin(UNSOUND)]
        if not ended_badly.empty:
            counts = ended_badly["status"].value_counts()
            ends = ", ".join(f"{n} {status}" for status, n in counts.items())
            then = (
                "It has no score."
                if len(ended_badly) == len(group)
                else "Its score is the mean of the others, and a training of it may end likewise."
            )
            replicas_in_words = "1 replica" if len(group) == 1 else f"{len(group)} replicas"
            yield f"{config_id}: of {replicas_in_words} {ends}. {then}"
    at_edge = replicas.loc[
        (replicas["status"] == "completed") & replicas["sigma_at_edge"].eq(True), "trial_id"
    ].tolist()
    if at_edge:
        yield f"{_ids(at_edge)}: the best sigma is at the edge of its grid, so the score is broken."


def _ids(ids: Sequence[str]) -> str:
    return ", ".join(ids[:5]) + (f" and {len(ids) - 5} more" if len(ids) > 5 else "")
