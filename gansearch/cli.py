"""The command line: one function per command.

Each command imports what it needs when it runs, so that `gansearch --help` and `gansearch report`
do not wait for Ray and torch.
"""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console

from gansearch import __version__
from gansearch.cli_completion import (
    MASKS,
    complete_preset,
    complete_run,
    complete_space,
    one_of,
    run_argument,
)
from gansearch.cli_errors import is_bug, print_error
from gansearch.cli_options import (
    address_option,
    all_overrides,
    budget_options,
    check_only,
    data_dir_option,
    data_set_option,
    extension_options,
    quiet_option,
    results_option,
    run_below,
    set_option,
    settings_from,
    settings_options,
    trial_option,
)
from gansearch.cli_output import run_console, show_end
from gansearch.cli_types import FolderType, LocalPathType, OnceCommand, TextType
from gansearch.errors import BadInputError
from gansearch.system.paths import require_working_folder
from gansearch.system.signals import raised
from gansearch.system.streams import (
    discard_unwritten,
    forget_impossible_size,
    prepare_standard_streams,
)

if TYPE_CHECKING:
    from gansearch.system.object_store import AnyPath


class _Commands(click.Group):
    command_class = OnceCommand


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="gansearch")
def cli() -> None:
    """Search the hyperparameters of generative adversarial nets.

    `gansearch run --space digits` is a whole search that needs no download and no GPU.
    """
    require_working_folder()
    if sys.flags.optimize > 1:
        raise BadInputError(
            "PYTHONOPTIMIZE=2, or python -OO, removes docstrings, and without them Ray can't be "
            "loaded. Unset the variable, or set it to 1."
        )


@cli.command()
@click.option(
    "--space",
    default="digits",
    show_default=True,
    help="A built-in space (`gansearch spaces` lists them) or the path of a space file.",
    shell_complete=complete_space,
)
@set_option
@click.option(
    "--only",
    multiple=True,
    metavar="PRESET|CONFIG.yaml|RUN/TRIAL",
    shell_complete=complete_preset,
    help="No search: compare configurations over seeds. Each is a preset of the space, such as "
    "paper, a file, or the trial of a run; several can follow. Repeatable.",
)
@click.option(
    "--warm-start",
    multiple=True,
    metavar="RUN",
    shell_complete=complete_run,
    help="Begin where an earlier run ended, also one of another space or data set: try its best "
    "first, and learn from its trials. A folder or name; several can follow. Repeatable.",
)
@click.argument("more", nargs=-1, metavar="[CONFIG|RUN]...", shell_complete=complete_preset)
@budget_options
@settings_options(new=True)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=0,
    show_default=True,
    help="Random seed of every trial. With several trials at a time the proposals also depend on "
    "which trial ends first, unless --deterministic is given.",
)
@click.option(
    "--name",
    type=TextType(),
    help="Name of the run's folder.  [default: the space's name and the time]",
)
@results_option
@click.option(
    "--dry-run",
    is_flag=True,
    help="Make every check of a run, show the plan and estimate its time; leave nothing.",
)
@quiet_option
def run(
    space: str,
    overrides: tuple[str, ...],
    only: tuple[str, ...],
    warm_start: tuple[str, ...],
    more: tuple[str, ...],
    seed: int,
    name: str | None,
    results: AnyPath,
    dry_run: bool,
    quiet: bool,
    **options: Any,
) -> None:
    """Search a space, retrain the best on fresh seeds, rank them.

    CONFIG... are further configurations for --only, or RUN... further runs for --warm-start.

    \b
    gansearch run --space digits --trials 60 --time-budget 1h
    gansearch run --space mnist --set k=1 --dry-run
    gansearch run --space mnist --only paper dcgan --replicas 5
    gansearch run --space mnist --warm-start mnist-1 digits-1
    """
    from gansearch.tune import driver
    from gansearch.tune.dry_run import plan
    from gansearch.tune.time_plan import MEASURED_SECONDS

    check_only(only, more, warm_start)
    request: dict[str, Any] = {
        "overrides": all_overrides(overrides, options),
        "only": only + more if only else (),
        "warm_start": warm_start if only else warm_start + more,
        "seed": seed,
        "name": name,
        "results": results,
        "settings": settings_from(options),
    }
    if dry_run:
        text = plan(space, **request, measured_seconds=MEASURED_SECONDS)
        if not quiet:
            click.echo(text)
        return
    with run_console(quiet) as console:
        folder = driver.search(space, console=console, **request)
        show_end(folder, console)


@cli.command()
@run_argument()
@results_option
@extension_options
@settings_options(new=False)
@quiet_option
def resume(run: str, results: AnyPath, quiet: bool, **changes: Any) -> None:
    """Continue a run after a stop, a crash or a kill. RUN is its folder or name.

    The flags extend the run, or suit it to another machine. Data that is no longer where the run
    has read it is looked for in GANSEARCH_DATA.
    """
    from gansearch.tune import driver

    with run_console(quiet) as console:
        where = run_below(results, run)
        changes["track"] = changes["track"] or None  # the trackers that the run has
        folder = driver.resume(where, results=results, console=console, **changes)
        show_end(folder, console)


@cli.command()
@run_argument()
@results_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(["table", "json", "csv", "markdown", "html"]),
    help="Output format.  [default: by the ending of --out, else table]",
)
@click.option(
    "--out",
    type=LocalPathType(),
    help="Write to this file instead of the terminal.",
)
@click.option("--top", type=click.IntRange(1), help="Show only the best TOP configurations.")
def report(
    run: str, results: AnyPath, format_: str | None, out: Path | None, top: int | None
) -> None:
    """Rank and show a run, also while it runs. RUN is its folder or name."""
    from gansearch.report.console import print_report
    from gansearch.report.display import activities
    from gansearch.report.output import check_output, report_format, write_output
    from gansearch.report.render import render
    from gansearch.report.report import build_report
    from gansearch.runs.folder import RunFolder

    if out is not None:
        check_output("--out", out)
    format_ = report_format(out, format_)
    with activities(Console(stderr=True)) as begin:
        begin("reading the run")
        built = build_report(RunFolder.open(run_below(results, run), results), top=top)
    if format_ == "table" and out is None:
        print_report(built, Console())
        return
    if format_ == "table":
        file = io.StringIO()
        print_report(built, Console(file=file, width=100))
        text = file.getvalue()
    else:
        text = render(built, format_)
    if out is None:
        click.echo(text)
    else:
        content = text.encode(errors="backslashreplace")
        write_output("--out", out, lambda file: file.write(content))


@cli.command()
@click.argument("runs", nargs=-1, required=True, metavar="RUN RUN...", shell_complete=complete_run)
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def compare(runs: tuple[str, ...], results: AnyPath, as_json: bool) -> None:
    """Show two or more runs side by side: rankings, bests, what differs, what they share.

    Each RUN is a folder or name. Where their scores can't be compared, the output says why.
    """
    from gansearch.report.compare import compare_runs
    from gansearch.report.compare_sections import comparison_sections
    from gansearch.report.display import activities
    from gansearch.report.tables import print_section
    from gansearch.runs.folder import RunFolder

    with activities(Console(stderr=True)) as begin:
        begin("reading the runs")
        comparison = compare_runs(
            [RunFolder.open(run_below(results, run), results) for run in runs]
        )
    if as_json:
        click.echo(json.dumps(comparison.to_dict(), allow_nan=False))
        return
    for section in comparison_sections(comparison):
        print_section(section, Console())


@cli.command()
@click.argument("samples", type=LocalPathType())
@click.option(
    "--dataset",
    required=True,
    help="Data set that the samples imitate: a name, or your own: rows.npz, my_data.py:load.",
)
@data_dir_option
@data_set_option
@click.option(
    "--sigma-grid",
    type=click.Choice(["fine", "authors"]),
    default="fine",
    show_default=True,
    help="Bandwidths among which the validation data selects. authors: ten from 0.1 to 1.",
)
@click.option(
    "--curve",
    type=LocalPathType(),
    metavar="OUT",
    help="Write the score as a function of the number of samples, with that of training examples: "
    "a .png picture, or a .csv or .parquet table.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(
    samples: Path,
    dataset: str,
    data_dir: Path | None,
    overrides: tuple[str, ...],
    sigma_grid: str,
    curve: Path | None,
    as_json: bool,
) -> None:
    """Score samples of any model: Parzen log-likelihood and health.

    SAMPLES is a .npy or .npz array or a .pt or .safetensors tensor, [n, d] or images, or a folder
    of images.

    The scores of the data itself are shown for comparison. They are computed once per data set,
    in minutes for MNIST, and cached; --json does not wait for them unless --curve needs them.
    """
    from gansearch.data.registry import check_data_dir, load_dataset
    from gansearch.report.console import print_evaluation
    from gansearch.report.display import activities
    from gansearch.report.score_curve import check_curve, write_curve
    from gansearch.scoring.comparison import curve_with_references, evaluate_with_references
    from gansearch.scoring.references import reference_scores
    from gansearch.scoring.samples import load_samples
    from gansearch.space.overrides import data_options

    if curve:
        check_curve(curve)
    check_data_dir(dataset, data_dir)
    with activities(Console(stderr=True)) as begin:
        begin(f"loading the data set {dataset}")
        data = load_dataset(dataset, data_dir, options=data_options(dataset, overrides))
        checked = load_samples(samples, data)
        compute = curve is not None or not as_json
        references = reference_scores(data, compute=compute, tell=begin)
        begin("scoring the samples")
        scores = evaluate_with_references(data, checked, references, grid=sigma_grid)
        if curve:
            begin("scoring the samples by their number")
            rows = curve_with_references(data, checked, references, name="samples", grid=sigma_grid)
            write_curve(curve, rows, references.lines)
    if as_json:
        click.echo(json.dumps(scores))
    else:
        print_evaluation(scores, Console())


@cli.command()
@run_argument()
@results_option
@data_dir_option
@trial_option
@click.option(
    "--n",
    type=click.IntRange(1),
    help="Number of samples, or of rows with --interpolate.  [default: 64, or 8 rows]",
)
@click.option(
    "--label",
    help="Samples of this class alone, its name or index, where the generator takes a class.",
)
@click.option(
    "--nearest", is_flag=True, help="Show each sample's nearest training image beside it."
)
@click.option(
    "--interpolate",
    "n_steps",
    type=click.IntRange(3),
    is_flag=False,
    flag_value=10,
    metavar="[STEPS]",
    help="Rows of STEPS samples (10), each on a straight line in noise space between two samples.",
)
@click.option(
    "--complete",
    metavar="MASK",
    shell_complete=one_of(*MASKS),
    help="Complete test examples of which a mask hides a part: random, halves or blocks, or a .npy "
    "array that is 1 where an example is visible.",
)
@click.option(
    "--reconstruct",
    is_flag=True,
    help="Test examples as G makes them from the noise that an inference network finds.",
)
@click.option(
    "--out",
    type=LocalPathType(),
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
    label: str | None,
    nearest: bool,
    n_steps: int | None,
    complete: str | None,
    reconstruct: bool,
    out: Path,
) -> None:
    """Generate from a trained generator: a picture or an array. RUN is a folder or name."""
    from gansearch.report.completing import write_completions
    from gansearch.report.display import activities
    from gansearch.report.reconstructing import write_reconstructions
    from gansearch.report.sampling import check_samples_file, write_samples
    from gansearch.runs.folder import RunFolder

    check_samples_file(out)
    _check_one_kind(
        {"--complete": complete, "--reconstruct": reconstruct},
        {"--nearest": nearest, "--interpolate": n_steps, "--label": label},
    )
    folder = RunFolder.open(run_below(results, run), results)
    options: Any = {"trial_id": trial, "n": n, "data_dir": data_dir}
    with activities(Console(stderr=True)) as begin:
        begin("generating samples")
        if complete is not None:
            summary = write_completions(folder, out, complete, **options)
        elif reconstruct:
            summary = write_reconstructions(folder, out, **options)
        else:
            summary = write_samples(
                folder, out, nearest=nearest, n_steps=n_steps, label=label, **options
            )
    click.echo(f"{out}: {summary}")


def _check_one_kind(of_test_examples: dict[str, Any], of_samples: dict[str, Any]) -> None:
    """Raise BadInputError if flags ask for two kinds of output, or for samples of a kind too.

    Args:
        of_test_examples: flags and their values, each of which makes test examples anew.
        of_samples: those that only samples have.
    """
    given = [flag for flag, value in of_test_examples.items() if value not in (None, False)]
    others = [flag for flag, value in of_samples.items() if value not in (None, False)]
    if given and len(given + others) > 1:
        first, second, *_ = given + others
        raise BadInputError(f"{first}, {second}: they exclude each other. Omit one of them.")


@cli.command()
@run_argument()
@results_option
@data_dir_option
@trial_option
@click.option(
    "--to",
    type=click.Choice(["safetensors", "torchscript", "onnx"]),
    default="safetensors",
    show_default=True,
    help="Format of the weights; onnx needs the extra gansearch[onnx].",
)
@click.option(
    "--out",
    type=LocalPathType(),
    help="The folder, empty or new.  [default: RUN-TRIAL in the working folder]",
)
def export(
    run: str,
    results: AnyPath,
    data_dir: Path | None,
    trial: str | None,
    to: str,
    out: Path | None,
) -> None:
    """Write a trained generator into a folder that needs no gansearch.

    The folder has the weights in the layout of torch's layers, the configuration, a model card with
    the scores, and load_generator.py, which loads the generator with torch alone.

    \b
    gansearch export digits-1 --out winner
    gansearch export digits-1 --trial t00003 --to torchscript
    """
    from gansearch.export.export import export as write_export
    from gansearch.report.display import activities
    from gansearch.runs.folder import RunFolder

    folder = RunFolder.open(run_below(results, run), results)
    with activities(Console(stderr=True)) as begin:
        begin("exporting the generator")
        written, trial = write_export(folder, trial_id=trial, to=to, out=out, data_dir=data_dir)
    click.echo(f"{written}: the generator of {trial}, and load_generator.py")


@cli.command("list")
@results_option
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of objects.")
def list_(results: AnyPath, as_json: bool) -> None:
    """List the runs below --results, the newest first.

    A run whose process was killed is shown as interrupted.
    """
    from gansearch.report.display import activities
    from gansearch.report.listing import list_runs, listing_section
    from gansearch.report.tables import print_section

    with activities(Console(stderr=True)) as begin:
        begin("reading the runs")
        runs = list_runs(results)
    if as_json:
        click.echo(json.dumps([run.to_dict() for run in runs]))
    elif runs:
        print_section(listing_section(runs), Console())
    else:
        click.echo(
            f"There is no run in {results} yet: start one with `gansearch run`, or say where it is "
            "with --results."
        )


@cli.command()
@click.argument("results", type=FolderType(), default="results", metavar="[RESULTS]")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    help="Port to listen at.  [default: the first free one from 8350 on]",
)
@click.option("--open", "open_browser", is_flag=True, help="Show the page in your browser.")
def dashboard(results: AnyPath, port: int | None, open_browser: bool) -> None:
    """Serve the reports of all runs as live pages, on this machine alone.

    RESULTS is the folder of the runs, results by default. The pages are refreshed while runs go on.
    They read the runs' files and change nothing. Ctrl-C ends it.
    """
    from gansearch.dashboard.serve import serve

    serve(results, port=port, open_browser=open_browser, say=click.echo)


@cli.command()
@click.argument("space", required=False, metavar="[NAME_OR_PATH]", shell_complete=complete_space)
def spaces(space: str | None) -> None:
    """List the built-in spaces, or validate and show one."""
    from gansearch.report.tables import print_spaces
    from gansearch.space.builtin import builtin_spaces
    from gansearch.space.load import load_space

    if space is not None:
        click.echo(load_space(space).describe())
        return
    print_spaces([load_space(name) for name in builtin_spaces()], Console())


@cli.command()
@data_dir_option
@results_option
@address_option
def doctor(data_dir: Path | None, results: AnyPath, address: str | None) -> None:
    """Check what this machine and a cluster have and lack; suggest fixes."""
    from gansearch.doctor import examine
    from gansearch.report.display import activities
    from gansearch.report.tables import print_checks

    with activities(Console(stderr=True)) as begin:
        begin("examining the machine")
        checks = examine(data_dir, results, address)
    print_checks(checks, Console())
    if any(check.status == "problem" for check in checks):
        sys.exit(1)


def main() -> None:
    """Run the command line and exit; the class of an error decides the exit code."""
    prepare_standard_streams()
    forget_impossible_size()
    code = _exit_code()
    for stream in (sys.stdout, sys.stderr):
        discard_unwritten(stream)
    sys.exit(code)


def _exit_code() -> int:
    try:
        with raised():
            code: int = cli(standalone_mode=False) or 0
        sys.stdout.flush()  # a full disk or a closed pipe shows here, where it can be handled
    except BrokenPipeError:
        return 1
    except (Exception, KeyboardInterrupt) as error:
        if is_bug(error) and os.environ.get("GANSEARCH_TRACEBACK"):
            raise
        return print_error(error)
    return code
