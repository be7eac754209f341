"""Reconstructions of test examples, by the generators of a run and their inference networks."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from gansearch.artifacts import inference_of
from gansearch.errors import BadInputError
from gansearch.figures.samples import comparison_picture
from gansearch.report.output import write_output
from gansearch.report.sampling import (
    N_SAMPLES,
    check_count,
    same_data,
    save_array,
    stored_generator,
)
from gansearch.runs.folder import RunFolder


def write_reconstructions(
    folder: RunFolder,
    out: Path,
    *,
    trial_id: str | None = None,
    n: int | None = None,
    data_dir: Path | None = None,
) -> str:
    """Write test examples as a trial reconstructs them, and return a description of it.

    A `.npy` file holds the reconstructions, `[n, d]`; a `.png` file has the examples beside them.

    Args:
        folder: the run.
        out: the file; its ending selects the format.
        trial_id: the trial; None for a replica of the winner.
        n: how many examples, the first ones; None for 64.
        data_dir: folder of the data; None for the one that the run used.

    Raises:
        BadInputError: the run has no inference network, a picture of points, too many examples to
            draw, or a file that can't be written.
        ResultsError, DataError: as `stored_generator`; also where the test examples are absent.
    """
    trial_id, saved = stored_generator(folder, trial_id, data_dir)
    inference = inference_of(saved.generator)
    dataset = same_data(folder, saved.dataset, data_dir)
    as_picture = out.suffix.lower() == ".png"
    if as_picture and not dataset.is_image:
        raise BadInputError(
            f"--reconstruct, --out {out}: {dataset.name} has points, and pictures of "
            "reconstructions are of images. Write them as an array: --out points.npy."
        )
    n = min(n or N_SAMPLES, len(dataset.test))
    check_count(n, None, saved, dataset if as_picture else None, n_beside=1)
    examples = dataset.to_float(dataset.test[:n])
    made = inference.reconstruct(examples)
    if not as_picture:
        array = saved.in_own_units(made)
        write_output("--out", out, lambda file: save_array(array, file))
    else:
        rows = np.stack((examples, made), 1)
        picture = comparison_picture(rows, dataset, "test images x, and G(E(x)) to their right")
        write_output("--out", out, lambda file: picture.save(file, format="PNG"))
    return f"{len(made)} test examples as reconstructed by {trial_id}"
