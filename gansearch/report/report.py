"""Builds a `Report` from the files of a run, at any stage of it; `sections` puts it into words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from gansearch.budget import Budget
from gansearch.errors import ConfigError, ResultsError
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.own_measures import Objective
from gansearch.pareto import pareto_ranks
from gansearch.ranking.intervals import Difference
from gansearch.ranking.ranking import compare, compare_seeds, with_names
from gansearch.ranking.stability import Stability, stability
from gansearch.report.recovery import (
    read_or_leave_out,
    read_or_rank,
    read_trials,
    read_with_warnings,
)
from gansearch.report.warnings import (
    copy_warnings,
    cut_warnings,
    more_trials,
    provenance_warnings,
    ranking_warnings,
    replica_warnings,
    search_warnings,
    state_warnings,
)
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import (
    CURVE,
    REFERENCES,
    STATUSES,
    is_from_scratch,
    is_sound_search,
    updates_of_their_own,
)
from gansearch.runs.tables import rows_of, unreadable
from gansearch.scoring.lines import edge_warnings

_N_LEADERS = 10


@dataclass(frozen=True)
class Report:
    """The results of a run so far.

    Attributes:
        folder: the run's folder.
        run: the contents of `run.json`.
        budget: of the run.
        baseline: the preset that the best are compared with, such as the paper's configuration;
            None for none.
        counts: trials by phase ("search", "replica"), then by status.
        n_tried: distinct configurations of the search; an older run may have tried some again.
        updates: parameter updates of D and G of all trials.
        ranking: the first rows of `ranking.parquet`, with the names that presets have; none before
            the replicas are done.
        ranks: the rank of every ranked configuration, by its id.
        trials: rows of `trials.parquet`.
        leaderboard: the best trials of the search by its objective, in the columns of
            `trials.parquet` and their `name`; never a collapsed, diverged or failed one. Of several
            objectives they are the first fronts, with the column `pareto_rank`.
        references: scores of real data, and published figures: rows of `references.parquet`.
        training: `name`, `n_samples` and `valid_ll` of training examples, scored as a trial's
            evaluations are; None if an older run has not recorded it.
        curve: scores of the winner and of training examples by the number of samples: rows of
            `curve.parquet`.
        stability: where trials of the search collapsed or diverged; None before any counts.
        winner_minus_paper: by how much the winner is better against the test set, in
            log-likelihood or by the objective; None if it can't be computed.
        baseline_row: the baseline's row of the ranking, if it has one.
        winner_minus_second: as `winner_minus_paper`, over the second of the ranking.
        endings: trial id, status and reason of failed trials, and of all trials of a phase in
            which none was completed.
        warnings: sentences that a reader must know before believing the figures.
    """

    folder: RunFolder
    run: RunDescription
    budget: Budget
    baseline: Config | None
    counts: Mapping[str, Mapping[str, int]]
    n_tried: int
    updates: int
    ranking: pd.DataFrame
    ranks: Mapping[str, int]
    trials: pd.DataFrame
    leaderboard: pd.DataFrame
    references: pd.DataFrame
    training: Mapping[str, Any] | None
    curve: pd.DataFrame
    stability: Stability | None
    winner_minus_paper: Difference | None
    baseline_row: Mapping[str, Any] | None
    winner_minus_second: Difference | None
    endings: Sequence[tuple[str, str, str]]
    warnings: Sequence[str]

    @property
    def paper_config_id(self) -> str | None:
        """Id of the baseline, as the run knows it; None without one."""
        return self.run.paper_config_id

    def label(self, config_id: str) -> str:
        """Return what tables and figures call a configuration: its name, or else its id."""
        return self.run.names.get(config_id, config_id)

    @property
    def has_tried_all(self) -> bool:
        """Whether the space has no other configuration; an older run has not recorded it."""
        return self.run.has_tried_all(self.n_tried)


def build_report(folder: RunFolder, *, top: int | None = None, recompute: bool = False) -> Report:
    """Return the results so far of the run in `folder`.

    Args:
        folder: of the run, at any stage.
        top: how many rows of the ranking and of the leaderboard; None for the whole ranking and
            ten rows of the leaderboard.
        recompute: compute the stability again instead of reading it from a finished run.

    Raises:
        ResultsError: the run's description or a table can't be read.
    """
    run, run_warnings = read_with_warnings(folder.read_run)
    run = replace(run, state=folder.state_of(run))
    try:
        baseline, budget = run.baseline, run.budget
    except ConfigError as error:
        raise unreadable(folder.path / "run.json", error) from error
    trials = read_trials(folder, run)
    test_lls, test_ll_warnings = read_with_warnings(folder.test_lls)
    ranking, ranking_faults = read_or_rank(folder, run, trials, lambda: test_lls)
    names = run.names
    ranking = with_names(ranking, names)  # which older runs lack
    labelled = _labelled(ranking, names)
    lines = folder.path / "references.parquet" if run.state == "finished" else None
    references, reference_faults = read_or_leave_out(folder.references, REFERENCES, lines)
    curve, curve_faults = read_or_leave_out(folder.curve, CURVE, None)
    history_warnings: list[str] = []
    if recompute or (survival := _stored_stability(folder, run)) is None:
        survival, history_warnings = _compute_stability(folder, trials, run, budget)
    counts = _counts(trials)
    searched = trials[trials["phase"] == "search"]
    n_tried = trials.loc[is_from_scratch(trials), "config_id"].nunique()
    ranked = ranking.dropna(subset=["rank"])
    first, second, *_ = [*ranked["config_id"], None, None]

    def lead_over(other: str | None) -> Difference | None:
        return _lead(test_lls, trials, ranked, run, first, other)

    return Report(
        folder=folder,
        run=run,
        budget=budget,
        baseline=baseline,
        counts=counts,
        n_tried=n_tried,
        updates=int(updates_of_their_own(trials).sum()),
        ranking=ranking.head(top) if top else ranking,
        ranks=dict(zip(ranked["config_id"], ranked["rank"].astype(int), strict=True)),
        trials=trials,
        leaderboard=_leaderboard(trials, top or _N_LEADERS, names, run.objective),
        references=references,
        training=_training(run, curve),
        curve=curve,
        stability=survival,
        winner_minus_paper=lead_over(run.paper_config_id),
        baseline_row=next(iter(rows_of(ranking[ranking["is_paper"]])), None),
        winner_minus_second=lead_over(second),
        endings=_endings(trials, counts),
        warnings=[
            *run_warnings,
            *ranking_faults,
            *reference_faults,
            *curve_faults,
            *run.data_notes,
            *state_warnings(folder, run, ranking, counts),
            *cut_warnings(folder, run),
            *provenance_warnings(run, trials, test_lls),
            *search_warnings(
                budget,
                counts["search"],
                n_completed=searched.query("status == 'completed'")["config_id"].nunique(),
                more=more_trials(folder, run, trials),
                n_finalists=budget.top + (baseline is not None),
            ),
            *ranking_warnings(labelled, references, curve, is_cut=bool(run.cut_replicas)),
            *edge_warnings(rows_of(references)),
            *copy_warnings(labelled),
            *replica_warnings(_labelled(trials, names), labelled),
            *test_ll_warnings,
            *history_warnings,
        ],
    )


def _training(run: RunDescription, curve: pd.DataFrame) -> Mapping[str, Any] | None:
    """Return the score of training examples; for an older run, from the curve over samples."""
    if run.training_report is not None:
        return run.training_report
    comparable = curve["name"].str.startswith("training") & (
        curve["n_samples"] == N_EVALUATION_SAMPLES
    )
    rows = curve.loc[comparable & np.isfinite(curve["valid_ll"]), ["name", "n_samples", "valid_ll"]]
    return None if rows.empty else {str(name): v for name, v in rows.iloc[0].items()}


def _counts(trials: pd.DataFrame) -> dict[str, dict[str, int]]:
    pairs = trials.groupby(["phase", "status"]).size().to_dict()
    return {
        phase: {status: int(pairs.get((phase, status), 0)) for status in STATUSES}
        for phase in ("search", "replica")
    }


def _labelled(rows: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """Return rows with the names of configurations, where they have one, in place of their ids."""
    return rows.assign(config_id=[names.get(each, each) for each in rows["config_id"]])


def _leaderboard(
    trials: pd.DataFrame, n: int, names: Mapping[str, str], objective: Objective
) -> pd.DataFrame:
    scores = objective.as_score(trials[objective.column])
    scored = scores[is_sound_search(trials) & np.isfinite(scores)]
    best = scored.sort_values(ascending=False, kind="stable")
    if objective.is_several:
        fronts = search_fronts(trials, objective)
        order = fronts[best.index].dropna().sort_values(kind="stable").index[:n]
        return with_names(trials.loc[order].assign(pareto_rank=fronts[order]), names)
    return with_names(trials.loc[best.head(n).index], names)


def search_fronts(trials: pd.DataFrame, objective: Objective) -> pd.Series[float]:
    """Return the Pareto front, from 1, of each trial of the search with scores; NaN for others."""
    scores = np.stack(
        [each.as_score(trials[each.column].to_numpy(float)) for each in objective.all], axis=1
    )
    counts = is_sound_search(trials).to_numpy() & np.isfinite(scores).all(axis=1)
    fronts = np.full(len(trials), np.nan)
    fronts[counts] = pareto_ranks(scores[counts])
    return pd.Series(fronts, trials.index)


def _lead(
    test_lls: Mapping[str, np.ndarray],
    trials: pd.DataFrame,
    ranked: pd.DataFrame,
    run: RunDescription,
    winner: str | None,
    other: str | None,
) -> Difference | None:
    """Return the winner's lead over another configuration; None if it can't be computed."""
    failed = ranked.set_index("config_id")["n_failed"].to_dict()
    if winner is None or other is None or other not in failed or other == winner:
        return None
    first, second = (
        seed_scores(test_lls, trials, config_id, run.objective) for config_id in (winner, other)
    )
    n_failed = int(failed[winner]), int(failed[other])
    return lead_between(first, second, run.objective, n_failed=n_failed)


def seed_scores(
    test_lls: Mapping[str, np.ndarray],
    trials: pd.DataFrame,
    config_id: str,
    objective: Objective,
) -> list[Any]:
    """Return the test scores of a configuration's completed replicas.

    They are log-likelihoods of the examples, `[n]` each, or values of the objective, of which more
    is better. One that is absent or not finite is left out.
    """
    if measure := objective.measure:
        return [
            measure.as_score(value) for value in seeds_of(trials, config_id, measure.test_column)
        ]
    done = completed_replicas(trials)
    of_config = done.loc[done["config_id"] == config_id, "trial_id"]
    found = (test_lls[trial_id] for trial_id in of_config if trial_id in test_lls)
    return [lls for lls in found if np.isfinite(lls).all()]


def lead_between(
    first: list[Any], second: list[Any], objective: Objective, *, n_failed: tuple[int, int]
) -> Difference | None:
    """Return by how much the first is better, both as `seed_scores` gave; None without scores.

    None too where the test sets have different numbers of examples.
    """
    if not first or not second:
        return None
    if objective.measure:
        return compare_seeds(first, second, n_failed=n_failed)
    if len({len(lls) for lls in (*first, *second)}) != 1:
        return None
    return compare(first, second, n_failed=n_failed)


def completed_replicas(trials: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of replicas that were completed."""
    return trials[(trials["phase"] == "replica") & (trials["status"] == "completed")]


def winning_replica(report: Report) -> str | None:
    """Return the first completed replica of the winner; None where there is none."""
    if report.ranking.empty:
        return None
    replicas = completed_replicas(report.trials)
    of_winner = replicas[replicas["config_id"] == report.ranking["config_id"].iloc[0]]
    # By number: which of several at a time began first is chance.
    return None if of_winner.empty else str(of_winner.sort_values("number")["trial_id"].iloc[0])


def seeds_of(trials: pd.DataFrame, config_id: str, column: str) -> list[float]:
    """Return a measure of each completed replica of a configuration that has it."""
    done = completed_replicas(trials)
    return list(done.loc[done["config_id"] == config_id, column].dropna().astype(float))


def _stored_stability(folder: RunFolder, run: RunDescription) -> Stability | None:
    """Return the stability that a finished run has stored; computing it takes seconds."""
    if run.state != "finished":
        return None
    try:
        cells = folder.stability()
        return None if cells.empty else Stability(cells, folder.importances())
    except ResultsError:  # it can be computed again
        return None


def _compute_stability(
    folder: RunFolder, trials: pd.DataFrame, run: RunDescription, budget: Budget
) -> tuple[Stability | None, list[str]]:
    """Return the stability, None if no trial counts, and warnings of files that can't be read."""
    history, messages = read_with_warnings(
        lambda: folder.history(
            list(dict.fromkeys(["trial_id", "updates", "valid_ll", run.objective.column]))
        )
    )
    found = stability(
        trials[trials["forked_at"].isna()],  # the others died or survived by their schedules
        history,
        family=run.family,
        search=run.space["search"],
        grace_updates=budget.grace_updates,
        objective=run.objective,
    )
    return found if found.n_trials else None, messages


def _endings(
    trials: pd.DataFrame, counts: Mapping[str, Mapping[str, int]]
) -> list[tuple[str, str, str]]:
    """Return how trials failed; in a phase without a completed one, how all of them ended."""
    without_result = [phase for phase, of in counts.items() if of["completed"] == 0]
    is_listed = (trials["status"] == "failed") | trials["phase"].isin(without_result)
    listed = trials[is_listed & (trials["status"] != "running")]
    columns = (listed[name].fillna("") for name in ("trial_id", "status", "reason"))
    return list(zip(*columns, strict=True))
