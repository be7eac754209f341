"""How a page gets at pictures: within itself, as many as its size allows, or from a server."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from itertools import islice
from typing import Any, Protocol

from gansearch.figures.strip_layout import StripLayout, strip_layout
from gansearch.runs.folder import RunFolder
from gansearch.system.object_store import AnyPath

STRIP, NEAREST = "strip.png", "nearest.png"


class Pictures(Protocol):
    """Gives a page addresses of pictures.

    Attributes:
        most_trials: of how many trials a page has pictures.
    """

    most_trials: int

    def layout(self, path: AnyPath) -> StripLayout | None:
        """Return where the frames of a strip stand; None for older and damaged ones."""
        ...

    def uri(self, path: AnyPath) -> str | None:
        """Return the address of a picture in the run's folder; None if there is none to have."""
        ...


class EmbeddedPictures:
    """Pictures inside the page, as long as they fit.

    Args:
        n_bytes: the most that all of them may have.
    """

    most_trials = 300

    def __init__(self, n_bytes: int) -> None:
        self._left = n_bytes

    def layout(self, path: AnyPath) -> StripLayout | None:
        """Return where the frames of a strip stand; None for older and damaged ones."""
        return strip_layout(path.read_bytes())

    def uri(self, path: AnyPath) -> str | None:
        """Return the picture itself; None where it is absent or too large for what is left."""
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if len(content) > self._left:
            return None
        self._left -= len(content)
        return png_uri(content)


def png_uri(content: bytes) -> str:
    """Return the address of a PNG picture that holds the picture itself."""
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def trial_pictures(
    folder: RunFolder, trial_ids: Iterable[str], pictures: Pictures
) -> dict[str, dict[str, Any]]:
    """Return the pictures of trials by their ids: `strip` with its `frames`, and `nearest`.

    Args:
        folder: of the run.
        trial_ids: those first that matter most, as not all may fit.
        pictures: gives their addresses.
    """
    found: dict[str, dict[str, Any]] = {}
    for trial_id in islice(trial_ids, pictures.most_trials):
        model = folder.model_dir(trial_id)
        of_trial: dict[str, Any] = {}
        if uri := pictures.uri(model / STRIP):
            layout = pictures.layout(model / STRIP)
            of_trial["strip"] = uri
            of_trial["frames"] = None if layout is None else vars(layout)
        if uri := pictures.uri(model / NEAREST):
            of_trial["nearest"] = uri
        if of_trial:
            found[trial_id] = of_trial
    return found
