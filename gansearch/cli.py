"""The command line: flags in, text out.

What a command needs is imported when it runs, so that `gansearch --help` and `gansearch report` do
not wait for Ray and torch.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from gansearch import __version__
from gansearch.errors import BadInputError, GansearchError, InterruptedRunError

if TYPE_CHECKING:
    from gansearch.system.object_store import AnyPath

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}
_EXIT_INTERRUPTED = 130


class Duration(click.ParamType):  # type: ignore[type-arg]  # not generic at runtime in 8.1
    """A time such as 2h, 90m, 1h30m, 45s or plain seconds."""

    name = "duration"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """Return the time in seconds."""
        if isinstance(value, int | float):
            return float(value)
        text = str(value).strip().lower()
        if re.fullmatch(r"\d+(\.\d+)?", text):
            seconds = float(text)
        elif re.fullmatch(r"(\d+(\.\d+)?[dhms])+", text):
            parts = re.findall(r"(\d+(?:\.\d+)?)([dhms])", text)
            seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
        else:
            self.fail(f"{value!r} is not a time. Write 2h, 90m, 1h30m, 45s or seconds.", param, ctx)
        if not seconds > 0:
            self.fail(f"{value!r}: a time budget must be longer than nothing.", param, ctx)
        if math.isinf(seconds):
            self.fail(f"{value!r}: leave the flag out for a run without a limit.", param, ctx)
        return seconds


class BudgetNumber(click.ParamType):  # type: ignore[type-arg]  # as Duration
    """A number of the budget, held to the rule of the entry that its flag is named after."""

    name = "integer"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the whole number."""
        from gansearch.budget import Budget

        assert param is not None and param.name is not None
        rule = Budget.rules()[param.name]
        try:
            return int(rule.parse(int(value)))
        except ValueError:
            self.fail(f"found {value}. It must be {rule.describe()}.", param, ctx)


class Share(click.FloatRange):
    """A finite number in a range; FloatRange alone lets nan and inf pass."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the number."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


class Place(click.ParamType):  # type: ignore[type-arg]  # as Duration
    """A folder, of this machine or in an object store."""

    name = "folder"

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002
        ctx: click.Context | None,  # noqa: ARG002
    ) -> Any:
        """Return the path."""
        from gansearch.system.object_store import place

        return place(value)


_RESULTS = click.option(
    "--results",
    type=Place(),
    default="results",
    show_default=True,
    help="Folder that holds all runs; also s3://BUCKET/PATH or gs://BUCKET/PATH.",
)
_DATA_DIR = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    envvar="GANSEARCH_DATA",
    help="Folder of the data sets or, for folder, of the images; also GANSEARCH_DATA.  "
    "[default: ~/.cache/gansearch]",
)
_ADDRESS = click.option("--address", help="Address of a Ray cluster to join, or auto.")
_QUIET = click.option("--quiet", "-q", is_flag=True, help="Print nothing but errors.")
_TIME_BUDGET = click.option(
    "--time-budget",
    type=Duration(),
    help="Time for the whole run, such as 2h or 45m; the search ends early enough for the "
    "replicas of the best.",
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="gansearch")
def cli() -> None:
    """Search the hyperparameters of generative adversarial nets.

    `gansearch run --space digits` is a whole search that needs no download and no GPU.
    """


@cli.command()
@click.option(
    "--space",
    default="digits",
    show_default=True,
    help="A built-in space (`gansearch spaces` lists them) or the path of a space file.",
)
@click.option("--trials", type=BudgetNumber(), help="Configurations to try.")
@click.option(
    "--max-updates", type=BudgetNumber(), help="Parameter updates (of D and G) of a full training."
)
@_TIME_BUDGET
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Decides all.")
@click.option("--name", help="Name of the run's folder.  [default: the space's and the time]")
@_RESULTS
@_DATA_DIR
@_ADDRESS
@click.option(
    "--gpus-per-trial",
    type=Share(0),
    help="Fraction of a GPU for each trial.  [default: 0.25 where there is one, else 0]",
)
@click.option(
    "--cpus-per-trial",
    type=Share(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Cores that a trial holds; it computes with one thread.",
)
@click.option(
    "--packing",
    default="auto",
    show_default=True,
    metavar="auto|on|off",
    help="Train the trials of a device together in one process; auto: on a GPU that several share.",
)
@click.option(
    "--max-concurrent",
    type=click.IntRange(1),
    help="Trials at a time, at most; on a cluster that starts nodes by itself, as many as it shall "
    "start nodes for.",
)
@click.option(
    "--sampler",
    default="tpe",
    show_default=True,
    help="Optuna sampler that proposes: tpe, random, qmc or gp.",
)
@click.option(
    "--top", type=BudgetNumber(), help="How many of the best are trained again on fresh seeds."
)
@click.option(
    "--replicas", type=BudgetNumber(), help="Fresh seeds for each of these and the paper's."
)
@click.option(
    "--only",
    multiple=True,
    metavar="PRESET|CONFIG.yaml",
    help="No search: compare configurations over seeds: presets of the space, such as paper, or "
    "files. More may follow it. Repeatable.",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="KEY=VALUE",
    help="Change the space: k=2 fixes a parameter, generator_lr='{float: [0.01, 0.1]}' searches "
    "it, budget.reports=10 sets the budget. Repeatable.",
)
@click.option("--dry-run", is_flag=True, help="Check everything and show the plan; train nothing.")
@click.argument("more", nargs=-1, metavar="[CONFIG]...")
@_QUIET
def run(
    space: str,
    trials: int | None,
    max_updates: int | None,
    time_budget: float | None,
    seed: int,
    name: str | None,
    results: AnyPath,
    data_dir: Path | None,
    address: str | None,
    gpus_per_trial: float | None,
    cpus_per_trial: float,
    packing: str,
    max_concurrent: int | None,
    sampler: str,
    top: int | None,
    replicas: int | None,
    only: tuple[str, ...],
    overrides: tuple[str, ...],
    dry_run: bool,
    more: tuple[str, ...],
    quiet: bool,
) -> None:
    """Search a space, train the best again on fresh seeds, and rank them.

    CONFIG... are further configurations for --only.
    """
    from gansearch.tune import driver, preflight
    from gansearch.tune.cluster import Settings

    if more and not only:
        raise click.UsageError(
            f"Got unexpected extra argument ({more[0]}). A space is named by --space; "
            "configurations to compare follow --only."
        )
    only += more
    budget = {"trials": trials, "max_updates": max_updates, "top": top, "replicas": replicas}
    changes = [f"budget.{key}={value}" for key, value in budget.items() if value is not None]
    settings = Settings(
        sampler=sampler,
        address=address,
        gpus_per_trial=gpus_per_trial,
        cpus_per_trial=cpus_per_trial,
        packing=packing,
        max_concurrent=max_concurrent,
        data_dir=str(data_dir) if data_dir else None,
        time_budget_seconds=time_budget,
    )
    if dry_run:
        plan = preflight.plan(
            space, overrides=[*overrides, *changes], only=only, seed=seed, settings=settings
        )
        click.echo(plan)
        return
    console = None if quiet else Console()
    folder = driver.search(
        space,
        overrides=[*overrides, *changes],
        only=only,
        seed=seed,
        name=name,
        results=results,
        settings=settings,
        console=console,
    )
    _show_end(folder, console)


@cli.command()
@click.argument("run", metavar="RUN")
@_RESULTS
@click.option("--trials", type=BudgetNumber(), help="Raise the number of trials to this.")
@_TIME_BUDGET
@_ADDRESS
@_QUIET
def resume(
    run: str,
    results: AnyPath,
    trials: int | None,
    time_budget: float | None,
    address: str | None,
    quiet: bool,
) -> None:
    """Go on with a run after a stop, a crash or a kill. RUN is its folder or name."""
    from gansearch.tune import driver

    console = None if quiet else Console()
    folder = driver.resume(
        run,
        results=results,
        trials=trials,
        time_budget_seconds=time_budget,
        address=address,
        console=console,
    )
    _show_end(folder, console)


@cli.command()
@click.argument("run", metavar="RUN")
@_RESULTS
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv", "markdown", "html"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Write to this file.")
@click.option("--top", type=click.IntRange(1), help="Show the first so many only.")
def report(run: str, results: AnyPath, format_: str, out: Path | None, top: int | None) -> None:
    """Rank and show a run, also while it is going on. RUN is its folder or name."""
    from gansearch.report.console import print_report
    from gansearch.report.render import render
    from gansearch.report.report import build_report
    from gansearch.runs.folder import RunFolder

    built = build_report(RunFolder.open(run, results), top=top)
    if format_ != "table":
        _write(render(built, format_), out)
    elif out is None:
        print_report(built, Console())
    else:
        text = io.StringIO()
        print_report(built, Console(file=text, width=100))
        _write(text.getvalue(), out)


@cli.command()
@click.argument("samples", type=click.Path(path_type=Path))
@click.option("--dataset", required=True, help="The data set that the samples imitate.")
@_DATA_DIR
@click.option(
    "--sigma-grid",
    type=click.Choice(["fine", "authors"]),
    default="fine",
    show_default=True,
    help="Bandwidths that validation data chooses from; authors: ten from .1 to 1.",
)
@click.option(
    "--curve",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="OUT",
    help="Write the score against the number of samples, beside training examples': a .png "
    "picture, or a .csv or .parquet table.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    samples: Path,
    dataset: str,
    data_dir: Path | None,
    sigma_grid: str,
    curve: Path | None,
    as_json: bool,
) -> None:
    """Score anybody's samples, a .npy array: Parzen log-likelihood and health.

    What the data itself scores stands beside it. It is computed once a data set, within
    minutes for MNIST, and kept in the cache; --json alone does not wait for it.
    """
    from gansearch.data.registry import load_dataset
    from gansearch.report.console import print_evaluation
    from gansearch.report.score_curve import check_ending, write_curve
    from gansearch.scoring.evaluation import load_samples
    from gansearch.scoring.references import curve_beside, evaluate_beside, reference_scores

    if curve:
        check_ending(curve)
    data = load_dataset(dataset, data_dir)
    checked = load_samples(samples, data)
    with Console(stderr=True).status("What the data itself scores, once a data set ..."):
        references = reference_scores(data, compute=curve is not None or not as_json)
    scores = evaluate_beside(data, checked, references, grid=sigma_grid)
    if curve:
        rows = curve_beside(data, checked, references, name="samples", grid=sigma_grid)
        write_curve(curve, rows, references.lines)
    if as_json:
        click.echo(json.dumps(scores))
    else:
        print_evaluation(scores, Console())


@cli.command()
@click.argument("run", metavar="RUN")
@_RESULTS
@_DATA_DIR
@click.option("--trial", help="Id of the trial.  [default: a replica of the winner]")
@click.option(
    "--n", type=click.IntRange(1), help="How many.  [default: 64 samples, or 8 rows between them]"
)
@click.option("--nearest", is_flag=True, help="Beside each, its nearest training image.")
@click.option(
    "--interpolate",
    "n_steps",
    type=click.IntRange(3),
    is_flag=False,
    flag_value=10,
    metavar="[STEPS]",
    help="Rows of so many (10), each on a straight line in noise space between two samples.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("samples.png"),
    show_default=True,
    help="A .png picture, or a .npy array of float32, [n, d] or [n, STEPS, d].",
)
def sample(
    run: str,
    results: AnyPath,
    data_dir: Path | None,
    trial: str | None,
    n: int | None,
    nearest: bool,
    n_steps: int | None,
    out: Path,
) -> None:
    """Generate from a trained generator: a picture or an array. RUN is a folder or name."""
    from gansearch.report.sampling import write_samples
    from gansearch.runs.folder import RunFolder

    folder = RunFolder.open(run, results)
    told = write_samples(
        folder, out, trial_id=trial, n=n, nearest=nearest, n_steps=n_steps, data_dir=data_dir
    )
    click.echo(f"{out}: {told}")


@cli.command()
@click.argument("space", required=False, metavar="[NAME_OR_PATH]")
def spaces(space: str | None) -> None:
    """List the built-in spaces, or validate and show one."""
    from gansearch.space.search_space import builtin_spaces, load_space

    if space is None:
        table = Table("space", "data set", "trials", "updates", "searched", box=None)
        for name in builtin_spaces():
            found = load_space(name)
            table.add_row(
                name,
                found.dataset,
                str(found.budget.trials),
                f"{found.budget.max_updates:,}",
                ", ".join(found.search),
            )
        Console().print(table)
        return
    click.echo(load_space(space).describe())


@cli.command()
@_DATA_DIR
@_RESULTS
@_ADDRESS
def doctor(data_dir: Path | None, results: AnyPath, address: str | None) -> None:
    """Say what this machine and cluster have, what is missing and how to mend it."""
    from gansearch.doctor import examine

    marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "problem": "[red]problem[/]"}
    table = Table("", "what", "found", "remedy", box=None)
    checks = examine(data_dir, results, address)
    for check in checks:
        table.add_row(
            marks[check.status], escape(check.name), escape(check.found), escape(check.remedy)
        )
    Console().print(table)
    if any(check.status == "problem" for check in checks):
        sys.exit(1)


def main() -> None:
    """Run the command line; every error is one message, its class decides the exit code."""
    try:
        code = cli(standalone_mode=False)
        sys.stdout.flush()  # here, where its failure can still be told
    except click.ClickException as error:
        error.message = _plain(error.message)  # type: ignore[misc]  # final by annotation only
        error.show()
        code = error.exit_code
    except InterruptedRunError as error:
        click.echo(_plain(str(error)), err=True)
        code = error.exit_code
    except GansearchError as error:
        click.echo(f"Error: {_plain(str(error))}", err=True)
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        code = _EXIT_INTERRUPTED
    except OSError as error:  # such as a full disk, or a reader who has seen enough
        if not isinstance(error, BrokenPipeError):
            click.echo(f"Error: {error}", err=True)
        # What is still in the buffer would fail once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    except Exception as error:
        if os.environ.get("GANSEARCH_TRACEBACK"):
            raise
        click.echo(
            f"Error: {type(error).__name__}: {_plain(_told(error))}\n"
            "This is a fault of gansearch, not yours. "
            "Set GANSEARCH_TRACEBACK=1 to see where it happened, and report it.",
            err=True,
        )
        code = 1
    sys.exit(code)


def _plain(text: str) -> str:
    """Return a text without the control characters that files and flags may bring to a terminal."""
    return "".join(
        c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text
    )


def _told(error: Exception) -> str:
    """Return an error's text; of the traceback that one of Ray's has for a text, the last line."""
    text = str(error).strip()
    return text.splitlines()[-1] if "Traceback (most recent call last)" in text else text


def _show_end(folder: Any, console: Console | None) -> None:
    from gansearch.report.console import print_report
    from gansearch.report.report import build_report

    if console is None:
        return
    print_report(build_report(folder), console)
    console.print(f"\nEverything lies in {escape(str(folder.path))}/", highlight=False)
    for name, what in (
        ("report.html", "the report, to look at"),
        ("samples.png", "samples of the winner beside their nearest training images"),
        ("interpolation.png", "between them, along straight lines in noise space"),
        ("trials.parquet", "a row a trial"),
        ("history/", "a row a report"),
        ("ranking.parquet", "the ranking"),
    ):
        if (folder.path / name).exists():
            console.print(f"  {name:<17} {what}", highlight=False)


def _write(text: str, out: Path | None) -> None:
    if out is None:
        click.echo(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInputError(f"--out {out}: can't be written ({error.strerror}).") from error
