"""The searcher that Tune asks for configurations: Optuna, told how every trial really ended.

Ray's own OptunaSearch reports every trial that ends as complete. Here a pruned trial is told as
pruned, with its intermediate values; a collapsed or diverged one as pruned and infeasible, from
which TPE learns where training dies; one that our machinery lost as failed, which teaches nothing.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.samplers import BaseSampler, GPSampler, QMCSampler, RandomSampler, TPESampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import Trial, TrialState
from ray.tune.search import Searcher

from gansearch.errors import BadInputError, ResultsError, StorageError, did_you_mean
from gansearch.rules import Config
from gansearch.seeds import trial_seed
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import unwritable
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.scheduler import Outcome

# The constraint by which Optuna knows a collapsed or diverged trial: 1 if so, else -1.
UNHEALTHY = "unhealthy"
_STUDY = "gansearch"

SAMPLERS: dict[str, Callable[[int], BaseSampler]] = {
    # Grouped: conditional parameters are modelled jointly with the ones that they appear with.
    "tpe": lambda seed: TPESampler(multivariate=True, group=True, constant_liar=True, seed=seed),
    "random": lambda seed: RandomSampler(seed=seed),
    "qmc": lambda seed: QMCSampler(scramble=True, seed=seed, warn_independent_sampling=False),
    "gp": lambda seed: GPSampler(seed=seed),
}


def make_sampler(name: str, seed: int) -> BaseSampler:
    """Return the Optuna sampler of that name, seeded.

    Raises:
        BadInputError: no such sampler.
    """
    if name not in SAMPLERS:
        raise BadInputError(f"--sampler {name}: no such sampler. {did_you_mean(name, SAMPLERS)}")
    with warnings.catch_warnings():
        # `group` is marked experimental since Optuna 2.8; the pinned version is tested.
        warnings.simplefilter("ignore", ExperimentalWarning)
        return SAMPLERS[name](seed)


def open_study(
    journal: Path, sampler: BaseSampler, faults: list[StorageError] | None = None
) -> optuna.Study:
    """Open (or begin) the run's study in its journal file, which `optuna-dashboard` reads.

    Args:
        journal: the file.
        sampler: proposes.
        faults: where a line that can't be written is noted, since Tune would take the exception for
            a trial's.
    """
    _drop_torn_line(journal)
    return optuna.create_study(
        storage=JournalStorage(_Journal(str(journal), [] if faults is None else faults)),
        sampler=sampler,
        study_name=_STUDY,
        direction="maximize",
        load_if_exists=True,
    )


def load_study(journal: Path) -> optuna.Study:
    """Open the study that lies in a journal, to be read.

    Raises:
        ResultsError: Optuna can't read it.
    """
    try:
        _drop_torn_line(journal)
        return optuna.load_study(
            study_name=_STUDY, storage=JournalStorage(_Journal(str(journal), []))
        )
    except Exception as error:  # whatever Optuna makes of lines that aren't its own
        raise ResultsError(
            f"{journal}: can't be read: {type(error).__name__}: {error}. It was damaged. Restore "
            "it from a copy, or start the run anew."
        ) from error


def search_spec(number: int, run_seed: int, config: Config) -> TrialSpec:
    """Return the specification of trial `number` of a search."""
    seed = trial_seed(run_seed, "search", number)
    return TrialSpec(f"t{number:05d}", number, "search", seed, config.to_dict())


def enqueue_starts(study: optuna.Study, space: SearchSpace) -> None:
    """Let the study try first what the space starts from."""
    for preset in space.start_from:
        study.enqueue_trial(space.encode(space.preset(preset)))


class _Journal(JournalFileBackend):
    """Optuna's journal, flushed to the disk where a trial begins or ends, not at every line.

    A trial has twenty lines and one for each report, and a flush takes long on a disk that others
    keep busy. Lines are handed to the operating system at once, so that a kill loses none; a loss
    of power may take those that have come since a trial began or ended.
    """

    _LASTING = (JournalOperation.CREATE_TRIAL, JournalOperation.SET_TRIAL_STATE_VALUES)

    def __init__(self, path: str, faults: list[StorageError]) -> None:
        # Others may write too: `optuna-dashboard` keeps notes there.
        self._own_lock = JournalFileSymlinkLock(path)
        super().__init__(path, lock_obj=self._own_lock)
        self._path = Path(path)
        self._faults = faults

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add lines at the end, whole.

        Raises:
            StorageError: the file can't be written; a line that it has in part is cut off again
                when the journal is opened.
        """
        try:
            self._append(logs)
        except OSError as error:
            self._faults.append(unwritable(self._path, error))
            raise self._faults[-1] from error

    def _append(self, logs: list[dict[str, Any]]) -> None:
        lines = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        self._own_lock.acquire()
        try:
            with self._path.open("ab") as file:
                file.write(lines.encode())
                file.flush()
                if any(log["op_code"] in self._LASTING for log in logs):
                    os.fsync(file.fileno())
        finally:
            self._own_lock.release()


class OptunaSearcher(Searcher):
    """Proposes `n_new` configurations of a space, after the trials that an earlier stop cut short.

    Args:
        space: the searched space.
        study: the run's study; configurations to start from are enqueued in it.
        seed: of the run; a trial's own seed follows from it and the trial's number.
        n_new: how many configurations to propose.
        outcomes: Tune's trial ids to how the trials ended, filled by the scheduler.
        interrupted: earlier trials that go on first.
    """

    def __init__(
        self,
        space: SearchSpace,
        study: optuna.Study,
        *,
        seed: int,
        n_new: int,
        outcomes: Mapping[str, Outcome],
        interrupted: Sequence[TrialSpec] = (),
    ) -> None:
        super().__init__()
        self._space = space
        self._study = study
        self._seed = seed
        self._n_new = n_new
        self._outcomes = outcomes
        self._interrupted = list(interrupted)
        self._asked: dict[str, Trial] = {}
        running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
        self._open = {trial.number: trial._trial_id for trial in running}

    def set_search_properties(
        self, metric: str | None, mode: str | None, config: dict[str, Any], **spec: Any
    ) -> bool:
        """Tune's hook; the space and the objective are the study's own."""
        return True

    def suggest(  # type: ignore[override]  # FINISHED is a string
        self, trial_id: str
    ) -> dict[str, Any] | str:
        """Return the next trial's `config` for Tune's `trial_id`, or that there is none."""
        if self._interrupted:
            spec = self._interrupted.pop(0)
            # Optuna may know the end of a trial that the results don't, after a kill between.
            if (optuna_id := self._open.get(spec.number)) is not None:
                self._asked[trial_id] = Trial(self._study, optuna_id)
            return spec.to_tune()
        if self._n_new == 0:
            return Searcher.FINISHED
        trial = self._study.ask()
        config = self._space.suggest(trial)
        self._n_new -= 1
        self._asked[trial_id] = trial
        return search_spec(trial.number, self._seed, config).to_tune()

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell Optuna an intermediate value."""
        if (trial := self._asked.get(trial_id)) is not None:
            self._tell_value(trial, StepResult.from_tune(result))

    def on_trial_complete(
        self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False
    ) -> None:
        """Tell Optuna how a trial ended; one that the run's end cut short stays open."""
        outcome = self._outcomes.get(trial_id)
        if outcome is None or (trial := self._asked.get(trial_id)) is None:
            return
        step = StepResult.from_tune(result) if result is not None else None
        if step is not None and outcome.status in ("completed", "pruned"):
            self._tell_value(trial, step)
        tell(self._study, trial, outcome, step.valid_ll if step is not None else None)
        # Not before it is told: where the journal can't be written, Tune tries the trial again.
        del self._asked[trial_id]

    def save(self, checkpoint_path: str) -> None:
        """Tune's hook; the study lies in its journal, so there is nothing to add."""

    def restore(self, checkpoint_path: str) -> None:
        """Tune's hook; a resumed run builds its searcher anew, from the journal."""

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore that gansearch never asks for.
        return {}

    @staticmethod
    def _tell_value(trial: Trial, step: StepResult) -> None:
        if step.valid_ll is None:
            return
        known = trial.storage.get_trial(trial._trial_id).intermediate_values
        if step.updates not in known:
            trial.report(step.valid_ll, step.updates)


def tell(
    study: optuna.Study, trial: Trial, outcome: Outcome, valid_ll: float | None = None
) -> None:
    """Tell the study how a trial ended, as what it is; a completed one with its score."""
    if outcome.status == "failed":
        study.tell(trial, state=TrialState.FAIL)
        return
    trial.set_user_attr("status", outcome.status)
    trial.set_user_attr("reason", outcome.reason)
    trial.set_constraint(UNHEALTHY, 1.0 if outcome.status in ("collapsed", "diverged") else -1.0)
    if outcome.status == "completed":
        study.tell(trial, valid_ll)
    else:
        study.tell(trial, state=TrialState.PRUNED)


def tell_known_ends(study: optuna.Study, rows: Iterable[Mapping[str, Any]]) -> None:
    """Tell the study of trials that it takes for running how they ended, as `rows` know it.

    After a kill between the two the results may know an end that the journal doesn't.

    Args:
        study: the run's study, just opened.
        rows: of the search's trials, as `trials.parquet` holds them.
    """
    running = study.get_trials(deepcopy=False, states=(TrialState.RUNNING,))
    unknown = {trial.number: trial._trial_id for trial in running}
    for row in rows:
        if row["status"] != "running" and row["number"] in unknown:
            trial = Trial(study, unknown[row["number"]])
            tell(study, trial, Outcome(row["status"], row["reason"]), row["valid_ll"])


def _drop_torn_line(journal: Path) -> None:
    """Cut off the line that a full disk or a power cut has left unfinished at the journal's end.

    Optuna would write its next line behind it, and could never read the journal again.
    """
    if not journal.exists():
        return
    with journal.open("rb+") as file:
        whole = file.read()
        file.truncate(whole.rfind(b"\n") + 1)
