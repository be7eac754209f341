"""What a terminal shows of a run at one moment."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gansearch.own_measures import Objective


@dataclass(frozen=True)
class Score:
    """A value of what the search goes by, and the number of samples it comes from.

    The number changes a log-likelihood, as it does a Frechet distance: scores of other numbers of
    samples are never compared.
    """

    value: float
    n_samples: int


@dataclass(frozen=True)
class KnownTrial:
    """A trial that an earlier session has begun; its status is "running" if it will continue."""

    trial_id: str
    status: str
    updates: int
    score: Score | None = None


@dataclass
class TrialLine:
    """What the display shows of a running trial."""

    trial_id: str
    summary: str
    updates: int
    score: Score | None = None
    coverage: float | None = None


class Frame:
    """Lines about a run, and a line for each running trial, as many as the terminal has room for.

    Each is one line long, and the cursor stands on an empty line below them: what the terminal
    itself writes there, such as ^C, doesn't move the lines that are drawn over.

    Args:
        texts: about the run, the most important first.
        trials: that are running.
        objective: what the search goes by, of which the trials have scores.
        max_updates: of a full training.
        is_last: whether no other frame follows, so that the empty line isn't needed.
    """

    def __init__(
        self,
        texts: Sequence[Text],
        trials: Sequence[TrialLine],
        *,
        objective: Objective,
        max_updates: int,
        is_last: bool,
    ) -> None:
        self._texts = texts
        self._trials = trials
        self._objective = objective
        self._max_updates = max_updates
        self._is_last = is_last

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        room = max(1, console.height - 1)
        for text in self._texts[:room]:
            text.no_wrap, text.overflow = True, "crop" if options.ascii_only else "ellipsis"
            yield text
        room -= len(self._texts)
        n_shown = len(self._trials) if len(self._trials) <= room else max(0, room - 1)
        if n_shown:
            yield self._table(self._trials[:n_shown])
        if n_shown < len(self._trials) and room > 0:
            yield Text(f"and {len(self._trials) - n_shown} more", style="dim")
        if not self._is_last:
            yield Text("")

    def _table(self, trials: Sequence[TrialLine]) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        for justify in ("left", "left", "right", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for line in trials:
            score = self._objective.format(line.score.value) if line.score else "-"
            has_coverage = line.coverage is not None and math.isfinite(line.coverage)
            table.add_row(
                Text(line.trial_id),
                ProgressBar(self._max_updates, line.updates, width=16),
                Text(f"{line.updates:,}"),
                Text(f"{self._objective.name} {score}"),
                Text(f"coverage {line.coverage:.2f}" if has_coverage else ""),
                Text(line.summary, style="dim"),
            )
        return table
