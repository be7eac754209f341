"""The phases of a run: search, replicas on fresh seeds, ranking and report."""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import optuna
import pandas as pd

from gansearch.errors import BadInputError, ResultsError, RunFailedError, SamplesError
from gansearch.figures.samples import png
from gansearch.figures.tiles import with_label
from gansearch.measures import N_FINAL_SAMPLES, Indicators
from gansearch.own_measures import Rating
from gansearch.ranking.ranking import rank
from gansearch.report.finalists import finalists_picture
from gansearch.report.formatting import duration
from gansearch.report.frame import KnownTrial
from gansearch.report.labels import trial_label
from gansearch.report.render import render
from gansearch.report.report import build_report
from gansearch.report.sampling import interpolation_of_samples, picture_of_samples, winning_trial
from gansearch.report.warnings import cut_warnings, failure_remedy, none_completed
from gansearch.rules import Config
from gansearch.runs.commands import command
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator, load_generator
from gansearch.runs.schemas import UNSOUND, config_values, replica_id
from gansearch.scoring.comparison import curve_with_references
from gansearch.scoring.evaluation import Evaluator, final_score
from gansearch.scoring.own import N_TRIED, OwnEvaluator
from gansearch.scoring.references import References, reference_scores
from gansearch.scoring.verdict import LEAST_UPDATES, judge_indicators
from gansearch.seeds import trial_seed
from gansearch.system.files import write_atomically
from gansearch.trial.messages import TrialSpec
from gansearch.tune.costs import Costs, measured_costs
from gansearch.tune.earlier_runs import first_configs, stored_earlier_trials
from gansearch.tune.experiment import drop_states, make_scheduler, run_experiment
from gansearch.tune.fixed_order import FixedOrder
from gansearch.tune.freeze_thaw import FreezeThaw
from gansearch.tune.given_configs import distinct
from gansearch.tune.ordered_search import OrderedSearcher, make_ordered_sampler
from gansearch.tune.pausing_search import PausingSearcher
from gansearch.tune.population import EarlierMember, Population
from gansearch.tune.population_search import PopulationSearcher, n_rescues
from gansearch.tune.proposals import Proposals
from gansearch.tune.repair import open_or_rebuild_study
from gansearch.tune.replica_queue import ReplicaQueue
from gansearch.tune.rows import (
    OUT_OF_TIME,
    REPLICA_OUT_OF_TIME,
    Outcome,
    best_first,
    is_fork,
    is_out_of_time,
    known_trials,
    spec_of_row,
)
from gansearch.tune.samplers import make_sampler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.session import Session
from gansearch.tune.slots import Grouping, replica_grouping, search_grouping
from gansearch.tune.space_change import is_inside
from gansearch.tune.study import enqueue_starts, tell_known_ends
from gansearch.tune.study_display import ReplicaStudy, attach_pictures, describe_study
from gansearch.tune.time_budget import (
    ReplicaPlan,
    cut_replicas,
    search_is_out_of_time,
)
from gansearch.tune.warm_sampler import warmed

# The longest that the user's own measures of training examples are expected to take.
_OWN_SECONDS = 120.0
_N_PICTURED, _N_PICTURED_POINTS = 40, 1000
# Between the scores of the same samples on a GPU and on a CPU, as a share.
_LARGEST_ROUNDING = 1e-2
_N_ROWS, _N_STEPS, _N_POINT_STEPS = 8, 10, 50  # of interpolations
# What a trial's status says to a population.
_ENDS: Mapping[str, Literal["unsound", "failed", "pruned"]] = {
    "collapsed": "unsound",
    "diverged": "unsound",
    "failed": "failed",
    "pruned": "pruned",
}


def measure_costs(session: Session) -> None:
    """Measure what the run does beside training, which its time budget includes."""
    limit = session.settings.time_budget_seconds
    if limit is not None and session.seconds >= limit:
        session.costs = Costs(0.0, 0.0)  # of no use: nothing will be trained
    elif limit is not None:
        _prepare_collapse_test(session)
        session.progress.activity("measuring how long a final score takes")
        session.costs = measured_costs(session.dataset, session.collapse_test)


def search_phase(session: Session) -> None:
    """The first phase: propose, train and stop, until the trials or the time are used up.

    Trials that an earlier session interrupted, or that its time budget cut short, continue.
    """
    session.describe(state="searching", search_is_over=False)
    rows = session.rows("search")
    interrupted = session.recorder.reopen("search")
    n_new = max(0, session.budget.trials - sum(not is_fork(row) for row in rows))
    if interrupted or n_new or session.budget.scheduler == "pbt":  # a fork may be left to begin
        _continue_search(session, interrupted, n_new)
    _raise_if_none_completed(session, "search")
    session.describe(state="searching", search_is_over=True)


def _continue_search(session: Session, interrupted: list[dict[str, Any]], n_new: int) -> None:
    all_rows, settings = session.rows("search"), session.settings
    rows = [row for row in all_rows if not is_fork(row)]  # those that the study knows
    freeze_thaw, population = _freeze_thaw(session, rows), _population(session, all_rows)
    order = FixedOrder(session.budget, session.space.objective) if settings.deterministic else None
    scheduler = make_scheduler(
        session, halving=True, freeze_thaw=freeze_thaw, population=population, order=order
    )
    if order is None:
        scheduler.replay(_reports_of_sound_trials(session))
        sampler_seed = trial_seed(session.seed, "sampler", len(rows))
        sampler = make_sampler(settings.sampler, sampler_seed)
    else:
        order.recall(rows, _reports_by_number(session))
        sampler = make_ordered_sampler(settings.sampler, session.seed, order)
    earlier = stored_earlier_trials(session.folder, session.space)
    first = first_configs(session.space, earlier)
    study, repairs = open_or_rebuild_study(
        session.folder,
        session.space,
        warmed(sampler, session.space, earlier),
        rows,
        faults=session.recorder.faults,
        first=first,
        n_changes=len(session.description.former_spaces),
    )
    describe_study(study, session.description)
    attach = partial(attach_pictures, session.folder, session.recorder.faults)
    objective, most = session.space.objective, session.budget.max_updates
    tell_known_ends(study, rows, objective, attach, max_updates=most)
    _close_orphans(study, {row["number"] for row in interrupted if not is_fork(row)})
    if not rows:
        enqueue_starts(study, session.space, first)
    make_searcher: Callable[..., OptunaSearcher] = OptunaSearcher
    if order is not None:
        make_searcher = partial(OrderedSearcher, order=order)
    if freeze_thaw is not None:
        make_searcher = partial(PausingSearcher, pausing=freeze_thaw, end=session.recorder.end)
    if population is not None:
        make_searcher = partial(
            PopulationSearcher,
            population=population,
            earlier=[spec_of_row(row, session.space.table) for row in all_rows],
            drop_states=partial(drop_states, session.folder),
            end=session.recorder.end,
        )
    searcher = make_searcher(
        session.space,
        study,
        seed=session.seed,
        n_new=n_new,
        outcomes=scheduler.outcomes,
        interrupted=[spec_of_row(row, session.space.table) for row in interrupted],
        rows=_inside(session, rows),
        attach=attach,
    )
    # A study without a report that the history has would be rebuilt at a resume.
    session.recorder.before_history = searcher.write_reports
    n_untried = int(min(n_new, searcher.proposals.n_left))
    is_left = bool(interrupted or n_untried)
    if isinstance(searcher, PopulationSearcher):
        is_left = not searcher.is_over
    if is_left:
        _prepare_collapse_test(session)
    session.progress.phase(
        "search",
        len(all_rows) + n_untried,
        _known(session, all_rows),
    )
    for repair in repairs:
        session.progress.note(repair)
    if search_is_out_of_time(session):
        session.stop.reason = session.stop.reason or "time"
    elif is_left:
        # To Tune, a trial that goes on after a pause is another one; the searcher ends the search.
        n_trials = -1 if freeze_thaw or population else n_new + len(interrupted)
        grouping = search_grouping(session.space, session.share.n_together)
        run_experiment(
            session,
            "search",
            scheduler,
            n_trials,
            grouping=grouping,
            searcher=searcher,
            out_of_time=partial(search_is_out_of_time, session),
        )
    if session.stop.reason == "time":
        _end_open_trials(session, "search", OUT_OF_TIME)
    session.raise_if_interrupted()
    is_cut = session.stop.reason is not None  # forks may begin when the run is resumed
    if isinstance(searcher, PopulationSearcher) and not is_cut and searcher.is_over:
        drop_states(session.folder, ())
    if searcher.is_exhausted or (n_new and not n_untried):
        session.progress.note(_exhausted(session, searcher.proposals))


def _freeze_thaw(session: Session, rows: Sequence[dict[str, Any]]) -> FreezeThaw | None:
    """Return what decides which trial goes on, knowing how earlier ones ended; None for ASHA."""
    if session.budget.scheduler != "freeze_thaw":
        return None
    freeze_thaw = FreezeThaw(session.budget, session.space.objective)
    for row in _inside(session, list(rows)):
        if row["status"] == "completed":
            freeze_thaw.end(row["trial_id"], session.space.objective.score_of(row))
    return freeze_thaw


def _population(session: Session, rows: Sequence[Mapping[str, Any]]) -> Population | None:
    """Return what decides about members and forks, knowing what earlier ones have reported."""
    if session.budget.scheduler != "pbt":
        return None
    objective = session.space.objective
    reports: dict[str, list[tuple[int, float | None, bool]]] = {}
    history = session.folder.history(["trial_id", "updates", objective.column, "verdict"])
    for name, updates, value, verdict in history.itertuples(index=False, name=None):
        score = objective.score_of({objective.column: value})
        reports.setdefault(name, []).append((int(updates), score, verdict == "sound"))
    return Population(
        session.budget,
        objective,
        {row["trial_id"]: _earlier_member(row, reports.get(row["trial_id"], [])) for row in rows},
        max_rescues=n_rescues(session.space),
    )


def _earlier_member(
    row: Mapping[str, Any], reports: Sequence[tuple[int, float | None, bool]]
) -> EarlierMember:
    """Return what earlier sessions have seen of a trial, given its reports."""
    status = row["status"]
    # The report by which a trial collapsed decides nothing else. Others end without a report.
    counted = [each for each in reports if status != "collapsed" or each[0] != row["updates"]]
    return EarlierMember(counted, _ENDS.get(status), is_fork(row))


def _inside(session: Session, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows whose configurations are of the space, which a resume may have changed."""
    if not session.description.former_spaces:
        return rows
    return [row for row in rows if is_inside(session.space, row)]


def _known(session: Session, rows: Sequence[Mapping[str, Any]]) -> list[KnownTrial]:
    """Return what the display shows of trials that earlier sessions have begun."""
    run, column = session.description, session.space.objective.column
    running = {row["trial_id"] for row in rows if row["status"] == "running"}
    values: dict[str, dict[int, float]] = {trial_id: {} for trial_id in running}
    if running:
        history = session.folder.history(["trial_id", "updates", column])
        for trial_id, updates, value in history.itertuples(index=False, name=None):
            if trial_id in running:
                values[trial_id][updates] = value
    return known_trials(rows, run.n_evaluation_samples, session.space, run.names, values)


def _exhausted(session: Session, proposals: Proposals) -> str:
    """Say that a search ends before its budget, since no untried configuration is left."""
    where = "grid" if proposals.is_of_grid else "space"
    which = (
        "no other configuration was found"
        if proposals.n_in_space is None
        else f"all {proposals.n_in_space:,} configurations of the {where} have been tried"
    )
    return (
        f"{which}; the search ends after {len(session.rows('search')):,} of "
        f"{session.budget.trials:,} trials"
    )


def replicate(session: Session, configs: Sequence[Config]) -> None:
    """The second phase: train each of `configs` on its own fresh seeds, without pruning.

    Where the time budget has no room for all replicas, those that are left out are noted in the
    run's description, and a resume with more time trains them.
    """
    session.describe(state="replicating", cut_replicas=())
    session.recorder.reopen("replica")
    if session.stop.reason == "time":
        session.stop.reason = None  # the rest of the time budget is for the replicas
    # Of all replicas, so that it stays the same when a run is resumed.
    keys = [session.space.family.group_key(config) for config in configs]
    grouping = replica_grouping(keys, session.budget.replicas, session.share.n_together)
    specs = _replica_specs(session, configs, grouping.n_slots)
    if specs:
        _prepare_collapse_test(session)
        _train_replicas(session, configs, specs, grouping)
        session.raise_if_interrupted()
    session.describe(cut_replicas=cut_replicas(session, configs))
    for said in cut_warnings(session.folder, session.description):
        session.progress.note(said)
    is_cut = session.description.cut_replicas and not session.description.only
    if session.budget.replicas and configs and not is_cut:
        _raise_if_none_completed(session, "replica")


def _replica_specs(session: Session, configs: Sequence[Config], n_slots: int) -> list[TrialSpec]:
    """Return the replicas that have not ended, in the order in which they begin.

    With a time budget, all configurations get their first seeds first, as many as a group has
    slots, so that all have equally many if the time doesn't suffice.
    """
    n_seeds = session.budget.replicas
    block = n_seeds if session.settings.time_budget_seconds is None else max(1, n_slots)
    specs = []
    for start in range(0, n_seeds, max(1, block)):
        for config in configs:
            for i in range(start, min(n_seeds, start + block)):
                row = session.recorder.rows.get(trial_id := replica_id(config.config_id, i))
                if row is None or row["status"] == "running":
                    seed = trial_seed(session.seed, f"replica of {config.config_id}", i)
                    specs.append(TrialSpec(trial_id, i, "replica", seed, config.to_dict()))
    return specs


def _train_replicas(
    session: Session, configs: Sequence[Config], specs: Sequence[TrialSpec], grouping: Grouping
) -> None:
    """Train those of the replicas that the time budget has room for."""
    plan = ReplicaPlan(session, configs, session.share.at_a_time(grouping.n_at_a_time))
    ids = {
        replica_id(config.config_id, i)
        for config in configs
        for i in range(session.budget.replicas)
    }
    known = [row for row in session.rows("replica") if row["trial_id"] in ids]
    session.progress.phase("replicas", len(ids), _known(session, known))
    if plan.allowed(specs):
        scheduler = make_scheduler(session, halving=False)
        study = ReplicaStudy(session.folder, session.description, session.space, session.recorder)
        run_experiment(
            session,
            "replicas",
            scheduler,
            len(specs),
            grouping=grouping,
            searcher=ReplicaQueue(specs, plan.allowed),
            out_of_time=plan.are_out_of_time,
            callbacks=[study],
        )
    # Unless it was interrupted, what is still open had no room, in this session or an earlier one.
    if session.stop.reason in (None, "time"):
        _end_open_trials(session, "replica", REPLICA_OUT_OF_TIME)


def _prepare_collapse_test(session: Session) -> None:
    if session.dataset.labels is not None:
        session.progress.activity("preparing the classifier of the data's classes")
    session.collapse_test.prepare(session.description.n_evaluation_samples)


def conclude(session: Session) -> None:
    """Rank the replicas beside the reference lines, draw the winner's samples, write the report."""
    folder = session.folder
    folder.compact_history()
    session.progress.activity("reference lines of the data")
    references = reference_scores(session.dataset, tell=session.progress.activity)
    folder.write_references(_with_own_measures(session, references.lines))
    if any(not is_out_of_time(row) for row in session.rows("replica")):
        session.progress.activity("ranking the replicas")
        paper = session.description.paper_config_id
        replicas = folder.trials().query("phase == 'replica'")
        _restore_test_lls(session)
        ranking = rank(
            replicas,
            folder.test_lls(),
            paper_config_id=paper,
            names=session.description.names,
            measures=session.space.measures,
            objective=session.space.objective,
        )
        folder.write_ranking(ranking)
        _show_winner(session, references)
        _draw_finalists(session)
    session.describe(state="finished")
    session.progress.activity("writing the report")
    _write_report(folder)


def _with_own_measures(session: Session, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the reference lines, the first with the user's own measures of training examples.

    Left out where an extractor would take long on this machine's CPU.
    """
    own = OwnEvaluator(session.space.measures, session.dataset)
    start = time.monotonic()
    try:
        own.check()
    except BadInputError:  # as after a resume without a function that lies in no file
        return lines
    n_examples = 2 * N_FINAL_SAMPLES + len(session.dataset.valid) + len(session.dataset.test)
    if (
        not session.space.measures
        or (time.monotonic() - start) * n_examples / N_TRIED > _OWN_SECONDS
    ):
        return lines
    session.progress.activity("your own measures of training examples")
    training = session.dataset.to_float(session.dataset.train[:N_FINAL_SAMPLES])
    values, notes = own.final(training)
    for note in notes:
        session.progress.note(note)
    return [{**lines[0], **values}, *lines[1:]]


def _show_winner(session: Session, references: References) -> None:
    """Write the pictures and the curve of the winner; a lost generator leaves them out."""
    try:
        trial_id = winning_trial(session.folder)
        winner = _generator(session, trial_id)
    except ResultsError as error:
        session.progress.note(f"no pictures of the winner: {error}")
        return
    session.progress.activity("drawing the winner's samples")
    _draw_winner(session, winner, trial_label(session.folder, trial_id))
    session.progress.activity("scoring the winner by the number of samples")
    _score_winner_by_count(session, winner, references)


def _restore_test_lls(session: Session) -> None:
    """Score the samples of completed replicas again whose test log-likelihoods were lost.

    A score that is not the one in `trials.parquet` is not of the same samples, and isn't used.
    """
    for row in session.rows("replica"):
        trial_id = row["trial_id"]
        if row["status"] != "completed" or session.folder.has_test_ll(trial_id):
            continue
        try:
            samples = _generator(session, trial_id).generator.samples(N_FINAL_SAMPLES)
            parzen = final_score(session.dataset, samples).parzen
        except (ResultsError, SamplesError) as error:
            session.progress.note(f"{trial_id} has lost its test log-likelihoods: {error}")
            continue
        if abs(parzen.test_ll - row["test_ll"]) < _LARGEST_ROUNDING * max(1, abs(row["test_ll"])):
            session.folder.write_test_ll(trial_id, parzen.per_example)
        else:
            session.progress.note(
                f"{trial_id} has lost its test log-likelihoods: its generator scores "
                f"{parzen.test_ll:.2f} nats now, {row['test_ll']:.2f} before"
            )


def _generator(session: Session, trial_id: str) -> StoredGenerator:
    return load_generator(session.folder.model_dir(trial_id), lambda _: session.dataset)


def finalists(session: Session) -> list[Config]:
    """Return the best completed configurations by score, then the baseline if there is one.

    By several objectives those of the first front, spread over it, then those of the second, ...
    Where a resume has changed the space, they are of the present one, unless none is.
    """
    sound = _sound_at_their_end(session)
    rows = best_first(_inside(session, sound) or sound, session.space.objective)
    table = session.space.table
    best = distinct(table.from_dict(config_values(row, table)) for row in rows)
    return distinct([*best[: session.budget.top], *session.space.baselines])


def _sound_at_their_end(session: Session) -> list[dict[str, Any]]:
    """Return the rows of completed trials of the search whose last samples have not collapsed.

    A trial that the test has judged at its end has a `collapsed_p`. Version 0.1 let a search
    complete others, which are judged here, by their indicators. Those stay whose replicas have
    begun.
    """
    rows = [row for row in session.rows("search") if row["status"] == "completed"]
    if all(pd.notna(row["collapsed_p"]) for row in rows):
        return rows
    n_samples = session.description.n_evaluation_samples
    null = Evaluator(session.dataset, n_samples=n_samples).reference.null
    begun = {row["config_id"] for row in session.rows("replica")}
    indicators = [f.name for f in dataclasses.fields(Indicators)]

    def is_sound(row: dict[str, Any]) -> bool:
        samples = Indicators(**{name: row[name] for name in indicators})
        if pd.notna(row["collapsed_p"]) or row["updates"] < LEAST_UPDATES:
            return True
        return judge_indicators(samples, null).status == "sound"

    return [row for row in rows if row["config_id"] in begun or is_sound(row)]


def _end_open_trials(session: Session, phase: str, outcome: Outcome) -> None:
    """Record the trials that the time budget cut short.

    In Optuna's study they stay running, so that they can continue when there is more time.
    """
    for row in session.rows(phase):
        if row["status"] == "running":
            session.recorder.end(row["trial_id"], outcome)
    session.recorder.flush()


def _close_orphans(study: optuna.Study, keep: set[int]) -> None:
    """Tell Optuna that running trials which will not continue have failed."""
    for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
        if trial.number not in keep:
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)


def _reports_of_sound_trials(session: Session) -> Iterator[tuple[str, int, Rating]]:
    """Yield the reports that refill the rungs of successive halving, in their order."""
    trial_ids = {row["trial_id"] for row in session.rows("search") if row["status"] not in UNSOUND}
    history, objective = session.folder.history(), session.space.objective
    if objective.is_several:
        for row in history[["trial_id", "updates", *objective.columns]].to_dict("records"):
            several = objective.scores_of({str(name): value for name, value in row.items()})
            if row["trial_id"] in trial_ids and several is not None:
                yield row["trial_id"], row["updates"], several
        return
    scores = objective.as_score(history[objective.column])
    for trial_id, updates, score in zip(
        history["trial_id"], history["updates"], scores, strict=True
    ):
        if trial_id in trial_ids:
            yield trial_id, updates, score


def _reports_by_number(session: Session) -> Iterator[tuple[int, int, float | None]]:
    """Yield number, updates and score of every report of the search, a trial's in their order."""
    rows = session.rows("search")
    numbers = {row["trial_id"]: int(row["number"]) for row in rows}
    # A report that ended its trial by the verdict decides nothing else.
    ended_at = {row["trial_id"]: row["updates"] for row in rows if row["status"] in UNSOUND}
    history, objective = session.folder.history(), session.space.objective
    values = history[["trial_id", "updates", objective.column]]
    for trial_id, updates, value in values.itertuples(index=False, name=None):
        if trial_id in numbers and ended_at.get(trial_id) != updates:
            score = objective.score_of({objective.column: value})
            yield numbers[trial_id], int(updates), score


def _raise_if_none_completed(session: Session, phase: str) -> None:
    """Raise RunFailedError, and write what there is, unless a trial of the phase was completed.

    Also in a session that had nothing left to train, so that a run ends alike each time.
    """
    rows = session.rows(phase)
    counts = Counter(row["status"] for row in rows)
    if counts["completed"]:
        return
    session.describe(state="failed")
    session.recorder.flush()
    session.note_time()
    _write_report(session.folder)
    remedy = failure_remedy(session.folder, session.description, phase, counts)
    is_cut = phase == "replica" and session.description.cut_replicas
    if session.stop.reason == "time" or is_cut:
        raise RunFailedError(
            f"{session.folder.path}: the time budget of "
            f"{duration(session.settings.time_budget_seconds or 0.0)} was over before any "
            f"{'trial of the search' if phase == 'search' else 'replica'} was completed "
            f"({len(rows)} had begun, and keep their state). {remedy}"
        )
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    commonest = reasons.most_common(1)[0][0] if reasons else "no trial reported anything"
    raise RunFailedError(
        f"{session.folder.path}: {none_completed(phase, counts)}. "
        f"The commonest reason: {commonest}. "
        f"`{command('report', session.folder.path)}` shows them all. "
        f"{remedy}"
    )


def _write_report(folder: RunFolder) -> None:
    """Write `report.html`, and where trainings collapsed or diverged for readers of tables."""
    report = build_report(folder, recompute=True)
    if report.stability is not None:
        folder.write_stability(report.stability.cells, report.stability.importances)
    write_atomically(folder.path / "report.html", render(report, "html").encode())


def _draw_winner(session: Session, winner: StoredGenerator, label: str) -> None:
    """Write pictures of the winner's unselected samples, and of interpolations between samples."""
    is_image = session.dataset.is_image
    n = _N_PICTURED if is_image else _N_PICTURED_POINTS
    grid = picture_of_samples(winner, session.dataset, n, nearest=is_image)
    write_atomically(session.folder.path / "samples.png", png(with_label(grid, label)))
    if not session.space.family.interpolates:
        return
    steps = _N_STEPS if is_image else _N_POINT_STEPS
    interpolation = interpolation_of_samples(winner, session.dataset, _N_ROWS, steps)
    picture = png(with_label(interpolation, label))
    write_atomically(session.folder.path / "interpolation.png", picture)


def _draw_finalists(session: Session) -> None:
    """Write a contact sheet of all replicas of the ranking."""
    session.progress.activity("drawing samples of all finalists")
    sheet = finalists_picture(session.folder, session.dataset, partial(_generator, session))
    if sheet is not None:
        write_atomically(session.folder.path / "finalists.png", png(sheet))


def _score_winner_by_count(
    session: Session, winner: StoredGenerator, references: References
) -> None:
    """Write how the scores of the winner's samples and of real data grow with their number."""
    n = min(N_FINAL_SAMPLES, winner.generator.n_kept or N_FINAL_SAMPLES)
    curve = curve_with_references(
        session.dataset, winner.generator.samples(n), references, name="winner"
    )
    session.folder.write_curve(curve)
