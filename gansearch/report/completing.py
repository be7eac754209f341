"""Completions of examples of which a part is hidden, by a run's trained generators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gansearch.artifacts import complete_with
from gansearch.data.dataset import MAX_ABS, Dataset
from gansearch.errors import BadInputError, did_you_mean
from gansearch.figures.samples import completion_picture, sample_grid
from gansearch.report.output import write_output
from gansearch.report.sampling import check_count, same_data, save_array, stored_generator
from gansearch.rules import count_of
from gansearch.runs.folder import RunFolder
from gansearch.runs.generators import StoredGenerator
from gansearch.scoring.arrays import as_array, read_npy
from gansearch.scoring.masks import KINDS, kinds_of, masks_of_kind, n_units

N_ROWS, N_COMPLETIONS = 8, 8  # of a picture
_MAX_BYTES = 4 * 2**30


def completions_of(
    folder: RunFolder,
    x: Any,
    mask: Any,
    n: int,
    trial_id: str | None = None,
    data_dir: Path | None = None,
) -> np.ndarray:
    """Return n completions of each example, `[n_examples, n, dim]`, float32.

    They agree with x where it is visible.

    Args:
        folder: the run.
        x: examples, `[n_examples, dim]` or with the shape of an example, scaled as samples are:
            pixels in [0, 1], points in the data's own units. What is hidden counts nothing.
        mask: 1 or True where x is visible: `[height, width]` of an image, `[d]` of a point, or one
            for each example.
        n: how many of each.
        trial_id: the trial; None for a replica of the winner.
        data_dir: folder of the data, for model families whose generators need it.

    Raises:
        BadInputError: `x` or `mask` is something else, or the family's generators complete nothing.
        ResultsError, DataError: as `stored_generator`.
    """
    _, saved = stored_generator(folder, trial_id, data_dir)
    return _completed(saved, x, mask, n)


def write_completions(
    folder: RunFolder,
    out: Path,
    asked: str,
    *,
    trial_id: str | None = None,
    n: int | None = None,
    data_dir: Path | None = None,
) -> str:
    """Write completions of test examples, and return a description of what was written.

    A `.npy` file holds them, `[n, 8, d]`; a `.png` file a picture.

    Args:
        folder: the run.
        out: the file; its ending selects the format.
        asked: a kind of masks, or a `.npy` file of one.
        trial_id: the trial; None for a replica of the winner.
        n: how many examples, the first ones; None for 8.
        data_dir: folder of the data; None for that of the run.

    Raises:
        BadInputError, ResultsError, DataError: as `completions_of`.
    """
    trial_id, saved = stored_generator(folder, trial_id, data_dir)
    dataset = same_data(folder, saved.dataset, data_dir)
    n = min(n or N_ROWS, len(dataset.test))
    drawn_by = None if out.suffix.lower() == ".npy" else dataset
    check_count(n, None, saved, drawn_by, n_beside=N_COMPLETIONS + 1)
    x = dataset.in_own_units(dataset.to_float(dataset.test[:n]))
    visible = _visible(_mask_of(asked, dataset, n), n, saved.shape)
    made = _completed(saved, x, visible, N_COMPLETIONS)
    if out.suffix.lower() == ".npy":
        write_output("--out", out, lambda file: save_array(made, file))
    elif dataset.is_image:
        values = _over_values(visible, saved.shape)
        picture = completion_picture(x, values, made, dataset)
        write_output("--out", out, lambda file: picture.save(file, format="PNG"))
    else:
        points = made.reshape(-1, dataset.dim)
        drawn = points if saved.units is None else saved.units.standardised(points)
        scatter = sample_grid(drawn, dataset)
        write_output("--out", out, lambda file: scatter.save(file, format="PNG"))
    return f"{N_COMPLETIONS} completions of each of {n} test examples by {trial_id}"


def _mask_of(asked: str, dataset: Dataset, n: int) -> np.ndarray:
    """Return the masks that `--complete` names."""
    if asked.endswith(".npy"):
        return read_npy(asked)
    if asked not in (known := kinds_of(dataset.shape)):
        hint = did_you_mean(asked, known)
        if asked in KINDS:
            hint = f"{dataset.name} has points, which have no halves or blocks. Use random."
        raise BadInputError(f"--complete {asked}: no such masks, nor a .npy file of one. {hint}")
    return masks_of_kind(asked, dataset.shape, n, seed=0).numpy()


def _completed(saved: StoredGenerator, x: Any, mask: Any, n: int) -> np.ndarray:
    examples = saved.rows_of(x)
    if (n_bytes := 4.0 * n * examples.size) > _MAX_BYTES:
        raise BadInputError(
            f"n: {n:,} completions of {count_of(len(examples), 'example')}, "
            f"{n_bytes / 2**30:,.0f} GiB. They "
            f"are made in memory, {_MAX_BYTES >> 30} GiB at most. Ask for fewer."
        )
    masks = _visible(mask, len(examples), saved.shape)
    visible = _over_values(masks, saved.shape)
    _check_values(examples[visible])
    # 0 in the data's own units may be far from the data.
    trained_on = saved.as_trained_on(np.where(visible, examples, 0))
    trained_on = np.where(visible, trained_on, np.float32(0))
    made = saved.in_own_units(complete_with(saved.generator, trained_on, masks, n))
    with np.errstate(over="ignore", invalid="ignore"):  # of what is hidden
        given = examples.astype(made.dtype)
    completed: np.ndarray = np.where(visible[:, None], given[:, None], made)
    return completed


def _visible(mask: Any, n: int, shape: tuple[int, ...]) -> np.ndarray:
    """Return a mask for each of n examples, `[n, n_units]`, bool."""
    array, units = as_array(mask, "mask"), n_units(shape)
    forms = [(units,), shape[:2]] if len(shape) == 3 else [(units,)]
    for form in forms:
        if array.shape in (form, (1, *form), (n, *form)):
            rows = np.broadcast_to(array.reshape(-1, units), (n, units))
            break
    else:
        size = f"[{shape[0]}, {shape[1]}]" if len(shape) == 3 else f"[{units}]"
        raise BadInputError(
            f"mask: found shape {list(array.shape)}. It must be {size}, True or 1 where an example "
            f"is visible, or one for each of {count_of(n, 'example')}."
        )
    if not np.isin(rows, (0, 1)).all():
        raise BadInputError(
            "mask: found values other than 0 and 1. A mask is 1 or True where an example is "
            "visible, 0 or False where it is hidden: write `mask > 0.5`."
        )
    if (empty := ~rows.astype(bool).any(axis=1)).any():
        raise BadInputError(
            f"mask: that of example {int(empty.argmax())} hides all, so that its completions are "
            "unconditional samples, which `sample` gives. Set what is visible to 1."
        )
    if (full := rows.astype(bool).all(axis=1)).any():
        raise BadInputError(
            f"mask: that of example {int(full.argmax())} hides nothing, so that nothing is left to "
            "complete. Set what is to be completed to 0."
        )
    return np.ascontiguousarray(rows, bool)


def _over_values(visible: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return masks `[n, n_units]` for each value of the examples, `[n, dim]`."""
    return visible if len(shape) < 3 else visible.repeat(shape[2], axis=1)


def _check_values(shown: np.ndarray) -> None:
    if not np.isfinite(shown).all() or (np.abs(shown) > MAX_ABS).any():
        raise BadInputError(
            "x: NaN, infinite or huge values where it is visible. Only what is hidden may be "
            "unknown: set the mask to 0 there."
        )
