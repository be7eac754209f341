"""Prints a report on the terminal. Text from files is shown as it is, never read as markup."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gansearch.report.formatting import printable
from gansearch.report.report import Report
from gansearch.report.section import PROSE_COLUMNS, UNWRAPPED_COLUMNS, Section
from gansearch.report.sections import reference_sections, sections

# Spaces between two columns, fewer if the table would not fit; the least width of prose.
_GAPS = (2, 1)
_MIN_PROSE_WIDTH = 24


def print_report(report: Report, console: Console) -> None:
    """Print a report as text and tables."""
    for section in sections(report):
        _print_section(section, console)


def print_evaluation(scores: Mapping[str, Any], console: Console) -> None:
    """Print the result of `gansearch evaluate`; `scores` is the object that its --json prints."""
    table = Table(show_header=False, box=None, pad_edge=False)
    printed_below = ("health", "references", "warnings")
    single = {key: value for key, value in scores.items() if key not in printed_below}
    for key, value in (single | scores["health"]).items():
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
        table.add_row(Text(key), Text(text))
    console.print(table)
    console.print()
    references = pd.DataFrame(scores["references"])
    parts = list(reference_sections(references))
    if scores["warnings"]:
        parts.append(Section("warnings", "Warnings", scores["warnings"]))
    for section in parts:
        _print_section(section, console)


def _print_section(section: Section, console: Console) -> None:
    mark, style = ("! ", "yellow") if section.key == "warnings" else ("", "")
    console.print(Text(printable(section.title), style="bold"))
    for line in section.text:
        console.print(Text(mark + printable(line), style=style))
    if section.rows:
        _print_rows(section, console)
    for line in section.notes:
        console.print(Text(printable(line), style="dim"))
    console.print()


def _print_rows(section: Section, console: Console) -> None:
    """Print rows as a table or, where it would be cut off, each row as a paragraph."""
    names = [name for name, _ in section.columns]
    rows = [[printable(cell) for cell in row] for row in section.rows]
    fitting = (
        (gap, widths)
        for gap in _GAPS
        if (widths := _column_widths([names, *rows], console.width, gap))
    )
    gap, widths = next(fitting, (0, None))
    if widths is None:
        for row in rows:
            pairs = (f"{name} {cell or '-'}" for name, cell in zip(names, row, strict=True))
            console.print(Text(", ".join(pairs)))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    for (name, justify), width in zip(section.columns, widths, strict=True):
        table.add_column(Text(name), justify=justify, max_width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def _column_widths(lines: Sequence[Sequence[str]], available: int, gap: int) -> list[int] | None:
    """Return column widths for a table of at most `available` characters; None if it can't fit.

    Texts shrink and are wrapped between words; numbers, ids and intervals stay whole. Rich's own
    way to shrink a table ignores minimum widths, and cuts off what is too wide in the end.
    """
    names, *_ = lines
    columns = list(zip(*lines, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    if sum(widths) + gap * (len(widths) - 1) <= available:
        return widths
    minimums = [_min_width(name, column) for name, column in zip(names, columns, strict=True)]
    # Rich also pads the last column, by one character, if it is narrower than its content.
    room = available - gap * (len(widths) - 1) - 1
    if sum(minimums) > room:
        return None
    while sum(widths) > room:
        slack = [width - minimum for width, minimum in zip(widths, minimums, strict=True)]
        widths[slack.index(max(slack))] -= 1
    return widths


def _min_width(name: str, cells: Sequence[str]) -> int:
    if name in UNWRAPPED_COLUMNS:
        return max(map(cell_len, cells))
    longest_word = max(cell_len(word) for cell in cells for word in cell.split())
    # A path in a reason may be longer than any line.
    return min(longest_word, _MIN_PROSE_WIDTH) if name in PROSE_COLUMNS else longest_word
