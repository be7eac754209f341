"""Writes scores by number of samples to a file, as a picture or a table."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq

from gansearch.figures.charts import score_curves
from gansearch.report.output import check_output, write_output
from gansearch.runs.schemas import CURVE
from gansearch.runs.tables import make_table

_ENDINGS = (".png", ".csv", ".parquet")


def check_curve(out: Path) -> None:
    """Raise BadInputError unless the file's ending is known and the file can be written.

    Scoring may take minutes, so call this before.
    """
    rule = "A curve is written as a .png picture, or a .csv or .parquet table."
    check_output("--curve", out, _ENDINGS, rule)


def write_curve(
    out: Path, curve: Sequence[Mapping[str, Any]], references: Sequence[Mapping[str, Any]]
) -> None:
    """Write rows of `curve.parquet` in the format of the file's ending; a picture has references.

    Raises:
        BadInputError: as `check_curve`, or the file can't be written.
    """
    check_curve(out)
    table = make_table(curve, CURVE)
    ending = out.suffix.lower()
    if ending == ".png":
        content = score_curves(table.to_pandas(), pd.DataFrame(references))
    elif ending == ".csv":
        content = table.to_pandas().to_csv(index=False).encode()
    else:
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
        content = buffer.getvalue()
    write_output("--curve", out, lambda file: file.write(content))
