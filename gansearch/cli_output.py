"""What `run` and `resume` print, and where: their console, and the list at the end."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from gansearch.system.streams import discard_unwritten

if TYPE_CHECKING:
    from gansearch.runs.folder import RunFolder

_FILES = {  # of a finished run, in the order of the closing list
    "report.html": "the report with figures",
    "samples.png": "the winner's samples, each beside its nearest training image",
    "interpolation.png": "samples along straight lines in the winner's noise space",
    "finalists.png": "samples of every replica of the ranked configurations",
    "trials.parquet": "one row per trial",
    "history/": "one row per evaluation of a trial",
    "ranking.parquet": "the ranking, one row per configuration",
}


@contextmanager
def run_console(quiet: bool) -> Iterator[Console | None]:
    """Yield the console of a run, None for a quiet one; if it fails, the run goes on without."""
    from gansearch.report.display import expendable

    if quiet:
        yield None
        return
    console = Console()
    with expendable(console) as file:
        try:
            yield console
        finally:
            if file.failure is not None:
                discard_unwritten(sys.stdout)


def show_end(folder: RunFolder, console: Console | None) -> None:
    """Print what has won, then the report of a run that has ended, and what its files are."""
    from gansearch.report.conclusion import conclusion
    from gansearch.report.console import print_report
    from gansearch.report.report import build_report
    from gansearch.report.tables import print_section

    if console is None:
        return
    report = build_report(folder)
    console.print()  # apart from the last lines of the progress
    print_section(conclusion(report).section(), console)
    print_report(report, console)
    # A path is not wrapped, so that it can be copied.
    where = f"\nResults: {escape(str(folder.path))}/"
    console.print(where, highlight=False, soft_wrap=True)
    for name, content in _FILES.items():
        if (folder.path / name).exists():
            console.print(f"  {name:<17} {content}", highlight=False)
