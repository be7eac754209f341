"""The software and machine of a session, and whether a run goes on with its own data and code."""

from __future__ import annotations

import hashlib
import inspect
import os
import platform
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

import gansearch
from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.family import ModelFamily
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder
from gansearch.runs.provenance import (
    require_same_data,
    require_same_scores,
    software_changes,
    software_warning,
)
from gansearch.scoring.references import evaluate_training_examples
from gansearch.system.user_code import sources_of

# What is also stored beside `environments`, of the first session.
FACTS = ("versions", "git_commit", "machine")


def continued(
    folder: RunFolder, run: RunDescription, dataset: Dataset
) -> tuple[RunDescription, list[str]]:
    """Return the description of a run that goes on now, and sentences on what has changed.

    Raises:
        DataError: `dataset` isn't what the run learned from.
    """
    notes = []
    require_same_data(folder, run, dataset)
    if run.data is None:
        training_report = evaluate_training_examples(dataset)
        require_same_scores(folder, run, dataset, training_report)
        run = replace(run, data=Fingerprint.of(dataset).to_dict())
        notes.append(
            f"{folder.path}: an older version of gansearch did not record what this run learned "
            f"from. It is recorded from now on: the data set {dataset.name} as it is now"
        )
    # A run of an older version has only facts.
    known = list(run.environments) or [
        {"since": run.started_at, **{name: run.facts[name] for name in FACTS if name in run.facts}}
    ]
    now = environment(run.family)
    if {**known[-1], "since": None} == {**now, "since": None}:
        return replace(run, environments=known), notes
    changed = list(software_changes(replace(run, environments=[known[-1], now])))
    if changed:
        notes.append(f"{folder.path}: {software_warning(changed)}")
    return replace(run, environments=[*known, now]), notes


def environment(family: ModelFamily[Any]) -> dict[str, Any]:
    """Return the software and the machine of this session, an entry of `environments`."""
    return {
        "since": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "git_commit": _git_commit(),
        "machine": f"{platform.node()}, {os.cpu_count()} cores, {platform.platform()}",
        "family_sha256": _family_sha256(family),
    }


def _versions() -> dict[str, str]:
    packages = ("ray", "torch", "optuna", "torchvision", "numpy", "pandas", "pyarrow")
    return {
        "gansearch": gansearch.__version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _family_sha256(family: ModelFamily[Any]) -> str | None:
    """Return the hash of the files that define a user's family; None for gansearch's own."""
    if texts := sources_of(family.references):
        return hashlib.sha256(b"\0".join(texts[path] for path in sorted(texts))).hexdigest()
    if ":" not in family.name:
        return None
    try:
        source = inspect.getsourcefile(type(family))
        return hashlib.sha256(Path(source).read_bytes()).hexdigest() if source else None
    except (OSError, TypeError):  # of a module without a file
        return None


def _git_commit() -> str | None:
    """Return the commit of the checkout that gansearch runs from, None where there is none."""
    command = ["git", "-C", str(Path(__file__).parents[1]), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
