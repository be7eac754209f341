"""The progress of a run in words. The driver tells it about every event; it knows nothing of Ray.

On a terminal it is a few lines that are redrawn at a fixed rate, with the last ends of trials.
Elsewhere (CI, nohup, a pipe, a notebook) it is one line for each thing that begins and each trial
that ends, and a line of progress every 15 seconds.
"""

from __future__ import annotations

import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from types import TracebackType
from typing import Self

from rich.console import Console, RenderableType
from rich.text import Text

from gansearch.budget import Budget
from gansearch.errors import BadInputError, InterruptedRunError
from gansearch.own_measures import VALID_LL, Objective
from gansearch.report.bests import Bests, ScoredTrial
from gansearch.report.display import (
    FIRST_LINE_SECONDS,
    HEARTBEAT_SECONDS,
    Display,
    expendable,
)
from gansearch.report.formatting import duration, printable
from gansearch.report.frame import Frame, KnownTrial, Paragraph, Score, TrialLine
from gansearch.report.pace import MIN_ENDED, Pace
from gansearch.runs.schemas import UNSOUND
from gansearch.system.signals import is_raised

_SEARCH, _REPLICAS = "search", "replicas"
_STYLES = {
    "completed": "green",
    "pruned": "blue",
    "collapsed": "magenta",
    "diverged": "yellow",
    "failed": "red",
}
_N_ENDS = 5  # that a terminal shows
_CONFIG_LINES, _END_LINES = 3, 2


class Progress:
    """Shows how far a run is; a context manager, safe to call from any thread.

    A display that fails, by a closed pipe or whatever else, is dropped; no call raises.

    Args:
        console: where to draw.
        budget: of the run.
        n_replicas: number of trainings in the phase of replicas, to estimate the time left.
        time_budget_seconds: of the whole run, or None.
        earlier_seconds: the time that earlier sessions of the run took.
        objective: what the search goes by; the scores are its values.
        quiet: print nothing.

    Attributes:
        current_phase: the name of the phase, "" before the first.
        is_stopping: asked again and again: whether the user has stopped the run.
        pace: how fast the run trains.
        bests: the best trials, which are told how many samples an evaluation uses.
    """

    def __init__(
        self,
        console: Console,
        *,
        budget: Budget,
        n_replicas: int,
        time_budget_seconds: float | None,
        earlier_seconds: float = 0.0,
        objective: Objective = VALID_LL,
        quiet: bool = False,
    ) -> None:
        self.current_phase = ""
        self.is_stopping: Callable[[], bool] = is_raised
        self.pace = Pace(earlier_seconds)
        self.bests = Bests(objective)
        self._console = console
        self._budget = budget
        self._n_replicas = n_replicas
        self._time_budget_seconds = time_budget_seconds
        self._earlier_seconds = earlier_seconds
        self._objective = objective
        self._display = Display(console, frame=self._frame, due_line=self._due_line)
        self._quiet = quiet
        self._stack = ExitStack()
        # Never held while printing: the display's own thread holds rich's lock and waits for it.
        self._lock = threading.Lock()
        self._activity = ""
        self._is_said = True
        self._last_change = 0.0
        self._outcome = ""
        self._said_stopping = False
        self._n_trials = 0
        self._lines: dict[str, TrialLine] = {}
        self._waiting: dict[str, TrialLine] = {}
        self._counts: Counter[str] = Counter()
        self._ended_updates = 0
        self._ends: deque[Paragraph] = deque(maxlen=_N_ENDS)
        self._said_best = ""
        self._is_cut_short = True
        self._earlier_phases = ""
        self._started = self._last_line = time.monotonic()

    def __enter__(self) -> Self:
        self._started = self._last_line = time.monotonic()
        if not self._quiet:
            self._display.start(self._stack.enter_context(expendable(self._console)))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._outcome = _outcome(exc)
        if not self._quiet:
            with self._stack:
                # What the user gave can't be used: the message says all.
                self._display.stop(erase=isinstance(exc, BadInputError))

    def recall(self, known: Iterable[KnownTrial]) -> None:
        """Show the best of earlier sessions from the start on, before a phase begins."""
        with self._lock:
            for trial in known:
                if trial.status != "running" or trial.phase == _SEARCH:
                    self._remember(trial)

    def activity(self, text: str) -> None:
        """Show what the run does now, between two phases, as "starting Ray".

        Where lines aren't redrawn, what takes less than a second isn't shown.
        """
        with self._lock:
            if text == self._activity:
                return
            self._activity = text
            self._is_said, self._last_change = False, time.monotonic()
            self._is_cut_short = not self.is_stopping()
            # Trials that a stop interrupts keep their scores.
            self._waiting |= self._lines
            self._lines.clear()

    def phase(self, name: str, n_trials: int, known: Iterable[KnownTrial] = ()) -> None:
        """Begin a phase, "search" or "replicas", of `n_trials`.

        `known` are those that earlier sessions have begun.
        """
        with self._lock:
            self._earlier_phases = self._tally()
            self.current_phase = name
            self._activity = ""
            self._is_said = True
            self._n_trials = n_trials
            self._lines.clear()
            self._waiting.clear()
            self._counts.clear()
            self._ended_updates = 0
            for trial in known:
                self._remember(trial)
                if trial.status != "running":
                    self._counts[trial.status] += 1
                    self._ended_updates += trial.updates
            text = self._line()
        self._print_plain(text)

    def expect(self, n_trials: int) -> None:
        """Expect the phase to have so many trials, as where the time suffices for fewer."""
        with self._lock:
            self._n_trials = n_trials

    def trial_started(self, trial_id: str, summary: str, updates: int = 0) -> None:
        """Record that a trial starts, or resumes at `updates`; `summary` is its configuration."""
        with self._lock:
            known = self._waiting.pop(trial_id, None) or self._lines.get(trial_id)
            line = self._lines[trial_id] = TrialLine(trial_id, summary, updates)
            if known is not None:
                line.score, line.values = known.score, known.values
            self.bests.withdraw(trial_id)
            self.pace.trial_started()
            # More than expected where the configuration of a failed trial is tried again.
            n_begun = self._counts.total() + len(self._lines) + len(self._waiting)
            self._n_trials = max(self._n_trials, n_begun)

    def trial_reported(
        self,
        trial_id: str,
        updates: int,
        score: Score | None,
        coverage: float | None,
        *,
        is_evaluation: bool = True,
    ) -> None:
        """Record that a trial is at `updates`, with its latest scores, None before the first.

        With `is_evaluation` they are new.
        """
        with self._lock:
            line = self._lines[trial_id]
            self.pace.trained(updates - line.updates)
            line.updates, line.score, line.coverage = updates, score, coverage
            if is_evaluation and score is not None:
                line.values[updates] = score.value

    def trial_paused(self, trial_id: str) -> None:
        """Record that a trial waits to be continued."""
        with self._lock:
            self._waiting[trial_id] = self._lines.pop(trial_id)

    def trial_ended(self, trial_id: str, status: str, reason: str, score: Score | None) -> None:
        """Record that a trial has ended, with the reason in words."""
        with self._lock:
            # A trial that was interrupted earlier may end without having resumed.
            waiting = self._waiting.pop(trial_id, None) or TrialLine(trial_id, "", 0)
            line = self._lines.pop(trial_id, waiting)
            self._counts[status] += 1
            self._ended_updates += line.updates
            if status not in UNSOUND and not self._is_cut(status):
                self.bests.enter(trial_id, score, line.summary)
            self.pace.trial_ended()
            text = f"at {line.updates:,} updates, {self._in_words(score)}"
            text = f"{text}: {reason}" if reason else text
            end = Text(f"{trial_id} ").append(status, style=_STYLES[status])
            self._ends.appendleft(Paragraph(end.append(f" {printable(text)}"), _END_LINES))
            count = f"[{self._counts.total()}/{self._n_trials}]"
        self._print_plain(f"{count} {trial_id} {status} {text}")

    def note(self, text: str) -> None:
        """Print a note to the user."""
        if self._display.is_live:
            self._display.print(text)
        else:
            self._print_plain(text)

    def _is_cut(self, status: str) -> bool:
        """Return whether it is a replica that ends, cut short by the time budget."""
        return self.current_phase == _REPLICAS and status == "pruned"

    def _remember(self, trial: KnownTrial) -> None:
        """Take a trial of an earlier session into account that has ended, or will continue."""
        self.bests.withdraw(trial.trial_id)
        if trial.status == "running":
            self._waiting[trial.trial_id] = TrialLine(
                trial.trial_id,
                trial.summary,
                trial.updates,
                trial.score,
                values=dict(trial.values),
            )
        elif trial.status not in UNSOUND and (trial.phase, trial.status) != ("replica", "pruned"):
            self.bests.enter(trial.trial_id, trial.score, trial.summary)

    def _in_words(self, score: Score | None) -> str:
        """Return a score as `valid_ll 5.13 nats from 1,000 samples`."""
        if score is None or not math.isfinite(score.value):
            return f"{self._objective.name} -"
        what = (self._objective.name, self._objective.format(score.value), self._objective.unit)
        pairs = zip(self._objective.others, score.others, strict=False)
        others = [
            f", {each.name} {'-' if math.isnan(value) else each.format(value)}"
            for each, value in pairs
        ]
        return f"{' '.join(filter(None, what))} from {score.n_samples:,} samples{''.join(others)}"

    def _due_line(self) -> str | None:
        """Return the line that is due where lines aren't redrawn, if any."""
        with self._lock:
            now, is_stopping = time.monotonic(), self.is_stopping()
            begins_to_stop = is_stopping and not self._said_stopping
            is_new = not self._is_said and now - self._last_change >= FIRST_LINE_SECONDS
            if not begins_to_stop and not is_new and now - self._last_line < HEARTBEAT_SECONDS:
                return None
            self._said_stopping, self._is_said = is_stopping, True
            self._last_line = now
            return self._line()

    def _print_plain(self, text: str) -> None:
        if self._quiet or self._display.is_live:
            return
        self._last_line = time.monotonic()
        self._display.print(text)

    def _line(self) -> str:
        """Return the progress in one line, with the configuration of the best where that is new."""
        ended = ", ".join(f"{n} {status}" for status, n in self._n_by_status.items())
        head = f"{self._head()}{ended and f' ({ended})'}"
        bests = []
        for text, summary in self._bests():
            is_new = bool(summary) and text != self._said_best
            self._said_best = text if is_new else self._said_best
            bests.append(f"{text} ({summary})" if is_new else text)
        return "; ".join(filter(None, (head, *bests, self._times())))

    def _frame(self) -> RenderableType:
        """Return what the terminal shows at this moment."""
        with self._lock:
            head = Text(self._head(), style="bold")
            for status, n in self._n_by_status.items():
                head.append(f"  {n} {status}", style=f"not bold {_STYLES[status]}")
            about = [Paragraph(head)]
            for text, summary in self._bests():
                about.append(Paragraph(Text(text)))
                if summary:
                    about.append(Paragraph(Text(f"  {summary}", style="dim"), _CONFIG_LINES))
            about.append(Paragraph(Text(self._times())))
            return Frame(
                about,
                [] if self._outcome else [replace(line) for line in self._lines.values()],
                [] if self._outcome == "finished" else list(self._ends),
                objective=self._objective,
                max_updates=self._budget.max_updates,
                is_last=bool(self._outcome),
            )

    @property
    def _n_by_status(self) -> dict[str, int]:
        """Trials of the phase that have ended, in this session and earlier ones, by status."""
        if self._activity or self._outcome:
            return {}
        return {status: self._counts[status] for status in _STYLES if self._counts[status]}

    def _open_lines(self) -> list[TrialLine]:
        """Return the lines of trials that run, or were interrupted earlier and will continue."""
        return [*self._lines.values(), *self._waiting.values()]

    def _tally(self) -> str:
        """Return how far the phase is, as `search 3/26`; nothing before the first."""
        if not self.current_phase:
            return ""
        return f"{self.current_phase} {self._counts.total()}/{self._n_trials}"

    def _head(self) -> str:
        if self._outcome:
            # As `search 26/26, replicas 8/8`.
            done = ", ".join(filter(None, (self._earlier_phases, self._tally())))
            what = done or ("" if self._outcome == "finished" else self._activity)
            return ": ".join(filter(None, (self._outcome, what)))
        if self.is_stopping():
            return f"stopping: {self._awaited()}"
        running = f", {len(self._lines)} running" if self._lines else ""
        return self._activity or (f"{self._tally()}{running}" if self._tally() else "starting")

    def _awaited(self) -> str:
        """Return what a run that stops is waiting for."""
        if self._activity:
            return f"{self._activity}{' is cut short' if self._is_cut_short else ''}"
        n = len(self._lines)
        trials = "1 trial saves its state" if n == 1 else f"{n} trials save their state"
        return f"{trials if n else 'Ray ends'}; Ctrl-C again stops at once"

    def _bests(self) -> list[tuple[str, str]]:
        """Return the best so far in words, and the configuration of the first of them.

        In the phase of replicas it is the best final score; that of the search stays beside it.
        """
        running = self._open_lines() if self.current_phase != _REPLICAS else []
        scored = [
            ScoredTrial(line.trial_id, line.score, line.summary)
            for line in running
            if line.score is not None
        ]
        of_search = self.bests.of_search(scored)
        found = {"final score": self.bests.of_replicas(), "of the search": of_search}
        bests = [
            (
                f"{self._best(what, scored)}: {trial.trial_id}, {self._in_words(trial.score)}",
                trial.summary,
            )
            for what, trial in found.items()
            if trial is not None
        ]
        bests[1:] = [(text, "") for text, _ in bests[1:]]
        if self.current_phase == _REPLICAS and found["final score"] is None:
            return [("no final score yet", ""), *bests]
        return bests or ([("no score yet", "")] if self.current_phase else [])

    def _best(self, what: str, running: list[ScoredTrial]) -> str:
        """Return what the best is called: with several objectives, the first of a front."""
        if not self._objective.is_several:
            return f"best {what}"
        n = self.bests.n_on_front(running, final=what == "final score")
        of = "of the replicas" if what == "final score" else what
        return f"front {of}: {n} trial{'' if n == 1 else 's'}, best {self._objective.name}"

    def _times(self) -> str:
        elapsed = self._earlier_seconds + time.monotonic() - self._started
        if self._outcome:
            return f"{duration(elapsed)} in all"
        said = [f"{duration(elapsed)} so far"]
        if self.current_phase and not self._activity and not self.is_stopping():
            said.append(self._time_left(elapsed))
            if (speed := self.pace.updates_per_second) is not None:
                said.append(f"{speed:,.0f} updates/s")
        return ", ".join(said)

    def _time_left(self, elapsed: float) -> str:
        """Return the estimate in words, "-" if there is none."""
        left = self._estimate_seconds()
        if self._time_budget_seconds is not None:
            allowed = self._time_budget_seconds - elapsed
            if allowed > 0 and (left is None or left > allowed):
                return f"at most {duration(allowed)} left"
        return "time left: -" if left is None else f"about {duration(left)} left"

    def _estimate_seconds(self) -> float | None:
        """Estimate the time left from the pace so far and the updates that are expected to follow.

        A trial of the search is expected to make as many updates as the ended ones on average or,
        before some have ended, as the rungs leave it; a replica all of them. None before a report.
        """
        n_ended = self._counts.total()
        if self.current_phase == _REPLICAS:
            expected = float(self._budget.max_updates)
            later = 0
        else:
            is_known = n_ended >= MIN_ENDED
            expected = self._ended_updates / n_ended if is_known else self._budget.expected_updates
            later = self._n_replicas * self._budget.max_updates
        begun = self._open_lines()
        n_new = max(0, self._n_trials - n_ended - len(begun))
        rest = sum(max(0.0, expected - line.updates) for line in begun)
        return self.pace.seconds_for(n_new * expected + rest + later)


def _outcome(error: BaseException | None) -> str:
    """Return in a word how a run ended that raised `error`, or nothing."""
    if error is None:
        return "finished"
    is_stop = isinstance(error, InterruptedRunError | KeyboardInterrupt)
    return "interrupted" if is_stop else "failed"
