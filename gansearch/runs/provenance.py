"""Where a run's numbers come from: its data and its software, which must not change unnoticed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.errors import DataError
from gansearch.runs.commands import command
from gansearch.runs.description import RunDescription
from gansearch.runs.folder import RunFolder

# Libraries whose version may change a training or a score.
_DECISIVE = ("gansearch", "torch", "numpy")
# How much the score of the same examples may differ between machines, in nats and as a share.
_ROUNDING, _ROUNDING_SHARE = 0.1, 1e-3


def require_same_data(
    folder: RunFolder, run: RunDescription, dataset: Dataset, *, asked: str = "resume"
) -> None:
    """Raise DataError, which names the differences, unless `dataset` is what the run learned from.

    A run of an older version, which did not record its data, is not checked. `asked` is the command
    that needs the data, for the remedy.
    """
    if run.data is None:
        return
    differences = list(Fingerprint.from_dict(run.data).differences(Fingerprint.of(dataset)))
    if differences:
        raise _other_data(folder, dataset, "; ".join(differences), asked)


def require_same_scores(
    folder: RunFolder, run: RunDescription, dataset: Dataset, training_report: Mapping[str, Any]
) -> None:
    """Raise DataError if a run that did not record its data has scores of other data.

    Args:
        folder: of the run.
        run: its description.
        dataset: that was found now.
        training_report: the scores of its training examples, as in `run.json`.
    """
    if found := _other_test_set(folder, dataset) or _other_scores(run, training_report):
        raise _other_data(folder, dataset, found, "resume")


def _other_test_set(folder: RunFolder, dataset: Dataset) -> str | None:
    """Return which replica was scored on another number of test examples than `dataset` has."""
    n = len(dataset.test)
    for trial_id, test_ll in folder.test_lls().items():
        if len(test_ll) != n:
            return f"{trial_id} was scored on {len(test_ll):,} test examples; now there are {n:,}"
    return None


def _other_scores(run: RunDescription, now: Mapping[str, Any]) -> str | None:
    """Return how training examples scored when the run began, if they score otherwise now."""
    then = run.training_report
    if then is None or then["n_samples"] != now["n_samples"]:
        return None
    before, after = then["valid_ll"], now["valid_ll"]
    if abs(after - before) <= max(_ROUNDING, _ROUNDING_SHARE * abs(before)):
        return None
    counted = f"{now['n_samples']:,} {now['name']}"
    return f"{counted} scored {before:.2f} nats then, {after:.2f} now"


def _other_data(folder: RunFolder, dataset: Dataset, found: str, asked: str) -> DataError:
    where = command(asked, folder.path, "--data-dir", "DIR")
    return DataError(
        f"{folder.path}: the data set {dataset.name} isn't the one that this run learned from. "
        f"{found}. Nothing on other data can be compared with its results. Restore the data, or "
        f"say where it lies: `{where}`. For the new data, start a new run."
    )


def software_changes(run: RunDescription) -> Iterator[str]:
    """Yield what of a run's software changed between its sessions: `torch 2.5.1, then 2.6.0`."""
    found = run.environments
    for package in _DECISIVE:
        versions = [environment.get("versions", {}).get(package) for environment in found]
        yield from _change(package, versions)
    yield from _change("gansearch's commit", [(e.get("git_commit") or "")[:7] for e in found])
    codes = {e["family_sha256"] for e in found if e.get("family_sha256")}
    if len(codes) > 1:
        yield f"the code of the model family {run.family.name}"


def software_warning(changes: Sequence[str]) -> str:
    """Return the sentence that warns of what `software_changes` yields."""
    return (
        f"The run's sessions did not use the same software: {'; '.join(changes)}. Scores of before "
        "and after may differ for that alone."
    )


def _change(what: str, values: list[str | None]) -> Iterator[str]:
    known = [value for value in values if value]
    distinct = [value for i, value in enumerate(known) if i == 0 or value != known[i - 1]]
    if len(distinct) > 1:
        yield f"{what} {', then '.join(distinct)}"
