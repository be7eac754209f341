"""What a run would do, as text, once it has passed all checks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import optuna

from gansearch.budget import Budget
from gansearch.data.dataset import SPLITS, Dataset
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.report.formatting import duration
from gansearch.report.own_section import better
from gansearch.rules import Config, count_of
from gansearch.scoring.collapse import CollapseTest
from gansearch.scoring.cost import MAX_SHARE, EvaluationSize
from gansearch.seeds import trial_seed
from gansearch.space.counting import N_POINTS, n_configurations
from gansearch.space.search_space import SearchSpace
from gansearch.system.devices import gpu_device
from gansearch.system.object_store import AnyPath
from gansearch.system.streams import occupy_closed_descriptors
from gansearch.trial.footprint import gib
from gansearch.trial.memory_check import fitting_trials
from gansearch.trial.step_times import measured_steps
from gansearch.tune.costs import measured_costs
from gansearch.tune.earlier_runs import first_configs
from gansearch.tune.estimate import N_MEASURED, estimate, expected_updates
from gansearch.tune.fixed_order import FixedOrder
from gansearch.tune.ordered_search import make_ordered_sampler
from gansearch.tune.preflight import Prepared, check_request, prepared
from gansearch.tune.proposals import Proposals
from gansearch.tune.rows import summary
from gansearch.tune.samplers import make_sampler
from gansearch.tune.settings import Settings
from gansearch.tune.share import Share
from gansearch.tune.slots import drawn_configs, replica_grouping, search_grouping
from gansearch.tune.study import enqueue_starts
from gansearch.tune.warm_sampler import warmed

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
    warm_start: Sequence[AnyPath | str] = (),
    measured_seconds: float = 0.0,
) -> str:
    """Make all checks of `search`, start and leave nothing, and return what it would do, as text.

    The folder of results is made and removed again. A data set that is not here is downloaded. With
    `measured_seconds`, trainings are measured for that long, to estimate the time of the run.

    Raises:
        BadInputError, StorageError: as `search`.
    """
    occupy_closed_descriptors()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    request = check_request(
        space,
        overrides=overrides,
        only=only,
        seed=seed,
        settings=settings,
        dataset=dataset,
        warm_start=warm_start,
        results=results,
    )
    with prepared(request, name=name, results=results, start=False, tell=lambda _: None) as run:
        return "\n".join(_plan_lines(run, measured_seconds))


def _plan_lines(run: Prepared, measured_seconds: float) -> Iterator[str]:
    yield _dataset_line(run.dataset)
    yield from (f"note         {note}" for note in run.dataset.notes)
    proposals = None if run.configs else _proposals(run)
    if proposals is not None:
        yield from _space_lines(run.space, proposals)
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
    yield _updates_line(run)
    if measured_seconds:
        yield _estimate_line(run, measured_seconds)
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
    if proposals is not None:
        yield from _first_proposals(run.space, proposals)


def _dataset_line(dataset: Dataset) -> str:
    sizes = ", ".join(f"{len(getattr(dataset, s)):,} {s}" for s in SPLITS)
    return f"data set     {dataset.name}: {sizes}; examples of {'x'.join(map(str, dataset.shape))}"


def _space_lines(space: SearchSpace, proposals: Proposals) -> list[str]:
    """Return how many configurations a space or its grid has, unless there is no end of them."""
    if (n := proposals.n_in_space) is None:
        return []
    also = f"; the search ends when all have been tried, before its {space.budget.trials:,} trials"
    where = f" on a grid with {N_POINTS} values of each float" if proposals.is_of_grid else ""
    also = where + (also if n < space.budget.trials else "")
    return [f"space        {count_of(n, 'configuration')}{also}"]


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
        f"time budget  {duration(seconds)} for the whole run; the search ends when the replicas "
        "need the rest, and if not all of them fit, each finalist gets fewer"
    )


def _updates_line(run: Prepared) -> str:
    """Return how many parameter updates the run makes in all."""
    budget = _with_real_trials(run.space).budget
    n_replicas = (len(run.configs) or run.space.n_finalists) * budget.replicas
    said = []
    if not run.configs:
        expected, most = expected_updates(budget), budget.trials * budget.max_updates
        said.append(f"search: about {float(f'{expected:.2g}'):,.0f} expected, {most:,} at most")
    if n_replicas:
        said.append(f"replicas: {n_replicas * budget.max_updates:,}")
    return f"updates      {'; '.join(said)}"


def _with_real_trials(space: SearchSpace) -> SearchSpace:
    """Return a space with no more trials than it has configurations: each is tried once."""
    n = n_configurations(space)
    return space if n is None else space.with_budget(trials=min(n, space.budget.trials))


def _estimate_line(run: Prepared, seconds: float) -> str:
    """Return how long the run will take, from trainings that are measured now."""
    steps = measured_steps(
        run.space,
        run.configs[:N_MEASURED] or drawn_configs(run.space, N_MEASURED),
        run.dataset,
        folder=run.folder.path,
        device=_device_here(run.share),
        n_at_a_time=run.share.max_concurrent,
        n_samples=run.evaluation.n_samples,
        seconds=seconds,
    )
    if steps is None:
        return "time         unknown: none of the configurations that were tried could be trained"
    n, test = run.share.max_concurrent, CollapseTest(run.dataset)
    test.prepare(run.evaluation.n_samples)
    costs = measured_costs(run.dataset, test)
    found = estimate(_with_real_trials(run.space), len(run.configs), steps, costs, n)
    parts = {"search": found.search, "replicas": found.replicas, "the rest": found.rest}
    said = ", ".join(f"{name} {duration(value)}" for name, value in parts.items() if value)
    which = "given" if run.configs else "drawn from the space"
    return (
        f"time         about {duration(found.seconds)} ({said}). An estimate, measured now on this "
        f"machine: {1 / steps.update:,.0f} updates/s of a trial by itself, over "
        f"{count_of(steps.n_configs, 'configuration')} {which}; {count_of(n, 'trial')} at a time"
    )


def _device_here(share: Share) -> str:
    """Return the device of trials, or the CPU where this machine hasn't got it."""
    return share.device if share.device == "cpu" or gpu_device() == share.device else "cpu"


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


def _proposals(run: Prepared) -> Proposals:
    """Return what the search would try."""
    name = run.settings.sampler
    order = FixedOrder(run.space.budget) if run.settings.deterministic else None
    sampler = (
        make_sampler(name, trial_seed(run.seed, "sampler", 0))
        if order is None
        else make_ordered_sampler(name, run.seed, order)
    )
    sampler = warmed(sampler, run.space, run.earlier.rows)
    study = optuna.create_study(
        sampler=sampler, directions=["maximize"] * len(run.space.objective.all)
    )
    enqueue_starts(study, run.space, first_configs(run.space, run.earlier.rows))
    return Proposals(run.space, study, seed=run.seed)


def _first_proposals(space: SearchSpace, proposals: Proposals) -> list[str]:
    """Return a line for each of the first configurations that the search would try."""
    lines: list[str] = []
    while len(lines) < min(_N_PROPOSALS, space.budget.trials) and (found := proposals.next()):
        text = summary(found[1].to_dict(), tuple(space.search))
        lines.append(f"proposal {len(lines)}   {text}")
    return lines
