"""Pictures of a run for pages that a server gives: their addresses, and which may be had."""

from __future__ import annotations

from functools import lru_cache
from pathlib import PurePosixPath
from urllib.parse import quote

from gansearch.figures.strip_layout import StripLayout, strip_layout
from gansearch.runs.folder import RunFolder
from gansearch.system.object_store import AnyPath

_MOST_TRIALS = 300  # with pictures, in one page


class ServedPictures:
    """Addresses of a run's pictures below that of its page; they change with the files.

    Args:
        folder: of the run.
        base: the address of its page.
    """

    most_trials = _MOST_TRIALS
    is_full = False

    def __init__(self, folder: RunFolder, base: str) -> None:
        self._folder = folder
        self._base = base

    def uri(self, path: AnyPath) -> str | None:
        """Return the address of a picture; None if there is none."""
        try:
            changed = path.stat().st_mtime
        except OSError:
            return None
        inside = str(path).removeprefix(f"{self._folder.path}/")
        return f"{self._base}/files/{quote(inside)}?changed={changed}"

    def strip(self, path: AnyPath) -> tuple[str, StripLayout | None] | None:
        """Return the address of a strip, and where its frames stand."""
        uri = self.uri(path)
        try:
            return None if uri is None else (uri, _layout(path, path.stat().st_mtime))
        except OSError:
            return None


@lru_cache(maxsize=2000)
def _layout(path: AnyPath, changed: float) -> StripLayout | None:  # noqa: ARG001
    return strip_layout(path.read_bytes())


def picture(folder: RunFolder, inside: str) -> bytes | None:
    """Return a picture in a run's folder or in the folder of one of its models; None without.

    Args:
        folder: of the run.
        inside: its path in the folder, which can't lead out of it.
    """
    parts = PurePosixPath(inside).parts
    is_picture = inside.endswith(".png") and not any(part.startswith(".") for part in parts)
    if not is_picture or not (len(parts) == 1 or (len(parts) == 3 and parts[0] == "models")):
        return None
    try:
        return (folder.path / "/".join(parts)).read_bytes()
    except OSError:
        return None
