"""Prints a report on the terminal. Text from files is shown as it is, never read as markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from gansearch.report.report import Report
from gansearch.report.section import Section
from gansearch.report.sections import more_sections, reference_sections, sections
from gansearch.report.tables import print_section


def print_report(report: Report, console: Console) -> None:
    """Print a report as text and tables."""
    for section in sections(report):
        print_section(section, console)


def print_evaluation(scores: Mapping[str, Any], console: Console) -> None:
    """Print the result of `gansearch evaluate`; `scores` is the object that its --json prints."""
    table = Table("", Column("", overflow="fold"), show_header=False, box=None, pad_edge=False)
    printed_below = ("health", "references", "warnings")
    single = {key: value for key, value in scores.items() if key not in printed_below}
    for key, value in (single | scores["health"]).items():
        text = _text(value)
        table.add_row(Text(key), Text(text))
    console.print(table)
    console.print()
    references = pd.DataFrame(scores["references"])
    parts = [*reference_sections(references), *more_sections(pd.DataFrame(), references)]
    if scores["warnings"]:
        parts.append(Section("warnings", "Warnings", scores["warnings"]))
    for section in parts:
        print_section(section, console)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return ", ".join(value) or "-"
    return "-" if value is None else str(value)
