"""Prints sections and tables on the terminal, or into a pipe, in any width.

Text is shown as it is, never read as markup. Lines are broken between words only, so that a path or
a command can be copied whole.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gansearch.report.formatting import printable
from gansearch.report.section import UNWRAPPED_COLUMNS, Section, make_columns
from gansearch.system.checks import Check

if TYPE_CHECKING:
    from gansearch.space.search_space import SearchSpace

# Spaces between two columns, fewer if the table would not fit.
_GAPS = (2, 1)
# A command that is to be copied, up to a backtick or the end: broken into lines it would be two.
_COMMAND = re.compile(r"gansearch (?:resume|report|sample) .+?(?:`(?=[ .,]|$)|$)")
_UNBROKEN = "\x00"  # in place of a space
_STATUS_STYLES = {"ok": "green", "warning": "yellow", "problem": "red"}


def print_section(section: Section, console: Console) -> None:
    """Print a section: its title, text, table and notes."""
    mark, style = ("! ", "yellow") if section.key == "warnings" else ("", "")
    console.print(Text(printable(section.title), style="bold"))
    for line in section.text:
        _print_paragraph(mark + printable(line), console, style)
    if section.rows:
        print_rows(section, console)
    for line in section.notes:
        _print_paragraph(printable(line), console, "dim")
    console.print()


def print_rows(section: Section, console: Console) -> None:
    """Print rows as a table or, where words would be broken, each row as a paragraph."""
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
            _print_paragraph(", ".join(pairs), console)
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, gap - 1, 0, 0))
    for (name, justify), width in zip(section.columns, widths, strict=True):
        table.add_column(Text(name), justify=justify, max_width=width, overflow="fold")
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)


def print_spaces(spaces: Sequence[SearchSpace], console: Console) -> None:
    """Print a list of spaces."""
    rows = [
        [
            space.name,
            space.dataset,
            str(space.budget.trials),
            f"{space.budget.max_updates:,}",
            ", ".join(space.search),
        ]
        for space in spaces
    ]
    columns = make_columns("space", "data set", "trials", "updates", "searched")
    print_rows(Section("spaces", "Spaces", columns=columns, rows=rows), console)


def print_checks(checks: Sequence[Check], console: Console) -> None:
    """Print checks: a line each, and its remedy below. Lines are as long as they are.

    A table would break paths and commands, or cut them off.
    """
    width = max(cell_len(check.name) for check in checks)
    for check in checks:
        line = Text(f"{check.status:<8} ", _STATUS_STYLES[check.status])
        line.append(f"{printable(check.name):<{width}}  {printable(check.found)}", "default")
        console.print(line, soft_wrap=True)
        if check.remedy:
            console.print(Text(f"{'':<8} {printable(check.remedy)}"), soft_wrap=True)


def _print_paragraph(text: str, console: Console, style: str = "") -> None:
    """Print a text in lines of the console's width; longer words and commands are not broken."""
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _UNBROKEN), text)
    lines = textwrap.wrap(whole, console.width, break_long_words=False, break_on_hyphens=False)
    for line in lines or [""]:
        console.print(Text(line.replace(_UNBROKEN, " "), style=style), soft_wrap=True)


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
    return max(cell_len(word) for cell in cells for word in cell.split())
