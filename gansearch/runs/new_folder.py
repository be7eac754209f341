"""The folder of a run that has not begun: made, held, and removed again if nothing begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gansearch.runs.folder import RunFolder
from gansearch.runs.location import is_run
from gansearch.system.object_store import AnyPath, RemotePath


@contextmanager
def new_folder(results: AnyPath, name: str | None, *, default: str) -> Iterator[RunFolder]:
    """Make and lock the folder of a new run: `name` or, without one, the first free `default`.

    If it holds no run in the end, as after a dry run, it is removed with all folders that were made
    for it.

    Raises:
        ResultsError: as `RunFolder.create`, `create_numbered` and `RunFolder.lock`.
        StorageError: as `RunFolder.lock`.
    """
    made = _absent_folders(results)
    folder = (
        RunFolder.create_numbered(results, default)
        if name is None
        else RunFolder.create(results, name)
    )
    try:
        with folder.lock():
            yield folder
    finally:
        if not is_run(folder.path):
            with suppress(OSError):  # whatever else lies there is not ours to remove
                (folder.path / "lock").unlink(missing_ok=True)
                for path in (folder.path, *made):
                    path.rmdir()


def _absent_folders(results: AnyPath) -> list[AnyPath]:
    """Return which of `results` and its parents are to be made, the innermost first."""
    if isinstance(results, RemotePath):  # an object store has no folders
        return []
    resolved = results.resolve()
    return [path for path in (resolved, *resolved.parents) if not path.exists()]
