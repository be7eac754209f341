"""Writes samples of a run's trained generators, or interpolations, as a picture or an array."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from gansearch.artifacts import conditional_of
from gansearch.data.dataset import Dataset
from gansearch.data.image_options import ImageOptions
from gansearch.data.registry import DATASETS, load_again
from gansearch.errors import BadInputError, DataError, ResultsError, did_you_mean
from gansearch.figures.samples import (
    class_grid,
    interpolation_picture,
    sample_grid,
)
from gansearch.figures.tiles import with_label
from gansearch.report.labels import trial_label
from gansearch.report.output import check_output, write_output
from gansearch.report.recovery import read_or_rank, read_with_warnings
from gansearch.runs.commands import command
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator, load_generator
from gansearch.runs.provenance import require_same_data
from gansearch.scoring.neighbours import distances_to_training, nearest_training
from gansearch.system.user_code import provided

N_SAMPLES = 64
_N_ROWS = 8
_MAX_DRAWN = 1000
_N_REAL = 200  # whose distances are typical
_MAX_BYTES = 4 * 2**30


def winning_trial(folder: RunFolder) -> str:
    """Return the id of the first completed replica of the best-ranked configuration.

    Without a ranking it is the best completed trial of the search, by its objective.

    Raises:
        ResultsError: no trial has been completed.
    """
    trials, run = folder.trials(), folder.read_run()
    completed = trials[trials["status"] == "completed"]
    ranking, _ = read_or_rank(folder, run, trials, lambda: read_with_warnings(folder.test_lls)[0])
    best = ranking.loc[ranking["rank"] == 1, "config_id"]
    replicas = completed[(completed["phase"] == "replica") & completed["config_id"].isin(best)]
    if not replicas.empty:
        # By number: which of several at a time began first is chance.
        return str(replicas.sort_values("number")["trial_id"].iloc[0])
    if completed.empty:
        raise ResultsError(
            f"{folder.path}: no trial has been completed. Samples come from completed trials, or "
            "from the one that --trial names, even if it collapsed. "
            f"`{command('report', folder.path)}` shows how the trials ended."
        )
    # Scores of the search and of replicas come from different numbers of samples.
    searched = completed[completed["phase"] == "search"]
    comparable = completed if searched.empty else searched
    scores = run.objective.as_score(comparable[run.objective.column])
    best_first = scores.sort_values(ascending=False).index
    return str(comparable.loc[best_first, "trial_id"].iloc[0])


def check_samples_file(out: Path) -> None:
    """Raise BadInputError unless the file's ending is known and the file can be written."""
    rule = "Samples are written as a .png picture or a .npy array."
    check_output("--out", out, (".npy", ".png"), rule)


def write_samples(
    folder: RunFolder,
    out: Path,
    *,
    trial_id: str | None = None,
    n: int | None = None,
    nearest: bool = False,
    n_steps: int | None = None,
    data_dir: Path | None = None,
    label: object = None,
) -> str:
    """Write unpicked samples of a trial and return a description of what was written.

    A `.npy` file holds an array of float32, `[n, dim]` or, for interpolations,
    `[n, n_steps, dim]`, of the user's own vectors in their own units; a `.png` file a picture.

    Args:
        folder: the run.
        out: the file; its ending selects the format.
        trial_id: the trial; None for a replica of the winner.
        n: how many samples, or rows of an interpolation; None for 64 samples, 8 rows.
        nearest: draw each sample's nearest training image beside it, in a picture.
        n_steps: number of points in each row of an interpolation, at least three, on a straight
            line in noise space between two samples, which are included; None for samples.
        data_dir: folder of the data; None for the one that the run used or, if the data is no
            longer there, that of GANSEARCH_DATA.
        label: the class of the samples, its name or index; None for those of all. A picture of a
            run whose samples have given classes then has a row a class, unless `n` is given.

    Raises:
        BadInputError: an unknown ending, too many samples to draw or hold in memory, options that
            exclude each other, an unknown class, or a file that can't be written.
        ResultsError: the trial is unknown or has no generator on disk.
        DataError: a picture needs the data, which is absent or has changed since the run.
    """
    check_samples_file(out)
    as_picture = out.suffix.lower() == ".png"
    if nearest and (n_steps is not None or not as_picture):
        other = f"--out {out}" if n_steps is None else "--interpolate"
        raise BadInputError(
            f"--nearest, {other}: they exclude each other. Neighbours are drawn beside "
            "samples, in a .png picture. Omit one of them."
        )
    trial_id = _checked_trial_id(folder, trial_id) if trial_id else winning_trial(folder)
    family_needs_data: list[str] = []

    def load(name: str) -> Dataset:
        family_needs_data.append(name)
        return same_data(folder, name, data_dir)

    saved = _stored(folder, trial_id, load)
    if data_dir and not (as_picture or family_needs_data):
        raise BadInputError(
            f"--data-dir {data_dir}: the array {out} is generated without the data. Leave the flag "
            "out, or ask for a .png picture."
        )
    conditional = conditional_of(saved.generator)
    by_class = conditional is not None and label is None and n is None and n_steps is None
    n = n or (N_SAMPLES if n_steps is None else _N_ROWS)
    make = _maker(folder, saved, label)
    dataset = None
    if as_picture:
        dataset = _dataset_to_draw(folder, saved, data_dir, nearest=nearest)
        if nearest and not dataset.is_image:
            raise BadInputError(
                f"--nearest: {dataset.name} has points, which are drawn over the training points "
                "anyway. Leave the flag out."
            )
    check_count(n, n_steps, saved, dataset)
    content = f"{n} unpicked samples" if n_steps is None else f"{n} rows between unpicked samples"
    if label is not None:
        content += f" of class {label}"
    if dataset is None:
        array = saved.in_own_units(make(n, n_steps))
        write_output("--out", out, lambda file: save_array(array, file))
    else:
        if conditional is not None and by_class and dataset.is_image and not nearest:
            picture = class_grid(conditional, dataset)
            content = "unpicked samples, a row a class,"
        elif n_steps is None:
            picture = _drawn_samples(make(n, None), dataset, nearest=nearest)
        else:
            unit = _neighbour_distance(folder, saved, dataset)
            picture = interpolation_picture(make(n, n_steps), dataset, unit=unit)
        picture = with_label(picture, trial_label(folder, trial_id))
        write_output("--out", out, lambda file: picture.save(file, format="PNG"))
    return f"{content} of {trial_id}"


def stored_generator(
    folder: RunFolder, trial_id: str | None = None, data_dir: Path | None = None
) -> tuple[str, StoredGenerator]:
    """Return a trial's id and its generator; None for a replica of the winner.

    Raises:
        ResultsError: the trial is unknown or has no generator on disk.
        DataError: the family needs the data, which is absent or has changed since the run.
    """
    trial_id = _checked_trial_id(folder, trial_id) if trial_id else winning_trial(folder)
    return trial_id, _stored(folder, trial_id, lambda name: same_data(folder, name, data_dir))


def _stored(
    folder: RunFolder, trial_id: str, load_dataset: Callable[[str], Dataset]
) -> StoredGenerator:
    """Return a trial's generator, by the code that the run began with."""
    with provided(folder.read_code()):
        return load_generator(folder.model_dir(trial_id), load_dataset)


def samples_of(
    folder: RunFolder,
    n: int,
    trial_id: str | None = None,
    data_dir: Path | None = None,
    label: object = None,
) -> np.ndarray:
    """Return the first n unpicked samples of a trial, `[n, dim]`, float32; with `label` of a class.

    Raises:
        BadInputError: too many to hold in memory, or an unknown class.
        ResultsError, DataError: as `stored_generator`.
    """
    _, saved = stored_generator(folder, trial_id, data_dir)
    check_count(n, None, saved, None)
    return saved.in_own_units(_maker(folder, saved, label)(n, None))


def _maker(
    folder: RunFolder, saved: StoredGenerator, label: object
) -> Callable[[int, int | None], np.ndarray]:
    """Return what makes n samples `[n, dim]`, or n rows of steps; of a class if one is given.

    Raises:
        BadInputError: no such class, or the generator's samples have none.
    """
    generator = saved.generator
    if label is None:
        return lambda n, n_steps: (
            generator.samples(n) if n_steps is None else generator.interpolate(n, n_steps)
        )
    conditional = conditional_of(generator)
    if conditional is None:
        raise BadInputError(
            f"--label {label}: the generators of {folder.path} take no class. Leave it out, or "
            "search a family that does: gansearch run --space digits-conditional."
        )
    index = conditional.index_of(label)
    return lambda n, n_steps: (
        conditional.samples(index, n)
        if n_steps is None
        else conditional.interpolate(index, n, n_steps)
    )


def _neighbour_distance(
    folder: RunFolder, saved: StoredGenerator, dataset: Dataset
) -> float | None:
    """Return `real_neighbour_distance` of images; None if they are no longer the run's own."""
    if not dataset.is_image or dataset.train.shape[1] != math.prod(saved.shape):
        return None
    try:
        require_same_data(folder, folder.read_run(), dataset, asked="sample")
    except DataError:  # the picture is drawn without it
        return None
    return real_neighbour_distance(dataset)


def real_neighbour_distance(dataset: Dataset) -> float:
    """Return how far a new real image lies from its nearest training image: the median (L2)."""
    some = dataset.to_float(dataset.valid[:_N_REAL])
    return float(np.median(distances_to_training(dataset, some)))


def picture_of_samples(
    saved: StoredGenerator, dataset: Dataset, n: int, *, nearest: bool
) -> Image.Image:
    """Draw the first n samples, with `nearest` each beside its nearest training image.

    Distances are Euclidean, between examples as the training sees them: pixels in [0, 1] or, for
    contrast-normalised images, normalised ones.
    """
    return _drawn_samples(saved.generator.samples(n), dataset, nearest=nearest)


def _drawn_samples(samples: np.ndarray, dataset: Dataset, *, nearest: bool) -> Image.Image:
    neighbours = None
    if nearest:
        rows = nearest_training(dataset, samples, len(samples))
        neighbours = dataset.to_float(dataset.train[rows])
    return sample_grid(samples, dataset, nearest=neighbours)


def interpolation_of_samples(
    saved: StoredGenerator, dataset: Dataset, n_rows: int, n_steps: int
) -> Image.Image:
    """Draw `n_rows` rows of `n_steps` points, each from one sample to another."""
    unit = real_neighbour_distance(dataset) if dataset.is_image else None
    return interpolation_picture(saved.generator.interpolate(n_rows, n_steps), dataset, unit=unit)


def _checked_trial_id(folder: RunFolder, trial_id: str) -> str:
    """Return the id if the run has such a trial; raise ResultsError with the nearest otherwise."""
    known = set(folder.trials()["trial_id"])
    known |= {path.name for path in (folder.path / "models").glob("*")}
    if trial_id not in known:
        hint = did_you_mean(trial_id, known) if known else "It has none yet."
        raise ResultsError(f"--trial {trial_id}: no such trial in {folder.path}. {hint}")
    return trial_id


def _data_dir_of(folder: RunFolder) -> Path | None:
    found = folder.read_run().settings.get("data_dir")
    return Path(found) if found else None


def _load(folder: RunFolder, name: str, data_dir: Path | None) -> Dataset:
    """Load a data set from `data_dir`, or from where the run has read it, with its options.

    `name` is that of a generator's data; of the user's own, the run's space says where it lies.
    """
    space = folder.read_run().space
    options = ImageOptions.from_dict(space.get("data", {}))
    if space["dataset"] not in DATASETS:
        name = space["dataset"]
    with provided(folder.read_code()):
        return load_again(name, _data_dir_of(folder), data_dir, options, run=folder.path)[0]


def same_data(folder: RunFolder, name: str, data_dir: Path | None) -> Dataset:
    """Return the data set of the run; raise DataError if it is absent or has changed since."""
    dataset = _load(folder, name, data_dir)
    require_same_data(folder, folder.read_run(), dataset, asked="sample")
    return dataset


def _dataset_to_draw(
    folder: RunFolder, saved: StoredGenerator, data_dir: Path | None, *, nearest: bool
) -> Dataset:
    """Return the data set that a picture of samples needs.

    Samples that are pixels need nothing of it but the shape, so it may have changed since the run.
    """
    dataset = _load(folder, saved.dataset, data_dir)
    if dataset.is_bounded and len(saved.shape) == 3 and not nearest:
        return replace(dataset, shape=saved.shape)
    require_same_data(folder, folder.read_run(), dataset, asked="sample")
    return dataset


def check_count(
    n: int,
    n_steps: int | None,
    saved: StoredGenerator,
    dataset: Dataset | None,
    *,
    n_beside: int = 0,
) -> None:
    """Raise BadInputError if there are too many samples to draw, or to hold in memory.

    Args:
        n: how many, or how many rows of an interpolation.
        n_steps: of an interpolation; None for samples.
        saved: what makes them.
        dataset: what they are drawn by; None where they aren't drawn.
        n_beside: images beside each.
    """
    flags = f"--n {n}" if n_steps is None else f"--n {n} --interpolate {n_steps}"
    n_examples = n * (n_steps or 1) * (1 + n_beside)
    if dataset is not None and dataset.is_image and n_examples > _MAX_DRAWN:
        raise BadInputError(
            f"{flags}: {n_examples:,} images. A picture shows {_MAX_DRAWN:,} at most. "
            "Write them as an array: --out samples.npy."
        )
    n_bytes = 4 * n_examples * math.prod(saved.shape)
    if n_bytes > _MAX_BYTES:
        raise BadInputError(
            f"{flags}: {n_bytes / 2**30:,.0f} GiB. Samples are generated in memory, "
            f"{_MAX_BYTES >> 30} GiB at most. Ask for fewer."
        )


def save_array(array: np.ndarray, file: BinaryIO) -> None:
    """Write an array as `numpy.save` does, which of a full disk only says how much was written."""
    np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
    file.write(np.ascontiguousarray(array).data)
