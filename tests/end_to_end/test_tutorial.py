"""The tutorial notebook runs in a kernel, from its first cell to its last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.ray
TUTORIAL = Path(__file__).parents[2] / "examples" / "tutorial.ipynb"


def shown(cell):
    """Return all texts that a cell shows, of any kind."""
    texts = [output.get("text", "") for output in cell.outputs]
    return "".join(texts), {
        kind: content for output in cell.outputs for kind, content in output.get("data", {}).items()
    }


def test_the_tutorial_runs_and_shows_what_it_says(tmp_path):
    notebook = nbformat.read(TUTORIAL, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)  # it is stored without
    resources = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(notebook, timeout=280, kernel_name="python3", resources=resources).execute()
    by_source = {cell.source: shown(cell) for cell in notebook.cells if cell.cell_type == "code"}

    def find(part):
        return next(found for source, found in by_source.items() if part in source)

    progress, _ = find("gansearch.search(")
    assert "[1/3] t0000" in progress and "[1/1] r-" in progress and "\x1b" not in progress
    assert "<table" in find("run.ranking()")[1]["text/html"]
    assert "<iframe" in by_source["run"][1]["text/html"]
    assert "Best(" in by_source["run.best"][1]["text/plain"]
    assert "image/png" in find("imshow")[1]
    assert "GuardVerdict(" in find("guard.check")[1]["text/plain"]
    assert "text/html" in find("gansearch.resume")[1]
