"""What `optuna-dashboard` shows of a run beside the search's trials: facts, pictures, replicas."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
from optuna.artifacts import FileSystemArtifactStore, upload_artifact
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FixedTrial, FrozenTrial, Trial, create_trial
from ray.tune import Callback
from ray.tune.experiment import Trial as TuneTrial

from gansearch import __version__
from gansearch.errors import GansearchError, StorageError
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.space.search_space import SearchSpace
from gansearch.system.files import unwritable
from gansearch.trial.messages import StepResult, TrialSpec
from gansearch.tune.recorder import Recorder
from gansearch.tune.rows import spec_of_row
from gansearch.tune.samplers import UNHEALTHY
from gansearch.tune.study import PHASE, REPLICAS, STATES, is_unhealthy, open_replica_study


def describe_study(study: optuna.Study, description: RunDescription) -> None:
    """Let a study say what it is, where it doesn't say so yet."""
    objective = description.objective
    facts = {
        PHASE: "search",
        **_facts(description),
        "objective": ", ".join(objective.columns),
        "unit": ", ".join(each.unit for each in objective.all),
    }
    _set_attributes(study, facts)
    # A study is told that more is better.
    signs = ("-" if each.as_score(1.0) < 0 else "" for each in objective.all)
    _name_values(study, list(map("".join, zip(signs, objective.columns, strict=True))))


def attach_pictures(
    folder: RunFolder, faults: list[StorageError], trial: Trial, trial_id: str
) -> None:
    """Attach the pictures beside a trial's generator to the trial of a study that has not ended.

    Those of a run in an object store are left out.

    Args:
        folder: of the run.
        faults: list to which a failed write is added, since Tune would attribute the exception to
            a trial.
        trial: of the study.
        trial_id: the run's.
    """
    model = folder.model_dir(trial_id)
    if not isinstance(model, Path) or not isinstance(folder.path, Path):
        return
    artifacts = folder.path / "artifacts"
    try:
        for picture in sorted(model.glob("[!._]*.png")):
            artifacts.mkdir(exist_ok=True)
            upload_artifact(
                artifact_store=FileSystemArtifactStore(artifacts),
                file_path=str(picture),
                study_or_trial=trial,
            )
    except OSError as error:
        faults.append(unwritable(artifacts, error))


class ReplicaStudy(Callback):
    """Writes each replica that ends as a trial of a second study in the run's journal.

    Args:
        folder: of the run.
        description: of the run.
        space: of the run.
        recorder: which has the rows of the replicas.
    """

    def __init__(
        self, folder: RunFolder, description: RunDescription, space: SearchSpace, recorder: Recorder
    ) -> None:
        self._folder, self._space, self._recorder = folder, space, recorder
        self._names = description.names
        self._objective = description.objective
        self._study = open_replica_study(
            folder.journal(),
            recorder.faults,
            folder.path.name,
            minimize=[each.as_score(1.0) < 0 for each in self._objective.all],
        )
        facts = {PHASE: REPLICAS, **_facts(description), "objective": ", ".join(self._columns)}
        units = ", ".join(each.unit for each in self._objective.all)
        _set_attributes(self._study, {**facts, "unit": units})
        _name_values(self._study, self._columns)
        self._written = {t.user_attrs["trial_id"] for t in self._study.get_trials(deepcopy=False)}
        self._reports: dict[str, dict[int, float]] = {}
        self._add_earlier()

    def on_trial_result(
        self,
        iteration: int,
        trials: list[TuneTrial],
        trial: TuneTrial,
        result: dict[str, Any],
        **_: Any,
    ) -> None:
        """Note a report's value of the objective."""
        step = StepResult.from_tune(result)
        if step.evaluation is not None:
            self._note(
                TrialSpec.from_tune(trial.config).trial_id, step.updates, step.evaluation.measured
            )

    def on_trial_complete(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any
    ) -> None:
        """Write a replica that has ended."""
        self._add(TrialSpec.from_tune(trial.config).trial_id)

    def on_trial_error(
        self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **_: Any
    ) -> None:
        """Write a replica that has failed."""
        self._add(TrialSpec.from_tune(trial.config).trial_id)

    @property
    def _columns(self) -> list[str]:
        """Of the values of a replica: its final scores."""
        return [each.column if each.measure else "test_ll" for each in self._objective.all]

    def _add_earlier(self) -> None:
        """Write replicas of which the study lacks the end, as after a kill."""
        rows = [row for row in self._recorder.rows.values() if row["phase"] == "replica"]
        if not rows:
            return
        history = self._folder.history(["trial_id", "updates", "phase", self._objective.column])
        for report in history[history["phase"] == "replica"].to_dict("records"):
            measured = {str(name): value for name, value in report.items()}
            self._note(measured["trial_id"], measured["updates"], measured)
        for row in rows:
            self._add(row["trial_id"])

    def _note(self, trial_id: str, updates: int, measured: Mapping[str, Any]) -> None:
        if self._objective.is_several:  # Optuna takes no reports then
            return
        if (value := self._objective.value_of(measured)) is not None:
            self._reports.setdefault(trial_id, {})[int(updates)] = float(value)

    def _add(self, trial_id: str) -> None:
        row = self._recorder.rows[trial_id]
        if row["status"] == "running" or trial_id in self._written or self._recorder.faults:
            return
        try:
            self._study.add_trial(self._trial_of(row))
            self._written.add(trial_id)
        except StorageError:  # the journal has added it to the faults, which end the run
            return

    def _trial_of(self, row: Mapping[str, Any]) -> FrozenTrial:
        config = self._space.table.from_dict(spec_of_row(row, self._space.table).config)
        is_completed = row["status"] == "completed"
        found = [row.get(column) for column in self._columns] if is_completed else [None]
        known = [float(each) for each in found if not pd.isna(each)]  # NaN where read from a file
        values = known if len(known) == len(found) else None
        state = STATES["failed" if is_completed and values is None else row["status"]]
        searched = _searched(self._space, config)
        return create_trial(
            state=state,
            values=values,
            params=searched.params if searched else {},
            distributions=searched.distributions if searched else {},
            user_attrs={
                "trial_id": row["trial_id"],
                "config_id": row["config_id"],
                "name": self._names.get(row["config_id"], ""),
                "seed": int(row["seed"]),
                "status": row["status"],
                "reason": row["reason"],
                "config": config.to_dict(),
            },
            system_attrs=self._pictures_of(row["trial_id"]),
            constraints={UNHEALTHY: 1.0 if is_unhealthy(row["status"]) else -1.0},
            intermediate_values=self._reports.pop(row["trial_id"], {}),
        )

    def _pictures_of(self, trial_id: str) -> dict[str, Any]:
        """Return the attributes by which a trial has its pictures."""
        scratch = optuna.create_study()
        attach_pictures(self._folder, self._recorder.faults, scratch.ask(), trial_id)
        return dict(scratch.trials[0].system_attrs)

    def __getstate__(self) -> dict[str, Any]:
        # Tune pickles its arguments for a restore, which gansearch never uses.
        return {}


def _facts(description: RunDescription) -> dict[str, Any]:
    """Return what a run is, as attributes of its studies."""
    space = description.space
    return {
        "space": space["name"],
        "dataset": space["dataset"],
        "search": space["search"],
        "fixed": space["fixed"],
        "budget": space["budget"],
        "seed": str(description.seed),  # which may be larger than a dashboard's integers
        "command": str(description.facts.get("command", "")),
        "gansearch": __version__,
    }


def _set_attributes(study: optuna.Study, facts: Mapping[str, Any]) -> None:
    there = study.user_attrs
    for name, value in facts.items():
        if there.get(name) != value:
            study.set_user_attr(name, value)


def _name_values(study: optuna.Study, names: list[str]) -> None:
    if study.metric_names != names:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)
            study.set_metric_names(names)


def _searched(space: SearchSpace, config: Any) -> FixedTrial | None:
    """Return the searched parameters of a configuration; None if it lies outside the space."""
    try:
        fixed = FixedTrial(space.encode(config))
        space.suggest(fixed)
    except (ValueError, GansearchError):
        return None
    return fixed
