"""The live display of a run. The driver tells it about every event; it knows nothing of Ray.

On a terminal it is a few lines that are redrawn at a fixed rate. Elsewhere (CI, nohup, a pipe) it
is one line for each trial that ends, and a line of progress every 15 seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeGuard

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gansearch.budget import Budget
from gansearch.report.formatting import duration, printable
from gansearch.runs.schemas import UNSOUND

_REDRAWS_PER_SECOND = 4
_HEARTBEAT_SECONDS = 15.0
# The time left is estimated only after this many trials of the search have ended.
_MIN_ENDED_FOR_ESTIMATE = 3
_SEARCH, _REPLICAS = "search", "replicas"
_STYLES = {
    "completed": "green",
    "pruned": "blue",
    "collapsed": "magenta",
    "diverged": "yellow",
    "failed": "red",
}


@dataclass
class TrialLine:
    """What the display shows of a running trial."""

    trial_id: str
    summary: str
    updates: int
    valid_ll: float | None = None
    coverage: float | None = None


class Progress:
    """Shows how far a run is; a context manager, safe to call from any thread.

    Args:
        console: where to draw.
        budget: of the run.
        n_replicas: number of trainings in the phase of replicas, to estimate the time left.
        time_budget_seconds: of the whole run, or None.
        quiet: print nothing.

    Attributes:
        current_phase: the name of the phase, "" before the first.
    """

    def __init__(
        self,
        console: Console,
        *,
        budget: Budget,
        n_replicas: int,
        time_budget_seconds: float | None,
        quiet: bool = False,
    ) -> None:
        self.current_phase = ""
        self._console = console
        self._budget = budget
        self._n_replicas = n_replicas
        self._time_budget_seconds = time_budget_seconds
        self._quiet = quiet
        # Never held while printing: the display's own thread holds rich's lock and waits for it.
        self._lock = threading.Lock()
        self._live: Live | None = None
        self._n_trials = 0
        self._lines: dict[str, TrialLine] = {}
        self._counts: Counter[str] = Counter()
        self._ended_earlier: Counter[str] = Counter()
        self._ended_updates = 0
        self._best_ended: tuple[float, str] | None = None
        self._trained_updates = 0
        self._started = time.monotonic()
        self._training_since: float | None = None
        self._last_line = self._started

    def __enter__(self) -> Self:
        self._started = self._last_line = time.monotonic()
        if not self._quiet and self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                refresh_per_second=_REDRAWS_PER_SECOND,
                get_renderable=self._frame,
            )
            self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def phase(self, name: str, n_trials: int, ended: Iterable[str] = ()) -> None:
        """Begin a phase ("search", "replicas", "reference lines") of `n_trials`.

        `ended` holds the statuses of trials that ended before the run was resumed.
        """
        with self._lock:
            self.current_phase = name
            self._n_trials = n_trials
            self._lines.clear()
            self._counts.clear()
            self._ended_earlier = Counter(ended)
            self._ended_updates = 0
            self._best_ended = None

    def trial_started(self, trial_id: str, summary: str, updates: int = 0) -> None:
        """Record that a trial starts, or resumes at `updates`; `summary` is its configuration."""
        with self._lock:
            self._lines[trial_id] = TrialLine(trial_id, summary, updates)
            self._training_since = self._training_since or time.monotonic()

    def trial_reported(
        self, trial_id: str, updates: int, valid_ll: float | None, coverage: float | None
    ) -> None:
        """Record that a trial is at `updates`, with its latest scores, None before the first."""
        with self._lock:
            line = self._lines[trial_id]
            self._trained_updates += max(0, updates - line.updates)
            line.updates, line.valid_ll, line.coverage = updates, valid_ll, coverage
        self._print_heartbeat_if_due()

    def trial_ended(self, trial_id: str, status: str, reason: str, valid_ll: float | None) -> None:
        """Record that a trial has ended, with the reason in words."""
        with self._lock:
            # A trial that was interrupted earlier may end without having resumed.
            line = self._lines.pop(trial_id, None) or TrialLine(trial_id, "", 0)
            self._counts[status] += 1
            self._ended_updates += line.updates
            if status not in UNSOUND and _is_number(valid_ll):
                self._best_ended = max(self._best_ended or (-math.inf, ""), (valid_ll, trial_id))
            text = (
                f"[{self._n_ended}/{self._n_trials}] {trial_id} {status} "
                f"at {line.updates:,} updates, valid_ll {_nats(valid_ll)}"
            )
        self._print_plain(printable(f"{text}: {reason}" if reason else text))

    def note(self, text: str) -> None:
        """Print a note to the user."""
        if self._live is not None:
            self._console.print(Text(printable(text)))
        else:
            self._print_plain(printable(text))

    @property
    def _n_ended(self) -> int:
        return self._ended_earlier.total() + self._counts.total()

    @property
    def _n_by_status(self) -> dict[str, int]:
        """Trials that have ended, of this session and of earlier ones, by status."""
        counts = self._ended_earlier + self._counts
        return {status: counts[status] for status in _STYLES if counts[status]}

    def _print_heartbeat_if_due(self) -> None:
        if self._live is not None:
            return
        with self._lock:
            if time.monotonic() - self._last_line < _HEARTBEAT_SECONDS:
                return
            self._last_line = time.monotonic()
            ended = ", ".join(f"{n} {status}" for status, n in self._n_by_status.items())
            text = f"{self._head()}{ended and f' ({ended})'}; {self._tail()}"
        self._print_plain(text)

    def _print_plain(self, text: str) -> None:
        if self._quiet or self._live is not None:
            return
        self._last_line = time.monotonic()
        self._console.print(Text(text), soft_wrap=True)

    def _frame(self) -> Group:
        """Return what the terminal shows at this moment."""
        with self._lock:
            head = Text(self._head(), style="bold")
            for status, n in self._n_by_status.items():
                head.append(f"  {n} {status}", style=f"not bold {_STYLES[status]}")
            lines = list(self._lines.values())
            tail = Text(self._tail())
        room = max(1, self._console.height - 4)
        parts: list[Text | Table] = [head, tail, self._table(lines[:room])]
        if len(lines) > room:
            parts.append(Text(f"and {len(lines) - room} more", style="dim"))
        return Group(*parts)

    def _table(self, lines: list[TrialLine]) -> Table:
        table = Table.grid(padding=(0, 1), expand=True)
        for justify in ("left", "left", "right", "right", "right"):
            table.add_column(justify=justify, no_wrap=True)
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
        for line in lines:
            table.add_row(
                Text(line.trial_id),
                ProgressBar(self._budget.max_updates, line.updates, width=16),
                Text(f"{line.updates:,}"),
                Text(f"valid_ll {_nats(line.valid_ll)}"),
                Text(f"coverage {line.coverage:.2f}" if _is_number(line.coverage) else ""),
                Text(line.summary, style="dim"),
            )
        return table

    def _head(self) -> str:
        ended = f" {self._n_ended}/{self._n_trials}" if self.current_phase else ""
        running = f", {len(self._lines)} running" if self._lines else ""
        return f"{self.current_phase or 'starting'}{ended}{running}"

    def _tail(self) -> str:
        elapsed = time.monotonic() - self._started
        scores = [
            (line.valid_ll, line.trial_id)
            for line in self._lines.values()
            if _is_number(line.valid_ll)
        ]
        best = max([*scores, *([self._best_ended] if self._best_ended else [])], default=None)
        score = f"best valid_ll {best[0]:.2f} nats ({best[1]})" if best else "no score yet"
        return f"{score}; {duration(elapsed)} so far, {self._time_left(elapsed)}"

    def _time_left(self, elapsed: float) -> str:
        """Return the estimate in words, "-" if there is none."""
        left = self._estimate_seconds()
        if self._time_budget_seconds is not None:
            allowed = self._time_budget_seconds - elapsed
            if allowed > 0 and (left is None or left > allowed):
                return f"at most {duration(allowed)} left"
        return "time left: -" if left is None else f"about {duration(left)} left"

    def _estimate_seconds(self) -> float | None:
        """Estimate the time left from the updates trained so far and those expected to follow.

        A trial of the search is expected to make as many updates as the ended ones on average, a
        replica all of them. None if too little is known.
        """
        if self._training_since is None or self._trained_updates == 0:
            return None
        n_ended = self._counts.total()
        if self.current_phase == _REPLICAS:
            expected = float(self._budget.max_updates)
            later = 0
        elif self.current_phase == _SEARCH and n_ended >= _MIN_ENDED_FOR_ESTIMATE:
            expected = self._ended_updates / n_ended
            later = self._n_replicas * self._budget.max_updates
        else:
            return None
        n_waiting = max(0, self._n_trials - self._n_ended - len(self._lines))
        running = sum(max(0.0, expected - line.updates) for line in self._lines.values())
        trained_seconds = time.monotonic() - self._training_since
        to_come = n_waiting * expected + running + later
        return to_come * trained_seconds / self._trained_updates


def _is_number(value: float | None) -> TypeGuard[float]:
    return value is not None and math.isfinite(value)


def _nats(valid_ll: float | None) -> str:
    return f"{valid_ll:.2f}" if _is_number(valid_ll) else "-"
