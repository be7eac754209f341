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
_MOST_REFUSED = 10


class Pictures(Protocol):
    """Gives a page addresses of pictures.

    Attributes:
        most_trials: of how many trials a page has pictures.
    """

    most_trials: int

    @property
    def is_full(self) -> bool:
        """Whether the page has room for no more."""
        ...

    def uri(self, path: AnyPath) -> str | None:
        """Return the address of a picture in the run's folder; None if there is none to have."""
        ...

    def strip(self, path: AnyPath) -> tuple[str, StripLayout | None] | None:
        """Return the address of a strip, and where its frames stand, None if it doesn't say."""
        ...


class EmbeddedPictures:
    """Pictures inside the page, as long as they fit.

    Args:
        n_bytes: the most that all of them may have.
    """

    most_trials = 300

    def __init__(self, n_bytes: int) -> None:
        self._left = n_bytes
        self._n_refused = 0

    @property
    def is_full(self) -> bool:
        """Whether pictures were refused again and again, so that the next will be as well."""
        return self._n_refused >= _MOST_REFUSED

    def uri(self, path: AnyPath) -> str | None:
        """Return the picture itself; None where it is absent or too large for what is left."""
        content = self._content(path)
        return None if content is None else _png_uri(content)

    def strip(self, path: AnyPath) -> tuple[str, StripLayout | None] | None:
        """Return a strip itself, and where its frames stand."""
        content = self._content(path)
        return None if content is None else (_png_uri(content), strip_layout(content))

    def _content(self, path: AnyPath) -> bytes | None:
        try:
            content = path.read_bytes()
        except OSError:
            return None
        if len(content) > self._left:
            self._n_refused += 1
            return None
        self._left -= len(content)
        return content


def _png_uri(content: bytes) -> str:
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
        if pictures.is_full:
            break
        model = folder.model_dir(trial_id)
        of_trial: dict[str, Any] = {}
        if strip := pictures.strip(model / STRIP):
            of_trial["strip"], layout = strip
            of_trial["frames"] = None if layout is None else vars(layout)
        if uri := pictures.uri(model / NEAREST):
            of_trial["nearest"] = uri
        if of_trial:
            found[trial_id] = of_trial
    return found
