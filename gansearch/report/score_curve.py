"""Writes scores by number of samples to a file, as a picture or a table."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from gansearch.errors import BadInputError, StorageError
from gansearch.figures.charts import score_curves
from gansearch.runs.schemas import CURVE
from gansearch.runs.tables import make_table
from gansearch.system.files import write_atomically

_ENDINGS = (".png", ".csv", ".parquet")


def check_ending(out: Path) -> None:
    """Raise BadInputError unless the file's ending is known and its folder exists.

    Scoring may take minutes, so call this before.
    """
    if out.suffix not in _ENDINGS:
        raise BadInputError(
            f"--curve {out}: the ending {out.suffix or '(none)'} is not known. A curve is written "
            "as a .png picture, or a .csv or .parquet table."
        )
    if not out.parent.is_dir():
        raise BadInputError(f"--curve {out}: there is no folder {out.parent}. Make it first.")


def write_curve(
    out: Path, curve: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]]
) -> None:
    """Write rows of `curve.parquet` in the format of the file's ending; a picture has references.

    Raises:
        BadInputError: as `check_ending`, or the file can't be written.
    """
    check_ending(out)
    table = make_table(curve, CURVE)
    if out.suffix == ".png":
        content = score_curves(table.to_pandas(), pd.DataFrame(references))
    elif out.suffix == ".csv":
        content = table.to_pandas().to_csv(index=False).encode()
    else:
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        content = buffer.getvalue()
    try:
        write_atomically(out, content)
    except StorageError as error:
        raise BadInputError(f"--curve {out}: can't be written ({error.__cause__}).") from error
