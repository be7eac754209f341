"""A new run: its name, and what `run.json` says of it."""

from __future__ import annotations

import re
import shlex
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from unicodedata import combining

from gansearch.data.dataset import Dataset
from gansearch.data.fingerprint import Fingerprint
from gansearch.measures import N_EVALUATION_SAMPLES
from gansearch.rules import Config
from gansearch.runs.description import RunDescription
from gansearch.space.counting import n_configurations
from gansearch.space.search_space import SearchSpace
from gansearch.tune.environment import FACTS, environment
from gansearch.tune.settings import Settings

_LONGEST_STEM = 60  # of a default name: the name of a space may be as long as a file's


def describe_run(
    name: str,
    space: SearchSpace,
    configs: Sequence[Config],
    seed: int,
    settings: Settings,
    training_report: Mapping[str, Any],
    dataset: Dataset,
    n_evaluation_samples: int = N_EVALUATION_SAMPLES,
) -> RunDescription:
    """Return the description, for `run.json`, of a run that begins."""
    now = environment(space.family)
    return RunDescription(
        name=name,
        space=space.to_dict(),
        seed=seed,
        only=[config.to_dict() for config in configs] or None,
        paper_config_id=None if space.baseline is None else space.baseline.config_id,
        started_at=datetime.now(UTC).isoformat(timespec="seconds"),
        state="searching",
        wall_seconds=0.0,
        settings=vars(settings),
        search_is_over=bool(configs),
        training_report=training_report,
        data=Fingerprint.of(dataset).to_dict(),
        environments=[now],
        data_notes=dataset.notes,
        n_configurations=n_configurations(space),
        n_evaluation_samples=n_evaluation_samples,
        facts={
            "command": shlex.join(["gansearch", *sys.argv[1:]]),
            **{name: now[name] for name in FACTS},
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
