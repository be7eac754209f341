"""The options that several commands share, and those of `run` that make its budget and settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from gansearch.cli_completion import (
    complete_folder,
    complete_sampler,
    complete_space,
    complete_tracker,
    complete_trial,
    one_of,
)
from gansearch.cli_types import (
    BudgetNumberType,
    DurationType,
    FolderType,
    LocalPathType,
    RenamedOption,
    ShareType,
    TextType,
)
from gansearch.tune.settings import flag_of

if TYPE_CHECKING:
    from gansearch.system.object_store import AnyPath
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
    shell_complete=complete_folder,
    help="Folder of all runs; also s3://BUCKET/PATH or gs://BUCKET/PATH.",
)
data_dir_option = click.option(
    "--data-dir",
    # Not click's envvar: a variable that is set for all data sets is no flag of this command.
    type=LocalPathType(),
    help="Folder of the data sets or, for the data set folder, of the images; also the "
    "environment variable GANSEARCH_DATA.  [default: ~/.cache/gansearch]",
)
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the space: k=2 fixes a parameter, generator_lr='{float: [0.01, 0.1]}' searches "
    "it, budget.reports=10 changes the budget, data.image_size=64 the data, "
    "'objectives=[valid_ll,coverage]' what the search goes by. Repeatable.",
)
data_set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="data.KEY=VALUE",
    help="Options of the data set, as `run --set` takes them: data.image_size=64. Repeatable.",
)
address_option = click.option(
    "--address",
    type=TextType(),
    help="Address of a Ray cluster to join, or auto; local is this machine alone.",
)
keep_discriminator_option = click.option(
    "--keep-discriminator",
    is_flag=True,
    help="Store the discriminator's weights too, beside each generator's: "
    "models/TRIAL/discriminator.safetensors.",
)
deterministic_option = click.option(
    "--deterministic",
    is_flag=True,
    help="Make every decision in a fixed order, so that the seed gives the same search with any "
    "number of workers. They wait for each other, and at most 8 trials train at a time.",
)
track_option = click.option(
    "--track",
    multiple=True,
    metavar="TRACKER",
    shell_complete=complete_tracker,
    help="Export trials to a tracker: tensorboard, mlflow, wandb or trackio. Repeatable. A resume "
    "continues with those of the run; none there ends this.",
)
trial_option = click.option(
    "--trial",
    type=TextType(),
    help="Trial id.  [default: a replica of the winner]",
    shell_complete=complete_trial,
)
quiet_option = click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
time_budget_option = click.option(
    "--time-budget",
    "time_budget_seconds",
    type=DurationType(),
    metavar="TIME",
    help="Time, such as 2h or 45m, for the whole run, from its start to the report, over all "
    "sessions. The search ends when the replicas need the rest. If not all of them fit, each "
    "finalist gets fewer, which the report says. Accurate to 10 % or 30 s, whichever is more.",
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
        help="Number of fresh seeds for each of these and for the space's baseline, if it has one.",
    ),
)
extension_options = _joined(
    click.option(
        "--space",
        shell_complete=complete_space,
        help="Search this space from now on: other ranges, choices, parameters or presets. Trials "
        "outside of it are kept as they are.",
    ),
    click.option(
        "--trials",
        type=BudgetNumberType(),
        help="Raise the number of configurations to try to this, those tried included.",
    ),
    click.option(
        "--replicas",
        type=BudgetNumberType(),
        help="Raise the number of fresh seeds of each finalist to this, those trained included.",
    ),
)


def settings_options(*, new: bool) -> Callable[[_Command], _Command]:
    """Return the options of a run's settings: of a new run, or to change those of an old one."""

    def default(value: Any) -> dict[str, Any]:
        return {"default": value, "show_default": True} if new else {"default": None}

    return _joined(
        time_budget_option,
        click.option(
            "--sampler",
            **default("tpe"),
            metavar="NAME",
            help="Sampler that proposes configurations: tpe, random, qmc, gp, cmaes, nsga2, nsga3, "
            "grid, brute_force or auto; optunahub:samplers/NAME of OptunaHub; or a folder, "
            "./my_sampler.",
            shell_complete=complete_sampler,
        ),
        click.option(
            "--max-concurrent",
            type=click.IntRange(1),
            help="Maximum number of trials at a time. A cluster that starts nodes on demand starts "
            "enough of them for this number." + ("  [default: as many as fit]" if new else ""),
        ),
        click.option(
            "--gpus-per-trial",
            type=ShareType(0),
            metavar="FLOAT|auto",
            **default("auto"),
            help="Fraction of a GPU for each trial. auto: up to 16 trials share a GPU, fewer if "
            "its memory or the cores don't suffice; 0 if there is no GPU.",
        ),
        click.option(
            "--cpus-per-trial",
            type=ShareType(0, min_open=True),
            metavar="FLOAT|auto",
            **default("auto"),
            help="CPU cores reserved for each trial; on a CPU it computes with one thread. "
            "auto: 1, or 0.25 where one process trains all trials of a GPU.",
        ),
        click.option(
            "--group-trials",
            cls=RenamedOption,
            former_flag="--packing",
            **default("auto"),
            metavar="auto|on|off",
            shell_complete=one_of("auto", "on", "off"),
            help="Train the trials of a device together in one process. auto: only on a GPU that "
            "several trials share.",
        ),
        address_option,
        data_dir_option,
        track_option,
        *([keep_discriminator_option, deterministic_option] if new else []),
    )


def all_overrides(overrides: Sequence[str], options: Mapping[str, Any]) -> list[str]:
    """Return the changes of `--set` and those of the budget's flags, as `--set` takes them.

    Raises:
        click.UsageError: the two give a key different values.
    """
    flags = {key: flag_of(key) for key in _BUDGET if options[key] is not None}
    last: dict[str, str] = {}
    for change in overrides:
        key = change.partition("=")[0].strip().removeprefix("budget.")
        if last.setdefault(key, change) != change:
            click.echo(f"Note: --set {last[key]}: --set {change} follows, and counts.", err=True)
            last[key] = change
    for key, flag in flags.items():
        if key in last and last[key].partition("=")[2].strip() != str(options[key]):
            raise click.UsageError(
                f"--set {last[key]} and {flag} {options[key]}: both set {key}. One value counts: "
                "leave one of them out."
            )
    return [*overrides, *(f"budget.{key}={options[key]}" for key in flags)]


def check_only(only: Sequence[str], more: Sequence[str], warm_start: Sequence[str] = ()) -> None:
    """Raise UsageError if configurations lack `--only`, or a flag beside it is for a search."""
    if more and not only and not warm_start:
        raise click.UsageError(
            f"Got unexpected extra argument ({more[0]}). A space is named by --space; "
            "configurations to compare follow --only, and earlier runs --warm-start."
        )
    if not only:
        return
    context = click.get_current_context()
    for name in ("trials", "top", "sampler", "deterministic", "warm_start"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            flag = flag_of(name)
            raise click.UsageError(
                f"{flag}, --only: --only compares given configurations without a search, which "
                f"{flag} is for. Leave one of them out. --replicas and --max-updates decide how "
                "much is trained."
            )


def run_below(results: AnyPath, run: str) -> AnyPath | str:
    """Return where RUN lies: below `--results` if that is given, and not in the working folder.

    Raises:
        click.UsageError: RUN is a path elsewhere, so that `--results` has no effect.
    """
    from gansearch.system.object_store import RemotePath, parse_path

    source = click.get_current_context().get_parameter_source("results")
    if source is not ParameterSource.COMMANDLINE:
        return run
    path = parse_path(run)
    if isinstance(path, Path) and not path.is_absolute() and len(path.parts) == 1:
        return results / run
    same = (
        path.parent == results
        if isinstance(path, RemotePath) or isinstance(results, RemotePath)
        else path.resolve().parent == results.resolve()
    )
    if not same:
        raise click.UsageError(
            f"--results {results}: RUN is a path, {run}, which does not lie there. Leave --results "
            "out, or give the run's name."
        )
    return path


def settings_from(options: Mapping[str, Any]) -> Settings:
    """Return the settings that the options ask for."""
    from gansearch.tune.settings import Settings

    values = {field.name: options[field.name] for field in fields(Settings)}
    if values["data_dir"]:
        values["data_dir"] = str(values["data_dir"])
    return Settings(**values)
