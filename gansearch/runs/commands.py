"""Commands that messages and reports print, to be typed as they are, in any folder."""

from __future__ import annotations

import shlex

from gansearch.system.object_store import AnyPath


def command(name: str, run: AnyPath, *more: str) -> str:
    """Return `gansearch NAME RUN ...` with the run's absolute path, quoted for a shell.

    >>> from pathlib import Path
    >>> command("resume", Path("/data/my runs/mnist-1"))
    "gansearch resume '/data/my runs/mnist-1'"
    """
    return shlex.join(["gansearch", name, str(run.resolve()), *more])
