"""The contact sheet of a run's finalists: unpicked samples of each replica of the ranking."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from PIL import Image

from gansearch.data.dataset import Dataset
from gansearch.errors import GansearchError
from gansearch.figures.contact_sheet import MOST_CELLS, Cell, SheetRow, contact_sheet, n_in_cell
from gansearch.report.labels import ranking_label
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator
from gansearch.runs.tables import rows_of

_MAX_ROWS = 20


def finalists_picture(
    folder: RunFolder, dataset: Dataset, load: Callable[[str], StoredGenerator]
) -> Image.Image | None:
    """Draw samples of the replicas of the best 20 configurations of a ranking; None without one.

    Args:
        folder: of the run.
        dataset: that it learned.
        load: returns the generator of a trial, or raises a GansearchError where it has none.
    """
    run, ranking, trials = folder.read_run(), folder.ranking(), folder.trials()
    replicas = trials[trials["phase"] == "replica"].sort_values("number")
    shown = [
        (row, rows_of(replicas[replicas["config_id"] == row["config_id"]])[:MOST_CELLS])
        for row in rows_of(ranking)[:_MAX_ROWS]
    ]
    if not shown:
        return None
    n = n_in_cell(max(len(trained) for _, trained in shown), dataset)
    rows = [
        SheetRow(
            ranking_label(row, len(ranking), run.objective),
            [_cell(replica, n, load) for replica in trained],
        )
        for row, trained in shown
    ]
    return contact_sheet(rows, dataset, _caption(len(rows), len(ranking), dataset))


def _cell(replica: Mapping[str, Any], n: int, load: Callable[[str], StoredGenerator]) -> Cell:
    """Return n samples of a replica, or none where its generator is lost or was never stored."""
    is_sound = replica["status"] == "completed"
    label = replica["trial_id"] if is_sound else f"{replica['trial_id']}: {replica['status']}"
    try:
        return Cell(label, load(replica["trial_id"]).generator.samples(n), is_sound)
    except GansearchError:  # a lost generator is no reason to go without the others
        return Cell(f"{label}, no samples", None, is_sound)


def _caption(n_rows: int, n_ranked: int, dataset: Dataset) -> str:
    some = f"The first {n_rows} of {n_ranked:,} configurations. " if n_rows < n_ranked else ""
    points = "" if dataset.is_image else " over training points"
    return f"{some}Unpicked samples of every replica{points}; framed: replicas that do not work"
