"""The configurations that `--only` gives a run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gansearch.errors import BadInputError, did_you_mean
from gansearch.rules import Config
from gansearch.runs.folder import RunFolder
from gansearch.runs.location import is_run
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import rows_of
from gansearch.space.load import load_config
from gansearch.space.search_space import SearchSpace
from gansearch.system.paths import local_path


def only_configs(space: SearchSpace, only: Sequence[str]) -> list[tuple[str, Config]]:
    """Return what `--only` names, presets of the space or files, each with its configuration.

    Raises:
        BadInputError: there is no such preset or file, or there are no replicas to train.
    """
    if only and not space.budget.replicas:
        raise BadInputError(
            "--only with replicas: 0 trains nothing: `replicas` is the number of seeds that each "
            "configuration is trained on. Give --replicas 1 or more."
        )
    return [(entry, _only_config(space, entry)) for entry in only]


def _only_config(space: SearchSpace, entry: str) -> Config:
    if entry in space.preset_names:
        return space.preset(entry)
    path = local_path(entry)
    if is_run(path.parent) and not path.exists():
        return _config_of_trial(space, RunFolder(path.parent), path.name)
    if not entry or not path.exists():  # Path("") is the working directory
        raise BadInputError(
            f"--only {entry}: there is no such file. It takes a preset of the space "
            f"({', '.join(sorted(space.preset_names))}), the path of a YAML or JSON file with a "
            "configuration's parameters, or RUN/TRIAL for the configuration of a trial."
        )
    return load_config(path, space)


def _config_of_trial(space: SearchSpace, run: RunFolder, trial_id: str) -> Config:
    """Return the configuration of a run's trial, as one of the space."""
    trials = run.trials()
    found = rows_of(trials[trials["trial_id"] == trial_id])
    if not found:
        raise BadInputError(
            f"--only {run.path / trial_id}: the run has no such trial. "
            f"{did_you_mean(trial_id, list(trials['trial_id']))}"
        )
    if run.table is not space.table:
        raise BadInputError(
            f"--only {run.path / trial_id}: the trial is of another model family than the space "
            f"{space.name}. Name the run's own space: --space {run.path / 'run.json'}."
        )
    return space.table.from_dict(config_values(found[0], space.table))


def same_configs(named: Iterable[tuple[str, Config]]) -> list[str]:
    """Return a sentence for each configuration that has several names."""
    names: dict[str, list[str]] = {}
    for name, config in named:
        names.setdefault(config.config_id, []).append(name)
    return [
        f"{' and '.join(same)} are the same configuration; it counts once"
        for same in names.values()
        if len(same) > 1
    ]


def distinct(configs: Iterable[Config]) -> list[Config]:
    """Return the configurations without repetitions of the same training."""
    found: dict[str, Config] = {}
    for config in configs:
        found.setdefault(config.config_id, config)
    return list(found.values())
