"""A new run: its name, and what `run.json` says of it."""

from __future__ import annotations

import os
import platform
import re
import shlex
import subprocess
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any
from unicodedata import combining

import gansearch
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.space.search_space import SearchSpace
from gansearch.tune.settings import Settings

_LONGEST_STEM = 60  # of a default name: the name of a space may be as long as a file's


def describe_run(
    name: str,
    space: SearchSpace,
    configs: Sequence[Config],
    seed: int,
    settings: Settings,
    training_report: Mapping[str, Any],
) -> RunDescription:
    """Return the description, for `run.json`, of a run that begins."""
    return RunDescription(
        name=name,
        space=space.to_dict(),
        seed=seed,
        only=[config.to_dict() for config in configs] or None,
        paper_config_id=space.baseline.config_id,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state="searching",
        wall_seconds=0.0,
        settings=vars(settings),
        search_is_over=bool(configs),
        training_report=training_report,
        facts={
            "command": shlex.join(["gansearch", *sys.argv[1:]]),
            "versions": _versions(),
            "git_commit": _git_commit(),
            "machine": f"{platform.node()}, {os.cpu_count()} cores, {platform.platform()}",
        },
    )


def default_name(space_name: str) -> str:
    """Return the default name of a run: the space's in plain letters, and the time.

    A space's name is that of its file, which may have any characters: from `größe (1)` comes
    `grosse-1-20261124-194833`.
    """
    # Case folding spells out letters that have no base letter, such as the sharp s.
    spelled = "".join(c if c.isascii() or c.isupper() else c.casefold() for c in space_name)
    letters = "".join(c for c in unicodedata.normalize("NFKD", spelled) if not combining(c))
    stem = re.sub(r"[^A-Za-z0-9._]+", "-", letters)[:_LONGEST_STEM].strip("-._")
    return f"{stem or 'space'}-{datetime.now():%Y%m%d-%H%M%S}"


def _versions() -> dict[str, str]:
    packages = ("ray", "torch", "optuna", "torchvision", "numpy", "pandas", "pyarrow")
    return {
        "gansearch": gansearch.__version__,
        "python": platform.python_version(),
        **{package: metadata.version(package) for package in packages},
    }


def _git_commit() -> str | None:
    """Return the commit of the checkout that gansearch runs from, None where there is none."""
    command = ["git", "-C", str(Path(__file__).parents[1]), "rev-parse", "HEAD"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() if found.returncode == 0 else None
