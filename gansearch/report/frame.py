"""What a terminal shows of a run at one moment."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gansearch.own_measures import Objective
from gansearch.report.sparkline import sparkline

_INDENT = "  "
# From this width of a terminal on, a trial's bar is long; below the other, less of it is shown.
_WIDE, _NARROW = 100, 60


class _Column(NamedTuple):
    name: str
    justify: Literal["left", "right"]
    least_width: int = 0  # of the terminal


_COLUMNS = (
    _Column("trial", "left"),
    _Column("bar", "left", _NARROW),
    _Column("updates", "right"),
    _Column("chart", "left", _NARROW),
    _Column("score", "right", 40),
    _Column("coverage", "right", 80),
    _Column("summary", "left", _NARROW),
)


@dataclass(frozen=True)
class Score:
    """A value of what the search goes by, and the number of samples it comes from.

    The number changes a log-likelihood, as it does a Frechet distance: scores of other numbers of
    samples are never compared. `is_final` is that of a replica at its end, and `others` are the
    values of the other objectives, where there are several.
    """

    value: float
    n_samples: int
    is_final: bool = False
    others: tuple[float, ...] = ()


@dataclass(frozen=True)
class KnownTrial:
    """A trial that an earlier session has begun; its status is "running" if it will continue.

    Its phase is "search" or "replica", as in `trials.parquet`; `summary` is its configuration, and
    `values` are those of its evaluations by updates, if it will continue.
    """

    trial_id: str
    status: str
    updates: int
    score: Score | None = None
    phase: str = "search"
    summary: str = ""
    values: Mapping[int, float] = field(default_factory=dict)


@dataclass
class TrialLine:
    """What the display shows of a running trial.

    `values` are those of its evaluations by updates: one that continues from its checkpoint may
    repeat some.
    """

    trial_id: str
    summary: str
    updates: int
    score: Score | None = None
    coverage: float | None = None
    values: dict[int, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Paragraph:
    """A text of at most so many lines; what has no room is left out at its end."""

    text: Text
    most_lines: int = 1

    def lines(self, console: Console, width: int, *, ascii_only: bool) -> list[Text]:
        """Return the lines of a terminal with `width` columns, all but the first indented."""
        text, overflow = self.text.copy(), "crop" if ascii_only else "ellipsis"
        if self.most_lines > 1 and text.cell_len > width:
            first, *rest = text.wrap(console, max(1, width - len(_INDENT)))
            for line in rest:
                line.rstrip()  # of the space at which it was broken
            shown = rest[: self.most_lines - 1]
            if len(rest) > len(shown):
                shown[-1] = Text(" ").join(rest[len(shown) - 1 :])
            lines = [first, *(Text(_INDENT).append_text(line) for line in shown)]
        else:
            lines = [text]
        for line in lines:
            line.no_wrap, line.overflow = True, overflow  # type: ignore[assignment]
        return lines


class Frame:
    """Lines about a run, a line for each running trial and the last ends, as there is room for.

    The cursor stands on an empty line below them: what the terminal itself writes there, such as
    ^C, doesn't move the lines that are drawn over.

    Args:
        about: the run, the most important first.
        trials: that are running.
        ends: of trials, the newest first. A third of the room is theirs, and what trials leave.
        objective: what the search goes by, of which the trials have scores.
        max_updates: of a full training.
        is_last: whether no other frame follows, so that the empty line isn't needed.
    """

    def __init__(
        self,
        about: Sequence[Paragraph],
        trials: Sequence[TrialLine],
        ends: Sequence[Paragraph],
        *,
        objective: Objective,
        max_updates: int,
        is_last: bool,
    ) -> None:
        self._about = about
        self._trials = trials
        self._ends = ends
        self._objective = objective
        self._max_updates = max_updates
        self._is_last = is_last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        def lines(paragraph: Paragraph) -> list[Text]:
            return paragraph.lines(console, options.max_width, ascii_only=options.ascii_only)

        room = max(1, console.height - 1)
        about = [line for paragraph in self._about for line in lines(paragraph)][:room]
        yield from about
        room -= len(about)
        ends = [lines(paragraph) for paragraph in self._ends]
        for_trials = room - min(sum(map(len, ends)), room // 3)
        n_shown = len(self._trials)
        if n_shown > for_trials:
            n_shown = max(0, for_trials - 1)
        if n_shown:
            yield self._table(self._trials[:n_shown], options)
            room -= n_shown
        if n_shown < len(self._trials) and room > 0:
            yield Text(f"and {len(self._trials) - n_shown} more", style="dim")
            room -= 1
        for end in ends:
            room -= len(end)
            if room < 0:
                break
            yield from end
        if not self._is_last:
            yield Text("")

    def _table(self, trials: Sequence[TrialLine], options: ConsoleOptions) -> Table:
        """Return a line a trial; the narrower the terminal is, the fewer columns."""
        table = Table.grid(padding=(0, 1), expand=options.max_width >= _NARROW)
        shown = [column for column in _COLUMNS if options.max_width >= column.least_width]
        for column in shown:
            table.add_column(
                justify=column.justify,
                no_wrap=True,
                overflow="crop" if options.ascii_only else "ellipsis",
                ratio=1 if column.name == "summary" else None,
            )
        for line in trials:
            cells = self._cells(line, options)
            table.add_row(*(cells[column.name] for column in shown))
        return table

    def _cells(self, line: TrialLine, options: ConsoleOptions) -> dict[str, RenderableType]:
        bar = 16 if options.max_width >= _WIDE else 8
        score = self._objective.format(line.score.value) if line.score else "-"
        chart = sparkline(list(line.values.values()), bar - 4, ascii_only=options.ascii_only)
        has_coverage = line.coverage is not None and math.isfinite(line.coverage)
        return {
            "trial": Text(line.trial_id),
            "bar": ProgressBar(self._max_updates, line.updates, width=bar),
            "updates": Text(f"{line.updates:,}"),
            "chart": Text(chart, style="cyan"),
            "score": Text(f"{self._objective.name} {score}"),
            "coverage": Text(f"coverage {line.coverage:.2f}" if has_coverage else ""),
            "summary": Text(line.summary, style="dim"),
        }
