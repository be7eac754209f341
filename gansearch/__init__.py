"""gansearch: distributed hyperparameter search for generative adversarial nets.

run = gansearch.search("digits", trials=10)  # as `gansearch run --space digits --trials 10`
run = gansearch.load("results/digits-1")     # a run of before
run.ranking(), run.trials(), run.history()   # its tables, as pandas frames
run.best, run.report(), run.sample(64)       # its winner; run.generator() is a torch module
gansearch.evaluate(samples, "mnist")         # as `gansearch evaluate`
gansearch.Guard("mnist").check(samples)      # are they collapsed? for a loop of your own
"""

from __future__ import annotations

from gansearch.system import import_path

import_path.leave_working_directory_out()

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansearch.lazy import attributes
from gansearch.tune import ray_settings

if TYPE_CHECKING:
    from gansearch.api import resume, search
    from gansearch.guard import Guard
    from gansearch.loop import trainable
    from gansearch.own_measures import measure
    from gansearch.report.run import Run
    from gansearch.scoring.frechet import frechet_distance
    from gansearch.tune.settings import Settings

__version__ = "0.1.0"
__all__ = [
    "Guard",
    "Settings",
    "evaluate",
    "frechet_distance",
    "load",
    "measure",
    "resume",
    "search",
    "trainable",
]

ray_settings.apply()


def load(run: str | Path, results: str | Path = "results") -> Run:
    """Open a run by the path of its folder, or by its name in `results`.

    >>> run = load("results/digits-1")  # doctest: +SKIP
    >>> run.best.config, run.sample(64), print(run.report())  # doctest: +SKIP

    Raises:
        ResultsError: there is no such run.
    """
    from gansearch.arguments import in_python_terms, path_argument
    from gansearch.report.run import Run
    from gansearch.runs.folder import RunFolder
    from gansearch.system.object_store import parse_path

    with in_python_terms():
        below = parse_path(path_argument("results", results))
        return Run(RunFolder.open(path_argument("run", run), below).path)


def evaluate(
    samples: Any,
    dataset: Any,
    *,
    data_dir: str | Path | None = None,
    overrides: Sequence[str] | Mapping[str, Any] = (),
    grid: str = "fine",
) -> dict[str, Any]:
    """Score samples `[n, d]` by the paper's protocol.

    They are an array of NumPy, torch (on any device) or pandas, nested lists, or the path of a
    .npy, .npz, .pt or .safetensors file or of a folder of images; images also
    `[n, height, width, channels]` or `[n, channels, height, width]`. `docs/scores.md` gives the
    range of values. `dataset` is a name, or examples as `search(dataset=...)` takes them.

    Returns the object that `gansearch evaluate --json` prints; log-likelihoods are in nats. It
    has only those reference lines that a run or a command has computed before. `overrides` are
    options of the data set: `["data.image_size=64"]`, or `{"data.image_size": 64}`.

    Raises:
        SamplesError: the samples don't fit the data set.
        DataError: the data set is unknown, or its files are absent.
        BadInputError: another argument can't be used.
    """
    from gansearch.arguments import (
        in_python_terms,
        override_arguments,
        path_argument,
    )
    from gansearch.data.own_names import GIVEN
    from gansearch.data.registry import open_dataset
    from gansearch.scoring.arrays import is_path
    from gansearch.scoring.comparison import evaluate_with_references
    from gansearch.scoring.parzen import check_grid
    from gansearch.scoring.references import reference_scores
    from gansearch.scoring.samples import check_samples, load_samples
    from gansearch.space.overrides import data_options

    with in_python_terms():
        folder = Path(path_argument("data_dir", data_dir)) if data_dir else None
        check_grid(grid)
        name = os.fsdecode(dataset) if isinstance(dataset, str | os.PathLike) else GIVEN
        options = data_options(name, override_arguments(overrides))
        data = open_dataset(dataset, folder, options=options)
        checked = (load_samples if is_path(samples) else check_samples)(samples, data)
        references = reference_scores(data, compute=False)
        return evaluate_with_references(data, checked, references, grid=grid)


# Ray takes seconds to import; loading results should not wait for it.
__getattr__, __dir__ = attributes(
    __name__,
    {
        "Guard": "guard",
        "Settings": "tune.settings",
        "frechet_distance": "scoring.frechet",
        "measure": "own_measures",
        "resume": "api",
        "search": "api",
        "trainable": "loop",
    },
)
