"""A report as sections of text and tables; every format for people renders these."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pandas as pd

from gansearch.data.own_names import short_name
from gansearch.measures import N_EVALUATION_SAMPLES, Measure
from gansearch.report.collapse_section import collapse_sections
from gansearch.report.formatting import (
    duration,
    format_count,
    format_interval,
    format_number,
    format_ranks,
    label_of,
    score_decimals,
)
from gansearch.report.front_section import front_section
from gansearch.report.own_section import (
    better,
    own_interval,
    own_number,
    own_search_sections,
    own_sections,
)
from gansearch.report.players_section import players_sections
from gansearch.report.report import Report
from gansearch.report.section import (
    HEADINGS,
    MORE_MEASURES,
    TABLE_MEASURES,
    Column,
    Section,
    make_columns,
)
from gansearch.report.seeds_section import lead, seeds_section, selection_measure
from gansearch.report.stability_section import stability_section
from gansearch.report.warnings import given_up
from gansearch.rules import Config, count_of, short
from gansearch.runs.description import RunDescription
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import rows_of
from gansearch.scheduled import schedule_in_words
from gansearch.scoring.lines import line_title

_N_ENDINGS = 10
_N_OUTSIDE = 8
_LAST_BESIDE = "train_nn_ratio"
_TO_TRAIN = (
    "to train: distance to the nearest training example, relative to that of new real ones; near "
    "0 for copies."
)


def sections(report: Report) -> list[Section]:
    """Return the report in words and tables, in the order in which they are shown."""
    parts = [_summary(report)]
    if report.warnings:
        parts.append(Section("warnings", "Warnings", report.warnings))
    if not report.ranking.empty:
        parts += [_ranking_section(report), seeds_section(report, _marked_config)]
        parts += reference_sections(report.references)
        parts += _more_sections(report)
        parts += own_sections(report, _marked_config)
        parts += players_sections(report, _marked_config)
    parts += collapse_sections(report, _marked_config)
    if not report.ranking.empty:
        parts.append(_configurations(report, report.ranking))
    if not report.leaderboard.empty:
        parts.append(_leaderboard_section(report))
        parts += own_search_sections(report, _marked_config)
    if report.ranking.empty and not report.leaderboard.empty:
        parts.append(_configurations(report, report.leaderboard))
    if report.stability is not None:
        parts.append(stability_section(report, report.stability))
    if report.endings:
        parts.append(_endings_section(report))
    return parts


def _summary(report: Report) -> Section:
    run, space = report.run, report.run.space
    started = datetime.fromisoformat(run.started_at)
    took = f", ran {duration(run.wall_seconds)}" if run.wall_seconds else ""
    lines = [
        f"space {space['name']}, data set {short_name(space['dataset'])}, seed {run.seed}; "
        f"started {started:%Y-%m-%d %H:%M} UTC{took}"
    ]
    if run.only:
        n_given = len(run.only)
        comparison = (
            "1 given configuration is trained"
            if n_given == 1
            else f"{n_given} given configurations are compared"
        )
        lines.append(f"No search: {comparison}.")
    else:
        lines.append(f"Search: {_tried(report)}{_counts_in_words(report, 'search')}.")
        lines += [*_earlier_runs(run), *_former_spaces(run)]
    n_replicas = sum(report.counts["replica"].values())
    trainings = (
        "1 training on a fresh seed"
        if n_replicas == 1
        else f"{n_replicas} trainings on fresh seeds"
    )
    lines += [
        f"Replicas: {trainings}{_counts_in_words(report, 'replica')}.",
        f"Budget: {report.budget.max_updates:,} {run.family.updates_title}, for a full training; "
        f"{report.updates:,} spent in all.",
    ]
    if (n_samples := run.n_evaluation_samples) != N_EVALUATION_SAMPLES:
        lines.append(
            f"Evaluations of {n_samples:,} samples each, in place of {N_EVALUATION_SAMPLES:,}, "
            "which would have taken too much of the time."
        )
    return Section("summary", f"{run.name}: {run.state}", lines)


def _earlier_runs(run: RunDescription) -> list[str]:
    """Return a line on the earlier runs that the search has begun with, if there are any."""
    said = [
        f"{each.get('path')} ({count_of(each.get('n_trials', 0), 'trial')}, weighted "
        f"{each.get('weight', 0.0):.2f})"
        for each in run.warm_start
    ]
    return [f"It began with what earlier runs have found: {', '.join(said)}."] if said else []


def _former_spaces(run: RunDescription) -> list[str]:
    """Return a line on how often the space has changed, and which trials lie outside of it now."""
    if not run.former_spaces:
        return []
    changes = ", and again after ".join(
        count_of(each["n_trials"], "trial") for each in run.former_spaces
    )
    outside = [str(trial_id) for trial_id in run.former_spaces[-1]["outside"]]
    shown = ", ".join(outside[:_N_OUTSIDE]) + (", ..." if len(outside) > _N_OUTSIDE else "")
    lie = f"{len(outside)} of them lie" if len(outside) > 1 else "1 of them lies"
    outcome = f"{lie} outside of it now: {shown}" if outside else "all of them lie in it now"
    return [f"The space was changed after {changes}; {outcome}."]


def _tried(report: Report) -> str:
    """Return how many configurations the search has tried: distinct ones, in how many trials."""
    n, n_trials = report.n_tried, sum(report.counts["search"].values())
    of_trials = f"{n_trials} of {report.budget.trials} trials"
    if report.has_tried_all:
        which = "the only configuration" if n == 1 else f"all {n} configurations"
        return f"{which} of the space tried, in {of_trials}"
    if n < n_trials:
        return f"{n} {'configuration' if n == 1 else 'configurations'} tried, in {of_trials}"
    return f"{n} of {report.budget.trials} configurations tried"


def _ranking_section(report: Report) -> Section:
    decimals = score_decimals(report.ranking["test_ll"])
    if report.run.objective.is_several:
        raw = _raw_note(report.ranking, label_of, "test_ll_raw", decimals)
        return front_section(report, _marked_config, [*raw, *_kept_note(report)])
    columns, scores = _score_columns(report, decimals)
    beside = _beside_scores(report)
    rows = [
        [
            format_number(row["rank"], 0),
            _marked_config(report, row["config_id"]),
            f"{row['n_seeds']}/{row['n_seeds'] + row['n_failed']}",
            *scores(row),
            format_ranks(
                sorted(map(report.ranks.__getitem__, report.ranks.keys() & row["tied_with"]))
            ),
            *(format_number(row[m.column], m.decimals) for m in beside),
        ]
        for row in rows_of(report.ranking)
    ]
    return Section(
        "ranking",
        f"Ranking by how many work, then by {_objective(report)}",
        (),
        [
            *make_columns("rank", "config", "work"),
            *columns,
            *make_columns("ties", *(str(m.heading) for m in beside)),
        ],
        rows,
        [
            *_legend(report),
            *_raw_note(report.ranking, label_of, "test_ll_raw", decimals),
            *_kept_note(report),
            *lead(report, decimals),
        ],
    )


def _kept_note(report: Report) -> list[str]:
    """Return after how many updates the best states were found, where these are kept."""
    if not report.run.keeps_best:
        return []
    found = report.ranking[report.ranking["kept_updates"].notna()]
    if found.empty:
        return []
    updates = [f"{label_of(row)} after {row['kept_updates']:,.0f}" for row in rows_of(found)]
    return [
        f"Of each training its best state by {_objective(report)} is kept, not the last (medians "
        f"over seeds, in updates): {', '.join(updates)}."
    ]


def _score_columns(
    report: Report, decimals: int
) -> tuple[list[Column], Callable[[Mapping[str, Any]], list[str]]]:
    """Return the columns of what the ranking goes by, and what gives a row's cells in them."""
    if measure := report.run.objective.measure:
        columns: list[Column] = [(measure.name, "right"), ("test", "left")]
        return columns, lambda row: [
            own_number(row[measure.column]),
            own_interval(row, measure.test_column),
        ]
    selection = selection_measure(report.ranking)
    return make_columns("valid LL", "test LL"), lambda row: [
        format_number(row[selection], decimals),
        format_interval(row["test_ll"], row["test_ll_low"], row["test_ll_high"], decimals),
    ]


def _beside_scores(report: Report) -> list[Measure]:
    """Return the measures beside the score; values with four digits leave room for one fewer."""
    has_own = report.run.objective.measure is not None
    return [m for m in TABLE_MEASURES if not (has_own and m.column == _LAST_BESIDE)]


def reference_sections(references: pd.DataFrame) -> Iterator[Section]:
    """Yield the scores to compare with: computed references, then published figures."""
    is_published = references["source"].notna()
    computed, published = references[~is_published], references[is_published]
    if not computed.empty:
        decimals = score_decimals(computed["test_ll"])
        yield Section(
            "references",
            "For comparison, as if they had been generated",
            (),
            make_columns("samples", "number", "test LL", *HEADINGS),
            [
                [
                    line_title(row),
                    format_count(row["n_samples"]),
                    format_number(row["test_ll"], decimals),
                    *(format_number(row[m.column], m.decimals) for m in TABLE_MEASURES),
                ]
                for row in rows_of(computed)
            ],
        )
    if not published.empty:
        yield Section(
            "published",
            "Published for this data set, from 10,000 samples (not computed here)",
            (),
            make_columns("model", "test LL", "source"),
            [
                [row["name"], f"{row['test_ll']:.0f} +- {row['test_ll_se']:g}", row["source"]]
                for row in rows_of(published)
            ],
        )


def _more_sections(report: Report) -> Iterator[Section]:
    objective = report.run.objective
    if not objective.is_several:
        scores = bool(objective.measure)
        return more_sections(report.ranking, report.references, with_scores=scores)
    beside = [m for m in TABLE_MEASURES if m.column not in objective.columns]
    scores = all(each.measure for each in objective.all)
    return more_sections(report.ranking, report.references, with_scores=scores, beside=beside)


def more_sections(
    ranking: pd.DataFrame,
    references: pd.DataFrame,
    *,
    with_scores: bool = False,
    beside: Sequence[Measure] | None = None,
) -> Iterator[Section]:
    """Yield the measures that the tables of scores have no room for; none if there are none.

    With `with_scores`, for a ranking by an objective, the log-likelihood is one of them. `beside`
    are those that a ranking by several objectives has no room for.
    """
    computed = references[references["source"].isna()]
    titled = [
        *((label_of(row), row) for row in rows_of(ranking)),
        *((line_title(row), row) for row in rows_of(computed)),
    ]
    # A run or a cache of an older version lacks them; images have no KL divergence.
    also = [m for m in TABLE_MEASURES if with_scores and m.column == _LAST_BESIDE]
    also = also if beside is None else list(beside)
    listed = [*also, *MORE_MEASURES]
    shown = [m for m in listed if any(pd.notna(row[m.column]) for _, row in titled)]
    more = [(str(m.heading), m.column, m.decimals) for m in shown]
    if with_scores:
        more.insert(0, ("test LL", "test_ll", 1))
    rows = [
        [title, *(format_number(row[column], decimals) for _, column, decimals in more)]
        for title, row in titled
        if any(pd.notna(row[column]) for _, column, _ in more)
    ]
    if rows:
        yield Section(
            "measures",
            f"{'Log-likelihood, fidelity' if with_scores else 'Fidelity'}, variety and copying",
            (),
            make_columns("samples", *(heading for heading, _, _ in more)),
            rows,
            [_TO_TRAIN] if any(m.column == _LAST_BESIDE for m in shown) else [],
        )


def _objective(report: Report) -> str:
    """Return in words what the run goes by: of several objectives, what needs one of them."""
    measure = report.run.objective.measure
    if measure is None:
        return "validation log-likelihood (nats)"
    return f"{'your own measure ' if measure.function else ''}{measure.name}"


def _rule_of_order(report: Report) -> str:
    first = "work: replicas with a score, of all. The rank is by whether more than half work, then "
    if measure := report.run.objective.measure:
        return (
            f"{first}by the mean {measure.name} of those against validation examples "
            f"({better(measure)}). test: the same against the test set, which decides ties and has "
            "no other part in the order. Log-likelihoods, in a table below, have none at all."
        )
    return f"{first}by the mean valid LL of those; test LL, their mean too, has no part in it."


def _legend(report: Report) -> list[str]:
    examples = "" if report.run.objective.measure else " and test examples"
    lines = [
        *([] if report.run.objective.measure else [_TO_TRAIN]),
        _rule_of_order(report),
        f"[low, high]: 95 % interval over training seeds{examples}, as if one more seed had "
        "ended badly. ties: ranks that are statistically indistinguishable from this one (Holm, "
        "5 %).",
    ]
    if report.paper_config_id in set(report.ranking["config_id"]):
        lines.append(f"* {report.run.baseline_title}")
    return lines


def _configurations(report: Report, listed: pd.DataFrame) -> Section:
    """Return the configurations of some rows of the ranking or of the leaderboard."""
    has_baseline = report.baseline is not None
    configs = {row["config_id"]: describe_config(report, row) for row in rows_of(listed)}
    return Section(
        "configurations",
        f"Differences from {report.run.baseline_title}" if has_baseline else "Configurations",
        (),
        make_columns("config", "parameters"),
        [[_named_config(report, config_id), text] for config_id, text in configs.items()],
    )


def _leaderboard_section(report: Report) -> Section:
    decimals = score_decimals(report.leaderboard["valid_ll"])
    in_reports = [measure for measure in TABLE_MEASURES if "evaluation" in measure.stages]
    rows = [
        [
            row["trial_id"],
            _marked_config(report, row["config_id"]),
            _status(report, row["status"]),
            f"{row['updates']:,}",
            format_number(row["valid_ll"], decimals),
            *(format_number(row[m.column], m.decimals) for m in in_reports),
        ]
        for row in rows_of(report.leaderboard)
    ]
    names = ("updates", "valid LL", *(str(m.heading) for m in in_reports))
    columns = make_columns("trial", "config", "status", *names)
    objective, board = report.run.objective, rows_of(report.leaderboard)
    shown = {measure.column for measure in in_reports}
    for measure in reversed([m for m in objective.measures if m.column not in shown]):
        columns.insert(3, (measure.name, "right"))
        for cells, row in zip(rows, board, strict=True):
            cells.insert(3, own_number(row[measure.column]))
    if objective.is_several:
        columns.insert(3, ("front", "right"))
        for cells, row in zip(rows, board, strict=True):
            cells.insert(3, format_number(row["pareto_rank"], 0))
    by = f"the fronts of {objective.names}" if objective.is_several else _objective(report)
    return Section(
        "leaderboard",
        f"The search's best by {by}",
        (),
        columns,
        rows,
        [
            *_search_keeps_note(report),
            "This order comes from one training per configuration, some of them stopped early, so "
            "the first is partly the luckiest. The ranking comes from replicas.",
            *_raw_note(
                report.leaderboard, lambda row: str(row["trial_id"]), "valid_ll_raw", decimals
            ),
            *_training_note(report, decimals),
        ],
    )


def _search_keeps_note(report: Report) -> list[str]:
    if not report.run.keeps_best:
        return []
    return ["Scores of completed trials are those of their best state, which is kept."]


def _raw_note(
    table: pd.DataFrame,
    title: Callable[[Mapping[str, Any]], str],
    column: str,
    decimals: int,
) -> list[str]:
    """Return the scores of G's weights themselves, where their average made the samples."""
    if column not in table:
        return []
    scores = [
        f"{title(row)} {format_number(row[column], decimals)} "
        f"(coverage {format_number(row['coverage_raw'], 2)})"
        for row in rows_of(table[table[column].notna()])
    ]
    if not scores:
        return []
    which = "valid LL" if column.startswith("valid") else "test LL"
    return [f"The {which} of G's weights themselves, not their average: {', '.join(scores)}."]


def _training_note(report: Report, decimals: int) -> list[str]:
    if (training := report.training) is None:
        return []
    how = "valid LL" if report.run.objective.measure else "the same measure"
    return [
        f"By {how}, {counted_examples(training)} score "
        f"{format_number(training['valid_ll'], decimals)}. Scores from other numbers of "
        "samples, or of test examples, are not comparable."
    ]


def counted_examples(training: Mapping[str, Any]) -> str:
    """Return training examples in words, such as `1,000 training images`."""
    return f"{training['n_samples']:,} {training['name']}"


def _endings_section(report: Report) -> Section:
    n_more = len(report.endings) - _N_ENDINGS
    return Section(
        "endings",
        "Why trials ended",
        (),
        make_columns("trial", "status", "reason"),
        report.endings[:_N_ENDINGS],
        [f"and {n_more} more in trials.parquet"] if n_more > 0 else [],
    )


def describe_config(report: Report, row: Mapping[str, Any]) -> str:
    """Return what a configuration differs in from the baseline or, without one, consists of."""
    return (_parameters if report.baseline is None else _differences)(report, row)


def _differences(report: Report, row: Mapping[str, Any]) -> str:
    """Return the parameters that apply and differ from the baseline."""
    table = report.run.family.config_type
    config = table.from_dict(config_values(row, table))
    differences = [
        name
        for name in table.rules()
        if config.applies(name) and getattr(config, name) != getattr(report.baseline, name)
    ]
    return _in_words(config, differences) or "nothing"


def _parameters(report: Report, row: Mapping[str, Any]) -> str:
    """Return the parameters that apply and are searched, or differ from the defaults."""
    table, space = report.run.family.config_type, report.run.space
    config = table.from_dict(config_values(row, table))
    default = table.from_dict(space["fixed"])
    shown = [
        name
        for name in table.rules()
        if config.applies(name)
        and (name in space["search"] or getattr(config, name) != getattr(default, name))
    ]
    return _in_words(config, shown) or "the defaults"


def _in_words(config: Config, names: Iterable[str]) -> str:
    """Return the values of some parameters, and last the schedule if it is among them."""
    values = {name: getattr(config, name) for name in names}
    has_schedule = values.pop("schedule", None) is not None
    words = " ".join(f"{name}={short(value)}" for name, value in values.items())
    schedule = f"schedule: {schedule_in_words(config)}" if has_schedule else ""
    return "; ".join(filter(None, (words, schedule)))


def _marked_config(report: Report, config_id: str) -> str:
    label = report.label(config_id)
    return f"{label}*" if config_id == report.paper_config_id else label


def _named_config(report: Report, config_id: str) -> str:
    """Return a configuration as tables call it, with its id, by which files and flags call it."""
    marked = _marked_config(report, config_id)
    return f"{marked} ({config_id})" if config_id in report.run.names else marked


def _counts_in_words(report: Report, phase: str) -> str:
    counts = report.counts[phase]
    by_status = ", ".join(
        f"{n} {_status(report, status)}{_given_up(report, phase) if status == 'collapsed' else ''}"
        for status, n in counts.items()
        if n
    )
    return f": {by_status}" if by_status else ""


def _given_up(report: Report, phase: str) -> str:
    """Return how many of the collapsed trials were stopped by a forecast."""
    n = int(given_up(report.trials[report.trials["phase"] == phase]).sum())
    return f" ({n} of them given up)" if n else ""


def _status(report: Report, status: str) -> str:
    """Return a trial's status, "interrupted" instead of "running" if the run has stopped."""
    return "interrupted" if status == "running" and not report.run.is_going_on else status
