"""A report as JSON, CSV or Markdown."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gansearch.report.report import Report
from gansearch.report.sections import sections
from gansearch.runs.schemas import config_values
from gansearch.runs.tables import rows_of


def to_json(report: Report) -> str:
    """Return the report as one JSON object, null where a number is missing or not finite."""
    lead = report.winner_minus_paper
    content = {
        "run": report.run.to_dict(),
        "budget": report.budget.to_dict(),
        "counts": report.counts,
        "n_configurations_tried": report.n_tried,
        "updates": report.updates,
        "ranking": _records(report, report.ranking),
        "winner_minus_paper": None if lead is None else vars(lead),
        "references": rows_of(report.references),
        "curve": rows_of(report.curve),
        "stability": None
        if report.stability is None
        else {
            "cells": rows_of(report.stability.cells),
            "importances": rows_of(report.stability.importances),
        },
        "leaderboard": _records(report, report.leaderboard),
        "warnings": list(report.warnings),
    }
    return json.dumps(json_value(content), indent=2, allow_nan=False)


def _records(report: Report, frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows with integers and lists in place of the floats and arrays of pandas."""
    table = report.run.family.config_type
    return [
        row
        | {f"config.{name}": value for name, value in config_values(row, table).items()}
        | {name: _int_or_none(row[name]) for name in ("rank", "pareto_rank") if name in row}
        for row in rows_of(frame)
    ]


def _int_or_none(value: float) -> int | None:
    return None if math.isnan(value) else int(value)


def json_value(value: Any) -> Any:
    """Return a value that JSON can hold: no NumPy types, null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: json_value(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [json_value(entry) for entry in value]
    if isinstance(value, np.generic):
        value = value.item()
    if value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value


def to_csv(report: Report) -> str:
    """Return the ranking as CSV or, while there is none, the leaderboard."""
    table = report.leaderboard if report.ranking.empty else report.ranking
    flat = [{name: _flat(value) for name, value in row.items()} for row in _records(report, table)]
    return pd.DataFrame(flat, columns=table.columns, dtype=object).to_csv(index=False)


def _flat(value: Any) -> Any:
    """Return a value as a cell: lists as words, a schedule as JSON."""
    if not isinstance(value, list | np.ndarray):
        return value
    is_schedule = any(isinstance(each, Mapping) for each in value)
    return json.dumps(value) if is_schedule else " ".join(map(str, value))


def to_markdown(report: Report) -> str:
    """Return the sections as Markdown, with the text of files escaped."""
    blocks = []
    for i, section in enumerate(sections(report)):
        blocks.append(f"{'#' if i == 0 else '##'} {_escape_markdown(section.title)}")
        if section.text:
            blocks.append("\n".join(f"- {_escape_markdown(line)}" for line in section.text))
        if section.rows:
            names = [name for name, _ in section.columns]
            rules = ["---:" if justify == "right" else ":---" for _, justify in section.columns]
            rows = [[_escape_markdown(cell) for cell in row] for row in section.rows]
            blocks.append("\n".join(f"| {' | '.join(row)} |" for row in (names, rules, *rows)))
        blocks += [_escape_markdown(line) for line in section.notes]
    return "\n\n".join(blocks) + "\n"


def _escape_markdown(text: str) -> str:
    """Escape a text so that Markdown shows it literally, also in a table."""
    for mark in "\\`*|":
        text = text.replace(mark, f"\\{mark}")
    text = text.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(")
    return " ".join(text.split())
