"""What a shell completes: names of spaces, presets, runs and trials.

A completion comes within a fraction of a second, so it reads names of files and no tables, and
imports nothing slow. It never fails: whatever is wrong, there is nothing to complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

# As `SAMPLERS` of `tune/samplers.py` has them, which imports Optuna.
SAMPLERS = (
    *("tpe", "random", "qmc", "gp", "cmaes", "nsga2", "nsga3"),
    *("grid", "brute_force", "auto"),
)
MASKS = ("random", "halves", "blocks")
# In place of a run's name, as in `runs/location.py`, which imports pandas.
_LATEST = "latest"


def _completing(names: Callable[[click.Context], Iterable[str]], *, else_a: str = "") -> Completer:
    """Return what completes these names, and if none of them begins so, paths.

    Args:
        names: returns them, given what the command line has so far.
        else_a: "file" or "dir"; nothing for no paths.
    """

    def complete(
        context: click.Context, _parameter: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        try:
            found = [name for name in names(context) if name.startswith(incomplete)]
        except Exception:  # a message would stand in the middle of what is typed
            found = []
        if not found and else_a:
            return [CompletionItem(incomplete, type=else_a)]
        return [CompletionItem(name) for name in found]

    return complete


def one_of(*names: str) -> Completer:
    """Return what completes these names."""
    return _completing(lambda _: names)


def _spaces(_: click.Context) -> Iterable[str]:
    from gansearch.space.builtin import builtin_spaces

    return builtin_spaces()


def _presets(context: click.Context) -> Iterator[str]:
    """Yield the presets of the space that `--space` names, from its file alone."""
    import yaml

    from gansearch.space.builtin import builtin_spaces

    space = str(context.params.get("space") or "digits")
    path = builtin_spaces().get(space) or Path(space).expanduser()
    sections = yaml.safe_load(path.read_text())
    baseline = sections.get("baseline", "paper")
    named = [*sections.get("presets", {}), *sections.get("start_from", []), baseline]
    yield from dict.fromkeys(str(name) for name in named if name != "none")


def _results(context: click.Context) -> Path:
    """Return the folder of all runs; an object store, which would take long, has none of them."""
    return Path(context.params.get("results") or "results").expanduser()


def _runs(context: click.Context) -> Iterator[str]:
    if names := sorted(path.parent.name for path in _results(context).glob("*/run.json")):
        yield from names
        yield _LATEST


def _trials(context: click.Context) -> Iterator[str]:
    """Yield the trials of a run that have a generator."""
    # What stands before an option that lacks its value is still in the arguments.
    run = context.params.get("run") or next(iter(context.args), "")
    results = _results(context)
    folders = [folder for folder in (Path(run), results / run) if (folder / "run.json").is_file()]
    if not folders and Path(run).name == _LATEST:
        from gansearch.runs.location import find_run_folder

        found = find_run_folder(run, results)
        folders = [found] if isinstance(found, Path) else []
    for folder in folders[:1]:
        yield from sorted(path.name for path in (folder / "models").iterdir() if path.is_dir())


def _trackers(_: click.Context) -> Iterable[str]:
    from gansearch.tracking.names import NO_TRACKER, PACKAGES

    return (*PACKAGES, NO_TRACKER)


complete_space = _completing(_spaces, else_a="file")
complete_preset = _completing(_presets, else_a="file")
complete_run = _completing(_runs, else_a="dir")
complete_trial = _completing(_trials)
complete_folder = _completing(lambda _: (), else_a="dir")
complete_tracker = _completing(_trackers)
complete_sampler = _completing(lambda _: SAMPLERS, else_a="dir")


def run_argument(**settings: Any) -> Callable[[Any], Any]:
    """Return the argument that names a run."""
    return click.argument("run", metavar="RUN", shell_complete=complete_run, **settings)
