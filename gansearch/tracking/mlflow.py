"""MLflow: a database in the run's folder, or the server of MLFLOW_TRACKING_URI."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence

from gansearch.tracking.tracker import (
    TrackedEvaluation,
    TrackedRun,
    TrackedTrial,
    Tracker,
    TrialEnd,
)

_RUN, _TRIAL = "gansearch.run", "gansearch.trial"
_LONGEST_NAME, _LONGEST_PARAMETER, _LONGEST_TAG = 250, 500, 5000
_N_METRICS, _N_PARAMETERS = 1000, 100  # that MLflow takes in a call
_EVERYWHERE = "seconds"  # a measure that each report has


class MLflow(Tracker):
    """An experiment, whose runs are the trials; a trial that continues is found by its tags."""

    def __init__(self, run: TrackedRun) -> None:
        if "MLFLOW_TRACKING_URI" not in os.environ:
            # Nothing leaves this machine.
            os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic"):  # which tell of each table that they make
            logging.getLogger(name).setLevel(logging.WARNING)
        self._identity = run.identity
        uri, artifacts = os.environ.get("MLFLOW_TRACKING_URI"), None
        if uri is None:
            folder = run.folder("mlflow")
            folder.mkdir(parents=True, exist_ok=True)
            uri, artifacts = f"sqlite:///{folder / 'mlflow.db'}", (folder / "artifacts").as_uri()
        self._client = MlflowClient(tracking_uri=uri)
        name = run.name[:_LONGEST_NAME]
        found = self._client.get_experiment_by_name(name)
        self._experiment = (
            found.experiment_id
            if found is not None
            else self._client.create_experiment(name, artifacts, tags=dict(run.facts))
        )
        self._known = self._earlier_runs()
        self._runs: dict[str, str] = {}

    def begin(self, trial: TrackedTrial) -> None:
        """Begin a run with the trial's parameters, or find the one that it has."""
        from mlflow.entities import Param, RunTag

        trial_id = trial.trial_id
        if (run_id := self._known.get(trial_id)) is not None:
            self._client.update_run(run_id, status="RUNNING")
            points = self._client.get_metric_history(run_id, _EVERYWHERE)
            reported = max((point.step for point in points), default=-1)
        else:
            tags = {_RUN: self._identity, _TRIAL: trial_id, **trial.tags}
            made = self._client.create_run(self._experiment, run_name=trial_id, tags=tags)
            run_id, reported = made.info.run_id, -1
            self._known[trial_id] = run_id
        params = [Param(_name(k), str(v)[:_LONGEST_PARAMETER]) for k, v in trial.config.items()]
        for i in range(0, len(params), _N_PARAMETERS):
            self._client.log_batch(run_id, params=params[i : i + _N_PARAMETERS])
        self._client.log_batch(run_id, tags=[RunTag("status", "running")])
        self._runs[trial_id] = run_id
        self.report(trial_id, trial.since(reported))

    def report(self, trial_id: str, reports: Sequence[TrackedEvaluation]) -> None:
        """Add points to its curves."""
        from mlflow.entities import Metric

        metrics = [
            Metric(_name(name), value, int(report.at.timestamp() * 1000), report.updates)
            for report in reports
            for name, value in report.values.items()
        ]
        for i in range(0, len(metrics), _N_METRICS):
            self._client.log_batch(self._runs[trial_id], metrics=metrics[i : i + _N_METRICS])

    def end(self, trial_id: str, end: TrialEnd) -> None:
        """Add final scores, samples and the end in words; close the run."""
        run_id = self._runs.pop(trial_id)
        for name, value in end.scores.items():
            self._client.log_metric(run_id, _name(f"final/{name}"), value, step=end.updates)
        for picture in end.pictures:
            self._client.log_artifact(run_id, str(picture), "samples")
        self._client.set_tag(run_id, "status", end.status)
        self._client.set_tag(run_id, "reason", end.reason[:_LONGEST_TAG])
        self._client.set_terminated(run_id, "FINISHED" if end.is_sound else "FAILED")

    def close(self) -> None:
        """Leave trials that have not ended as running: a resume continues them."""

    def _earlier_runs(self) -> dict[str, str]:
        """Return MLflow's ids of trials that earlier sessions have begun."""
        found: dict[str, str] = {}
        token = None
        while True:
            page = self._client.search_runs(
                [self._experiment], f"tags.`{_RUN}` = '{self._identity}'", page_token=token
            )
            found |= {run.data.tags[_TRIAL]: run.info.run_id for run in page}
            if not (token := page.token):
                return found


def _name(name: str) -> str:
    """Return a name of a measure or parameter in the characters that MLflow takes."""
    return re.sub(r"[^\w\-. /]", "_", name)[:_LONGEST_NAME]


make = MLflow
