"""The options that several commands share, and those of `run` that make its budget and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

import click

from gansearch.cli_types import (
    BudgetNumberType,
    DurationType,
    FolderType,
    FractionType,
    LocalPathType,
    RenamedOption,
)

if TYPE_CHECKING:
    from gansearch.tune.settings import Settings

_Command = TypeVar("_Command", bound=Callable[..., Any])
_BUDGET = ("trials", "max_updates", "top", "replicas")


def _joined(*options: Callable[[_Command], _Command]) -> Callable[[_Command], _Command]:
    """Return one decorator that adds all options, which the help shows in this order."""

    def decorate(command: _Command) -> _Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


results_option = click.option(
    "--results",
    type=FolderType(),
    default="results",
    show_default=True,
    help="Folder of all runs; also s3://BUCKET/PATH or gs://BUCKET/PATH.",
)
data_dir_option = click.option(
    "--data-dir",
    type=LocalPathType(),
    envvar="GANSEARCH_DATA",
    help="Folder of the data sets or, for the data set folder, of the images; also the "
    "environment variable GANSEARCH_DATA.  [default: ~/.cache/gansearch]",
)
address_option = click.option("--address", help="Address of a Ray cluster to join, or auto.")
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
time_budget_option = click.option(
    "--time-budget",
    "time_budget_seconds",
    type=DurationType(),
    help="Time limit of the whole run, such as 2h or 45m. The search ends early enough to leave "
    "time for the replicas.",
)
budget_options = _joined(
    click.option("--trials", type=BudgetNumberType(), help="Number of configurations to try."),
    click.option(
        "--max-updates",
        type=BudgetNumberType(),
        help="Parameter updates of a full training, those of D and of G together.",
    ),
    click.option(
        "--top",
        type=BudgetNumberType(),
        help="Number of best configurations that are trained again on fresh seeds.",
    ),
    click.option(
        "--replicas",
        type=BudgetNumberType(),
        help="Number of fresh seeds for each of these and for the paper's configuration.",
    ),
)
settings_options = _joined(
    time_budget_option,
    click.option(
        "--sampler",
        default="tpe",
        show_default=True,
        help="Optuna sampler that proposes configurations: tpe, random, qmc or gp.",
    ),
    click.option(
        "--max-concurrent",
        type=click.IntRange(1),
        help="Maximum number of trials at a time. A cluster that starts nodes on demand starts "
        "enough of them for this number.  [default: as many as fit]",
    ),
    click.option(
        "--gpus-per-trial",
        type=FractionType(0),
        help="Fraction of a GPU for each trial.  [default: 0.25 if there is a GPU, else 0]",
    ),
    click.option(
        "--cpus-per-trial",
        type=FractionType(0, min_open=True),
        default=1.0,
        show_default=True,
        help="CPU cores reserved for each trial; on a CPU it computes with one thread.",
    ),
    click.option(
        "--group-trials",
        cls=RenamedOption,
        former_flag="--packing",
        default="auto",
        show_default=True,
        metavar="auto|on|off",
        help="Train the trials of a device together in one process. auto: only on a GPU that "
        "several trials share.",
    ),
    address_option,
    data_dir_option,
)


def budget_overrides(options: Mapping[str, Any]) -> list[str]:
    """Return the changes of the budget that the options ask for, as `--set` takes them."""
    return [f"budget.{key}={options[key]}" for key in _BUDGET if options[key] is not None]


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Return the settings that the options ask for."""
    from gansearch.tune.settings import Settings

    values = {field.name: options[field.name] for field in fields(Settings)}
    if values["data_dir"]:
        values["data_dir"] = str(values["data_dir"])
    return Settings(**values)
