"""What is said of a reference line whose score is invalid, wherever it is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


def line_title(line: Mapping[str, Any]) -> str:
    """Return the name of a row of `references.parquet`, marked if its score is invalid."""
    at_edge = line.get("sigma_at_edge") is True  # None in a run of an older version
    return f"{line['name']} (sigma at edge)" if at_edge else str(line["name"])


def edge_warnings(lines: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a warning of each reference line whose score is invalid; older ones don't say so."""
    return [
        f"Reference line {line['name']}: the best sigma is at the edge of its grid, so its score "
        "is invalid and nothing compares with it. Look for copies among the images, or for test "
        "examples that are far from the training examples."
        for line in lines
        if line.get("sigma_at_edge") is True
    ]
