"""What a run would do, as text, once it has passed all checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.samplers import BaseSampler

from gansearch.budget import Budget
from gansearch.data.dataset import SPLITS, Dataset
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.report.formatting import duration
from gansearch.report.own_section import better
from gansearch.rules import Config, count_of
from gansearch.scoring.cost import MAX_SHARE, EvaluationSize
from gansearch.seeds import trial_seed
from gansearch.space.counting import n_configurations
from gansearch.space.search_space import SearchSpace
from gansearch.system.object_store import AnyPath
from gansearch.system.streams import occupy_closed_descriptors
from gansearch.trial.footprint import gib
from gansearch.trial.memory_check import fitting_trials
from gansearch.tune.preflight import Prepared, check_request, prepared
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import summary
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share
from gansearch.tune.slots import replica_grouping, search_grouping
from gansearch.tune.study import enqueue_starts, make_sampler

_N_PROPOSALS = 5  # that a plan shows


def plan(
    space: str | SearchSpace = "digits",
    *,
    overrides: Sequence[str] = (),
    only: Sequence[str] = (),
    seed: int | None = 0,
    name: str | None = None,
    results: AnyPath | str = "results",
    settings: Settings | None = None,
    dataset: Any = None,
) -> str:
    """Make all checks of `search`, start and leave nothing, and return what it would do, as text.

    The folder of results is made and removed again. A data set that is not here is downloaded.

    Raises:
        BadInputError, StorageError: as `search`.
    """
    occupy_closed_descriptors()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    request = check_request(
        space, overrides=overrides, only=only, seed=seed, settings=settings, dataset=dataset
    )
    with prepared(request, name=name, results=results, start=False, tell=lambda _: None) as run:
        return "\n".join(_plan_lines(run))


def _plan_lines(run: Prepared) -> Iterator[str]:
    yield _dataset_line(run.dataset)
    yield from (f"note         {note}" for note in run.dataset.notes)
    if not run.configs:
        yield from _space_lines(run.space)
        yield _search_line(run.space.budget)
    if run.space.objective.is_several:
        yield f"objectives   {run.space.objective.names}: ranks by Pareto fronts"
    elif measure := run.space.objective.measure:
        more = f", from {measure.n_samples:,} samples" if measure.n_samples else ""
        yield f"objective    {measure.name}{more}: {better(measure)}"
    if run.space.keep == "best":
        yield "keep         the best state of each training on validation data, not the last"
    yield _evaluation_line(run.evaluation)
    yield _replicas_line(run.space, run.configs)
    yield from (f"note         {note}" for note in run.notes)
    if run.settings.time_budget_seconds is not None:
        yield _time_line(run.settings.time_budget_seconds)
    needs = run.largest.needs
    fitting = (
        "" if run.settings.address else f"; {fitting_trials(run.dataset, needs)} at a time fit"
    )
    yield f"memory       {gib(needs.on('host'))} of the host's for the largest trial{fitting}"
    yield _share_line(run.settings, run.share)
    if run.share.room is not None:
        yield f"gpu          {run.share.room.describe()}"
    if run.share.n_together:
        yield _groups_line(run)
    if not run.configs:
        sampler = make_sampler(run.settings.sampler, trial_seed(run.seed, "sampler", 0))
        yield from _first_proposals(run.space, sampler, run.seed)


def _dataset_line(dataset: Dataset) -> str:
    sizes = ", ".join(f"{len(getattr(dataset, s)):,} {s}" for s in SPLITS)
    return f"data set     {dataset.name}: {sizes}; examples of {'x'.join(map(str, dataset.shape))}"


def _space_lines(space: SearchSpace) -> list[str]:
    """Return how many configurations a space has, unless there is no end of them."""
    n = n_configurations(space)
    if n is None:
        return []
    also = f"; the search ends when all have been tried, before its {space.budget.trials:,} trials"
    return [f"space        {count_of(n, 'configuration')}{also if n < space.budget.trials else ''}"]


def _search_line(budget: Budget) -> str:
    return (
        f"search       {count_of(budget.trials, 'trial')} of at most "
        f"{count_of(budget.max_updates, 'update')}, "
        f"{count_of(len(budget.report_updates()), 'report')} each; none is stopped before update "
        f"{budget.grace_updates:,}"
    )


def _evaluation_line(size: EvaluationSize) -> str:
    if size.share is None:
        return f"evaluations  {size.n_samples:,} samples each"
    share = f"about {100 * size.share:.0f} %" if size.share >= 0.01 else "less than 1 %"
    line = f"evaluations  {size.n_samples:,} samples each: {share} of a trial's time, at most"
    if size.n_samples < N_EVALUATION_SAMPLES:
        line += f"; {N_EVALUATION_SAMPLES:,} would take too long"
    if size.share > MAX_SHARE:
        line += ". Fewer would say too little; --set budget.reports=N with a lower N takes less"
    return line


def _replicas_line(space: SearchSpace, configs: Sequence[Config]) -> str:
    top, replicas = space.budget.top, space.budget.replicas
    if not replicas or not (configs or space.n_finalists):
        return "replicas     none, and so no ranking"
    best = " and ".join([f"the best {top}"] * (top > 0) + [*_baseline(space)])
    which = f"{len(configs)} given" if configs else best
    return f"replicas     {which}, each on {count_of(replicas, 'fresh seed')}"


def _baseline(space: SearchSpace) -> list[str]:
    """Return what the baseline is called; empty where there is none."""
    name, family = space.baseline_name, space.family
    if name is None:
        return []
    return [family.baseline_title if name == family.baseline else f"the preset {name}"]


def _time_line(seconds: float) -> str:
    return (
        f"time budget  {duration(seconds)}, at which the search ends, or earlier by the estimated "
        "time of the replicas; replicas and reference lines are never cut short"
    )


def _share_line(settings: Settings, share: Share) -> str:
    where = f"the cluster at {settings.address}" if settings.address else "this machine"
    gpus = f" and {share.gpus_per_trial:g} of a GPU" if share.gpus_per_trial else ", without a GPU"
    return (
        f"machine      {where}: {count_of(share.max_concurrent, 'trial')} at a time, each on "
        f"{count_of(share.cpus_per_trial, 'core')}{gpus}"
    )


def _groups_line(run: Prepared) -> str:
    """Say how many trials train in a group, in each phase."""
    space, n = run.space, run.share.n_together
    parts = []
    if not run.configs:
        parts.append(("search", search_grouping(space, n)))
    if space.budget.replicas and (run.configs or space.n_finalists):
        # Nobody knows yet which configurations are the best; they rarely share a structure.
        keys = [*map(space.family.group_key, run.configs)] or [*range(space.n_finalists)]
        parts.append(("replicas", replica_grouping(keys, space.budget.replicas, n)))
    described = (
        f"{phase}: {grouping.n_at_a_time} trials at a time, "
        + ("each by itself" if grouping.n_slots == 1 else f"in groups of {grouping.n_slots}")
        for phase, grouping in parts
    )
    return f"groups       one process trains {n} trials; {'; '.join(described)}"


def _first_proposals(space: SearchSpace, sampler: BaseSampler, seed: int) -> list[str]:
    """Return a line for each of the first configurations that the search would try."""
    study = optuna.create_study(sampler=sampler, directions=["maximize"] * len(space.objective.all))
    enqueue_starts(study, space)
    proposals = Proposals(space, study, seed=seed)
    lines: list[str] = []
    while len(lines) < min(_N_PROPOSALS, space.budget.trials) and (found := proposals.next()):
        text = summary(found[1].to_dict(), tuple(space.search))
        lines.append(f"proposal {len(lines)}   {text}")
    return lines
