"""What limits the size of a search: driver, proposals, records, report.

    python benchmarks/speed/search.py                          # a short form of all but the last
    python benchmarks/speed/search.py --driver [--trials 300]  # through Ray, without training
    python benchmarks/speed/search.py --parts [--trials 5000]  # searcher, scheduler, recorder alone
    python benchmarks/speed/search.py --proposals              # of TPE, as trials get more
    python benchmarks/speed/search.py --report                 # 100,000 trials, 2 million reports
    python benchmarks/speed/search.py --scale                  # what one driver can feed

The short form looks at growth over 5,000 trials without Ray, with configurations drawn at random,
and at proposals of TPE after these; and it reports on the large run in two formats.

No network is trained. Trials report invented numbers: a smooth function of their configuration with
noise, on learning curves; some of the space collapses.
"""

from __future__ import annotations

import argparse
import itertools
import math
import os
import random
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import gansearch  # before Ray, which looks for the settings made here when it is imported

# isort: split
import numpy as np
import optuna
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from optuna.trial import TrialState
from ray import tune
from ray.tune.schedulers import TrialScheduler
from rich.console import Console

from gansearch.budget import Budget
from gansearch.config import TrialConfig
from gansearch.family import Counts, Metrics
from gansearch.measures import Evaluation
from gansearch.report.progress import Progress
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.schemas import HISTORY, trials_schema
from gansearch.scoring.verdict import Verdict
from gansearch.space.load import load_space
from gansearch.space.search_space import SearchSpace
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.trial.plan import sign_seconds
from gansearch.tune import driver, experiment
from gansearch.tune.recorder import Recorder
from gansearch.tune.samplers import make_sampler
from gansearch.tune.scheduler import GuardedScheduler
from gansearch.tune.searcher import OptunaSearcher
from gansearch.tune.study import open_study

UPDATES = 5000
# Of the updates of a full training, what a trial of a search makes on average, most being pruned.
_SHARE_TRAINED = 0.5
# Beyond that share of a core, reports wait for the driver.
_BUSY_AT_MOST = 0.7
SCORES = {
    "sigma": 0.2,
    "sigma_at_edge": False,
    "coverage": 0.7,
    "recall": 0.6,
    "nn_ratio": 0.9,
}
METRICS = {
    "d_loss": 1.3,
    "g_loss": 0.8,
    "d_real": 0.6,
    "d_fake": 0.4,
    "d_grad_norm": 1.0,
    "g_grad_norm": 1.0,
}
MEASURES = SCORES | METRICS
TRIALS = trials_schema(TrialConfig)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("driver", "parts", "proposals", "report", "scale"):
        parser.add_argument(f"--{name}", action="store_true")
    parser.add_argument("--trials", type=int)
    parser.add_argument("--reports", type=int, default=20, help="evaluations of a full training")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--repeats", type=int, default=3, help="repeats of each report on a large run"
    )
    parser.add_argument("--sampler", default="tpe")
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    short = not any((given.driver, given.parts, given.proposals, given.report, given.scale))
    if short or given.driver:
        time_driver(given.trials or 300, given.reports, given.workers, given.sampler)
    if short or given.parts:
        sampler = "random" if short else given.sampler
        time_parts(given.trials or 5000, given.reports, sampler)
    if short or given.proposals:
        time_proposals([200, 1000] if short else [60, 200, 1000, given.trials or 5000], 20)
    if short or given.report:
        formats = ("table", "html") if short else ("table", "json", "html")
        time_report(given.trials or 100_000, given.reports, formats, given.repeats)
    if given.scale:
        time_scale(given.trials or 150, given.workers)


def invented_score(config: TrialConfig) -> float:
    """Return the invented score of a full training of a configuration, without noise."""
    ratio = math.log10(config.discriminator_lr / config.generator_lr)
    return (
        20.0
        - 3 * (ratio - 0.3) ** 2
        - 4 * (math.log10(config.generator_lr) + 1) ** 2
        - 0.5 * (config.k - 1)
        - (math.log10(config.noise_dim) - 1.3) ** 2
        - 4 * (config.dropout_hidden - 0.3) ** 2
        - (config.generator_activation != "relu")
        - (config.discriminator_activation != "maxout")
        - 0.2 * abs((config.maxout_pieces or 3) - 3)
    )


def invented_reports(
    config: TrialConfig, seed: int, n_reports: int, max_updates: int = UPDATES
) -> Iterator[StepResult]:
    """Yield the invented reports of a training, which may collapse."""
    rng = random.Random(seed)
    score = invented_score(config) + rng.gauss(0, 0.3)
    ratio = math.log10(config.discriminator_lr / config.generator_lr)
    dies = rng.random() < 1 / (1 + math.exp(-8 * (abs(ratio) - 1.3)))
    dies_at = rng.randint(2, n_reports) if dies else None
    for i in range(1, n_reports + 1):
        updates = max_updates * i // n_reports
        collapsed = i == dies_at
        counts = Counts(updates, updates // 2, updates // 2, seconds=1e-3 * i)
        valid_ll = score - 15 * math.exp(-4 * i / n_reports) + rng.gauss(0, 0.1)
        reason = "coverage .02 at three reports in a row" if collapsed else ""
        yield StepResult(
            counts,
            "cpu",
            metrics=Metrics(**vars(counts), **METRICS),
            evaluation=Evaluation(valid_ll=valid_ll, **SCORES),
            verdict=Verdict("collapsed" if collapsed else "sound", reason),
            done=collapsed or i == n_reports,
        )


class NullTrial(tune.Trainable):
    """In place of `GanTrial`: reports invented numbers, at once."""

    def setup(self, config: dict[str, Any], data: Any, plan: Any) -> None:  # noqa: ARG002
        self._plan = plan
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        spec, budget = TrialSpec.from_tune(new_config), self._plan.budget
        config = TrialConfig.from_dict(spec.config)
        n_reports = len(budget.report_updates())
        self._reports = invented_reports(config, spec.seed, n_reports, budget.max_updates)
        return True

    def step(self) -> dict[str, Any]:
        return next(self._reports).to_tune()


def time_driver(n_trials: int, n_reports: int, n_workers: int, sampler: str) -> None:
    """Run a search whose trials train nothing, and print what it gets through and how it grows."""
    run = null_search(n_trials, n_reports, n_workers, sampler)
    print(
        f"{run.n_trials} trials, {run.n_reports} reports, {run.seconds:.1f} s, sampler {sampler}; "
        "in brackets the least and the greatest fifth"
    )
    parts, per_trial = run.fifths, run.n_trials // 5
    print(
        f"reports/s         {_told(parts.n_reports / parts.seconds, '.1f')}   (goal: at least 40)"
    )
    print(f"trials/s          {_told(per_trial / parts.seconds, '.2f')}   (goal: at least 2)")
    print(f"driver's CPU      {_told(100 * parts.cpu_seconds / parts.seconds, '.0f')} % of a core")
    share = _told(100 * parts.recorder_seconds / parts.seconds, ".2f")
    print(f"recorder's share  {share} %   (goal: at most 1 %)")
    print_growth(run.ends)


def _told(values: np.ndarray, digits: str) -> str:
    """Return the median of values with the least and the greatest, as text."""
    low, median, high = (f"{x:{digits}}" for x in (values.min(), np.median(values), values.max()))
    return f"{median} [{low}, {high}]"


def print_growth(ends: np.ndarray) -> None:
    """Print how many times as long as in the second fifth a trial takes in the last.

    The first fifth has what happens once, and few trials that could be pruned.

    Args:
        ends: seconds until each trial's end, and those of the processor, `[n, 2]`. Both fifths are
            cut in five, and compared in pairs.
    """
    n = len(ends) // 25
    if n == 0:
        return
    takes = np.diff(ends[n - 1 :: n][:25], axis=0, prepend=0.0)
    wall, cpu = np.quantile(takes[20:] / takes[5:10], [0.25, 0.5, 0.75], axis=0).T
    told = [f"{median:.2f} [{low:.2f}, {high:.2f}]" for low, median, high in (wall, cpu)]
    print(
        f"growth            a trial of the last fifth takes {told[0]} times one of the second, "
        f"{told[1]} of the processor   (goal: at most 1.2; quartiles of five pairs)"
    )


class Fifths(NamedTuple):
    """What each fifth of a search has taken, arrays `[5]`."""

    seconds: np.ndarray
    cpu_seconds: np.ndarray
    recorder_seconds: np.ndarray
    n_reports: np.ndarray


@dataclass(frozen=True)
class NullSearch:
    """What a search whose trials train nothing has taken, from the first start to the last end."""

    n_trials: int
    n_reports: int
    seconds: float
    cpu_seconds: float
    ends: np.ndarray  # seconds until each trial's end, and those of the driver's processor, [n, 2]
    fifths: Fifths


def null_search(n_trials: int, n_reports: int, n_workers: int, sampler: str) -> NullSearch:
    """Search `digits` through the real driver, in place of a training invented numbers.

    Prints what each fifth of the trials took, and the driver's memory after it.
    """
    # As the first trial began, then at every end.
    marks: list[Fifths] = []
    fifth = max(1, n_trials // 5)

    class MarkingRecorder(Recorder):
        n_reports = 0

        def on_trial_start(self, *args: Any, **kwargs: Any) -> None:
            if not marks:
                self._mark()
            super().on_trial_start(*args, **kwargs)

        def on_trial_result(self, *args: Any, **kwargs: Any) -> None:
            self.n_reports += 1
            super().on_trial_result(*args, **kwargs)

        def end(self, *args: Any) -> None:
            super().end(*args)
            self._mark()
            n_ended = len(marks) - 1
            if n_ended % fifth == 0:
                wall, cpu = 1000 * np.subtract(marks[-1], marks[-1 - fifth])[:2] / fifth
                print(
                    f"to trial {n_ended:6}   {wall:6.1f} ms a trial, {cpu:6.1f} of them of the "
                    f"driver's CPU; {own_memory():5.0f} MB",
                    flush=True,
                )

        def _mark(self) -> None:
            now = time.perf_counter(), time.process_time(), self.seconds, self.n_reports
            marks.append(Fifths(*now))

    experiment.GanTrial, driver.Recorder = NullTrial, MarkingRecorder
    with tempfile.TemporaryDirectory() as place:
        gansearch.search(
            "digits",
            results=place,
            settings=gansearch.Settings(max_concurrent=n_workers, sampler=sampler),
            overrides=[
                *(f"budget.trials={n_trials}", f"budget.reports={n_reports}"),
                "budget.replicas=0",
            ],
        )
    # From the first start on: Ray and its workers have begun by then.
    since = np.array(marks) - marks[0]
    return NullSearch(
        n_trials=len(marks) - 1,
        n_reports=round(since[-1, 3]),
        seconds=since[-1, 0],
        cpu_seconds=since[-1, 1],
        ends=since[1:, :2],
        fifths=Fifths(*np.diff(since[::fifth][:6], axis=0).T),
    )


def own_memory() -> float:
    """Return the memory of this process in MB, as it is now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def time_parts(n_trials: int, n_reports: int, sampler: str) -> None:
    """Print what searcher, scheduler and recorder take by themselves, and how they grow."""
    space = load_space("digits", [f"budget.reports={n_reports}"])
    with tempfile.TemporaryDirectory() as place:
        folder = RunFolder.create(Path(place), "played")
        study = open_study(folder.path / "optuna.journal", make_sampler(sampler, 0))
        scheduler = GuardedScheduler(space.budget, halving=True)
        progress = Progress(
            Console(quiet=True),
            budget=space.budget,
            n_replicas=0,
            time_budget_seconds=None,
            quiet=True,
        )
        recorder = Recorder(folder, progress)
        recorder.outcomes = scheduler.outcomes
        searcher = OptunaSearcher(space, study, seed=0, n_new=n_trials, outcomes=scheduler.outcomes)
        spent: Counter[str] = Counter()
        for part, names in (
            (searcher, ("suggest", "on_trial_result", "on_trial_complete")),
            (scheduler, ("on_trial_result", "on_trial_complete", "choose_trial_to_run")),
            (recorder, ("on_trial_start", "on_trial_result", "on_trial_complete")),
        ):
            for name in names:
                _watch(part, name, spent)
        start = before = time.perf_counter()
        start_cpu = time.process_time()
        ends = []
        for i, _ in enumerate(
            play(searcher, scheduler, recorder, budget=space.budget, n_open=8), start=1
        ):
            now = time.perf_counter()
            ends.append((now - start, time.process_time() - start_cpu))
            if i % (n_trials // 5) == 0:
                n = n_trials // 5
                told = ", ".join(f"{name} {1000 * s / n:.2f}" for name, s in spent.items())
                print(f"to trial {i:6}  {1000 * (now - before) / n:6.1f} ms a trial ({told})")
                before = now
                spent.clear()
        print(f"{ends[-1][0]:.0f} s in all, sampler {sampler}, {own_memory():.0f} MB at the end")
        print_growth(np.array(ends))
        print("ms a proposal of TPE after these, median and quartiles of 20")
        print_proposals(space, study, n_trials, 20)


def _watch(part: Any, name: str, spent: Counter[str]) -> None:
    """Add up the seconds that a method takes, under the name of its class."""
    method, key = getattr(part, name), f"{type(part).__name__}.{name}"

    def timed(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            spent[key] += time.perf_counter() - start

    setattr(part, name, timed)


@dataclass(eq=False)
class PlayedTrial:
    """What searcher, scheduler and recorder ask of a Tune trial, and the reports to come."""

    trial_id: str
    config: dict[str, Any]
    reports: Iterator[StepResult]
    status: str = "RUNNING"


def play(
    searcher: OptunaSearcher,
    scheduler: GuardedScheduler,
    recorder: Recorder | None = None,
    *,
    budget: Budget,
    n_open: int,
) -> Iterator[PlayedTrial]:
    """Play a search as Tune would, without workers; yield each trial as it ends."""
    is_over = False
    opened: list[PlayedTrial] = []
    for number in itertools.count():
        while not is_over and len(opened) < n_open:
            trial_id = f"ray-{number}-{len(opened)}"
            asked = searcher.suggest(trial_id)
            if is_over := asked == OptunaSearcher.FINISHED:
                break
            opened.append(_begun(trial_id, asked, budget, scheduler, recorder, opened))
        if not opened:
            return
        # In turns: the trials that are open report about as often as each other.
        trial = opened.pop(0)
        if _report(trial, searcher, scheduler, recorder, opened):
            yield trial
        else:
            opened.append(trial)


def _begun(
    trial_id: str,
    asked: Any,
    budget: Budget,
    scheduler: GuardedScheduler,
    recorder: Recorder | None,
    opened: list[PlayedTrial],
) -> PlayedTrial:
    spec = TrialSpec.from_tune(asked)
    config = TrialConfig.from_dict(spec.config)
    n_reports = len(budget.report_updates())
    reports = invented_reports(config, spec.seed, n_reports, budget.max_updates)
    trial = PlayedTrial(trial_id, asked, reports)
    scheduler.on_trial_add(None, trial)
    scheduler.choose_trial_to_run(None)
    if recorder is not None:
        recorder.on_trial_start(0, opened, trial)
    return trial


def _report(
    trial: PlayedTrial,
    searcher: OptunaSearcher,
    scheduler: GuardedScheduler,
    recorder: Recorder | None,
    opened: list[PlayedTrial],
) -> bool:
    """Play a report of a trial as Tune's controller does; return whether it was the last."""
    step = next(trial.reports)
    result = step.to_tune() | {"time_total_s": 0.0}
    scheduler.choose_trial_to_run(None)
    is_over = step.done
    if is_over:
        scheduler.on_trial_complete(None, trial, result)
    else:
        is_over = scheduler.on_trial_result(None, trial, result) == TrialScheduler.STOP
    if recorder is not None:
        recorder.on_trial_result(0, opened, trial, result)
    if not is_over:
        searcher.on_trial_result(trial.trial_id, result)
        return False
    trial.status = "TERMINATED"
    searcher.on_trial_complete(trial.trial_id, result)
    if recorder is not None:
        recorder.on_trial_complete(0, opened, trial)
    return True


def time_proposals(counts: list[int], n_proposals: int) -> None:
    """Print what a proposal of TPE takes, by the number of trials before it.

    The trials ended as those of a search do; their configurations were drawn at random.
    """
    print(f"ms a proposal of TPE, median and quartiles of {n_proposals}")
    for name in ("digits", "mnist"):
        space = load_space(name, ["budget.reports=10"])
        study = optuna.create_study(sampler=make_sampler("random", 0), direction="maximize")
        n_done = 0
        for n in counts:
            scheduler = GuardedScheduler(space.budget, halving=True)
            searcher = OptunaSearcher(
                space, study, seed=n, n_new=n - n_done, outcomes=scheduler.outcomes
            )
            for _ in play(searcher, scheduler, budget=space.budget, n_open=8):
                n_done += 1
            print_proposals(space, study, n, n_proposals)


def print_proposals(
    space: SearchSpace, study: optuna.Study, n_trials: int, n_proposals: int
) -> None:
    """Print what a proposal of TPE takes."""
    study.sampler = make_sampler("tpe", 0)
    seconds = []
    for _ in range(n_proposals + 1):
        start = time.perf_counter()
        trial = study.ask()
        space.suggest(trial)
        seconds.append(time.perf_counter() - start)
        study.tell(trial, state=TrialState.FAIL)
    study.sampler = make_sampler("random", 1)
    # The first one takes in the trials.
    low, median, high = 1000 * np.quantile(seconds[1:], [0.25, 0.5, 0.75])
    print(
        f"{space.dataset:7} {n_trials:6,} trials   {median:6.1f} [{low:.1f}, {high:.1f}]",
        flush=True,
    )


def time_report(n_trials: int, n_reports: int, formats: Sequence[str], n_repeats: int) -> None:
    """Print what `gansearch report` takes on a large run, each in a process of its own."""
    with tempfile.TemporaryDirectory() as place:
        folder = write_large_run(Path(place), n_trials, n_reports)
        size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
        print(
            f"{n_trials:,} trials, {n_trials * n_reports:,} reports, {size / 1e6:.0f} MB; "
            f"medians of {n_repeats}, in brackets the least and the greatest"
        )
        taken = np.array([[_report_on(folder, f) for f in formats] for _ in range(n_repeats)])
        for i, format_ in enumerate(formats):
            seconds, cpu_seconds, gigabytes = taken[:, i].T
            print(
                f"report --format {format_:6} {_told(seconds, '.1f')} s, "
                f"{_told(cpu_seconds, '.1f')} of processor, {gigabytes.max():.2f} GB at most   "
                "(goal: below 10 s and 2 GB)"
            )


def _report_on(folder: RunFolder, format_: str) -> tuple[float, float, float]:
    """Return the seconds, those of the processor, and the gigabytes at most of one report."""
    command = [sys.executable, "-m", "gansearch", "report", str(folder.path), "--format", format_]
    start = time.perf_counter()
    found = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(found.pid, 0)
    seconds = time.perf_counter() - start
    assert status == 0, f"report --format {format_} failed"
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e6


def write_large_run(place: Path, n_trials: int, n_reports: int) -> RunFolder:
    """Write the folder of an invented search, as a finished run leaves it."""
    space = load_space("digits", [f"budget.trials={n_trials}", "budget.replicas=0"])
    folder = RunFolder.create(place, "large")
    folder.write_run(description_of(space, "large"))
    trials = large_trials(space, n_trials)
    table = pa.Table.from_pandas(trials, TRIALS, preserve_index=False)
    pq.write_table(table, folder.path / "trials.parquet", compression="zstd")
    history = pa.Table.from_pandas(large_history(trials, n_reports), HISTORY, preserve_index=False)
    (folder.path / "history").mkdir()
    pq.write_table(history, folder.path / "history/part-00000000.parquet", compression="zstd")
    return folder


def description_of(space: SearchSpace, name: str) -> RunDescription:
    """Return the description of a finished run."""
    return RunDescription(
        name=name,
        space=space.to_dict(),
        seed=0,
        only=None,
        paper_config_id=space.baseline.config_id,
        started_at="2026-11-24T06:00:00+00:00",
        state="finished",
        wall_seconds=1e5,
        facts={"command": "gansearch run"},
    )


def large_trials(space: SearchSpace, n: int) -> pd.DataFrame:
    """Return rows of `trials.parquet` with configurations drawn at random; a tenth collapsed."""
    rng = np.random.default_rng(0)
    columns: dict[str, Any] = {
        f"config.{name}": [value] * n for name, value in space.preset("paper").to_dict().items()
    }
    for name, low, high in (("generator_lr", 0.003, 1), ("discriminator_lr", 0.003, 1)):
        columns[f"config.{name}"] = np.exp(rng.uniform(math.log(low), math.log(high), n))
    columns["config.k"] = rng.integers(1, 4, n)
    columns["config.noise_dim"] = rng.integers(4, 101, n)
    columns["config.dropout_hidden"] = rng.uniform(0, 0.6, n)
    columns["config.dropout_input"] = rng.uniform(0, 0.5, n)
    columns["config.generator_activation"] = rng.choice(["relu", "leaky_relu", "elu"], n)
    is_maxout = rng.random(n) < 0.5
    columns["config.discriminator_activation"] = np.where(is_maxout, "maxout", "leaky_relu")
    columns["config.maxout_pieces"] = np.where(is_maxout, rng.integers(2, 6, n), np.nan)
    columns["config.init"] = rng.choice(["uniform", "glorot"], n)
    logs = [np.log10(columns[f"config.{name}"]) for name in ("discriminator_lr", "generator_lr")]
    ratio = logs[0] - logs[1]
    score = 20 - 3 * (ratio - 0.3) ** 2 - 4 * (logs[1] + 1) ** 2 + rng.normal(0, 0.3, n)
    collapsed = rng.random(n) < 1 / (1 + np.exp(-8 * (abs(ratio) - 1.3)))
    pruned = ~collapsed & (score < np.quantile(score, 0.7))
    numbers = np.arange(n)
    return pd.DataFrame(
        {
            "trial_id": [f"t{number:05d}" for number in numbers],
            "number": numbers,
            "phase": "search",
            "config_id": [f"c{number:07x}" for number in numbers],
            "seed": numbers,
            "status": np.select([collapsed, pruned], ["collapsed", "pruned"], "completed"),
            "reason": np.where(pruned, "below the best third at rung 1,000", ""),
            "updates": UPDATES,
            "d_updates": UPDATES // 2,
            "g_updates": UPDATES // 2,
            "seconds": 9.0,
            "device": "cpu",
            "valid_ll": score,
            **{name: value for name, value in MEASURES.items() if name in TRIALS.names},
            **columns,
            "test_ll": np.nan,
            "test_ll_se": np.nan,
            "overhead_seconds": 0.4,
            "train_nn_ratio": np.nan,
        }
    )


def large_history(trials: pd.DataFrame, n_reports: int) -> pd.DataFrame:
    """Return rows of `history/`: of every trial as many reports, in the order of a search."""
    rng = np.random.default_rng(1)
    n = len(trials)
    # Eight trials at a time report in turns.
    order = np.concatenate(
        [np.tile(np.arange(start, min(start + 8, n)), n_reports) for start in range(0, n, 8)]
    )
    report = pd.Series(order).groupby(order).cumcount().to_numpy() + 1
    learnt = 15 * np.exp(-4 * report / n_reports)
    noisy = {
        name: np.abs(value + rng.normal(0, 0.05, len(order))) if name != "sigma_at_edge" else value
        for name, value in MEASURES.items()
    }
    times = pd.Timestamp("2026-11-24", tz="UTC") + pd.to_timedelta(np.arange(len(order)), "ms")
    return pd.DataFrame(
        {
            "trial_id": trials["trial_id"].to_numpy()[order],
            "number": order,
            "phase": "search",
            "updates": UPDATES * report // n_reports,
            "d_updates": UPDATES * report // n_reports // 2,
            "g_updates": UPDATES * report // n_reports // 2,
            "seconds": 9.0 * report / n_reports,
            "valid_ll": trials["valid_ll"].to_numpy()[order] - learnt,
            **noisy,
            "verdict": "sound",
            "reported_at": times.astype("datetime64[us, UTC]"),
        }
    )


def print_scale(report_ms: float, trial_ms: float) -> None:
    """Print how many GPUs one driver can feed, by the speed of the GPUs.

    On `mnist`, at the paper's width: 20 reports on a full training of 60,000 updates, of which a
    trial makes `_SHARE_TRAINED`. Each training says now and then how far it is, unless it reports
    more often; that costs the driver as much as a report.

    Args:
        report_ms: what a report, or a sign of progress, takes of the driver.
        trial_ms: what a trial takes beside: its proposal, start, end and records.
    """
    budget = load_space("mnist").budget
    between = budget.max_updates / len(budget.report_updates())
    print(f"a report {report_ms:.1f} ms, a trial {trial_ms:.0f} ms of the driver's core")
    print("updates/s of a GPU   members   reports/s   signs/s   trials/s   driver   GPUs at most")
    for updates, members in itertools.product((2e4, 5e4, 1e5, 2e5, 5e5), (16, 64, 256)):
        trials = updates / (_SHARE_TRAINED * budget.max_updates)
        reports = updates / between

        def signs(n_gpus: float, members: int = members, reports: float = reports) -> float:
            n_trials = n_gpus * members
            return max(0.0, n_trials / sign_seconds(round(n_trials)) - n_gpus * reports)

        def busy(n_gpus: float, reports: float = reports, trials: float = trials) -> float:
            heard = n_gpus * reports + signs(n_gpus)
            return (heard * report_ms + n_gpus * trials * trial_ms) / 1000

        fed = [n_gpus for n_gpus in np.arange(0.1, 100, 0.1) if busy(n_gpus) <= _BUSY_AT_MOST]
        print(
            f"{updates:18,.0f} {members:9} {reports:11.1f} {signs(1):9.1f} {trials:10.2f} "
            f"{100 * busy(1):6.1f} % {max(fed):14.1f}"
        )


def time_scale(n_trials: int, n_workers: int) -> None:
    """Measure what a report and a trial each take of the driver; print what it can feed."""
    few, many = (null_search(n_trials, n, n_workers, "tpe") for n in (10, 80))
    counts = np.array([[run.n_reports, run.n_trials] for run in (few, many)], float)
    seconds = [run.cpu_seconds for run in (few, many)]
    report_seconds, trial_seconds = np.linalg.solve(counts, seconds)
    print_scale(1000 * report_seconds, 1000 * trial_seconds)


if __name__ == "__main__":
    main()
