"""Samples from a run's trained generators, as a picture or an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gansearch.data import Dataset, load_dataset
from gansearch.errors import BadInputError, ResultsError
from gansearch.evaluation import nearest_training
from gansearch.figures import sample_grid
from gansearch.results import RunFolder
from gansearch.weights import load_generator


def winning_trial(folder: RunFolder) -> str:
    """Return the id of a completed replica of the best-ranked configuration.

    Without a ranking it is the best completed trial of the search, by valid_ll.

    Raises:
        ResultsError: no trial has been completed.
    """
    trials = folder.trials()
    completed = trials[trials["status"] == "completed"]
    ranking = folder.ranking()
    best = ranking.loc[ranking["rank"] == 1, "config_id"]
    replicas = completed[(completed["phase"] == "replica") & completed["config_id"].isin(best)]
    if not replicas.empty:
        return str(replicas["trial_id"].iloc[0])
    if completed.empty:
        raise ResultsError(
            f"{folder.path}: no trial has been completed. Samples come from completed trials. "
            "Wait for the run, or see with `gansearch report` how its trials ended."
        )
    return str(completed.sort_values("valid_ll", ascending=False)["trial_id"].iloc[0])


def write_samples(
    folder: RunFolder,
    out: Path,
    *,
    trial_id: str | None = None,
    n_samples: int = 64,
    nearest: bool = False,
    data_dir: Path | None = None,
) -> str:
    """Write unpicked samples of a trial (by default the winner's) and return the trial's id.

    A `.npy` file becomes an array `[n_samples, dim]`, float32; a `.png` a picture, in which
    `nearest` sets each sample's nearest training example beside it.

    Raises:
        BadInputError: another ending, or a place that can't be written.
        ResultsError: the trial has no generator on disk.
    """
    if out.suffix not in (".npy", ".png"):
        raise BadInputError(
            f"--out {out}: the ending {out.suffix or '(none)'} is not known. Samples are written "
            "as a .png picture or a .npy array."
        )
    trial_id = trial_id or winning_trial(folder)
    saved = load_generator(folder.model_dir(trial_id))
    samples = saved.samples(n_samples)
    try:
        if out.suffix == ".npy":
            np.save(out, samples, allow_pickle=False)
        else:
            dataset = load_dataset(saved.dataset, data_dir)
            beside = nearest_examples(dataset, samples) if nearest else None
            sample_grid(samples, dataset, nearest=beside).save(out)
    except OSError as error:
        raise BadInputError(f"--out {out}: can't be written ({error.strerror}).") from error
    return trial_id


def nearest_examples(dataset: Dataset, samples: np.ndarray) -> np.ndarray:
    """Return each sample's nearest training example, `[n, d]`, as `Dataset.to_float` gives it."""
    rows = nearest_training(dataset, samples, len(samples))
    return dataset.to_float(dataset.train[rows])
